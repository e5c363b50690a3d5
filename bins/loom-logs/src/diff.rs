//! `loom logs diff`: what changed between two runs.

use std::fmt::Write as _;

use libloom_console::{Label, Paint, printable};
use libloom_contract::{Reason, Status, exit, layout::Layout};
use libloom_entry::{Context, Failure};
use serde::Serialize;

use crate::{
    tree::{JobTree, StepTree, Tree, load},
    words,
};

/// A change of time below this is noise, whatever its share.
const NOISE_MS: u64 = 100;

/// Compare two runs: outcome, duration, jobs and steps
///
/// A change of duration counts if it is at least the threshold's share of the first run's, and at
/// least 100 ms. The exit code is 0; with --exit-code it is 1 where an outcome changed.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Id of the first run, a part of one, or `latest`
    from: String,
    /// Id of the second run
    to: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Smallest change of duration that counts, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    threshold: u32,
    /// Exit with 1 if the outcome of the run, a job or a step changed
    #[arg(long)]
    exit_code: bool,
}

/// What changed, as the JSON form shows it. Jobs and steps in which nothing did are left out.
#[derive(Debug, Serialize)]
struct Difference {
    kind: &'static str,
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Change<Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<Change<u64>>,
    jobs: Vec<JobDifference>,
    jobs_unchanged: usize,
}

/// Before and after; one of them is absent for what was added or removed.
#[derive(Debug, Serialize)]
struct Change<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Outcome {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
}

/// Whether something is in both runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Presence {
    Added,
    Removed,
    Changed,
}

#[derive(Debug, Serialize)]
struct JobDifference {
    job_id: String,
    change: Presence,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Change<Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<Change<u64>>,
    steps: Vec<StepDifference>,
}

#[derive(Debug, Serialize)]
struct StepDifference {
    step: String,
    change: Presence,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Change<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Change<Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<Change<u64>>,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let from = load(layout, Some(&arguments.from), context)?;
    let to = load(layout, Some(&arguments.to), context)?;
    let difference = difference(&from, &to, arguments.threshold);
    match arguments.json {
        true => context.console.json(&difference)?,
        false => context.console.out(&text(&difference, context.console.out_paint()))?,
    }
    let differs = arguments.exit_code && difference.has_other_outcome();
    Ok(if differs { exit::NO } else { exit::DONE })
}

impl Difference {
    fn has_other_outcome(&self) -> bool {
        let job = |job: &JobDifference| {
            job.outcome.is_some() || job.steps.iter().any(|step| step.outcome.is_some())
        };
        self.outcome.is_some() || self.jobs.iter().any(job)
    }
}

fn difference(from: &Tree, to: &Tree, threshold: u32) -> Difference {
    let ids =
        |tree: &Tree| tree.jobs.iter().map(|job| job.entry.job_id.clone()).collect::<Vec<_>>();
    let all = both(&ids(from), &ids(to));
    let job = |tree: &'_ Tree, id: &str| tree.jobs.iter().position(|job| job.entry.job_id == id);
    let jobs: Vec<JobDifference> = all
        .iter()
        .filter_map(|id| {
            let old = job(from, id).map(|place| &from.jobs[place]);
            let new = job(to, id).map(|place| &to.jobs[place]);
            of_job(id, old, new, threshold)
        })
        .collect();
    let [old, new] = [from, to].map(|tree| &tree.receipt);
    let outcome = |receipt: &libloom_contract::receipt::RunReceipt| Outcome {
        status: receipt.status,
        reason: receipt.reason,
        exit_code: Some(receipt.exit_code),
    };
    Difference {
        kind: "loom-run-difference",
        from: old.run_id.clone(),
        to: new.run_id.clone(),
        outcome: change(Some(outcome(old)), Some(outcome(new))),
        duration_ms: slower(Some(old.duration_ms), Some(new.duration_ms), threshold),
        jobs_unchanged: all.len() - jobs.len(),
        jobs,
    }
}

/// All names of two lists, those that are only in the first in their place.
fn both(old: &[String], new: &[String]) -> Vec<String> {
    let removed = old.iter().filter(|name| !new.contains(name));
    new.iter().chain(removed).cloned().collect()
}

fn of_job(
    id: &str,
    old: Option<&JobTree>,
    new: Option<&JobTree>,
    threshold: u32,
) -> Option<JobDifference> {
    let outcome = |job: &JobTree| Outcome {
        status: job.entry.status,
        reason: job.entry.reason,
        exit_code: job.summary.exit_code,
    };
    let time = |job: &JobTree| job.entry.duration_ms;
    let steps = match (old, new) {
        (Some(old), Some(new)) => steps(old, new, threshold),
        _ => Vec::new(),
    };
    let presence = presence(old, new);
    let outcome = change(old.map(outcome), new.map(outcome));
    let duration_ms = slower(old.map(time), new.map(time), threshold);
    let same = outcome.is_none() && duration_ms.is_none() && steps.is_empty();
    let change = (presence != Presence::Changed || !same).then_some(presence)?;
    Some(JobDifference { job_id: id.to_owned(), change, outcome, duration_ms, steps })
}

