//! "Did you mean": the known word nearest to a misspelt one.

/// More edits than this are another word.
const MAX_DISTANCE: usize = 2;

/// Returns the candidate at most two edits away from `word`, the nearest and then the first one.
/// A word of one or two letters is only suggested for a single edit: everything is near to it.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= MAX_DISTANCE && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_nearest_one() {
        assert_eq!(nearest("lisen", ["http", "listen", "listens"]), Some("listen"));
        assert_eq!(nearest("htpt", ["http", "listen"]), Some("http"));
        assert_eq!(nearest("capcity", ["capacity"]), Some("capacity"));
    }

    #[test]
    fn another_word_is_no_suggestion() {
        assert_eq!(nearest("colour", ["listen", "http"]), None);
        assert_eq!(nearest("xy", ["ab"]), None);
        assert_eq!(nearest("", ["ab"]), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(distance("htpt", "http"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
