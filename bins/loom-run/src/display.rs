//! What a run shows: lines as things happen, what goes on at the moment, and how it all ended.
//!
//! Jobs tell plain facts and never wait for the terminal to be drawn: they write on a board that a
//! thread looks at a few times a second ([`board`]), and only where there is a terminal.

mod board;
mod report;
mod stream;
mod summary;
mod words;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use libloom_console::{Console, Live, printable};
use libloom_contract::{
    Reason, Status,
    event::{PhaseCode, Stream},
    graph::{Graph, Node},
    message::Message,
    snapshot::Snapshot,
};

pub use self::stream::Unfinished;
use self::{
    board::Board,
    stream::Prefixes,
    summary::Summary,
    words::{because, duration, label},
};
use crate::{attempts, job::JobResult, steps::FailingStep, verdict::Verdict};

/// Jobs left out for one cause that are named when it happens; the summary counts all of them.
const NOT_RUN_NAMED_MAX: usize = 10;

/// Shows a run.
#[derive(Debug)]
pub struct Display {
    console: Console,
    stream: bool,
    /// The graph's jobs, once they are known.
    jobs: OnceLock<Jobs>,
    board: Arc<Shared>,
    /// Draws the board; gone once the run is over.
    drawer: Mutex<Option<JoinHandle<()>>>,
    summary: Mutex<Summary>,
}

/// What does not change of a graph's jobs.
#[derive(Debug)]
struct Jobs {
    began: Instant,
    places: HashMap<String, usize>,
    prefixes: Option<Prefixes>,
}

impl Jobs {
    fn place(&self, node: &Node) -> usize {
        self.places.get(&node.id).copied().unwrap_or_default()
    }
}

/// The board and the wish that drawing ends.
#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    over: Mutex<bool>,
    is_over: Condvar,
}

impl Display {
    /// `stream`: the jobs' output is shown as it comes.
    pub fn new(console: Console, stream: bool) -> Self {
        let board = Arc::new(Shared {
            board: Mutex::new(Board::new(Instant::now())),
            over: Mutex::new(false),
            is_over: Condvar::new(),
        });
        let drawer = console.live().and_then(|live| {
            let (board, console) = (board.clone(), console.clone());
            // A run is shown by its lines where the system gives no thread.
            let thread = thread::Builder::new().name("display".into());
            thread.spawn(move || draw(&board, &live, &console)).ok()
        });
        Display {
            console,
            stream,
            jobs: OnceLock::new(),
            board,
            drawer: Mutex::new(drawer),
            summary: Mutex::default(),
        }
    }

    /// The jobs are known.
    pub fn jobs(&self, nodes: &[Node]) {
        let began = Instant::now();
        let places = nodes.iter().enumerate().map(|(place, node)| (node.id.clone(), place));
        let jobs = Jobs {
            began,
            places: places.collect(),
            prefixes: self.stream.then(|| Prefixes::of(nodes, &self.console)),
        };
        // Set once: there is one pipeline in a run.
        let _ = self.jobs.set(jobs);
        self.board().jobs(nodes.len(), began);
    }

    /// Something worth knowing.
    pub fn note(&self, text: impl std::fmt::Display) {
        self.console.note(text);
    }

    /// Something other than a job is being done.
    pub fn work(&self, what: &str) {
        self.board().work(what.to_owned(), Instant::now());
    }

    /// What a command that was started says of its progress.
    pub fn heard(&self, message: &Message) {
        if let Message::Progress { phase, done, total, bytes, .. } = message {
            self.board().work(board::progress(phase, *done, *total, *bytes), Instant::now());
        }
    }

    /// The workspace is ready.
    pub fn workspace(&self, snapshot: &Snapshot) {
        self.console.status(format_args!("isolated workspace: {}", snapshot.path));
        let counts = &snapshot.counts;
        self.console.detail(format_args!(
            "snapshot: {} tracked, {} deleted, {} untracked files, {} bytes, in {} ms",
            counts.tracked, counts.deleted, counts.untracked, counts.bytes, snapshot.duration_ms
        ));
    }

    /// The workflow is compiled.
    pub fn graph(&self, graph: &Graph) {
        let (jobs, stages) = (graph.nodes.len(), graph.stages.len());
        let digest = &graph.digest;
        self.console.detail(format_args!("graph: {jobs} jobs in {stages} stages, digest {digest}"));
    }

    /// An attempt at a job begins. What is drawn says so better than a line.
    pub fn started(&self, node: &Node, attempt: u32) {
        self.board().started(node, Instant::now());
        if !self.is_live() {
            let (label, provider) = (printable(&node.label), node.provider.word());
            let of = attempts::allowed(node);
            let again =
                if attempt > 1 { format!(", attempt {attempt} of {of}") } else { String::new() };
            self.console.status(format_args!("job `{label}` started ({provider}){again}"));
        }
    }

    /// A job enters a phase.
    pub fn phase(&self, job_id: &str, phase: PhaseCode) {
        self.board().phase(job_id, phase);
    }

    /// A job waits for an image of which so many bytes have come.
    pub fn pulling(&self, job_id: &str, image: &str, bytes: u64, bytes_total: u64) {
        self.board().pulling(job_id, image, bytes, bytes_total);
    }

    /// A step of a job begins; `command` as it may be shown.
    pub fn step(&self, job_id: &str, step: String, command: &str) {
        self.board().step(job_id, step, command);
    }

