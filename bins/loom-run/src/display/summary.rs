//! What is said at the end of a run: how each job ended, what it took, why one failed.
//!
//! Few jobs are listed one by one. Of many only those that failed are; the others are counted, and
//! skipped ones named by their cause, so that a thousand jobs fit on a screen.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use libloom_console::{
    Label, Paint, display_width, fit, fit_middle, pad, printable, shown_line, size,
};
use libloom_contract::{
    Reason, Status, graph::Node, logs::JobCounts, receipt::JOBS_LISTED_MAX, reports::TestReport,
};

use super::report;
use super::words::{because, duration, grouped, label, listed, meaning};
use crate::{job::JobResult, steps::FailingStep, verdict::Verdict};

/// Failing jobs that are shown with their last lines.
const DETAILS_MAX: usize = 3;
/// Widest name in the table.
const NAME_COLUMNS_MAX: usize = 40;
/// Names in a list before the others are counted.
const NAMES_MAX: usize = 4;
/// Causes of skipped jobs before the others are counted.
const CAUSES_MAX: usize = 8;

/// How the jobs of a run ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// Jobs by outcome.
    pub counts: JobCounts,
    rows: Vec<Row>,
    not_run_by_cause: BTreeMap<String, usize>,
    details: Vec<Detail>,
    /// What test reports say, of jobs that have some, by place in the graph.
    tests: BTreeMap<usize, (String, TestReport)>,
    /// Failing jobs beyond those with details.
    more_failed: usize,
    cpu: Duration,
    /// The largest process, and whose it was.
    peak: (u64, String),
    /// Memory that cannot be told from `loom-run`'s own: a shell begins as a copy of it.
    pub unknown_below: u64,
}

/// One job.
#[derive(Debug)]
struct Row {
    /// Place in the graph.
    place: usize,
    label: String,
    stage: String,
    status: Status,
    forgiven: bool,
    /// Why it did not succeed.
    cause: String,
    /// When it ended, since the first job could begin.
    at: Duration,
    /// What it took; `None`: it never ran.
    took: Option<Took>,
}

#[derive(Debug)]
struct Took {
    time: Duration,
    cpu: Duration,
    peak_bytes: u64,
}

/// Why a job failed.
#[derive(Debug)]
struct Detail {
    label: String,
    verdict: Verdict,
    exit_code: Option<i32>,
    step: Option<FailingStep>,
    events: PathBuf,
}

impl Summary {
    /// A job that is not run.
    pub fn not_run(&mut self, place: usize, node: &Node, verdict: &Verdict, at: Duration) {
        self.counts.add(verdict.status);
        let row = row(place, node, verdict, at);
        *self.not_run_by_cause.entry(row.cause.clone()).or_default() += 1;
        self.rows.push(row);
    }

    /// A job that ended.
    pub fn finished(
        &mut self,
        place: usize,
        node: &Node,
        (result, forgiven): (&JobResult, bool),
        at: Duration,
    ) {
        self.counts.add(result.verdict.status);
        let cpu = Duration::from_millis(result.cpu_ms);
        self.cpu += cpu;
        if result.peak_rss_bytes > self.peak.0 {
            self.peak = (result.peak_rss_bytes, printable(&node.label).into_owned());
        }
        if let Some(tests) = &result.tests {
            let label = printable(&node.label).into_owned();
            self.tests.insert(place, (label, tests.clone()));
        }
        let time = Duration::from_millis(result.duration_ms);
        let took = Some(Took { time, cpu, peak_bytes: result.peak_rss_bytes });
        self.rows.push(Row { forgiven, took, ..row(place, node, &result.verdict, at) });
        if result.verdict.status == Status::Failure && !forgiven {
            self.keep_detail(node, result);
        }
    }

    fn keep_detail(&mut self, node: &Node, result: &JobResult) {
        if self.details.len() == DETAILS_MAX {
            self.more_failed += 1;
            return;
        }
        self.details.push(Detail {
            label: printable(&node.label).into_owned(),
            verdict: result.verdict.clone(),
            exit_code: result.exit_code,
            step: result.failing.clone(),
            events: result.failing_events.clone(),
        });
    }

