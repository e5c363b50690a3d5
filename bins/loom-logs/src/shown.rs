//! Output on its way to stdout: picked, made safe to read, written in large pieces.

use std::{fmt::Write as _, path::Path};

use libloom_console::{Console, Label, Paint, printable};
use libloom_contract::{
    Timestamp,
    event::{Event, Stream},
};
use libloom_entry::{Failure, OrFail};
use libloom_record::stream::{EventReader, StreamError, output};
use regex::Regex;

use crate::{lines::Lines, screen, select::SelectedJob, steps::StepRecord, words};

/// How much is collected before it is written.
const CHUNK: usize = 64 * 1024;

/// Which output is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) stream: Option<Stream>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) grep: Option<&'a Regex>,
}

impl Pick<'_> {
    /// The bytes of an event, where it is output that is wanted.
    pub(crate) fn output<'e>(
        &self,
        event: &'e Event,
    ) -> Option<(Stream, std::borrow::Cow<'e, [u8]>)> {
        let in_time = self.since.is_none_or(|since| event.ts >= since);
        let wanted = |stream: &Stream| self.stream.is_none_or(|only| only == *stream);
        output(event).filter(|(stream, _)| in_time && wanted(stream))
    }

    /// A line as it is shown; `None` where it does not match.
    pub(crate) fn line(&self, bytes: &[u8], paint: Paint) -> Option<String> {
        let Some(pattern) = self.grep else { return Some(screen::line(bytes, paint)) };
        let plain = screen::line(bytes, Paint::new(false));
        pattern.is_match(&plain).then(|| highlighted(&plain, pattern, paint))
    }
}

fn highlighted(line: &str, pattern: &Regex, paint: Paint) -> String {
    let (mut text, mut from) = (String::new(), 0);
    for found in pattern.find_iter(line).filter(|found| !found.is_empty()) {
        text.push_str(&line[from..found.start()]);
        let _ = write!(text, "{}", paint.paint(Label::Match, found.as_str()));
        from = found.end();
    }
    text.push_str(&line[from..]);
    text
}

/// What is written to stdout.
pub(crate) struct Shown<'a> {
    console: &'a Console,
    pick: Pick<'a>,
    pending: Vec<u8>,
    found: bool,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(console: &'a Console, pick: Pick<'a>) -> Self {
        Shown { console, pick, pending: Vec::new(), found: false }
    }

    /// Whether any line was shown.
    pub(crate) fn found(&self) -> bool {
        self.found
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.console.out_bytes(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn push_line(&mut self, line: &str) -> Result<(), Failure> {
        self.push(line.as_bytes())?;
        self.push(b"\n")
    }

    /// Exact bytes: what cannot be read ends it, because nothing may be missing in silence.
    pub(crate) fn raw_job(&mut self, job: &SelectedJob) -> Result<(), Failure> {
        for step in &job.steps {
            for event in open(&step.events, &step.step)? {
                let event = event.or_could_not(unreadable(&step.step))?;
                if let Some((_, bytes)) = self.pick.output(&event) {
                    self.push(&bytes)?;
                }
            }
        }
        Ok(())
    }

    /// A job for reading, with headings.
    pub(crate) fn job(&mut self, job: &SelectedJob) -> Result<(), Failure> {
        if job.is_empty() {
            return Ok(());
        }
        let paint = self.console.out_paint();
        let heading = format!("=== job {}", printable(&job.id));
        let mut heading = Some(paint.paint(Label::Heading, heading).to_string());
        if self.pick.grep.is_none() {
            self.headings([heading.take()])?;
        }
        if let Some(outside) = &job.outside {
            self.step(outside, "outside the steps", [&mut heading, &mut None])?;
        }
        for step in &job.steps {
            let mut own = Some(paint.paint(Label::Dim, heading_of(step)).to_string());
            if self.pick.grep.is_none() {
                self.headings([own.take()])?;
            }
            self.step(&step.events, &step.step, [&mut heading, &mut own])?;
        }
        Ok(())
    }

    fn headings<const N: usize>(&mut self, headings: [Option<String>; N]) -> Result<(), Failure> {
        headings.into_iter().flatten().try_for_each(|heading| self.push_line(&heading))
    }

    /// Lines for reading, behind the headings that are still owed; a damaged record is named and
    /// passed over.
    fn step(
        &mut self,
        events: &Path,
        name: &str,
        owed: [&mut Option<String>; 2],
    ) -> Result<(), Failure> {
        let (pick, paint) = (self.pick, self.console.out_paint());
        let mut lines = Lines::default();
        let [of_job, of_step] = owed;
        let mut each = |shown: &mut Self, line: &[u8]| {
            let Some(line) = pick.line(line, paint) else { return Ok(()) };
            shown.found = true;
            shown.headings([of_job.take(), of_step.take()])?;
            shown.push_line(&line)
        };
        for event in open(events, name)? {
            let event = match event {
                Err(error @ StreamError::Record { .. }) => {
                    self.console.warn(format_args!("{error}; reading on behind it"));
                    continue;
                }
                event => event.or_could_not(unreadable(name))?,
            };
            if let Some((stream, bytes)) = pick.output(&event) {
                lines.push(stream, &bytes, |_, line| each(self, line))?;
            }
        }
        lines.finish(|_, line| each(self, line))
    }
}

fn open(events: &Path, name: &str) -> Result<EventReader, Failure> {
    EventReader::open(events).or_could_not(unreadable(name))
}

fn unreadable(name: &str) -> String {
    format!("cannot read the output of `{name}`")
}

/// `--- script/02 $ make test: failure (exit code), exit code 2, 3.2 s`.
fn heading_of(step: &StepRecord) -> String {
    let mut heading = format!("--- {}", step.step);
    let Some(summary) = &step.summary else { return heading + " (running)" };
    let outcome = words::outcome(summary.status, summary.reason);
    let _ = write!(heading, " $ {}: {outcome}", printable(&summary.command));
    if let Some(code) = summary.exit_code.filter(|code| *code != 0) {
        let _ = write!(heading, ", exit code {code}");
    }
    let _ = write!(heading, ", {}", words::duration(summary.duration_ms));
    heading
}
