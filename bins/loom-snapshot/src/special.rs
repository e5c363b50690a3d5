//! What no listing of git names: FIFOs, sockets and devices, of which the user is told, and folders
//! without files, which are made.
//!
//! Folders that hold something tracked are listed while they are copied ([`crate::kinds`]); of
//! others only those that git does not ignore are looked at, so that a walk never enters
//! `node_modules` and its like.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

use libloom_console::printable;
use libloom_contract::layout;
use libloom_entry::Failure;
use rustix::fs::{Mode, openat};

use crate::copy::CopyError;
use crate::errors::{cannot_copy, cannot_write};
use crate::folders::{Folders, READ};
use crate::git::{Git, failed, pieces};
use crate::index::Index;
use crate::kinds::Kinds;
use crate::pool::Pool;
use crate::repository::is_below;

/// How many special files are named.
const MOST: usize = 100;

/// What the threads that copy the paths of an index find beside them.
#[derive(Debug)]
pub(crate) struct Specials<'i> {
    /// Of the index, sorted.
    paths: Vec<&'i [u8]>,
    found: Mutex<Found>,
}

/// Paths, sorted and each once when all are together.
#[derive(Debug, Default)]
struct Found {
    special: Vec<Vec<u8>>,
    /// Folders in which git tracks nothing.
    unknown: Vec<Vec<u8>>,
    /// Folders that once held something tracked, and hold no file any more.
    bare: Vec<Vec<u8>>,
}

impl<'i> Specials<'i> {
    pub(crate) fn beside(index: &'i Index) -> Self {
        let paths = index.entries.iter().map(|entry| index.path(entry)).collect();
        Self { paths, found: Mutex::default() }
    }

    /// Adds what `kinds` found in `folder`, which is empty or ends in a slash.
    pub(crate) fn add(&self, folder: &[u8], kinds: &Kinds) {
        let path = |name: &[u8]| [folder, name].concat();
        let unknown: Vec<_> =
            kinds.folders().map(path).filter(|path| !is_known(&self.paths, path)).collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // Two threads may list the same folder.
        found.unknown.extend(unknown);
        let room = (2 * MOST).saturating_sub(found.special.len());
        found.special.extend(kinds.special().map(path).take(room));
        if !kinds.has_file() && !folder.is_empty() {
            found.bare.push(folder.to_vec());
        }
    }

    /// Makes the folders without files that git does not ignore (untracked ones only if
    /// `with_untracked`), and returns notes about special files that it does not ignore either.
    pub(crate) fn finish(
        self,
        pool: &Pool<'_>,
        git: &Git,
        with_untracked: bool,
    ) -> Result<Vec<String>, Failure> {
        let mut walk = Walk { folders: Folders::new(pool.source, pool.copy) };
        for folder in folders_of_folders(&self.paths) {
            if let Some(kinds) = walk.list(folder)? {
                self.add(folder, &kinds);
            }
        }
        let mut found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        for paths in [&mut found.special, &mut found.unknown, &mut found.bare] {
            paths.sort();
            paths.dedup();
        }
        found.bare.iter().try_for_each(|folder| walk.make(folder))?;
        let mut unknown = walk.without_runtime(std::mem::take(&mut found.unknown))?;
        while with_untracked && !unknown.is_empty() && !pool.progress.is_stopping() {
            for folder in not_ignored(git, unknown)? {
                walk.untracked_folder(&folder, &mut found)?;
            }
            unknown = walk.without_runtime(std::mem::take(&mut found.unknown))?;
        }
        found.special.truncate(MOST);
        Ok(not_ignored(git, found.special)?.iter().map(|path| note(path)).collect())
    }
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
    let ignored: HashSet<&[u8]> = pieces(&output.stdout).collect();
    Ok(paths.into_iter().filter(|path| !ignored.contains(path.as_slice())).collect())
}

struct Walk<'a> {
    folders: Folders<'a>,
}

