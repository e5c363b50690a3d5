//! JUnit XML in the dialect of Jenkins' xUnit plugin, which GitLab, GitHub actions and others
//! read as well: a suite for each job, a case for each step.
//!
//! A step that failed is a failure; one that was cancelled or whose time ran out, and a job that
//! failed outside its steps, is an error. A job that may fail does not make the report red: its
//! failing step is skipped, with the reason. XML 1.0 cannot hold most control characters in any
//! form: they are shown escaped, colours are left out.

use std::io::{self, Write};

use libloom_console::{Paint, printable};
use libloom_contract::{Reason, Status, event::Stream};

use super::output::{Said, failing_section, of_run, sentences, tail, why};
use crate::{
    screen,
    tree::{JobTree, StepTree, Tree},
    words,
};

/// Output that is kept of a step that failed, and of any other.
const BAD_MAX: usize = 64 * 1024;
const GOOD_MAX: usize = 4 * 1024;

/// One case, whatever it comes from.
struct Case {
    name: String,
    class: String,
    ms: u64,
    verdict: Verdict,
    body: String,
    out: String,
    err: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped { kind: String, message: String },
    Failure { kind: String, message: String },
    Error { kind: String, message: String },
}

#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, cases: &[Case]) {
        self.tests += cases.len();
        for case in cases {
            match case.verdict {
                Verdict::Passed => {}
                Verdict::Skipped { .. } => self.skipped += 1,
                Verdict::Failure { .. } => self.failures += 1,
                Verdict::Error { .. } => self.errors += 1,
            }
        }
    }
}

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    // The totals stand in the first tag: the cases are made twice, so that only one job's output
    // is in memory at a time.
    let mut totals = Counts::default();
    for job in &tree.jobs {
        totals.add(&cases(job)?);
    }
    let of_run = case_of_run(tree);
    totals.add(of_run.as_slice());
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="{}" tests="{}" failures="{}" errors="{}" time="{}">"#,
        xml(&tree.receipt.run_id),
        totals.tests,
        totals.failures,
        totals.errors,
        seconds(tree.receipt.duration_ms)
    )?;
    if let Some(case) = of_run {
        let (name, time) = (&tree.receipt.workflow_path, tree.receipt.duration_ms);
        suite(out, &[("name", name), ("package", "loom")], time, &[case], &[])?;
    }
    for job in &tree.jobs {
        suite_of(job, tree, out)?;
    }
    writeln!(out, "</testsuites>")
}

fn suite_of(job: &JobTree, tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let began = job.summary.started_at.unwrap_or(tree.receipt.started_at).to_string();
    // ISO 8601 without a zone, in UTC, is what readers expect.
    let began = began.split('.').next().unwrap_or_default();
    let attributes = [
        ("name", job.label()),
        ("package", job.entry.stage.as_str()),
        ("id", job.entry.job_id.as_str()),
        ("timestamp", began),
    ];
    let status = words::outcome(job.entry.status, job.entry.reason);
    let properties = [
        ("loom.run_id", tree.receipt.run_id.as_str()),
        ("loom.stage", job.entry.stage.as_str()),
        ("loom.status", status.as_str()),
        ("loom.provider", job.summary.provider.word()),
    ];
    suite(out, &attributes, job.entry.duration_ms, &cases(job)?, &properties)
}

