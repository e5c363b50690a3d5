//! Lists of rules: the first that matches decides.

use std::collections::BTreeMap;

use libloom_contract::evaluation::{
    ChangesTrace, ConditionTrace, Decision, ExistsTrace, RuleTrace,
};
use libloom_contract::graph::{Condition, Expression, Rule};

use crate::{EvaluateError, GlobError, Globs, evaluate};

/// What rules are decided against.
pub struct Facts<'a> {
    /// Value of a variable; `None` when it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Changed files, relative with `/`; `None` when there is nothing to compare with, and then
    /// every `changes` is true.
    pub changed: Option<&'a [String]>,
    /// A file of the workspace that matches one of the globs.
    pub exists: &'a dyn Fn(&Globs) -> Option<String>,
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
    let mut traces = Vec::new();
    for rule in rules {
        traces.push(look_at(rule, facts)?);
        if traces.last().is_some_and(|trace| trace.matches) {
            let number = traces.len();
            let reason = format!("rule {number} matches: {}", describe(rule));
            return Ok(Decision { rule: Some(number), reason, rules: traces });
        }
    }
    let reason = match rules.len() {
        1 => "its only rule does not match".to_owned(),
        count => format!("none of its {count} rules matches"),
    };
    Ok(Decision { rule: None, reason, rules: traces })
}

/// Looks at the parts of one rule up to the first that does not hold.
fn look_at(rule: &Rule, facts: &Facts<'_>) -> Result<RuleTrace, DecideError> {
    let mut trace = RuleTrace { position: rule.position.clone(), ..RuleTrace::default() };
    if let Some(condition) = &rule.condition {
        let condition = look_at_condition(condition, facts)?;
        let holds = condition.holds;
        trace.condition = Some(condition);
        if !holds {
            return Ok(trace);
        }
    }
    if let Some(globs) = &rule.changes {
        let changes = look_at_changes(globs, facts)?;
        let holds = changes.holds;
        trace.changes = Some(changes);
        if !holds {
            return Ok(trace);
        }
    }
    if let Some(globs) = &rule.exists {
        let matched = (facts.exists)(&Globs::new(globs)?);
        let holds = matched.is_some();
        trace.exists = Some(ExistsTrace { globs: globs.clone(), holds, matched });
        if !holds {
            return Ok(trace);
        }
    }
    trace.matches = true;
    Ok(trace)
}

fn look_at_condition(
    condition: &Condition,
    facts: &Facts<'_>,
) -> Result<ConditionTrace, DecideError> {
    let mut variables = BTreeMap::new();
    for name in names(&condition.expression) {
        variables.insert(name.to_owned(), (facts.variable)(name));
    }
    let holds = evaluate(&condition.expression, facts.variable)?;
    Ok(ConditionTrace { text: text_of(condition), holds, variables })
}

fn look_at_changes(globs: &[String], facts: &Facts<'_>) -> Result<ChangesTrace, DecideError> {
    let set = Globs::new(globs)?;
    let paths = facts.changed.into_iter().flatten();
    let matched: Vec<String> = paths.filter(|path| set.matches(path)).cloned().collect();
    let comparable = facts.changed.is_some();
    let holds = !comparable || !matched.is_empty();
    Ok(ChangesTrace { globs: globs.to_vec(), holds, comparable, matched })
}

/// What a condition that names no variable always says; `None` for one that does.
pub fn constant(expression: &Expression) -> Option<bool> {
    if !names(expression).is_empty() {
        return None;
    }
    evaluate(expression, &|_| None).ok()
}

/// The variables that an expression names. Its depth is bounded by the parser.
fn names(expression: &Expression) -> Vec<&str> {
    use Expression as E;
    match expression {
        E::Variable { name } => vec![name],
        E::String { .. } | E::Null | E::Regex { .. } => Vec::new(),
        E::Not { operand } => names(operand),
        E::Equal { left, right }
        | E::NotEqual { left, right }
        | E::Match { left, right }
        | E::NotMatch { left, right }
        | E::And { left, right }
        | E::Or { left, right } => [names(left), names(right)].concat(),
    }
}

fn text_of(condition: &Condition) -> String {
    let printed = || crate::print(&condition.expression);
    condition.text.clone().unwrap_or_else(printed)
}

fn describe(rule: &Rule) -> String {
    let mut parts: Vec<String> = rule.condition.iter().map(text_of).collect();
    let lists = [("changes", &rule.changes), ("exists", &rule.exists)];
    for (word, globs) in lists {
        if let Some(globs) = globs {
            parts.push(format!("{word} {}", globs.join(", ")));
        }
    }
    if parts.is_empty() { "it has no condition".to_owned() } else { parts.join(" and ") }
}
