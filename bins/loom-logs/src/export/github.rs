//! GitHub Actions: workflow commands that a step prints, and a summary in Markdown.
//!
//! Every step of the run becomes a group of the log. What the run's commands wrote may itself
//! look like a workflow command: it stands between `::stop-commands::` and a token that is drawn
//! anew for each export, so that no output can know it.

use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write},
};

use libloom_console::{Paint, printable};
use libloom_contract::{Status, diagnostic::Span};

use super::output::{each_line, failing_section, of_run, sentences, tail, why};
use crate::{
    screen,
    tree::{JobTree, StepTree, Tree},
    words,
};

/// Output that stands in an annotation; GitHub cuts longer ones.
const ANNOTATION_LINES: usize = 10;
/// Output that stands in the summary of one failing job.
const SUMMARY_LINES: usize = 30;
/// Failing jobs with output, and jobs in all, that a summary shows; GitHub takes 1 MiB.
const SUMMARY_FAILURES: usize = 50;
const SUMMARY_JOBS: usize = 1_000;
/// How much of a stream's end is looked at for that.
const TAIL_MAX: usize = 16 * 1024;

pub(super) fn write(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let token = token();
    for job in &tree.jobs {
        for step in &job.steps {
            group(job, step, &token, out)?;
        }
    }
    for said in of_run(tree).into_iter().filter(|_| tree.jobs.is_empty()) {
        let kind = if said.is_error { "error" } else { "notice" };
        let title = words::outcome(tree.receipt.status, tree.receipt.reason);
        let title = format!("loom run: {title}");
        annotate(out, kind, &title, place(said.place.as_ref()), &said.text)?;
    }
    for job in tree.jobs.iter().filter(|job| !job.entry.status.is_fine()) {
        annotation(job, out)?;
    }
    Ok(())
}

fn token() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("loom-{:016x}{:016x}", random(), random())
}

fn group(job: &JobTree, step: &StepTree, token: &str, out: &mut dyn Write) -> io::Result<()> {
    let Some(events) = &step.events else { return Ok(()) };
    let summary = &step.summary;
    let outcome = words::outcome(summary.status, summary.reason);
    let title = format!("{} / {} $ {} — {outcome}", job.label(), summary.step, summary.command);
    writeln!(out, "::group::{}", data(&printable(&title)))?;
    writeln!(out, "::stop-commands::{token}")?;
    each_line(events, |_, line| writeln!(out, "{}", screen::line(line, Paint::new(true))))?;
    writeln!(out, "::{token}::")?;
    writeln!(out, "::endgroup::")
}

fn annotation(job: &JobTree, out: &mut dyn Write) -> io::Result<()> {
    let kind = match job.entry.status {
        Status::Failure if !job.is_forgiven => "error",
        _ => "warning",
    };
    let failing = job.manifest.failing_step.as_ref();
    let step = failing.and_then(|name| job.steps.iter().find(|step| &step.summary.step == name));
    let mut text = why(job);
    let mut title = format!("job {}", job.label());
    let mut at = Vec::new();
    if let Some(step) = step {
        title = format!("{title}, step {}", step.summary.step);
        text = format!("$ {}\n{}", step.summary.command, why(job));
        at = step.summary.position.as_deref().map(position).unwrap_or_default();
        for line in last_lines(step, ANNOTATION_LINES)? {
            let _ = write!(text, "\n{line}");
        }
    } else if let Some((section, events)) = failing_section(job) {
        title = format!("{title}, {section}");
        for said in sentences(&events).iter().filter(|said| said.is_error) {
            let _ = write!(text, "\n{}", said.text);
        }
    }
    annotate(out, kind, &title, at, &text)
}

fn last_lines(step: &StepTree, count: usize) -> io::Result<Vec<String>> {
    let lines = tail(step, TAIL_MAX)?;
    let last = lines[lines.len().saturating_sub(count)..].iter();
    Ok(last.map(|(_, line)| screen::cut(&screen::line(line, Paint::new(false)), 500)).collect())
}