impl Walk<'_> {
    /// `folders` but for the runtime directory, which no snapshot holds, and `.loom` where it is
    /// there for that alone: the usual ones, for which git need not be asked.
    fn without_runtime(&mut self, folders: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
        let mut kept = Vec::with_capacity(folders.len());
        for folder in folders {
            if !self.is_for_runtime(&folder)? {
                kept.push(folder);
            }
        }
        Ok(kept)
    }

    fn is_for_runtime(&mut self, folder: &[u8]) -> Result<bool, Failure> {
        if is_below(folder, layout::RUNTIME.as_ref()) {
            return Ok(true);
        }
        if !is_below(layout::RUNTIME.as_bytes(), OsStr::from_bytes(folder)) {
            return Ok(false);
        }
        let path = [folder, b"/"].concat();
        let Some(kinds) = self.list(&path)? else { return Ok(true) };
        let is_runtime = |name: &[u8]| is_below(&[&path, name].concat(), layout::RUNTIME.as_ref());
        let has_other = kinds.has_file() || kinds.special().next().is_some();
        Ok(!has_other && kinds.folders().all(is_runtime))
    }

    /// Makes a folder in which nothing is tracked, and looks what it holds.
    fn untracked_folder(&mut self, folder: &[u8], found: &mut Found) -> Result<(), Failure> {
        let path = [folder, b"/"].concat();
        let Some(kinds) = self.list(&path)? else { return Ok(()) };
        self.make(&path)?;
        // What is in a repository of its own is listed there by git.
        if kinds.of(b".git").is_none() {
            found.unknown.extend(kinds.folders().map(|name| [&path, name].concat()));
            let room = MOST.saturating_sub(found.special.len());
            found.special.extend(kinds.special().map(|name| [&path, name].concat()).take(room));
        }
        Ok(())
    }

    /// What `folder`, which ends in a slash unless it is the top, holds; `None` if it is gone.
    fn list(&mut self, folder: &[u8]) -> Result<Option<Kinds>, Failure> {
        let mut list = || {
            self.folders.go_to(folder)?;
            let Some(source) = self.folders.source() else { return Ok(None) };
            // Opened anew: reading moves the position of the folder we were given.
            Kinds::list(openat(source, ".", READ, Mode::empty())?.as_fd()).map(Some)
        };
        list().map_err(|error: rustix::io::Errno| {
            cannot_copy(folder.strip_suffix(b"/").unwrap_or(b"."), CopyError::read(error))
        })
    }

    fn make(&mut self, folder: &[u8]) -> Result<(), Failure> {
        let made = self.folders.go_to(folder).and_then(|_| match self.folders.source() {
            Some(_) => self.folders.copy().map(drop),
            None => Ok(()),
        });
        made.map_err(|error| {
            let text = String::from_utf8_lossy(folder);
            cannot_write(format_args!("cannot make the folder `{}`", printable(&text)), error)
        })
    }
}

/// Whether one of the sorted `paths` is `folder` or lies in it.
fn is_known(paths: &[&[u8]], folder: &[u8]) -> bool {
    let below = [folder, b"/"].concat();
    let at = paths.partition_point(|path| *path < &below[..]);
    paths.get(at).is_some_and(|path| path.starts_with(&below))
        || paths.binary_search(&folder).is_ok()
}

/// The top and the folders on the way to the sorted `paths` that hold none of them themselves;
/// all but the top end in a slash.
fn folders_of_folders<'i>(paths: &[&'i [u8]]) -> Vec<&'i [u8]> {
    let folder = |path: &&'i [u8]| {
        let end = path.iter().rposition(|byte| *byte == b'/');
        &path[..end.map_or(0, |end| end + 1)]
    };
    // Most neighbours share their folder; hashing it once is enough.
    let neighbours = paths.chunk_by(|a, b| folder(a) == folder(b));
    let with_files: HashSet<&[u8]> = neighbours.map(|paths| folder(&paths[0])).collect();
    let mut found: Vec<&[u8]> = vec![b""];
    let mut last: &[u8] = b"";
    for path in paths {
        let shared = path.iter().zip(last).take_while(|(a, b)| a == b).count();
        let new = path.iter().enumerate().skip(shared).filter(|(_, byte)| **byte == b'/');
        let folders = new.map(|(end, _)| &path[..=end]);
        found.extend(folders.filter(|folder| !with_files.contains(folder)));
        last = path;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_hold_only_folders_are_found_once() {
        let paths: [&[u8]; 6] = [b"a/b/c/x", b"a/b/d/e/y", b"ab/x", b"b", b"c/d/x", b"c/e/y"];
        let expected: [&[u8]; 5] = [b"", b"a/", b"a/b/", b"a/b/d/", b"c/"];
        assert_eq!(folders_of_folders(&paths), expected);
        assert!(is_known(&paths, b"a/b") && is_known(&paths, b"b") && !is_known(&paths, b"a/bb"));
    }
}
