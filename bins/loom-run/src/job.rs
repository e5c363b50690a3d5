//! One job from its first phase to its last.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use libloom_contract::{
    Reason, Timestamp,
    event::{Event, EventKind, PhaseCode, Section},
    graph::{Graph, Node, Provider},
    logs::JobSummary,
    reports::TestReport,
    version,
};
use libloom_record::{attempts::earlier, events::EventLog};
use serde_json::json;

use crate::{
    attempts,
    cancel::{Cause, Level},
    execution::{self, Execution},
    extraction, isolate,
    joblog::{JobLog, close_broken, loom_error},
    providers::docker,
    run::Run,
    secrets::{self, Ready},
    steps::{FailingStep, milliseconds},
    verdict::Verdict,
};

/// What a job came to.
#[derive(Debug)]
pub struct JobResult {
    /// How it ended.
    pub verdict: Verdict,
    /// Exit code of its shell; `None` when no shell ran.
    pub exit_code: Option<i32>,
    /// Wall time of the last attempt.
    pub duration_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Processor time of its processes.
    pub cpu_ms: u64,
    /// Largest memory of one of its processes.
    pub peak_rss_bytes: u64,
    /// Steps that began.
    pub steps: u64,
    /// The step that failed.
    pub failing: Option<FailingStep>,
    /// Events to look at, absolute; empty when nothing failed.
    pub failing_events: PathBuf,
    /// What its test reports say.
    pub tests: Option<TestReport>,
}

impl JobResult {
    /// The result of a job that never ran.
    pub fn not_run(verdict: Verdict) -> Self {
        JobResult {
            verdict,
            exit_code: None,
            duration_ms: 0,
            attempts: 0,
            cpu_ms: 0,
            peak_rss_bytes: 0,
            steps: 0,
            failing: None,
            failing_events: PathBuf::new(),
            tests: None,
        }
    }
}

/// One attempt at a job.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The run it is part of.
    pub run: &'a Run,
    /// The jobs around it.
    pub graph: &'a Graph,
    /// The job.
    pub node: &'a Node,
    /// From 1; 0 for a job that is not run.
    pub number: u32,
    /// What the attempt before it came to.
    pub before: Option<&'a JobResult>,
}

impl<'a> Attempt<'a> {
    /// Opens the job's folder, once an earlier attempt has left it.
    fn open(&self) -> io::Result<JobLog<'a>> {
        let Attempt { run, node, number, before, .. } = *self;
        if let Some(before) = before {
            attempts::set_aside(run, node, number - 1, before)?;
        }
        let mut log = JobLog::create(run, node)?;
        log.manifest.attempts = number;
        if before.is_some() {
            log.manifest.earlier_attempts = earlier(&run.logs, &log.layout);
        }
        Ok(log)
    }
}

/// Runs a job once and records it. Trouble with the record is a failure of the job.
pub fn run(attempt: &Attempt<'_>) -> JobResult {
    let Attempt { run, graph, node, number, .. } = *attempt;
    let given = run.handed.give(node, &graph.stages, &run.overrides);
    let attempt = &Attempt { node: given.as_ref().unwrap_or(node), ..*attempt };
    let started = Instant::now();
    let began = Some((Timestamp::now(), number));
    let outcome = attempt.open().and_then(|mut log| {
        let execution = phases(attempt, &mut log)?;
        let duration_ms = milliseconds(started.elapsed());
        point_to_failure(&mut log, &execution);
        let events = failing_events(run, &log);
        let tests = log.manifest.tests.clone();
        log.close(&summary(node, &execution, began, duration_ms))?;
        Ok((execution, (events, tests), duration_ms))
    });
    let (execution, (failing_events, tests), duration_ms) = outcome.unwrap_or_else(|error| {
        let execution = Execution::of(run.hidden(&loom_error(&error)));
        let duration_ms = milliseconds(started.elapsed());
        close_broken(run, &summary(node, &execution, began, duration_ms));
        (execution, (PathBuf::new(), None), duration_ms)
    });
    JobResult {
        verdict: execution.verdict,
        exit_code: execution.exit_code,
        duration_ms,
        attempts: number,
        cpu_ms: execution.cpu_ms,
        peak_rss_bytes: execution.peak_rss_bytes,
        steps: execution.steps_begun,
        failing: execution.failing,
        failing_events,
        tests,
    }
}

