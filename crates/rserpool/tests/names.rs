//! Registrars by DNS name (RFC 5352 section 3.6).

mod world;

use std::net::Ipv4Addr;

use rserpool::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool::wire::{CauseCode, ErrorCause, Message};
use rserpool::{ConfiguredRegistrar, PoolHandle, PoolUser, PoolUserConfig};
use transport::{Endpoint, EndpointConfig, PeerAddress};

use world::{Net, Registrar, receive, send};

fn user(net: Net, registrars: &[String]) -> PoolUser {
    let registrars: Vec<ConfiguredRegistrar> = registrars.iter().map(|text| text.parse().unwrap()).collect();
    let config = PoolUserConfig::new(PoolHandle::new("ipfix").unwrap(), registrars);
    PoolUser::spawn(config, Some(net.endpoint(2)))
}

#[tokio::test]
async fn a_registrar_is_found_by_its_name_at_whichever_of_its_addresses_answers() {
    let net = Net::random();
    // The host's own name for itself needs no network; it may be ::1 first, where nobody listens.
    let mut config = EndpointConfig::new(Ipv4Addr::LOCALHOST.into());
    config.encapsulation = 0;
    let endpoint = Endpoint::bind(config).unwrap();
    let mut registrar = Registrar { listener: endpoint.listen(0).await.unwrap(), endpoint };
    let PeerAddress::Sctp { port, encapsulation: Some(encapsulation), .. } = registrar.listener.local()
    else {
        panic!("userland SCTP")
    };
    let name = format!("localhost:{port}?encapsulation={encapsulation}");
    let user = user(net, &["no-such-host.invalid".to_owned(), name]);
    let mut association = registrar.accept().await;
    let Message::HandleResolution(request) = receive(&mut association).await else { panic!("no request") };
    let causes = Some(vec![ErrorCause::plain(CauseCode::UNKNOWN_POOL_HANDLE)]);
    let response = HandleResolutionResponse {
        updates_accepted: false,
        pool: request.pool,
        causes,
        policy: None,
        elements: Vec::new(),
        unknown: Vec::new(),
    };
    send(&association, Message::HandleResolutionResponse(response)).await;
    let mut state = user.state();
    let known = state.wait_for(|state| state.pool_unknown).await.unwrap().registrar.unwrap();
    assert_eq!(known.peer(), registrar.listener.local(), "the state names the address");
}
