//! What steps wrote and what Loom said about its own work, line by line, for all formats.

use std::{
    io,
    path::{Path, PathBuf},
};

use libloom_contract::{
    diagnostic::{Diagnostic, Span},
    event::{Event, EventKind, Stream},
};
use libloom_record::stream::{EventReader, StreamError, last_lines_within, output};

use crate::{
    lines::Lines,
    tree::{JobTree, StepTree, Tree},
};

/// Calls `each` with every line of a step, without its end. A damaged record is passed over:
/// `loom logs validate` names it.
pub(super) fn each_line(
    events: &Path,
    mut each: impl FnMut(Stream, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut lines = Lines::default();
    for event in EventReader::open(events).map_err(io::Error::other)? {
        let event = match event {
            Err(StreamError::Record { .. }) => continue,
            event => event.map_err(io::Error::other)?,
        };
        if let Some((stream, bytes)) = output(&event) {
            lines.push(stream, &bytes, &mut each)?;
        }
    }
    lines.finish(&mut each)
}

/// The last lines of a step, at most about `limit` bytes.
pub(super) fn tail(step: &StepTree, limit: usize) -> io::Result<Vec<(Stream, Vec<u8>)>> {
    let Some(events) = &step.events else { return Ok(Vec::new()) };
    let lines = last_lines_within(events, usize::MAX, limit).map_err(io::Error::other)?;
    let mut room = limit;
    let fits = |line: &(Stream, Vec<u8>)| {
        let fits = room > 0;
        room = room.saturating_sub(line.1.len() + 1);
        fits
    };
    let lines = lines.into_iter().rev().map(|line| (line.stream, line.bytes));
    let mut lines: Vec<_> = lines.take_while(fits).collect();
    lines.reverse();
    for (_, line) in &mut lines {
        // The only line that can be longer is one without an end in sight.
        let too_long = line.len().saturating_sub(limit);
        line.drain(..too_long);
    }
    Ok(lines)
}

/// A sentence of Loom itself, with the place in the workflow that it is about.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_error: bool,
    pub(super) text: String,
    pub(super) place: Option<Span>,
}

/// What Loom said in a stream about system work, and what processes wrote there.
pub(super) fn sentences(events: &Path) -> Vec<Said> {
    let reader = EventReader::open(events).ok();
    let events = reader.into_iter().flatten().flatten();
    events.filter_map(sentence).collect()
}

fn sentence(event: Event) -> Option<Said> {
    let is_error = event.event == EventKind::Error;
    let text = match event.event {
        EventKind::Note | EventKind::Error => event.text?,
        EventKind::Output => String::from_utf8_lossy(&output(&event)?.1).into_owned(),
        EventKind::Start | EventKind::Finish => return None,
    };
    let data = event.data.map(serde_json::Value::Object);
    let diagnostic = data.and_then(|data| serde_json::from_value::<Diagnostic>(data).ok());
    Some(Said { is_error, text, place: diagnostic.and_then(|diagnostic| diagnostic.span) })
}

/// What went wrong where there was no pipeline: an invalid workflow, say.
pub(super) fn of_run(tree: &Tree) -> Vec<Said> {
    let mut said = sentences(&tree.run.events());
    said.retain(|said| said.is_error);
    if let (true, Some(error)) = (said.is_empty(), &tree.receipt.error) {
        said.push(Said { is_error: true, text: error.clone(), place: None });
    }
    said
}

/// Why a job is not fine, in one sentence.
pub(super) fn why(job: &JobTree) -> String {
    let outcome = crate::words::outcome(job.entry.status, job.entry.reason);
    match &job.summary.message {
        Some(message) => format!("{outcome}: {message}"),
        None => outcome,
    }
}

/// The events of the system section that failed, where one did.
pub(super) fn failing_section(job: &JobTree) -> Option<(&'static str, PathBuf)> {
    let failing = job.manifest.failing_section?;
    let section = job.sections.iter().find(|section| section.section == failing)?;
    Some((failing.word(), section.events.clone()))
}
