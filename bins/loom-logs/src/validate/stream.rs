//! One `events.jsonl`: every line a record, numbered without gaps, boundaries in pairs.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use libloom_contract::{
    event::{Event, EventKind, OUTPUT_BYTES_MAX, PhaseCode, Section, Stream},
    version,
};
use libloom_record::{phases, stream::output};

use super::{Findings, Rule};

/// What every record of a stream must be about.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject<'a> {
    pub(super) phases: &'a [PhaseCode],
    pub(super) job_id: Option<&'a str>,
    pub(super) section: Option<Section>,
    pub(super) step: Option<&'a str>,
}

/// What a stream holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Start and finish events in order.
    pub(super) boundaries: Vec<Event>,
    pub(super) bytes: [u64; 2],
    pub(super) lines: u64,
}

/// Where the reading of one stream stands.
struct Reading<'a> {
    path: &'a Path,
    subject: &'a Subject<'a>,
    line: u64,
    seq: u64,
    content: Content,
    /// The last output of each stream lacked its line end.
    unfinished: [bool; 2],
    open: Vec<(PhaseCode, Option<String>)>,
}

/// Reads a stream that must be there.
pub(super) fn check(path: &Path, subject: &Subject<'_>, findings: &mut Findings) -> Content {
    let mut reading = Reading {
        path,
        subject,
        line: 0,
        seq: 0,
        content: Content::default(),
        unfinished: [false; 2],
        open: Vec::new(),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.add(path, Rule::Coverage, "is missing");
            return reading.content;
        }
        Err(error) => {
            findings.add(path, Rule::Coverage, format!("cannot be read: {error}"));
            return reading.content;
        }
    };
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => reading.line(&line, findings),
            Err(error) => {
                findings.add(path, Rule::Coverage, format!("cannot be read: {error}"));
                break;
            }
        }
    }
    reading.end(findings)
}

