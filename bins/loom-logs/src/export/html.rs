//! One HTML file that shows a run without any network: timeline, logs, search.
//!
//! The page, its style and its script lie in `html/`. All that comes from the run is JSON in data
//! blocks, in which `<` is escaped, so that nothing in it can end its block; the script puts it
//! into the page as text only. A content security policy allows that one style and that one
//! script, by their hashes, and nothing else.
//!
//! A step's log is a block of its own that is parsed when it is opened or searched. Logs are cut
//! at their begin so that the file stays loadable: see [`Room`].

use std::io::{self, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use libloom_contract::{Reason, Status, Timestamp, event::Stream, logs::JobCounts};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::output::{of_run, sentences, tail};
use crate::{
    screen,
    tree::{JobTree, SectionTree, Span, StepTree, Tree},
};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Output that all logs of a page may have together, before the cuts get deeper.
const ALL_MAX: u64 = 24 << 20;
/// Output of one step that is kept, from plenty to little.
const STEP_MAX: [usize; 5] = [512 << 10, 128 << 10, 32 << 10, 8 << 10, 2 << 10];

/// How many bytes of each step's end are kept: as many as fit for all, the failing ones most.
#[derive(Clone, Copy)]
struct Room {
    bad: usize,
    good: usize,
}

impl Room {
    fn of(tree: &Tree) -> Self {
        let steps = || tree.jobs.iter().flat_map(|job| &job.steps);
        let size = |step: &StepTree| step.summary.stdout_bytes + step.summary.stderr_bytes;
        let fits = |limit: &usize| {
            let kept: u64 = steps().map(|step| size(step).min(*limit as u64)).sum();
            kept <= ALL_MAX
        };
        let least = STEP_MAX[STEP_MAX.len() - 1];
        let good = STEP_MAX.into_iter().find(fits).unwrap_or(least);
        let bad = steps().filter(|step| !step.summary.status.is_fine()).count().max(1) as u64;
        let share = usize::try_from(ALL_MAX / bad).unwrap_or(usize::MAX);
        Room { bad: share.clamp(good, STEP_MAX[0].max(good)), good }
    }

    fn for_step(self, step: &StepTree) -> usize {
        if step.summary.status.is_fine() { self.good } else { self.bad }
    }
}

/// What the script reads. Times are milliseconds from the run's begin.
#[derive(Serialize)]
struct Page<'a> {
    run_id: &'a str,
    status: Status,
    reason: Option<Reason>,
    exit_code: i32,
    started_at: Timestamp,
    duration_ms: u64,
    branch: Option<&'a str>,
    head_sha: Option<&'a str>,
    workflow: &'a str,
    command: String,
    loom_version: &'a str,
    counts: JobCounts,
    /// What Loom said where there was no pipeline.
    errors: Vec<String>,
    jobs: Vec<Job<'a>>,
    /// Place of the job to look at first, and of its step or section.
    failing: Option<(usize, Option<usize>)>,
}

#[derive(Serialize)]
struct Job<'a> {
    id: &'a str,
    label: &'a str,
    stage: &'a str,
    provider: &'static str,
    status: Status,
    reason: Option<Reason>,
    message: Option<&'a str>,
    allowed: bool,
    span: Option<[f64; 2]>,
    duration_ms: u64,
    cpu_ms: Option<u64>,
    peak_rss_bytes: Option<u64>,
    parts: Vec<Part<'a>>,
}

/// A step or a section of a job.
#[derive(Serialize)]
struct Part<'a> {
    is_step: bool,
    name: &'a str,
    command: Option<&'a str>,
    position: Option<&'a str>,
    status: Status,
    reason: Option<Reason>,
    message: Option<&'a str>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    span: Option<[f64; 2]>,
    duration_ms: u64,
    /// Bytes it wrote, and number of its data block where it wrote any.
    bytes: u64,
    log: Option<usize>,
}

