//! Runs a workflow in an isolated workspace.
//!
//! The way of a run: read the command line ([`settings`]), open the record and become a guard and
//! a worker ([`guard`]), compile, snapshot and choose jobs ([`bootstrap`]), execute ([`pipeline`], deciding by
//! [`schedule`]), one job at a time from first phase to last ([`job`], [`execution`],
//! [`providers`]), and write the documents ([`worker`], [`documents`]).

mod aftermath;
mod again;
mod artifacts;
mod attempts;
mod bootstrap;
mod cancel;
mod child;
mod display;
mod documents;
mod dry_run;
mod execution;
mod extraction;
mod guard;
mod isolate;
mod job;
mod joblog;
mod missed;
mod pipeline;
mod place;
mod processes;
mod providers;
mod repeat;
mod reports;
mod rules;
mod run;
mod schedule;
mod secrets;
mod selection;
mod settings;
mod shell;
mod slots;
mod steps;
mod tree;
mod verdict;
mod visit;
mod worker;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Parser;
use libloom_contract::{Status, layout::Layout};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_record::{complete::complete, lock};
use libloom_secrets::files;
use libloom_variables::Override;

use crate::{
    again::AgainArgs,
    bootstrap::Trouble,
    cancel::{Cancel, Cause, Level},
    documents::Outcome,
    guard::Role,
    place::Place,
    providers::docker::options::DockerArgs,
    repeat::RepeatArgs,
    run::Run,
    selection::SelectionArgs,
    settings::Settings,
};

/// Runs the repository's workflow in an isolated workspace.
///
/// Every run makes a disposable copy of the repository as it is now (uncommitted work included,
/// files ignored by git left out), runs the workflow's jobs in it, and leaves a receipt and a
/// logs tree under .loom/.runtime.
///
/// Exit codes: 0 every job that had to succeed did; 1 a job failed or the workflow is invalid;
/// 2 wrong command line; 3 it could not be run; 130 and 143 interrupted.
#[derive(Debug, Parser)]
#[command(name = "loom-run", about = "Runs the repository's workflow in an isolated workspace")]
pub struct Args {
    /// Run on this machine (the default: nothing remote exists yet)
    // Local is the only place there is; the flag is the documented way to say so.
    #[arg(long)]
    local: bool,

    /// Workflow file, relative to the current folder [default: .loom/workflow.yml of the
    /// repository]
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,

    /// Show the output of jobs as it comes, each line behind its job's name
    #[arg(long)]
    stream: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    again: AgainArgs,

    /// Print what would run and what would be skipped, and why; copy and run nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    repeat: RepeatArgs,

    #[command(flatten)]
    docker: DockerArgs,

    /// Jobs that run at the same time [default: number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// End the run at the first failure
    #[arg(long)]
    fail_fast: bool,

    /// Give every job a copy of the workspace of its own, with the artifacts of the jobs it
    /// depends on
    #[arg(long, conflicts_with = "in_place")]
    isolate_jobs: bool,

    /// Also copy files that git ignores whose path matches; may be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "in_place")]
    include_ignored: Vec<String>,

    /// Do not copy files that git does not track
    #[arg(long, conflicts_with = "in_place")]
    no_untracked: bool,

    /// Give a variable a value, above all that the workflow says; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = libloom_variables::assignment)]
    vars: Vec<Override>,

    /// Give variables the values of a file of NAME=value lines, below `--var` and above the
    /// workflow; may be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// What `changes` rules compare with [default: where the default branch was left]
    #[arg(long, value_name = "REV")]
    changes_base: Option<String>,

    /// When a job failed and the run is over, open a shell in its workspace, with its variables
    #[arg(long)]
    shell_on_failure: bool,

    /// Seconds that a job has to end after it was asked to, before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
}

/// `loom-run`.
///
/// # Errors
/// No repository, a workflow outside of it, or a record that cannot be written.
pub fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.shell_on_failure {
        visit::require_terminal()?;
    }
    if args.repeat.is_wanted() {
        return repeat::run(&args.repeat, context);
    }
    let settings = Settings::of(args, context)?;
    if settings.args.dry_run {
        return dry_run::print(settings, context);
    }
    let place = place::open(&settings.root)?;
    match guard::split().or_could_not("cannot start the run's worker process")? {
        Role::Guard(ended) => Ok(after_worker(ended, &place, context)),
        Role::Worker(cancel) => in_worker(settings, cancel, &place, context),
    }
}

/// In the guard: the worker is gone, and so is everything it started.
fn after_worker(ended: processes::Ended, place: &Place, context: &Context) -> u8 {
    remove_secrets(&place.run_id(), context);
    let code = u8::try_from(ended.exit_code).unwrap_or(libloom_contract::exit::BUG);
    if ended.signal.is_some() {
        context.console.clear_abandoned_lines();
    }
    let Some((layout, run_id)) = place.of_repository() else { return code };
    let receipt = layout.run_receipt(&run_id);
    if receipt.exists() {
        return code;
    }
    if let Some(signal) = ended.signal {
        context.console.error(format_args!("the run's worker was {}", steps::ended_by(signal)));
    }
    match complete(layout, &run_id) {
        Ok(()) => say_receipt(&receipt, context),
        Err(error) => context.console.error(format_args!("cannot complete the record: {error}")),
    }
    if ended.signal.is_some() { libloom_contract::exit::COULD_NOT } else { code }
}

