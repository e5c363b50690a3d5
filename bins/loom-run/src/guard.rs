//! The pair of processes that a run is: a small guard and the worker it starts.
//!
//! Either one outlives the other long enough to end every process of every job. Both are child
//! sub-reapers; a pipe joins them. The guard passes signals on through it, and its end tells the
//! worker that the guard is gone. The worker is forked, not executed anew: at this point the
//! process has one thread, and all it would do again is parse the same arguments.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{FromRawFd as _, OwnedFd},
    thread,
};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::{
    cancel::{Cancel, Cause, Level},
    processes::{self, Ended, Registry},
};

/// Signals that ask a run to end.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Which of the two this process has become.
#[derive(Debug)]
pub enum Role {
    /// Does the run; ends when it is done.
    Worker(Cancel),
    /// The worker has ended, and everything below it.
    Guard(Ended),
}

/// Becomes two processes; returns in the worker at once and in the guard when all is over.
///
/// # Errors
/// The system gives no process or pipe.
pub fn split() -> io::Result<Role> {
    become_subreaper()?;
    let (hears, speaks) = pipe_with(PipeFlags::CLOEXEC)?;
    let heeded = block_ending_signals();
    match fork()? {
        None => {
            drop(speaks);
            become_subreaper()?;
            let cancel = Cancel::new()?;
            listen(hears, &heeded, cancel.clone())?;
            Ok(Role::Worker(cancel))
        }
        Some(worker) => {
            drop(hears);
            let ended = watch(worker, &speaks, &heeded)?;
            processes::end_adopted(&Registry::default());
            Ok(Role::Guard(ended))
        }
    }
}

fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

#[expect(unsafe_code, reason = "fork has no safe wrapper")]
fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the process has a single thread here (`libloom_entry::main` starts none), so the
    // child may go on as the parent could have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct Signals(libc::sigset_t);

#[expect(unsafe_code, reason = "signal masks have no safe wrapper")]
impl Signals {
    fn of(signals: &[i32]) -> Self {
        // SAFETY: sigemptyset initialises the set before it is used.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in signals {
                libc::sigaddset(&raw mut set, signal);
            }
            Signals(set)
        }
    }

    /// Holds them back from this thread and those it starts.
    pub fn block(&self) {
        // SAFETY: the set is initialised; the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const self.0, std::ptr::null_mut()) };
    }

    /// Waits for one of the signals, which must be blocked.
    pub fn wait(&self) -> i32 {
        let mut signal = 0;
        // SAFETY: both pointers live through the call.
        while unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {}
        signal
    }

    /// A descriptor that the signals, which must be blocked, can be read from.
    fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the set is initialised; the descriptor is new and ours.
        unsafe {
            match libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
            }
        }
    }
}

/// Blocks the signals that ask a run to end.
fn block_ending_signals() -> Vec<i32> {
    let heeded = heeded();
    Signals::of(&heeded).block();
    heeded
}

/// The signals that ask a run to end, but for those the caller wants ignored (`nohup`).
fn heeded() -> Vec<i32> {
    ENDING.into_iter().filter(|&signal| !is_ignored(signal)).collect()
}

/// The same as a set.
pub fn heeded_signals() -> Signals {
    Signals::of(&heeded())
}

#[expect(unsafe_code, reason = "dispositions have no safe wrapper")]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: only asks; the action lives through the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Passes signals on to the worker until it has ended.
fn watch(worker: i32, speaks: &OwnedFd, heeded: &[i32]) -> io::Result<Ended> {
    let child = [libc::SIGCHLD];
    let signals = Signals::of(&[heeded, &child].concat());
    signals.block();
    while !has_ended(worker) {
        match signals.wait() {
            libc::SIGCHLD => {}
            signal => {
                let byte = u8::try_from(signal).expect("signal numbers are small");
                // The worker may have ended meanwhile; then there is nobody to tell.
                let _ = rustix::io::write(speaks, &[byte]);
            }
        }
    }
    processes::wait(worker)
}

/// Whether the worker waits to be reaped. Adopted orphans are reaped on the way.
#[expect(unsafe_code, reason = "waitid with WNOWAIT keeps the resource usage for wait4")]
fn has_ended(worker: i32) -> bool {
    loop {
        // SAFETY: a zeroed siginfo is valid and lives through the call.
        let pid = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            match libc::waitid(libc::P_ALL, 0, &raw mut info, flags) {
                0 => info.si_pid(),
                _ => 0,
            }
        };
        match pid {
            0 => return false,
            pid if pid == worker => return true,
            orphan => drop(processes::wait(orphan)),
        }
    }
}

/// In the worker: hears what the guard passes on, that it is gone, and signals of its own.
fn listen(hears: OwnedFd, heeded: &[i32], cancel: Cancel) -> io::Result<()> {
    let own = File::from(Signals::of(heeded).descriptor()?);
    let from_guard = cancel.clone();
    thread::Builder::new().name("guard".into()).spawn(move || hear_guard(hears, &from_guard))?;
    thread::Builder::new().name("signals".into()).spawn(move || hear_signals(own, &cancel))?;
    Ok(())
}

/// The first signal asks gently, a second one at once; the end of the pipe at once, too.
fn hear_guard(hears: OwnedFd, cancel: &Cancel) {
    let mut pipe = File::from(hears);
    let mut byte = [0];
    let mut level = Level::Gentle;
    loop {
        match pipe.read(&mut byte) {
            Ok(0) => return cancel.request(Level::AtOnce, Cause::GuardGone),
            Ok(_) => cancel.request(level, Cause::Signal(byte[0].into())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return cancel.request(Level::AtOnce, Cause::GuardGone),
        }
        level = Level::AtOnce;
    }
}

/// Ctrl-C reaches both processes of the pair, so the worker's own signals never count as the
/// second one.
fn hear_signals(mut own: File, cancel: &Cancel) {
    let mut record = [0; size_of::<libc::signalfd_siginfo>()];
    while own.read_exact(&mut record).is_ok() {
        // The signal's number is the record's first field, 4 bytes in the machine's order.
        let number = i32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
        cancel.request(Level::Gentle, Cause::Signal(number));
    }
}
