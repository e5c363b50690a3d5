//! `--repeat` and `--until-fail`: the same run again and again, to hunt what fails now and then.
//!
//! Each repetition is a run of its own, by a process of its own, with its own workspace and
//! receipt. The workspace of one that succeeds is removed, or a long hunt would fill the disk.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, BufRead as _, BufReader},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    thread,
};

use libloom_contract::{Status, exit, receipt::RunReceipt, store};
use libloom_entry::{Context, Failure, OrFail as _};
use rustix::process::{Pid, Signal, kill_process};

use crate::{cancel::Cause, guard};

/// The options that repeat a run.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct RepeatArgs {
    /// Do the same run N times, each in a new workspace, and say which jobs failed how often
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["failed", "in_place", "dry_run", "shell_on_failure"]
    )]
    repeat: Option<u32>,

    /// Repeat the run until it fails, at most as often as --repeat says
    #[arg(long, conflicts_with_all = ["failed", "in_place", "dry_run", "shell_on_failure"])]
    until_fail: bool,
}

impl RepeatArgs {
    /// Whether there is more than one run to do.
    pub fn is_wanted(&self) -> bool {
        self.repeat.is_some() || self.until_fail
    }
}

/// What came of the repetitions so far.
#[derive(Debug, Default)]
struct Tally {
    runs: u32,
    failed: u32,
    /// How often each job failed, and the receipt of the first time.
    jobs: BTreeMap<String, (u32, PathBuf)>,
}

/// Repeats the run; the exit code is 0 if no repetition failed.
///
/// # Errors
/// A repetition cannot be started.
pub fn run(args: &RepeatArgs, context: &Context) -> Result<u8, Failure> {
    let program = context.siblings.own_executable().map(Path::to_owned);
    let program = program.ok_or_else(|| Failure::could_not("cannot find this executable"))?;
    let arguments = once(context.argv.get(1..).unwrap_or_default());
    let most = args.repeat.unwrap_or(u32::MAX);
    let of = args.repeat.map(|count| format!(" of {count}")).unwrap_or_default();
    let signals = Signals::listen().or_could_not("cannot listen to signals")?;
    let mut tally = Tally::default();
    let mut code = exit::DONE;
    while tally.runs < most && !(args.until_fail && tally.failed > 0) {
        context.console.status(format_args!("repetition {}{of}", tally.runs + 1));
        let (receipt, ended) = repetition(&program, &arguments, &signals, context)
            .or_could_not("cannot repeat the run")?;
        tally.runs += 1;
        match ended {
            exit::DONE => forget_workspace(receipt.as_deref(), context),
            exit::NO => tally.add_failure(receipt.as_deref()),
            // Interrupted, or not possible at all: the next one would not be, either.
            ended => {
                code = ended;
                break;
            }
        }
        if let Some(asked) = signals.exit_code() {
            code = asked;
            break;
        }
    }
    tally.report(context);
    Ok(if code == exit::DONE && tally.failed > 0 { exit::NO } else { code })
}

/// The arguments of one repetition.
fn once(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("--") => {
                kept.push(argument.clone());
                break;
            }
            Some("--repeat") => drop(rest.next()),
            Some("--until-fail") => {}
            Some(text) if text.starts_with("--repeat=") => {}
            _ => kept.push(argument.clone()),
        }
    }
    kept.extend(rest.cloned());
    kept
}

