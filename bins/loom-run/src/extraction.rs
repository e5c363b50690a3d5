//! What is taken out of a workspace once a job's script is over: artifacts and reports.

use std::{collections::HashMap, ffi::OsString, io, path::Path};

use libloom_contract::{
    Reason, Status,
    event::{EventKind, Section},
    graph::{Artifacts, Node, Outcome, Reports},
    reports::{DotenvDocument, DotenvEntry, DotenvVariable, FailedTest, TestReport},
    store::{self, Document as _},
    variables, version,
};
use libloom_record::events::EventLog;
use libloom_variables::JobEnvironment;

use crate::{
    artifacts::{self, Extracted, Request},
    execution::Execution,
    job::Attempt,
    joblog::JobLog,
    providers::docker,
    reports::{self, Read},
    run::Run,
    secrets::Ready,
    verdict::Verdict,
};

/// Most sentences of one kind that an event log gets.
const NOTES_MAX: usize = 50;

/// Whether a job leaves something to take. Reports are read whatever became of the job.
pub fn is_wanted(node: &Node, execution: &Execution) -> bool {
    let Some(artifacts) = &node.artifacts else { return false };
    let files = files_are_wanted(artifacts, &execution.verdict);
    execution.began && (files || artifacts.reports.is_some())
}

fn files_are_wanted(artifacts: &Artifacts, verdict: &Verdict) -> bool {
    let outcome = match artifacts.when {
        Outcome::Always => true,
        Outcome::OnSuccess => verdict.status == Status::Success,
        Outcome::OnFailure => verdict.status == Status::Failure,
    };
    outcome && !artifacts.paths.is_empty()
}

