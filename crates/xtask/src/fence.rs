//! The dependency fence: what the sans-IO crates must not stand on, and which crates stand alone.

use std::path::Path;

use crate::steps::{Outcome, Unpassed, capture};

/// Crates without input and output: no reactor, no socket, no system calls.
const SANS_IO: [&str; 3] = ["ipfix", "rserpool-proto", "delivery"];
const NOT_SANS_IO: [&str; 4] = ["tokio", "mio", "socket2", "libc"];

/// Crates that depend on no other crate of the workspace, and those that depend on some alone.
const ALONE: [(&str, &[&str]); 7] = [
    ("ipfix", &[]),
    ("rserpool-proto", &[]),
    ("delivery", &[]),
    ("spool", &[]),
    ("transport", &[]),
    ("service", &[]),
    ("intake", &["ipfix"]),
];

pub(crate) fn check(root: &Path) -> Outcome {
    let mut breaches = Vec::new();
    for (package, on) in ALONE {
        let tree = capture(root, "cargo", &["tree", "-p", package, "-e", "normal", "--prefix", "none"])?;
        let banned: &[&str] = if SANS_IO.contains(&package) { &NOT_SANS_IO } else { &[] };
        let found = breaches_in(package, banned, on, &tree);
        println!("{package}: {}", if found.is_empty() { "clean" } else { "BREACHED" });
        breaches.extend(found);
    }
    if breaches.is_empty() { Ok(()) } else { Err(Unpassed::Failed(breaches.join("; "))) }
}

/// Reads the lines `name v1.2.3 (path, if of the workspace)` of `cargo tree --prefix none`.
fn breaches_in(package: &str, banned: &[&str], on: &[&str], tree: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in tree.lines() {
        let Some(name) = line.split(' ').next() else { continue };
        let workspace = name != package && !on.contains(&name) && line.contains(" (/");
        if banned.contains(&name) || workspace {
            found.push(format!("{package} depends on {name}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "ipfix v0.1.0 (/src/crates/ipfix)\nthiserror v2.0.0\nlibc v0.2.0\nlibc v0.2.0 (*)\n\
                        thiserror-impl v2.0.0 (proc-macro)\ndelivery v0.1.0 (/src/crates/delivery)\n";

    #[test]
    fn a_banned_crate_and_a_crate_of_the_workspace_are_told_once() {
        let expected = ["ipfix depends on delivery", "ipfix depends on libc"];
        assert_eq!(breaches_in("ipfix", &NOT_SANS_IO, &[], TREE), expected);
    }

    #[test]
    fn a_crate_may_stand_on_those_it_is_allowed() {
        assert_eq!(breaches_in("ipfix", &[], &["delivery"], TREE), [""; 0]);
    }

    #[test]
    fn a_crate_with_sockets_may_have_libc() {
        assert!(breaches_in("transport", &[], &[], "transport v0.1.0 (/src)\nlibc v0.2.0\n").is_empty());
    }
}