/// Records a job that is not run, or not once more: its cleanup phase, summary and manifest.
pub fn record_not_run(attempt: &Attempt<'_>, verdict: &Verdict) -> io::Result<()> {
    let Attempt { run, node, .. } = *attempt;
    let mut log = attempt.open()?;
    log.manifest.attempts = log.manifest.earlier_attempts.len() as u32;
    let earlier_run = run.earlier.as_ref().and_then(|earlier| earlier.finished_in(&node.id));
    log.manifest.finished_in = earlier_run.map(str::to_owned);
    log.phase(PhaseCode::JobCleanup, |_| Ok((verdict.clone(), ())))?;
    log.close(&summary(node, &Execution::of(verdict.clone()), None, 0))
}

fn phases(attempt: &Attempt<'_>, log: &mut JobLog<'_>) -> io::Result<Execution> {
    let Attempt { run, node, .. } = *attempt;
    let (verdict, mut ready) =
        log.phase(PhaseCode::JobProviderPrepare, |log| prepare(attempt, log))?;
    let mut execution = Execution::of(verdict);
    if let Some(ready) = &mut ready {
        let slot = run.slots.take();
        execution = match cancelled(run) {
            // The wish to end came while it waited.
            Some(verdict) => Execution::of(verdict),
            None => execution::run(attempt, ready, log)
                .unwrap_or_else(|error| Execution::of(loom_error(&error))),
        };
        drop(slot);
        if extraction::is_wanted(node, &execution) {
            let phase = PhaseCode::JobArtifactRestore;
            let ended = execution.verdict.clone();
            let extracted = log.phase(phase, |log| extraction::run(attempt, ready, &ended, log))?;
            execution.take_failure_of(extracted.0);
        }
    }
    log.phase(PhaseCode::JobCleanup, |log| clean_up(attempt, ready, &execution, log))?;
    execution.verdict = run.hidden(&execution.verdict);
    Ok(execution)
}

/// The outcome of a job that must not begin any more.
fn cancelled(run: &Run) -> Option<Verdict> {
    let (reason, message) = (run.cancel_reason(), run.cancel_message());
    match (run.cancel.level(), run.cancel.cause()) {
        (Level::None, _) => None,
        (_, Some(Cause::FailFast)) => Some(Verdict::skipped(reason, message)),
        _ => Some(Verdict::cancelled(reason, message)),
    }
}

/// Chooses the provider, makes the workspace ready and resolves secrets; then the job's shell may
/// start.
fn prepare(attempt: &Attempt<'_>, log: &mut JobLog<'_>) -> io::Result<(Verdict, Option<Ready>)> {
    let Attempt { run, node, .. } = *attempt;
    let prepared = log.section(Section::Provider, |log, events| {
        note_attempt(attempt, events)?;
        let workspace = workspace(attempt);
        note_provider(run, node, workspace.as_deref().unwrap_or(run.workspace()), events)?;
        match (workspace, node.provider) {
            (Ok(workspace), Provider::Host) => on_host(attempt, workspace, events),
            (Ok(workspace), Provider::Docker) => {
                docker::job::prepare(attempt, &workspace, log, events)
            }
            (Err(verdict), _) => Ok(Err(verdict)),
        }
    })?;
    Ok(match prepared {
        Ok(ready) => (Verdict::success(), Some(ready)),
        Err(verdict) => (verdict, None),
    })
}

/// Makes a job ready to run on this machine.
fn on_host(
    attempt: &Attempt<'_>,
    workspace: PathBuf,
    events: &mut EventLog,
) -> io::Result<Result<Ready, Verdict>> {
    let Attempt { run, node, .. } = *attempt;
    docker::settle(run)?;
    let environment = secrets::host_environment(run, node, &workspace);
    let mut ready = match secrets::prepare(run, node, workspace, environment, events)? {
        Ok(ready) => ready,
        Err(verdict) => return Ok(Err(verdict)),
    };
    ready.scripts = execution::scripts(node, &ready)?;
    Ok(Ok(ready))
}

/// The folder that the job works in.
fn workspace(attempt: &Attempt<'_>) -> Result<PathBuf, Verdict> {
    let Attempt { run, graph, node, .. } = *attempt;
    if !run.isolate {
        return Ok(run.workspace().to_owned());
    }
    isolate::make(run, graph, node)
        .map_err(|error| Verdict::failure(Reason::SectionFailed, error.to_string()))
}

/// Says that there were attempts before this one.
fn note_attempt(attempt: &Attempt<'_>, events: &mut EventLog) -> io::Result<()> {
    let Some(before) = attempt.before else { return Ok(()) };
    let (number, of) = (attempt.number, attempts::allowed(attempt.node));
    let why = before.verdict.message.as_deref().unwrap_or_default();
    let text = format!("attempt {number} of {of}; the one before it failed: {why}");
    let note = events.subject().say(EventKind::Note, text);
    events.append(note)
}

