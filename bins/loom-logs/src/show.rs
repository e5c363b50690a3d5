//! `loom logs show`: the output of a run, a job or a step, for reading or byte for byte.

use libloom_console::printable;
use libloom_contract::{event::Stream, exit, layout::Layout};
use libloom_entry::{Context, Failure};
use libloom_record::read;
use regex::Regex;

use crate::{
    follow, resolve,
    select::{SelectedJob, select},
    shown::{Pick, Shown},
    when::{self, When},
};

/// Show the output of a run's steps, in order
///
/// For reading: with a heading for each job and step, control characters escaped, colours only
/// on a terminal, and of a line that was drawn over its last state. `--raw` writes the exact
/// bytes of one stream and nothing else. `--follow` shows a run that is in progress, every line
/// behind its job's name, until the run ends. With `--grep` the exit code is 1 where no line
/// matches.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Id of the run, a part of one, or `latest`
    pub(crate) run: Option<String>,
    /// Only this job
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Only this step: its number in `script`, a path such as `before_script/1`, or a whole list
    /// such as `after_script`
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// An earlier attempt at a job that was tried again, from 1
    #[arg(long, value_name = "N", requires = "job", conflicts_with = "follow")]
    pub(crate) attempt: Option<u32>,
    /// Write the exact bytes of one stream, standard output unless --stderr is given
    #[arg(long, conflicts_with = "grep")]
    pub(crate) raw: bool,
    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) stdout: bool,
    /// Only standard error; with --raw it, too, goes to stdout
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only output from then on: an age such as 5m, or a time
    #[arg(long, value_name = "AGE|TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// Only lines that match a regular expression
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    pub(crate) grep: Option<Regex>,
    /// Show a run in progress until it ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

impl Arguments {
    /// Which output is wanted.
    pub(crate) fn pick(&self) -> Pick<'_> {
        let stream = match (self.stdout, self.stderr) {
            (_, true) => Some(Stream::Stderr),
            (false, false) if !self.raw => None,
            _ => Some(Stream::Stdout),
        };
        let since = self.since.map(When::moment);
        Pick { stream, since, grep: self.grep.as_ref() }
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    if arguments.follow {
        return follow::run(arguments, layout, context);
    }
    let run_id = resolve(layout, arguments.run.as_deref())?;
    let run = layout.run(&run_id);
    let Arguments { job, step, attempt, .. } = arguments;
    let selected = select(&run, job.as_deref(), step.as_deref(), *attempt)?;
    if selected.iter().all(SelectedJob::is_empty) {
        context.console.note(nothing(layout, &run_id));
        return Ok(exit::DONE);
    }
    let mut shown = Shown::new(&context.console, arguments.pick());
    for job in &selected {
        match arguments.raw {
            true => shown.raw_job(job)?,
            false => shown.job(job)?,
        }
    }
    shown.flush()?;
    if arguments.grep.is_some() && !shown.found() {
        context.console.note("no line matches");
        return Ok(exit::NO);
    }
    Ok(exit::DONE)
}

/// What a run without any step says for itself.
fn nothing(layout: &Layout, run_id: &str) -> String {
    match read::state(layout, run_id) {
        read::RunState::Finished(receipt) => match receipt.error {
            Some(error) => format!("no step began: {}", printable(&error)),
            None => "no step began".into(),
        },
        read::RunState::Running => "no step began yet; `--follow` waits for it".into(),
        _ => "no step began".into(),
    }
}
