//! Lists, shows, explains, checks, compares, exports and removes the runs of a repository.
//!
//! Reads pointers rather than logs: a receipt and two manifests lead to the one event stream that
//! matters. Before anything is read, runs whose process is gone get their documents completed.

mod brief;
mod diff;
mod explain;
mod export;
mod filter;
mod finding;
mod follow;
mod lines;
mod list;
mod prune;
mod report;
mod screen;
mod select;
mod show;
mod shown;
mod steps;
mod tails;
mod tree;
mod validate;
mod when;
mod words;

use clap::{Parser, Subcommand};
use libloom_contract::layout::Layout;
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::{
    CompleteError, complete_dead_runs,
    read::{self, ReadError},
};

/// Lists, shows, explains and exports runs
///
/// Without a subcommand, explains the latest run: which step of which job failed, with its last
/// lines, and what to try. RUN is a run id, a part of one that no other has, or `latest`.
#[derive(Debug, Parser)]
#[command(
    name = "loom-logs",
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Show a run in progress until it ends, as `loom logs show --follow` does
    #[arg(short, long, value_name = "RUN", num_args = 0..=1, default_missing_value = read::LATEST)]
    follow: Option<String>,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    List(list::Arguments),
    Show(show::Arguments),
    Explain(explain::Arguments),
    Validate(validate::Arguments),
    Diff(diff::Arguments),
    Export(export::Arguments),
    Prune(prune::Arguments),
}

/// Does what the command line asks for.
///
/// # Errors
/// No repository, no such run, or a document or event stream that cannot be read.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let layout = Layout::of_repository(&context.repository_root()?);
    complete_dead(&layout, context)?;
    let bare = || match arguments.follow {
        Some(run) => {
            Sub::Show(show::Arguments { run: Some(run), follow: true, ..Default::default() })
        }
        None => Sub::Explain(explain::Arguments::default()),
    };
    match arguments.command.unwrap_or_else(bare) {
        Sub::List(arguments) => list::run(&arguments, &layout, context),
        Sub::Show(arguments) => show::run(&arguments, &layout, context),
        Sub::Explain(arguments) => explain::run(&arguments, &layout, context),
        Sub::Validate(arguments) => validate::run(&arguments, &layout, context),
        Sub::Diff(arguments) => diff::run(&arguments, &layout, context),
        Sub::Export(arguments) => export::run(&arguments, &layout, context),
        Sub::Prune(arguments) => prune::run(&arguments, &layout, context),
    }
}

/// A run that cannot be completed can still be read as far as it goes, so that is a warning.
fn complete_dead(layout: &Layout, context: &Context) -> Result<(), Failure> {
    let completed = complete_dead_runs(layout).or_could_not("cannot look for interrupted runs")?;
    for (run_id, result) in completed {
        match result {
            Ok(()) => context.console.note(format_args!(
                "run `{run_id}` had been interrupted; its documents were completed"
            )),
            Err(error) => context.console.warn(format_args!(
                "cannot complete the documents of the interrupted run `{run_id}`: {}",
                chain(&error)
            )),
        }
    }
    Ok(())
}

fn chain(error: &CompleteError) -> String {
    let error: &dyn std::error::Error = error;
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The id of the run that `run` names; `None` is the latest.
fn resolve(layout: &Layout, run: Option<&str>) -> Result<String, Failure> {
    read::resolve(layout, run.unwrap_or(read::LATEST)).map_err(|error| {
        let hint = match &error {
            ReadError::NoRuns { .. } => "start one with `loom run --local`",
            ReadError::NoSuchRun { .. } => "`loom logs list` shows all runs",
            ReadError::Ambiguous { .. } => "name more of the run's id",
            ReadError::Folder { .. } => "the folder must be readable for you",
        };
        Failure::could_not(error).hint(hint)
    })
}

#[cfg(test)]
mod tests;