impl Reading<'_> {
    fn wrong(&self, rule: Rule, message: impl Into<String>, findings: &mut Findings) {
        findings.add_at(self.path, Some(self.line), rule, message);
    }

    fn line(&mut self, line: &[u8], findings: &mut Findings) {
        self.line += 1;
        findings.records += 1;
        if !line.ends_with(b"\n") {
            self.wrong(Rule::Schema, "the last line is torn", findings);
            return;
        }
        match serde_json::from_slice::<Event>(line) {
            Ok(event) => self.event(event, findings),
            Err(error) => {
                // The message ends with a place in the line, which is all of the record.
                self.wrong(Rule::Schema, format!("is no event record: {error}"), findings);
                self.seq += 1;
            }
        }
    }

    fn event(&mut self, event: Event, findings: &mut Findings) {
        if event.seq != self.seq + 1 {
            let message = format!("seq is {}, not {}", event.seq, self.seq + 1);
            self.wrong(Rule::Seq, message, findings);
        }
        self.seq = event.seq;
        self.version(&event, findings);
        self.subject(&event, findings);
        match event.event {
            EventKind::Output => self.output(&event, findings),
            EventKind::Start | EventKind::Finish => self.boundary(event, findings),
            EventKind::Note | EventKind::Error => {}
        }
    }

    fn version(&self, event: &Event, findings: &mut Findings) {
        match (&event.schema_version, self.line) {
            (None, 1) => {
                self.wrong(Rule::Schema, "the first record lacks schema_version", findings);
            }
            (Some(found), _) => {
                if let Err(error) = version::LOGS.check(found) {
                    self.wrong(Rule::Schema, error.to_string(), findings);
                }
            }
            (None, _) => {}
        }
    }

    fn subject(&self, event: &Event, findings: &mut Findings) {
        let phase = event.phase_code;
        let word = phases::word(phase);
        if !self.subject.phases.contains(&phase) {
            let message = format!("phase {word} does not belong into this file");
            self.wrong(Rule::Order, message, findings);
        }
        if event.phase_family != phase.family() {
            self.wrong(Rule::Schema, format!("phase_family is not that of {word}"), findings);
        }
        if event.scope != phase.scope() {
            self.wrong(Rule::Schema, format!("scope is not that of {word}"), findings);
        }
        // The pipeline's stream tells of jobs in notes.
        let is_note = event.event == EventKind::Note && self.subject.job_id.is_none();
        if event.job_id.as_deref() != self.subject.job_id && !is_note {
            let (found, expected) = (&event.job_id, self.subject.job_id);
            let message = format!("job_id is {found:?}, not {expected:?}");
            self.wrong(Rule::Agreement, message, findings);
        }
        if event.section != self.subject.section {
            self.wrong(Rule::Agreement, "section is not that of its folder", findings);
        }
        // Around the steps stand records of all of them.
        let mirrors = self.subject.phases.len() > 1;
        if event.step.as_deref() != self.subject.step && !mirrors {
            self.wrong(Rule::Agreement, "step is not that of its folder", findings);
        }
    }

    fn output(&mut self, event: &Event, findings: &mut Findings) {
        let Some((stream, bytes)) = output(event) else {
            let what = "an output event needs stream, and bytes in base64";
            self.wrong(Rule::Schema, what, findings);
            return;
        };
        if event.text.is_some() == event.bytes.is_some() {
            self.wrong(Rule::Schema, "an output event has either text or bytes", findings);
        }
        if bytes.len() > OUTPUT_BYTES_MAX {
            let message = format!("{} bytes in one output event", bytes.len());
            self.wrong(Rule::Schema, message, findings);
        }
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let unfinished = bytes.last().is_some_and(|last| *last != b'\n');
        let place = usize::from(stream == Stream::Stderr);
        if event.partial && !unfinished {
            self.wrong(Rule::Schema, "partial, and yet it ends with a line", findings);
        }
        self.content.bytes[place] += bytes.len() as u64;
        self.content.lines += ends;
        if !bytes.is_empty() {
            self.unfinished[place] = unfinished;
        }
        if self.open.is_empty() {
            self.wrong(Rule::Order, "output outside of any phase", findings);
        }
    }

    /// Boundaries nest; in the order of a job's phases they are looked at by the phase report.
    fn boundary(&mut self, event: Event, findings: &mut Findings) {
        let key = (event.phase_code, event.step.clone());
        let word = phases::word(event.phase_code);
        match event.event {
            EventKind::Start if self.open.contains(&key) => {
                self.wrong(Rule::Order, format!("{word} starts again"), findings);
            }
            EventKind::Start => self.open.push(key),
            _ => {
                let place = self.open.iter().rposition(|open| *open == key);
                match place {
                    Some(place) => drop(self.open.remove(place)),
                    None => {
                        let message = format!("{word} finishes without having started");
                        self.wrong(Rule::Order, message, findings);
                    }
                }
                if event.status.is_none() || event.duration_ms.is_none() {
                    let message = "a finish event needs status and duration_ms";
                    self.wrong(Rule::Schema, message, findings);
                }
            }
        }
        self.content.boundaries.push(event);
    }

    fn end(mut self, findings: &mut Findings) -> Content {
        if self.line == 0 {
            findings.add(self.path, Rule::Coverage, "has no records");
        }
        for (phase, _) in &self.open {
            let message = format!("{} never finishes", phases::word(*phase));
            findings.add_at(self.path, Some(self.line), Rule::Coverage, message);
        }
        self.content.lines +=
            self.unfinished.iter().filter(|unfinished| **unfinished).count() as u64;
        self.content
    }
}

impl Content {
    /// The last finish of a phase.
    pub(super) fn finish_of(&self, phase: PhaseCode) -> Option<&Event> {
        let is_finish = |event: &&Event| event.event == EventKind::Finish;
        self.boundaries.iter().rev().filter(is_finish).find(|event| event.phase_code == phase)
    }
}
