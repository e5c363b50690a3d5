//! Completing the documents of a run whose process is gone.
//!
//! Everything is taken from what is on disk: the context and the plan in the data of
//! `run.bootstrap`, the graph document, and what summaries and event streams there are. First the
//! streams get the finish events that are missing (`cancelled`, `interrupted`) and lose a torn
//! last line; then the documents that are missing or damaged are written, the receipt last. A
//! document that is whole is never changed, and a run of a newer format is not touched.
//!
//! A run completed here ends `cancelled`, reason `interrupted`, exit code 3 (it could not be
//! done): the code its process really ended with is known to nobody. What was running is what
//! the manifests point to where nothing failed. Times end with the last event on disk.

mod job;
mod mend;
mod run;
mod sweep;

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use libloom_contract::{Document, StoreError, layout::Layout, store, version::VersionError};

use crate::{lock, read::RUN_PREFIX, stream::StreamError};

/// The sentence that stands beside `interrupted`.
const MESSAGE: &str = "the run's process ended before it was done; completed afterwards";

/// Why a run's documents could not be completed. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// A document cannot be written, or was written by a newer Loom.
    #[error(transparent)]
    Document(#[from] StoreError),
    /// An event stream cannot be read, or was written by a newer Loom.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// An event stream cannot be mended or continued.
    #[error("cannot write `{}`", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder cannot be listed or locked.
    #[error("cannot open the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CompleteError {
    fn events(path: &Path, source: io::Error) -> Self {
        Self::Events { path: path.to_owned(), source }
    }

    fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}

/// Completes the documents of one run. The caller holds the run's lock.
///
/// Doing it again changes nothing. Within a workspace, where runs are links, the documents land
/// where the links point.
///
/// # Errors
/// Something cannot be read or written, or is of a newer format; what was completed until then
/// stays, and the next call goes on from there.
pub fn complete(layout: &Layout, run_id: &str) -> Result<(), CompleteError> {
    run::complete(&home(layout, run_id), run_id)
}

/// A run that was found dead, and what came of completing it.
pub type Completed = (String, Result<(), CompleteError>);

/// Completes every run without a receipt whose lock is free, and says which those were.
///
/// Costs two directory listings when there is none. A living run is not touched: it holds its
/// lock from the moment its folder has its name.
///
/// # Errors
/// The folder of all runs or of all receipts is there and cannot be listed.
pub fn complete_dead_runs(layout: &Layout) -> Result<Vec<Completed>, CompleteError> {
    let receipts = existing_names(&layout.receipts())?;
    let is_run = |name: &String| name.starts_with(RUN_PREFIX);
    let without_receipt =
        |name: &String| !receipts.contains(&OsString::from(format!("{name}.json")));
    let mut names: Vec<String> = existing_names(&layout.logs())?
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(is_run)
        .filter(without_receipt)
        .collect();
    names.sort_unstable();
    let completed = |name: String| complete_if_dead(layout, &name).map(|result| (name, result));
    Ok(names.into_iter().filter_map(completed).collect())
}

/// `None` when the run lives, is no run, or was completed by someone else.
fn complete_if_dead(layout: &Layout, run_id: &str) -> Option<Result<(), CompleteError>> {
    let paths = layout.run(run_id);
    if !paths.folder().is_dir() {
        return None;
    }
    let lock = match lock::take(paths.folder()) {
        Ok(lock) => lock?,
        Err(source) => return Some(Err(CompleteError::folder(paths.folder(), source))),
    };
    if layout.run_receipt(run_id).exists() {
        return None;
    }
    let result = complete(layout, run_id);
    drop(lock);
    Some(result)
}

/// Names in a folder; a link that leads nowhere does not count, nor does a missing folder.
fn existing_names(folder: &Path) -> Result<HashSet<OsString>, CompleteError> {
    let wrong = |source| CompleteError::folder(folder, source);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        result => result.map_err(wrong)?,
    };
    let mut names = HashSet::new();
    for entry in entries {
        let entry = entry.map_err(wrong)?;
        let is_link = entry.file_type().map_err(wrong)?.is_symlink();
        if !is_link || entry.path().exists() {
            names.insert(entry.file_name());
        }
    }
    Ok(names)
}

/// The runtime directory that a run really lies in: in a workspace its folder is a link.
fn home(layout: &Layout, run_id: &str) -> Layout {
    let folder = layout.run(run_id).folder().to_owned();
    let is_link = fs::symlink_metadata(&folder).is_ok_and(|data| data.is_symlink());
    let real = is_link.then(|| fs::canonicalize(&folder).ok()).flatten();
    // <root>/.loom/.runtime/logs/<run_id>
    let root = real.as_deref().and_then(|folder| folder.ancestors().nth(4));
    let there = root.map(Layout::of_repository);
    there
        .filter(|there| real == Some(there.run(run_id).folder().to_owned()))
        .unwrap_or_else(|| layout.clone())
}

/// A document, if it is there and whole; one of a newer format is an error, to be left alone.
fn whole<D: Document>(path: &Path) -> Result<Option<D>, CompleteError> {
    match store::read(path) {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(StoreError::Damaged { .. } | StoreError::Kind { .. }) => Ok(None),
        Err(StoreError::Version { source: VersionError::Other { .. }, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