fn steps(old: &JobTree, new: &JobTree, threshold: u32) -> Vec<StepDifference> {
    let names = |job: &JobTree| {
        job.steps.iter().map(|step| step.summary.step.clone()).collect::<Vec<String>>()
    };
    let find = |job: &JobTree, name: &str| job.steps.iter().position(|s| s.summary.step == name);
    let all = both(&names(old), &names(new));
    let difference = |name: &String| {
        let before = find(old, name).map(|place| &old.steps[place]);
        let after = find(new, name).map(|place| &new.steps[place]);
        of_step(name, before, after, threshold)
    };
    all.iter().filter_map(difference).collect()
}

fn of_step(
    name: &str,
    old: Option<&StepTree>,
    new: Option<&StepTree>,
    threshold: u32,
) -> Option<StepDifference> {
    let outcome = |step: &StepTree| Outcome {
        status: step.summary.status,
        reason: step.summary.reason,
        exit_code: step.summary.exit_code,
    };
    let time = |step: &StepTree| step.summary.duration_ms;
    let command = |step: &StepTree| step.summary.command.clone();
    let presence = presence(old, new);
    let command = change(old.map(command), new.map(command));
    let outcome = change(old.map(outcome), new.map(outcome));
    let duration_ms = slower(old.map(time), new.map(time), threshold);
    let same = command.is_none() && outcome.is_none() && duration_ms.is_none();
    let change = (presence != Presence::Changed || !same).then_some(presence)?;
    Some(StepDifference { step: name.to_owned(), change, command, outcome, duration_ms })
}

fn presence<T>(old: Option<T>, new: Option<T>) -> Presence {
    match (old, new) {
        (None, _) => Presence::Added,
        (_, None) => Presence::Removed,
        _ => Presence::Changed,
    }
}

fn change<T: PartialEq>(from: Option<T>, to: Option<T>) -> Option<Change<T>> {
    (from != to).then_some(Change { from, to })
}

/// Two durations that differ by more than noise.
fn slower(from: Option<u64>, to: Option<u64>, threshold: u32) -> Option<Change<u64>> {
    let (before, after) = (from?, to?);
    let apart = before.abs_diff(after);
    let share = u128::from(apart) * 100 >= u128::from(before) * u128::from(threshold);
    (apart >= NOISE_MS && share).then_some(Change { from, to })
}

fn text(difference: &Difference, paint: Paint) -> String {
    let name = |id: &str| paint.paint(Label::Name, printable(id).into_owned()).to_string();
    let mut text = format!("run {} → {}", name(&difference.from), name(&difference.to));
    push(&mut text, difference.outcome.as_ref(), difference.duration_ms.as_ref(), paint);
    text.push('\n');
    for job in &difference.jobs {
        let _ = write!(text, "job {}: {}", name(&job.job_id), presence_word(job.change));
        push(&mut text, job.outcome.as_ref(), job.duration_ms.as_ref(), paint);
        text.push('\n');
        for step in &job.steps {
            let _ = write!(text, "  step {}: {}", step.step, presence_word(step.change));
            push(&mut text, step.outcome.as_ref(), step.duration_ms.as_ref(), paint);
            text.push('\n');
            if let Some(Change { from, to }) = &step.command {
                let lines = [('-', from), ('+', to)];
                for (sign, command) in lines {
                    let Some(command) = command else { continue };
                    let _ = writeln!(text, "    {sign} $ {}", printable(command));
                }
            }
        }
    }
    let _ = match difference.jobs_unchanged {
        0 => Ok(()),
        1 => writeln!(text, "1 job unchanged"),
        count => writeln!(text, "{count} jobs unchanged"),
    };
    text
}

fn presence_word(presence: Presence) -> &'static str {
    match presence {
        Presence::Added => "added",
        Presence::Removed => "removed",
        Presence::Changed => "changed",
    }
}

/// `, failure (step failed), exit code 3 → success, 1.0 s → 2.0 s (+100 %)`.
fn push(
    text: &mut String,
    outcome: Option<&Change<Outcome>>,
    duration: Option<&Change<u64>>,
    paint: Paint,
) {
    let word = |outcome: &Outcome| {
        let code = outcome.exit_code.filter(|code| *code != 0);
        let code = code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        let said = words::outcome(outcome.status, outcome.reason);
        format!("{}{code}", paint.paint(words::label(outcome.status), said))
    };
    if let Some(Change { from, to }) = outcome {
        let said = [from, to].map(|outcome| outcome.as_ref().map(word));
        let said: Vec<String> = said.into_iter().flatten().collect();
        let _ = write!(text, ", {}", said.join(" → "));
    }
    if let Some(Change { from: Some(from), to: Some(to) }) = duration {
        let (before, after) = (words::duration(*from), words::duration(*to));
        let percent = (*to as f64 / (*from).max(1) as f64 - 1.0) * 100.0;
        let _ = write!(text, ", {before} → {after} ({percent:+.0} %)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_of_time_are_noise() {
        let counts = |from, to, threshold| slower(Some(from), Some(to), threshold).is_some();
        assert!(counts(1_000, 1_200, 20) && counts(1_000, 800, 20) && counts(0, 100, 20));
        assert!(!counts(1_000, 1_199, 20) && !counts(10, 100, 20) && !counts(0, 99, 20));
        assert!(counts(10_000, 10_100, 1) && !counts(10_000, 10_100, 2));
        assert!(slower(None, Some(5_000), 20).is_none());
    }

    #[test]
    fn added_and_removed_names_are_all_there() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(both(&names("a b c"), &names("b d")), ["b", "d", "a", "c"]);
    }
}
