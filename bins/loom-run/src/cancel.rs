//! The wish that the run ends: none, gently, at once.
//!
//! Levels only rise. Each has an event descriptor that becomes readable for good, so that a poll
//! on a job's output wakes up too.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use libloom_contract::exit;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Why the run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This signal.
    Signal(i32),
    /// The guard was killed.
    GuardGone,
    /// A job failed, and that was to end the run.
    FailFast,
}

impl Cause {
    /// Exit code of a run that ended for this cause.
    pub fn exit_code(self) -> u8 {
        match self {
            Cause::Signal(libc::SIGTERM | libc::SIGHUP) => exit::TERMINATED,
            Cause::Signal(_) => exit::INTERRUPTED,
            Cause::GuardGone => exit::COULD_NOT,
            Cause::FailFast => exit::NO,
        }
    }
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Go on.
    None,
    /// TERM, then, after the grace, KILL.
    Gentle,
    /// KILL.
    AtOnce,
}

/// Shared by everything that may have to stop.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<State>);

#[derive(Debug)]
struct State {
    level: AtomicU8,
    cause: OnceLock<Cause>,
    gentle: OwnedFd,
    at_once: OwnedFd,
}

impl Cancel {
    /// Nothing is wished yet.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn new() -> io::Result<Self> {
        let descriptor = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Cancel(Arc::new(State {
            level: AtomicU8::new(Level::None as u8),
            cause: OnceLock::new(),
            gentle: descriptor()?,
            at_once: descriptor()?,
        })))
    }

    /// Wishes that the run ends; the first cause is the one that is told.
    pub fn request(&self, level: Level, cause: Cause) {
        let state = &*self.0;
        let _ = state.cause.set(cause);
        state.level.fetch_max(level as u8, Ordering::SeqCst);
        for (needed, descriptor) in
            [(Level::Gentle, &state.gentle), (Level::AtOnce, &state.at_once)]
        {
            if level >= needed {
                // Only fails when the counter is full, and then it is readable already.
                let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
            }
        }
    }

    /// How urgent it is now.
    pub fn level(&self) -> Level {
        match self.0.level.load(Ordering::SeqCst) {
            0 => Level::None,
            1 => Level::Gentle,
            _ => Level::AtOnce,
        }
    }

    /// Waits until the run is to end, and says how urgent that is.
    pub fn wait(&self) -> Level {
        self.wait_for(Level::Gentle);
        self.level()
    }

    /// Waits until the wish is this urgent.
    pub fn wait_for(&self, level: Level) {
        while self.level() < level {
            let mut ready = [PollFd::from_borrowed_fd(self.descriptor(level), PollFlags::IN)];
            // Interrupted or not: the level tells.
            let _ = poll(&mut ready, None);
        }
    }

    /// Waits until the run is to end, or until the time is over.
    pub fn wait_at_most(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.level() > Level::None || left.is_zero() {
                return;
            }
            let left = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut ready = [PollFd::new(&self.0.gentle, PollFlags::IN)];
            // Interrupted or not: level and clock tell.
            let _ = poll(&mut ready, Some(&left));
        }
    }

    /// Why; `None` while nothing is wished.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.get().copied()
    }

    /// Readable once `level` is reached.
    pub fn descriptor(&self, level: Level) -> BorrowedFd<'_> {
        if level == Level::AtOnce { self.0.at_once.as_fd() } else { self.0.gentle.as_fd() }
    }
}
