//! Records the steps of one shell: boundaries, output, outcomes.
//!
//! Each of the shell's two streams passes from step to step by itself. A step begins when the
//! first stream enters it and ends when both have left it; the time it ended is when the next
//! one began.

use std::{
    collections::VecDeque,
    io,
    sync::Mutex,
    time::{Duration, Instant},
};

use libloom_contract::{
    Reason, Status,
    event::{Event, EventKind, PhaseCode, Stream},
    graph::Step,
    layout::{JobLayout, RunLayout},
    logs::{StepEntry, StepSummary},
    store, version,
};
use libloom_record::{
    events::{EventLog, Output, Subject},
    phases::PhaseLedger,
};
use libloom_redact::Redactor;
use memchr::memrchr_iter;

use crate::{
    display::{Display, Unfinished},
    processes::Ended,
    providers::host::End,
    shell::{
        batch::Record,
        channel::Channel,
        split::{Piece, Splitter},
    },
    verdict::Verdict,
};

/// Most bytes of output that are recorded of one job, unless `runtime.output.maxBytes` says.
pub const JOB_OUTPUT_BYTES_MAX: u64 = 1 << 30;
/// Lines of the failing step that are shown without being asked for.
const TAIL_LINES: usize = 20;
/// Most bytes of such a line.
const TAIL_LINE_BYTES_MAX: usize = 400;

/// What all steps of a job write to.
pub struct Sink<'a> {
    /// Folders of the run.
    pub run: &'a RunLayout,
    /// Folders of the job.
    pub layout: &'a JobLayout,
    /// The job.
    pub job_id: &'a str,
    /// Events around the steps.
    pub execution: EventLog,
    /// Where output may be shown as it comes.
    pub display: &'a Display,
    /// Hides the values of secrets.
    pub redactor: &'a Redactor,
    /// Where boundaries are counted.
    pub ledger: &'a Mutex<PhaseLedger>,
    /// Bytes of output that are recorded, and what became of them.
    pub room: Room,
}

/// How much of a job's output is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Most bytes (`runtime.output.maxBytes`).
    pub max: u64,
    /// Bytes that may still be recorded.
    pub left: u64,
    /// Bytes that were not recorded.
    pub dropped: u64,
}

impl Room {
    /// All of it is left.
    pub fn new(max: u64) -> Self {
        Room { max, left: max, dropped: 0 }
    }
}

impl Sink<'_> {
    fn observe(&self, kind: EventKind) {
        let mut ledger = self.ledger.lock().expect("no thread panics while it holds the lock");
        ledger.observe(Some(self.job_id), PhaseCode::StepExecute, kind);
    }
}

/// Output of the part of a shell's life that one event log holds.
struct Part<'r> {
    channels: [Channel<'r>; 2],
    tally: Tally,
}

impl<'r> Part<'r> {
    fn new(redactor: &'r Redactor) -> Self {
        let channels = [Channel::new(redactor), Channel::new(redactor)];
        Part { channels, tally: Tally::default() }
    }
}

/// What is known of the records of one part.
#[derive(Default)]
struct Tally {
    lines: u64,
    bytes: [u64; 2],
    dropped: u64,
    tail: VecDeque<Vec<u8>>,
    /// Beginnings of lines that are not shown yet.
    unfinished: [Unfinished; 2],
}

impl Tally {
    fn keep_tail(&mut self, bytes: &[u8]) {
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut starts: Vec<usize> =
            memrchr_iter(b'\n', body).take(TAIL_LINES).map(|end| end + 1).collect();
        if starts.len() < TAIL_LINES {
            starts.push(0);
        }
        for &start in starts.iter().rev() {
            let line = body[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line[..line.len().min(TAIL_LINE_BYTES_MAX)].to_vec());
        }
    }
}

/// Where one record of output goes.
struct Target<'a, 'b> {
    tally: &'a mut Tally,
    log: &'a mut EventLog,
    room: &'a mut Room,
    display: &'b Display,
    job_id: &'b str,
}

impl Target<'_, '_> {
    fn write(&mut self, stream: Stream, record: &Record<'_>) -> io::Result<()> {
        let length = record.bytes.len() as u64;
        self.tally.lines += record.lines;
        self.tally.bytes[index(stream)] += length;
        self.tally.keep_tail(record.bytes);
        let unfinished = &mut self.tally.unfinished[index(stream)];
        self.display.output((self.job_id, stream), record.bytes, record.partial, unfinished);
        let Record { ts, bytes, lines, partial } = *record;
        if length <= self.room.left {
            self.room.left -= length;
            return self.log.output(Output { ts, stream, bytes, lines, partial });
        }
        let fitting = &bytes[..usize::try_from(self.room.left).unwrap_or(usize::MAX)];
        let whole = &bytes[..memrchr_iter(b'\n', fitting).next().map_or(0, |end| end + 1)];
        if !whole.is_empty() {
            let lines = memrchr_iter(b'\n', whole).count() as u64;
            self.log.output(Output { ts, stream, bytes: whole, lines, partial: false })?;
        }
        self.drop_bytes(length - whole.len() as u64)
    }

