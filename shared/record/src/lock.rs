//! The lock that says whether a run lives: `flock` on the run's own folder.
//!
//! The guard and the worker of a run share one open folder, so the lock is free only when both
//! are gone. No file is made and nothing is left behind.

use std::{fs::File, io, path::Path};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// Held for as long as it exists in any process that shares it.
#[derive(Debug)]
pub struct RunLock {
    _folder: File,
}

/// Takes the lock of the run at `folder`; `None` when the run lives.
///
/// # Errors
/// The folder cannot be opened.
pub fn take(folder: &Path) -> io::Result<Option<RunLock>> {
    let folder = open_folder(folder)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(RunLock { _folder: folder })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Keeps the run at `folder` from being taken for dead, for as long as this process, or one that it
/// becomes or starts, has the folder open; does nothing where the run lives.
///
/// # Errors
/// The folder cannot be opened.
pub fn keep_from_being_cleared(folder: &Path) -> io::Result<()> {
    let folder = open_folder(folder)?;
    match flock(&folder, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            rustix::io::fcntl_setfd(&folder, rustix::io::FdFlags::empty())?;
            // Never closed by this process, and not by `exec` either.
            let _ = std::os::fd::IntoRawFd::into_raw_fd(folder);
            Ok(())
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(open(folder, flags, Mode::empty())?))
}

/// Whether the run at `folder` lives; a folder that cannot be opened has no living run.
pub fn is_held(folder: &Path) -> bool {
    matches!(take(folder), Ok(None))
}

/// Whether the run at `folder` lives; `None` where that cannot be told from here.
pub fn is_held_if_known(folder: &Path) -> Option<bool> {
    take(folder).ok().map(|lock| lock.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_taker_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let lock = take(folder.path()).unwrap();
        assert!(lock.is_some() && is_held(folder.path()));
        assert_eq!(is_held_if_known(folder.path()), Some(true));
        drop(lock);
        assert!(!is_held(folder.path()));
        assert_eq!(is_held_if_known(folder.path()), Some(false));
        assert_eq!(is_held_if_known(&folder.path().join("gone")), None);
    }
}
