//! Starting another Loom command and reading what it says (`--events`).

use std::{
    ffi::OsString,
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use libloom_contract::{Document, StoreError, diagnostic::Diagnostic, message::Message, store};
use memchr::memchr;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use serde::Deserialize;

use crate::cancel::{Cancel, Level};

/// Why another command gave no document.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started or read.
    #[error("cannot run `{}`", program.display())]
    Start {
        /// Its path.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It found the workflow invalid.
    #[error("the workflow is invalid")]
    Invalid {
        /// What it found, each with its rendering for people.
        diagnostics: Vec<(Diagnostic, String)>,
    },
    /// It said why it could not do its work.
    #[error("{message}")]
    Refused {
        /// The error and its causes, one a line.
        message: String,
        /// How to mend it.
        hints: Vec<String>,
        /// Its exit code.
        exit_code: i32,
    },
    /// It ended without a document and without a word.
    #[error("`{}` ended without its document ({how})", program.display())]
    Silent {
        /// Its path.
        program: PathBuf,
        /// Exit code or signal.
        how: String,
    },
    /// What it wrote is not what this version reads.
    #[error("cannot understand `{}`", program.display())]
    Strange {
        /// Its path.
        program: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
    /// The run was asked to end meanwhile.
    #[error("interrupted")]
    Cancelled,
}

/// A command to start.
#[derive(Debug)]
pub struct Call<'a> {
    /// Path of the executable.
    pub program: PathBuf,
    /// Its arguments, `--events` among them.
    pub arguments: Vec<OsString>,
    /// Folder it is started in.
    pub folder: &'a Path,
}

/// Starts the command, hands its messages to `hear`, and returns its document.
///
/// # Errors
/// See [`ChildError`]; the command has ended in every case.
pub fn document<D: Document>(
    call: &Call<'_>,
    cancel: &Cancel,
    mut hear: impl FnMut(&Message),
) -> Result<D, ChildError> {
    let start = |source| ChildError::Start { program: call.program.clone(), source };
    let mut child = spawn(call).map_err(start)?;
    let mut said = Said::default();
    let read = read_lines(&mut child, cancel, |line| said.line(line, D::KIND, &mut hear));
    let status = child.wait().map_err(start)?;
    read.map_err(start)?;
    if cancel.level() > Level::None {
        return Err(ChildError::Cancelled);
    }
    said.into_document(call, &status.to_string())
}

/// What a command prints that does its work without a word and without delay; what it says of
/// failure goes to our own stderr.
///
/// # Errors
/// It cannot be started, or it failed.
pub fn output(call: &Call<'_>) -> io::Result<Vec<u8>> {
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).current_dir(call.folder).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(format!("`{}`: {}", call.program.display(), output.status))),
    }
}

fn spawn(call: &Call<'_>) -> io::Result<Child> {
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).current_dir(call.folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    reset_signals(&mut command);
    // A process group of its own: it hears of Ctrl-C from us, once.
    command.process_group(0);
    command.spawn()
}

/// Time a command has to clean up after itself before it is killed, when the run ends at once.
const CLEAN_UP: Duration = Duration::from_millis(500);

/// Gives the process the signal mask and dispositions of a fresh login.
#[expect(unsafe_code, reason = "pre_exec is the only way to change a child's signal mask")]
pub fn reset_signals(command: &mut Command) {
    // SAFETY: sigemptyset, sigprocmask and signal are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

/// Reads stdout line by line; asks the command to end when the run is to end.
fn read_lines(child: &mut Child, cancel: &Cancel, mut line: impl FnMut(&[u8])) -> io::Result<()> {
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut pending = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut asked_at = None;
    loop {
        if cancel.level() > Level::None && asked_at.is_none() {
            send(child, Signal::TERM);
            asked_at = Some(Instant::now());
        }
        if cancel.level() == Level::AtOnce && asked_at.is_some_and(|at| at.elapsed() >= CLEAN_UP) {
            send(child, Signal::KILL);
        }
        if !wait_for_output(&stdout, cancel, asked_at.is_some())? {
            continue;
        }
        let length = stdout.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        // A graph of thousands of jobs is one line: what was searched is not searched again.
        let mut new = &chunk[..length];
        while let Some(end) = memchr(b'\n', new) {
            pending.extend_from_slice(&new[..end]);
            line(&pending);
            pending.clear();
            new = &new[end + 1..];
        }
        pending.extend_from_slice(new);
    }
}

/// It may have ended by itself; then its pipe says so.
fn send(child: &Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Waits for output or for the wish that the run ends; `true`: there is output.
fn wait_for_output(stdout: &ChildStdout, cancel: &Cancel, asked: bool) -> io::Result<bool> {
    let mut ready = vec![PollFd::new(stdout, PollFlags::IN)];
    let mut timeout = None;
    if asked {
        timeout = Some(Timespec { tv_sec: 0, tv_nsec: 50_000_000 });
    } else {
        ready.push(PollFd::from_borrowed_fd(cancel.descriptor(Level::Gentle), PollFlags::IN));
    }
    match poll(&mut ready, timeout.as_ref()) {
        Ok(_) => Ok(!ready[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// What a command has said so far.
#[derive(Default)]
struct Said {
    document: Option<Vec<u8>>,
    diagnostics: Vec<(Diagnostic, String)>,
    refusal: Option<ChildError>,
}

impl Said {
    fn line(&mut self, line: &[u8], document_kind: &str, hear: &mut impl FnMut(&Message)) {
        // A record of a kind that this version does not know is passed over.
        let Ok(Kind { kind }) = serde_json::from_slice(line) else { return };
        if kind == document_kind {
            self.document = Some(line.to_owned());
        } else if let Ok(message) = serde_json::from_slice::<Message>(line) {
            hear(&message);
            self.message(message);
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Diagnostic { diagnostic, rendered, .. } => {
                self.diagnostics.push((*diagnostic, rendered));
            }
            Message::Error { message, hints, exit_code, .. } => {
                self.refusal = Some(ChildError::Refused { message, hints, exit_code });
            }
            Message::Facts { .. } | Message::Progress { .. } => {}
        }
    }

    fn into_document<D: Document>(self, call: &Call<'_>, how: &str) -> Result<D, ChildError> {
        let program = || call.program.clone();
        if let Some(bytes) = self.document {
            return store::parse(&bytes, &call.program)
                .map_err(|source| ChildError::Strange { program: program(), source });
        }
        match self.refusal {
            Some(refusal) => Err(refusal),
            None if !self.diagnostics.is_empty() => {
                Err(ChildError::Invalid { diagnostics: self.diagnostics })
            }
            None => Err(ChildError::Silent { program: program(), how: how.to_owned() }),
        }
    }
}