    /// The first dropped byte closes the recording for good, so that no gap looks like output.
    fn drop_bytes(&mut self, length: u64) -> io::Result<()> {
        self.room.left = 0;
        self.room.dropped += length;
        self.tally.dropped += length;
        if self.tally.dropped > length {
            return Ok(());
        }
        let text = format!(
            "the job wrote more than {} bytes (`runtime.output.maxBytes`): what follows is not recorded",
            self.room.max
        );
        let note = self.log.subject().say(EventKind::Note, text);
        self.log.append(note)
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

/// One step that has begun.
struct Begun<'r> {
    log: EventLog,
    part: Part<'r>,
    start: Event,
    started: Instant,
    ended: Option<Instant>,
}

/// A step that failed, for the summary on screen.
#[derive(Clone, Debug)]
pub struct FailingStep {
    /// Such as `script/02`.
    pub step: String,
    /// The entry.
    pub command: String,
    /// The entries before it in the same shell.
    pub earlier: Vec<String>,
    /// Where it stands in the workflow, as `file:line:column`.
    pub position: Option<String>,
    /// Its events, relative to the run's folder.
    pub events_path: String,
    /// Lines of both streams in all.
    pub lines: u64,
    /// Its last lines, of both streams as they came.
    pub tail: Vec<Vec<u8>>,
}

/// The steps of one shell.
pub struct Steps<'a, 'b> {
    sink: &'a mut Sink<'b>,
    steps: &'a [&'a Step],
    splitters: [Splitter; 2],
    /// Before the first step; afterwards only what the shell wrote before it.
    around: Part<'b>,
    begun: Vec<Option<Begun<'b>>>,
    entries: Vec<StepEntry>,
    /// The step that failed.
    pub failing: Option<FailingStep>,
}

