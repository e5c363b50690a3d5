//! OpenTelemetry: one trace a run, as the JSON form of an `ExportTraceServiceRequest`.
//!
//! Ids are hexadecimal and 64-bit integers are strings, as OTLP/HTTP with JSON wants it. They are
//! made from the run's id, so that exporting a run twice gives the same trace. Attributes follow
//! the semantic conventions for CI/CD where those have a name, and begin with `loom.` elsewhere.

use std::io::{self, Write};

use libloom_contract::{Reason, Status, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::output::why;
use crate::{
    tree::{JobTree, SectionTree, Span, StepTree, Tree},
    words,
};

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let receipt = &tree.receipt;
    let resource = json!({"attributes": [
        text("service.name", "loom"),
        text("service.version", &receipt.loom_version),
    ]});
    let scope = json!({"name": "loom-logs", "version": env!("CARGO_PKG_VERSION")});
    write!(
        out,
        r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#
    )?;
    let mut spans = Spans {
        out,
        trace: id(&receipt.run_id, "trace", 16),
        run_id: &receipt.run_id,
        is_first: true,
    };
    let root = spans.span_id("run");
    spans.run(tree, &root)?;
    for job in &tree.jobs {
        spans.job(job, tree.span(), &root)?;
    }
    writeln!(out, "]}}]}}]}}")
}

