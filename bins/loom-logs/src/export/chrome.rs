//! The Trace Event Format, which Perfetto and about:tracing load: one row for each job, in it
//! the job, its system sections and its steps as complete events, in microseconds.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::tree::{JobTree, Span, Tree};

const PID: u32 = 1;

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let receipt = &tree.receipt;
    let other = json!({
        "run_id": receipt.run_id,
        "loom_version": receipt.loom_version,
        "status": receipt.status,
        "started_at": receipt.started_at,
    });
    write!(out, r#"{{"displayTimeUnit":"ms","otherData":{other},"traceEvents":["#)?;
    let run = tree.span();
    let mut events = Events { out, is_first: true, zero: run.from };
    events.name("process_name", 0, &format!("loom run {}", receipt.run_id))?;
    events.name("thread_name", 0, "run")?;
    let arguments =
        json!({"status": receipt.status, "reason": receipt.reason, "exit_code": receipt.exit_code});
    events.complete(0, ("run", "run"), run, &arguments)?;
    for (row, job) in (1..).zip(&tree.jobs) {
        events.name("thread_name", row, &format!("{} ({})", job.label(), job.entry.stage))?;
        events.job(row, job, run)?;
    }
    writeln!(out, "]}}")
}

/// The list of events, being written.
struct Events<'a> {
    out: &'a mut dyn Write,
    is_first: bool,
    zero: libloom_contract::Timestamp,
}

impl Events<'_> {
    fn push(&mut self, event: &Value) -> io::Result<()> {
        let comma = if self.is_first { "" } else { "," };
        self.is_first = false;
        write!(self.out, "{comma}\n{event}")
    }

    fn name(&mut self, what: &str, row: u32, name: &str) -> io::Result<()> {
        self.push(
            &json!({"ph": "M", "pid": PID, "tid": row, "name": what, "args": {"name": name}}),
        )?;
        if what == "thread_name" {
            let order = json!({"sort_index": row});
            self.push(&json!({"ph": "M", "pid": PID, "tid": row, "name": "thread_sort_index", "args": order}))?;
        }
        Ok(())
    }

    fn complete(
        &mut self,
        row: u32,
        (name, category): (&str, &str),
        span: Span,
        arguments: &Value,
    ) -> io::Result<()> {
        let micros = |time: libloom_contract::Timestamp| {
            (time.nanoseconds() - self.zero.nanoseconds()) as f64 / 1_000.0
        };
        let (ts, end) = (micros(span.from), micros(span.to));
        self.push(&json!({
            "ph": "X", "pid": PID, "tid": row, "name": name, "cat": category,
            "ts": ts, "dur": end - ts, "args": arguments,
        }))
    }

    fn job(&mut self, row: u32, job: &JobTree, run: Span) -> io::Result<()> {
        let Some(span) = job.span else { return Ok(()) };
        let span = span.within(run);
        let arguments = json!({
            "job_id": job.entry.job_id, "stage": job.entry.stage, "status": job.entry.status,
            "reason": job.entry.reason, "exit_code": job.summary.exit_code,
            "cpu_ms": job.summary.cpu_ms, "peak_rss_bytes": job.summary.peak_rss_bytes,
        });
        self.complete(row, (job.label(), "job"), span, &arguments)?;
        for section in &job.sections {
            let Some(own) = section.span else { continue };
            let arguments = json!({"status": section.summary.status});
            let name = (section.section.word(), "section");
            self.complete(row, name, own.within(span), &arguments)?;
        }
        for step in &job.steps {
            let Some(own) = step.span else { continue };
            let summary = &step.summary;
            let arguments = json!({
                "command": summary.command, "position": summary.position, "status": summary.status,
                "reason": summary.reason, "exit_code": summary.exit_code,
                "output_lines": summary.output_lines,
            });
            self.complete(row, (&summary.step, "step"), own.within(span), &arguments)?;
        }
        Ok(())
    }
}
