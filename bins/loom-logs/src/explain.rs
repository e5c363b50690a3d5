//! `loom logs explain`: what failed in a run, with its evidence.

use libloom_contract::{exit, layout::Layout};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::{
    complete, lock,
    read::{self, RunState},
};

use crate::{
    brief, complete_dead,
    finding::{Finding, WalkError, walk},
    report, resolve,
};

/// Explain what failed in a run: the step, its last lines, and what to try
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Id of the run, a part of one, or `latest`
    #[arg(default_value = read::LATEST, hide_default_value = true)]
    run: Option<String>,
    /// Print one JSON object of at most 2 KB
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_id = resolve(layout, arguments.run.as_deref())?;
    match read::state(layout, &run_id) {
        RunState::Running => return running(&run_id, arguments.json, context),
        // It died since the dead ones were looked for.
        RunState::Interrupted => complete_dead(layout, context)?,
        RunState::Finished(_) | RunState::Damaged(_) => {}
    }
    let finding = find(layout, &run_id)?;
    if arguments.json {
        context.console.out_bytes(&brief::json(&finding))?;
    } else {
        context.console.out(&report::text(&finding, context.console.out_paint()))?;
    }
    Ok(exit::DONE)
}

fn running(run_id: &str, json: bool, context: &Context) -> Result<u8, Failure> {
    if json {
        context.console.json(&brief::Running::of(run_id))?;
    } else {
        context.console.out(&format!("run {run_id} is still running"))?;
        context.console.hint(format_args!("`loom logs show {run_id}` shows its output so far"));
    }
    Ok(exit::DONE)
}

/// Walks to what failed; damage on the way is mended once, as far as what is left allows.
fn find(layout: &Layout, run_id: &str) -> Result<Finding, Failure> {
    match walk(layout, run_id) {
        Ok(finding) => Ok(finding),
        Err(first) => match mended(layout, run_id) {
            true => walk(layout, run_id).map_err(|error| failure(error, run_id)),
            false => Err(failure(first, run_id)),
        },
    }
}

fn mended(layout: &Layout, run_id: &str) -> bool {
    match lock::take(layout.run(run_id).folder()) {
        Ok(Some(_lock)) => complete(layout, run_id).is_ok(),
        _ => false,
    }
}

fn failure(error: WalkError, run_id: &str) -> Failure {
    let result: Result<(), _> = match error {
        WalkError::Document(error) => Err(error).or_could_not(what(run_id)),
        WalkError::Stream(error) => Err(error).or_could_not(what(run_id)),
    };
    let failure = result.expect_err("made from an error");
    failure.hint(format!("`loom logs show {run_id}` shows what can still be read"))
}

fn what(run_id: &str) -> String {
    format!("cannot explain the run `{run_id}`")
}
