//! Splits the text of a condition into tokens with their byte ranges.

use std::ops::Range;

use crate::SyntaxError;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Variable(String),
    String(String),
    Regex { pattern: String, flags: String },
    Null,
    Operator(Operator),
    Not,
    Open,
    Close,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Match,
    NotMatch,
    And,
    Or,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) range: Range<usize>,
}

const OPERATORS: &[(&str, TokenKind)] = &[
    ("==", TokenKind::Operator(Operator::Equal)),
    ("!=", TokenKind::Operator(Operator::NotEqual)),
    ("=~", TokenKind::Operator(Operator::Match)),
    ("!~", TokenKind::Operator(Operator::NotMatch)),
    ("&&", TokenKind::Operator(Operator::And)),
    ("||", TokenKind::Operator(Operator::Or)),
    ("!", TokenKind::Not),
    ("(", TokenKind::Open),
    (")", TokenKind::Close),
];

/// All tokens of `text`, in order.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(|c: char| !c.is_whitespace()) {
        let start = at + found;
        let token = token_at(text, start)?;
        at = token.range.end;
        tokens.push(token);
    }
    Ok(tokens)
}

fn token_at(text: &str, start: usize) -> Result<Token, SyntaxError> {
    let rest = &text[start..];
    for (word, kind) in OPERATORS {
        if rest.starts_with(word) {
            return Ok(Token { kind: kind.clone(), range: start..start + word.len() });
        }
    }
    match rest.as_bytes()[0] {
        b'$' => variable(rest, start),
        quote @ (b'"' | b'\'') => string(rest, start, quote),
        b'/' => regex(rest, start),
        _ => word(rest, start),
    }
}

fn variable(rest: &str, start: usize) -> Result<Token, SyntaxError> {
    let braced = rest[1..].starts_with('{');
    let name_start = if braced { 2 } else { 1 };
    let name = name_at(&rest[name_start..]);
    let closed = !braced || rest[name_start + name.len()..].starts_with('}');
    if name.is_empty() || !closed {
        return Err(SyntaxError::new("expected a variable name after `$`", start..start + 1));
    }
    let length = name_start + name.len() + usize::from(braced);
    Ok(Token { kind: TokenKind::Variable(name.to_owned()), range: start..start + length })
}

/// The longest name at the start of `text`; empty when there is none.
pub(crate) fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

/// A string ends at the next quote of its kind; there are no escapes.
fn string(rest: &str, start: usize, quote: u8) -> Result<Token, SyntaxError> {
    let inner = &rest[1..];
    match inner.find(char::from(quote)) {
        Some(end) => Ok(Token {
            kind: TokenKind::String(inner[..end].to_owned()),
            range: start..start + end + 2,
        }),
        None => {
            Err(SyntaxError::new("this string has no closing quote", start..start + rest.len()))
        }
    }
}

/// `/pattern/flags`; `\/` is a slash within the pattern.
fn regex(rest: &str, start: usize) -> Result<Token, SyntaxError> {
    let Some(length) = closing_slash(&rest[1..]) else {
        let range = start..start + rest.len();
        return Err(SyntaxError::new("this regular expression has no closing `/`", range));
    };
    let pattern = rest[1..=length].replace("\\/", "/");
    let after = &rest[length + 2..];
    let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
    let kind = TokenKind::Regex { pattern, flags: after[..end].to_owned() };
    Ok(Token { kind, range: start..start + length + 2 + end })
}

fn closing_slash(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'/' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

fn word(rest: &str, start: usize) -> Result<Token, SyntaxError> {
    let name = name_at(rest);
    if name == "null" {
        return Ok(Token { kind: TokenKind::Null, range: start..start + 4 });
    }
    if rest.starts_with('=') {
        let message = "unexpected `=`; write `==` or `=~`";
        return Err(SyntaxError::new(message, start..start + 1));
    }
    if name.is_empty() {
        let c = rest.chars().next().expect("a token starts at a character");
        let message = format!("unexpected `{c}`");
        return Err(SyntaxError::new(message, start..start + c.len_utf8()));
    }
    let message = format!("unexpected word `{name}`; write `${name}` or `\"{name}\"`");
    Err(SyntaxError::new(message, start..start + name.len()))
}
