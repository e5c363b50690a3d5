//! A finding as an agent reads it: one line of JSON of at most 2 KB, whatever was found.

use std::path::Path;

use libloom_console::Paint;
use libloom_contract::{Reason, Status, logs::JobCounts};
use serde::Serialize;

use crate::{
    finding::{EVIDENCE_LINES, Finding, JobFinding},
    report, screen, words,
};

/// Most bytes of the JSON form, its line end included.
pub(crate) const JSON_MAX: usize = 2048;

const KIND: &str = "loom-explanation";

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

/// The JSON form of a finished run. Fields that say nothing are left out.
#[derive(Serialize)]
struct Explanation {
    kind: &'static str,
    run_id: String,
    state: &'static str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    exit_code: i32,
    /// What went wrong, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    duration_ms: u64,
    counts: JobCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs_dir: Option<String>,
    /// Files that were read, those in `logs_dir` relative to it.
    walked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    /// The last lines of what failed.
    evidence: Vec<String>,
    try_next: Vec<String>,
    /// Something was shortened or left out so that all of it fits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shortened: bool,
}

#[derive(Serialize)]
struct Job {
    job_id: String,
    stage: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

#[derive(Serialize)]
struct Step {
    step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
}

/// How much room there is: lines of evidence, characters of a text, characters of a path, and
/// commands to try. Texts and paths that have no room at all are left out.
#[derive(Clone, Copy)]
struct Room {
    lines: usize,
    text: usize,
    path: usize,
    next: usize,
}

/// From plenty to almost nothing; the last one always fits: six names of 40 characters, each of
/// six bytes at most, and the fixed words.
const ROOMS: [Room; 14] = {
    const fn room(lines: usize, text: usize, path: usize, next: usize) -> Room {
        Room { lines, text, path, next }
    }
    [
        room(EVIDENCE_LINES, 500, 4096, 9),
        room(14, 500, 4096, 9),
        room(10, 300, 4096, 9),
        room(8, 200, 4096, 9),
        room(6, 150, 4096, 9),
        room(5, 120, 4096, 9),
        room(4, 100, 4096, 9),
        room(4, 80, 300, 2),
        room(3, 80, 150, 1),
        room(3, 60, 0, 1),
        room(2, 40, 0, 1),
        room(1, 40, 0, 0),
        room(1, 20, 0, 0),
        room(0, 0, 0, 0),
    ]
};
/// Longest name of a run, job, stage or step.
const NAME_MAX: usize = 40;

/// The JSON form: one line of at most [`JSON_MAX`] bytes.
pub(crate) fn json(finding: &Finding) -> Vec<u8> {
    let mut line = Vec::new();
    for (place, room) in ROOMS.into_iter().enumerate() {
        let explanation = Explanation { shortened: place > 0, ..explanation(finding, room) };
        line = serde_json::to_vec(&explanation).expect("keys are strings");
        line.push(b'\n');
        if line.len() <= JSON_MAX {
            break;
        }
    }
    line
}

fn explanation(finding: &Finding, room: Room) -> Explanation {
    let receipt = &finding.receipt;
    let evidence = &finding.evidence[finding.evidence.len().saturating_sub(room.lines)..];
    let evidence = evidence.iter().map(|line| screen::line(&line.bytes, Paint::new(false)));
    let next =
        report::next(finding).into_iter().filter(|text| text.chars().count() <= room.path.max(200));
    Explanation {
        kind: KIND,
        run_id: screen::cut(&receipt.run_id, NAME_MAX),
        state: "finished",
        status: receipt.status,
        reason: receipt.reason,
        exit_code: receipt.exit_code,
        cause: cause(finding).map(|text| screen::cut(&text, room.text.max(NAME_MAX))),
        error: text(receipt.error.as_deref(), room),
        duration_ms: receipt.duration_ms,
        counts: receipt.counts,
        logs_dir: path(&receipt.logs_dir, room),
        walked: relative(finding).iter().filter_map(|text| path(text, room)).collect(),
        job: finding.job.as_ref().map(|found| job(found, room)),
        evidence: evidence.map(|line| screen::cut(&line, room.text)).collect(),
        try_next: next.take(room.next).collect(),
        shortened: false,
    }
}

/// What went wrong, in one sentence; nothing where nothing did.
fn cause(finding: &Finding) -> Option<String> {
    let Some(job) = &finding.job else { return finding.receipt.error.clone() };
    let manifest = &job.manifest;
    let id = &manifest.job_id;
    let Some(step) = &job.step else {
        let section = job.section.map(|section| format!(" in {}", section.word()));
        let outcome = words::outcome(manifest.status, manifest.reason);
        let message = manifest.message.as_deref().map(|text| format!(": {text}"));
        let (section, message) = (section.unwrap_or_default(), message.unwrap_or_default());
        return Some(format!("job {id}{section}: {outcome}{message}"));
    };
    let outcome = words::outcome(step.status, step.reason);
    let code = step.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let signal = step.signal.map(|signal| format!(", signal {signal}")).unwrap_or_default();
    Some(format!("step {} of job {id}: {outcome}{code}{signal}", step.step))
}

/// A text as far as there is room.
fn text(text: Option<&str>, room: Room) -> Option<String> {
    text.filter(|_| room.text > 0).map(|text| screen::cut(text, room.text))
}

/// A path, whole or not at all: half of one leads nowhere.
fn path(path: &str, room: Room) -> Option<String> {
    (path.chars().count() <= room.path).then(|| path.to_owned())
}

fn relative(finding: &Finding) -> Vec<String> {
    let inside =
        |path: &Path| path.strip_prefix(&finding.receipt.logs_dir).ok().map(Path::to_owned);
    let paths = finding.walked.iter().map(|path| inside(path).unwrap_or_else(|| path.clone()));
    paths.map(|path| path.display().to_string()).collect()
}

fn job(found: &JobFinding, room: Room) -> Job {
    let manifest = &found.manifest;
    let step = found.step.as_ref().map(|step| Step {
        step: screen::cut(&step.step, NAME_MAX),
        command: text(Some(&step.command), room),
        position: step.position.as_deref().and_then(|position| path(position, room)),
        status: step.status,
        reason: step.reason,
        exit_code: step.exit_code,
        signal: step.signal,
    });
    Job {
        job_id: screen::cut(&manifest.job_id, NAME_MAX),
        stage: screen::cut(&found.stage, NAME_MAX),
        status: manifest.status,
        reason: manifest.reason,
        message: text(manifest.message.as_deref(), room),
        section: found.section.map(libloom_contract::event::Section::word),
        step,
    }
}