impl<'a, 'b> Steps<'a, 'b> {
    /// Nothing has begun.
    pub fn new(sink: &'a mut Sink<'b>, steps: &'a [&'a Step], nonce: &str) -> Self {
        let splitter = || Splitter::new(nonce, steps.len());
        let around = Part::new(sink.redactor);
        Steps {
            sink,
            steps,
            splitters: [splitter(), splitter()],
            around,
            begun: Vec::new(),
            entries: Vec::new(),
            failing: None,
        }
    }

    /// Takes bytes that the shell wrote to `stream`.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut splitter = std::mem::replace(self.splitter(stream), Splitter::new("", 0));
        let result = splitter.feed(bytes, |piece| self.piece(stream, &piece));
        *self.splitter(stream) = splitter;
        result?;
        self.close_left_steps()
    }

    fn splitter(&mut self, stream: Stream) -> &mut Splitter {
        &mut self.splitters[index(stream)]
    }

    fn piece(&mut self, stream: Stream, piece: &Piece<'_>) -> io::Result<()> {
        match *piece {
            Piece::Entered(number) if number > self.begun.len() => self.begin(number),
            Piece::Entered(_) => Ok(()),
            Piece::Output(number, bytes) => self.output(stream, number, bytes),
        }
    }

    fn begin(&mut self, number: usize) -> io::Result<()> {
        let step = self.steps[number - 1];
        let now = Instant::now();
        if let Some(Some(before)) = self.begun.last_mut() {
            before.ended = Some(now);
        }
        let command = self.sink.redactor.text(&step.command);
        self.sink.display.step(self.sink.job_id, step.path(), &command);
        let subject = Subject::step(&step.path(), self.sink.job_id);
        let start = subject.event(EventKind::Start);
        let mut log = EventLog::create(&self.sink.layout.step(step).events(), subject)?;
        log.append(start.clone())?;
        let part = Part::new(self.sink.redactor);
        self.begun.push(Some(Begun { log, part, start, started: now, ended: None }));
        self.mirror_start(number)
    }

    /// Mirrors a step's start once the step before it is closed, so that boundaries alternate.
    fn mirror_start(&mut self, number: usize) -> io::Result<()> {
        match self.begun.get(number - 1) {
            Some(Some(begun)) if number == self.entries.len() + 1 => {
                self.sink.observe(EventKind::Start);
                self.sink.execution.append(begun.start.clone())
            }
            _ => Ok(()),
        }
    }

    fn output(&mut self, stream: Stream, number: usize, bytes: &[u8]) -> io::Result<()> {
        self.with_part(number, |channels, target| {
            channels[index(stream)].push(bytes, &mut |record| target.write(stream, &record))
        })
    }

    /// Runs `body` on the part that step `number` (0: before the first) writes to.
    fn with_part(
        &mut self,
        number: usize,
        body: impl FnOnce(&mut [Channel<'b>; 2], &mut Target<'_, '_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let sink = &mut *self.sink;
        let (Part { channels, tally }, log) = match number {
            0 => (&mut self.around, &mut sink.execution),
            _ => match self.begun.get_mut(number - 1) {
                Some(Some(begun)) => (&mut begun.part, &mut begun.log),
                Some(None) | None => return Ok(()),
            },
        };
        let (display, job_id) = (sink.display, sink.job_id);
        body(channels, &mut Target { tally, log, room: &mut sink.room, display, job_id })
    }

    fn flush(&mut self, number: usize, all: bool) -> io::Result<()> {
        self.with_part(number, |channels, target| {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let channel = &mut channels[index(stream)];
                let mut write = |record: Record<'_>| target.write(stream, &record);
                if all { channel.finish(&mut write)? } else { channel.tick(&mut write)? }
            }
            Ok(())
        })
    }

    /// A line that a step ended in, cut off where the record is.
    fn show_unfinished_lines(&mut self, number: usize) {
        let Some(Some(begun)) = self.begun.get_mut(number - 1) else { return };
        for stream in [Stream::Stdout, Stream::Stderr] {
            let unfinished = &mut begun.part.tally.unfinished[index(stream)];
            self.sink.display.output((self.sink.job_id, stream), b"", false, unfinished);
        }
    }

    /// Steps that have begun.
    pub fn begun_count(&self) -> usize {
        self.begun.len()
    }

    /// How long until some pending lines must go out.
    pub fn patience(&self) -> Option<Duration> {
        let open = self.begun.iter().flatten().map(|begun| &begun.part);
        let channels = open.chain([&self.around]).flat_map(|part| &part.channels);
        let deadline = channels.filter_map(Channel::deadline).min()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Records the lines that have waited long enough.
    pub fn tick(&mut self) -> io::Result<()> {
        let open = self.entries.len() + 1..=self.begun.len();
        open.chain([0]).try_for_each(|number| self.flush(number, false))
    }

    /// Closes the steps that both streams have left; they succeeded.
    fn close_left_steps(&mut self) -> io::Result<()> {
        let left = self.splitters.iter().map(Splitter::current).min().unwrap_or(0);
        while self.entries.len() + 1 < left {
            self.close(&Verdict::success(), Some(0), None)?;
        }
        Ok(())
    }

    /// Closes the earliest open step.
    fn close(
        &mut self,
        verdict: &Verdict,
        exit_code: Option<i32>,
        signal: Option<i32>,
    ) -> io::Result<()> {
        let number = self.entries.len() + 1;
        self.flush(number, true)?;
        self.show_unfinished_lines(number);
        let step = self.steps[number - 1];
        let begun = self.begun.get_mut(number - 1).and_then(Option::take);
        let mut summary = self.summary(step, verdict);
        (summary.exit_code, summary.signal) = (exit_code, signal);
        if let Some(mut begun) = begun {
            let ended = begun.ended.unwrap_or_else(Instant::now);
            summary.duration_ms = milliseconds(ended.duration_since(begun.started));
            summary.started_at = Some(begun.start.ts);
            summary.output_lines = begun.part.tally.lines;
            [summary.stdout_bytes, summary.stderr_bytes] = begun.part.tally.bytes;
            summary.dropped_bytes =
                (begun.part.tally.dropped > 0).then_some(begun.part.tally.dropped);
            if let Some(dropped) = summary.dropped_bytes {
                let text = format!("{dropped} bytes of this step's output were not recorded");
                let note = begun.log.subject().say(EventKind::Note, text);
                begun.log.append(note)?;
            }
            let events_path = self.sink.run.relative(&self.sink.layout.step(step).events());
            self.finish_events(&mut begun.log, &summary)?;
            if verdict.status == Status::Failure {
                self.failing = Some(FailingStep {
                    step: step.path(),
                    command: summary.command.clone(),
                    earlier: self.steps[..number - 1].iter().map(|s| s.command.clone()).collect(),
                    position: summary.position.clone(),
                    events_path: events_path.clone(),
                    lines: begun.part.tally.lines,
                    tail: begun.part.tally.tail.into(),
                });
            }
            summary.events_path = Some(events_path);
        }
        self.write_summary(step, &summary)
    }

    fn finish_events(&mut self, log: &mut EventLog, summary: &StepSummary) -> io::Result<()> {
        let finish = Event {
            exit_code: summary.exit_code,
            text: summary.message.clone(),
            ..log.subject().finish(summary.status, summary.reason, summary.duration_ms)
        };
        log.append(finish.clone())?;
        self.sink.observe(EventKind::Finish);
        self.sink.execution.append(finish)
    }

    fn summary(&self, step: &Step, verdict: &Verdict) -> StepSummary {
        let position = step.position.as_ref();
        StepSummary {
            schema_version: version::LOGS.to_string(),
            kind: "loom-step-summary".into(),
            job_id: self.sink.job_id.into(),
            step: step.path(),
            command: self.sink.redactor.text(&step.command).into_owned(),
            position: position.map(|p| format!("{}:{}:{}", p.file, p.line, p.column)),
            status: verdict.status,
            reason: verdict.reason,
            message: verdict.message.clone(),
            exit_code: None,
            signal: None,
            started_at: None,
            duration_ms: 0,
            output_lines: 0,
            stdout_bytes: 0,
            stderr_bytes: 0,
            dropped_bytes: None,
            events_path: None,
        }
    }

    fn write_summary(&mut self, step: &Step, summary: &StepSummary) -> io::Result<()> {
        let path = self.sink.layout.step(step).summary();
        store::write(&path, summary).map_err(io::Error::other)?;
        self.entries.push(StepEntry {
            step: step.path(),
            status: summary.status,
            exit_code: summary.exit_code,
            duration_ms: summary.duration_ms,
            summary_path: self.sink.run.relative(&path),
        });
        self.mirror_start(self.entries.len() + 1)
    }

    /// The shell ended: every step gets its outcome. `verdict` is that of the shell.
    pub fn finish(
        mut self,
        end: &End,
        verdict: &Verdict,
    ) -> io::Result<(Vec<StepEntry>, Option<FailingStep>)> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut splitter = std::mem::replace(self.splitter(stream), Splitter::new("", 0));
            splitter.finish(|piece| self.piece(stream, &piece))?;
        }
        self.flush(0, true)?;
        while self.entries.len() + 1 < self.begun.len() {
            self.close(&Verdict::success(), Some(0), None)?;
        }
        if self.entries.len() < self.begun.len() {
            self.close(&last_step(&end.ended, verdict), end.exit_code(), end.ended.signal)?;
        }
        let rest = rest_of_steps(verdict);
        while self.entries.len() < self.steps.len() {
            self.close(&rest, None, None)?;
        }
        Ok((self.entries, self.failing))
    }
}

