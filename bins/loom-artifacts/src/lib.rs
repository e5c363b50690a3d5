//! Lists, fetches, verifies, compares and prunes what jobs left as artifacts.
//!
//! The truth is the manifest of each job; copies and archive are held against it. Nothing that
//! lies in a logs tree is trusted: it may have been made by somebody else's job.

mod diff;
mod get;
mod jobs;
mod list;
mod prune;
mod verify;

use clap::{Parser, Subcommand};
use libloom_contract::layout::Layout;
use libloom_entry::{Context, Failure};

/// Lists, fetches, verifies, compares and prunes artifacts of jobs
///
/// RUN is a run id, a part of one that no other has, or `latest`.
#[derive(Debug, Parser)]
#[command(
    name = "loom-artifacts",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    List(list::Arguments),
    Get(get::Arguments),
    Verify(verify::Arguments),
    Diff(diff::Arguments),
    Prune(prune::Arguments),
}

/// Does what the command line asks for.
///
/// # Errors
/// No repository, no such run or job, or a document or file that cannot be read or written.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let layout = Layout::of_repository(&context.repository_root()?);
    match arguments.command {
        Sub::List(arguments) => list::run(&arguments, &layout, context),
        Sub::Get(arguments) => get::run(&arguments, &layout, context),
        Sub::Verify(arguments) => verify::run(&arguments, &layout, context),
        Sub::Diff(arguments) => diff::run(&arguments, &layout, context),
        Sub::Prune(arguments) => prune::run(&arguments, &layout, context),
    }
}
