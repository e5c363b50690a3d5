//! A place in two trees at once: the folder of the source and the folder of the copy.
//!
//! Everything is opened relative to the folder above it and never through a symlink, so that a
//! folder swapped for a symlink while we copy leads nowhere. Paths come sorted, so one stack of
//! open folders is enough; a folder of the copy is made when the first file below it is.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::kinds::Kinds;
use crate::special::Specials;
use crate::stat::permissions;

/// How folders are opened: enough to look below them, and no symlink followed.
#[cfg(target_os = "linux")]
pub(crate) const FOLDER: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How folders are opened: enough to look below them, and no symlink followed.
#[cfg(not(target_os = "linux"))]
pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How folders are opened that are listed.
pub(crate) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The roots of both trees and the folders on the way to the present path.
pub(crate) struct Folders<'a> {
    source: BorrowedFd<'a>,
    copy: BorrowedFd<'a>,
    path: Vec<u8>,
    stack: Vec<Level>,
    /// Where to put the special files of the folders that are listed; if absent, none is.
    specials: Option<&'a Specials<'a>>,
    top_kinds: Option<Kinds>,
}

struct Level {
    /// Where this level's name ends in `path`.
    end: usize,
    /// Absent where the source has no such folder (or a file or symlink in its place).
    source: Option<OwnedFd>,
    copy: Option<OwnedFd>,
    kinds: Option<Kinds>,
}

impl<'a> Folders<'a> {
    pub(crate) fn new(source: BorrowedFd<'a>, copy: BorrowedFd<'a>) -> Self {
        let (path, stack) = (Vec::new(), Vec::new());
        Self { source, copy, path, stack, specials: None, top_kinds: None }
    }

    /// The same for a walk that lists the folders of the source, if there is where to put the
    /// special files they hold.
    pub(crate) fn listing(self, specials: Option<&'a Specials<'a>>) -> Self {
        Self { specials, ..self }
    }

    /// Goes to the folder that holds `path` and returns the last name of `path`.
    pub(crate) fn go_to<'p>(&mut self, path: &'p [u8]) -> Result<&'p OsStr, Errno> {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let folder = &path[..end.unwrap_or(0)];
        if folder != self.path {
            self.change(folder)?;
        }
        Ok(OsStr::from_bytes(&path[end.map_or(0, |end| end + 1)..]))
    }

    /// The present folder of the source, if there is one.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        match self.stack.last() {
            None => Some(self.source),
            Some(level) => level.source.as_ref().map(AsFd::as_fd),
        }
    }

    /// What `name` in the present folder of the source was when that was first asked about;
    /// `None` where only a look at it can tell.
    pub(crate) fn kind(&mut self, name: &OsStr) -> Result<Option<FileType>, Errno> {
        let Some(specials) = self.specials else { return Ok(None) };
        let (folder, kinds) = match self.stack.last_mut() {
            None => (Some(self.source), &mut self.top_kinds),
            Some(level) => (level.source.as_ref().map(AsFd::as_fd), &mut level.kinds),
        };
        let Some(folder) = folder else { return Ok(None) };
        if kinds.is_none() {
            let listed = list(folder)?;
            let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
            specials.add(&[&self.path, slash].concat(), &listed);
            *kinds = Some(listed);
        }
        Ok(kinds.as_ref().and_then(|kinds| kinds.of(name.as_bytes())))
    }

    /// The present folder of the copy, made if need be.
    pub(crate) fn copy(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let made = self.stack.iter().rposition(|level| level.copy.is_some());
        for at in made.map_or(0, |at| at + 1)..self.stack.len() {
            let start = at.checked_sub(1).map_or(0, |above| self.stack[above].end + 1);
            let name = OsStr::from_bytes(&self.path[start..self.stack[at].end]);
            let above = match at.checked_sub(1).and_then(|above| self.stack[above].copy.as_ref()) {
                Some(above) => above.as_fd(),
                None => self.copy,
            };
            let mode = match &self.stack[at].source {
                Some(folder) => permissions(&fstat(folder)?) | 0o700,
                None => 0o777,
            };
            self.stack[at].copy = Some(make(above, name, Mode::from_raw_mode(mode))?);
        }
        Ok(self.stack.last().and_then(|level| level.copy.as_ref()).map_or(self.copy, AsFd::as_fd))
    }

    fn change(&mut self, folder: &[u8]) -> Result<(), Errno> {
        let is_shared = |level: &Level| {
            folder.get(..level.end) == Some(&self.path[..level.end])
                && folder.get(level.end).is_none_or(|byte| *byte == b'/')
        };
        let shared = self.stack.iter().take_while(|level| is_shared(level)).count();
        self.stack.truncate(shared);
        self.path.truncate(self.stack.last().map_or(0, |level| level.end));
        let rest =
            folder[self.path.len()..].strip_prefix(b"/").unwrap_or(&folder[self.path.len()..]);
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            self.push(name)?;
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8]) -> Result<(), Errno> {
        let source = match self.source() {
            Some(above) => open_below(above, OsStr::from_bytes(name))?,
            None => None,
        };
        if !self.stack.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.stack.push(Level { end: self.path.len(), source, copy: None, kinds: None });
        Ok(())
    }
}