fn annotate(
    out: &mut dyn Write,
    kind: &str,
    title: &str,
    mut properties: Vec<(&'static str, String)>,
    text: &str,
) -> io::Result<()> {
    properties.push(("title", title.to_owned()));
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
    writeln!(out, "::{kind} {}::{}", properties.join(","), data(text))
}

/// `.loom/workflow.yml:7:9` as properties.
fn position(position: &str) -> Vec<(&'static str, String)> {
    let mut parts = position.rsplitn(3, ':');
    let (column, line, file) = (parts.next(), parts.next(), parts.next());
    match (file, line, column) {
        (Some(file), Some(line), Some(column)) => {
            vec![("file", file.into()), ("line", line.into()), ("col", column.into())]
        }
        _ => Vec::new(),
    }
}

fn place(span: Option<&Span>) -> Vec<(&'static str, String)> {
    let Some(span) = span else { return Vec::new() };
    let (line, column) = (span.line.to_string(), span.column.to_string());
    vec![("file", span.file.clone()), ("line", line), ("col", column)]
}

/// The text of a command, escaped as the runner's toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

pub(super) fn write_summary(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let receipt = &tree.receipt;
    let outcome = words::outcome(receipt.status, receipt.reason);
    writeln!(out, "## {} {}\n", sign(receipt.status), markdown(&format!("loom run: {outcome}")))?;
    let (time, counts) = (words::duration(receipt.duration_ms), words::counts(&receipt.counts));
    writeln!(out, "`{}` · {time} · {counts}\n", receipt.run_id)?;
    if tree.jobs.is_empty() {
        for said in of_run(tree) {
            let place = said.place.as_ref();
            let place = place.map(|at| format!("`{}:{}:{}` ", at.file, at.line, at.column));
            writeln!(out, "- {}{}", place.unwrap_or_default(), markdown(&said.text))?;
        }
        return Ok(());
    }
    writeln!(out, "| | job | stage | outcome | time |\n|---|---|---|---|---:|")?;
    // What did not succeed comes first, so that a cut list still shows it.
    let mut jobs: Vec<&JobTree> = tree.jobs.iter().collect();
    jobs.sort_by_key(|job| !job.is_bad());
    for job in jobs.iter().take(SUMMARY_JOBS) {
        let allowed = if job.is_forgiven { ", allowed" } else { "" };
        writeln!(
            out,
            "| {} | {} | {} | {}{allowed} | {} |",
            sign(job.entry.status),
            markdown(job.label()),
            markdown(&job.entry.stage),
            markdown(&why(job)),
            words::duration(job.entry.duration_ms)
        )?;
    }
    if jobs.len() > SUMMARY_JOBS {
        writeln!(out, "\n… and {} more jobs", jobs.len() - SUMMARY_JOBS)?;
    }
    let failing = jobs.iter().filter(|job| !job.entry.status.is_fine());
    failing.take(SUMMARY_FAILURES).try_for_each(|job| details(job, out))
}

fn details(job: &JobTree, out: &mut dyn Write) -> io::Result<()> {
    let failing = job.manifest.failing_step.as_ref();
    let step = failing.and_then(|name| job.steps.iter().find(|step| &step.summary.step == name));
    let Some(step) = step else { return Ok(()) };
    let summary = &step.summary;
    let title = format!("{}, {}: {}", job.label(), summary.step, summary.command);
    writeln!(out, "\n<details><summary>{}</summary>\n", html(&title))?;
    if let Some(position) = &summary.position {
        writeln!(out, "{}\n", markdown(position))?;
    }
    writeln!(out, "<pre>")?;
    for line in last_lines(step, SUMMARY_LINES)? {
        // An empty line would end the block of HTML.
        let line = if line.trim().is_empty() { "&nbsp;".into() } else { html(&line) };
        writeln!(out, "{line}")?;
    }
    writeln!(out, "</pre></details>")
}

fn sign(status: Status) -> &'static str {
    match status {
        Status::Success => "✅",
        Status::Failure => "❌",
        Status::Skipped => "⏭️",
        Status::Cancelled => "🚫",
    }
}

/// Text on one line of a table, with nothing in it that Markdown or HTML would act on.
fn markdown(text: &str) -> String {
    let text = html(&printable(text));
    text.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '@') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_escaped_as_documented() {
        assert_eq!(data("50%\r\na:b,c"), "50%25%0D%0Aa:b,c");
        assert_eq!(property("a:b,c%"), "a%3Ab%2Cc%25");
        assert_eq!(position("a:b/w.yml:7:9")[0].1, "a:b/w.yml");
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token(), token());
    }

    #[test]
    fn markdown_shows_text_as_it_is() {
        assert_eq!(markdown("a|b <b>`x`"), r"a\|b &lt;b&gt;\`x\`");
    }
}
