//! The runs of a runtime directory: which there are, and how each stands.
//!
//! Every run is a fault domain of its own: a document that cannot be read makes that run
//! [`RunState::Damaged`] and hides no other. Nothing is written here; runs whose process is gone
//! are completed by [`mod@crate::complete`].

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use libloom_contract::{Reason, StoreError, Timestamp, layout::Layout, receipt::RunReceipt, store};

use crate::lock;

/// What every run id begins with.
pub const RUN_PREFIX: &str = "loom-run-";
/// How the newest run is asked for.
pub const LATEST: &str = "latest";
/// Most candidates that an error lists.
const LISTED_MAX: usize = 10;

/// Why a run was not found.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The runtime directory cannot be listed.
    #[error("cannot list `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no run at all.
    #[error("there are no runs in `{}`", logs.display())]
    NoRuns {
        /// The folder that would hold them.
        logs: PathBuf,
    },
    /// No run has this id or a part of it.
    #[error("no run matches `{run}` in `{}`", logs.display())]
    NoSuchRun {
        /// What was asked for.
        run: String,
        /// The folder that holds the runs.
        logs: PathBuf,
    },
    /// Several runs have this part in their id.
    #[error("`{run}` matches {count} runs: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        run: String,
        /// How many there are.
        count: usize,
        /// The newest of them, at most ten.
        candidates: Vec<String>,
    },
}

/// How a run stands.
#[derive(Debug)]
pub enum RunState {
    /// It has its receipt.
    Finished(Box<RunReceipt>),
    /// Its process holds the lock.
    Running,
    /// Its process is gone and it has no receipt.
    Interrupted,
    /// Its receipt cannot be read.
    Damaged(StoreError),
}

/// Ids of all runs, newest first. A run counts that has a folder, a receipt or both.
///
/// # Errors
/// A folder is there and cannot be listed.
pub fn run_ids(layout: &Layout) -> Result<Vec<String>, ReadError> {
    let mut ids: BTreeSet<String> = names(&layout.logs())?.collect();
    let receipts = names(&layout.receipts())?;
    ids.extend(receipts.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)));
    let mut ids: Vec<String> = ids.into_iter().filter(|id| id.starts_with(RUN_PREFIX)).collect();
    ids.sort_unstable_by(|a, b| (began(b), b).cmp(&(began(a), a)));
    Ok(ids)
}

fn names(folder: &Path) -> Result<impl Iterator<Item = String> + use<>, ReadError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(ReadError::Folder { path: folder.to_owned(), source }),
    };
    let entries = entries.into_iter().flatten().flatten();
    Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()))
}

/// The point in time at which a run began, which its id holds.
pub fn began_at(run_id: &str) -> Option<Timestamp> {
    let nanoseconds: u64 = run_id.rsplit('-').next()?.parse().ok()?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))?;
    Some(Timestamp::from(time))
}

/// The nanoseconds in a run id, which order runs by their begin.
fn began(run_id: &str) -> u128 {
    run_id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The id of the run that a person means: `latest`, a whole id, or a part that only one has.
///
/// # Errors
/// None, none like it, several like it, or the folder cannot be listed.
pub fn resolve(layout: &Layout, run: &str) -> Result<String, ReadError> {
    let ids = run_ids(layout)?;
    let logs = layout.logs();
    let Some(newest) = ids.first() else { return Err(ReadError::NoRuns { logs }) };
    if run == LATEST || ids.iter().any(|id| id == run) {
        return Ok(if run == LATEST { newest.clone() } else { run.to_owned() });
    }
    let mut matching: Vec<String> =
        ids.into_iter().filter(|id| !run.is_empty() && id.contains(run)).collect();
    match matching.len() {
        0 => Err(ReadError::NoSuchRun { run: run.to_owned(), logs }),
        1 => Ok(matching.remove(0)),
        count => {
            matching.truncate(LISTED_MAX);
            Err(ReadError::Ambiguous { run: run.to_owned(), count, candidates: matching })
        }
    }
}

/// How a run stands.
pub fn state(layout: &Layout, run_id: &str) -> RunState {
    match store::read(&layout.run_receipt(run_id)) {
        Ok(receipt) => RunState::Finished(Box::new(receipt)),
        Err(error) if !error.is_not_found() => RunState::Damaged(error),
        Err(_) if lock::is_held(layout.run(run_id).folder()) => RunState::Running,
        Err(_) => RunState::Interrupted,
    }
}

/// Whether the run did not come to its end, so that processes of it may be left. One that wrote its
/// receipt has ended them all; what bears its id since then is somebody's who looks into it.
pub fn was_killed(layout: &Layout, run_id: &str) -> bool {
    let folder = layout.run(run_id);
    if !folder.folder().is_dir() || lock::is_held(folder.folder()) {
        return false;
    }
    match state(layout, run_id) {
        RunState::Finished(receipt) => receipt.reason == Some(Reason::Interrupted),
        RunState::Running => false,
        RunState::Interrupted | RunState::Damaged(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ids: &[&str]) -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of_repository(folder.path());
        for id in ids {
            fs::create_dir_all(layout.run(id).folder()).unwrap();
        }
        (folder, layout)
    }

    #[test]
    fn newest_comes_first_by_number_and_receipts_count() {
        let (_folder, layout) = runs(&["loom-run-local-9", "loom-run-local-10", ".tmp-1"]);
        fs::create_dir_all(layout.receipts()).unwrap();
        fs::write(layout.run_receipt("loom-run-local-7"), "").unwrap();
        fs::write(layout.check_receipt("20260304T183012Z", 7), "").unwrap();
        let ids = ["loom-run-local-10", "loom-run-local-9", "loom-run-local-7"];
        assert_eq!(run_ids(&layout).unwrap(), ids);
        assert_eq!(resolve(&layout, "latest").unwrap(), ids[0]);
    }

    #[test]
    fn run_is_found_by_a_part_that_only_one_has() {
        let (_folder, layout) =
            runs(&["loom-run-local-100", "loom-run-local-101", "loom-run-local-1"]);
        assert_eq!(resolve(&layout, "101").unwrap(), "loom-run-local-101");
        assert_eq!(resolve(&layout, "loom-run-local-1").unwrap(), "loom-run-local-1");
        let message = resolve(&layout, "10").unwrap_err().to_string();
        assert_eq!(message, "`10` matches 2 runs: loom-run-local-101, loom-run-local-100");
        assert!(matches!(resolve(&layout, "x"), Err(ReadError::NoSuchRun { .. })));
        assert!(matches!(resolve(&layout, ""), Err(ReadError::NoSuchRun { .. })));
        let nowhere = Layout::of_repository(Path::new("/nowhere"));
        assert!(matches!(resolve(&nowhere, "latest"), Err(ReadError::NoRuns { .. })));
    }

    #[test]
    fn state_follows_receipt_and_lock() {
        let id = "loom-run-local-1";
        let (_folder, layout) = runs(&[id]);
        assert!(matches!(state(&layout, id), RunState::Interrupted) && was_killed(&layout, id));
        let lock = lock::take(layout.run(id).folder()).unwrap();
        assert!(matches!(state(&layout, id), RunState::Running) && !was_killed(&layout, id));
        drop(lock);
        fs::create_dir_all(layout.receipts()).unwrap();
        fs::write(layout.run_receipt(id), "{").unwrap();
        assert!(matches!(state(&layout, id), RunState::Damaged(_)));
    }
}
