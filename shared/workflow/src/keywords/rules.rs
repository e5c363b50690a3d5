//! `workflow.rules` and job `rules`, with their conditions parsed.

use libloom_contract::graph::{Condition, Expression, Rule, When};

use crate::check::{Checker, MAX_PATTERNS, inside};
use crate::keywords::{artifacts, policy, variables};
use crate::problem::{Problem, code};
use crate::tree::{Kind, Node};

const JOB_KEYS: &[&str] = &["if", "changes", "exists", "when", "allow_failure", "variables"];

/// The value of the root key `workflow`; its texts are those of the reference.
pub(crate) fn workflow(check: &mut Checker<'_>, node: &Node) -> Vec<Rule> {
    let Some(fields) = check.mapping(node, "workflow") else { return Vec::new() };
    for entry in fields.iter().filter(|entry| &*entry.key != "rules") {
        let message = "remove unknown key; workflow only allows key rules";
        check.note(Problem::error(entry.key_mark, message));
    }
    let Some(rules) = fields.get("rules") else { return Vec::new() };
    let Some(items) = rules.as_sequence() else {
        if rules.kind() != Kind::Refused {
            let message = "set workflow.rules to a sequence of {if: ...} entries";
            check.note(Problem::error(rules.mark, message));
        }
        return Vec::new();
    };
    items.iter().filter_map(|item| workflow_rule(check, item)).collect()
}

fn workflow_rule(check: &mut Checker<'_>, node: &Node) -> Option<Rule> {
    let Some(fields) = node.as_mapping() else {
        if node.kind() != Kind::Refused {
            let message = "set workflow.rules to a sequence of {if: ...} entries";
            check.note(Problem::error(node.mark, message));
        }
        return None;
    };
    for entry in fields.iter().filter(|entry| &*entry.key != "if") {
        let message = "remove unknown key; workflow rules only allow key if";
        check.note(Problem::error(entry.key_mark, message));
    }
    let Some(value) = fields.get("if") else {
        check.note(Problem::error(node.mark, "add required key if to workflow rule"));
        return None;
    };
    if value.as_string().is_none_or(|text| text.trim().is_empty()) {
        if value.kind() != Kind::Refused {
            let message = "set workflow.rules[].if to a non-empty string condition";
            check.note(Problem::error(value.mark, message));
        }
        return None;
    }
    let condition = Some(condition(check, value)?);
    Some(Rule { condition, position: Some(check.sources.position(node.mark)), ..Rule::default() })
}

/// `rules` of a job.
pub(crate) fn job(check: &mut Checker<'_>, node: &Node) -> Vec<Rule> {
    let Some(items) = check.sequence(node, "rules") else { return Vec::new() };
    let rules: Vec<Rule> = items.iter().filter_map(|item| job_rule(check, item)).collect();
    if !rules.is_empty() && !can_run(&rules) {
        let problem =
            Problem::warning(code::NEVER_RUNS, node.mark, "with these rules the job never runs");
        check.note(problem.fix("add a rule without when: never, or remove the job"));
    }
    rules
}

/// Whether some facts make a rule match that lets the job run.
fn can_run(rules: &[Rule]) -> bool {
    for rule in rules {
        let constant = match &rule.condition {
            None => Some(true),
            // One that cannot be parsed has no text.
            Some(Condition { text: None, .. }) => None,
            Some(condition) => libloom_rules::constant(&condition.expression),
        };
        let asks_no_more = rule.changes.is_none() && rule.exists.is_none();
        match constant {
            Some(false) => {}
            _ if rule.when != Some(When::Never) => return true,
            // The rules below it are never looked at.
            Some(true) if asks_no_more => return false,
            _ => {}
        }
    }
    false
}

fn job_rule(check: &mut Checker<'_>, node: &Node) -> Option<Rule> {
    let fields = check.mapping(node, "rules[]")?;
    check.unknown_keys(fields, JOB_KEYS, "in rule");
    if fields.entries.is_empty() {
        check.note(Problem::error(node.mark, "empty rule").fix("add if, changes, exists or when"));
    }
    let mut rule = Rule { position: Some(check.sources.position(node.mark)), ..Rule::default() };
    if let Some(value) = fields.get("if")
        && check.name(value, "rules[].if").is_some()
    {
        rule.condition = condition(check, value);
    }
    for (key, place) in [("changes", &mut rule.changes), ("exists", &mut rule.exists)] {
        if let Some(value) = fields.get(key) {
            let name = format!("rules[].{key}");
            artifacts::check_globs(check, value, &name);
            *place = check.some_texts(value, &name);
        }
    }
    if let Some(value) = fields.get("when") {
        rule.when = policy::when_of_rule(check, value);
    }
    if let Some(value) = fields.get("allow_failure") {
        rule.allow_failure = check.boolean(value, "rules[].allow_failure");
    }
    if let Some(value) = fields.get("variables") {
        rule.variables = variables::plain(check, value, "rules[].variables");
    }
    Some(rule)
}

/// Parses the text of a condition; a mistake is shown at its own place within the text.
fn condition(check: &mut Checker<'_>, node: &Node) -> Option<Condition> {
    let text = node.as_string()?;
    let Some(parsed) = check.condition(text) else {
        let message = format!("the conditions hold more than {MAX_PATTERNS} regular expressions");
        check.note(Problem::error(node.mark, message).code(code::LIMIT).fix("use fewer"));
        return Some(Condition { text: None, expression: Expression::Null });
    };
    match parsed {
        Ok(expression) => Some(Condition { text: Some(text.to_owned()), expression }),
        Err(error) => {
            let mark = inside(node, check.sources.slice(node.mark), error.range.clone());
            let problem = Problem::error(mark, format!("invalid condition: {}", error.message));
            // Some messages say the mend already.
            let says_how = error.message.contains("write `");
            let problem = problem.code(code::RULE_SYNTAX);
            check.note(match says_how {
                true => problem,
                false => problem.fix("write it as $NAME == \"value\" && $OTHER =~ /pattern/"),
            });
            Some(Condition { text: None, expression: Expression::Null })
        }
    }
}
