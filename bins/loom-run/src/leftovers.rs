//! What killed runs left in an engine: found by the record that each run leaves while it has
//! something there, and removed.

use std::{collections::BTreeSet, time::Duration};

use libloom_contract::{layout::Layout, logs::EngineRecord, store};
use libloom_engine::reaper::{Removal, remove_run};
use libloom_record::engines;
use tokio::{runtime::Builder, time::timeout};

use crate::providers::docker::in_words;

/// Longest time that clearing up takes: an engine that hangs must not keep a run from ending.
const CLEARING_TIME: Duration = Duration::from_secs(60);

/// In the guard, whose worker was killed: removes what the run has in its engine, if anything.
///
/// # Errors
/// In words, what could not be removed and why.
pub fn remove_of_run(layout: &Layout, run_id: &str) -> Result<usize, String> {
    match store::read::<EngineRecord>(&layout.run(run_id).engine()) {
        Err(error) if error.is_not_found() => Ok(0),
        Err(error) => Err(format!("what the run left in an engine is not known: {error}")),
        Ok(record) => remove(layout, &record),
    }
}

/// Removes what dead runs have in their engines; says what was done, and what could not be.
pub fn remove_of_dead_runs(layout: &Layout) -> Vec<String> {
    let mut removed = 0;
    // Several runs mostly had the same engine, and fail for the same reason.
    let mut notes = BTreeSet::new();
    for record in engines::of_dead_runs(layout) {
        match remove(layout, &record) {
            Ok(count) => removed += count,
            Err(error) => drop(notes.insert(error)),
        }
    }
    if removed > 0 {
        let things = if removed == 1 { "thing was" } else { "things were" };
        notes.insert(format!("{removed} {things} left in an engine by a killed run, and removed"));
    }
    notes.into_iter().collect()
}

fn remove(layout: &Layout, record: &EngineRecord) -> Result<usize, String> {
    let EngineRecord { run_id, address, .. } = record;
    let error =
        |why: &str| format!("what the run `{run_id}` left in an engine is still there: {why}");
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| error(&cause.to_string()))?;
    let removal =
        runtime.block_on(async { timeout(CLEARING_TIME, remove_run(address, run_id)).await });
    let removal = removal.map_err(|_| error("the engine does not answer in time"))?;
    let Removal { removed, failed } = removal.map_err(|cause| error(&in_words(&cause)))?;
    if let Some((leftover, cause)) = failed.first() {
        return Err(error(&format!("{leftover}: {}", in_words(cause))));
    }
    engines::forget(layout, run_id).map_err(|cause| error(&cause.to_string()))?;
    Ok(removed.len())
}
