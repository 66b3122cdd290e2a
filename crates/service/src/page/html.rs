//! Text from anywhere as HTML.

/// Characters of one text at most; the rest of a longer one is left out.
const LONGEST: usize = 120;
/// The same for texts of which every character counts.
pub(super) const LONGEST_CODE: usize = 1_000;

/// Appends the first characters of a text as [`escape`] does, and `…` where there are more.
pub(super) fn escape_beginning(out: &mut String, text: &str, longest: usize) {
    match text.char_indices().nth(longest) {
        Some((end, _)) => {
            escape(out, &text[..end]);
            out.push('…');
        }
        None => escape(out, text),
    }
}

/// Appends a text so that it is text in HTML, in an element or in an attribute between double quotes.
///
/// What would not be seen is made visible: control characters, and those that turn the direction of the text around them.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            hidden if is_hidden(hidden) => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}

/// Returns a text as HTML, as [`escape_beginning`] does.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    escape_beginning(&mut out, text, LONGEST);
    out
}

/// Controls, marks and embeddings of direction (Unicode Standard Annex 9), and what has no width.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            escaped("<script>alert('1' & \"2\")</script>"),
            "&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;"
        );
    }

    #[test]
    fn what_would_not_be_seen_is_made_visible() {
        assert_eq!(escaped("a\0b\n\u{202e}c\u{200b}é"), "a\u{fffd}b\u{fffd}\u{fffd}c\u{fffd}é");
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = escaped(&"ü".repeat(LONGEST + 1));
        assert_eq!(text, format!("{}…", "ü".repeat(LONGEST)));
        assert_eq!(escaped(&"<".repeat(LONGEST)), "&lt;".repeat(LONGEST));
    }
}
