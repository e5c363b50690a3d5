//! What the YAML parser's errors mean for people who write workflows.

use granit_parser::{ErrorKind, ScanError};

use crate::problem::{Problem, code};
use crate::source::{FileId, Mark, as_u32};

/// The problem for a parser error.
pub(crate) fn describe(file: FileId, text: &str, error: &ScanError) -> Problem {
    let told = floor(text, error.marker().byte_offset().unwrap_or(text.len()));
    let at = place(text, told, error.kind()).unwrap_or(told);
    let length = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let mark = Mark { file, start: as_u32(at), end: as_u32(at + length) };
    let (code, message, fix) = explain(error, &text[at..]);
    Problem::error(mark, message).code(code).fix(fix)
}

/// Where to look, when that is not where the parser noticed.
fn place(text: &str, at: usize, kind: &ErrorKind) -> Option<usize> {
    match kind {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            opening_quote(text, at)
        }
        ErrorKind::UnknownQuotedScalarEscape => unknown_escape(text, at),
        ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation => text[..at].ends_with('\t').then(|| at - 1),
        ErrorKind::TabInPlainScalar => next_indent(text, at),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::BlockSequenceEntryNotAllowed => {
            dash(text, at)
        }
        _ => None,
    }
}

/// A line that is indented with a tab is told of at the text before it that it would go on.
fn next_indent(text: &str, at: usize) -> Option<usize> {
    let next = at + text[at..].find('\n')? + 1;
    let blank = text[next..].len() - text[next..].trim_start_matches([' ', '\t']).len();
    text[next..next + blank].find('\t').map(|tab| next + tab)
}

/// An unclosed string is told of where it goes wrong, lines later; its quote is what to look at.
fn opening_quote(text: &str, at: usize) -> Option<usize> {
    text[..at].rfind(['"', '\''])
}

/// An unknown escape is told of at the start of its string.
fn unknown_escape(text: &str, at: usize) -> Option<usize> {
    let mut rest = text[at..].char_indices();
    while let Some((offset, c)) = rest.next() {
        let known = |c: char| "0abt\tnvfre \"/\\N_LPxuU\r\n".contains(c);
        if c == '\\' && !rest.next().is_some_and(|(_, c)| known(c)) {
            return Some(at + offset);
        }
    }
    None
}

/// An entry of a list is told of from behind its dash.
fn dash(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].trim_end_matches(' ');
    before.ends_with('-').then(|| before.len() - 1)
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Code, message and mend; `rest` is the text from the place on.
fn explain(error: &ScanError, rest: &str) -> (&'static str, String, String) {
    let syntax = |message: &str, fix: &str| (code::YAML_SYNTAX, message.to_owned(), fix.to_owned());
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => (
            code::LIMIT,
            format!("nested more than {} levels deep", crate::MAX_NESTING),
            "flatten it".to_owned(),
        ),
        ErrorKind::DirectiveDisallowed => (
            code::YAML_UNSUPPORTED,
            "YAML directives are not allowed".to_owned(),
            "remove the line that starts with \"%\"".to_owned(),
        ),
        ErrorKind::UnexpectedCharacter { .. } => {
            let c = rest
                .chars()
                .next()
                .map_or_else(String::new, |c| format!(" \"{}\"", c.escape_debug()));
            syntax(&format!("a value cannot start with{c}"), "quote the value")
        }
        ErrorKind::MissingAnchorOrAliasName => {
            syntax("a value cannot start with \"*\" or \"&\"", "quote the value")
        }
        ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation => {
            syntax("a tab is not allowed in indentation", "indent with spaces")
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            syntax("a quoted string is not closed", "add the closing quote")
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping => {
            syntax("a bracket is not closed", "add the closing \"]\" or \"}\"")
        }
        ErrorKind::MappingValueNotAllowed => syntax(
            "a mapping cannot start here",
            "quote the value if it contains \": \", or indent this key like the others",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::BlockSequenceEntryNotAllowed
            if rest.starts_with("- ") =>
        {
            syntax(
                "an entry of a list cannot stand here",
                "indent it like the entries above it, or put it below its own key",
            )
        }
        ErrorKind::ExpectedBlockMappingKey => {
            syntax("expected a key here", "indent this line like the keys above it")
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            syntax("expected \"- \" here", "indent this line like the entries above it")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            syntax("expected \": \" after this key", "write a colon and a space behind the key")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            syntax(
                "expected \",\" or a closing bracket here",
                "put a comma between entries, and close every bracket",
            )
        }
        ErrorKind::BlockEntryInFlowCollection => {
            syntax("\"- \" starts no entry within brackets", "remove the dash")
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            syntax("this bracket closes nothing", "remove it, or quote the value")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => syntax(
            &format!("this \"{open}\" is closed by \"{close}\""),
            "close each bracket by one of its own kind",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => syntax(
            "text stands behind a closing quote",
            "quote the whole value, or put a comma between two",
        ),
        ErrorKind::UnknownQuotedScalarEscape => syntax(
            "a string in double quotes holds an unknown escape",
            "double the backslash, or use single quotes",
        ),
        _ => syntax(&format!("invalid YAML: {}", error.info()), "correct the syntax at this place"),
    }
}
