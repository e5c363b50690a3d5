//! Engines in which runs that are over may have left something, and forgetting them.

use std::{fs, io};

use libloom_contract::{layout::Layout, logs::EngineRecord, store};

use crate::{lock, read};

/// The runs, newest first, that are over and whose engine may still hold something. A document that
/// cannot be read names no engine.
pub fn of_dead_runs(layout: &Layout) -> Vec<EngineRecord> {
    let runs = read::run_ids(layout).unwrap_or_default().into_iter();
    let left = runs.filter_map(|run_id| {
        let run = layout.run(&run_id);
        let record = store::read::<EngineRecord>(&run.engine()).ok()?;
        (record.run_id == run_id && !lock::is_held(run.folder())).then_some(record)
    });
    left.collect()
}

/// Notes that nothing of the run is left; fine if that was known.
///
/// # Errors
/// What the system says.
pub fn forget(layout: &Layout, run_id: &str) -> io::Result<()> {
    match fs::remove_file(layout.run(run_id).engine()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use libloom_contract::store::Document as _;

    use super::*;

    #[test]
    fn only_runs_that_are_over_and_left_something_count() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of_repository(folder.path());
        let [alive, dead, clean] = [3, 2, 1].map(|number| format!("loom-run-local-{number}"));
        let record = |run_id: &String| EngineRecord {
            schema_version: EngineRecord::FORMAT.to_string(),
            kind: EngineRecord::KIND.into(),
            run_id: run_id.clone(),
            address: "unix:///x".into(),
        };
        for run_id in [&alive, &dead] {
            store::write(&layout.run(run_id).engine(), &record(run_id)).unwrap();
        }
        fs::create_dir_all(layout.run(&clean).folder()).unwrap();
        let _lock = lock::take(layout.run(&alive).folder()).unwrap();
        assert_eq!(of_dead_runs(&layout), [record(&dead)]);
        forget(&layout, &dead).unwrap();
        forget(&layout, &dead).unwrap();
        assert_eq!(of_dead_runs(&layout), []);
    }
}
