//! A job's shell on this machine: a session of its own, whose output is read until it has ended
//! and nothing of it is left.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use libloom_contract::{Reason, event::Stream};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};

use super::spawn::{Started, spawn};
use crate::{
    cancel::{Cancel, Level},
    processes::{self, Ended, Members, Registry},
    verdict::Verdict,
};

/// How long the pipes of a shell that has ended may stay open before who holds them is ended.
const AFTERMATH: Duration = Duration::from_millis(100);
/// How often a shell is looked after where the kernel has no process descriptors.
const TICK: Duration = Duration::from_millis(20);
/// Size asked for the pipes; the default of 64 KiB costs twice the wake-ups.
const PIPE_BYTES: usize = 1 << 20;

/// A shell to run.
#[derive(Debug)]
pub struct Shell<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its arguments, the script last.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: &'a [(std::ffi::OsString, std::ffi::OsString)],
    /// Folder it begins in.
    pub workspace: &'a Path,
    /// `NAME=value` pairs that mark what belongs to the job.
    pub marks: Vec<Vec<u8>>,
    /// When the job's time is up.
    pub deadline: Option<Instant>,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

/// Who is told what a shell writes.
pub trait Reader {
    /// Bytes arrived.
    fn feed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
    /// How long until [`Reader::tick`] wants to be called; `None`: not at all.
    fn patience(&self) -> Option<Duration>;
    /// Time has passed.
    fn tick(&mut self) -> io::Result<()>;
}

/// What made a shell end that did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Its time was up.
    Timeout,
    /// The run is to end.
    Cancelled,
}

/// How a shell ended.
#[derive(Debug)]
pub struct End {
    /// Status and usage.
    pub ended: Ended,
    /// Who ended it; `None`: it ended by itself.
    pub stopped: Option<Stopped>,
    /// Processes that were left and ended with it.
    pub leftovers: usize,
    /// What the shell's own end does not tell: who or what else ended it.
    pub why: Option<Verdict>,
}

impl End {
    /// It never ran.
    pub fn refused(why: Verdict) -> Self {
        let ended = Ended { exit_code: 1, signal: None, cpu_ms: 0, peak_rss_bytes: 0 };
        End { ended, stopped: None, leftovers: 0, why: Some(why) }
    }

    /// Exit code of the shell, where it is known.
    pub fn exit_code(&self) -> Option<i32> {
        let why = self.why.as_ref().and_then(|why| why.reason);
        let is_unknown = matches!(why, Some(Reason::ProviderUnavailable | Reason::SectionFailed));
        (!is_unknown).then_some(self.ended.exit_code)
    }
}

/// Runs a shell to its end.
///
/// # Errors
/// It cannot be started, or `reader` fails; nothing of it is left in either case.
pub fn run(
    shell: &Shell<'_>,
    registry: &Registry,
    cancel: &Cancel,
    reader: &mut impl Reader,
) -> io::Result<End> {
    let mut watched = Watched::start(shell, registry)?;
    let result = watched.read_to_end(cancel, reader);
    let (ended, leftovers) = watched.finish();
    result?;
    // A shell that had ended by itself when it was to be stopped counts as it ended.
    let stopped = watched.stopped.filter(|_| watched.signalled);
    Ok(End { ended: ended?, stopped, leftovers, why: None })
}

