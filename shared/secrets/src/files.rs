//! The folder of a run's secret values: one folder a job, in it one file a value.
//!
//! It lies in the temp folder, where only its owner can look, and its name follows from the run:
//! whoever finds the run dead can remove it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use libloom_contract::layout;

use crate::{Value, bytes};

/// Permissions of a file that every user of a container may read.
pub const READABLE: u32 = 0o444;

/// The files of one job; removed when this is dropped.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Makes the folder of a job of a run, only for its owner.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn create(temp: &Path, run_id: &str, job_id: &str) -> io::Result<Self> {
        let run = layout::secrets(temp, run_id);
        let folder = run.join(job_id);
        let make = |folder: &Path| DirBuilder::new().mode(0o700).create(folder);
        match make(&run) {
            // Another job of the run was first; a stranger's folder is not ours to use.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => require_own(&run)?,
            made => made.map_err(|error| named(&run, &error))?,
        }
        make(&folder).map_err(|error| named(&folder, &error))?;
        Ok(Files { folder })
    }

    /// Writes a value, readable by its owner only; its path.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&self, name: &str, value: &[u8]) -> io::Result<PathBuf> {
        self.write_mode(name, value, 0o600)
    }

    /// The same with other permissions, [`READABLE`] for what a container sees; the folder stays
    /// its owner's.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write_mode(&self, name: &str, value: &[u8], mode: u32) -> io::Result<PathBuf> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(mode);
        let written = options.open(&path).and_then(|mut file| file.write_all(value));
        written.map_err(|error| named(&path, &error))?;
        Ok(path)
    }

    /// Where the file of this name is, or will be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same as [`Files::write_value`] for a container, whatever user it runs as; path and name.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write_readable(&self, value: &Value, ordinal: usize) -> io::Result<(PathBuf, String)> {
        let name = file_name(value, ordinal);
        Ok((self.write_mode(&name, bytes(&value.value), READABLE)?, name))
    }

    /// Writes the file of `value`, the `ordinal`th of its job from 1, and says where it is.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write_value(&self, value: &Value, ordinal: usize) -> io::Result<PathBuf> {
        self.write(&file_name(value, ordinal), bytes(&value.value))
    }
}

fn file_name(value: &Value, ordinal: usize) -> String {
    format!("loom-secret-{}-{ordinal}", value.name)
}

impl Drop for Files {
    fn drop(&mut self) {
        // The end of the run removes the whole folder, and tells if that fails.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Ids of the runs whose secrets lie in `temp`.
pub fn runs(temp: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(temp).into_iter().flatten().flatten();
    entries.filter_map(|entry| layout::run_of_secrets(entry.file_name().to_str()?))
}

/// Removes whatever a run left.
///
/// # Errors
/// What the system says, with the path.
pub fn remove(temp: &Path, run_id: &str) -> io::Result<()> {
    let folder = layout::secrets(temp, run_id);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(&folder, &error)),
        _ => Ok(()),
    }
}

fn require_own(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(folder).map_err(|error| named(folder, &error))?;
    if found.is_dir() && found.mode() & 0o077 == 0 {
        // Whoever else owns it, only the superuser could write there: nobody is deceived.
        return Ok(());
    }
    Err(io::Error::other(format!("`{}` exists and is open to others", folder.display())))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}
