//! Warnings about how jobs follow one another: needs that others imply, jobs that never get to run.

use std::collections::{BTreeMap, HashMap, HashSet};

use libloom_contract::graph::{Need, Node, When};

use crate::check::Checker;
use crate::job::Draft;
use crate::problem::{Problem, code};
use crate::source::Mark;

/// Most steps along needs in one workflow; hostile ones would take any number.
const MAX_STEPS: usize = 1_000_000;

/// Warns of all of it. Mistakes in needs were noted before.
pub(crate) fn warn(check: &mut Checker<'_>, drafts: &[Draft], stages: &[String]) {
    let jobs: BTreeMap<&str, &Draft> =
        drafts.iter().map(|draft| (&*draft.node.id, draft)).collect();
    let mut steps = MAX_STEPS;
    for draft in drafts {
        warn_implied(check, draft, &jobs, &mut steps);
    }
    let used: HashSet<&str> = drafts.iter().map(|draft| &*draft.node.stage).collect();
    let first = stages.iter().find(|stage| used.contains(stage.as_str()));
    for draft in drafts {
        let nothing_before = match &draft.needs {
            Some(needs) => needs.is_empty(),
            None => first.is_some_and(|first| draft.node.stage == *first),
        };
        let only_after_failure = draft.node.policy.when == When::OnFailure;
        if nothing_before && only_after_failure && draft.node.rules.is_empty() {
            let message =
                format!("job \"{}\" never runs: nothing before it can fail", draft.node.id);
            let problem = Problem::warning(code::NEVER_RUNS, draft.mark, message);
            check.note(problem.fix("let it need a job, or move it to a later stage"));
        }
    }
}

/// Warns of needs that another need of the same job implies, where leaving them out changes
/// nothing: not what the job waits for, not which artifacts it asks for, not what a failure or a
/// rule on the way does.
fn warn_implied(
    check: &mut Checker<'_>,
    draft: &Draft,
    jobs: &BTreeMap<&str, &Draft>,
    steps: &mut usize,
) {
    let needs = draft.needs.as_deref().unwrap_or_default();
    if needs.len() < 2 || draft.node.policy.when != When::OnSuccess {
        return;
    }
    let own: HashMap<&str, (&Need, Mark)> =
        needs.iter().map(|(need, mark)| (&*need.job, (need, *mark))).collect();
    for (need, _) in needs.iter().filter(|(need, _)| !need.optional) {
        for (name, via) in firmly_needed(&need.job, jobs, steps) {
            let Some((other, mark)) = own.get(name) else { continue };
            if jobs.get(name).is_some_and(|job| asks_for_nothing(other, &job.node)) {
                note(check, (name, *mark), &need.job, via);
            }
        }
    }
}

fn asks_for_nothing(need: &Need, needed: &Node) -> bool {
    !need.artifacts || needed.artifacts.is_none()
}

fn note(check: &mut Checker<'_>, (name, mark): (&str, Mark), by: &str, via: Mark) {
    let message = format!("the need of \"{name}\" is implied by that of \"{by}\"");
    let problem = Problem::warning(code::IMPLIED_NEED, mark, message);
    check.note(problem.fix("remove it").related(via, "needed here already"));
}

/// The jobs that must have succeeded whenever `name` did, each with the need that says so. A job
/// that runs, or passes, in spite of what it needs ends the way.
fn firmly_needed<'d>(
    name: &str,
    jobs: &BTreeMap<&str, &'d Draft>,
    steps: &mut usize,
) -> Vec<(&'d str, Mark)> {
    let mut found = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut open: Vec<&Draft> = jobs.get(name).copied().into_iter().collect();
    while let Some(draft) = open.pop() {
        let policy = &draft.node.policy;
        let is_firm = policy.when == When::OnSuccess
            && policy.allow_failure.is_none()
            && draft.node.rules.is_empty();
        let needs = draft.needs.as_deref().filter(|_| is_firm).unwrap_or_default();
        for (need, mark) in needs.iter().filter(|(need, _)| !need.optional) {
            *steps = steps.saturating_sub(1);
            if *steps > 0 && seen.insert(&need.job) {
                found.push((&*need.job, *mark));
                open.extend(jobs.get(&*need.job));
            }
        }
    }
    found
}
