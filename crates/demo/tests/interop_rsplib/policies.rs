//! The policies that rsplib has beyond RFC 5356: of its elements at our registrar, and of ours at its.

use rserpool::{Load, Policy};

use crate::check::{Check, wait_for};
use crate::element::{Find, Process};
use crate::network::Network;
use crate::ours::{self, Registrar, elements, text};
use crate::reference::{self, pool_element_at};

/// What rspserver is told, and how what our registrar then says of it begins.
const OFFERED: [(&str, &str); 5] = [
    ("RandomizedPriorityLeastUsed", "randomized-priority-least-used load"),
    ("PriorityLeastUsedDegradation:10", "priority-least-used-degradation load"),
    ("WeightedRandomDPF:7:0.001", "weighted-random-dpf weight 7"),
    ("LeastUsedDPF:0.001", "least-used-dpf load"),
    ("LeastUsedDegradationDPF:10:0.001", "least-used-degradation-dpf load"),
];

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn private_policies_of_rspserver_are_registered_with_their_values() {
    let check =
        Check::begin("each private policy that rspserver offers is registered and resolved with its values");
    let network = Network::new(3);
    let (user, server) = (network.host(2), network.host(3));
    let registrar = Registrar::start(&network, &network.host(1));
    let started: Vec<_> = (0..)
        .zip(OFFERED)
        .map(|(number, (policy, _))| {
            let (handle, policy) = (format!("-poolhandle=pool{number}"), format!("-policy={policy}"));
            let how = ["-echo", &handle, &policy];
            pool_element_at(&network, &server, 7001 + number, &registrar.host, 0xb0 + u32::from(number), &how)
        })
        .collect();
    let mut wrong = Vec::new();
    for (number, ((told, expected), process)) in OFFERED.iter().zip(&started).enumerate() {
        let pool = format!("pool{number}");
        registrar.wait_for_elements(&user, &pool, &[&format!("{:08x}", 0xb0 + number)]);
        let policy = text(&elements(&registrar.resolve(&user, &pool).unwrap())[0], "policy");
        println!("{told}: {policy}");
        if !policy.starts_with(expected) {
            wrong.push(format!("{told}: {policy}\n{}", process.said()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    check.passed(&format!("{} policies", OFFERED.len()));
}

fn private() -> [Policy; 7] {
    let (load, degradation) = (Load(0x1000_0000), Load(0x0200_0000));
    let load_dpf = Load(0x0000_0100);
    [
        Policy::RandomizedPriorityLeastUsed { load, degradation },
        Policy::RandomizedLeastUsedDegradation { load, degradation },
        Policy::PriorityLeastUsedDegradation { load, degradation },
        Policy::RandomizedPriorityLeastUsedDegradation { load, degradation },
        Policy::WeightedRandomDpf { weight: 7, weight_dpf: Load(0x100), distance: 0 },
        Policy::LeastUsedDpf { load, load_dpf, distance: 0 },
        Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance: 0 },
    ]
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn private_policies_of_our_elements_come_back_from_rspregistrar() {
    let check = Check::begin("rspregistrar answers with our elements' private policies and their values");
    let network = Network::new(2);
    let (host, user) = (network.host(1), network.host(2));
    let theirs = reference::registrar(&network, &host, 0x0a0b_0c02, &["-loglevel=4"]);
    let process = Process::new(&network);
    let policies = private();
    let _elements: Vec<_> = (0..)
        .zip(&policies)
        .map(|(number, policy)| {
            process.element(Find::At(&host), &format!("pool{number}"), 0xb0 + number, policy.clone())
        })
        .collect();
    for (number, policy) in policies.iter().enumerate() {
        let answer = wait_for(
            "an element",
            || theirs.said(),
            || ours::resolve(&user, &host, &format!("pool{number}")).ok(),
        );
        let told = text(&elements(&answer)[0], "policy");
        println!("{policy}: {told}");
        // The distance is rspregistrar's to measure.
        let values = |text: &str| {
            text.split_once(" distance").map_or(text.to_owned(), |(before, _)| before.to_owned())
        };
        assert_eq!(values(&told), values(&policy.to_string()));
    }
    check.passed(&format!("{} policies", policies.len()));
}