    /// An attempt at a job failed, and there is another one.
    pub fn failed_attempt(&self, node: &Node, result: &JobResult, wait: Duration) {
        self.board().ended(&node.id);
        let time = duration(Duration::from_millis(result.duration_ms));
        let (number, of) = (result.attempts, attempts::allowed(node));
        let next = if wait.is_zero() { "now".into() } else { format!("in {}", duration(wait)) };
        let (word, because) = (self.word(result.verdict.status), because(&result.verdict));
        let label = printable(&node.label);
        self.console.status(format_args!(
            "job `{label}` {word} in {time}{because}; attempt {number} of {of}, again {next}"
        ));
    }

    /// A job is not run.
    pub fn not_run(&self, node: &Node, verdict: &Verdict) {
        self.board().counts.add(verdict.status);
        if verdict.reason == Some(Reason::NotSelected) {
            // Whoever named other jobs knows.
            return;
        }
        let Some(jobs) = self.jobs.get() else { return };
        let same_cause = {
            let mut summary = lock(&self.summary);
            summary.not_run(jobs.place(node), node, verdict, jobs.began.elapsed());
            summary.with_cause_of_last()
        };
        if same_cause <= NOT_RUN_NAMED_MAX {
            let (word, because) = (self.word(verdict.status), because(verdict));
            self.console.status(format_args!("job `{}` {word}{because}", printable(&node.label)));
        } else if same_cause == NOT_RUN_NAMED_MAX + 1 {
            let word = self.word(verdict.status);
            self.console.status(format_args!("more jobs {word}{}", because(verdict)));
        }
    }

    /// A job ended; `forgiven`: it failed and may.
    pub fn finished(&self, node: &Node, result: &JobResult, forgiven: bool) {
        {
            let mut board = self.board();
            board.ended(&node.id);
            board.counts.add(result.verdict.status);
        }
        if let Some(jobs) = self.jobs.get() {
            let place = jobs.place(node);
            lock(&self.summary).finished(place, node, (result, forgiven), jobs.began.elapsed());
        }
        let time = duration(Duration::from_millis(result.duration_ms));
        let allowed = if forgiven { " (allowed)" } else { "" };
        let (word, because) = (self.word(result.verdict.status), because(&result.verdict));
        let again = match result.attempts {
            0 | 1 => String::new(),
            number => format!(" at attempt {number} of {}", attempts::allowed(node)),
        };
        let label = printable(&node.label);
        self.console
            .status(format_args!("job `{label}` {word}{allowed}{again} in {time}{because}"));
    }

    /// The word for an outcome, in its style.
    pub fn word(&self, status: Status) -> String {
        self.console.err_paint().paint(label(status), status.word()).to_string()
    }

    /// A step of a job wrote something; `partial`: its last line goes on. With `--stream`, the
    /// beginning of such a line waits in `unfinished`.
    pub fn output(
        &self,
        (job_id, stream): (&str, Stream),
        bytes: &[u8],
        partial: bool,
        unfinished: &mut Unfinished,
    ) {
        self.board().output(job_id, bytes);
        if let Some(prefixes) = self.jobs.get().and_then(|jobs| jobs.prefixes.as_ref()) {
            let source = (job_id, stream);
            stream::show(&self.console, prefixes, source, (bytes, partial), unfinished);
        }
    }

    /// The run is over: nothing is drawn any more.
    pub fn close(&self) {
        *lock(&self.board.over) = true;
        self.board.is_over.notify_all();
        if let Some(drawer) = lock(&self.drawer).take() {
            // It ends by itself; a panic of it has been reported.
            let _ = drawer.join();
        }
    }

    /// How the jobs ended, and why those failed that did.
    pub fn summary(&self, workspace: &Path) {
        let Some(jobs) = self.jobs.get().filter(|_| !self.console.is_quiet()) else { return };
        let (paint, columns) = (self.console.err_paint(), self.console.err_columns());
        let mut summary = lock(&self.summary);
        summary.unknown_below = own_peak_bytes();
        let text = summary.text(jobs.began.elapsed(), paint, columns);
        drop(summary);
        self.console.err_bytes(text.as_bytes());
        self.console.line(format_args!("workspace: {}", workspace.display()));
    }

    /// The failing steps that the summary shows.
    pub fn failing_steps(&self) -> Vec<FailingStep> {
        lock(&self.summary).failing_steps().cloned().collect()
    }

    fn is_live(&self) -> bool {
        lock(&self.drawer).is_some()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board.board)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.close();
    }
}

/// The largest memory that this process had.
fn own_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the lock")
}

/// Draws what goes on, where it changed, until the run is over. The first look is a tick away, so
/// that a short run shows nothing but its lines.
fn draw(shared: &Shared, live: &Live, console: &Console) {
    let mut drawn = (Vec::new(), live.size());
    let mut over = lock(&shared.over);
    while !*over {
        let woken = shared.is_over.wait_timeout_while(over, board::TICK, |over| !*over);
        over = woken.expect("no thread panics while it holds the lock").0;
        if *over {
            break;
        }
        let size = live.size();
        let frame = lock(&shared.board).frame(size, console.err_paint(), Instant::now());
        if (&frame, size) != (&drawn.0, drawn.1) {
            live.draw(frame.clone());
            drawn = (frame, size);
        }
    }
}