/// Outcome of the step during which the shell ended.
fn last_step(ended: &Ended, verdict: &Verdict) -> Verdict {
    match (ended.signal, ended.exit_code) {
        _ if verdict.status == Status::Cancelled || !is_of_the_step(verdict) => verdict.clone(),
        (Some(signal), _) => Verdict::failure(Reason::Signal, ended_by(signal)),
        (None, 0) => Verdict::success(),
        (None, code) => Verdict::failure(Reason::ExitCode, format!("exit code {code}")),
    }
}

/// Whether the shell ended because of what the step did.
fn is_of_the_step(verdict: &Verdict) -> bool {
    let from_outside = [Reason::Timeout, Reason::OutOfMemory, Reason::ProviderUnavailable];
    !verdict.reason.is_some_and(|reason| from_outside.contains(&reason))
}

/// Outcome of the steps that never began.
fn rest_of_steps(verdict: &Verdict) -> Verdict {
    match verdict.status {
        Status::Cancelled => verdict.clone(),
        Status::Success | Status::Skipped => {
            Verdict::skipped(Reason::ShellEnded, "the shell ended, with success, before this entry")
        }
        Status::Failure => Verdict::skipped(Reason::EarlierStepFailed, "an earlier entry failed"),
    }
}

/// The words for a signal.
pub fn ended_by(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "HUP",
        libc::SIGINT => "INT",
        libc::SIGQUIT => "QUIT",
        libc::SIGILL => "ILL",
        libc::SIGABRT => "ABRT",
        libc::SIGBUS => "BUS",
        libc::SIGFPE => "FPE",
        libc::SIGKILL => "KILL",
        libc::SIGSEGV => "SEGV",
        libc::SIGPIPE => "PIPE",
        libc::SIGALRM => "ALRM",
        libc::SIGTERM => "TERM",
        libc::SIGXCPU => "XCPU",
        libc::SIGXFSZ => "XFSZ",
        _ => return format!("ended by signal {signal}"),
    };
    format!("ended by signal {signal} (SIG{name})")
}

/// Whole milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The subject of the log around the steps.
pub fn execution_subject(job_id: &str) -> Subject {
    Subject::job(PhaseCode::JobExecution, job_id)
}
