//! docs/conformance.md names tests: each must exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of the functions that are tests, in all Rust files below `folder`.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let function = line.trim_start_matches("async ").strip_prefix("fn ");
                match function {
                    Some(rest) if is_test => {
                        names.extend(rest.split(['(', '<']).next().map(str::to_owned));
                        is_test = false;
                    }
                    _ => is_test |= line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}

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