/// Takes what the job leaves, in a section of its own; `ended`: how its script did.
pub fn run(
    attempt: &Attempt<'_>,
    ready: &mut Ready,
    ended: &Verdict,
    log: &mut JobLog<'_>,
) -> io::Result<(Verdict, ())> {
    let Attempt { run, node, .. } = *attempt;
    let Some(wanted) = &node.artifacts else { return Ok((Verdict::success(), ())) };
    let layout = log.layout.clone();
    let known = values(&ready.environment);
    let expand = |text: &str| variables::expand(text, |name| known.get(name).cloned());
    let seen_as = ready.workspace.clone();
    let workspace = match docker::job::view(run, ready, &all_patterns(wanted, &seen_as, &expand)) {
        Ok(workspace) => workspace,
        Err(trouble) => {
            let failed =
                log.section(Section::ArtifactExtract, |_, _| Ok(Err::<(), _>(trouble.verdict())))?;
            return Ok((failed.err().unwrap_or_else(Verdict::success), ()));
        }
    };
    let request = Request {
        workspace: &workspace,
        seen_as: &seen_as,
        wanted,
        job_id: &node.id,
        layout: &layout,
        run: log.run_layout(),
        expand: &expand,
        redactor: run.redactor(),
    };
    let (mut entry, mut read) = (None, Read::default());
    let taken = log.section(Section::ArtifactExtract, |_, events| {
        let mut errors = Vec::new();
        if files_are_wanted(wanted, ended) {
            match artifacts::extract(&request) {
                Ok(extracted) => {
                    say(run, node, &extracted, events)?;
                    entry = Some(extracted.entry);
                    errors.extend(extracted.errors);
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        if let Some(reports) = &wanted.reports {
            read = read_reports(&request, reports)?;
            append(run, events, EventKind::Note, &read.notes)?;
            read.notes.iter().for_each(|note| {
                let note = run.redactor().text(note).into_owned();
                run.display.note(format_args!("job `{}`: {note}", node.label));
            });
            errors.append(&mut read.errors);
        }
        if entry.is_some()
            && let Err(trouble) = docker::job::land(run, ready, &layout)
        {
            errors.push(trouble.message);
        }
        // The first error is the section's own.
        append(run, events, EventKind::Error, errors.get(1..).unwrap_or_default())?;
        Ok(incomplete(&errors))
    })?;
    if let Some(entry) = entry {
        log.artifacts(entry);
    }
    log.manifest.tests = read.tests.map(|tests| hidden_tests(run, tests));
    if !read.variables.is_empty() {
        leave_variables(run, node, read.variables, log)?;
    }
    Ok((taken.err().unwrap_or_else(Verdict::success), ()))
}

fn read_reports(request: &Request<'_>, wanted: &Reports) -> io::Result<Read> {
    let [junit, dotenv] = [&wanted.junit, &wanted.dotenv]
        .map(|patterns| artifacts::expanded(patterns, request.seen_as, request.expand));
    reports::read(request.workspace, &Reports { junit, dotenv })
}

/// Names and messages of tests may hold what a secret must not show.
fn hidden_tests(run: &Run, mut tests: TestReport) -> TestReport {
    let redactor = run.redactor();
    if redactor.is_empty() {
        return tests;
    }
    let hide = |text: &mut String| *text = redactor.text(text).into_owned();
    for FailedTest { name, class, suite, file, message, .. } in &mut tests.failures {
        hide(name);
        [class, suite, file, message].into_iter().flatten().for_each(hide);
    }
    tests.notes.iter_mut().for_each(hide);
    tests
}

/// Hands variables to later jobs, and records them where they hold no secret.
fn leave_variables(
    run: &Run,
    node: &Node,
    variables: Vec<DotenvVariable>,
    log: &mut JobLog<'_>,
) -> io::Result<()> {
    let recorded = |variable: &DotenvVariable| match run.redactor().text(&variable.value) {
        text if *text == variable.value => variable.clone(),
        _ => DotenvVariable { value: String::new(), hidden: true, ..variable.clone() },
    };
    let document = DotenvDocument {
        schema_version: version::LOGS.to_string(),
        kind: DotenvDocument::KIND.into(),
        job_id: node.id.clone(),
        variables: variables.iter().map(recorded).collect(),
    };
    let path = log.layout.dotenv();
    store::write(&path, &document).map_err(io::Error::other)?;
    log.manifest.dotenv = Some(DotenvEntry {
        names: variables.iter().map(|variable| variable.name.clone()).collect(),
        path: run.logs.relative(&path),
    });
    run.handed.leave(node, variables);
    Ok(())
}

/// The job's variables, for paths and names that refer to them.
fn values(environment: &JobEnvironment) -> HashMap<String, String> {
    let text = |(name, value): &(OsString, OsString)| {
        Some((name.to_str()?.to_owned(), value.to_string_lossy().into_owned()))
    };
    environment.all.iter().filter_map(text).collect()
}

/// Everything that the keyword asks for, relative to the workspace.
fn all_patterns(
    wanted: &Artifacts,
    seen_as: &Path,
    expand: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let reports =
        wanted.reports.iter().flat_map(|reports| reports.junit.iter().chain(&reports.dotenv));
    let all: Vec<String> = wanted.paths.iter().chain(reports).cloned().collect();
    artifacts::expanded(&all, seen_as, expand)
}

fn say(run: &Run, node: &Node, extracted: &Extracted, events: &mut EventLog) -> io::Result<()> {
    let entry = &extracted.entry;
    let files = if entry.count == 1 { "file" } else { "files" };
    let text = format!("{} {files}, {} bytes", entry.count, entry.bytes);
    append(run, events, EventKind::Note, &[text])?;
    append(run, events, EventKind::Note, &extracted.unmatched)?;
    append(run, events, EventKind::Note, &extracted.notes)?;
    for text in &extracted.unmatched {
        let text = run.redactor().text(text).into_owned();
        run.display.note(format_args!("job `{}`: artifacts: {text}", node.label));
    }
    Ok(())
}

fn append(run: &Run, events: &mut EventLog, kind: EventKind, texts: &[String]) -> io::Result<()> {
    for text in texts.iter().take(NOTES_MAX) {
        let event = events.subject().say(kind, run.redactor().text(text));
        events.append(event)?;
    }
    if texts.len() > NOTES_MAX {
        let event = events.subject().say(kind, format!("and {} more", texts.len() - NOTES_MAX));
        events.append(event)?;
    }
    Ok(())
}

fn incomplete(errors: &[String]) -> Result<(), Verdict> {
    match errors {
        [] => Ok(()),
        [one] => Err(Verdict::failure(Reason::SectionFailed, one.clone())),
        [first, more @ ..] => {
            let text = format!("{first} (and {} more)", more.len());
            Err(Verdict::failure(Reason::SectionFailed, text))
        }
    }
}
