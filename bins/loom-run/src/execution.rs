//! The user's part of a job: its shells, one after the other, and what they came to.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use libloom_contract::{
    Reason, env,
    event::{Event, EventKind, PhaseCode, Stream},
    graph::{Node, Provider, ScriptSection, Step},
    layout::JobLayout,
    logs::StepEntry,
};
use libloom_record::events::EventLog;
use libloom_variables::{Prelude, quoted};

use crate::{
    job::Attempt,
    joblog::{JobLog, finish},
    providers::{
        docker,
        host::{self, End, Reader, Shell, Stopped},
    },
    run::Run,
    secrets::Ready,
    shell::script::{ARGUMENT_BYTES_MAX, instrumented},
    steps::{self, FailingStep, Room, Sink, Steps, ended_by},
    verdict::Verdict,
};

/// What the shells of a job came to.
#[derive(Debug)]
pub struct Execution {
    /// How the job ended.
    pub verdict: Verdict,
    /// A shell was started.
    pub began: bool,
    /// Exit code of the shell that decided.
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Processor time of all shells.
    pub cpu_ms: u64,
    /// Largest memory of one process.
    pub peak_rss_bytes: u64,
    /// Steps that began.
    pub steps_begun: u64,
    /// The step that failed.
    pub failing: Option<FailingStep>,
    /// Background processes that were left and ended.
    pub leftovers: usize,
}

impl Execution {
    /// No shell ran.
    pub fn of(verdict: Verdict) -> Self {
        Execution {
            verdict,
            began: false,
            exit_code: None,
            signal: None,
            cpu_ms: 0,
            peak_rss_bytes: 0,
            steps_begun: 0,
            failing: None,
            leftovers: 0,
        }
    }

    /// A later phase failed; that only matters where nothing failed before.
    pub fn take_failure_of(&mut self, later: Verdict) {
        if self.verdict.is_success() && !later.is_success() {
            self.verdict = later;
        }
    }

    /// Adds what a shell came to. As everywhere else, `after_script` does not decide.
    fn add(&mut self, kind: &ShellKind, outcome: ShellOutcome) {
        self.began = true;
        self.cpu_ms += outcome.end.ended.cpu_ms;
        self.peak_rss_bytes = self.peak_rss_bytes.max(outcome.end.ended.peak_rss_bytes);
        self.leftovers += outcome.end.leftovers;
        self.steps_begun += outcome.steps_begun;
        if kind.decides {
            self.verdict = outcome.verdict;
            self.exit_code = outcome.end.exit_code();
            self.signal = outcome.end.ended.signal;
            self.failing = outcome.failing;
        }
    }
}

/// One of a job's shells.
#[derive(Clone, Copy, Debug)]
pub struct ShellKind {
    /// Name of the file that a script too long for an argument goes into.
    file: &'static str,
    /// Its outcome is the job's, and the job's time is its time.
    pub decides: bool,
}

/// What one of a job's shells runs.
#[derive(Debug)]
pub struct Script {
    /// Which of them.
    pub kind: ShellKind,
    /// The text.
    pub text: String,
    /// What announces its entries.
    nonce: String,
}

const MAIN: ShellKind = ShellKind { file: "script.sh", decides: true };
const AFTER: ShellKind = ShellKind { file: "after_script.sh", decides: false };

/// What one shell came to.
struct ShellOutcome {
    end: End,
    verdict: Verdict,
    steps_begun: u64,
    failing: Option<FailingStep>,
}

/// What the job's shells run.
///
/// # Errors
/// The system gives no random bytes, or a file cannot be written.
pub fn scripts(node: &Node, ready: &Ready) -> io::Result<Vec<Script>> {
    let private = ready.write_private()?;
    let prelude = Prelude {
        workspace: &ready.workspace,
        path: &ready.environment.path,
        variables: &ready.environment.own,
        private: private.as_deref(),
        is_first_process: node.provider == Provider::Docker,
    };
    let shells = shells_of(node).into_iter();
    let scripts = shells.map(|(kind, entries)| {
        let nonce = nonce()?;
        let commands: Vec<&str> = entries.iter().map(|step| step.command.as_str()).collect();
        Ok(Script { kind, text: instrumented(&prelude, &commands, &nonce), nonce })
    });
    scripts.collect()
}

