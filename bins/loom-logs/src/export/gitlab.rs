//! GitLab CI: a job log with collapsible sections, as documented under "Custom collapsible
//! sections": one for each job, in it one for each step, all closed but what failed.
//!
//! GitLab's reports (`artifacts:reports:junit`) are what the format `junit` is for. Output that
//! holds a section marker of its own is harmless: the escape it begins with is shown, not sent.

use std::io::{self, Write};

use libloom_console::{Label, Paint, printable};
use libloom_contract::Timestamp;

use super::output::{each_line, failing_section, of_run, sentences, why};
use crate::{
    screen,
    tree::{JobTree, Span, StepTree, Tree},
    words,
};

const PAINT: fn() -> Paint = || Paint::new(true);

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    for (number, job) in tree.jobs.iter().enumerate() {
        let name = format!("loom_job_{}", number + 1);
        let title = format!("{} ({}): {}", job.label(), job.entry.stage, why(job));
        let span = job.span.unwrap_or(tree.span());
        let paint = PAINT();
        let title = paint.paint(words::label(job.entry.status), printable(&title)).to_string();
        start(out, &name, span.from, !job.is_bad(), &title)?;
        for (number, step) in job.steps.iter().enumerate() {
            step_section(job, step, &format!("{name}_step_{}", number + 1), span, out)?;
        }
        if let Some((_, events)) = failing_section(job) {
            for said in sentences(&events) {
                writeln!(out, "{}", printable(&said.text))?;
            }
        }
        end(out, &name, span.to)?;
    }
    if tree.jobs.is_empty() {
        for said in of_run(tree) {
            let place = said.place.as_ref();
            let place = place.map(|at| format!("{}:{}:{}: ", at.file, at.line, at.column));
            writeln!(out, "{}{}", place.unwrap_or_default(), printable(&said.text))?;
        }
    }
    let receipt = &tree.receipt;
    let outcome = words::outcome(receipt.status, receipt.reason);
    let outcome = PAINT().paint(words::label(receipt.status), outcome).to_string();
    let counts = words::counts(&receipt.counts);
    writeln!(
        out,
        "run {}: {outcome} in {}; {counts}",
        receipt.run_id,
        words::duration(receipt.duration_ms)
    )
}

fn step_section(
    job: &JobTree,
    step: &StepTree,
    name: &str,
    outer: Span,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(events) = &step.events else { return Ok(()) };
    let summary = &step.summary;
    let is_culprit = job.manifest.failing_step.as_ref() == Some(&summary.step);
    let span = step.span.unwrap_or(outer).within(outer);
    let outcome = words::outcome(summary.status, summary.reason);
    let title = format!("$ {}", printable(&summary.command));
    let title = PAINT().paint(Label::Name, title).to_string();
    let outcome = PAINT().paint(words::label(summary.status), outcome).to_string();
    start(out, name, span.from, !(is_culprit && job.is_bad()), &format!("{title} {outcome}"))?;
    each_line(events, |_, line| writeln!(out, "{}", screen::line(line, PAINT())))?;
    end(out, name, span.to)
}

fn start(
    out: &mut dyn Write,
    name: &str,
    time: Timestamp,
    is_collapsed: bool,
    title: &str,
) -> io::Result<()> {
    let options = if is_collapsed { "[collapsed=true]" } else { "" };
    let time = unix(time);
    writeln!(out, "\u{1b}[0Ksection_start:{time}:{name}{options}\r\u{1b}[0K{title}")
}

fn end(out: &mut dyn Write, name: &str, time: Timestamp) -> io::Result<()> {
    writeln!(out, "\u{1b}[0Ksection_end:{}:{name}\r\u{1b}[0K", unix(time))
}

fn unix(time: Timestamp) -> i128 {
    time.nanoseconds().div_euclid(1_000_000_000)
}
