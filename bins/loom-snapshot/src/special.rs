//! What no listing of git names: FIFOs, sockets and devices, of which the user is told, and folders
//! without files, which are made.
//!
//! Folders that hold something tracked are looked at anyway; of others only those that git does
//! not ignore, so that a walk never enters `node_modules` and its like.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use libloom_console::printable;
use libloom_contract::layout;
use libloom_entry::{Failure, OrFail};
use rustix::fs::{FileType, Mode, RawDir, openat};
use rustix::io::Errno;

use crate::copy::CopyError;
use crate::errors::{cannot_copy, cannot_write};
use crate::folders::{Folders, READ};
use crate::git::{Git, failed, pieces};
use crate::index::Index;
use crate::pool::Pool;
use crate::repository::is_below;

/// How many special files are named.
const MOST: usize = 100;

/// Makes the folders without files that git does not ignore (untracked ones only if
/// `with_untracked`), and returns notes about special files that it does not ignore either.
pub(crate) fn look(
    pool: &Pool<'_>,
    git: &Git,
    index: &Index,
    with_untracked: bool,
) -> Result<Vec<String>, Failure> {
    // Opened anew: reading moves the position of the folder we were given.
    let top = openat(pool.source, ".", READ, Mode::empty())
        .or_could_not("cannot open the top folder of the work tree")?;
    let mut walk = Walk::new(pool, &top);
    walk.known_folders(index)?;
    let mut unknown = std::mem::take(&mut walk.unknown);
    while with_untracked && !unknown.is_empty() && !pool.progress.is_stopping() {
        for folder in not_ignored(git, unknown)? {
            walk.untracked_folder(&folder)?;
        }
        unknown = std::mem::take(&mut walk.unknown);
    }
    Ok(not_ignored(git, walk.special)?.iter().map(|path| note(path)).collect())
}

fn note(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path).into_owned();
    format!("`{}` left out: neither file, folder nor symlink", printable(&text))
}

/// Those of `paths` that git does not ignore.
fn not_ignored(git: &Git, paths: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    if paths.is_empty() {
        return Ok(paths);
    }
    let output = git.ask(&["check-ignore", "-z", "--stdin"], &paths.join(&0))?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(failed("git check-ignore", &output));
    }
    let ignored: std::collections::HashSet<&[u8]> = pieces(&output.stdout).collect();
    Ok(paths.into_iter().filter(|path| !ignored.contains(path.as_slice())).collect())
}

struct Walk<'a> {
    pool: &'a Pool<'a>,
    folders: Folders<'a>,
    buffer: Vec<u8>,
    special: Vec<Vec<u8>>,
    /// Folders in which git tracks nothing.
    unknown: Vec<Vec<u8>>,
}

/// What one folder holds.
#[derive(Default)]
struct Listing {
    special: Vec<Vec<u8>>,
    folders: Vec<Vec<u8>>,
    has_file: bool,
    has_git: bool,
}

impl<'a> Walk<'a> {
    fn new(pool: &'a Pool<'a>, top: &'a OwnedFd) -> Self {
        let folders = Folders::listing(top.as_fd(), pool.copy);
        let buffer = Vec::with_capacity(32 * 1024);
        Self { pool, folders, buffer, special: Vec::new(), unknown: Vec::new() }
    }

    /// Looks at every folder that holds a path of the index.
    fn known_folders(&mut self, index: &Index) -> Result<(), Failure> {
        let paths: Vec<&[u8]> = index.entries.iter().map(|entry| index.path(entry)).collect();
        let mut last: Option<&[u8]> = None;
        // The empty path stands for the top folder, which may hold no file itself.
        for path in std::iter::once(&b""[..]).chain(paths.iter().copied()) {
            let end = path.iter().rposition(|byte| *byte == b'/');
            let folder = &path[..end.map_or(0, |end| end + 1)];
            if last == Some(folder) || self.pool.progress.is_stopping() {
                continue;
            }
            last = Some(folder);
            let Some(listing) = self.list(folder)? else { continue };
            self.special.extend(listing.special);
            let is_unknown = |path: &Vec<u8>| !is_known(&paths, path);
            self.unknown.extend(listing.folders.into_iter().filter(is_unknown));
            if !listing.has_file {
                // Its files are gone; it is still there.
                self.make(folder)?;
            }
        }
        // A folder is listed again where index order comes back to it after one below it.
        for paths in [&mut self.special, &mut self.unknown] {
            paths.sort();
            paths.dedup();
        }
        self.special.truncate(MOST);
        Ok(())
    }

    /// Makes a folder in which nothing is tracked, and looks what it holds.
    fn untracked_folder(&mut self, folder: &[u8]) -> Result<(), Failure> {
        let folder = [folder, b"/"].concat();
        let Some(listing) = self.list(&folder)? else { return Ok(()) };
        // `.loom` may be there for the runtime directory alone, which no snapshot holds.
        if !is_below(layout::RUNTIME.as_bytes(), OsStr::from_bytes(&folder[..folder.len() - 1])) {
            self.make(&folder)?;
        }
        // A repository of its own is listed by git in it.
        if !listing.has_git {
            let room = MOST.saturating_sub(self.special.len());
            self.special.extend(listing.special.into_iter().take(room));
            self.unknown.extend(listing.folders);
        }
        Ok(())
    }

    /// What `folder`, which ends in a slash unless it is the top, holds; `None` if it is gone.
    fn list(&mut self, folder: &[u8]) -> Result<Option<Listing>, Failure> {
        let cannot = |error: Errno| {
            cannot_copy(folder.strip_suffix(b"/").unwrap_or(b"."), CopyError::Read(error.into()))
        };
        self.folders.go_to(folder).map_err(cannot)?;
        let Some(source) = self.folders.source() else { return Ok(None) };
        let mut listing = Listing::default();
        let mut entries = RawDir::new(source, self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if name == b".git" {
                listing.has_git = true;
                continue;
            }
            let path = || [folder, name].concat();
            match entry.file_type() {
                FileType::Directory if !is_below(&path(), layout::RUNTIME.as_ref()) => {
                    listing.folders.push(path());
                }
                FileType::Directory => {}
                FileType::RegularFile | FileType::Symlink | FileType::Unknown => {
                    listing.has_file = true;
                }
                _ => listing.special.push(path()),
            }
        }
        Ok(Some(listing))
    }

    fn make(&mut self, folder: &[u8]) -> Result<(), Failure> {
        let made = self.folders.go_to(folder).and_then(|_| self.folders.copy().map(drop));
        made.map_err(|error| {
            let text = String::from_utf8_lossy(folder);
            cannot_write(format_args!("cannot make the folder `{}`", printable(&text)), error)
        })
    }
}

/// Whether one of the sorted `paths` is `folder` or lies in it.
fn is_known(paths: &[&[u8]], folder: &[u8]) -> bool {
    let holds = |folder: &[u8]| {
        let at = paths.partition_point(|path| *path < folder);
        paths.get(at).is_some_and(|path| path.starts_with(folder))
    };
    paths.binary_search(&folder).is_ok() || holds(&[folder, b"/"].concat())
}
