//! References between variables: what `$NAME` and `${NAME}` in a value mean.
//!
//! `$$` is a literal dollar; any other dollar that starts no name stays as it is. The compiler
//! looks for cycles with this grammar and the runner expands with it.

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands for itself.
    Text(&'a str),
    /// A reference: the name, and how it was written.
    Reference {
        /// The variable's name.
        name: &'a str,
        /// `$NAME` or `${NAME}`, as it stands in the value.
        written: &'a str,
    },
}

/// Splits a value into text and references.
pub fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some(dollar) = rest.find('$') {
        let (text, from_dollar) = rest.split_at(dollar);
        let (piece, length) = piece_at(from_dollar);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces.push(piece);
        rest = &from_dollar[length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The piece that begins with the dollar at the start of `text`, and its length in bytes.
fn piece_at(text: &str) -> (Piece<'_>, usize) {
    let after = &text[1..];
    if after.starts_with('$') {
        return (Piece::Text("$"), 2);
    }
    let (name, length) = match after.strip_prefix('{') {
        Some(inner) => match name_at(inner) {
            name if inner[name.len()..].starts_with('}') => (name, name.len() + 3),
            _ => ("", 0),
        },
        None => (name_at(after), name_at(after).len() + 1),
    };
    if name.is_empty() {
        return (Piece::Text("$"), 1);
    }
    (Piece::Reference { name, written: &text[..length] }, length)
}

/// The longest shell name at the start of `text`; empty when there is none.
fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

/// The value with every reference that `lookup` knows replaced; unknown names stay as written.
pub fn expand(value: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
    pieces(value)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Reference { name, written } => lookup(name).unwrap_or_else(|| written.into()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_both_forms_and_leaves_the_rest() {
        let lookup = |name: &str| (name == "A").then(|| "x".to_owned());
        for (value, expected) in [
            ("$A-${A}", "x-x"),
            ("$AB ${AB}", "$AB ${AB}"),
            ("$$A", "$A"),
            ("$ $1 ${1} ${A ${} $", "$ $1 ${1} ${A ${} $"),
            ("é$A", "éx"),
            ("", ""),
        ] {
            assert_eq!(expand(value, lookup), expected, "{value}");
        }
    }
}
