//! Finds and reads a workflow on disk; the only module of this crate that touches it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use libloom_contract::layout::DEFAULT_WORKFLOW;

use crate::yaml::MAX_BYTES;
use crate::{Compiled, Explained, Files};

/// A workflow file that was found and read.
#[derive(Clone, Debug)]
pub struct Located {
    /// Absolute path of the repository's top folder.
    pub root: PathBuf,
    /// Absolute path of the file.
    pub file: PathBuf,
    /// Path relative to the root, with `/`.
    pub path: String,
    /// What the file holds.
    pub bytes: Vec<u8>,
}

/// Why there is no workflow to look at.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The file is not there.
    #[error("no workflow at `{}`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// A file beside it that was probably meant.
        nearby: Option<String>,
    },
    /// The file is not in the repository.
    #[error("workflow `{}` is outside the repository `{}`", path.display(), root.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The repository.
        root: PathBuf,
    },
    /// A folder, a device, a pipe.
    #[error("workflow `{}` is not a file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read workflow `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LocateError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            LocateError::Missing { nearby: Some(nearby), .. } => {
                format!("did you mean `{nearby}`? rename it, or pass --workflow {nearby}")
            }
            LocateError::Missing { .. } => {
                format!("create `{DEFAULT_WORKFLOW}`, or name another file with --workflow")
            }
            LocateError::Outside { .. } => "name a file inside the repository".to_owned(),
            LocateError::NotAFile { .. } => "name a YAML file".to_owned(),
            LocateError::Unreadable { .. } => "make the file readable (chmod u+r)".to_owned(),
        }
    }
}

impl Located {
    /// Finds `named`, relative to `cwd` or else to `root`; without a name the default workflow of
    /// `root`.
    ///
    /// # Errors
    /// The file is missing, outside the repository, no file, or not readable.
    pub fn find(root: &Path, cwd: &Path, named: Option<&Path>) -> Result<Self, LocateError> {
        let file = match named {
            None => root.join(DEFAULT_WORKFLOW),
            Some(named) if cwd.join(named).symlink_metadata().is_ok() => cwd.join(named),
            Some(named) if root.join(named).symlink_metadata().is_ok() => root.join(named),
            Some(named) => cwd.join(named),
        };
        let path = relative(root, &file)?;
        let bytes = read_limited(&file).map_err(|source| explain(&file, root, source))?;
        Ok(Located { root: root.to_owned(), file, path, bytes })
    }

    /// Compiles it, with includes from the same repository.
    pub fn compile(&self) -> Compiled {
        self.with_files(|files| crate::compile(&self.path, self.bytes.clone(), files))
    }

    /// Finds what is wrong with it, without making its graph.
    pub fn check(&self) -> Compiled {
        self.with_files(|files| crate::check(&self.path, self.bytes.clone(), files))
    }

    /// Where each value of a job comes from; see [`crate::explain()`].
    pub fn explain(&self, job: &str) -> Option<Vec<Explained>> {
        self.with_files(|files| crate::explain(&self.path, self.bytes.clone(), files, job))
    }

    fn with_files<T>(&self, run: impl FnOnce(&Files<'_>) -> T) -> T {
        let read = |path: &str| read_limited(&self.root.join(path));
        let exists = |path: &str| self.root.join(path).is_file();
        run(&Files { read: &read, exists: &exists })
    }
}

/// The path below `root`, links in the folders on the way resolved.
fn relative(root: &Path, file: &Path) -> Result<String, LocateError> {
    let outside = || LocateError::Outside { path: file.to_owned(), root: root.to_owned() };
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(LocateError::NotAFile { path: file.to_owned() });
    };
    let folder = folder.canonicalize().map_err(|source| explain(file, root, source))?;
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let below = folder.strip_prefix(&root).map_err(|_| outside())?;
    Ok(below.join(name).to_string_lossy().into_owned())
}

/// Reads a regular file up to just past the limit, so that a huge one is noticed, not loaded.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn explain(file: &Path, root: &Path, source: io::Error) -> LocateError {
    let path = file.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            LocateError::Missing { path, nearby: nearby(root, file) }
        }
        io::ErrorKind::IsADirectory => LocateError::NotAFile { path },
        _ => LocateError::Unreadable { path, source },
    }
}

/// The same name with the other ending, or another workflow where people put it.
fn nearby(root: &Path, file: &Path) -> Option<String> {
    let other = match file.extension().and_then(|ending| ending.to_str()) {
        Some("yml") => file.with_extension("yaml"),
        Some("yaml") => file.with_extension("yml"),
        _ => file.with_extension("yml"),
    };
    let places = [other, root.join(DEFAULT_WORKFLOW), root.join(".loom/workflow.yaml")];
    let found = places.into_iter().find(|place| place != file && place.is_file())?;
    let shown = found.strip_prefix(root).unwrap_or(&found);
    Some(shown.display().to_string())
}
