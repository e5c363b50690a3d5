//! Executes a graph: starts what may start, records what ends, until nothing is left.

use std::{
    collections::BTreeMap,
    io,
    sync::{Condvar, Mutex, MutexGuard},
    thread::{self, Scope},
    time::Instant,
};

use libloom_contract::{
    Reason, Status, Timestamp,
    event::{Event, EventKind, PhaseCode},
    graph::{AllowFailure, Graph, Node},
    logs::{JobCounts, JobEntry},
    receipt::ExecutorReceipt,
};
use libloom_record::events::{EventLog, Subject};

use crate::{
    cancel::Level,
    job::{self, JobResult},
    rules::Decided,
    run::Run,
    schedule::{Decision, Outcome, Schedule},
    steps::milliseconds,
    verdict::Verdict,
};

/// What a pipeline came to.
#[derive(Debug)]
pub struct Pipeline {
    /// How it ended.
    pub verdict: Verdict,
    /// When it began.
    pub started_at: Timestamp,
    /// Wall time.
    pub duration_ms: u64,
    /// Jobs by outcome.
    pub counts: JobCounts,
    /// Every job, in the graph's order.
    pub jobs: Vec<JobEntry>,
    /// The first job that failed and may not.
    pub failing_job: Option<String>,
    /// What the executor did.
    pub executor: ExecutorReceipt,
}

/// Executes a graph in the run's workspace.
///
/// # Errors
/// The pipeline's own events cannot be written.
pub fn execute(run: &Run, decided: &Decided) -> io::Result<Pipeline> {
    let Decided { graph, left } = decided;
    let subject = Subject::phase(PhaseCode::PipelineExecute);
    let mut events = EventLog::create(&run.logs.pipeline_events(), subject.clone())?;
    run.observe(None, PhaseCode::PipelineExecute, EventKind::Start);
    events.append_own(EventKind::Start)?;
    let mut state = State {
        run,
        graph,
        schedule: Schedule::new(graph, left.clone()),
        events,
        results: graph.nodes.iter().map(|_| None).collect(),
        failing_job: None,
        error: None,
        threads: 1,
        idle: 0,
    };
    run.display.jobs(&graph.nodes);
    note_what_is_not_built(run, graph);
    let (started_at, started) = (Timestamp::now(), Instant::now());
    state.run_to_end()?;
    state.into_pipeline(started_at, started)
}

/// Says once for all jobs which of their keywords have no effect here.
fn note_what_is_not_built(run: &Run, graph: &Graph) {
    let mut jobs_by_note: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in &graph.nodes {
        for note in job::notes(node) {
            jobs_by_note.entry(note).or_default().push(&node.id);
        }
    }
    for (note, jobs) in jobs_by_note {
        run.display.note(format_args!("{note} ({})", shortened(&jobs)));
    }
}

/// `a, b, c and 4 more`.
fn shortened(jobs: &[&str]) -> String {
    match jobs.len() {
        0..=3 => jobs.join(", "),
        count => format!("{} and {} more", jobs[..3].join(", "), count - 3),
    }
}

struct State<'a> {
    run: &'a Run,
    graph: &'a Graph,
    schedule: Schedule<'a>,
    events: EventLog,
    results: Vec<Option<JobResult>>,
    failing_job: Option<usize>,
    /// Why the pipeline's own record could not be written.
    error: Option<io::Error>,
    /// Threads that run jobs, and how many of them wait for one.
    threads: usize,
    idle: usize,
}

/// A state that several threads carry on: each takes a job, runs it and says what it came to.
/// Nobody stands between the end of one job and the start of the next, so that costs no wake-up.
struct Shared<'a, 'b> {
    state: Mutex<&'b mut State<'a>>,
    /// There is a job for one more thread, or nothing more will come.
    changed: Condvar,
}

impl<'a, 'b> Shared<'a, 'b> {
    fn lock(&self) -> MutexGuard<'_, &'b mut State<'a>> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// Runs one job after the other until nothing is left to start.
    fn run_jobs<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut state = self.lock();
        while !state.is_over() {
            state.heed_cancel();
            match state.schedule.next() {
                Some(Decision::Leave(job, verdict)) => {
                    let left = state.leave(job, verdict);
                    state.keep_error(left);
                }
                Some(Decision::Start(job)) => {
                    self.call_one_more(&mut state, scope);
                    let (run, node) = (state.run, &state.graph.nodes[job]);
                    run.display.started(node);
                    drop(state);
                    let result = job::run(run, node);
                    state = self.lock();
                    let noted = state.finished(job, result);
                    state.keep_error(noted);
                }
                None => {
                    state.idle += 1;
                    let woken = self.changed.wait(state);
                    state = woken.expect("no thread panics while it holds the lock");
                    state.idle -= 1;
                }
            }
        }
        self.changed.notify_all();
    }

    /// Where more jobs are ready, one thread more takes one, and calls the next.
    fn call_one_more<'scope>(
        &'scope self,
        state: &mut State<'_>,
        scope: &'scope Scope<'scope, '_>,
    ) {
        if !state.schedule.has_ready() {
            return;
        }
        if state.idle > 0 {
            self.changed.notify_one();
        } else if state.threads < state.run.jobs {
            state.threads += 1;
            scope.spawn(move || self.run_jobs(scope));
        }
    }
}

