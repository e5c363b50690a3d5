//! Runs a workflow in an isolated workspace.
//!
//! The way of a run: find the repository ([`mod@run`]), open its record and become a guard and a
//! worker ([`guard`]), compile and snapshot ([`bootstrap`]), execute ([`pipeline`], deciding by
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
mod environment;
mod execution;
mod extraction;
mod guard;
mod isolate;
mod job;
mod joblog;
mod pipeline;
mod place;
mod processes;
mod providers;
mod reports;
mod rules;
mod run;
mod schedule;
mod secrets;
mod selection;
mod shell;
mod steps;
mod tree;
mod verdict;
mod worker;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use libloom_contract::{
    Status,
    layout::{self, DEFAULT_WORKFLOW, Layout},
};
use libloom_entry::{Context, Failure, OrFail as _, is_executable};
use libloom_record::{complete::complete, lock, phases::PhaseLedger};
use libloom_secrets::files;
use libloom_variables::Override;

use crate::{
    again::{AgainArgs, Earlier},
    bootstrap::Trouble,
    cancel::{Cancel, Cause, Level},
    display::Display,
    documents::Outcome,
    guard::Role,
    place::Place,
    processes::Registry,
    reports::Handed,
    run::Run,
    selection::SelectionArgs,
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

    /// Jobs that run at the same time [default: number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// End the run at the first failure
    #[arg(long)]
    fail_fast: bool,

    /// Give every job a copy of the workspace of its own, with the artifacts of the jobs it
    /// depends on
    #[arg(long)]
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

    /// Seconds that a job has to end after it was asked to, before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
}

/// `loom-run`.
///
/// # Errors
/// No repository, a workflow outside of it, or a record that cannot be written.
pub fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    // Local is the only place there is; the flag is the documented way to say so.
    let Args { local: _, .. } = args;
    let root = context.repository_root()?;
    let earlier = Earlier::find(&args.again, &Layout::of_repository(&root))?;
    let workflow = args.workflow.as_deref().or(earlier.as_ref().map(|run| run.workflow.as_path()));
    let workflow = workflow_in(&root, &context.cwd, workflow)?;
    let overrides = overrides(&args, &context.cwd)?;
    let place = place::open(&root)?;
    match guard::split().or_could_not("cannot start the run's worker process")? {
        Role::Guard(ended) => Ok(after_worker(ended, &place, context)),
        Role::Worker(cancel) => {
            let settings = Settings { args, root, workflow, overrides, earlier, cancel };
            in_worker(settings, &place, context)
        }
    }
}

/// The workflow file, relative to the repository root.
fn workflow_in(root: &Path, cwd: &Path, wanted: Option<&Path>) -> Result<String, Failure> {
    let Some(wanted) = wanted else { return Ok(DEFAULT_WORKFLOW.into()) };
    let written = place::normalized(&cwd.join(wanted));
    // Through a symlink the path may be written otherwise than the root's.
    let real = written.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let real = real.zip(written.file_name()).map(|(folder, name)| folder.join(name));
    let within = |path: &PathBuf| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let inside = within(&written).or_else(|| within(&real?));
    inside.ok_or_else(|| {
        let error = format!(
            "workflow `{}` is outside the repository `{}`",
            wanted.display(),
            root.display()
        );
        Failure::could_not(error).hint("a workflow must lie in the repository it is run for")
    })
}

/// What the command line says of variables, the lowest first.
fn overrides(args: &Args, cwd: &Path) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::new();
    for file in &args.env_file {
        let shown = file.display().to_string();
        let what = format!("cannot read the variables of `{shown}`");
        let text = fs::read_to_string(cwd.join(file)).or_could_not(&what)?;
        let found = libloom_variables::dotenv(&text, &shown)
            .map_err(|error| Failure::could_not(format!("{shown}:{error}")).context(&what))?;
        overrides.extend(found);
    }
    overrides.extend(args.vars.iter().cloned());
    Ok(overrides)
}

/// In the guard: the worker is gone, and so is everything it started.
fn after_worker(ended: processes::Ended, place: &Place, context: &Context) -> u8 {
    remove_secrets(&place.run_id(), context);
    let code = u8::try_from(ended.exit_code).unwrap_or(libloom_contract::exit::BUG);
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

/// What the worker is told.
struct Settings {
    args: Args,
    root: PathBuf,
    workflow: String,
    overrides: Vec<Override>,
    earlier: Option<Earlier>,
    cancel: Cancel,
}

fn in_worker(settings: Settings, place: &Place, context: &Context) -> Result<u8, Failure> {
    let (args, cancel) = (&settings.args, settings.cancel.clone());
    let started_at = place.started_at();
    let layout = Layout::of_repository(&settings.root);
    let id = place.run_id();
    let mut run = Run {
        pipeline_id: layout::pipeline_id(started_at),
        started_at,
        started: Instant::now(),
        workflow: settings.workflow.clone(),
        command: context.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        inherited: context.env.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        temp: context.env.temp_folder(),
        overrides: settings.overrides,
        changes_base: args.changes_base.clone(),
        shell: find_shell(context),
        grace: Duration::from_secs(args.grace.into()),
        jobs: args.jobs.map_or_else(processors, usize::from),
        logs: layout.run(&id),
        layout,
        display: Display::new(context.console.clone(), args.stream),
        cancel,
        registry: Registry::default(),
        ledger: Mutex::new(PhaseLedger::new()),
        wanted: args.selection.clone(),
        earlier: settings.earlier,
        fail_fast: args.fail_fast,
        isolate: args.isolate_jobs,
        snapshot_options: snapshot_options(args),
        snapshot: OnceLock::new(),
        redactor: OnceLock::new(),
        handed: Handed::default(),
        repo_root: settings.root,
        id,
    };
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
    let outcome = worker::work(&run, &context.siblings)
        .or_could_not(format_args!("cannot record the run in `{}`", run.logs.folder().display()));
    remove_secrets(&run.id, context);
    for note in dead.join().unwrap_or_default() {
        context.console.note(note);
    }
    let outcome = outcome?;
    report(&outcome, context);
    if let (Some(hint), false) =
        (aftermath::hint_at_kept_workspaces(&run.layout), context.console.is_quiet())
    {
        context.console.hint(hint);
    }
    say_receipt(&run.layout.run_receipt(&run.id), context);
    Ok(outcome.exit_code)
}

/// What of the options is for `loom-snapshot create`.
fn snapshot_options(args: &Args) -> Vec<OsString> {
    let globs = args.include_ignored.iter().map(|glob| format!("--include-ignored={glob}").into());
    globs.chain(args.no_untracked.then(|| "--no-untracked".into())).collect()
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

fn find_shell(context: &Context) -> PathBuf {
    let candidates = context.env.path_folders().into_iter().map(|folder| folder.join("sh"));
    candidates.into_iter().find(|path| is_executable(path)).unwrap_or_default()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What is said last, before the receipt. Quiet, that is the final status alone.
fn report(outcome: &Outcome, context: &Context) {
    let console = &context.console;
    let trouble = outcome.trouble.as_ref().filter(|_| !console.is_quiet());
    if let Some(trouble) = trouble {
        tell(trouble, context);
    }
    let word = outcome.verdict.status.word();
    let message = outcome.verdict.message.as_ref().filter(|_| trouble.is_none());
    match message.and_then(|message| message.lines().next()) {
        Some(message) => console.line(format_args!("{word}: {message}")),
        None => console.line(word),
    }
    if outcome.verdict.status == Status::Failure && outcome.pipeline.is_some() {
        console.hint("`loom logs` shows what failed and why");
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
