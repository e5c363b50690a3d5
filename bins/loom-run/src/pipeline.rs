//! Executes a graph: starts what may start, records what ends, until nothing is left.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Condvar, Mutex, MutexGuard},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use libloom_contract::{
    Reason, Status, Timestamp,
    event::{Event, EventKind, PhaseCode},
    graph::{AllowFailure, Graph, Node, Provider},
    logs::{JobCounts, JobEntry},
    receipt::ExecutorReceipt,
};
use libloom_record::events::{EventLog, Subject};

use crate::{
    attempts,
    bootstrap::Plan,
    cancel::{Cause, Level},
    job::{self, Attempt, JobResult},
    run::Run,
    schedule::{Decision, Outcome, Schedule},
    steps::milliseconds,
    verdict::Verdict,
};

/// How often a thread that waits for a job's next attempt looks whether the run goes on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
pub fn execute(run: &Run, plan: &Plan) -> io::Result<Pipeline> {
    let Plan { graph, starts } = plan;
    let subject = Subject::phase(PhaseCode::PipelineExecute);
    let mut events = EventLog::create(&run.logs.pipeline_events(), subject.clone())?;
    run.observe(None, PhaseCode::PipelineExecute, EventKind::Start);
    events.append_own(EventKind::Start)?;
    let mut state = State {
        run,
        graph,
        schedule: Schedule::new(graph, starts.clone()),
        events,
        results: graph.nodes.iter().map(|_| None).collect(),
        tried: HashMap::new(),
        executor: ExecutorReceipt::default(),
        failing_job: None,
        error: None,
        threads: 1,
        threads_max: run.jobs + containers_ahead(run, graph),
        idle: 0,
    };
    run.display.jobs(&graph.nodes);
    note_what_is_not_built(run, graph);
    let (started_at, started) = (Timestamp::now(), Instant::now());
    state.run_to_end()?;
    state.into_pipeline(started_at, started)
}

/// Jobs that may be made ready, or cleared away, while as many run as may: what an engine needs for
/// that is mostly time.
fn containers_ahead(run: &Run, graph: &Graph) -> usize {
    let containers = graph.nodes.iter().filter(|node| node.provider == Provider::Docker);
    containers.count().min(run.jobs)
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
    /// What the last attempt at a job came to that is to be tried again.
    tried: HashMap<usize, JobResult>,
    executor: ExecutorReceipt,
    failing_job: Option<usize>,
    /// Why the pipeline's own record could not be written.
    error: Option<io::Error>,
    /// Threads that run jobs, and how many of them wait for one.
    threads: usize,
    threads_max: usize,
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
                    let before = state.tried.remove(&job);
                    let attempt = state.attempt(job, before.as_ref());
                    attempt.run.display.started(attempt.node, attempt.number);
                    drop(state);
                    let result = job::run(&attempt);
                    state = self.lock();
                    let Some(wait) = state.wait_before_next(job, &result) else {
                        let noted = state.finished(job, result);
                        state.keep_error(noted);
                        continue;
                    };
                    let noted = state.failed_attempt(job, result, wait);
                    state.keep_error(noted);
                    match self.wait_for_next_attempt(state, (job, wait), scope) {
                        Some(again) => state = again,
                        None => return,
                    }
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

    /// While a job waits for its next attempt its place is another's. `None`: that one keeps it,
    /// and whoever is free next takes the job up.
    fn wait_for_next_attempt<'scope>(
        &'scope self,
        mut state: MutexGuard<'scope, &'b mut State<'a>>,
        (job, wait): (usize, Duration),
        scope: &'scope Scope<'scope, '_>,
    ) -> Option<MutexGuard<'scope, &'b mut State<'a>>> {
        if wait.is_zero() {
            state.schedule.again(job);
            return Some(state);
        }
        state.threads -= 1;
        self.call_one_more(&mut state, scope);
        let run = state.run;
        let until = Instant::now() + wait;
        // The wish to end wakes it up; that the record is lost has to be looked after.
        while !state.is_over() && run.cancel.level() == Level::None && Instant::now() < until {
            drop(state);
            let left = until.saturating_duration_since(Instant::now());
            run.cancel.wait_at_most(left.min(LOOK_AGAIN));
            state = self.lock();
        }
        state.schedule.again(job);
        if state.threads < state.threads_max {
            state.threads += 1;
            return Some(state);
        }
        if state.idle > 0 {
            self.changed.notify_one();
        }
        None
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
        } else if state.threads < state.threads_max {
            state.threads += 1;
            scope.spawn(move || self.run_jobs(scope));
        }
    }
}

