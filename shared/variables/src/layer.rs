//! One more layer on top of values: a name within its own value means the layer below.

use libloom_contract::graph::{Origin, Variable};
use libloom_contract::variables::{Piece, pieces};

use crate::MAX_VALUE;

/// Puts a value above what `variables`, sorted by name, already have under that name.
pub fn put(variables: &mut Vec<Variable>, name: &str, value: &str, origin: Option<Origin>) {
    match variables.binary_search_by(|variable| (*variable.name).cmp(name)) {
        Ok(at) => {
            let below = &mut variables[at];
            below.value = fold(name, value, &below.value);
            below.origin = origin;
        }
        Err(at) => {
            let variable = Variable { name: name.to_owned(), value: value.to_owned(), origin };
            variables.insert(at, variable);
        }
    }
}

/// Replaces `$NAME` and `${NAME}` in `text` by `below`; `$$` and everything else stays as written.
///
/// A result longer than a variable can be is not made to its end: the caller refuses such values.
pub fn fold(name: &str, text: &str, below: &str) -> String {
    if below.len() > MAX_VALUE {
        return below.to_owned();
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let (piece, length) = if rest.starts_with("$$") {
            ("$$", 2)
        } else {
            own_reference(rest, name).map_or(("$", 1), |length| (below, length))
        };
        result.push_str(piece);
        rest = &rest[length..];
        if result.len() > MAX_VALUE {
            return result;
        }
    }
    result + rest
}

/// Length of the reference to `name` at the start of `text`.
fn own_reference(text: &str, name: &str) -> Option<usize> {
    match pieces(&text[..reach(text, name)]).first() {
        Some(Piece::Reference { name: found, written }) if *found == name => Some(written.len()),
        _ => None,
    }
}

/// How much of `text` decides whether it starts with a reference to `name`.
fn reach(text: &str, name: &str) -> usize {
    let end = (name.len() + 4).min(text.len());
    (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_ends_when_the_value_is_too_long_anyway() {
        let long = "x".repeat(MAX_VALUE);
        let folded = fold("A", &"$A".repeat(1000), &long);
        assert!((MAX_VALUE..=2 * MAX_VALUE).contains(&folded.len()), "{}", folded.len());
        assert_eq!(fold("A", "$A", &folded), folded);
    }

    #[test]
    fn own_name_is_replaced_and_nothing_else() {
        let folded = |text: &str| fold("PATH", text, "X");
        assert_eq!(folded("/a:$PATH:${PATH}"), "/a:X:X");
        assert_eq!(folded("$$PATH $PATHS ${PATHS} $é"), "$$PATH $PATHS ${PATHS} $é");
        assert_eq!([folded("$PATH"), folded("$")], ["X", "$"]);
    }

    #[test]
    fn a_value_is_put_in_order_and_above_the_one_below() {
        let mut variables = Vec::new();
        for (name, value) in [("B", "1"), ("A", "x"), ("B", "$B+"), ("C", "$C")] {
            put(&mut variables, name, value, None);
        }
        let pairs: Vec<(&str, &str)> =
            variables.iter().map(|variable| (&*variable.name, &*variable.value)).collect();
        assert_eq!(pairs, [("A", "x"), ("B", "1+"), ("C", "$C")]);
    }
}