    /// How many jobs were not run for the cause of the last one.
    pub fn with_cause_of_last(&self) -> usize {
        let Some(last) = self.rows.last() else { return 0 };
        self.not_run_by_cause.get(&last.cause).copied().unwrap_or_default()
    }

    /// The steps whose last lines are shown.
    pub fn failing_steps(&self) -> impl Iterator<Item = &FailingStep> {
        self.details.iter().filter_map(|detail| detail.step.as_ref())
    }

    /// The text; `columns`: where lines end, if they must.
    pub fn text(&mut self, time: Duration, paint: Paint, columns: Option<usize>) -> String {
        self.rows.sort_by_key(|row| row.place);
        let columns = columns.unwrap_or(usize::MAX);
        let mut text = String::new();
        if self.rows.len() > 1 {
            self.table(&mut text, paint, columns);
        }
        if self.rows.len() > JOBS_LISTED_MAX {
            self.causes(&mut text, Status::Skipped);
            self.causes(&mut text, Status::Cancelled);
            self.slowest(&mut text);
        }
        for (label, tests) in self.tests.values() {
            report::push(&mut text, label, tests, paint, columns);
        }
        for detail in &self.details {
            detail.push(&mut text, paint);
        }
        if self.more_failed > 0 {
            let jobs = if self.more_failed == 1 { "job" } else { "jobs" };
            text.push_str(&format!("{} more {jobs} failed\n", grouped(self.more_failed as u64)));
        }
        self.totals(&mut text, time);
        text
    }

    /// One line a job; of many jobs those that failed.
    fn table(&self, text: &mut String, paint: Paint, columns: usize) {
        let few = self.rows.len() <= JOBS_LISTED_MAX;
        let listed = self.rows.iter().filter(|row| few || row.status == Status::Failure);
        let rows: Vec<&Row> = listed.collect();
        let shown = &rows[..rows.len().min(JOBS_LISTED_MAX)];
        if shown.is_empty() {
            return;
        }
        let table = Table::of(shown, columns, self.unknown_below);
        text.push_str(&format!("{}\n", paint.paint(Label::Heading, table.heading())));
        for row in shown {
            text.push_str(table.line(row, paint).trim_end());
            text.push('\n');
        }
        if rows.len() > shown.len() {
            let more = rows.len() - shown.len();
            text.push_str(&format!("and {} more that failed\n", grouped(more as u64)));
        }
    }

