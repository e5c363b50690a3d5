//! The one object through which a command speaks.
//!
//! One call at a time writes its text, on either stream, so lines of different threads never mix,
//! not even where both streams are one pipe. Lines drawn at the bottom of the terminal ([`Live`])
//! make room and come back below. A failed write to stdout is an error for the caller (a closed pipe means: stop); a failed write
//! to stderr is dropped, because there is nobody left to tell.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::color::{ColorChoice, ColorHints, colored};
use crate::live::{Area, Live, Size, clear_abandoned};
use crate::{Label, Paint, printable};

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors, warnings and what the command must say.
    Quiet,
    /// Also status lines, notes and hints.
    #[default]
    Normal,
    /// Also details.
    Verbose,
}

/// stdout could not be written; `libloom-entry` turns a broken pipe into a quiet exit 0.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
pub struct OutputError {
    #[source]
    source: io::Error,
}

impl OutputError {
    /// Whether the reader of stdout went away, as `head` does.
    pub fn is_broken_pipe(&self) -> bool {
        self.source.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes data to stdout and messages to stderr; clones share both streams.
#[derive(Clone, Debug)]
pub struct Console {
    verbosity: Verbosity,
    out: Paint,
    err: Paint,
    /// Whether lines can be drawn in place.
    can_redraw: bool,
    streams: Streams,
}

#[derive(Clone, Debug)]
enum Streams {
    Process(Arc<Mutex<Area>>),
    Memory(Captured),
}

impl Console {
    /// A console on the stdout and stderr of this process.
    pub fn new(verbosity: Verbosity, choice: ColorChoice, hints: ColorHints) -> Self {
        let paint = |is_terminal| Paint::new(colored(choice, hints, is_terminal));
        Self {
            verbosity,
            out: paint(io::stdout().is_terminal()),
            err: paint(io::stderr().is_terminal()),
            can_redraw: io::stderr().is_terminal() && !hints.dumb && !hints.ci,
            streams: Streams::Process(Arc::default()),
        }
    }

    /// A colourless console that keeps what it is told, for tests.
    pub fn captured(verbosity: Verbosity) -> (Self, Captured) {
        let captured = Captured::default();
        let plain = Paint::new(false);
        let streams = Streams::Memory(captured.clone());
        let console = Self { verbosity, out: plain, err: plain, can_redraw: false, streams };
        (console, captured)
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether status lines are left out.
    pub fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Whether details are shown.
    pub fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Styles for text that goes to stdout.
    pub fn out_paint(&self) -> Paint {
        self.out
    }

    /// Styles for text that goes to stderr.
    pub fn err_paint(&self) -> Paint {
        self.err
    }

    /// Whether stderr is a terminal that a live display can redraw.
    pub fn stderr_is_terminal(&self) -> bool {
        matches!(self.streams, Streams::Process(_)) && io::stderr().is_terminal()
    }

    /// Whether stdout is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        matches!(self.streams, Streams::Process(_)) && io::stdout().is_terminal()
    }

    /// Characters in a row of the terminal behind stderr; `None` where there is none.
    pub fn err_columns(&self) -> Option<usize> {
        self.stderr_is_terminal().then(|| Size::of_stderr().columns)
    }

    /// Lines at the bottom of the terminal; `None` where there is none that can redraw them, in a
    /// CI system, or when quiet. One holder at a time.
    pub fn live(&self) -> Option<Live> {
        (self.can_redraw && !self.is_quiet()).then(|| Live::new(self.clone()))
    }

    /// Clears the lines that a killed process may have left at the bottom of this terminal.
    pub fn clear_abandoned_lines(&self) {
        if self.can_redraw && !self.is_quiet() {
            clear_abandoned();
        }
    }

    /// The lines that are drawn; while they are held, nobody else writes.
    pub(crate) fn area(&self) -> MutexGuard<'_, Area> {
        static NONE: Mutex<Area> = Mutex::new(Area::NONE);
        let area = match &self.streams {
            Streams::Process(area) => area,
            Streams::Memory(_) => &NONE,
        };
        area.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `text` to stdout, with a line end if it lacks one.
    pub fn out(&self, text: &str) -> Result<(), OutputError> {
        if text.ends_with('\n') {
            return self.out_bytes(text.as_bytes());
        }
        self.out_bytes(format!("{text}\n").as_bytes())
    }

    /// Writes exactly `bytes` to stdout and flushes.
    pub fn out_bytes(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.write_out(bytes).map_err(|source| OutputError { source })
    }

    /// Writes `value` to stdout as one line of JSON.
    ///
    /// # Panics
    /// If `value` cannot be JSON (a map with keys that are not strings): a bug in its type.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), OutputError> {
        let mut line = serde_json::to_vec(value).expect("documents serialize to JSON");
        line.push(b'\n');
        self.out_bytes(&line)
    }

    /// Writes a line to stderr whatever the verbosity.
    pub fn line(&self, text: impl Display) {
        self.write_err(format!("{text}\n").as_bytes());
    }

    /// Writes exactly `bytes` to stderr whatever the verbosity.
    pub fn err_bytes(&self, bytes: &[u8]) {
        self.write_err(bytes);
    }

    /// Writes a line to stderr about what is going on; left out when quiet.
    pub fn status(&self, text: impl Display) {
        if !self.is_quiet() {
            self.line(text);
        }
    }

    /// Writes a line to stderr only when verbose.
    pub fn detail(&self, text: impl Display) {
        if self.is_verbose() {
            self.line(text);
        }
    }

    /// `note: text`; left out when quiet.
    pub fn note(&self, text: impl Display) {
        if !self.is_quiet() {
            self.headed(Label::Note, "note", text);
        }
    }

    /// `hint: text`; left out when quiet, except that errors bring their own.
    pub fn hint(&self, text: impl Display) {
        if !self.is_quiet() {
            self.headed(Label::Hint, "hint", text);
        }
    }

    /// `warning: text`, whatever the verbosity.
    pub fn warn(&self, text: impl Display) {
        self.headed(Label::Warning, "warning", text);
    }

    /// `error: text`, whatever the verbosity; a command returns a `Failure` rather than call this.
    pub fn error(&self, text: impl Display) {
        self.headed(Label::Error, "error", text);
    }

    /// `error:`, the indented chain of causes and the hints, all in one write.
    ///
    /// Names and texts of others may stand in all of them, so control characters are escaped.
    pub fn failure(&self, error: &(dyn std::error::Error + 'static), hints: &[String]) {
        let what = safe_lines(&error.to_string(), "  ");
        let mut text = format!("{} {what}\n", self.err.paint(Label::Error, "error:"));
        let mut cause = error.source();
        while let Some(error) = cause {
            let what = safe_lines(&error.to_string(), "    ");
            text.push_str(&format!("  caused by: {what}\n"));
            cause = error.source();
        }
        for hint in hints {
            let what = safe_lines(hint, "  ");
            text.push_str(&format!("{} {what}\n", self.err.paint(Label::Hint, "hint:")));
        }
        self.write_err(text.as_bytes());
    }

    fn headed(&self, label: Label, word: &str, text: impl Display) {
        self.line(format_args!("{} {text}", self.err.paint(label, format_args!("{word}:"))));
    }

    fn write_out(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.streams {
            Streams::Process(_) => {
                let area = self.area();
                let clearing = if io::stdout().is_terminal() { area.clearing() } else { "" };
                let mut stdout = io::stdout().lock();
                if clearing.is_empty() {
                    stdout.write_all(bytes)?;
                    return stdout.flush();
                }
                let mut stderr = io::stderr().lock();
                let _ = stderr.write_all(clearing.as_bytes());
                let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
                let _ = stderr.write_all(area.drawing().as_bytes());
                written
            }
            Streams::Memory(captured) => {
                captured.append(|texts| &mut texts.out, bytes);
                Ok(())
            }
        }
    }

    fn write_err(&self, bytes: &[u8]) {
        match &self.streams {
            Streams::Process(_) => {
                let area = self.area();
                let mut stderr = io::stderr().lock();
                let _ = match area.clearing() {
                    "" => stderr.write_all(bytes),
                    // One write: nobody sees the screen without the lines.
                    clearing => {
                        let drawing = area.drawing();
                        stderr.write_all(&[clearing.as_bytes(), bytes, drawing.as_bytes()].concat())
                    }
                };
            }
            Streams::Memory(captured) => captured.append(|texts| &mut texts.err, bytes),
        }
    }
}

/// Every line of `text` made printable, those after the first behind `indent`.
fn safe_lines(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join(&format!("\n{indent}"))
}

/// What a captured console was told.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    texts: Arc<Mutex<Texts>>,
}

#[derive(Debug, Default)]
struct Texts {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Captured {
    /// Everything written to stdout so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.lock().out).into_owned()
    }

