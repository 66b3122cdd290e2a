//! docs/conformance.md names tests: each must exist.

use std::collections::BTreeSet;
use std::fs;

use super::sources::{root, tests_below};

/// What stands between backquotes and looks like the name of a test: five words or more.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    quoted.filter(|text| text.chars().all(is_word) && text.matches('_').count() >= 4).collect()
}

#[test]
fn every_test_named_in_the_table_of_conformance_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["crates", "collector", "exporter"] {
        tests_below(&root().join(folder), &mut tests);
    }
    let table = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let named = named(&table);
    assert!(named.len() > 100, "{} names: are they still recognised?", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/conformance.md names tests that do not exist: {missing:#?}");
}

#[test]
fn all_48_points_are_in_the_table_once_with_a_state() {
    let table = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number: u32 = cells.next()?.parse().ok()?;
        Some((number, cells.last()?.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), (1..=48).collect::<Vec<_>>());
    for (number, state) in rows {
        let known = ["held", "open: ", "not applicable: "].iter().any(|known| state.starts_with(known));
        assert!(known, "{number}: {state}");
    }
}