impl<'a> State<'a> {
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
        if self.run.cancel.level() == Level::None {
            return;
        }
        let (reason, message) = (self.run.cancel_reason(), self.run.cancel_message());
        self.schedule.stop(match self.run.cancel.cause() {
            Some(Cause::FailFast) => Verdict::skipped(reason, message),
            _ => Verdict::cancelled(reason, message),
        });
    }

    /// The attempt at a job that is next, `before` being the one before it.
    fn attempt<'b>(&self, job: usize, before: Option<&'b JobResult>) -> Attempt<'b>
    where
        'a: 'b,
    {
        let number = before.map_or(1, |before| before.attempts + 1);
        Attempt { run: self.run, graph: self.graph, node: &self.graph.nodes[job], number, before }
    }

    fn leave(&mut self, job: usize, verdict: Verdict) -> io::Result<()> {
        let node = &self.graph.nodes[job];
        let mut result = JobResult::not_run(verdict);
        let before = self.tried.remove(&job);
        let mut attempt = self.attempt(job, before.as_ref());
        match &before {
            // It was about to be tried again: it did run.
            Some(before) => {
                result.attempts = before.attempts;
                result.verdict.status = Status::Cancelled;
            }
            None => attempt.number = 0,
        }
        job::record_not_run(&attempt, &result.verdict)?;
        self.note(node, &result)?;
        self.run.display.not_run(node, &result.verdict);
        self.results[job] = Some(result);
        Ok(())
    }

    /// How long until the job is tried again; `None` when it is not.
    fn wait_before_next(&self, job: usize, result: &JobResult) -> Option<Duration> {
        let goes_on = self.run.cancel.level() == Level::None && self.error.is_none();
        let node = &self.graph.nodes[job];
        goes_on.then(|| attempts::wait_before_next(node, &result.verdict, result.attempts))?
    }

    /// The job is to be tried again.
    fn failed_attempt(&mut self, job: usize, result: JobResult, wait: Duration) -> io::Result<()> {
        let node = &self.graph.nodes[job];
        self.note(node, &result)?;
        self.run.display.failed_attempt(node, &result, wait);
        add_usage(&mut self.executor, &result);
        self.tried.insert(job, result);
        Ok(())
    }

    fn finished(&mut self, job: usize, result: JobResult) -> io::Result<()> {
        let node = &self.graph.nodes[job];
        let status = result.verdict.status;
        let forgiven = status == Status::Failure && is_allowed(node, result.exit_code);
        if status == Status::Failure && !forgiven && self.failing_job.is_none() {
            self.failing_job = Some(job);
            if self.run.fail_fast {
                self.run.cancel.request(Level::Gentle, Cause::FailFast);
            }
        }
        self.schedule.finished(job, Outcome { status, forgiven });
        self.note(node, &result)?;
        self.executor.jobs += u64::from(result.exit_code.is_some());
        add_usage(&mut self.executor, &result);
        self.run.display.finished(node, &result, forgiven);
        self.results[job] = Some(result);
        Ok(())
    }

    /// What an attempt at a job came to, for who follows the pipeline's events.
    fn note(&mut self, node: &Node, result: &JobResult) -> io::Result<()> {
        let verdict = &result.verdict;
        let of = attempts::allowed(node);
        let data = (of > 1 && result.attempts > 0).then(|| {
            let attempt = [("attempt", result.attempts), ("attempts_allowed", of)];
            attempt.into_iter().map(|(name, number)| (name.into(), number.into())).collect()
        });
        let note = Event {
            job_id: Some(node.id.clone()),
            text: verdict.message.clone(),
            status: Some(verdict.status),
            reason: verdict.reason,
            exit_code: result.exit_code,
            duration_ms: Some(result.duration_ms),
            data,
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
        let executor = ExecutorReceipt { duration_ms, ..self.executor };
        let mut jobs = Vec::with_capacity(self.results.len());
        for (node, result) in self.graph.nodes.iter().zip(&self.results) {
            let result = result.as_ref().expect("every job is finished");
            counts.add(result.verdict.status);
            jobs.push(entry(self.run, node, result));
        }
        let failing_job = self.failing_job.map(|job| self.graph.nodes[job].id.clone());
        Ok(Pipeline { verdict, started_at, duration_ms, counts, jobs, failing_job, executor })
    }

    fn verdict(&self) -> Verdict {
        let is_cancelled = |result: &Option<JobResult>| {
            result.as_ref().is_some_and(|r| r.verdict.status == Status::Cancelled)
        };
        let interrupted = !matches!(self.run.cancel.cause(), None | Some(Cause::FailFast));
        if interrupted && self.results.iter().any(is_cancelled) {
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
    executor.steps += result.steps;
    executor.cpu_ms += result.cpu_ms;
    executor.peak_rss_bytes = executor.peak_rss_bytes.max(result.peak_rss_bytes);
}

fn entry(run: &Run, node: &Node, result: &JobResult) -> JobEntry {
    // No process needs no memory: then nobody knows.
    let is_known = result.attempts > 0 && result.peak_rss_bytes > 0;
    JobEntry {
        job_id: node.id.clone(),
        label: (node.label != node.id).then(|| node.label.clone()),
        stage: node.stage.clone(),
        status: result.verdict.status,
        reason: result.verdict.reason,
        duration_ms: result.duration_ms,
        attempts: result.attempts,
        cpu_ms: is_known.then_some(result.cpu_ms),
        peak_rss_bytes: is_known.then_some(result.peak_rss_bytes),
        manifest_path: run.logs.relative(&run.logs.job(&node.id).manifest()),
    }
}