/// The log of one part.
#[derive(Serialize)]
struct Log {
    /// Bytes at the begin that are not here.
    cut: u64,
    /// Lines, each behind `o` for standard output, `e` for standard error, `n` for what Loom says.
    lines: Vec<String>,
}

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let mut logs = 0;
    let page = page(tree, &mut logs);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the page closes its placeholders");
        out.write_all(before.as_bytes())?;
        match name {
            "title" => write!(out, "{}", escaped(&tree.receipt.run_id))?,
            "policy" => write!(out, "{}", policy())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            "run" => block(out, "run", &page)?,
            "logs" => write_logs(tree, &page, out)?,
            other => unreachable!("the page has no placeholder `{other}`"),
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// Only our own style and script; no other place is ever asked for anything.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A data block: JSON in which no `<` stands, as it is.
fn block(out: &mut dyn Write, id: &str, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    let json = json.replace('<', "\\u003c");
    writeln!(out, r#"<script type="application/json" id="{id}">{json}</script>"#)
}

fn page<'a>(tree: &'a Tree, logs: &mut usize) -> Page<'a> {
    let receipt = &tree.receipt;
    let zero = receipt.started_at;
    let jobs: Vec<Job<'_>> = tree.jobs.iter().map(|tree| job(tree, zero, logs)).collect();
    let place = |text: crate::export::output::Said| match text.place {
        Some(at) => format!("{}:{}:{}: {}", at.file, at.line, at.column, text.text),
        None => text.text,
    };
    let errors = match tree.jobs.is_empty() && !receipt.status.is_fine() {
        true => of_run(tree).into_iter().map(place).collect(),
        false => receipt.error.iter().cloned().collect(),
    };
    Page {
        run_id: &receipt.run_id,
        status: receipt.status,
        reason: receipt.reason,
        exit_code: receipt.exit_code,
        started_at: receipt.started_at,
        duration_ms: receipt.duration_ms,
        branch: receipt.branch.as_deref(),
        head_sha: receipt.snapshot_head_sha.as_deref(),
        workflow: receipt
            .workflow_path
            .strip_prefix(&receipt.repo_root)
            .map_or(receipt.workflow_path.as_str(), |path| path.trim_start_matches('/')),
        command: receipt.command.join(" "),
        loom_version: &receipt.loom_version,
        counts: receipt.counts,
        errors,
        failing: failing(tree, &jobs),
        jobs,
    }
}

fn failing(tree: &Tree, jobs: &[Job<'_>]) -> Option<(usize, Option<usize>)> {
    let (job, step) = tree.culprit()?;
    let place = jobs.iter().position(|other| other.id == job.entry.job_id)?;
    let parts = &jobs[place].parts;
    let step = step.and_then(|step| parts.iter().position(|part| part.name == step.summary.step));
    let section = job.manifest.failing_section.map(libloom_contract::event::Section::word);
    let section = || parts.iter().position(|part| !part.is_step && Some(part.name) == section);
    Some((place, step.or_else(section)))
}

fn job<'a>(tree: &'a JobTree, zero: Timestamp, logs: &mut usize) -> Job<'a> {
    let mut parts: Vec<(Option<Timestamp>, Part<'_>)> = Vec::new();
    for section in &tree.sections {
        let from = section.span.map(|span| span.from);
        parts.push((from, section_part(section, zero, logs)));
    }
    // Sections stand around the steps, in the order in which everything began.
    let after = parts
        .iter()
        .position(|(from, _)| *from > tree.steps.iter().find_map(|s| s.span).map(|s| s.from));
    let at = after.unwrap_or(parts.len());
    let steps = tree.steps.iter().map(|step| (None, step_part(step, zero, logs)));
    let steps: Vec<_> = steps.collect();
    parts.splice(at..at, steps);
    Job {
        id: &tree.entry.job_id,
        label: tree.label(),
        stage: &tree.entry.stage,
        provider: tree.summary.provider.word(),
        status: tree.entry.status,
        reason: tree.entry.reason,
        message: tree.summary.message.as_deref(),
        allowed: tree.is_forgiven,
        span: tree.span.map(|span| relative(span, zero)),
        duration_ms: tree.entry.duration_ms,
        cpu_ms: tree.summary.cpu_ms,
        peak_rss_bytes: tree.summary.peak_rss_bytes,
        parts: parts.into_iter().map(|(_, part)| part).collect(),
    }
}

