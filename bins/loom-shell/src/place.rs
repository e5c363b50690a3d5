//! The run that is meant, and what is left of it: receipt, workspace, record of the workspace.

use std::path::{Path, PathBuf};

use libloom_contract::{
    layout::{Layout, SNAPSHOT_RECORD_IN_GIT},
    logs::RunSummary,
    receipt::RunReceipt,
    snapshot::Snapshot,
    store,
};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_record::{
    complete::complete,
    lock,
    read::{self, ReadError, RunState},
};

/// What is left of a run.
#[derive(Debug)]
pub struct Place {
    /// Its receipt.
    pub receipt: RunReceipt,
    /// Id of the pipeline in it.
    pub pipeline_id: String,
    /// The workspace that its jobs shared.
    pub workspace: PathBuf,
    /// What the workspace was when it was made.
    pub snapshot: Snapshot,
}

/// Finds the run, and keeps its processes, of which the shell becomes one, from being ended as those
/// of a dead run.
///
/// # Errors
/// There is no such run, it still goes on, or its workspace is gone.
pub fn find(context: &Context, run: &str) -> Result<Place, Failure> {
    let layout = Layout::of_repository(&context.repository_root()?);
    let run_id = read::resolve(&layout, run).map_err(|error| {
        let hint = match &error {
            ReadError::NoRuns { .. } => "start one with `loom run`",
            _ => "`loom logs list` shows all runs",
        };
        Failure::could_not(error).hint(hint)
    })?;
    let receipt = receipt(&layout, &run_id)?;
    let workspace = workspace(&run_id, &receipt)?;
    let snapshot = snapshot(&layout, &workspace)?;
    let folder = layout.run(&run_id);
    let summary = store::read::<RunSummary>(&folder.summary());
    let pipeline_id = summary.map_err(Failure::could_not)?.pipeline_id;
    lock::keep_from_being_cleared(folder.folder())
        .or_could_not(format_args!("cannot open `{}`", folder.folder().display()))?;
    Ok(Place { receipt, pipeline_id, workspace, snapshot })
}

fn receipt(layout: &Layout, run_id: &str) -> Result<RunReceipt, Failure> {
    match read::state(layout, run_id) {
        RunState::Finished(receipt) => Ok(*receipt),
        RunState::Damaged(error) => Err(Failure::could_not(error)),
        RunState::Running => Err(Failure::could_not(format!("run `{run_id}` still goes on"))
            .hint("wait for its end, or name another run; `loom logs show --follow` shows it")),
        RunState::Interrupted => {
            complete(layout, run_id).or_could_not("cannot complete the record of a killed run")?;
            store::read(&layout.run_receipt(run_id)).map_err(Failure::could_not)
        }
    }
}

fn workspace(run_id: &str, receipt: &RunReceipt) -> Result<PathBuf, Failure> {
    let again = "start a new run: `loom run`";
    let Some(path) = receipt.snapshot_path.as_deref().map(PathBuf::from) else {
        let error = format!("run `{run_id}` never had a workspace");
        return Err(Failure::could_not(error).hint(again));
    };
    if !path.is_dir() {
        let error = format!("the workspace of run `{run_id}` is gone: `{}`", path.display());
        return Err(Failure::could_not(error).hint(again));
    }
    Ok(path)
}

/// The workspace's record: among those of the repository, or in the workspace itself.
fn snapshot(layout: &Layout, workspace: &Path) -> Result<Snapshot, Failure> {
    let id = workspace.file_name().unwrap_or_default().to_string_lossy();
    let own = workspace.join(".git").join(SNAPSHOT_RECORD_IN_GIT);
    store::read(&layout.snapshot(&id)).or_else(|_| store::read(&own)).or_could_not(format_args!(
        "cannot read what the workspace `{}` was made from",
        workspace.display()
    ))
}