/// A running shell.
struct Watched<'a> {
    shell: &'a Shell<'a>,
    registry: &'a Registry,
    pid: i32,
    /// Readable once the shell has ended; `None` on kernels without it.
    descriptor: Option<OwnedFd>,
    streams: [Option<File>; 2],
    /// Names of the pipes behind `streams`.
    pipes: Vec<PathBuf>,
    ended: Option<Ended>,
    ended_at: Option<Instant>,
    stopped: Option<Stopped>,
    /// The shell was running when it was first asked to end.
    signalled: bool,
    /// When what is left is killed.
    kill_at: Option<Instant>,
    leftovers: usize,
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl<'a> Watched<'a> {
    fn start(shell: &'a Shell<'a>, registry: &'a Registry) -> io::Result<Self> {
        let Started { pid, streams } = registry.start(|| spawn(shell), |started| started.pid)?;
        let descriptor =
            Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let streams = streams.map(|stream| Some(prepare_pipe(stream)));
        let pipes = streams.iter().flatten().filter_map(pipe_name).collect();
        Ok(Watched {
            shell,
            registry,
            pid,
            descriptor,
            streams,
            pipes,
            ended: None,
            ended_at: None,
            stopped: None,
            signalled: false,
            kill_at: None,
            leftovers: 0,
        })
    }

    fn members(&self) -> Members<'_> {
        Members {
            registry: self.registry,
            shell: self.pid,
            shell_gone: self.ended.is_some(),
            marks: self.shell.marks.clone(),
            pipes: self.pipes.clone(),
        }
    }

    /// Reads both streams to their end, and past the shell's own end.
    fn read_to_end(&mut self, cancel: &Cancel, reader: &mut impl Reader) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        while self.ended.is_none() || self.streams.iter().any(Option::is_some) {
            self.heed(cancel);
            let may_have_ended = self.wait_for_something(cancel, reader.patience())?;
            for (index, stream) in STREAMS.into_iter().enumerate() {
                self.read(index, &mut buffer, |bytes| reader.feed(stream, bytes))?;
            }
            reader.tick()?;
            if may_have_ended && self.ended.is_none() && libloom_processes::has_ended(self.pid) {
                self.reap()?;
            }
            self.end_who_holds_the_pipes();
        }
        self.let_the_rest_end(cancel);
        Ok(())
    }

    /// The shell may be the first to end of those that were asked to; the others have the rest of
    /// the grace.
    fn let_the_rest_end(&mut self, cancel: &Cancel) {
        while self.kill_at.is_some() && !self.members().find().is_empty() {
            let wake = PollFd::from_borrowed_fd(cancel.descriptor(Level::AtOnce), PollFlags::IN);
            // Interrupted or not: what is left tells.
            let _ = poll(&mut [wake], Some(&timespec(TICK)));
            self.heed(cancel);
        }
    }

    /// Does what the run's state or the clock ask for.
    fn heed(&mut self, cancel: &Cancel) {
        let now = Instant::now();
        if cancel.level() == Level::AtOnce {
            self.stop(Stopped::Cancelled, now);
            // Every job is to go, so it does not matter whose an orphan is.
            processes::end_adopted(self.registry);
        } else if cancel.level() == Level::Gentle {
            self.stop(Stopped::Cancelled, now + self.shell.grace);
        } else if self.shell.deadline.is_some_and(|deadline| deadline <= now) {
            self.stop(Stopped::Timeout, now + self.shell.grace);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.members().end();
            self.kill_at = None;
        }
    }

    fn stop(&mut self, why: Stopped, kill_at: Instant) {
        if self.stopped.is_none() {
            self.stopped = Some(why);
            self.signalled = self.ended.is_none();
            self.kill_at = Some(kill_at);
            self.members().signal(Signal::TERM);
        } else if let Some(at) = self.kill_at {
            self.kill_at = Some(at.min(kill_at));
        }
    }

    /// Waits for output, the shell's end, a wish or the clock; says whether the shell may have
    /// ended.
    fn wait_for_something(&self, cancel: &Cancel, patience: Option<Duration>) -> io::Result<bool> {
        let mut ready: Vec<PollFd<'_>> = Vec::with_capacity(4);
        if let (Some(descriptor), None) = (&self.descriptor, self.ended) {
            ready.push(PollFd::new(descriptor, PollFlags::IN));
        }
        let shell_is_first = !ready.is_empty();
        for stream in self.streams.iter().flatten() {
            ready.push(PollFd::new(stream, PollFlags::IN));
        }
        let wake =
            if self.stopped == Some(Stopped::Cancelled) { Level::AtOnce } else { Level::Gentle };
        if cancel.level() < Level::AtOnce {
            ready.push(PollFd::from_borrowed_fd(cancel.descriptor(wake), PollFlags::IN));
        }
        let timeout = self.patience(patience).map(timespec);
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) => Ok(!shell_is_first || !ready[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The shortest of all reasons to look again.
    fn patience(&self, readers: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let tick = (self.descriptor.is_none() && self.ended.is_none()).then_some(TICK);
        let deadline = self.shell.deadline.filter(|_| self.stopped.is_none()).map(until);
        let kill = self.kill_at.map(until);
        let aftermath = self.ended_at.map(|at| until(at + AFTERMATH).max(TICK));
        [readers, tick, deadline, kill, aftermath].into_iter().flatten().min()
    }

    /// Reads what is there, without waiting; a stream that ended is closed.
    fn read(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(stream) = &mut self.streams[index] else { return Ok(()) };
        match stream.read(buffer) {
            Ok(0) => self.streams[index] = None,
            Ok(length) => take(&buffer[..length])?,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let ended = processes::wait(self.pid)?;
        self.registry.remove(self.pid);
        self.ended = Some(ended);
        self.ended_at = Some(Instant::now());
        Ok(ended)
    }

    /// A background process may hold the pipes for as long as it likes; it gets a moment, or, if
    /// it was asked to end, its grace.
    fn end_who_holds_the_pipes(&mut self) {
        if self.kill_at.is_none() && self.ended_at.is_some_and(|at| at.elapsed() >= AFTERMATH) {
            self.leftovers += self.members().end();
            // Whoever still holds them is no process of ours that can be found: do not wait.
            let open = self.streams.iter().flatten().any(has_input);
            if !open && self.ended_at.is_some_and(|at| at.elapsed() >= AFTERMATH * 10) {
                self.streams = [None, None];
            }
        }
    }

    /// Ends what is left, and reaps the shell.
    fn finish(&mut self) -> (io::Result<Ended>, usize) {
        if self.ended.is_none() {
            self.members().end();
        }
        let ended = self.reap();
        self.leftovers += self.members().end();
        (ended, self.leftovers)
    }
}

fn pipe_name(pipe: &File) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd())).ok()
}

fn has_input(stream: &File) -> bool {
    let mut ready = [PollFd::new(stream, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0)
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up, so that what is waited for is due when the wait is over.
    let duration = duration + Duration::from_micros(500);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Makes reading from a pipe never wait, and the pipe large where the system allows it.
fn prepare_pipe(pipe: OwnedFd) -> File {
    // Neither is needed for the result to be right: the reader polls first.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
    let _ = rustix::io::ioctl_fionbio(pipe.as_fd(), true);
    File::from(pipe)
}
