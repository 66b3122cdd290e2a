//! Reports of unreachable pool elements (RFC 5352 section 3.5) by rsplib's pool users at our registrar.

use crate::check::{Check, wait_for};
use crate::network::{Host, Network};
use crate::ours::Registrar;
use crate::reference::{pool_element, pool_user};

/// From now on this host reaches the other one no more; everybody else does.
fn cut(from: &Host, to: &Host) {
    let address = to.address.to_string();
    let status = from.command("ip").args(["route", "add", "unreachable", &address]).status();
    assert!(status.unwrap().success());
}

fn reported(registrar: &Registrar) {
    let metric = "rserpool_unreachable_reports_total{result=\"accepted\"}";
    wait_for(
        "report of unreachability",
        || registrar.process.said(),
        || (registrar.metric(metric) >= 1.0).then_some(()),
    );
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn an_element_that_only_one_user_cannot_reach_stays() {
    let check =
        Check::begin("rspterminal reports an element it cannot reach; one that answers a keep-alive stays");
    let network = Network::new(4);
    let [user, server, other] = [2, 3, 4].map(|number| network.host(number));
    let registrar = Registrar::start(&network, &network.host(1));
    let _element = pool_element(&network, &server, &registrar.host, 0xa1, &["-echo"]);
    registrar.wait_for_elements(&other, "EchoPool", &["000000a1"]);
    cut(&user, &server);
    let terminal = pool_user(&network, &user, &registrar.host, "rspterminal", &[]);
    terminal.tell("hello");
    let answered = registrar.metric("rserpool_keepalives_total{result=\"answered\"}");
    reported(&registrar);
    wait_for(
        "answer to a keep-alive",
        || registrar.process.said(),
        || (registrar.metric("rserpool_keepalives_total{result=\"answered\"}") > answered).then_some(()),
    );
    assert_eq!(registrar.elements(&other, "EchoPool"), ["000000a1"]);
    check.passed("reported; it answered and stayed");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn an_element_that_is_reported_and_does_not_answer_is_removed() {
    let check = Check::begin(
        "pingpongclient reports an element that is cut off; it is removed by its missing answer",
    );
    let network = Network::new(4);
    let [user, server, other] = [2, 3, 4].map(|number| network.host(number));
    let registrar = Registrar::start(&network, &network.host(1));
    let element = pool_element(&network, &server, &registrar.host, 0xa1, &["-pingpong"]);
    registrar.wait_for_elements(&other, "PingPongPool", &["000000a1"]);
    cut(&user, &server);
    let client = pool_user(&network, &user, &registrar.host, "pingpongclient", &["-interval=100"]);
    reported(&registrar);
    element.signal("STOP");
    wait_for(
        "removal",
        || format!("{}\n{}", registrar.process.said(), client.said()),
        || registrar.elements(&other, "PingPongPool").is_empty().then_some(()),
    );
    check.passed("reported; it did not answer and left the pool");
}
