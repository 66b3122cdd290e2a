//! Comparison with a file that a person has read. `UPDATE_GOLDEN=1` writes it anew.

use std::path::Path;

/// Compares `actual` with the file.
///
/// # Panics
///
/// When they differ: names the first line that does.
pub fn check(path: impl AsRef<Path>, actual: &str) {
    let path = path.as_ref();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = expected.lines().map(Some).chain(std::iter::repeat(None));
    let pairs = actual.lines().map(Some).chain(std::iter::repeat(None)).zip(lines).enumerate();
    for (at, (actual, expected)) in pairs.take_while(|(_, pair)| *pair != (None, None)) {
        assert_eq!(actual, expected, "{} line {}", path.display(), at + 1);
    }
}
