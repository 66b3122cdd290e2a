//! Names by pattern: `*` is any number of characters, `?` is one.

use std::fmt;

/// A name, or a pattern of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes any text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Tells whether it stands for more than one name.
    pub fn is_open(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// Tells whether `name` is one of its names.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        // Where to go on when what follows the last star does not fit: one character later.
        let mut retry = None;
        let (mut at, mut next) = (0, 0);
        while next < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    at += 1;
                    retry = Some((at, next + 1));
                }
                Some(&one) if one == '?' || one == name[next] => (at, next) = (at + 1, next + 1),
                _ => match retry {
                    Some((star, later)) => {
                        (at, next) = (star, later);
                        retry = Some((star, later + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&character| character == '*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_number_of_characters_and_a_question_mark_is_one() {
        for (pattern, name) in [
            ("eth0", "eth0"),
            ("*", ""),
            ("veth*", "veth"),
            ("veth*", "veth12"),
            ("e*1?", "eth1110"),
            ("*.100", "eth0.1.100"),
        ] {
            assert!(Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("eth0", "eth"), ("eth?", "eth10"), ("", "x"), ("*.100", "eth0.1000"), ("?", "")]
        {
            assert!(!Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }
}
