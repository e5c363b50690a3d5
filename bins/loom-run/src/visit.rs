//! `--shell-on-failure`: a shell where the first failed job worked, once the run is over.

use std::{
    io::{self, IsTerminal as _},
    process::Command,
};

use libloom_entry::{Context, Failure};

use crate::{child::reset_signals, documents::Outcome, run::Run};

/// Nobody can talk to a shell without a terminal; better said before the run than after it.
///
/// # Errors
/// There is none.
pub fn require_terminal() -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("--shell-on-failure needs a terminal, for a person to use the shell")
        .hint("leave it out; `loom shell JOB -- PROGRAM` works without a terminal, after the run"))
}

/// Opens the shell if a job failed, and waits for its end. The run has its receipt by then, and
/// what the shell ends with does not change it.
pub fn open(run: &Run, outcome: &Outcome, context: &Context) {
    let Some(job) = outcome.pipeline.as_ref().and_then(|pipeline| pipeline.failing_job.as_ref())
    else {
        return;
    };
    let program = match context.siblings.find("loom-shell") {
        Ok(program) => program,
        Err(error) => return context.console.error(error),
    };
    let mut shell = Command::new(&program);
    shell.args([&run.id, job]).current_dir(&run.repo_root);
    reset_signals(&mut shell);
    if let Err(error) = shell.status() {
        context.console.error(format_args!("cannot start `{}`: {error}", program.display()));
    }
}
