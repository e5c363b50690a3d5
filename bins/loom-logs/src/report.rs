//! A finding as people read it, and as an agent does: one JSON object of at most 2 KB.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use libloom_console::{Label, Paint, printable};
use libloom_contract::{
    Reason, Status, layout,
    logs::{JobCounts, StepSummary},
    receipt::RunReceipt,
};
use serde::Serialize;

use crate::{
    finding::{Finding, JobFinding},
    screen, words,
};

/// Most bytes of the JSON form, its line end included.
pub(crate) const JSON_MAX: usize = 2048;
/// Longest line of evidence in the text form, in characters.
const LINE_MAX: usize = 500;

/// The text form.
pub(crate) fn text(finding: &Finding, paint: Paint) -> String {
    let mut text = head(finding, paint);
    if let Some(job) = &finding.job {
        push_job(&mut text, job, paint);
    }
    push_evidence(&mut text, finding, paint);
    if finding.receipt.status != Status::Success {
        push_list(&mut text, "read, one leading to the next", &walked(finding), paint);
    } else {
        push_list(&mut text, "receipt", &walked(finding), paint);
    }
    let next = next(finding);
    if !next.is_empty() {
        push_list(&mut text, "try", &next, paint);
    }
    text
}

fn head(finding: &Finding, paint: Paint) -> String {
    let receipt = &finding.receipt;
    let outcome = words::outcome(receipt.status, receipt.reason);
    let outcome = paint.paint(words::label(receipt.status), outcome);
    let run = paint.paint(Label::Name, printable(&receipt.run_id));
    let (time, counts) = (words::duration(receipt.duration_ms), words::counts(&receipt.counts));
    let mut text = format!("run {run}: {outcome}, exit code {}, {time}\n", receipt.exit_code);
    let _ = writeln!(text, "{counts}");
    if let Some(error) = &receipt.error {
        push_indented(&mut text, "error: ", error);
    }
    text
}

fn push_job(text: &mut String, job: &JobFinding, paint: Paint) {
    let manifest = &job.manifest;
    let outcome = words::outcome(manifest.status, manifest.reason);
    let outcome = paint.paint(words::label(manifest.status), outcome);
    let name = paint.paint(Label::Name, printable(&manifest.job_id));
    let _ = writeln!(text, "\njob {name} (stage {}): {outcome}", printable(&job.stage));
    if let Some(message) = &manifest.message {
        push_indented(text, "  ", message);
    }
    if let Some(step) = &job.step {
        push_step(text, step, paint);
    } else if let Some(section) = job.section {
        let _ = writeln!(text, "section {}", paint.paint(Label::Name, section.word()));
    }
}

fn push_step(text: &mut String, step: &StepSummary, paint: Paint) {
    let outcome = words::outcome(step.status, step.reason);
    let outcome = paint.paint(words::label(step.status), outcome);
    let name = paint.paint(Label::Name, printable(&step.step));
    let code = step.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let signal = step.signal.map(|signal| format!(", signal {signal}")).unwrap_or_default();
    let time = words::duration(step.duration_ms);
    let _ = writeln!(text, "step {name}: {outcome}{code}{signal}, after {time}");
    let _ = writeln!(text, "  $ {}", printable(&step.command));
    if let Some(position) = &step.position {
        let _ = writeln!(text, "  {}", paint.paint(Label::Dim, printable(position)));
    }
}

/// A message of several lines, the further ones indented.
fn push_indented(text: &mut String, before: &str, message: &str) {
    for (place, line) in message.lines().enumerate() {
        let before = if place == 0 { before } else { "  " };
        let _ = writeln!(text, "{before}{}", printable(line));
    }
}

fn push_evidence(text: &mut String, finding: &Finding, paint: Paint) {
    if finding.evidence.is_empty() {
        return;
    }
    let title = match finding.evidence.len() {
        1 => "last line".to_owned(),
        count => format!("last {count} lines"),
    };
    let _ = writeln!(text, "\n{}", paint.paint(Label::Heading, title));
    for line in &finding.evidence {
        let line = screen::cut(&screen::line(&line.bytes, Paint::new(false)), LINE_MAX);
        let _ = writeln!(text, "  {} {line}", paint.paint(Label::Dim, "|"));
    }
}

fn push_list(text: &mut String, title: &str, items: &[String], paint: Paint) {
    let _ = writeln!(text, "\n{}", paint.paint(Label::Heading, title));
    for item in items {
        let _ = writeln!(text, "  {}", printable(item));
    }
}

fn walked(finding: &Finding) -> Vec<String> {
    finding.walked.iter().map(|path| path.display().to_string()).collect()
}

