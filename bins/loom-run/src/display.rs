//! What a run shows while it goes on: plain lines, from plain facts.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use libloom_console::{Console, Label, printable};
use libloom_contract::{
    Status,
    event::Stream,
    graph::{Graph, Node},
    logs::JobCounts,
    reports::{FailedTest, TestReport},
    snapshot::Snapshot,
};

use crate::{attempts, job::JobResult, verdict::Verdict};

/// Shows a run.
#[derive(Debug)]
pub struct Display {
    console: Console,
    stream: bool,
    /// What stands before each line of a job's output, by job id.
    prefixes: OnceLock<BTreeMap<String, String>>,
}

impl Display {
    /// `stream`: the jobs' output is shown as it comes.
    pub fn new(console: Console, stream: bool) -> Self {
        Display { console, stream, prefixes: OnceLock::new() }
    }

    /// The jobs are known.
    pub fn jobs(&self, nodes: &[Node]) {
        let width = nodes.iter().map(|node| node.label.chars().count()).max().unwrap_or(0);
        let prefix = |node: &Node| (node.id.clone(), format!("{:<width$} | ", node.label));
        // Set once: there is one pipeline in a run.
        let _ = self.prefixes.set(nodes.iter().map(prefix).collect());
    }

    /// Something worth knowing.
    pub fn note(&self, text: impl std::fmt::Display) {
        self.console.note(text);
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

    /// An attempt at a job begins.
    pub fn started(&self, node: &Node, attempt: u32) {
        let provider = node.provider.word();
        let of = attempts::allowed(node);
        let again =
            if attempt > 1 { format!(", attempt {attempt} of {of}") } else { String::new() };
        self.console.status(format_args!("job `{}` started ({provider}){again}", node.label));
    }

    /// An attempt at a job failed, and there is another one.
    pub fn failed_attempt(&self, node: &Node, result: &JobResult, wait: Duration) {
        let time = duration(Duration::from_millis(result.duration_ms));
        let (number, of) = (result.attempts, attempts::allowed(node));
        let next = if wait.is_zero() { "now".into() } else { format!("in {}", duration(wait)) };
        let (word, message) = (self.word(&result.verdict), message(&result.verdict));
        self.console.status(format_args!(
            "job `{}` {word} in {time}{message}; attempt {number} of {of}, again {next}",
            node.label
        ));
    }

    /// A job is not run.
    pub fn not_run(&self, node: &Node, verdict: &Verdict) {
        let (word, message) = (self.word(verdict), message(verdict));
        self.console.status(format_args!("job `{}` {word}{message}", node.label));
    }

    /// A job ended; `forgiven`: it failed and may.
    pub fn finished(&self, node: &Node, result: &JobResult, forgiven: bool) {
        let time = duration(Duration::from_millis(result.duration_ms));
        let allowed = if forgiven { " (allowed)" } else { "" };
        let again = match result.attempts {
            0 | 1 => String::new(),
            number => format!(" at attempt {number} of {}", attempts::allowed(node)),
        };
        let word = self.word(&result.verdict);
        let message = message(&result.verdict);
        self.console
            .status(format_args!("job `{}` {word}{allowed}{again} in {time}{message}", node.label));
        if let (Some(failing), false) = (&result.failing, result.verdict.is_success()) {
            self.console.status(format_args!(
                "  step {}: {}",
                failing.step,
                printable(&failing.command)
            ));
            for line in failing.tail.iter().filter(|_| !self.stream) {
                self.console.status(format_args!("  | {}", shown(line)));
            }
            self.console.status(format_args!("  events: {}", result.failing_events.display()));
        }
        if let Some(tests) = &result.tests {
            self.tests(tests);
        }
    }

    /// What a job's test reports say, with failed tests by name.
    fn tests(&self, tests: &TestReport) {
        let parts =
            [(tests.failed, "failed"), (tests.errors, "with errors"), (tests.skipped, "skipped")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: String = parts.map(|(count, word)| format!(", {count} {word}")).collect();
        let text = format!("  tests: {}{parts}", tests.total);
        match tests.bad() {
            0 => self.console.detail(text),
            _ => self.console.status(text),
        }
        for test in tests.failures.iter().take(FAILED_TESTS_SHOWN_MAX) {
            self.console.status(format_args!("  - {}", failed_test(test)));
        }
        let more = tests.bad().saturating_sub(FAILED_TESTS_SHOWN_MAX as u64);
        if more > 0 {
            self.console.status(format_args!("  - and {more} more; the job's manifest names them"));
        }
    }

    fn word(&self, verdict: &Verdict) -> String {
        let label = match verdict.status {
            Status::Success => Label::Success,
            Status::Failure => Label::Failure,
            Status::Skipped => Label::Skipped,
            Status::Cancelled => Label::Cancelled,
        };
        self.console.err_paint().paint(label, verdict.status.word()).to_string()
    }

    /// A job wrote something; shown with `--stream`, each line behind the job's label.
    pub fn output(&self, job_id: &str, stream: Stream, bytes: &[u8]) {
        if !self.stream {
            return;
        }
        let prefix = self.prefixes.get().and_then(|prefixes| prefixes.get(job_id));
        let prefix = prefix.map_or("", String::as_str);
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
        let mut shown = Vec::with_capacity(bytes.len() + prefix.len() * 2);
        for line in lines {
            shown.extend_from_slice(prefix.as_bytes());
            shown.extend_from_slice(line);
            shown.push(b'\n');
        }
        match stream {
            // The reader of our output may have gone; the run and its record go on.
            Stream::Stdout => drop(self.console.out_bytes(&shown)),
            Stream::Stderr => self.console.err_bytes(&shown),
        }
    }

    /// The pipeline ended.
    pub fn summary(&self, counts: &JobCounts, time: Duration) {
        let parts = [
            (counts.success, "succeeded"),
            (counts.failure, "failed"),
            (counts.skipped, "skipped"),
            (counts.cancelled, "cancelled"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let text: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
        let jobs = if counts.total == 1 { "job" } else { "jobs" };
        self.console.status(format_args!(
            "{} {jobs}: {} in {}",
            counts.total,
            text.join(", "),
            duration(time)
        ));
    }
}

/// Failed tests that are named on screen.
const FAILED_TESTS_SHOWN_MAX: usize = 20;
/// Longest name and longest message of one.
const TEST_CHARS_MAX: usize = 200;

/// `class name: first line of the message`.
fn failed_test(test: &FailedTest) -> String {
    let place = test.class.as_ref().or(test.suite.as_ref()).filter(|place| !place.is_empty());
    let place = place.map(|place| format!("{place} ")).unwrap_or_default();
    let message = test.message.as_deref().and_then(|text| text.lines().next());
    let message = message.map(|text| format!(": {}", cut(text))).unwrap_or_default();
    printable(&format!("{}{message}", cut(&format!("{place}{}", test.name)))).into_owned()
}

fn cut(text: &str) -> String {
    text.trim().chars().take(TEST_CHARS_MAX).collect()
}

/// Why it did not succeed, as the end of a line.
fn message(verdict: &Verdict) -> String {
    verdict.message.as_ref().map(|text| format!(": {}", printable(text))).unwrap_or_default()
}

/// One line of a job's output as it is safe to show.
fn shown(line: &[u8]) -> String {
    printable(String::from_utf8_lossy(line).trim_end_matches('\r')).into_owned()
}

/// `340ms`, `2.5s`, `3m20s`.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.1}s", time.as_secs_f64()),
        seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}
