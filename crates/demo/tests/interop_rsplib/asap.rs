//! Our registrar with rsplib's pool elements and pool users (RFC 5352).

use crate::check::Check;
use crate::network::Network;
use crate::ours::Registrar;
use crate::reference::{pool_element, pool_user};

/// Of the hosts of a test.
const REGISTRAR: u8 = 1;
const USER: u8 = 2;
const ELEMENTS: [u8; 3] = [3, 4, 5];

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspterminal_talks_to_rspserver_through_our_registrar() {
    let check = Check::begin("rspserver registers at ours, rspterminal resolves there: echo");
    let network = Network::new(3);
    let (user, server) = (network.host(USER), network.host(ELEMENTS[0]));
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let element = pool_element(&network, &server, &registrar.host, 0xa1, &["-echo"]);
    registrar.wait_for_elements(&user, "EchoPool", &["000000a1"]);
    let mut terminal = pool_user(&network, &user, &registrar.host, "rspterminal", &[]);
    for word in ["first", "second", "third"] {
        terminal.tell(word);
        terminal.wait_for(&format!("from PE $000000a1> {word}"));
    }
    terminal.kill();
    assert!(registrar.metric("rserpool_handle_resolutions_total") >= 1.0);
    assert!(element.stop().success());
    registrar.process.wait_for("deregistered");
    assert!(registrar.elements(&user, "EchoPool").is_empty());
    check.passed("three lines echoed; deregistered at its end, then the pool is unknown");
}