    /// Everything written to stderr so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.lock().err).into_owned()
    }

    fn append(&self, stream: impl Fn(&mut Texts) -> &mut Vec<u8>, bytes: &[u8]) {
        stream(&mut self.lock()).extend_from_slice(bytes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot save")]
    struct Outer(#[source] io::Error);

    #[test]
    fn quiet_leaves_out_status_but_not_warnings() {
        let (console, captured) = Console::captured(Verbosity::Quiet);
        console.status("working");
        console.note("by the way");
        console.warn("careful");
        assert_eq!(captured.err(), "warning: careful\n");
    }

    #[test]
    fn details_only_when_verbose() {
        for (verbosity, shown) in [(Verbosity::Normal, ""), (Verbosity::Verbose, "more\n")] {
            let (console, captured) = Console::captured(verbosity);
            console.detail("more");
            assert_eq!(captured.err(), shown);
        }
    }

    #[test]
    fn data_goes_to_stdout_with_one_line_end() {
        let (console, captured) = Console::captured(Verbosity::Normal);
        console.out("a").unwrap();
        console.out("b\n").unwrap();
        console.json(&[1, 2]).unwrap();
        assert_eq!((captured.out().as_str(), captured.err().as_str()), ("a\nb\n[1,2]\n", ""));
    }

    #[test]
    fn failure_is_safe_to_print_and_keeps_its_lines() {
        let (console, captured) = Console::captured(Verbosity::Normal);
        console.failure(&Outer(io::Error::other("one\ntwo\u{1b}[2J")), &[]);
        let expected = "error: cannot save\n  caused by: one\n    two\\u{1b}[2J\n";
        assert_eq!(captured.err(), expected);
    }

    #[test]
    fn failure_prints_chain_and_hints() {
        let (console, captured) = Console::captured(Verbosity::Quiet);
        console.failure(&Outer(io::Error::other("disk full")), &["make room".into()]);
        let expected = "error: cannot save\n  caused by: disk full\nhint: make room\n";
        assert_eq!(captured.err(), expected);
    }
}
