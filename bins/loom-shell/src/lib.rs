//! Opens a shell where a job of an earlier run worked: in its workspace, with its variables.
//!
//! Everything is read from documents ([`mod@job`]): the receipt leads to the workspace and to the graph,
//! whose rules are decided again by the facts of the snapshot. Values of secrets are on no disk;
//! they are resolved afresh. The process then becomes the shell ([`mod@shell`]), so that terminal,
//! signals and exit code are its own.

mod job;
mod place;
mod shell;

use std::ffi::OsString;

use clap::Parser;
use libloom_entry::{Context, Failure};

/// Opens a shell in the workspace and environment of a job of an earlier run.
///
/// The shell begins in the workspace that the run left, with the variables that the job's steps
/// had, their PATH among them. With a command, the shell runs that instead of a dialogue. Secrets
/// are resolved afresh.
///
/// Exit codes: that of the shell or the command; 2 wrong command line; 3 there is no such run, job
/// or workspace.
#[derive(Debug, Parser)]
#[command(
    name = "loom-shell",
    about = "Opens a shell in the workspace and environment of a job of an earlier run",
    override_usage = "loom-shell [OPTIONS] [RUN] JOB [-- PROGRAM [ARGUMENT]...]"
)]
pub struct Args {
    /// The run (an id, a part of one, or `latest`, which is the default), and the job by its name
    #[arg(value_name = "RUN|JOB", num_args = 1..=2, required = true)]
    names: Vec<String>,

    /// Run this line of shell instead of a dialogue
    #[arg(long, short, value_name = "LINE", conflicts_with = "program")]
    command: Option<String>,

    /// Run this program instead of a dialogue
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// `loom-shell`. Returns only when the shell cannot be started.
///
/// # Errors
/// No such run or job, no workspace any more, or a document that cannot be read.
pub fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let Args { names, command, program } = args;
    let (run, job) = match names.as_slice() {
        [run, job] => (run.as_str(), job),
        [job, ..] => (libloom_record::read::LATEST, job),
        [] => return Err(Failure::usage("no job is named")),
    };
    let place = place::find(context, run)?;
    let job = job::find(&place, job, context)?;
    let wish = match (command, program) {
        (Some(line), _) => shell::Wish::Line(line),
        (None, program) if program.is_empty() => shell::Wish::Dialogue,
        (None, program) => shell::Wish::Program(program),
    };
    shell::become_shell(&place, &job, wish, context)
}
