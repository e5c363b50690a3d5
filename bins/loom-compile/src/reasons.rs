//! An evaluation for people: each decision, then each rule that was looked at with its parts.

use std::fmt::Write as _;

use libloom_console::printable;
use libloom_contract::evaluation::{Decision, Evaluation, JobEvaluation, RuleTrace};
use libloom_contract::graph::When;
use libloom_contract::snapshot::Facts;

/// Most paths shown of one `changes`.
const MAX_PATHS: usize = 10;

/// All decisions, in order of the graph.
pub(crate) fn text(evaluation: &Evaluation) -> String {
    let mut text = facts(&evaluation.facts);
    if let Some(decision) = &evaluation.workflow {
        let verdict = if decision.rule.is_some() { "jobs run" } else { "all jobs are skipped" };
        let _ = writeln!(text, "\nworkflow.rules: {verdict}: {}", decision.reason);
        rules(&mut text, decision);
    }
    for job in &evaluation.jobs {
        let reason = job.reason.as_deref().unwrap_or("it has no rules");
        let _ = writeln!(text, "\n{}: {}: {reason}", printable(&job.label), verdict(job));
        if let Some(decision) = &job.decision {
            rules(&mut text, decision);
        }
        for (name, value) in &job.variables {
            let _ = writeln!(text, "  gets {name}={value:?}");
        }
    }
    text
}

fn facts(facts: &Facts) -> String {
    let unknown = "none".to_owned();
    let short = |sha: &String| sha.chars().take(8).collect::<String>();
    let mut text = format!(
        "branch {}, tag {}, commit {}\n",
        facts.branch.as_ref().unwrap_or(&unknown),
        facts.tag.as_ref().unwrap_or(&unknown),
        facts.head_sha.as_ref().map_or(unknown.clone(), short),
    );
    if let (Some(base), Some(changed)) = (&facts.base_sha, &facts.changed) {
        let paths = if changed.len() == 1 { "path differs" } else { "paths differ" };
        let _ = writeln!(text, "{} {paths} from {}", changed.len(), short(base));
    }
    text
}

fn verdict(job: &JobEvaluation) -> String {
    let word = match (job.included, job.when) {
        (false, _) | (_, When::Never) => return "left out".to_owned(),
        (true, When::OnSuccess) => "runs",
        (true, When::OnFailure) => "runs on failure",
        (true, When::Always) => "runs always",
        (true, When::Manual) => "waits to be started by hand",
    };
    match &job.allow_failure {
        None => word.to_owned(),
        Some(_) => format!("{word}, may fail"),
    }
}

fn rules(text: &mut String, decision: &Decision) {
    for (index, rule) in decision.rules.iter().enumerate() {
        let place = rule.position.as_ref();
        let place = place.map(|at| format!(" ({}:{}:{})", at.file, at.line, at.column));
        let verdict = if rule.matches { "matches" } else { "does not match" };
        let _ = writeln!(text, "  rule {}{} {verdict}", index + 1, place.unwrap_or_default());
        parts(text, rule);
    }
}

fn parts(text: &mut String, rule: &RuleTrace) {
    if let Some(condition) = &rule.condition {
        let _ = writeln!(text, "    if {}: {}", printable(&condition.text), yes(condition.holds));
        for (name, value) in &condition.variables {
            let _ = match value {
                Some(value) => writeln!(text, "      ${name} is {value:?}"),
                None => writeln!(text, "      ${name} is not set"),
            };
        }
    }
    if let Some(changes) = &rule.changes {
        let globs = changes.globs.join(", ");
        let _ = writeln!(text, "    changes {}: {}", printable(&globs), yes(changes.holds));
        if !changes.comparable {
            text.push_str("      there is nothing to compare with\n");
        }
        for path in changes.matched.iter().take(MAX_PATHS) {
            let _ = writeln!(text, "      {}", printable(path));
        }
        if changes.matched.len() > MAX_PATHS {
            let _ = writeln!(text, "      and {} more", changes.matched.len() - MAX_PATHS);
        }
    }
    if let Some(exists) = &rule.exists {
        let globs = exists.globs.join(", ");
        let _ = writeln!(text, "    exists {}: {}", printable(&globs), yes(exists.holds));
        if let Some(path) = &exists.matched {
            let _ = writeln!(text, "      {}", printable(path));
        }
    }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}
