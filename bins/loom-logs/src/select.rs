//! Which jobs and steps of a run a command line means.

use std::path::PathBuf;

use libloom_console::printable;
use libloom_contract::{
    graph::ScriptSection,
    layout::{JobLayout, RunLayout},
};
use libloom_entry::{Failure, OrFail};

use crate::steps::{StepRecord, jobs, parse, parse_list, steps};

/// Most job names that an error lists.
const LISTED_MAX: usize = 20;

/// One job whose output is wanted.
#[derive(Debug)]
pub(crate) struct SelectedJob {
    pub(crate) id: String,
    pub(crate) steps: Vec<StepRecord>,
    /// Output of no step, where all of the job is wanted and there is any.
    pub(crate) outside: Option<PathBuf>,
}

impl SelectedJob {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// The steps that someone named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    List(ScriptSection),
    Step(String),
}

impl Wanted {
    /// Reads `3`, `script/03` or `before_script`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Wanted::All) };
        let list = parse_list(text).map(Wanted::List);
        let step = || parse(text).map(|step| Wanted::Step(step.path()));
        list.or_else(step).ok_or_else(|| {
            let what = format!("`{}` names no step", printable(text));
            Failure::usage(what)
                .hint("write a number, a path such as `before_script/1`, or `after_script`")
        })
    }

    /// Whether a step such as `script/02` is among them.
    pub(crate) fn includes(&self, step: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::List(list) => step.split('/').next() == Some(list.word()),
            Wanted::Step(wanted) => step == wanted,
        }
    }
}

/// The jobs of a run with the steps that are wanted, in order.
pub(crate) fn select(
    run: &RunLayout,
    job: Option<&str>,
    step: Option<&str>,
    attempt: Option<u32>,
) -> Result<Vec<SelectedJob>, Failure> {
    let wanted = Wanted::parse(step)?;
    let ids = selected_jobs(run, job, wanted != Wanted::All)?;
    ids.into_iter().map(|id| selected(&attempt_of(run, &id, attempt)?, id, &wanted)).collect()
}

/// The folder of a job, or of an earlier attempt at it.
fn attempt_of(run: &RunLayout, id: &str, attempt: Option<u32>) -> Result<JobLayout, Failure> {
    let job = run.job(id);
    let earlier = (1..).take_while(|number| job.attempt(*number).folder().exists()).count();
    match attempt {
        Some(number) if (1..=earlier).contains(&(number as usize)) => Ok(job.attempt(number)),
        Some(number) if number as usize != earlier + 1 => {
            let what = format!("there was no attempt {number} at job `{}`", printable(id));
            Err(Failure::could_not(what).hint(format!("attempts: {}", earlier + 1)))
        }
        _ => Ok(job),
    }
}

fn selected(job: &JobLayout, id: String, wanted: &Wanted) -> Result<SelectedJob, Failure> {
    let mut steps = steps(job).or_could_not(format_args!("cannot read job `{id}`"))?;
    steps.retain(|step| wanted.includes(&step.step));
    if steps.is_empty() && *wanted != Wanted::All {
        return Err(no_such_step(job, &id, wanted));
    }
    let events = job.execution_events();
    let outside = (*wanted == Wanted::All && events.exists()).then_some(events);
    Ok(SelectedJob { id, steps, outside })
}

fn selected_jobs(run: &RunLayout, job: Option<&str>, of_one: bool) -> Result<Vec<String>, Failure> {
    let ids = jobs(run).or_could_not("cannot read the run's jobs")?;
    match job {
        Some(job) if ids.iter().any(|id| id == job) => Ok(vec![job.to_owned()]),
        Some(job) => Err(no_such_job(run, job, &ids)),
        None if of_one && ids.len() > 1 => {
            Err(Failure::usage("`--step` needs `--job` in a run of several jobs").hint(names(&ids)))
        }
        None => Ok(ids),
    }
}

pub(crate) fn no_such_job(run: &RunLayout, job: &str, ids: &[String]) -> Failure {
    let what = format!("run `{}` has no job `{}`", run.run_id(), printable(job));
    Failure::could_not(what).hint(names(ids))
}

fn names(ids: &[String]) -> String {
    let listed = ids.iter().take(LISTED_MAX).map(|id| printable(id)).collect::<Vec<_>>();
    let more = if ids.len() > LISTED_MAX { ", …" } else { "" };
    match ids.is_empty() {
        true => "it has no jobs".into(),
        false => format!("its jobs are {}{more}", listed.join(", ")),
    }
}

fn no_such_step(job: &JobLayout, job_id: &str, wanted: &Wanted) -> Failure {
    let name = match wanted {
        Wanted::Step(step) => step.as_str(),
        Wanted::List(list) => list.word(),
        Wanted::All => "any",
    };
    let what = format!("step `{name}` of job `{job_id}` never began, or is not there");
    let began = steps(job).unwrap_or_default();
    let began: Vec<String> = began.into_iter().map(|step| step.step).collect();
    let failure = Failure::could_not(what);
    match began.is_empty() {
        true => failure.hint("no step of the job began"),
        false => failure.hint(format!("steps that began: {}", began.join(", "))),
    }
}
