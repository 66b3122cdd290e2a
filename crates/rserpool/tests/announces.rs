//! Registrars that announce themselves by multicast (RFC 5352 section 3.6).

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use rserpool::wire::Message;
use rserpool::wire::asap::announce::ServerAnnounce;
use rserpool::{AnnounceConfig, PoolHandle, PoolUser, PoolUserConfig};
use rserpool_proto::RegistrarId;
use tokio::time::timeout;
use transport::udp::{Group, GroupOptions};

use world::{Net, PATIENCE, Registrar, receive};

/// The group as the registrar at `host` has joined it, on a free port.
fn group(net: Net, host: u8) -> Group {
    let [a, b, ..] = getrandom::u64().unwrap().to_be_bytes();
    let group = SocketAddr::from(([239, 255, a, b], 0));
    Group::join(&GroupOptions { group, interface: Some(net.host(host)), ttl: 0 }).unwrap()
}

/// A pool user that knows no registrar but by announces.
fn user(net: Net, group: &Group, network: &str) -> PoolUser {
    let announce = AnnounceConfig {
        group: group.address().ip(),
        port: group.address().port(),
        interface: None,
        networks: vec![network.parse().unwrap()],
    };
    let config = PoolUserConfig::new(PoolHandle::new("ipfix").unwrap(), Vec::new());
    PoolUser::spawn(PoolUserConfig { announce: Some(announce), ..config }, Some(net.endpoint(2)))
}

fn announce() -> Vec<u8> {
    let (registrar, transports, unknown) = (RegistrarId(0x0b), Vec::new(), Vec::new());
    Message::ServerAnnounce(ServerAnnounce { registrar, transports, unknown }).to_octets().unwrap()
}

#[tokio::test]
async fn a_registrar_that_announces_itself_is_asked() {
    let net = Net::random();
    let group = group(net, 1);
    let endpoint = net.endpoint(1);
    // Without a transport in the announce the registrar is where the datagram comes from.
    let listener = endpoint.listen(group.address().port()).await.unwrap();
    let mut registrar = Registrar { listener, endpoint };
    let _user = user(net, &group, "127.0.0.0/8");
    group.send(&announce()).await.unwrap();
    let mut association = registrar.accept().await;
    assert!(matches!(receive(&mut association).await, Message::HandleResolution(_)));
}

#[tokio::test]
async fn an_announce_from_elsewhere_is_counted_and_nothing_else() {
    let net = Net::random();
    let group = group(net, 1);
    let user = user(net, &group, "10.0.0.0/8");
    let refused = async {
        while user.announces_refused() < 2 {
            group.send(&announce()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the announces are counted");
    assert_eq!(user.state().borrow().registrar, None);
}
