//! Copies one path from the work tree, whatever it is there.
//!
//! A file's content, permissions and modification time; a symlink as it is. A file that changes
//! while it is copied is copied again, [`ATTEMPTS`] times in all; then it is an error.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens, openat,
    readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::folders::Folders;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::stat::{is_torn, kind, permissions};
use crate::transfer::Transfer;

/// How often a file that keeps changing is copied.
const ATTEMPTS: usize = 4;

/// What became of one path.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly always the large one; never kept")]
pub(crate) enum Copied {
    /// It is not in the work tree.
    Missing,
    /// A file or symlink, as it is in the source and as it is in the copy.
    File { source: Stat, copy: Stat },
    /// There is a folder; nothing was done about it.
    Folder,
}

/// Why a path cannot be copied; the caller names the path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("cannot read it")]
    Read(#[source] std::io::Error),
    #[error("cannot write the copy")]
    Write(#[source] std::io::Error),
    #[error("it is a {0}, which a snapshot cannot hold")]
    Special(&'static str),
    #[error("it kept changing while it was copied ({ATTEMPTS} attempts)")]
    Torn,
    #[error("it was not finished, because something else failed")]
    Stopped,
}

impl CopyError {
    pub(crate) fn read(error: impl Into<std::io::Error>) -> Self {
        Self::Read(error.into())
    }

    pub(crate) fn write(error: impl Into<std::io::Error>) -> Self {
        Self::Write(error.into())
    }
}

/// One thread's way through the trees, with its buffer.
pub(crate) struct Copier<'a> {
    folders: Folders<'a>,
    transfer: &'a Transfer,
    progress: &'a Progress,
    buffer: Vec<u8>,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(pool: &Pool<'a>) -> Self {
        let Pool { source, copy, transfer, progress, specials } = *pool;
        let folders = Folders::new(source, copy).listing(specials);
        Self { folders, transfer, progress, buffer: Vec::new() }
    }

    /// Copies what is at `path`, which is relative to both roots.
    pub(crate) fn path(&mut self, path: &[u8]) -> Result<Copied, CopyError> {
        let name = self.folders.go_to(path).map_err(CopyError::read)?;
        // Nearly everything is a file, and a folder's listing says so: then it is opened without
        // another look. Nothing but a file is opened, for that can have effects of its own.
        if self.folders.kind(name).map_err(CopyError::read)? == Some(FileType::RegularFile)
            && let Some(copied) = self.file(name)?
        {
            return Ok(copied);
        }
        for _ in 0..ATTEMPTS {
            let Some(folder) = self.folders.source() else { return Ok(Copied::Missing) };
            let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Copied::Missing),
                Err(error) => return Err(CopyError::read(error)),
            };
            let copied = match kind(&stat) {
                FileType::RegularFile => self.file(name)?,
                FileType::Symlink => self.symlink(name, &stat)?,
                FileType::Directory => return Ok(Copied::Folder),
                other => return Err(CopyError::Special(word(other))),
            };
            if let Some(copied) = copied {
                return Ok(copied);
            }
        }
        Err(CopyError::Torn)
    }

    /// Copies a file; `None` if it changed or went meanwhile and nothing was kept.
    fn file(&mut self, name: &OsStr) -> Result<Option<Copied>, CopyError> {
        let folder = self.folders.source().expect("the file was just seen in it");
        // NONBLOCK: should a FIFO have taken the file's place, opening it must not wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = match openat(folder, name, flags, Mode::empty()) {
            Ok(from) => File::from(from),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(CopyError::read(error)),
        };
        let source = fstat(&from).map_err(CopyError::read)?;
        if kind(&source) != FileType::RegularFile {
            return Ok(None);
        }
        let folder = self.folders.copy().map_err(CopyError::write)?;
        let to = File::from(create(folder, name, &source).map_err(CopyError::write)?);
        self.transfer.content(&from, &to, &source, self.progress, &mut self.buffer)?;
        if is_torn(&source, &fstat(&from).map_err(CopyError::read)?) {
            unlinkat(folder, name, AtFlags::empty()).map_err(CopyError::write)?;
            return Ok(None);
        }
        let copy = finish(&to, &source).map_err(CopyError::write)?;
        Ok(Some(Copied::File { source, copy }))
    }

    fn symlink(&mut self, name: &OsStr, stat: &Stat) -> Result<Option<Copied>, CopyError> {
        let folder = self.folders.source().expect("the symlink was just seen in it");
        let target = match readlinkat(folder, name, Vec::new()) {
            Ok(target) => target,
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(CopyError::read(error)),
        };
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(after) if !is_torn(stat, &after) => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(CopyError::read(error)),
        }
        let folder = self.folders.copy().map_err(CopyError::write)?;
        let make = || {
            symlinkat(&target, folder, name)?;
            utimensat(folder, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        };
        let copy = make().map_err(CopyError::write)?;
        Ok(Some(Copied::File { source: *stat, copy }))
    }
}

fn create(folder: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::from_raw_mode(permissions(stat)))
}

/// Sets times and, where the umask took some, permissions; returns what git will see.
fn finish(to: &File, stat: &Stat) -> Result<Stat, Errno> {
    futimens(to.as_fd(), &times(stat))?;
    let copy = fstat(to)?;
    if permissions(&copy) == permissions(stat) {
        return Ok(copy);
    }
    fchmod(to, Mode::from_raw_mode(permissions(stat)))?;
    fstat(to)
}

#[expect(clippy::useless_conversion, reason = "the field types differ between systems")]
fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec { tv_sec: stat.st_mtime.into(), tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: modified, last_modification: modified }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "thing of unknown kind",
    }
}