impl State<'_> {
    fn run_to_end(&mut self) -> io::Result<()> {
        let shared = Shared { state: Mutex::new(self), changed: Condvar::new() };
        thread::scope(|scope| shared.run_jobs(scope));
        self.error.take().map_or(Ok(()), Err)
    }

    /// Every job is done, or the record cannot be written any more.
    fn is_over(&self) -> bool {
        self.error.is_some() || self.schedule.is_done()
    }

    fn keep_error(&mut self, result: io::Result<()>) {
        self.error = self.error.take().or(result.err());
    }

    fn heed_cancel(&mut self) {
        if self.run.cancel.level() > Level::None {
            let message = self.run.cancel_message();
            self.schedule.cancel(Verdict::cancelled(self.run.cancel_reason(), message));
        }
    }

    fn leave(&mut self, job: usize, verdict: Verdict) -> io::Result<()> {
        let node = &self.graph.nodes[job];
        job::record_not_run(self.run, node, &verdict)?;
        self.note(node, &verdict, None, 0)?;
        self.run.display.not_run(node, &verdict);
        self.results[job] = Some(JobResult::not_run(verdict));
        Ok(())
    }

    fn finished(&mut self, job: usize, result: JobResult) -> io::Result<()> {
        let node = &self.graph.nodes[job];
        let status = result.verdict.status;
        let forgiven = status == Status::Failure && is_allowed(node, result.exit_code);
        if status == Status::Failure && !forgiven && self.failing_job.is_none() {
            self.failing_job = Some(job);
        }
        self.schedule.finished(job, Outcome { status, forgiven });
        self.note(node, &result.verdict, result.exit_code, result.duration_ms)?;
        self.run.display.finished(node, &result, forgiven);
        self.results[job] = Some(result);
        Ok(())
    }

    /// A job's outcome, for who follows the pipeline's events.
    fn note(
        &mut self,
        node: &Node,
        verdict: &Verdict,
        exit_code: Option<i32>,
        duration_ms: u64,
    ) -> io::Result<()> {
        let note = Event {
            job_id: Some(node.id.clone()),
            text: verdict.message.clone(),
            status: Some(verdict.status),
            reason: verdict.reason,
            exit_code,
            duration_ms: Some(duration_ms),
            ..self.events.subject().event(EventKind::Note)
        };
        self.events.append(note)
    }

    fn into_pipeline(mut self, started_at: Timestamp, started: Instant) -> io::Result<Pipeline> {
        let verdict = self.verdict();
        let duration_ms = milliseconds(started.elapsed());
        let subject = self.events.subject().clone();
        self.run.observe(None, PhaseCode::PipelineExecute, EventKind::Finish);
        self.events.append(crate::joblog::finish(&subject, &verdict, started))?;
        let mut counts = JobCounts::default();
        let mut executor = ExecutorReceipt { duration_ms, ..ExecutorReceipt::default() };
        let mut jobs = Vec::with_capacity(self.results.len());
        for (node, result) in self.graph.nodes.iter().zip(&self.results) {
            let result = result.as_ref().expect("every job is finished");
            counts.add(result.verdict.status);
            add_usage(&mut executor, result);
            jobs.push(entry(self.run, node, result));
        }
        let failing_job = self.failing_job.map(|job| self.graph.nodes[job].id.clone());
        Ok(Pipeline { verdict, started_at, duration_ms, counts, jobs, failing_job, executor })
    }

    fn verdict(&self) -> Verdict {
        let is_cancelled = |result: &Option<JobResult>| {
            result.as_ref().is_some_and(|r| r.verdict.status == Status::Cancelled)
        };
        if self.run.cancel.level() > Level::None && self.results.iter().any(is_cancelled) {
            return Verdict::cancelled(self.run.cancel_reason(), self.run.cancel_message());
        }
        match self.failing_job {
            Some(job) => {
                let message = format!("job `{}` failed", self.graph.nodes[job].id);
                Verdict::failure(Reason::JobFailed, message)
            }
            None => Verdict::success(),
        }
    }
}

/// Whether the job's failure does not fail the pipeline.
fn is_allowed(node: &Node, exit_code: Option<i32>) -> bool {
    node.policy.allow_failure.as_ref().is_some_and(|AllowFailure { exit_codes }| {
        exit_codes.is_empty() || exit_code.is_some_and(|code| exit_codes.contains(&code))
    })
}

fn add_usage(executor: &mut ExecutorReceipt, result: &JobResult) {
    executor.jobs += u64::from(result.exit_code.is_some());
    executor.steps += result.steps;
    executor.cpu_ms += result.cpu_ms;
    executor.peak_rss_bytes = executor.peak_rss_bytes.max(result.peak_rss_bytes);
}

fn entry(run: &Run, node: &Node, result: &JobResult) -> JobEntry {
    JobEntry {
        job_id: node.id.clone(),
        label: (node.label != node.id).then(|| node.label.clone()),
        stage: node.stage.clone(),
        status: result.verdict.status,
        reason: result.verdict.reason,
        duration_ms: result.duration_ms,
        manifest_path: run.logs.relative(&run.logs.job(&node.id).manifest()),
    }
}
