//! Mending one `events.jsonl` of a dead run: its torn end, and the phases nobody closed.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use libloom_contract::{
    Reason, Status, Timestamp,
    event::{Event, EventKind, PhaseCode, Stream},
};

use super::{CompleteError, MESSAGE};
use crate::{
    events::{EventLog, Subject},
    stream::{EventReader, StreamError, output},
};

/// How something ended, as finish events and summaries say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: Status,
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    pub(super) exit_code: Option<i32>,
}

impl Ending {
    /// The ending of whatever was going on when the run's process died.
    pub(super) fn interrupted() -> Self {
        let (status, reason) = (Status::Cancelled, Some(Reason::Interrupted));
        Ending { status, reason, message: Some(MESSAGE.to_owned()), exit_code: None }
    }

    /// The ending of a step that was left out because one before it failed.
    pub(super) fn after_failure() -> Self {
        let (status, reason) = (Status::Skipped, Some(Reason::EarlierStepFailed));
        Ending { status, reason, message: Some("an earlier entry failed".into()), exit_code: None }
    }

    /// The signal behind an exit code of 128 + n.
    pub(super) fn signal(&self) -> Option<i32> {
        let code = self.exit_code.filter(|_| self.reason == Some(Reason::Signal))?;
        (code > 128).then_some(code - 128)
    }
}

/// What a stream holds besides output.
#[derive(Debug, Default)]
pub(super) struct MendedStream {
    path: PathBuf,
    exists: bool,
    seq: u64,
    /// When its first and its last record happened.
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// Start and finish events in order, those appended here included.
    pub(super) boundaries: Vec<Event>,
    pub(super) output: Tally,
    /// The first thing that is wrong with it and cannot be mended.
    pub(super) damage: Option<String>,
}

/// Output of a stream, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) stdout_bytes: u64,
    pub(super) stderr_bytes: u64,
    /// The last output to either stream lacked its line end.
    unfinished: [bool; 2],
}

impl Tally {
    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let place = usize::from(stream == Stream::Stderr);
        let counted = if place == 0 { &mut self.stdout_bytes } else { &mut self.stderr_bytes };
        *counted += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.unfinished[place] = *last != b'\n';
    }

    /// Lines of both streams, a last one without its end included.
    pub(super) fn all_lines(&self) -> u64 {
        self.lines + self.unfinished.iter().filter(|unfinished| **unfinished).count() as u64
    }
}

