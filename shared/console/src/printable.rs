//! Untrusted text on a line of ours: nothing in it may move the cursor or change colours.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every control character escaped (`\n`, `\u{1b}` …), bidirectional overrides too.
///
/// For names, paths and messages that someone else chose and that stand within a line of ours;
/// a tab stays. Output of a job is data and is passed on unchanged elsewhere.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            c if is_hostile(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// The bidirectional controls are those of the "Trojan Source" paper (CVE-2021-42574).
pub(crate) fn is_hostile(c: char) -> bool {
    let bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}') || bidi
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_borrowed() {
        assert!(matches!(printable("日本\tjob"), Cow::Borrowed(_)));
    }

    #[test]
    fn escapes_are_visible_and_harmless() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\nc\\u{202e}d");
    }
}
