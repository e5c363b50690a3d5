//! Appending to one `events.jsonl`: numbers records without gaps, one write a record.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use libloom_contract::{
    Reason, Status, Timestamp,
    event::{Event, EventKind, PhaseCode, Section, Stream},
    version,
};
use serde::Serialize;

/// What all records of a file have in common unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The phase.
    pub phase: PhaseCode,
    /// The job.
    pub job_id: Option<String>,
    /// The section.
    pub section: Option<Section>,
    /// The step, such as `script/01`.
    pub step: Option<String>,
}

impl Subject {
    /// A phase of the run or the pipeline.
    pub fn phase(phase: PhaseCode) -> Self {
        Subject { phase, job_id: None, section: None, step: None }
    }

    /// A phase of a job.
    pub fn job(phase: PhaseCode, job_id: &str) -> Self {
        Subject { job_id: Some(job_id.to_owned()), ..Subject::phase(phase) }
    }

    /// A section of a job.
    pub fn section(section: Section, job_id: &str) -> Self {
        Subject { section: Some(section), ..Subject::job(section.phase(), job_id) }
    }

    /// A step of a job.
    pub fn step(step: &str, job_id: &str) -> Self {
        Subject { step: Some(step.to_owned()), ..Subject::job(PhaseCode::StepExecute, job_id) }
    }

    /// A record about this subject, now.
    pub fn event(&self, kind: EventKind) -> Event {
        Event {
            schema_version: None,
            seq: 0,
            ts: Timestamp::now(),
            scope: self.phase.scope(),
            phase_code: self.phase,
            phase_family: self.phase.family(),
            event: kind,
            job_id: self.job_id.clone(),
            section: self.section,
            step: self.step.clone(),
            stream: None,
            text: None,
            bytes: None,
            lines: None,
            partial: false,
            status: None,
            reason: None,
            exit_code: None,
            duration_ms: None,
            data: None,
        }
    }

    /// A finish record.
    pub fn finish(&self, status: Status, reason: Option<Reason>, duration_ms: u64) -> Event {
        Event {
            status: Some(status),
            reason,
            duration_ms: Some(duration_ms),
            ..self.event(EventKind::Finish)
        }
    }

    /// A note or an error: a sentence for people.
    pub fn say(&self, kind: EventKind, text: impl Into<String>) -> Event {
        Event { text: Some(text.into()), ..self.event(kind) }
    }
}

/// Output as one record holds it.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// When its first line arrived.
    pub ts: Timestamp,
    /// Where it was written to.
    pub stream: Stream,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Line ends, plus one for a last line without its end.
    pub lines: u64,
    /// Ends within a line that the next record continues.
    pub partial: bool,
}

/// One `events.jsonl` being written.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    subject: Subject,
    seq: u64,
    line: Vec<u8>,
    has_told_error: bool,
}

impl EventLog {
    /// Makes the file, and its folder where that is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path, subject: Subject) -> io::Result<Self> {
        let file = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                File::create_new(path)?
            }
            result => result?,
        };
        Ok(EventLog { file, subject, seq: 0, line: Vec::new(), has_told_error: false })
    }

    /// Continues a file whose last whole record is number `seq`; the file must end after it.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(path: &Path, subject: Subject, seq: u64) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        Ok(EventLog { file, subject, seq, line: Vec::new(), has_told_error: false })
    }

    /// What the file is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Appends a record; `seq` and, on the first one, `schema_version` are filled in here.
    ///
    /// # Errors
    /// What the system says; the record may then be torn.
    pub fn append(&mut self, mut event: Event) -> io::Result<()> {
        self.seq += 1;
        event.seq = self.seq;
        self.has_told_error |= event.event == EventKind::Error;
        event.schema_version = (self.seq == 1).then(|| version::LOGS.to_string());
        self.write(&event)
    }

    /// Whether a record says what went wrong.
    pub fn has_told_error(&self) -> bool {
        self.has_told_error
    }

    /// Appends a record about the file's own subject.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub fn append_own(&mut self, kind: EventKind) -> io::Result<()> {
        let event = self.subject.event(kind);
        self.append(event)
    }

    /// Appends output: as text where it is UTF-8, else in base64.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub fn output(&mut self, output: Output<'_>) -> io::Result<()> {
        self.seq += 1;
        let text = std::str::from_utf8(output.bytes).ok();
        let bytes = text.is_none().then(|| BASE64_STANDARD.encode(output.bytes));
        let subject = self.subject.clone();
        self.write(&OutputRecord {
            schema_version: (self.seq == 1).then(|| version::LOGS.to_string()),
            seq: self.seq,
            ts: output.ts,
            scope: subject.phase.scope(),
            phase_code: subject.phase,
            phase_family: subject.phase.family(),
            event: EventKind::Output,
            job_id: subject.job_id.as_deref(),
            step: subject.step.as_deref(),
            stream: output.stream,
            text,
            bytes,
            lines: output.lines,
            partial: output.partial,
        })
    }

    fn write(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        self.file.write_all(&self.line)
    }
}

/// [`Event`] with borrowed output: the same fields in the same order, without copying 64 KiB.
#[derive(Serialize)]
struct OutputRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<String>,
    seq: u64,
    ts: Timestamp,
    scope: libloom_contract::event::Scope,
    phase_code: PhaseCode,
    phase_family: libloom_contract::event::PhaseFamily,
    event: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    stream: Stream,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    lines: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_and_read_back_as_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/events.jsonl");
        let mut log = EventLog::create(&path, Subject::step("script/01", "build")).unwrap();
        log.append_own(EventKind::Start).unwrap();
        for bytes in [&b"caf\xc3\xa9\n"[..], b"\xff\xfe\n"] {
            let stream = Stream::Stdout;
            let output = Output { ts: Timestamp::now(), stream, bytes, lines: 1, partial: true };
            log.output(output).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let events: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(events[0].schema_version.as_deref(), Some("loom.runtime.logs.v2"));
        assert_eq!(events[1].text.as_deref(), Some("café\n"));
        assert_eq!(events[2].bytes.as_deref(), Some("//4K"));
        assert!(events[2].partial && events[2].step.as_deref() == Some("script/01"));
        // The borrowed record has exactly the fields of the owned one, in the same order.
        assert_eq!(text.lines().nth(1).unwrap(), serde_json::to_string(&events[1]).unwrap());
    }
}
