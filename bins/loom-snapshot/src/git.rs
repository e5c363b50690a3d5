//! Git processes: the one way in which this command asks git anything.
//!
//! Every process runs with a cleaned environment (a hook's `GIT_DIR` or `GIT_INDEX_FILE` must not
//! point us elsewhere), takes no optional locks and starts no configured program (file system
//! monitor, hook, signature check, lazy fetch), so that asking never changes the source.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use libloom_entry::{Environment, Failure, OrFail};
use rustix::process::{Pid, Signal, kill_process};

use crate::progress::Progress;

/// How often work that takes long looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Configuration that overrides whatever the repository says, as `-c` arguments.
const NEUTRAL: [&str; 4] =
    ["core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "gc.auto=0"];

/// `GIT_*` variables that say how git is set up rather than where a repository is.
const KEPT: [&str; 3] =
    ["GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"];

/// Starts git in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
    folder: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// A git process under way; its stdout is read by [`Running::finish`]. Dropped, it is ended.
pub(crate) struct Running {
    what: String,
    child: Option<Child>,
}

impl Git {
    /// Git in `folder` with what is harmless of `env`.
    pub(crate) fn new(env: &Environment, folder: &Path) -> Self {
        let kept = env.iter().filter(|(name, _)| is_kept(name));
        let mut variables: Vec<(OsString, OsString)> =
            kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let set = [("GIT_OPTIONAL_LOCKS", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("LC_ALL", "C")];
        variables.extend(set.map(|(name, value)| (name.into(), value.into())));
        Self { program: program(env), folder: folder.to_owned(), variables }
    }

    /// The same git in another folder.
    pub(crate) fn at(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self.clone() }
    }

    /// Where it runs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same git with one more variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts `git ARGS…`.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Running, Failure> {
        self.spawn(args, Stdio::null())
    }

    /// Runs `git ARGS…` with `input` on stdin and returns its stdout, whatever its exit code.
    pub(crate) fn ask<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output, Failure> {
        let mut running = self.spawn(args, Stdio::piped())?;
        let child = running.child.as_mut().expect("it was just started");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        std::thread::scope(|scope| {
            // If git ends early, its exit code and stderr say more than the broken pipe.
            scope.spawn(move || stdin.write_all(input));
            running.output()
        })
    }

    /// Runs `git ARGS…` and has `write` fill its stdin.
    pub(crate) fn feed<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let mut running = self.spawn(args, Stdio::piped())?;
        let child = running.child.as_mut().expect("it was just started");
        let mut stdin = std::io::BufWriter::new(child.stdin.take().expect("stdin is a pipe"));
        let written = write(&mut stdin).and_then(|()| stdin.flush());
        drop(stdin);
        let finished = running.finish();
        match written {
            // If git ended early, what it said tells more.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(error).or_could_not("cannot hand git what to compare")
            }
            _ => finished.map(drop),
        }
    }

    fn spawn<S: AsRef<OsStr>>(&self, args: &[S], stdin: Stdio) -> Result<Running, Failure> {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env_clear().envs(self.variables.iter().cloned());
        for setting in NEUTRAL {
            command.args(["-c", setting]);
        }
        command.args(args).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What it is asked, without the settings before it.
        let mut words = args.iter().map(|arg| arg.as_ref().to_string_lossy());
        let mut what = words.next();
        while what.as_deref() == Some("-c") {
            what = words.nth(1);
        }
        let what = format!("git {}", what.unwrap_or_default());
        let child = command.spawn().or_could_not(format_args!("cannot start `{what}`")).map_err(
            |failure| failure.hint("install git, or put the folder that holds it on PATH"),
        )?;
        Ok(Running { what, child: Some(child) })
    }

    /// Runs `git ARGS…` to its end and returns its stdout.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<u8>, Failure> {
        self.start(args)?.finish()
    }

    /// Runs `git ARGS…` to its end, whatever its exit code.
    pub(crate) fn output<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output, Failure> {
        self.start(args)?.output()
    }
}