impl MendedStream {
    /// Reads a stream, and cuts or ends its torn last line; a stream that is not there is empty.
    pub(super) fn of(path: &Path) -> Result<Self, CompleteError> {
        let mut stream = MendedStream { path: path.to_owned(), ..Self::default() };
        let mut reader = match EventReader::open(path) {
            Err(error) if error.is_not_found() => return Ok(stream),
            result => result?,
        };
        stream.exists = true;
        for event in reader.by_ref() {
            match event {
                Ok(event) => stream.take(event),
                Err(StreamError::Record { line, .. }) => {
                    stream.note_damage(format!("line {line} of its event stream is damaged"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        stream.mend_end(reader.torn(), reader.end())?;
        Ok(stream)
    }

    fn take(&mut self, event: Event) {
        if event.seq != self.seq.saturating_add(1) {
            let found = event.seq;
            self.note_damage(format!("record {found} of its event stream follows {}", self.seq));
        }
        self.seq = event.seq;
        self.first.get_or_insert(event.ts);
        self.last = self.last.max(Some(event.ts));
        if let Some((stream, bytes)) = output(&event) {
            self.output.add(stream, &bytes);
        }
        if matches!(event.event, EventKind::Start | EventKind::Finish) {
            self.boundaries.push(event);
        }
    }

    fn note_damage(&mut self, what: String) {
        self.damage.get_or_insert(what);
    }

    /// A torn line that lacks only its line end gets it; any other is cut off.
    fn mend_end(&mut self, torn: &[u8], end: u64) -> Result<(), CompleteError> {
        if torn.is_empty() {
            return Ok(());
        }
        let whole = serde_json::from_slice::<Event>(torn).ok();
        let whole = whole.filter(|event| event.seq == self.seq.saturating_add(1));
        let mended = File::options().append(true).open(&self.path).and_then(|mut file| {
            if whole.is_some() { file.write_all(b"\n") } else { file.set_len(end) }
        });
        mended.map_err(|source| CompleteError::events(&self.path, source))?;
        if let Some(event) = whole {
            self.take(event);
        }
        Ok(())
    }

    /// Whether anything was ever written to it.
    pub(super) fn has_records(&self) -> bool {
        self.seq > 0
    }

    /// Removes a file that was made and never written to: what it is about did not begin.
    pub(super) fn remove_if_empty(&mut self) -> Result<(), CompleteError> {
        if self.exists && !self.has_records() && self.damage.is_none() {
            let removed = fs::remove_file(&self.path);
            removed.map_err(|source| CompleteError::events(&self.path, source))?;
            self.exists = false;
        }
        Ok(())
    }

    /// Time from its first record to its last.
    pub(super) fn duration_ms(&self) -> u64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) => milliseconds(first, last),
            _ => 0,
        }
    }

    /// The start of a phase.
    pub(super) fn start_of(&self, phase: PhaseCode) -> Option<&Event> {
        let is_start = |event: &&Event| event.event == EventKind::Start;
        self.boundaries.iter().filter(is_start).find(|event| event.phase_code == phase)
    }

    /// The last finish of a phase.
    pub(super) fn finish_of(&self, phase: PhaseCode) -> Option<&Event> {
        let is_finish = |event: &&Event| event.event == EventKind::Finish;
        self.boundaries.iter().rev().filter(is_finish).find(|event| event.phase_code == phase)
    }

    /// How a phase ended by itself.
    pub(super) fn ending_of(&self, phase: PhaseCode) -> Option<Ending> {
        let finish = self.finish_of(phase)?;
        let status = finish.status?;
        let (message, exit_code) = (finish.text.clone(), finish.exit_code);
        Some(Ending { status, reason: finish.reason, message, exit_code })
    }

    /// Whether a phase began and did not end.
    pub(super) fn is_open(&self, phase: PhaseCode) -> bool {
        self.open().iter().any(|event| event.phase_code == phase)
    }

    /// Starts without a finish, innermost last.
    fn open(&self) -> Vec<&Event> {
        let mut open: Vec<&Event> = Vec::new();
        for event in &self.boundaries {
            let same =
                |other: &&Event| other.phase_code == event.phase_code && other.step == event.step;
            match event.event {
                EventKind::Start => open.push(event),
                _ => match open.iter().rposition(same) {
                    Some(place) => drop(open.remove(place)),
                    None => continue,
                },
            }
        }
        open
    }

    /// Appends the finish events that are missing, innermost first.
    pub(super) fn close(&mut self, ending: &Ending) -> Result<(), CompleteError> {
        let last = self.last;
        let finish = |start: &&Event| {
            let duration = last.map_or(0, |last| milliseconds(start.ts, last));
            let event = subject_of(start).finish(ending.status, ending.reason, duration);
            Event { exit_code: ending.exit_code, text: ending.message.clone(), ..event }
        };
        let finishes: Vec<Event> = self.open().iter().rev().map(finish).collect();
        self.append(finishes)
    }

    /// Appends a phase that begins and ends at once.
    pub(super) fn append_phase(
        &mut self,
        subject: &Subject,
        ending: &Ending,
    ) -> Result<(), CompleteError> {
        let finish = subject.finish(ending.status, ending.reason, 0);
        let finish = Event { text: ending.message.clone(), ..finish };
        self.append(vec![subject.event(EventKind::Start), finish])
    }

    /// Appends a phase of the run or the pipeline that never began.
    pub(super) fn ensure_phase(
        &mut self,
        phase: PhaseCode,
        ending: &Ending,
    ) -> Result<(), CompleteError> {
        match self.start_of(phase) {
            Some(_) => Ok(()),
            None => self.append_phase(&Subject::phase(phase), ending),
        }
    }

    /// Appends records; the file and its folder are made where they are missing.
    pub(super) fn append(&mut self, events: Vec<Event>) -> Result<(), CompleteError> {
        let Some(first) = events.first() else { return Ok(()) };
        let write = |source| CompleteError::events(&self.path, source);
        let subject = subject_of(first);
        let log = match self.exists {
            true => EventLog::resume(&self.path, subject, self.seq),
            false => EventLog::create(&self.path, subject),
        };
        let mut log = log.map_err(write)?;
        for event in &events {
            log.append(event.clone()).map_err(write)?;
        }
        self.exists = true;
        self.seq = self.seq.saturating_add(events.len() as u64);
        let is_boundary =
            |event: &Event| matches!(event.event, EventKind::Start | EventKind::Finish);
        self.boundaries.extend(events.into_iter().filter(is_boundary));
        Ok(())
    }
}

fn subject_of(event: &Event) -> Subject {
    Subject {
        phase: event.phase_code,
        job_id: event.job_id.clone(),
        section: event.section,
        step: event.step.clone(),
    }
}

/// Whole milliseconds between two points in time; 0 when the clock went backwards.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

/// Whether a path is there, whatever it is.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Mends a stream whose summary is whole; the stream is read only where its end is torn.
pub(super) fn mend_end(path: &Path, ending: &Ending) -> Result<(), CompleteError> {
    let is_torn = match ends_torn(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        result => result.map_err(|source| CompleteError::events(path, source))?,
    };
    if is_torn {
        MendedStream::of(path)?.close(ending)?;
    }
    Ok(())
}

fn ends_torn(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
