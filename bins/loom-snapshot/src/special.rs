//! FIFOs, sockets and devices among the files: git does not see them, so neither does a snapshot,
//! but the user is told.
//!
//! Only folders that hold something git sees are looked at; an extra walk through everything
//! would cost more than the note is worth.

use std::os::fd::AsFd;

use libloom_console::printable;
use libloom_entry::{Failure, OrFail};
use rustix::fs::{FileType, Mode, RawDir, openat};

use crate::folders::{Folders, READ};
use crate::git::{Git, pieces};
use crate::pool::Pool;

/// How many are named, and asked about.
const MOST: usize = 100;

/// Notes about special files beside `paths`, which come sorted; ignored ones are not worth one.
pub(crate) fn notes<'p>(
    pool: &Pool<'_>,
    git: &Git,
    paths: impl Iterator<Item = &'p [u8]>,
) -> Result<Vec<String>, Failure> {
    let found = find(pool, paths).or_could_not("cannot list a folder of the work tree")?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let answer = git.ask(&["check-ignore", "-z", "--stdin"], &found.join(&0))?.stdout;
    let ignored: Vec<&[u8]> = pieces(&answer).collect();
    let seen = found.iter().filter(|path| !ignored.contains(&path.as_slice()));
    Ok(seen.map(|path| note(path)).collect())
}

fn note(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path).into_owned();
    format!("`{}` left out: neither file, folder nor symlink", printable(&text))
}

fn find<'p>(
    pool: &Pool<'_>,
    paths: impl Iterator<Item = &'p [u8]>,
) -> Result<Vec<Vec<u8>>, rustix::io::Errno> {
    let mut found = Vec::new();
    let mut last: Option<&[u8]> = None;
    let mut buffer = Vec::<u8>::with_capacity(32 * 1024);
    // Opened anew: reading moves the position of the folder we were given.
    let top = openat(pool.source, ".", READ, Mode::empty())?;
    let mut folders = Folders::listing(top.as_fd(), pool.copy);
    // The empty path stands for the top folder, which may hold no file itself.
    for path in std::iter::once(b"".as_slice()).chain(paths) {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let folder = &path[..end.map_or(0, |end| end + 1)];
        if last == Some(folder) || pool.progress.is_stopping() {
            continue;
        }
        last = Some(folder);
        folders.go_to(path)?;
        let Some(source) = folders.source() else { continue };
        let mut entries = RawDir::new(source, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if is_special(entry.file_type()) && found.len() < MOST {
                found.push([folder, entry.file_name().to_bytes()].concat());
            }
        }
    }
    Ok(found)
}

fn is_special(kind: FileType) -> bool {
    use FileType::{Directory, RegularFile, Symlink, Unknown};
    !matches!(kind, RegularFile | Directory | Symlink | Unknown)
}