/// The first bytes of a hash, in hexadecimal; never all zero, which would be invalid.
fn id(run_id: &str, what: &str, bytes: usize) -> String {
    let hash = Sha256::digest(format!("{run_id}\n{what}"));
    hash[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The list of spans, being written.
struct Spans<'a> {
    out: &'a mut dyn Write,
    trace: String,
    run_id: &'a str,
    is_first: bool,
}

/// What a span is called and what it tells.
struct Told {
    name: String,
    attributes: Vec<Value>,
    status: Status,
    reason: Option<Reason>,
    message: String,
}

impl Spans<'_> {
    fn span_id(&self, what: &str) -> String {
        id(self.run_id, what, 8)
    }

    fn push(&mut self, span_id: &str, parent: &str, span: Span, told: Told) -> io::Result<()> {
        let comma = if self.is_first { "" } else { "," };
        self.is_first = false;
        let status = match told.status {
            Status::Success => json!({"code": 1}),
            Status::Skipped => json!({}),
            Status::Failure | Status::Cancelled => json!({"code": 2, "message": told.message}),
        };
        let mut attributes = told.attributes;
        attributes.push(text("loom.status", told.status.word()));
        attributes.extend(told.reason.map(|why| text("loom.reason", &words::reason(why))));
        let mut span = json!({
            "traceId": self.trace, "spanId": span_id,
            "name": told.name, "kind": 1,
            "startTimeUnixNano": nanoseconds(span.from), "endTimeUnixNano": nanoseconds(span.to),
            "attributes": attributes, "status": status,
        });
        if !parent.is_empty() {
            span["parentSpanId"] = parent.into();
        }
        write!(self.out, "{comma}\n{span}")
    }

    fn run(&mut self, tree: &Tree, root: &str) -> io::Result<()> {
        let receipt = &tree.receipt;
        let mut attributes = vec![
            text("cicd.pipeline.name", &receipt.workflow_path),
            text("cicd.pipeline.run.id", &receipt.run_id),
            text("cicd.pipeline.result", result(receipt.status, receipt.reason)),
            number("process.exit.code", receipt.exit_code.into()),
        ];
        let branch = receipt.branch.as_deref();
        attributes.extend(branch.map(|branch| text("vcs.ref.head.name", branch)));
        let revision = receipt.snapshot_head_sha.as_deref();
        attributes.extend(revision.map(|sha| text("vcs.ref.head.revision", sha)));
        let told = Told {
            name: "loom run".into(),
            attributes,
            status: receipt.status,
            reason: receipt.reason,
            message: receipt
                .error
                .clone()
                .unwrap_or_else(|| words::outcome(receipt.status, receipt.reason)),
        };
        self.push(root, "", tree.span(), told)
    }

    /// A job that never ran has no time, and so no span.
    fn job(&mut self, job: &JobTree, run: Span, root: &str) -> io::Result<()> {
        let Some(span) = job.span else { return Ok(()) };
        let (span, job_id) = (span.within(run), &job.entry.job_id);
        let own = self.span_id(&format!("job {job_id}"));
        let mut attributes = vec![
            text("cicd.pipeline.task.name", job.label()),
            text("cicd.pipeline.task.run.id", &format!("{}/{job_id}", self.run_id)),
            text("cicd.pipeline.task.run.result", result(job.entry.status, job.entry.reason)),
            text("loom.stage", &job.entry.stage),
            text("loom.provider", job.summary.provider.word()),
        ];
        attributes
            .extend(job.summary.exit_code.map(|code| number("process.exit.code", code.into())));
        let cpu = job.summary.cpu_ms.and_then(|ms| i64::try_from(ms).ok());
        attributes.extend(cpu.map(|ms| number("loom.cpu_ms", ms)));
        let peak = job.summary.peak_rss_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        attributes.extend(peak.map(|bytes| number("loom.peak_rss_bytes", bytes)));
        let told = Told {
            name: job.label().to_owned(),
            attributes,
            status: job.entry.status,
            reason: job.entry.reason,
            message: why(job),
        };
        self.push(&own, root, span, told)?;
        for section in &job.sections {
            self.section(section, (job_id, &own), span)?;
        }
        job.steps.iter().try_for_each(|step| self.step(step, (job_id, &own), span))
    }

    fn section(
        &mut self,
        section: &SectionTree,
        (job_id, parent): (&str, &str),
        outer: Span,
    ) -> io::Result<()> {
        let Some(span) = section.span else { return Ok(()) };
        let word = section.section.word();
        let own = self.span_id(&format!("section {job_id} {word}"));
        let summary = &section.summary;
        let message = summary.message.clone();
        let told = Told {
            name: word.to_owned(),
            attributes: vec![text("loom.section", word)],
            status: summary.status,
            reason: summary.reason,
            message: message.unwrap_or_else(|| words::outcome(summary.status, summary.reason)),
        };
        self.push(&own, parent, span.within(outer), told)
    }

    fn step(
        &mut self,
        step: &StepTree,
        (job_id, parent): (&str, &str),
        outer: Span,
    ) -> io::Result<()> {
        let Some(span) = step.span else { return Ok(()) };
        let summary = &step.summary;
        let own = self.span_id(&format!("step {job_id} {}", summary.step));
        let mut attributes =
            vec![text("loom.step", &summary.step), text("loom.command", &summary.command)];
        attributes.extend(summary.position.as_deref().map(|at| text("loom.position", at)));
        attributes.extend(summary.exit_code.map(|code| number("process.exit.code", code.into())));
        let message = summary.message.clone();
        let told = Told {
            name: summary.step.clone(),
            attributes,
            status: summary.status,
            reason: summary.reason,
            message: message.unwrap_or_else(|| words::outcome(summary.status, summary.reason)),
        };
        self.push(&own, parent, span.within(outer), told)
    }
}

/// The conventions' words for how a pipeline or a task ended.
fn result(status: Status, reason: Option<Reason>) -> &'static str {
    match (status, reason) {
        (_, Some(Reason::Timeout)) => "timeout",
        (Status::Success, _) => "success",
        (Status::Skipped, _) => "skip",
        (Status::Cancelled, _) => "cancellation",
        (Status::Failure, Some(Reason::LoomError | Reason::SnapshotFailed)) => "error",
        (Status::Failure, _) => "failure",
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanoseconds(time: Timestamp) -> String {
    time.nanoseconds().to_string()
}
