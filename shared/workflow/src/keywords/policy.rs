//! `when`, `allow_failure`, `timeout`, `retry`: when a job runs and what its failure means.

use libloom_contract::graph::{AllowFailure, Policy, Retry, When};

use crate::check::Checker;
use crate::problem::Problem;
use crate::quantity::duration_ms;
use crate::tree::{Kind, Mapping, Node};

const WHEN: &[(&str, When)] = &[
    ("on_success", When::OnSuccess),
    ("on_failure", When::OnFailure),
    ("always", When::Always),
    ("manual", When::Manual),
];

/// What an attempt can fail of, and the words that GitLab users know for it.
const RETRY_REASONS: &[(&str, &[&str])] = &[
    ("always", &[]),
    ("exit_code", &["exit_code"]),
    ("signal", &["signal"]),
    ("timeout", &["timeout"]),
    ("out_of_memory", &["out_of_memory"]),
    ("section_failed", &["section_failed"]),
    ("provider_unavailable", &["provider_unavailable"]),
    ("script_failure", &["exit_code", "signal"]),
    ("job_execution_timeout", &["timeout"]),
    ("runner_system_failure", &["section_failed", "provider_unavailable"]),
];

const MAX_RETRIES: i64 = 10;

/// All four keywords of a job.
pub(crate) fn policy(check: &mut Checker<'_>, fields: &Mapping) -> Policy {
    let mut policy = Policy::default();
    if let Some(node) = fields.get("when") {
        policy.when = check.word(node, "when", WHEN).unwrap_or(policy.when);
    }
    if let Some(node) = fields.get("allow_failure") {
        policy.allow_failure = allow_failure(check, node);
    }
    if let Some(node) = fields.get("timeout") {
        policy.timeout_ms = duration(check, node, "timeout");
    }
    if let Some(node) = fields.get("retry") {
        policy.retry = retry(check, node);
    }
    policy
}

/// `when` of a job rule, where `never` is possible too.
pub(crate) fn when_of_rule(check: &mut Checker<'_>, node: &Node) -> Option<When> {
    let words: Vec<_> = WHEN.iter().copied().chain([("never", When::Never)]).collect();
    check.word(node, "rules[].when", &words)
}

/// A duration longer than nothing, in milliseconds.
fn duration(check: &mut Checker<'_>, node: &Node, key: &str) -> Option<u64> {
    if note_without_unit(check, node, key) {
        return None;
    }
    let text = check.name(node, key)?;
    let found = duration_ms(text).filter(|ms| *ms > 0);
    if found.is_none() {
        let problem = Problem::error(node.mark, format!("\"{text}\" is not a duration"));
        check.note(problem.fix("write it as 90s, 5m or 1h30m"));
    }
    found
}

/// A bare number is no duration; whether it is one.
pub(crate) fn note_without_unit(check: &mut Checker<'_>, node: &Node, key: &str) -> bool {
    let Some(text) = node.as_text().filter(|_| node.kind() == Kind::Number) else { return false };
    let problem = Problem::error(node.mark, format!("\"{key}\" has no unit"));
    check.note(problem.fix(format!("write {text}s or {text}m")));
    true
}

fn allow_failure(check: &mut Checker<'_>, node: &Node) -> Option<AllowFailure> {
    let Some(fields) = node.as_mapping() else {
        let allowed = check.boolean(node, "allow_failure")?;
        return allowed.then(|| AllowFailure { exit_codes: Vec::new() });
    };
    check.unknown_keys(fields, &["exit_codes"], "in allow_failure");
    let Some(codes) = fields.get("exit_codes") else {
        check.missing(node.mark, "exit_codes", "in allow_failure");
        return None;
    };
    let one = std::slice::from_ref(codes);
    let items = if codes.kind() == Kind::Number {
        one
    } else {
        check.sequence(codes, "allow_failure.exit_codes")?
    };
    if items.is_empty() {
        let problem = Problem::error(codes.mark, "\"allow_failure.exit_codes\" is empty");
        check.note(problem.fix("list exit codes, or write allow_failure: true"));
        return None;
    }
    let code = |item| check.integer(item, "allow_failure.exit_codes", 1..=255);
    let mut exit_codes: Vec<i32> =
        items.iter().filter_map(code).filter_map(|code| i32::try_from(code).ok()).collect();
    exit_codes.sort_unstable();
    exit_codes.dedup();
    Some(AllowFailure { exit_codes })
}

fn retry(check: &mut Checker<'_>, node: &Node) -> Option<Retry> {
    let Some(fields) = node.as_mapping() else {
        let max = retries(check, node)?;
        return (max > 0).then(|| Retry { max, when: Vec::new(), backoff_ms: None });
    };
    check.unknown_keys(fields, &["max", "when", "backoff"], "in retry");
    let when = fields.get("when").map(|node| retry_when(check, node)).unwrap_or_default();
    let backoff_ms = fields.get("backoff").and_then(|node| duration(check, node, "retry.backoff"));
    let max = match fields.get("max") {
        Some(node) => retries(check, node)?,
        None => {
            check.missing(node.mark, "max", "in retry");
            return None;
        }
    };
    (max > 0).then_some(Retry { max, when, backoff_ms })
}

fn retries(check: &mut Checker<'_>, node: &Node) -> Option<u32> {
    check.integer(node, "retry", 0..=MAX_RETRIES).and_then(|max| u32::try_from(max).ok())
}

/// Reasons by the contract's words; empty for `always`.
fn retry_when(check: &mut Checker<'_>, node: &Node) -> Vec<String> {
    let words = match node.kind() {
        Kind::String => vec![(node.as_text().unwrap_or_default().to_owned(), node.mark)],
        _ => check.texts(node, "retry.when").unwrap_or_default(),
    };
    let mut reasons: Vec<String> = Vec::new();
    let mut always = false;
    for (word, mark) in words {
        let Some((_, meant)) = RETRY_REASONS.iter().find(|(known, _)| *known == word) else {
            let known = RETRY_REASONS.iter().map(|(known, _)| *known);
            let list = known.clone().collect::<Vec<_>>().join(", ");
            let problem =
                Problem::error(mark, format!("unknown value \"{word}\" for \"retry.when\""));
            let near = check.nearest(&word, known);
            check.note(problem.fix(format!("write one of {list}")).did_you_mean(near));
            continue;
        };
        always |= meant.is_empty();
        reasons.extend(meant.iter().map(|reason| (*reason).to_owned()));
    }
    reasons.sort_unstable();
    reasons.dedup();
    if always { Vec::new() } else { reasons }
}