/// Passes signals on to the repetition that is going on. Ctrl-C reaches only us: the repetition
/// is in a process group of its own, or it would count each one twice.
#[derive(Clone, Debug, Default)]
struct Signals(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The process that does the repetition; 0 between two of them.
    child: AtomicI32,
    /// The last signal that asked us to end.
    heard: AtomicI32,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let signals = Signals::default();
        let there = signals.clone();
        let set = guard::heeded_signals();
        set.block();
        thread::Builder::new().name("signals".into()).spawn(move || {
            loop {
                let signal = set.wait();
                there.0.heard.store(signal, Ordering::SeqCst);
                there.pass_on(signal);
            }
        })?;
        Ok(signals)
    }

    fn pass_on(&self, signal: i32) {
        let child = Pid::from_raw(self.0.child.load(Ordering::SeqCst));
        if let (Some(child), Some(signal)) = (child, Signal::from_named_raw(signal)) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(child, signal);
        }
    }

    /// The exit code of whoever was asked to end; `None`: nobody was.
    fn exit_code(&self) -> Option<u8> {
        match self.0.heard.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(Cause::Signal(signal).exit_code()),
        }
    }
}

/// Does one run; gives its receipt and its exit code. Our end is its end.
fn repetition(
    program: &Path,
    arguments: &[OsString],
    signals: &Signals,
    context: &Context,
) -> io::Result<(Option<PathBuf>, u8)> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).process_group(0);
    end_with_us(&mut command);
    let mut child = command.spawn()?;
    signals.0.child.store(child.id().cast_signed(), Ordering::SeqCst);
    let receipt = pass_on(&mut child, context);
    let status = child.wait()?;
    signals.0.child.store(0, Ordering::SeqCst);
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok((receipt?, code.unwrap_or(exit::COULD_NOT)))
}

#[expect(unsafe_code, reason = "pre_exec is the only way to set the death signal of a child")]
fn end_with_us(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe, and nothing else is called.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Prints what the repetition prints, and gives the receipt that it names.
fn pass_on(child: &mut Child, context: &Context) -> io::Result<Option<PathBuf>> {
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut receipt = None;
    for line in BufReader::new(stdout).split(b'\n') {
        let mut line = line?;
        receipt = line.strip_prefix(b"receipt: ").map(|path| OsStr::from_bytes(path).into());
        line.push(b'\n');
        // Whoever stopped reading still gets the exit code.
        drop(context.console.out_bytes(&line));
    }
    Ok(receipt)
}

/// Removes the workspace of a repetition that succeeded. That it stays is no reason to stop.
fn forget_workspace(receipt: Option<&Path>, context: &Context) {
    let receipt: Option<RunReceipt> = receipt.and_then(|path| store::read(path).ok());
    let workspace = receipt.and_then(|receipt| receipt.snapshot_path);
    let id = workspace.as_deref().map(Path::new).and_then(Path::file_name).map(OsStr::to_owned);
    let (Some(id), Ok(program)) = (id, context.siblings.find("loom-snapshot")) else { return };
    let removed = Command::new(program)
        .args([OsStr::new("rm"), OsStr::new("--"), &id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !removed.is_ok_and(|status| status.success()) {
        context.console.note(format_args!("cannot remove the workspace `{}`", id.display()));
    }
}

impl Tally {
    fn add_failure(&mut self, path: Option<&Path>) {
        self.failed += 1;
        let Some(path) = path else { return };
        let Ok(receipt) = store::read::<RunReceipt>(path) else { return };
        for job in receipt.jobs.iter().filter(|job| job.status == Status::Failure) {
            let entry = self.jobs.entry(job.job_id.clone());
            entry.or_insert_with(|| (0, path.to_owned())).0 += 1;
        }
    }

    fn report(&self, context: &Context) {
        let Tally { runs, failed, jobs } = self;
        context.console.line(format_args!("{runs} repetitions: {failed} failed"));
        for (job, (times, receipt)) in jobs {
            let receipt = receipt.display();
            context.console.line(format_args!(
                "job `{job}` failed {times} of {runs} times, first in {receipt}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_gets_all_arguments_but_those_that_repeat() {
        let once = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            once(&arguments).join(OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(once("--repeat 5 -j 2 build --until-fail"), "-j 2 build");
        assert_eq!(once("--local --repeat=5 --var A=--repeat"), "--local --var A=--repeat");
        assert_eq!(once("--only -- --repeat"), "--only -- --repeat");
    }
}