    /// Jobs that did not run or were ended, by cause.
    fn causes(&self, text: &mut String, status: Status) {
        let mut by_cause: BTreeMap<&str, (Duration, Vec<&str>)> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.status == status) {
            let (at, names) = by_cause.entry(&row.cause).or_insert((row.at, Vec::new()));
            *at = row.at.min(*at);
            names.push(&row.label);
        }
        let mut causes: Vec<_> = by_cause.into_iter().collect();
        causes.sort_by_key(|(_, (at, _))| *at);
        for (cause, (at, names)) in causes.iter().take(CAUSES_MAX) {
            text.push_str(&format!(
                "{} {} at {}: {cause}: {}\n",
                grouped(names.len() as u64),
                status.word(),
                duration(*at),
                listed(names, NAMES_MAX)
            ));
        }
        let more: usize = causes.iter().skip(CAUSES_MAX).map(|(_, (_, names))| names.len()).sum();
        if more > 0 {
            text.push_str(&format!(
                "{} {} for other causes\n",
                grouped(more as u64),
                status.word()
            ));
        }
    }

    fn slowest(&self, text: &mut String) {
        let mut ran: Vec<_> =
            self.rows.iter().filter_map(|row| Some((row, row.took.as_ref()?.time))).collect();
        ran.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let names: Vec<String> = ran
            .iter()
            .take(NAMES_MAX)
            .map(|(row, time)| format!("{} {}", row.label, duration(*time)))
            .collect();
        if !names.is_empty() {
            text.push_str(&format!("slowest: {}\n", names.join(", ")));
        }
    }

    /// `5 jobs: 3 succeeded, 1 failed, 1 skipped in 12.3s, cpu 9.1s, peak memory 45.0 MiB (unit)`.
    fn totals(&self, text: &mut String, time: Duration) {
        let counts = &self.counts;
        let parts = [
            (counts.success, "succeeded"),
            (counts.failure, "failed"),
            (counts.skipped, "skipped"),
            (counts.cancelled, "cancelled"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let mut parts: Vec<String> =
            parts.map(|(count, word)| format!("{} {word}", grouped(count))).collect();
        let allowed = self.rows.iter().filter(|row| row.forgiven).count();
        if let Some(failed) = parts.iter_mut().find(|part| allowed > 0 && part.ends_with("failed"))
        {
            failed.push_str(&format!(" ({} allowed)", grouped(allowed as u64)));
        }
        if parts.is_empty() {
            parts.push("nothing to run".into());
        }
        let jobs = if counts.total == 1 { "job" } else { "jobs" };
        let mut line = format!("{} {jobs}: {}", grouped(counts.total), parts.join(", "));
        line.push_str(&format!(" in {}", duration(time)));
        if self.peak.0 > 0 {
            let whose =
                if counts.total > 1 { format!(" ({})", self.peak.1) } else { String::new() };
            let cpu = duration(self.cpu);
            let peak = memory(self.peak.0, self.unknown_below);
            line.push_str(&format!(", cpu {cpu}, peak memory {peak}{whose}"));
        }
        text.push_str(&line);
        text.push('\n');
    }
}

fn row(place: usize, node: &Node, verdict: &Verdict, at: Duration) -> Row {
    Row {
        place,
        label: printable(&node.label).into_owned(),
        stage: printable(&node.stage).into_owned(),
        status: verdict.status,
        forgiven: false,
        cause: verdict.message.as_deref().map(printable).unwrap_or_default().into_owned(),
        at,
        took: None,
    }
}

fn memory(bytes: u64, unknown_below: u64) -> String {
    if bytes > unknown_below { size(bytes) } else { format!("<{}", size(unknown_below)) }
}

/// Columns of the table; where there is no room, stages are left out, then what jobs used.
struct Table {
    columns: usize,
    name: usize,
    stage: usize,
    usage: bool,
    unknown_below: u64,
}

impl Table {
    const STATUS: usize = 9;
    const TIME: usize = 2 + 7;
    /// Processor time and memory, each behind two blanks.
    const USAGE: usize = 2 + 7 + 2 + 10;
    /// Narrowest name.
    const NAME_MIN: usize = 12;

    fn of(rows: &[&Row], columns: usize, unknown_below: u64) -> Self {
        let widest = |part: fn(&Row) -> &str| {
            let widths = rows.iter().map(|row| display_width(part(row)));
            widths.max().unwrap_or(0).clamp(5, NAME_COLUMNS_MAX)
        };
        let (name, stage) = (widest(|row| &row.label), widest(|row| &row.stage));
        let least = name.min(Self::NAME_MIN);
        let room = columns.saturating_sub(2 + Self::STATUS + Self::TIME);
        let (room, usage) = match room.checked_sub(Self::USAGE) {
            Some(room) if room >= least => (room, true),
            _ => (room.max(least), false),
        };
        let (room, stage) = match room.checked_sub(stage + 2) {
            Some(room) if room >= least => (room, stage),
            _ => (room, 0),
        };
        Table { columns, name: name.min(room), stage, usage, unknown_below }
    }

    fn heading(&self) -> String {
        let start = self.start("job", "stage");
        let status = pad("status", Self::STATUS);
        fit(&format!("{start}{status}{}", self.took(["time", "cpu", "memory"])), self.columns)
    }

    fn took(&self, [time, cpu, memory]: [&str; 3]) -> String {
        let usage = format!("  {cpu:>7}  {memory:>10}");
        format!("  {time:>7}{}", if self.usage { &usage } else { "" })
    }

    /// Job and stage, each with the blanks behind it.
    fn start(&self, name: &str, stage: &str) -> String {
        let name = pad(&fit_middle(name, self.name), self.name + 2);
        if self.stage == 0 {
            return name;
        }
        name + &pad(&fit_middle(stage, self.stage), self.stage + 2)
    }

    fn line(&self, row: &Row, paint: Paint) -> String {
        let mut line = self.start(&row.label, &row.stage);
        let mut taken = display_width(&line) + Self::STATUS;
        let status = paint.paint(label(row.status), pad(row.status.word(), Self::STATUS));
        line.push_str(&status.to_string());
        let note = match &row.took {
            Some(took) => {
                let time = duration(took.time);
                // A container's usage is not known once it has ended.
                let [cpu, peak] = match took.peak_bytes {
                    0 => [String::new(), String::new()],
                    bytes => [duration(took.cpu), memory(bytes, self.unknown_below)],
                };
                let took = self.took([&time, &cpu, &peak]);
                taken += took.len();
                line.push_str(&took);
                let allowed = if row.forgiven { "allowed to fail: " } else { "" };
                format!("{allowed}{}", row.cause)
            }
            None => format!("at {}: {}", duration(row.at), row.cause),
        };
        let room = self.columns.saturating_sub(taken + 2);
        if !row.cause.is_empty() && room > 8 {
            line.push_str(&format!("  {}", fit(&note, room)));
        }
        line
    }
}

impl Detail {
    fn push(&self, text: &mut String, paint: Paint) {
        let Detail { label, verdict, .. } = self;
        let of_shell = matches!(verdict.reason, Some(Reason::StepFailed | Reason::ExitCode));
        let code = self.exit_code.filter(|_| of_shell).map(meaning).unwrap_or_default();
        let failed = paint.paint(Label::Failure, "failed");
        text.push_str(&format!("\njob `{label}` {failed}{}{code}\n", because(verdict)));
        if let Some(step) = &self.step {
            let place = step.position.as_ref().map(|place| format!(" ({place})"));
            text.push_str(&format!(
                "  step {}{}: {}\n",
                step.step,
                place.unwrap_or_default(),
                paint.paint(Label::Name, printable(&step.command))
            ));
            let earlier = step.lines.saturating_sub(step.tail.len() as u64);
            if earlier > 0 {
                let earlier = format_args!("  | ({} earlier lines)", grouped(earlier));
                text.push_str(&format!("{}\n", paint.paint(Label::Dim, earlier)));
            }
            for line in &step.tail {
                let line = shown_line(line, paint.is_colored());
                text.push_str(format!("  | {line}").trim_end());
                text.push('\n');
            }
        }
        if !self.events.as_os_str().is_empty() {
            text.push_str(&format!("  events: {}\n", self.events.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(verdict: Verdict, seconds: u64) -> JobResult {
        JobResult {
            duration_ms: seconds * 1000,
            cpu_ms: 500,
            peak_rss_bytes: 45 << 20,
            exit_code: Some(127),
            failing: (!verdict.is_success()).then(|| FailingStep {
                step: "script/02".into(),
                command: "make test".into(),
                earlier: Vec::new(),
                position: Some(".loom/workflow.yml:7:7".into()),
                events_path: String::new(),
                lines: 22,
                tail: vec![b"\x1b[31mFAILED\x1b[0m".to_vec(), b"".to_vec()],
            }),
            failing_events: "/r/events.jsonl".into(),
            ..JobResult::not_run(verdict)
        }
    }

    fn failed() -> Verdict {
        Verdict::failure(Reason::StepFailed, "step script/02 failed: exit code 127")
    }

    fn text(summary: &mut Summary, columns: Option<usize>) -> String {
        summary.text(Duration::from_millis(3400), Paint::new(false), columns)
    }

    #[test]
    fn few_jobs_are_listed_with_what_they_took_and_why_one_failed() {
        let mut summary = Summary::default();
        let at = Duration::from_secs(2);
        let skipped = Verdict::skipped(Reason::NeedsNotMet, "job `unit` failed");
        summary.finished(1, &Node::host("unit", "test"), (&result(failed(), 2), false), at);
        summary.not_run(2, &Node::host("package", "build"), &skipped, at);
        let lint = result(Verdict::success(), 1);
        summary.finished(0, &Node::host("lint", "test"), (&lint, false), at);
        assert_eq!(
            text(&mut summary, None),
            "\
job      stage  status        time      cpu      memory
lint     test   success       1.0s    500ms    45.0 MiB
unit     test   failure       2.0s    500ms    45.0 MiB  step script/02 failed: exit code 127
package  build  skipped    at 2.0s: job `unit` failed

job `unit` failed: step script/02 failed: exit code 127 (command not found)
  step script/02 (.loom/workflow.yml:7:7): make test
  | (20 earlier lines)
  | FAILED
  |
  events: /r/events.jsonl
3 jobs: 1 succeeded, 1 failed, 1 skipped in 3.4s, cpu 1.0s, peak memory 45.0 MiB (unit)
"
        );
        for columns in [80, 60, 40] {
            let narrow = text(&mut summary, Some(columns));
            let widths = narrow.lines().take(4).map(display_width);
            assert!(widths.max().unwrap() <= columns, "{columns}:\n{narrow}");
        }
    }

    #[test]
    fn one_job_needs_no_table() {
        let mut summary = Summary::default();
        let node = Node::host("build", "ci");
        let ended = result(Verdict::success(), 1);
        summary.finished(0, &node, (&ended, false), Duration::ZERO);
        let expected = "1 job: 1 succeeded in 3.4s, cpu 500ms, peak memory 45.0 MiB\n";
        assert_eq!(text(&mut summary, None), expected);
        summary.unknown_below = 50 << 20;
        assert!(text(&mut summary, None).ends_with(", peak memory <50.0 MiB\n"));
    }

    #[test]
    fn a_thousand_jobs_fit_on_a_screen() {
        let mut summary = Summary::default();
        let at = Duration::from_secs(1);
        let skipped = Verdict::skipped(Reason::EarlierStageFailed, "stage `a`: job `j0` failed");
        for place in 0..1000 {
            let node = Node::host(&format!("j{place}"), "a");
            match place % 10 {
                0 => summary.finished(place, &node, (&result(failed(), 1), false), at),
                1..5 => summary.finished(place, &node, (&result(Verdict::success(), 9), false), at),
                _ => summary.not_run(place, &node, &skipped, at),
            }
        }
        let text = text(&mut summary, None);
        assert!(text.lines().count() < 50, "{text}");
        for part in [
            "and 80 more that failed\n",
            "500 skipped at 1.0s: stage `a`: job `j0` failed: j5, j6, j7, j8 and 496 more\n",
            "slowest: j1 9.0s, j2 9.0s, j3 9.0s, j4 9.0s\n",
            "97 more jobs failed\n",
            "1,000 jobs: 400 succeeded, 100 failed, 500 skipped in 3.4s, cpu 4m10s",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn an_allowed_failure_is_listed_and_not_explained() {
        let mut summary = Summary::default();
        for (place, name) in ["a", "b"].into_iter().enumerate() {
            let node = Node::host(name, "ci");
            summary.finished(place, &node, (&result(failed(), 1), true), Duration::ZERO);
        }
        let text = text(&mut summary, None);
        assert!(text.contains("  allowed to fail: step script/02 failed"), "{text}");
        assert!(text.contains("\n2 jobs: 2 failed (2 allowed) in "), "{text}");
        assert!(!text.contains("job `a` failed"), "{text}");
    }
}
