//! What is taken out of a workspace once a job's script is over: artifacts and reports.

use std::{collections::HashMap, io, path::Path};

use libloom_contract::{
    Reason, Status,
    event::{Event, EventKind, Section},
    graph::{Artifacts, Node, Outcome},
    variables,
};
use libloom_record::events::EventLog;

use crate::{
    artifacts::{self, Extracted, Request},
    environment,
    execution::Execution,
    joblog::JobLog,
    run::Run,
    verdict::Verdict,
};

/// Most sentences of one kind that an event log gets.
const NOTES_MAX: usize = 50;

/// Whether a job leaves something to take.
pub fn is_wanted(node: &Node, execution: &Execution) -> bool {
    let wanted = |artifacts: &Artifacts| are_wanted(artifacts, &execution.verdict);
    execution.began && node.artifacts.as_ref().is_some_and(wanted)
}

fn are_wanted(artifacts: &Artifacts, verdict: &Verdict) -> bool {
    match artifacts.when {
        Outcome::Always => true,
        Outcome::OnSuccess => verdict.status == Status::Success,
        Outcome::OnFailure => verdict.status == Status::Failure,
    }
}

/// Takes what the job leaves, in a section of its own.
pub fn run(
    run: &Run,
    node: &Node,
    workspace: &Path,
    log: &mut JobLog<'_>,
) -> io::Result<(Verdict, ())> {
    let Some(wanted) = &node.artifacts else { return Ok((Verdict::success(), ())) };
    let layout = log.layout.clone();
    let known = values(run, node, workspace);
    let expand = |text: &str| variables::expand(text, |name| known.get(name).cloned());
    let request = Request {
        workspace,
        wanted,
        job_id: &node.id,
        layout: &layout,
        run: log.run_layout(),
        expand: &expand,
    };
    let mut entry = None;
    let taken = log.section(Section::ArtifactExtract, |events| {
        let extracted = match artifacts::extract(&request) {
            Ok(extracted) => extracted,
            Err(error) => {
                return Ok(Err(Verdict::failure(Reason::SectionFailed, error.to_string())));
            }
        };
        say(run, node, &extracted, events)?;
        entry = Some(extracted.entry);
        Ok(incomplete(&extracted.errors))
    })?;
    if let Some(entry) = entry {
        log.artifacts(entry);
    }
    Ok((taken.err().unwrap_or_else(Verdict::success), ()))
}

/// The job's variables, for paths and names that refer to them.
fn values(run: &Run, node: &Node, workspace: &Path) -> HashMap<String, String> {
    let inherited = run.inherited.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let environment =
        environment::of_host_job(inherited, &run.predefined_in(workspace).of_job(node), node);
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    environment.all.into_iter().filter_map(text).collect()
}

fn say(run: &Run, node: &Node, extracted: &Extracted, events: &mut EventLog) -> io::Result<()> {
    let entry = &extracted.entry;
    let files = if entry.count == 1 { "file" } else { "files" };
    let text = format!("{} {files}, {} bytes", entry.count, entry.bytes);
    append(events, EventKind::Note, &[text])?;
    append(events, EventKind::Note, &extracted.unmatched)?;
    append(events, EventKind::Note, &extracted.notes)?;
    // The first error is the section's own.
    append(events, EventKind::Error, extracted.errors.get(1..).unwrap_or_default())?;
    for text in &extracted.unmatched {
        run.display.note(format_args!("job `{}`: artifacts: {text}", node.label));
    }
    Ok(())
}

fn append(events: &mut EventLog, kind: EventKind, texts: &[String]) -> io::Result<()> {
    for text in texts.iter().take(NOTES_MAX) {
        let event: Event = events.subject().say(kind, text);
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