/// Commands worth typing now.
fn next(finding: &Finding) -> Vec<String> {
    let receipt = &finding.receipt;
    let mut next = Vec::new();
    if let Some(job) = &finding.job {
        let id = words::shell(&job.manifest.job_id);
        let mut show = format!("loom logs show {} --job {id}", receipt.run_id);
        if let Some(step) = &job.manifest.failing_step {
            let _ = write!(show, " --step {step}");
        }
        next.push(show);
    }
    if receipt.reason == Some(Reason::WorkflowInvalid) {
        next.push(check(receipt));
    }
    let workspace = receipt.snapshot_path.as_ref().filter(|path| Path::new(path).is_dir());
    next.extend(workspace.map(|path| format!("cd {}", words::shell(path))));
    next
}

fn check(receipt: &RunReceipt) -> String {
    let path = Path::new(&receipt.workflow_path);
    let path = path.strip_prefix(&receipt.repo_root).unwrap_or(path).to_string_lossy();
    match path.as_ref() {
        layout::DEFAULT_WORKFLOW => "loom check".into(),
        path => format!("loom check --workflow {}", words::shell(path)),
    }
}

/// The JSON form of a run in progress.
#[derive(Serialize)]
pub(crate) struct Running<'a> {
    kind: &'static str,
    run_id: &'a str,
    state: &'static str,
}

impl<'a> Running<'a> {
    pub(crate) fn of(run_id: &'a str) -> Self {
        Running { kind: KIND, run_id, state: "running" }
    }
}

const KIND: &str = "loom-explanation";

/// The JSON form of a finished run. Fields that say nothing are left out.
#[derive(Serialize)]
struct Explanation<'a> {
    kind: &'static str,
    run_id: &'a str,
    state: &'static str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    duration_ms: u64,
    counts: JobCounts,
    logs_dir: &'a str,
    /// Files that were read, those in `logs_dir` relative to it.
    walked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job<'a>>,
    /// The last lines of what failed.
    evidence: Vec<String>,
    try_next: Vec<String>,
}

#[derive(Serialize)]
struct Job<'a> {
    job_id: &'a str,
    stage: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<&'a str>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
}

/// The JSON form: one line of at most [`JSON_MAX`] bytes. The oldest evidence is left out first,
/// then long texts are cut, in the end whatever cannot be cut otherwise.
pub(crate) fn json(finding: &Finding) -> Vec<u8> {
    let mut longest = LINE_MAX;
    let mut explanation = explanation(finding, longest);
    loop {
        let mut line = serde_json::to_vec(&explanation).expect("keys are strings");
        line.push(b'\n');
        if line.len() <= JSON_MAX {
            return line;
        }
        if explanation.evidence.len() > 3 || (longest == 0 && !explanation.evidence.is_empty()) {
            explanation.evidence.remove(0);
        } else if longest > 0 {
            longest = if longest > 40 { longest / 2 } else { 0 };
            shorten(&mut explanation, longest);
        } else if explanation.walked.pop().is_none() && explanation.try_next.pop().is_none() {
            return line;
        }
    }
}

fn explanation(finding: &Finding, longest: usize) -> Explanation<'_> {
    let receipt = &finding.receipt;
    let evidence = finding.evidence.iter();
    let evidence = evidence.map(|line| screen::line(&line.bytes, Paint::new(false)));
    let mut explanation = Explanation {
        kind: KIND,
        run_id: &receipt.run_id,
        state: "finished",
        status: receipt.status,
        reason: receipt.reason,
        exit_code: receipt.exit_code,
        error: receipt.error.clone(),
        duration_ms: receipt.duration_ms,
        counts: receipt.counts,
        logs_dir: &receipt.logs_dir,
        walked: relative(finding),
        job: finding.job.as_ref().map(job),
        evidence: evidence.collect(),
        try_next: next(finding),
    };
    shorten(&mut explanation, longest);
    explanation
}

fn relative(finding: &Finding) -> Vec<String> {
    let path = |path: &PathBuf| {
        path.strip_prefix(&finding.receipt.logs_dir).unwrap_or(path).display().to_string()
    };
    finding.walked.iter().map(path).collect()
}

fn job(found: &JobFinding) -> Job<'_> {
    let manifest = &found.manifest;
    let step = found.step.as_ref().map(|step| Step {
        step: &step.step,
        command: step.command.clone(),
        position: step.position.as_deref(),
        status: step.status,
        reason: step.reason,
        exit_code: step.exit_code,
        signal: step.signal,
    });
    Job {
        job_id: &manifest.job_id,
        stage: &found.stage,
        status: manifest.status,
        reason: manifest.reason,
        message: manifest.message.clone(),
        section: found.section.map(libloom_contract::event::Section::word),
        step,
    }
}

fn shorten(explanation: &mut Explanation<'_>, longest: usize) {
    let job = explanation.job.iter_mut();
    let of_job = job.flat_map(|job| {
        job.message.iter_mut().chain(job.step.iter_mut().map(|step| &mut step.command))
    });
    let texts = explanation.evidence.iter_mut().chain(&mut explanation.error).chain(of_job);
    texts.for_each(|text| *text = screen::cut(text, longest));
}
