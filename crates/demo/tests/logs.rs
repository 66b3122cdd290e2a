//! What daemons write about themselves while they run at DEBUG: no key, no cookie and no flow.

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use demo::pool::Pool;

/// More hexadecimal digits in a row than any name has: a ledger's has 32, a cookie's octets or a key's have more.
const LONGEST_NAME: usize = 32;

/// Starts a pool of daemons that log everything up to DEBUG.
fn talkative_pool(seconds: u64) -> Pool {
    let (plan, stage) = world::stage(seconds);
    let program = stage.directory.join("demo.sh");
    let script = format!("#!/bin/sh\nFLOWPOOL_LOG=debug exec '{}' \"$@\"\n", world::program().display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Pool::start(&program, plan, stage).unwrap()
}

/// The longest run of hexadecimal digits, and the longest list of numbers, as octets are printed in passing.
fn octets_shown(line: &str) -> (usize, usize) {
    let runs = line.split(|c: char| !c.is_ascii_hexdigit()).map(str::len);
    let is_number = |word: &&str| word.trim_matches(['[', ']', '(', ')']).parse::<u8>().is_ok();
    let words: Vec<&str> = line.split(", ").collect();
    let lists = words.split(|word| !is_number(word)).map(<[&str]>::len);
    (runs.max().unwrap_or(0), lists.max().unwrap_or(0))
}

#[test]
fn neither_keys_nor_cookies_nor_flows_are_in_any_log() {
    let mut pool = talkative_pool(4);
    let used = world::wait_for_part(&mut pool, 0.3);
    // A failover has much to tell, and cookies go along with it.
    drop(pool.take_collector(used).unwrap());
    world::wait_for_another(&mut pool, used);
    let (_settlement, stage) = world::settle(pool);
    let read = |name: &str| fs::read_to_string(stage.directory.join(name)).unwrap();
    let key = read("pool.key");
    let key = key.split_whitespace().nth(1).unwrap();
    let flows: String =
        [0, 1].map(|index| fs::read_to_string(stage.flows(index)).unwrap_or_default()).concat();
    let of_flows = |end: &str| -> BTreeSet<String> {
        let key = format!("\"{end}IPv4Address\":\"");
        let behind = flows.split(&key).skip(1);
        behind.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let addresses = &of_flows("source") | &of_flows("destination");
    assert!(addresses.len() >= 2, "{addresses:?}");
    let mut logs = 0;
    for entry in fs::read_dir(&stage.directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let log = fs::read_to_string(&path).unwrap();
        assert!(log.contains("DEBUG"), "{}: not at DEBUG", path.display());
        logs += 1;
        for line in log.lines() {
            let of_flow = addresses.iter().find(|address| names(line, address));
            assert_eq!(of_flow, None, "{}: {line}", path.display());
            assert!(!line.contains(&key[..16]), "{}: {line}", path.display());
            let (hexadecimal, list) = octets_shown(line);
            assert!(hexadecimal <= LONGEST_NAME && list < 8, "{}: {line}", path.display());
        }
    }
    assert!(logs >= 4, "a registrar, two collectors and an exporter");
}

/// Whether an address stands in a line, and not as the beginning or the end of another one.
fn names(line: &str, address: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    line.match_indices(address).any(|(at, _)| {
        let (before, behind) = (line[..at].chars().next_back(), line[at + address.len()..].chars().next());
        !before.is_some_and(is_part) && !behind.is_some_and(|c| c.is_ascii_digit())
    })
}

#[test]
fn octets_in_a_line_are_seen() {
    assert_eq!(octets_shown("x cookie=[1, 22, 255, 0]").1, 3);
    assert_eq!(octets_shown(&"ab".repeat(40)).0, 80);
    assert!(names("from 192.0.2.1:7", "192.0.2.1") && !names("192.0.2.10 1.192.0.2.1", "192.0.2.1"));
}
