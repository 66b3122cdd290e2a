//! `docs/reference`: what the daemons say of themselves, as pages.
//!
//! `UPDATE_GOLDEN=1 cargo test -p demo --test reference` rewrites them.

mod command_line;
mod configuration;
mod metrics;

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a page of `docs/reference` with `text`, or writes it.
fn assert_page(name: &str, text: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(text.lines()).find(|(page, text)| page != text);
    assert!(page == text, "{name} is not what the daemons say; UPDATE_GOLDEN=1 rewrites it: {differs:?}");
}
