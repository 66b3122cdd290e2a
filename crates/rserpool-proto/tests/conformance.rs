//! docs/conformance-rserpool.md names tests: each must exist.

#[path = "../../ipfix/tests/suite/conformance/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;

use sources::{root, tests_below};

/// Points of the tables.
const POINTS: u32 = 84;

fn page() -> String {
    fs::read_to_string(root().join("docs/conformance-rserpool.md")).unwrap()
}

/// The rows of the tables: number, tests, state.
fn rows(page: &str) -> Vec<(u32, Vec<&str>, &str)> {
    let row = |line| {
        let cells: Vec<&str> = str::strip_prefix(line, "| ")?.trim_end_matches(" |").split(" | ").collect();
        let [number, _, _, tests, state] = cells[..] else { return None };
        Some((number.parse().ok()?, tests.split('`').skip(1).step_by(2).collect(), state))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_test_named_in_the_tables_of_conformance_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["crates", "registrar"] {
        tests_below(&root().join(folder), &mut tests);
    }
    let page = page();
    let missing: Vec<_> = rows(&page)
        .into_iter()
        .flat_map(|(number, named, _)| named.into_iter().map(move |name| (number, name)))
        .filter(|(_, name)| !tests.contains(*name))
        .collect();
    assert!(missing.is_empty(), "docs/conformance-rserpool.md names tests that do not exist: {missing:#?}");
}

#[test]
fn all_points_have_a_test_and_a_state_and_every_letter_its_reason() {
    let page = page();
    let rows = rows(&page);
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), (1..=POINTS).collect::<Vec<_>>());
    let mut letters = BTreeSet::new();
    for (number, tests, state) in rows {
        assert!(!tests.is_empty(), "{number} names no test");
        match state.strip_prefix("held") {
            Some("") => {}
            Some(letter) => {
                letters.insert(letter.trim_start());
            }
            None => assert!(state.starts_with("open: "), "{number}: {state}"),
        }
    }
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.get(..4))
        .filter(|start| is_letter(start))
        .map(str::trim_end)
        .collect();
    assert_eq!(letters, explained);
}

/// `(a) `, where a reason begins.
fn is_letter(start: &str) -> bool {
    matches!(start.as_bytes(), [b'(', b'a'..=b'z', b')', b' '])
}
