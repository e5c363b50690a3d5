//! Where a run is recorded: in the repository, or, where that cannot be written, in the
//! workspace.

use std::{fs, io, path::Path};

use libloom_contract::{
    Timestamp,
    layout::{self, Layout},
};
use libloom_entry::{Failure, OrFail as _};
use libloom_record::lock::{self, RunLock};

/// Where a run is recorded.
#[derive(Debug)]
pub enum Place {
    /// In the repository; the run's folder is made and locked.
    Repository {
        /// The repository's runtime directory.
        layout: Layout,
        /// When the run began.
        started_at: Timestamp,
        /// Held by guard and worker both, for as long as either lives.
        _lock: RunLock,
    },
    /// In the workspace that is yet to be made.
    Workspace {
        /// When the run began.
        started_at: Timestamp,
    },
}

impl Place {
    /// When the run began.
    pub fn started_at(&self) -> Timestamp {
        match self {
            Place::Repository { started_at, .. } | Place::Workspace { started_at } => *started_at,
        }
    }

    /// Id of the run.
    pub fn run_id(&self) -> String {
        layout::run_id(self.started_at())
    }

    /// Runtime directory and run id, where the record is in the repository.
    pub fn of_repository(&self) -> Option<(&Layout, String)> {
        match self {
            Place::Repository { layout, .. } => Some((layout, self.run_id())),
            Place::Workspace { .. } => None,
        }
    }
}

/// Makes and locks the folder of a new run.
///
/// # Errors
/// It cannot be made, for another reason than that the repository must not be written.
pub fn open(root: &Path) -> Result<Place, Failure> {
    let layout = Layout::of_repository(root);
    match layout.create() {
        Ok(()) => {}
        Err(error) if is_not_writable(&error) => {
            return Ok(Place::Workspace { started_at: Timestamp::now() });
        }
        Err(error) => return Err(error).or_could_not(cannot_make(layout.runtime())),
    }
    loop {
        let started_at = Timestamp::now();
        let run_id = layout::run_id(started_at);
        // Two runs never begin in the same nanosecond, unless the clock is coarse.
        if !layout.run(&run_id).folder().exists() {
            let lock = make_run_folder(&layout, &run_id)?;
            return Ok(Place::Repository { layout, started_at, _lock: lock });
        }
    }
}

fn is_not_writable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn cannot_make(path: &Path) -> String {
    format!("cannot make `{}`", path.display())
}

/// Makes the run's folder and takes its lock.
///
/// # Errors
/// What the system says.
pub fn make_run_folder(layout: &Layout, run_id: &str) -> Result<RunLock, Failure> {
    let folder = layout.run(run_id).folder().to_owned();
    // It gets its name once it is locked: a run that clears up meanwhile must not take it for
    // the folder of a dead one.
    let nameless = folder.with_file_name(format!(".{run_id}"));
    let made = layout.create().and_then(|()| fs::create_dir_all(&nameless));
    made.or_could_not(cannot_make(&folder))?;
    let lock = lock::take(&nameless).or_could_not(format!("cannot lock `{}`", folder.display()))?;
    let lock = lock
        .ok_or_else(|| Failure::could_not(format!("another run holds `{}`", nameless.display())))?;
    fs::rename(&nameless, &folder).or_could_not(cannot_make(&folder))?;
    Ok(lock)
}
