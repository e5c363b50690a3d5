//! What the YAML parser's errors mean for people who write workflows.

use granit_parser::{ErrorKind, ScanError};

use crate::problem::{Problem, code};
use crate::source::{FileId, Mark, as_u32};

/// The problem for a parser error.
pub(crate) fn describe(file: FileId, text: &str, error: &ScanError) -> Problem {
    let at = floor(text, error.marker().byte_offset().unwrap_or(text.len()));
    let at = opening_quote(text, at, error.kind()).unwrap_or(at);
    let at = tab(text, at, error).unwrap_or(at);
    let length = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let mark = Mark { file, start: as_u32(at), end: as_u32(at + length) };
    let here = text[at..].chars().next();
    let (code, message, fix) = explain(error, here);
    Problem::error(mark, message).code(code).fix(fix)
}

/// An unclosed string is told of where it goes wrong, lines later; its quote is what to look at.
fn opening_quote(text: &str, at: usize, kind: &ErrorKind) -> Option<usize> {
    match kind {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            text[..at].rfind(['"', '\''])
        }
        _ => None,
    }
}

/// A line that is indented with a tab is told of at the text before it that it would go on.
fn tab(text: &str, at: usize, error: &ScanError) -> Option<usize> {
    if *error.kind() != ErrorKind::TabInPlainScalar {
        return None;
    }
    let next = at + text[at..].find('\n')? + 1;
    let blank = text[next..].len() - text[next..].trim_start_matches([' ', '\t']).len();
    text[next..next + blank].find('\t').map(|tab| next + tab)
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn explain(error: &ScanError, here: Option<char>) -> (&'static str, String, String) {
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
            let c = here.map_or_else(String::new, |c| format!(" \"{}\"", c.escape_debug()));
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
        ErrorKind::ExpectedBlockMappingKey => {
            syntax("expected a key here", "indent this line like the keys above it")
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            syntax("expected \"- \" here", "indent this line like the entries above it")
        }
        _ if here == Some('\t') => {
            syntax("a tab is not allowed in indentation", "indent with spaces")
        }
        _ => syntax(&format!("invalid YAML: {}", error.info()), "correct the syntax at this place"),
    }
}