fn section_part<'a>(tree: &'a SectionTree, zero: Timestamp, logs: &mut usize) -> Part<'a> {
    let summary = &tree.summary;
    Part {
        is_step: false,
        name: tree.section.word(),
        command: None,
        position: None,
        status: summary.status,
        reason: summary.reason,
        message: summary.message.as_deref(),
        exit_code: None,
        signal: None,
        span: tree.span.map(|span| relative(span, zero)),
        duration_ms: summary.duration_ms,
        bytes: 0,
        log: Some(next(logs)),
    }
}

fn step_part<'a>(tree: &'a StepTree, zero: Timestamp, logs: &mut usize) -> Part<'a> {
    let summary = &tree.summary;
    let bytes = summary.stdout_bytes + summary.stderr_bytes;
    Part {
        is_step: true,
        name: &summary.step,
        command: Some(&summary.command),
        position: summary.position.as_deref(),
        status: summary.status,
        reason: summary.reason,
        message: summary.message.as_deref(),
        exit_code: summary.exit_code,
        signal: summary.signal,
        span: tree.span.map(|span| relative(span, zero)),
        duration_ms: summary.duration_ms,
        bytes,
        log: (bytes > 0 && tree.events.is_some()).then(|| next(logs)),
    }
}

fn next(logs: &mut usize) -> usize {
    *logs += 1;
    *logs - 1
}

fn relative(span: Span, zero: Timestamp) -> [f64; 2] {
    let ms = |time: Timestamp| (time.nanoseconds() - zero.nanoseconds()) as f64 / 1e6;
    [ms(span.from), ms(span.to)]
}

/// The data blocks, in the order of their numbers; one at a time is in memory.
fn write_logs(tree: &Tree, page: &Page<'_>, out: &mut dyn Write) -> io::Result<()> {
    let room = Room::of(tree);
    for (job, shown) in tree.jobs.iter().zip(&page.jobs) {
        for part in &shown.parts {
            let Some(number) = part.log else { continue };
            let log = match part.is_step {
                true => job
                    .steps
                    .iter()
                    .find(|step| step.summary.step == part.name)
                    .map(|step| log_of_step(step, room))
                    .transpose()?,
                false => job
                    .sections
                    .iter()
                    .find(|section| section.section.word() == part.name)
                    .map(log_of_section),
            };
            if let Some(log) = log {
                block(out, &format!("log-{number}"), &log)?;
            }
        }
    }
    Ok(())
}

fn log_of_step(step: &StepTree, room: Room) -> io::Result<Log> {
    let lines = tail(step, room.for_step(step))?;
    let kept: u64 = lines.iter().map(|(_, line)| line.len() as u64 + 1).sum();
    let all = step.summary.stdout_bytes + step.summary.stderr_bytes;
    let line = |(stream, line): &(Stream, Vec<u8>)| {
        let sign = if *stream == Stream::Stderr { 'e' } else { 'o' };
        format!("{sign}{}", String::from_utf8_lossy(screen::last_drawn(line)))
    };
    Ok(Log { cut: all.saturating_sub(kept), lines: lines.iter().map(line).collect() })
}

fn log_of_section(section: &SectionTree) -> Log {
    let said = sentences(&section.events);
    let lines = said.iter().flat_map(|said| said.text.lines());
    Log { cut: 0, lines: lines.map(|line| format!("n{line}")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_its_block() {
        let mut out = Vec::new();
        block(&mut out, "x", &"</script><!--<script>").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('<').count(), 2, "{text}");
    }

    #[test]
    fn style_and_script_hold_nothing_that_would_end_them() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!PAGE.contains("style=") && !PAGE.contains("onclick") && !PAGE.contains("http://"));
    }
}
