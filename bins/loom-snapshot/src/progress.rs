//! What all threads of one snapshot share: how far it is, and whether to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use libloom_entry::{Failure, Kind, OrFail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Counters and the wish to stop.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    files: AtomicU64,
    bytes: AtomicU64,
    /// Files in all, as far as they are known yet.
    expected: AtomicU64,
    failed: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Progress {
    /// Counters at zero; SIGHUP, SIGINT and SIGTERM from now on ask to stop instead of ending us.
    pub(crate) fn listening() -> Result<Self, Failure> {
        let progress = Self::default();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let number = usize::try_from(signal).expect("signal numbers are positive");
            signal_hook::flag::register_usize(signal, Arc::clone(&progress.signal), number)
                .or_could_not("cannot listen for signals")?;
        }
        Ok(progress)
    }

    /// Counters of their own, for files that are not the user's; the wish to stop is shared.
    pub(crate) fn uncounted(&self) -> Self {
        let (failed, signal) = (Arc::clone(&self.failed), Arc::clone(&self.signal));
        Self { failed, signal, ..Self::default() }
    }

    /// One more file is there.
    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more bytes are there.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many more files are to come.
    pub(crate) fn expect(&self, files: usize) {
        self.expected.fetch_add(files as u64, Ordering::Relaxed);
    }

    /// Files in all, if that is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|files| *files > 0)
    }

    /// So many files are there, of so many.
    pub(crate) fn set_files(&self, files: u64, expected: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.expected.store(expected, Ordering::Relaxed);
    }

    /// Files and bytes so far.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Tells the other threads that one failed, so that they need not go on.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether another thread failed or a signal came.
    pub(crate) fn is_stopping(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.signal.load(Ordering::Relaxed) != 0
    }

    /// An error if a signal asked to stop.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let signal = self.signal.load(Ordering::Relaxed);
        let kind = match i32::try_from(signal).unwrap_or_default() {
            0 => return Ok(()),
            SIGINT => Kind::Interrupted,
            _ => Kind::Terminated,
        };
        Err(Failure::new(kind, "stopped by a signal; nothing was left behind"))
    }
}