/// Runs the job's shells: `before_script` and `script` in one, `after_script` in another.
pub fn run(
    attempt: &Attempt<'_>,
    ready: &mut Ready,
    log: &mut JobLog<'_>,
) -> io::Result<Execution> {
    let (_, execution) = log.phase(PhaseCode::JobExecution, |log| {
        let execution = shells(attempt, ready, log)?;
        Ok((execution.verdict.clone(), execution))
    })?;
    Ok(execution)
}

fn shells(attempt: &Attempt<'_>, ready: &mut Ready, log: &mut JobLog<'_>) -> io::Result<Execution> {
    let Attempt { run, node, .. } = *attempt;
    let mut job = Job { attempt, run, node, ready, deadline: deadline(node) };

    let layout = log.layout.clone();
    let subject = steps::execution_subject(&node.id);
    let mut events = EventLog::create(&layout.execution_events(), subject.clone())?;
    log.manifest.execution_events_path = Some(run.logs.relative(&layout.execution_events()));
    link_scripts(&layout)?;
    events.append_own(EventKind::Start)?;
    let started = Instant::now();

    let mut sink = Sink {
        run: &run.logs,
        layout: &layout,
        job_id: &node.id,
        execution: events,
        display: &run.display,
        redactor: run.redactor(),
        ledger: &run.ledger,
        room: Room::new(run.output_bytes_max),
    };
    let mut execution = Execution::of(Verdict::success());
    for (number, (kind, entries)) in shells_of(node).into_iter().enumerate() {
        let (outcome, steps) = job.shell(&mut sink, number, &entries)?;
        log.steps(steps);
        execution.add(&kind, outcome);
    }
    if sink.room.dropped > 0 {
        let Room { max, dropped, .. } = sink.room;
        let text = format!(
            "{dropped} bytes of output were not recorded: `runtime.output.maxBytes` is {max}"
        );
        sink.execution.append(subject.say(EventKind::Note, &text))?;
        run.display.note(format_args!("job `{}`: {text}", node.label));
    }
    let finished =
        Event { exit_code: execution.exit_code, ..finish(&subject, &execution.verdict, started) };
    sink.execution.append(finished)?;
    Ok(execution)
}

/// The entries of each shell.
fn shells_of(node: &Node) -> Vec<(ShellKind, Vec<&Step>)> {
    let (after, main): (Vec<_>, Vec<_>) =
        node.steps.iter().partition(|step| step.section == ScriptSection::AfterScript);
    let shells = [(MAIN, main), (AFTER, after)];
    shells.into_iter().filter(|(_, entries)| !entries.is_empty()).collect()
}

fn deadline(node: &Node) -> Option<Instant> {
    node.policy.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms))
}

/// The older documented step path is a link.
fn link_scripts(layout: &JobLayout) -> io::Result<()> {
    let (link, target) = layout.script_link();
    std::os::unix::fs::symlink(target, link)
}

/// What the shells of one job have in common.
struct Job<'a> {
    attempt: &'a Attempt<'a>,
    run: &'a Run,
    node: &'a Node,
    ready: &'a mut Ready,
    deadline: Option<Instant>,
}

