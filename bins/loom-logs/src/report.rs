//! A finding as people read it.

use std::fmt::Write as _;
use std::path::Path;

use libloom_console::{Label, Paint, printable};
use libloom_contract::{Reason, Status, layout, logs::StepSummary, receipt::RunReceipt};

use crate::{
    finding::{Finding, JobFinding},
    screen, words,
};

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
pub(crate) fn next(finding: &Finding) -> Vec<String> {
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
