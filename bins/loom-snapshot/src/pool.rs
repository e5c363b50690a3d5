//! Copies many paths with a few threads.
//!
//! Creating inodes is what takes time, and it waits: more threads than processors help a little.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use libloom_entry::Failure;
use rustix::fs::Stat;

use crate::copy::{Copied, Copier, CopyError};
use crate::errors::cannot_copy;
use crate::progress::Progress;
use crate::special::Specials;
use crate::transfer::Transfer;

/// Paths a thread takes at a time; index order keeps a folder's files together.
const BATCH: usize = 128;

/// The two trees and what the threads share.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    pub(crate) source: BorrowedFd<'a>,
    pub(crate) copy: BorrowedFd<'a>,
    pub(crate) transfer: &'a Transfer,
    pub(crate) progress: &'a Progress,
    /// Where to put the special files beside the paths, if folders are to be listed: that pays
    /// where most of what they hold is copied.
    pub(crate) specials: Option<&'a Specials<'a>>,
}

/// What one thread learned; the sums of all are the whole.
pub(crate) trait Tally: Send {
    /// Path number `at` was dealt with.
    fn add(&mut self, at: usize, copied: Copied) -> Result<(), Failure>;
}

impl Pool<'_> {
    /// Copies the `count` paths that `path` names (`None`: leave out); returns a tally a thread.
    pub(crate) fn copy<'p, T: Tally>(
        &self,
        count: usize,
        path: impl Fn(usize) -> Option<&'p [u8]> + Sync,
        new_tally: impl Fn() -> T + Sync,
    ) -> Result<Vec<T>, Failure> {
        let next = AtomicUsize::new(0);
        let work = || {
            let tally = self.work(&next, count, &path, new_tally());
            if tally.is_err() {
                self.progress.fail();
            }
            tally
        };
        let threads = threads(count);
        let tallies = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut tallies = vec![work()];
            tallies.extend(others.into_iter().map(|other| other.join().expect("no thread panics")));
            tallies
        });
        self.progress.check()?;
        tallies.into_iter().collect()
    }

    fn work<'p, T: Tally>(
        &self,
        next: &AtomicUsize,
        count: usize,
        path: &(impl Fn(usize) -> Option<&'p [u8]> + Sync),
        mut tally: T,
    ) -> Result<T, Failure> {
        let mut copier = Copier::new(self);
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            if start >= count || self.progress.is_stopping() {
                return Ok(tally);
            }
            for at in start..count.min(start + BATCH) {
                let Some(path) = path(at) else { continue };
                let copied = match copier.path(path) {
                    // Whoever made us stop says why.
                    Err(CopyError::Stopped) => return Ok(tally),
                    result => result.map_err(|error| cannot_copy(path, error))?,
                };
                if matches!(copied, Copied::File { .. }) {
                    self.progress.add_file();
                }
                tally.add(at, copied)?;
            }
        }
    }
}

/// Bytes of a file.
pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

fn threads(paths: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors * 2).min(8).min(paths.div_ceil(BATCH)).max(1)
}
