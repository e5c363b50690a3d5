//! What an expression says about given variables.

use libloom_contract::graph::Expression;

use crate::pattern::{self, PatternError};

/// Why an expression could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A regular expression cannot be used; only one that comes out of a variable, or out of a
    /// graph that another Loom wrote.
    #[error("cannot evaluate `{text}`")]
    Pattern {
        /// The pattern.
        text: String,
        /// Why.
        source: PatternError,
    },
}

/// Whether `expression` holds. `lookup` answers `None` for a variable that is not set.
///
/// Alone, a variable or a string is true when it is not empty. `=~` with a right side that is
/// null or empty is false, and so is any match against null.
///
/// # Errors
/// A pattern that cannot be used.
pub fn evaluate(
    expression: &Expression,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<bool, EvaluateError> {
    use Expression as E;
    Ok(match expression {
        E::And { left, right } => evaluate(left, lookup)? && evaluate(right, lookup)?,
        E::Or { left, right } => evaluate(left, lookup)? || evaluate(right, lookup)?,
        E::Not { operand } => !evaluate(operand, lookup)?,
        E::Equal { left, right } => value(left, lookup)? == value(right, lookup)?,
        E::NotEqual { left, right } => value(left, lookup)? != value(right, lookup)?,
        E::Match { left, right } => is_match(left, right, lookup)?,
        E::NotMatch { left, right } => !is_match(left, right, lookup)?,
        E::Variable { .. } | E::String { .. } => {
            value(expression, lookup)?.is_some_and(|text| !text.is_empty())
        }
        E::Null => false,
        E::Regex { .. } => true,
    })
}

/// The value of an operand; `None` is null. A truth value is `true` or `false`.
fn value(
    expression: &Expression,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, EvaluateError> {
    Ok(match expression {
        Expression::Variable { name } => lookup(name),
        Expression::String { value } => Some(value.clone()),
        Expression::Regex { pattern, flags } => Some(format!("/{pattern}/{flags}")),
        Expression::Null => None,
        other => Some(evaluate(other, lookup)?.to_string()),
    })
}

fn is_match(
    left: &Expression,
    right: &Expression,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<bool, EvaluateError> {
    let (pattern, flags) = match right {
        Expression::Regex { pattern, flags } => (pattern.clone(), flags.clone()),
        other => match value(other, lookup)? {
            Some(text) if !text.is_empty() => pattern_of(&text),
            _ => return Ok(false),
        },
    };
    let regex = pattern::compile(&pattern, &flags)
        .map_err(|source| EvaluateError::Pattern { text: format!("/{pattern}/{flags}"), source })?;
    Ok(value(left, lookup)?.is_some_and(|text| regex.is_match(&text)))
}

/// A variable holds `/pattern/flags`, or a bare pattern.
fn pattern_of(text: &str) -> (String, String) {
    let inner = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    match inner {
        Some((pattern, flags)) => (pattern.replace("\\/", "/"), flags.to_owned()),
        None => (text.to_owned(), String::new()),
    }
}