fn suite(
    out: &mut dyn Write,
    attributes: &[(&str, &str)],
    ms: u64,
    cases: &[Case],
    properties: &[(&str, &str)],
) -> io::Result<()> {
    let mut counts = Counts::default();
    counts.add(cases);
    write!(out, "  <testsuite")?;
    for (name, value) in attributes {
        write!(out, r#" {name}="{}""#, xml(value))?;
    }
    writeln!(
        out,
        r#" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}">"#,
        counts.tests,
        counts.failures,
        counts.errors,
        counts.skipped,
        seconds(ms)
    )?;
    if !properties.is_empty() {
        writeln!(out, "    <properties>")?;
        for (name, value) in properties {
            writeln!(out, r#"      <property name="{name}" value="{}"/>"#, xml(value))?;
        }
        writeln!(out, "    </properties>")?;
    }
    cases.iter().try_for_each(|case| write_case(case, out))?;
    writeln!(out, "  </testsuite>")
}

fn write_case(case: &Case, out: &mut dyn Write) -> io::Result<()> {
    let (class, name, time) = (xml(&case.class), xml(&case.name), seconds(case.ms));
    write!(out, r#"    <testcase classname="{class}" name="{name}" time="{time}">"#)?;
    let element = match &case.verdict {
        Verdict::Passed => None,
        Verdict::Skipped { kind, message } => Some(("skipped", kind, message)),
        Verdict::Failure { kind, message } => Some(("failure", kind, message)),
        Verdict::Error { kind, message } => Some(("error", kind, message)),
    };
    if let Some((element, kind, message)) = element {
        let (kind, message, body) = (xml(kind), xml(message), xml(&case.body));
        write!(out, r#"<{element} type="{kind}" message="{message}">{body}</{element}>"#)?;
    }
    for (element, text) in [("system-out", &case.out), ("system-err", &case.err)] {
        if !text.is_empty() {
            write!(out, "<{element}>{}</{element}>", xml(text))?;
        }
    }
    writeln!(out, "</testcase>")
}

fn cases(job: &JobTree) -> io::Result<Vec<Case>> {
    let mut cases: Vec<Case> =
        job.steps.iter().map(|step| case_of_step(job, step)).collect::<io::Result<_>>()?;
    cases.extend(case_of_job(job));
    Ok(cases)
}

fn case_of_step(job: &JobTree, step: &StepTree) -> io::Result<Case> {
    let summary = &step.summary;
    let verdict = verdict(job, summary.status, summary.reason, summary.message.as_deref());
    let limit = if verdict == Verdict::Passed { GOOD_MAX } else { BAD_MAX };
    let (mut out, mut err, mut body) = (String::new(), String::new(), String::new());
    for (stream, line) in tail(step, limit)? {
        let line = screen::line(&line, Paint::new(false)) + "\n";
        body.push_str(&line);
        if stream == Stream::Stdout { &mut out } else { &mut err }.push_str(&line);
    }
    if matches!(verdict, Verdict::Passed | Verdict::Skipped { .. }) {
        body.clear();
    }
    Ok(Case {
        name: format!("{}: {}", summary.step, screen::cut(&printable(&summary.command), 200)),
        class: job.entry.job_id.clone(),
        ms: summary.duration_ms,
        verdict,
        body,
        out,
        err,
    })
}

/// A job whose steps do not tell how it ended: skipped, or failed outside of them.
fn case_of_job(job: &JobTree) -> Option<Case> {
    let told = job.steps.iter().any(|step| step.summary.status == job.entry.status);
    if told || job.entry.status == Status::Success {
        return None;
    }
    let section = failing_section(job);
    let body = section.as_ref().map(|(_, events)| text_of(&sentences(events)));
    let message = job.summary.message.as_deref();
    let verdict = match verdict(job, job.entry.status, job.entry.reason, message) {
        Verdict::Failure { kind, message } => Verdict::Error { kind, message },
        verdict => verdict,
    };
    Some(Case {
        name: section.map_or_else(|| "job".to_owned(), |(word, _)| format!("system/{word}")),
        class: job.entry.job_id.clone(),
        ms: job.entry.duration_ms,
        verdict,
        body: body.unwrap_or_else(|| why(job)),
        out: String::new(),
        err: String::new(),
    })
}

/// A run that never came to a pipeline.
fn case_of_run(tree: &Tree) -> Option<Case> {
    let receipt = &tree.receipt;
    if receipt.pipeline_manifest_path.is_some() || receipt.status.is_fine() {
        return None;
    }
    let kind = receipt.reason.map_or_else(|| "error".into(), words::reason);
    let message = receipt.error.clone().unwrap_or_default();
    Some(Case {
        name: "run".into(),
        class: "loom".into(),
        ms: receipt.duration_ms,
        verdict: Verdict::Error { kind, message },
        body: text_of(&of_run(tree)),
        out: String::new(),
        err: String::new(),
    })
}

fn text_of(said: &[Said]) -> String {
    said.iter().fold(String::new(), |text, said| {
        let place = said.place.as_ref();
        let place = place.map(|at| format!("{}:{}:{}: ", at.file, at.line, at.column));
        let lines: Vec<_> = said.text.lines().map(printable).collect();
        text + &place.unwrap_or_default() + &lines.join("\n") + "\n"
    })
}

fn verdict(
    job: &JobTree,
    status: Status,
    reason: Option<Reason>,
    message: Option<&str>,
) -> Verdict {
    let kind = reason.map_or_else(|| status.word().to_owned(), words::reason);
    let message = message.map_or_else(|| words::outcome(status, reason), str::to_owned);
    match status {
        Status::Success => Verdict::Passed,
        Status::Skipped => Verdict::Skipped { kind, message },
        Status::Failure if job.is_forgiven => {
            let message = format!("it failed, which is allowed: {message}");
            Verdict::Skipped { kind: "allow_failure".into(), message }
        }
        Status::Failure if reason == Some(Reason::Timeout) => Verdict::Error { kind, message },
        Status::Failure => Verdict::Failure { kind, message },
        Status::Cancelled => Verdict::Error { kind, message },
    }
}

/// `3.240`, as the schema's pattern wants it.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text for an element or an attribute; characters that XML 1.0 has no form for become U+FFFD.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // `]]>` may not stand in text.
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push('\n'),
            '\r' => escaped.push_str("&#13;"),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let text = "a\u{0}\u{8}\u{b}\u{1b}\u{ffff}b]]><&\"\t\r\n";
        let fffd = "\u{fffd}".repeat(5);
        assert_eq!(xml(text), format!("a{fffd}b]]&gt;&lt;&amp;&quot;&#9;&#13;\n"));
    }

    #[test]
    fn seconds_have_three_places() {
        assert_eq!([0, 7, 61_000].map(seconds), ["0.000", "0.007", "61.000"]);
    }
}