fn note_provider(
    run: &Run,
    node: &Node,
    workspace: &Path,
    events: &mut EventLog,
) -> io::Result<()> {
    let word = node.provider.word();
    let mut data = serde_json::Map::new();
    data.insert("provider".into(), json!(word));
    match node.provider {
        Provider::Host => {
            data.insert("shell".into(), json!(run.shell.to_string_lossy()));
            data.insert("workspace".into(), json!(workspace.to_string_lossy()));
        }
        Provider::Docker => {
            let name = node.image.as_ref().and_then(|image| image.name.clone());
            data.insert("image".into(), json!(name));
        }
    }
    let note = events.subject().say(EventKind::Note, format!("provider: {word}"));
    events.append(Event { data: Some(data), ..note })?;
    for note in notes(node) {
        let note = events.subject().say(EventKind::Note, note);
        events.append(note)?;
    }
    Ok(())
}

/// Keywords of the job that this build does not act on, in words: nothing is ignored silently.
pub fn notes(node: &Node) -> Vec<String> {
    let not_built = [
        (!node.cache.is_empty(), "`cache` is not built yet: the job runs as if it had missed"),
        (
            node.runner_pool.is_some(),
            "`runner_pool` is for remote runs; a local run does not act on it",
        ),
        (node.invariant.is_some(), "`invariant` is recorded; a local run does not act on it"),
        (
            node.resources.is_some() && node.provider == Provider::Host,
            "`resources` limits containers; a host job has no limits",
        ),
    ];
    let present = not_built.into_iter().filter(|(is_present, _)| *is_present);
    present.map(|(_, note)| note.to_owned()).collect()
}

/// What had to be cleaned up, if anything, is said in a section of its own.
fn clean_up(
    attempt: &Attempt<'_>,
    ready: Option<Ready>,
    execution: &Execution,
    log: &mut JobLog<'_>,
) -> io::Result<(Verdict, ())> {
    let Attempt { run, node, .. } = *attempt;
    let kept = ready.map_or_else(Vec::new, |ready| {
        docker::job::remove(run, &log.layout, &ready.host_workspace, ready.made)
    });
    if run.isolate && execution.verdict.is_success() {
        isolate::remove(run, node)?;
    }
    if execution.leftovers > 0 || !kept.is_empty() {
        let text = format!("{} background processes were left and ended", execution.leftovers);
        let _ = log.section(Section::Cleanup, |_, events| {
            if execution.leftovers > 0 {
                let note = events.subject().say(EventKind::Note, text);
                events.append(note)?;
            }
            for error in &kept {
                run.display.note(format_args!("job `{}`: {error}", node.label));
                let event = events.subject().say(EventKind::Error, error);
                events.append(event)?;
            }
            Ok(Ok::<(), Verdict>(()))
        })?;
    }
    Ok((Verdict::success(), ()))
}

/// Fills the pointers that lead from the manifest to what failed.
fn point_to_failure(log: &mut JobLog<'_>, execution: &Execution) {
    if let Some(failing) = &execution.failing {
        log.manifest.failing_step = Some(failing.step.clone());
        log.manifest.failing_step_events_path = Some(failing.events_path.clone());
    }
}

/// The one file to look at, from the pointers of the manifest.
fn failing_events(run: &Run, log: &JobLog<'_>) -> PathBuf {
    let manifest = &log.manifest;
    let step = manifest.failing_step_events_path.as_ref();
    let section = manifest.failing_section_events_path.as_ref();
    let events = step.or(section).or(manifest.execution_events_path.as_ref());
    events.map(|path| run.logs.folder().join(path)).unwrap_or_default()
}

fn summary(
    node: &Node,
    execution: &Execution,
    began: Option<(Timestamp, u32)>,
    duration_ms: u64,
) -> JobSummary {
    // No process needs no memory: then nobody knows.
    let is_known = began.is_some() && execution.peak_rss_bytes > 0;
    JobSummary {
        schema_version: version::LOGS.to_string(),
        kind: "loom-job-summary".into(),
        job_id: node.id.clone(),
        label: node.label.clone(),
        stage: node.stage.clone(),
        provider: node.provider,
        attempt: began.map_or(0, |(_, number)| number),
        status: execution.verdict.status,
        reason: execution.verdict.reason,
        message: execution.verdict.message.clone(),
        exit_code: execution.exit_code,
        signal: execution.signal,
        started_at: began.map(|(started_at, _)| started_at),
        finished_at: Timestamp::now(),
        duration_ms,
        cpu_ms: is_known.then_some(execution.cpu_ms),
        peak_rss_bytes: is_known.then_some(execution.peak_rss_bytes),
    }
}
