//! What earlier runs left: processes and unfinished records of killed ones, workspaces of all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libloom_contract::{env, layout::Layout, snapshot::Snapshot, store};
use libloom_processes::end_survivors;
use libloom_record::{complete::complete_dead_runs, lock, read};
use libloom_secrets::files;

use crate::leftovers;

/// Ends what killed runs left running, removes what they left in an engine and the secrets they left
/// in `temp`, and completes their documents.
pub fn clear_up_after_dead_runs(layout: &Layout, temp: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    let is_dead = |run_id: &str| {
        let folder = layout.run(run_id);
        folder.folder().is_dir() && !lock::is_held(folder.folder())
    };
    let ended = end_survivors(env::RUN_ID, |run_id| read::was_killed(layout, run_id));
    if ended > 0 {
        let processes = if ended == 1 { "process was" } else { "processes were" };
        notes.push(format!("{ended} {processes} left by a killed run, and ended"));
    }
    let dead = files::runs(temp).filter(|run_id| is_dead(run_id));
    for error in dead.filter_map(|run_id| files::remove(temp, &run_id).err()) {
        notes.push(format!("the secrets of a killed run cannot be removed: {error}"));
    }
    notes.extend(leftovers::remove_of_dead_runs(layout));
    match complete_dead_runs(layout) {
        Ok(completed) if completed.is_empty() => {}
        Ok(completed) => {
            let count = completed.len();
            let runs = if count == 1 { "run" } else { "runs" };
            notes.push(format!("the record of {count} killed {runs} was completed"));
        }
        Err(error) => {
            notes.push(format!("the record of a killed run cannot be completed: {error}"));
        }
    }
    notes
}

/// Kept workspaces beyond which a run says how to remove them.
const WORKSPACES_KEPT_MAX: usize = 10;

/// Workspaces are kept until they are removed; who has many is told how.
pub fn hint_at_kept_workspaces(layout: &Layout) -> Option<String> {
    let records = fs::read_dir(layout.snapshots()).ok()?.flatten().map(|entry| entry.path());
    let is_record = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    let kept = records.filter(is_record).filter(|record| {
        let snapshot = store::read::<Snapshot>(record);
        snapshot.is_ok_and(|snapshot| Path::new(&snapshot.path).exists())
    });
    let count = kept.count();
    (count > WORKSPACES_KEPT_MAX).then(|| {
        format!(
            "{count} isolated workspaces are kept; `loom snapshot prune --keep 5` removes old ones"
        )
    })
}
