//! `--dry-run`: the plan of a run, as it comes about if every job that starts succeeds.

use std::time::{Duration, Instant};

use libloom_console::{Label, Table};
use libloom_contract::{
    Status, Timestamp, exit,
    graph::{Graph, Node, When},
};
use libloom_entry::{Context, Failure, OrFail as _};

use crate::{
    attempts,
    bootstrap::{self, Plan},
    cancel::Cancel,
    schedule::{Decision, Outcome, Schedule},
    settings::Settings,
    tell,
    verdict::Verdict,
};

/// Prints what would run and what would be skipped, and why.
///
/// # Errors
/// No descriptor is free, or stdout cannot be written to.
pub fn print(settings: Settings, context: &Context) -> Result<u8, Failure> {
    let cancel = Cancel::new().or_could_not("cannot prepare for a run")?;
    let run = settings.into_run(Timestamp::now(), cancel, context);
    let plan = match bootstrap::plan_without_copy(&run, &context.siblings) {
        Ok(plan) => plan,
        Err(trouble) => {
            tell(&trouble, context);
            return Ok(trouble.exit_code);
        }
    };
    let started = Instant::now();
    let left = left_out(&plan);
    let (count, took) = (left.len(), started.elapsed());
    let milliseconds = took.as_secs_f64() * 1000.0;
    context.console.detail(format_args!("scheduled {count} jobs in {milliseconds:.1} ms"));
    context.console.out(&table(&plan.graph, &left).render(context.console.out_paint()))?;
    let runs = left.iter().filter(|left| left.is_none()).count();
    context.console.status(format_args!(
        "{runs} of {count} jobs would run, {} at a time; nothing was copied or run",
        run.jobs
    ));
    Ok(exit::DONE)
}

/// Why each job would not run; `None` for those that would.
fn left_out(plan: &Plan) -> Vec<Option<Verdict>> {
    let mut left = vec![None; plan.graph.nodes.len()];
    let mut schedule = Schedule::new(&plan.graph, plan.starts.clone());
    while let Some(decision) = schedule.next() {
        match decision {
            Decision::Start(job) => {
                schedule.finished(job, Outcome { status: Status::Success, forgiven: false });
            }
            Decision::Leave(job, verdict) => left[job] = Some(verdict),
        }
    }
    left
}

fn table(graph: &Graph, left: &[Option<Verdict>]) -> Table {
    let mut table = Table::with_heading(&["STAGE", "JOB", "PROVIDER", "PLAN", "DETAILS"]);
    let mut stage = "";
    for (node, left) in graph.nodes.iter().zip(left) {
        let shown = if stage == node.stage { "" } else { &node.stage };
        stage = &node.stage;
        let (label, word, details) = match left {
            None => (Label::Success, "run", details(graph, node)),
            Some(verdict) => (Label::Skipped, "skip", verdict.message.clone().unwrap_or_default()),
        };
        table.labelled_row([
            (None, shown.to_owned()),
            (Some(Label::Name), node.label.clone()),
            (None, node.provider.word().to_owned()),
            (Some(label), word.to_owned()),
            (None, details),
        ]);
    }
    table
}

/// What is not plain about a job that would run.
fn details(graph: &Graph, node: &Node) -> String {
    let policy = &node.policy;
    let image = node.image.as_ref().and_then(|image| image.name.as_ref());
    let is_first = graph.stages.first() == Some(&node.stage);
    let needs = node.needs.as_ref().and_then(|needs| match needs.is_empty() {
        true => (!is_first).then(|| "at once".to_owned()),
        false => {
            let jobs: Vec<&str> = needs.iter().map(|need| need.job.as_str()).collect();
            Some(format!("after {}", jobs.join(", ")))
        }
    });
    let attempts = attempts::allowed(node);
    let details = [
        needs,
        image.map(|image| format!("image {image}")),
        (policy.when == When::Always).then(|| "whatever happens before".into()),
        policy.timeout_ms.map(|ms| format!("timeout {:?}", Duration::from_millis(ms))),
        (attempts > 1).then(|| format!("up to {attempts} attempts")),
        policy.allow_failure.as_ref().map(|_| "may fail".into()),
    ];
    details.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