impl Running {
    /// Waits for the end; a failure of git is ours, in git's words.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Failure> {
        let what = self.what.clone();
        let output = self.output()?;
        if output.status.success() { Ok(output.stdout) } else { Err(failed(&what, &output)) }
    }

    /// The same for a checkout, which tells `progress` how far it is and ends when that says so.
    pub(crate) fn finish_telling(mut self, progress: &Progress) -> Result<(), Failure> {
        let child = self.child.as_mut().expect("taken only at its end");
        let pid = Pid::from_child(child);
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let (done, is_done) = mpsc::channel::<()>();
        let mut said = Said::default();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    if progress.is_stopping() {
                        // It may have ended by itself; nobody has waited for it yet, so the
                        // number is still its own.
                        let _ = kill_process(pid, Signal::TERM);
                    }
                }
            });
            // Nothing is expected here.
            scope.spawn(move || out.as_mut().map(|out| std::io::copy(out, &mut std::io::sink())));
            let mut chunk = [0; 4096];
            while let Some(Ok(count @ 1..)) = err.as_mut().map(|err| err.read(&mut chunk)) {
                said.hear(&chunk[..count], progress);
            }
            drop(done);
        });
        let child = self.child.as_mut().expect("taken only at its end");
        let status = child.wait().or_could_not(format_args!("cannot wait for `{}`", self.what))?;
        let output = Output { status, stdout: Vec::new(), stderr: said.words };
        if output.status.success() { Ok(()) } else { Err(failed(&self.what, &output)) }
    }

    /// Waits for the end, whatever the exit code.
    pub(crate) fn output(mut self) -> Result<Output, Failure> {
        let child = self.child.take().expect("taken only here, at its end");
        child.wait_with_output().or_could_not(format_args!("cannot read from `{}`", self.what))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already, which is as good; nobody wants its answer.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What git says on stderr, without the lines that only tell how far it is.
#[derive(Default)]
struct Said {
    words: Vec<u8>,
    line: Vec<u8>,
}

impl Said {
    fn hear(&mut self, bytes: &[u8], progress: &Progress) {
        for byte in bytes {
            self.line.push(*byte);
            if matches!(byte, b'\r' | b'\n') {
                match files_done(&self.line) {
                    Some((done, all)) => progress.set_files(done, all),
                    None => self.words.extend_from_slice(&self.line),
                }
                self.line.clear();
            }
        }
    }
}

/// The numbers in `Updating files:  45% (450/1000)`.
fn files_done(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line).ok()?.trim().strip_prefix("Updating files:")?;
    let (_, numbers) = text.split_once('(')?;
    let (done, all) = numbers.split_once(')')?.0.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// Where git is: looked up once, because a start by name goes through PATH in a copy of our whole
/// process, every time. `git` alone where a folder of PATH is relative or nothing is found.
fn program(env: &Environment) -> PathBuf {
    let is_program = |path: &PathBuf| {
        let is_file = path.metadata().is_ok_and(|found| found.is_file());
        is_file && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let folders = env.path_folders();
    let absolute = folders.iter().take_while(|folder| folder.is_absolute());
    let found = absolute.map(|folder| folder.join("git")).find(is_program);
    found.unwrap_or_else(|| "git".into())
}

/// The failure of a git process, with what it said.
pub(crate) fn failed(what: &str, output: &Output) -> Failure {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let cause = if said.is_empty() { output.status.to_string() } else { said.to_owned() };
    Failure::could_not(cause).context(format_args!("`{what}` failed"))
}

fn is_kept(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let is_setting = bytes.starts_with(b"GIT_CONFIG_") || KEPT.iter().any(|kept| name == *kept);
    (is_setting || !bytes.starts_with(b"GIT_")) && !bytes.starts_with(b"LC_")
}

/// The pieces of a `-z` listing, without the empty one after the last NUL.
pub(crate) fn pieces(listing: &[u8]) -> impl Iterator<Item = &[u8]> {
    listing.split(|byte| *byte == 0).filter(|piece| !piece.is_empty())
}

/// Bytes of git as a path.
pub(crate) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_counts_of_a_checkout_are_told_apart() {
        let progress = Progress::default();
        let mut said = Said::default();
        let text =
            "Updating files:  50% (1/2)\rfatal: (1/2) is bad\nUpdating files: 100% (2/2), done.\n";
        text.as_bytes().chunks(7).for_each(|chunk| said.hear(chunk, &progress));
        assert_eq!(String::from_utf8(said.words).unwrap(), "fatal: (1/2) is bad\n");
        assert_eq!((progress.so_far().0, progress.expected()), (2, Some(2)));
    }

    #[test]
    fn a_hooks_variables_are_dropped_and_configuration_stays() {
        let names = ["GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG", "GIT_CONFIG_COUNT", "PATH"];
        let kept: Vec<_> = names.into_iter().filter(|name| is_kept(OsStr::new(name))).collect();
        assert_eq!(kept, ["GIT_CONFIG_COUNT", "PATH"]);
    }
}
