//! FIFOs, sockets and devices among the files: git does not see them, so neither does a snapshot,
//! but the user is told.
//!
//! Only folders that hold something git sees are looked at, because these are listed anyway
//! ([`crate::kinds`]); a walk through everything would cost more than the note is worth.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use libloom_console::printable;
use libloom_entry::{Failure, OrFail};
use rustix::fs::{Mode, openat};

use crate::folders::READ;
use crate::git::{Git, pieces};
use crate::kinds::Kinds;

/// How many are named, and asked about.
const MOST: usize = 100;

/// Paths of special files, collected by all threads.
#[derive(Debug, Default)]
pub(crate) struct Specials(Mutex<Vec<Vec<u8>>>);

impl Specials {
    /// Adds those that `kinds` found in `folder`, which is empty or ends in a slash.
    pub(crate) fn add(&self, folder: &[u8], kinds: &Kinds) {
        for name in kinds.special() {
            let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let path = [folder, name].concat();
            // Two threads may list the same folder.
            if found.len() < MOST && !found.contains(&path) {
                found.push(path);
            }
        }
    }

    /// Notes about them and about those in `top`; ignored ones are not worth one.
    pub(crate) fn notes(self, top: BorrowedFd<'_>, git: &Git) -> Result<Vec<String>, Failure> {
        // Opened anew: reading moves the position of the folder we were given.
        let kinds = openat(top, ".", READ, Mode::empty()).and_then(|top| Kinds::list(top.as_fd()));
        // The top folder may hold no file itself, and was not listed then.
        self.add(b"", &kinds.or_could_not("cannot list the top folder of the work tree")?);
        let mut found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        found.sort();
        let answer = git.ask(&["check-ignore", "-z", "--stdin"], &found.join(&0))?.stdout;
        let ignored: Vec<&[u8]> = pieces(&answer).collect();
        let seen = found.iter().filter(|path| !ignored.contains(&path.as_slice()));
        Ok(seen.map(|path| note(path)).collect())
    }
}

fn note(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path).into_owned();
    format!("`{}` left out: neither file, folder nor symlink", printable(&text))
}
