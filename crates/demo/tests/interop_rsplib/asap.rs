//! Our registrar with rsplib's pool elements and pool users (RFC 5352).

use std::process::Command;

use crate::check::{Check, wait_for};
use crate::network::Network;
use crate::ours::{self, Registrar};
use crate::reference::{pool_element, pool_element_at, pool_user};

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
    let terminal = pool_user(&network, &user, &registrar.host, "rspterminal", &[]);
    for word in ["first", "second", "third"] {
        terminal.tell(word);
        terminal.wait_for(&format!("from PE $000000a1> {word}"));
    }
    drop(terminal);
    assert!(registrar.metric("rserpool_handle_resolutions_total") >= 1.0);
    assert!(element.stop().success());
    registrar.process.wait_for("deregistered");
    assert!(registrar.elements(&user, "EchoPool").is_empty());
    check.passed("three lines echoed; deregistered at its end, then the pool is unknown");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn a_session_moves_to_the_next_element_with_its_cookie() {
    let check =
        Check::begin("pingpongclient fails over between two rspservers of our registrar, with a cookie");
    let network = Network::new(4);
    let user = network.host(USER);
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    // Each ends a session after five answers.
    let _elements = [(0xa1, ELEMENTS[0]), (0xa2, ELEMENTS[1])].map(|(pe, host)| {
        let how = ["-pingpong", "-pppfailureafter=5"];
        pool_element(&network, &network.host(host), &registrar.host, pe, &how)
    });
    registrar.wait_for_elements(&user, "PingPongPool", &["000000a1", "000000a2"]);
    let client = pool_user(&network, &user, &registrar.host, "pingpongclient", &["-interval=100"]);
    let answers = |pe: &str| {
        let said = client.said();
        said.lines().filter(|line| line.contains("Ack") && line.contains(pe)).count()
    };
    wait_for(
        "twelve answers of both elements",
        || client.said(),
        || {
            let (first, second) = (answers("a1"), answers("a2"));
            (first > 0 && second > 0 && first + second >= 12).then_some(())
        },
    );
    check.passed(&format!("{} answers of one element, {} of the other", answers("a1"), answers("a2")));
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn calculations_and_scripts_run_in_pools_of_our_registrar() {
    let check = Check::begin("calcappclient and scriptingclient work with rspservers of our registrar");
    let network = Network::new(4);
    let user = network.host(USER);
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let calculator = ["-calcapp", "-capcapacity=1000000"];
    let _calculator = pool_element(&network, &network.host(ELEMENTS[0]), &registrar.host, 0xa1, &calculator);
    let scripts = ["-scripting"];
    let _scripts = pool_element(&network, &network.host(ELEMENTS[1]), &registrar.host, 0xa2, &scripts);
    registrar.wait_for_elements(&user, "CalcAppPool", &["000000a1"]);
    registrar.wait_for_elements(&user, "ScriptingPool", &["000000a2"]);
    // It ends with the test: how long three jobs take is the machine's affair.
    let client = ["-jobsize=100000", "-jobinterval=0.5", "-runtime=600"];
    let calculation = pool_user(&network, &user, &registrar.host, "calcappclient", &client);
    let script =
        "cd $0 && printf 'echo scripted >result && tar czf $1 result\\n' >ssrun && tar czf in.tar.gz ssrun";
    let packed = Command::new("sh").args(["-c", script]).arg(&network.folder).status();
    assert!(packed.unwrap().success());
    let files = ["-input=in.tar.gz", "-output=out.tar.gz"];
    let scripting = pool_user(&network, &user, &registrar.host, "scriptingclient", &files);
    let output = network.folder.join("out.tar.gz");
    wait_for("output of the script", || scripting.said(), || output.is_file().then_some(()));
    calculation.wait_for("Job #2 completed");
    check.passed("a script's output came back; jobs were calculated");
}

/// What rspserver is told, and what our registrar then says of it.
const POLICIES: [(&str, &str); 9] = [
    ("RoundRobin", "round-robin"),
    ("WeightedRoundRobin:3", "weighted-round-robin weight 3"),
    ("Random", "random"),
    ("WeightedRandom:7", "weighted-random weight 7"),
    ("Priority:5", "priority 5"),
    ("LeastUsed", "least-used load"),
    ("LeastUsedDegradation:10", "least-used-degradation load"),
    ("PriorityLeastUsed:20", "priority-least-used load"),
    ("RandomizedLeastUsed", "randomized-least-used load"),
];

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn every_policy_of_rspserver_is_registered_with_its_values() {
    let check = Check::begin("each policy that rspserver offers is registered and resolved with its values");
    let network = Network::new(3);
    let (user, server) = (network.host(USER), network.host(ELEMENTS[0]));
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let _elements: Vec<_> = (0..)
        .zip(POLICIES)
        .map(|(number, (policy, _))| {
            let (handle, policy) = (format!("-poolhandle=pool{number}"), format!("-policy={policy}"));
            let how = ["-echo", &handle, &policy];
            pool_element_at(&network, &server, 7001 + number, &registrar.host, 0xb0 + u32::from(number), &how)
        })
        .collect();
    for (number, (_, expected)) in POLICIES.iter().enumerate() {
        let pool = format!("pool{number}");
        registrar.wait_for_elements(&user, &pool, &[&format!("{:08x}", 0xb0 + number)]);
        let answer = registrar.resolve(&user, &pool).unwrap();
        let policy = ours::text(&ours::elements(&answer)[0], "policy");
        println!("{pool}: {policy}");
        assert!(policy.starts_with(expected), "{policy}, expected {expected}");
    }
    check.passed(&format!("{} policies", POLICIES.len()));
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn selections_follow_the_policy_and_a_second_policy_is_refused() {
    let check = Check::begin(
        "our registrar's choices reach rspterminal in the policy's order; a second policy is refused",
    );
    let network = Network::new(5);
    let user = network.host(USER);
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let pes = [0xa1, 0xa2, 0xa3];
    let elements = pes.map(|pe| {
        let host = network.host(ELEMENTS[usize::try_from(pe - 0xa1).unwrap()]);
        let element = pool_element(&network, &host, &registrar.host, pe, &["-echo"]);
        registrar.process.wait_for(&format!("pe=000000{pe:x}"));
        element
    });
    let chosen: Vec<u32> = (0..4)
        .map(|_| {
            let terminal = pool_user(&network, &user, &registrar.host, "rspterminal", &[]);
            terminal.tell("who");
            let said = |pe: u32| {
                terminal
                    .said()
                    .lines()
                    .filter(|line| line.contains(&format!("from PE $000000{pe:x}>")))
                    .count()
            };
            wait_for("echo", || terminal.said(), || pes.into_iter().find(|pe| said(*pe) > 0))
        })
        .collect();
    assert_eq!(chosen, [0xa1, 0xa2, 0xa3, 0xa1]);
    let host = network.host(ELEMENTS[0]);
    let other = ["-echo", "-policy=Random"];
    let refused = pool_element_at(&network, &host, 7002, &registrar.host, 0xa4, &other);
    registrar.process.wait_for("registration refused");
    refused.wait_for("incompatible pool policy");
    check.passed("a1 a2 a3 a1");
    drop(elements);
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn an_unknown_pool_is_told_to_rspterminal() {
    let check = Check::begin("rspterminal is told that a pool is unknown, and finds it when it appears");
    let network = Network::new(3);
    let (user, server) = (network.host(USER), network.host(ELEMENTS[0]));
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let terminal = pool_user(&network, &user, &registrar.host, "rspterminal", &["-poolhandle=Later"]);
    terminal.tell("early");
    wait_for(
        "refused resolution",
        || registrar.process.said(),
        || {
            (registrar.metric("rserpool_handle_resolutions_total{pool=\"other\",result=\"unknown_pool\"}")
                >= 1.0)
                .then_some(())
        },
    );
    let _element = pool_element(&network, &server, &registrar.host, 0xa1, &["-echo", "-poolhandle=Later"]);
    wait_for(
        "echo",
        || terminal.said(),
        || {
            terminal.tell("late");
            terminal.said().contains("from PE $000000a1>").then_some(())
        },
    );
    check.passed("refused with unknown pool handle; answered after the element had come");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn a_killed_and_a_stopped_rspserver_leave_the_pool() {
    let check = Check::begin("a killed, and a stopped, rspserver leave our registrar's pool");
    let network = Network::new(5);
    let user = network.host(USER);
    let registrar = Registrar::start(&network, &network.host(REGISTRAR));
    let [mut killed, stopped, _living] = [0xa1, 0xa2, 0xa3].map(|pe| {
        let host = network.host(ELEMENTS[usize::try_from(pe - 0xa1).unwrap()]);
        pool_element(&network, &host, &registrar.host, pe, &["-echo"])
    });
    registrar.wait_for_elements(&user, "EchoPool", &["000000a1", "000000a2", "000000a3"]);
    killed.kill();
    registrar.wait_for_elements(&user, "EchoPool", &["000000a2", "000000a3"]);
    stopped.signal("STOP");
    registrar.wait_for_elements(&user, "EchoPool", &["000000a3"]);
    let said = registrar.process.said();
    let reasons: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("reason=")).map(|(_, reason)| reason).collect();
    println!("{reasons:?}");
    assert!(
        said.contains("reason=\"connection_lost\"") && said.contains("reason=\"unreachable\""),
        "{reasons:?}"
    );
    check
        .passed("the killed one with its association, the stopped one by its missing answer to a keep-alive");
}