impl Job<'_> {
    fn shell(
        &mut self,
        sink: &mut Sink<'_>,
        number: usize,
        entries: &[&Step],
    ) -> io::Result<(ShellOutcome, Vec<StepEntry>)> {
        let folder = sink.layout.execution();
        let nonce = self.ready.scripts[number].nonce.clone();
        let mut steps = Steps::new(sink, entries, &nonce);
        let end = match &self.ready.container {
            None => self.on_host(&folder, number, &mut steps)?,
            Some(_) => self.in_container(number, &mut steps)?,
        };
        let begun = steps.begun_count();
        let verdict = self.verdict(&end, begun);
        let (recorded, failing) = steps.finish(&end, &verdict)?;
        let verdict = match &failing {
            Some(failing) if verdict.reason == Some(Reason::ExitCode) => Verdict::failure(
                Reason::StepFailed,
                format!("step {} failed: exit code {}", failing.step, end.ended.exit_code),
            ),
            _ => verdict,
        };
        Ok((ShellOutcome { end, verdict, steps_begun: begun as u64, failing }, recorded))
    }

    fn on_host(&self, folder: &Path, number: usize, steps: &mut Steps<'_, '_>) -> io::Result<End> {
        let Script { kind, text, .. } = &self.ready.scripts[number];
        // A step of an earlier shell may have removed it.
        self.ready.write_private()?;
        let shell = Shell {
            program: &self.run.shell,
            arguments: arguments(self.ready.is_traced, argument(text, &folder.join(kind.file))?),
            environment: &self.ready.environment.all,
            workspace: &self.ready.workspace,
            marks: self.marks(),
            deadline: self.deadline.filter(|_| kind.decides),
            grace: self.run.grace,
        };
        host::run(&shell, &self.run.registry, &self.run.cancel, steps)
            .map_err(|error| self.cannot_start(error))
    }

    fn in_container(&mut self, number: usize, steps: &mut Steps<'_, '_>) -> io::Result<End> {
        let kind = self.ready.scripts[number].kind;
        let limits = docker::shell::Limits {
            deadline: self.deadline.filter(|_| kind.decides),
            grace: self.run.grace,
        };
        docker::job::run(self.attempt, self.ready, limits, number, steps)
    }

    fn marks(&self) -> Vec<Vec<u8>> {
        let mark = |name: &str, value: &str| format!("{name}={value}").into_bytes();
        vec![mark(env::RUN_ID, &self.run.id), mark(env::JOB_ID, &self.node.id)]
    }

    fn cannot_start(&self, error: io::Error) -> io::Error {
        let program = self.run.shell.display();
        match error.raw_os_error() {
            Some(libc::E2BIG) => io::Error::other(format!(
                "cannot start `{program}`: the job's variables are too long for a process \
                 (128 KiB each, with the script about 2 MiB in all)"
            )),
            Some(_) => io::Error::other(format!("job `{}`: `{program}`: {error}", self.node.id)),
            None => error,
        }
    }

    /// How the shell ended, in words.
    fn verdict(&self, end: &End, begun: usize) -> Verdict {
        if let (None, Some(why)) = (end.stopped, &end.why) {
            return why.clone();
        }
        match (end.stopped, end.ended.signal, end.ended.exit_code) {
            (Some(Stopped::Cancelled), ..) => {
                Verdict::cancelled(self.run.cancel_reason(), self.run.cancel_message())
            }
            (Some(Stopped::Timeout), ..) => {
                let ms = self.node.policy.timeout_ms.unwrap_or_default();
                let message = format!("not done after {:?}", Duration::from_millis(ms));
                Verdict::failure(Reason::Timeout, message)
            }
            (None, Some(signal), _) => {
                Verdict::failure(Reason::Signal, format!("the shell was {}", ended_by(signal)))
            }
            (None, None, 0) => Verdict::success(),
            (None, None, code) if begun == 0 => Verdict::failure(
                Reason::ExitCode,
                format!(
                    "the shell ended with exit code {code} before the first script entry{}",
                    docker::job::hint_at_user(self.run, self.node)
                ),
            ),
            (None, None, code) => Verdict::failure(Reason::ExitCode, format!("exit code {code}")),
        }
    }
}

/// The text a shell runs as one argument; one that is too long goes into `file`.
fn argument(text: &str, file: &Path) -> io::Result<String> {
    if text.len() <= ARGUMENT_BYTES_MAX {
        return Ok(text.to_owned());
    }
    fs::write(file, text)?;
    Ok(format!(". {}", quoted(&file.to_string_lossy())))
}

/// What stands behind `sh`.
pub fn arguments(is_traced: bool, script: String) -> Vec<String> {
    let options: &[&str] = if is_traced { &["-x", "-c"] } else { &["-lc"] };
    options.iter().map(|&option| option.to_owned()).chain([script]).collect()
}

impl Reader for Steps<'_, '_> {
    fn feed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        Steps::feed(self, stream, bytes)
    }

    fn patience(&self) -> Option<Duration> {
        Steps::patience(self)
    }

    fn tick(&mut self) -> io::Result<()> {
        Steps::tick(self)
    }
}

/// 128 bits that no program's output holds by accident.
fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
