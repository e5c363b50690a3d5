//! Removing documents that a killed process was just writing: names that begin with `.tmp-`.

use std::{fs, io, path::Path};

use libloom_contract::{
    layout::{Layout, RunLayout},
    store::TEMPORARY_PREFIX,
};

use super::CompleteError;

/// Last part of the path of a job's extracted files. A job may be called so as well; then what
/// was left in its folder stays, which harms nobody.
const ARTIFACTS: &str = "artifacts";

/// Removes what was left half-written in a run's folder, and of its receipt. Nobody writes there
/// any more: the caller holds the run's lock.
pub(super) fn sweep(layout: &Layout, run: &RunLayout) -> Result<(), CompleteError> {
    sweep_folder(run.folder(), &|_| true)?;
    let receipt = format!("-{}.json", run.run_id());
    sweep_folder(&layout.receipts(), &|name| name.ends_with(&receipt))
}

fn sweep_folder(folder: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<(), CompleteError> {
    let wrong = |source| CompleteError::folder(folder, source);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(wrong)?,
    };
    for entry in entries {
        let entry = entry.map_err(wrong)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(wrong)?;
        // Extracted files are the user's, whatever they are called.
        if kind.is_dir() && name.starts_with(TEMPORARY_PREFIX) {
            fs::remove_dir_all(&path).map_err(|source| CompleteError::events(&path, source))?;
        } else if kind.is_dir() && entry.file_name() != ARTIFACTS {
            sweep_folder(&path, is_ours)?;
        } else if kind.is_file() && name.starts_with(TEMPORARY_PREFIX) && is_ours(&name) {
            fs::remove_file(&path).map_err(|source| CompleteError::events(&path, source))?;
        }
    }
    Ok(())
}
