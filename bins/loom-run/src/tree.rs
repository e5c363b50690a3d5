//! The files of a workspace.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

/// A folder that cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list `{}`: {source}", path.display())]
pub struct TreeError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Regular files and symlinks below `root`, relative to it, without git's and Loom's own.
///
/// # Errors
/// A folder that cannot be listed.
pub fn files(root: &Path) -> Result<Vec<PathBuf>, TreeError> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        let failed = |source| TreeError { path: full.clone(), source };
        for entry in fs::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.extend((!is_own(&path)).then_some(path));
            } else if !is_special(kind) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn is_own(folder: &Path) -> bool {
    folder == Path::new(".git") || folder == Path::new(libloom_contract::layout::RUNTIME)
}

fn is_special(kind: fs::FileType) -> bool {
    kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device()
}