/// The folder `name` of `above`; `None` if there is none, or something else in its place.
fn open_below(above: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    match openat(above, name, FOLDER, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What `folder` holds; nothing if it may be entered but not listed.
fn list(folder: BorrowedFd<'_>) -> Result<Kinds, Errno> {
    // Opened anew: listing moves the position, and needs more than looking below does.
    match openat(folder, ".", READ, Mode::empty()) {
        Ok(folder) => Kinds::list(folder.as_fd()),
        Err(Errno::ACCESS) => Ok(Kinds::default()),
        Err(error) => Err(error),
    }
}

/// Makes the folder `name` in `above` if it is missing, and opens it.
pub(crate) fn make(above: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<OwnedFd, Errno> {
    match mkdirat(above, name, mode) {
        Ok(()) | Err(Errno::EXIST) => openat(above, name, FOLDER, Mode::empty()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::listing::open_root;

    #[test]
    fn symlinked_folders_are_not_entered_and_folders_are_made_late() {
        let temp = tempfile::tempdir().unwrap();
        let (source, copy) = (temp.path().join("source"), temp.path().join("copy"));
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::create_dir(&copy).unwrap();
        symlink("a", source.join("link")).unwrap();
        let (from, to) = (open_root(&source).unwrap(), open_root(&copy).unwrap());
        let mut folders = Folders::new(from.as_fd(), to.as_fd());
        assert_eq!(folders.go_to(b"link/b/x").unwrap(), "x");
        assert!(folders.source().is_none(), "the way leads through a symlink");
        folders.go_to(b"a/b/x").unwrap();
        assert!(folders.source().is_some() && !copy.join("a").exists());
        folders.copy().unwrap();
        assert!(copy.join("a/b").is_dir());
        folders.go_to(b"ab/x").unwrap();
        assert!(folders.source().is_none(), "`ab` is not below `a`");
        folders.go_to(b"x").unwrap();
        assert!(folders.source().is_some());
    }

    #[test]
    fn a_symlink_in_the_copy_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (source, copy) = (temp.path().join("source"), temp.path().join("copy"));
        fs::create_dir_all(source.join("a")).unwrap();
        fs::create_dir(&copy).unwrap();
        symlink(temp.path(), copy.join("a")).unwrap();
        let (from, to) = (open_root(&source).unwrap(), open_root(&copy).unwrap());
        let mut folders = Folders::new(from.as_fd(), to.as_fd());
        folders.go_to(b"a/x").unwrap();
        assert!(folders.copy().is_err());
    }
}