/// No job runs any more; done by whichever of guard and worker is left.
fn remove_secrets(run_id: &str, context: &Context) {
    if let Err(error) = files::remove(&context.env.temp_folder(), run_id) {
        context.console.error(format_args!("cannot remove the run's secrets: {error}"));
    }
}

/// The run's last line. Whoever stopped reading still gets the exit code.
fn say_receipt(receipt: &Path, context: &Context) {
    drop(context.console.out(&format!("receipt: {}\n", receipt.display())));
}

fn in_worker(
    settings: Settings,
    cancel: Cancel,
    place: &Place,
    context: &Context,
) -> Result<u8, Failure> {
    let shell_on_failure = settings.args.shell_on_failure;
    let mut run = settings.into_run(place.started_at(), cancel, context);
    let _lock = match place {
        Place::Repository { .. } => None,
        Place::Workspace { .. } => Some(move_into_workspace(&mut run, context)?),
    };
    context.console.detail(format_args!("run: {}, {} jobs at a time", run.id, run.jobs));
    if let Some(done) = run.earlier.as_ref().filter(|earlier| !earlier.has_open()) {
        run.display.note(format_args!("nothing failed in run `{}`", done.run_id));
    }
    answer_first_interrupt(&run.cancel, run.grace, context);
    let (layout, temp) = (run.layout.clone(), run.temp.clone());
    let dead = thread::spawn(move || aftermath::clear_up_after_dead_runs(&layout, &temp));
    let outcome = worker::work(&run, &context.siblings);
    run.display.close();
    let outcome = outcome
        .or_could_not(format_args!("cannot record the run in `{}`", run.logs.folder().display()));
    remove_secrets(&run.id, context);
    for note in dead.join().unwrap_or_default() {
        context.console.note(note);
    }
    let outcome = outcome?;
    run.display.summary(run.workspace());
    hint_at_missed_files(&run, context);
    report(&run, &outcome, context);
    if let (Some(hint), false) =
        (aftermath::hint_at_kept_workspaces(&run.layout), context.console.is_quiet())
    {
        context.console.hint(hint);
    }
    if shell_on_failure {
        visit::open(&run, &outcome, context);
    }
    say_receipt(&run.layout.run_receipt(&run.id), context);
    Ok(outcome.exit_code)
}

/// Names the files that failed jobs missed in the workspace.
fn hint_at_missed_files(run: &Run, context: &Context) {
    if context.console.is_quiet() {
        return;
    }
    let steps = run.display.failing_steps();
    let hint = |step| missed::hint(step, &run.repo_root, run.workspace());
    let hints: BTreeSet<String> = steps.iter().filter_map(hint).collect();
    hints.iter().for_each(|hint| context.console.hint(hint));
}

/// Says at once that the wish to end was heard, and how to be quicker.
fn answer_first_interrupt(cancel: &Cancel, grace: Duration, context: &Context) {
    let (cancel, console) = (cancel.clone(), context.console.clone());
    thread::spawn(move || {
        if cancel.wait() == Level::Gentle {
            let why = match cancel.cause() {
                Some(Cause::FailFast) => "a job failed: ending the others",
                _ => "ending",
            };
            console.status(format_args!(
                "{why}: jobs have {} s; a second Ctrl-C kills them at once",
                grace.as_secs()
            ));
        }
    });
}

/// The repository cannot be written: the record goes into the workspace.
fn move_into_workspace(run: &mut Run, context: &Context) -> Result<lock::RunLock, Failure> {
    bootstrap::make_workspace(run, &context.siblings, true).map_err(|trouble| {
        let failure = Failure::could_not(trouble.error);
        trouble.hints.into_iter().fold(failure, Failure::hint)
    })?;
    let layout = Layout::of_repository(run.workspace());
    context.console.note(format_args!(
        "the repository cannot be written: the record is in `{}`",
        layout.runtime().display()
    ));
    run.logs = layout.run(&run.id);
    run.layout = layout;
    place::make_run_folder(&run.layout, &run.id)
}

/// What is said last, before the receipt. Quiet, that is the final status alone.
fn report(run: &Run, outcome: &Outcome, context: &Context) {
    let console = &context.console;
    let trouble = outcome.trouble.as_ref().filter(|_| !console.is_quiet());
    if let Some(trouble) = trouble {
        tell(trouble, context);
    }
    let word = run.display.word(outcome.verdict.status);
    let message = outcome.verdict.message.as_ref().filter(|_| trouble.is_none());
    match message.and_then(|message| message.lines().next()) {
        Some(message) => console.line(format_args!("{word}: {message}")),
        None => console.line(word),
    }
    let failing = outcome.pipeline.as_ref().and_then(|pipeline| pipeline.failing_job.as_ref());
    if let Some(job) = failing.filter(|_| outcome.verdict.status == Status::Failure) {
        console.hint(format_args!(
            "`loom logs` shows what failed and why, `loom shell {job}` opens a shell there"
        ));
    }
}

/// Why there was no pipeline, and how to mend it.
fn tell(trouble: &Trouble, context: &Context) {
    let console = &context.console;
    trouble.diagnostics.iter().for_each(|(_, rendered)| console.line(rendered));
    let mut lines = trouble.error.lines();
    console.error(lines.next().unwrap_or_default());
    lines.for_each(|cause| console.line(format_args!("  caused by: {cause}")));
    trouble.hints.iter().for_each(|hint| console.hint(hint));
}
