//! Lists of rules: the first that matches decides.

use libloom_contract::graph::Rule;

use crate::{EvaluateError, GlobError, Globs, evaluate};

/// What rules are decided against.
pub struct Facts<'a> {
    /// Value of a variable; `None` when it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Changed files, relative with `/`; `None` when there is nothing to compare with, and then
    /// every `changes` is true.
    pub changed: Option<&'a [String]>,
    /// Whether a file of the workspace matches one of the globs.
    pub exists: &'a dyn Fn(&Globs) -> bool,
}

/// Which rule of a list decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Index of the first rule that matches; `None` when none does.
    pub rule: Option<usize>,
    /// For people, such as `rule 2 matches: $CI_COMMIT_TAG`.
    pub reason: String,
}

/// Why rules could not be decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// A condition could not be evaluated.
    #[error(transparent)]
    Condition(#[from] EvaluateError),
    /// A glob is malformed.
    #[error(transparent)]
    Glob(#[from] GlobError),
}

/// Finds the first rule that matches.
///
/// # Errors
/// A condition or a glob that cannot be used, among the rules up to the first match.
pub fn decide(rules: &[Rule], facts: &Facts<'_>) -> Result<Decision, DecideError> {
    for (index, rule) in rules.iter().enumerate() {
        if matches(rule, facts)? {
            let reason = format!("rule {} matches: {}", index + 1, describe(rule));
            return Ok(Decision { rule: Some(index), reason });
        }
    }
    let reason = match rules.len() {
        1 => "its only rule does not match".to_owned(),
        count => format!("none of its {count} rules matches"),
    };
    Ok(Decision { rule: None, reason })
}

/// Whether all parts of one rule hold.
///
/// # Errors
/// As [`decide`].
pub fn matches(rule: &Rule, facts: &Facts<'_>) -> Result<bool, DecideError> {
    if let Some(condition) = &rule.condition
        && !evaluate(&condition.expression, facts.variable)?
    {
        return Ok(false);
    }
    if let (Some(globs), Some(changed)) = (&rule.changes, facts.changed) {
        let globs = Globs::new(globs)?;
        if !changed.iter().any(|path| globs.matches(path)) {
            return Ok(false);
        }
    }
    match &rule.exists {
        Some(globs) => Ok((facts.exists)(&Globs::new(globs)?)),
        None => Ok(true),
    }
}

fn describe(rule: &Rule) -> String {
    let mut parts = Vec::new();
    if let Some(condition) = &rule.condition {
        let printed = || crate::print(&condition.expression);
        parts.push(condition.text.clone().unwrap_or_else(printed));
    }
    let lists = [("changes", &rule.changes), ("exists", &rule.exists)];
    for (word, globs) in lists {
        if let Some(globs) = globs {
            parts.push(format!("{word} {}", globs.join(", ")));
        }
    }
    if parts.is_empty() { "it has no condition".to_owned() } else { parts.join(" and ") }
}
