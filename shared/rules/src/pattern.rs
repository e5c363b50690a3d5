//! Regular expressions as RE2 users write them, on the `regex` crate.
//!
//! Both are linear and share almost all syntax; `\Q…\E` is translated here, look-around and
//! back-references are refused by either.

use regex::{Regex, RegexBuilder};

/// Why a regular expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A flag other than `i`, `m`, `s`, `U`.
    #[error("unknown flag `{0}` of a regular expression; known are i, m, s, U")]
    Flag(char),
    /// It compiles to more than the limit.
    #[error("this regular expression is too large")]
    TooLarge,
    /// It is malformed, or uses what a linear matcher cannot do.
    #[error("this regular expression cannot be used: {0}")]
    Syntax(String),
}

/// Compiles `/pattern/flags`.
pub(crate) fn compile(pattern: &str, flags: &str) -> Result<Regex, PatternError> {
    let mut builder = RegexBuilder::new(&unquote(pattern));
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'U' => builder.swap_greed(true),
            other => return Err(PatternError::Flag(other)),
        };
    }
    builder.nest_limit(100).size_limit(1 << 20).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
        other => PatternError::Syntax(last_line(&other.to_string())),
    })
}

/// The `regex` crate draws a picture; its last line says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Replaces RE2's `\Q…\E` by the escaped text.
fn unquote(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            result.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            result.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re2_quoting_is_translated() {
        assert!(compile(r"^\Qa.b\E$", "").unwrap().is_match("a.b"));
        assert!(!compile(r"^\Qa.b\E$", "").unwrap().is_match("axb"));
        assert!(compile(r"\\Qx", "").unwrap().is_match(r"\Qx"));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert_eq!(compile("a", "x").unwrap_err(), PatternError::Flag('x'));
        assert_eq!(compile("(a{1000}){1000}", "").unwrap_err(), PatternError::TooLarge);
        let look_ahead = compile("(?=a)", "").unwrap_err().to_string();
        assert!(look_ahead.contains("look-around"), "{look_ahead}");
    }
}
