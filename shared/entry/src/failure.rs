//! How a command fails: kind (exit code), error with its causes, hints.

use std::error::Error;
use std::fmt::{self, Display};

use libloom_console::{Console, OutputError};
use libloom_contract::exit;

/// What kind of failure it is; decides the exit code and whether anything is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer is no (exit 1).
    No,
    /// Wrong command line (exit 2).
    Usage,
    /// It could not be done (exit 3).
    CouldNot,
    /// A bug in Loom (exit 70).
    Bug,
    /// The dispatcher found no such command (exit 127).
    NoSuchCommand,
    /// Interrupted by SIGINT (exit 130).
    Interrupted,
    /// Ended by SIGTERM (exit 143).
    Terminated,
    /// The reader of stdout went away: nothing is printed, exit 0.
    BrokenPipe,
}

impl Kind {
    /// The exit code, from `libloom_contract::exit`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::No => exit::NO,
            Self::Usage => exit::USAGE,
            Self::CouldNot => exit::COULD_NOT,
            Self::Bug => exit::BUG,
            Self::NoSuchCommand => exit::NO_SUCH_COMMAND,
            Self::Interrupted => exit::INTERRUPTED,
            Self::Terminated => exit::TERMINATED,
            Self::BrokenPipe => exit::DONE,
        }
    }
}

/// The boxed form every error of a command ends in.
type BoxedError = Box<dyn Error + Send + Sync + 'static>;

/// Why a command ends without having done its work; printed once, by [`crate::main`].
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// Says what and where; its sources are printed as `caused by:`.
    pub error: BoxedError,
    /// How to mend it, one `hint:` line each.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of `kind`; `error` is an error or a text.
    pub fn new(kind: Kind, error: impl Into<BoxedError>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// The answer is no (exit 1).
    pub fn no(error: impl Into<BoxedError>) -> Self {
        Self::new(Kind::No, error)
    }

    /// Wrong command line (exit 2).
    pub fn usage(error: impl Into<BoxedError>) -> Self {
        Self::new(Kind::Usage, error)
    }

    /// It could not be done (exit 3).
    pub fn could_not(error: impl Into<BoxedError>) -> Self {
        Self::new(Kind::CouldNot, error)
    }

    /// A bug in Loom (exit 70).
    pub fn bug(error: impl Into<BoxedError>) -> Self {
        Self::new(Kind::Bug, error).hint(crate::panics::HINT)
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says `what` failed above the present error, which becomes its cause.
    #[must_use]
    pub fn context(mut self, what: impl Display) -> Self {
        self.error = Box::new(Explained { what: what.to_string(), cause: self.error });
        self
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn report(&self, console: &Console) -> u8 {
        if self.kind != Kind::BrokenPipe {
            console.failure(self.error.as_ref(), &self.hints);
        }
        self.kind.exit_code()
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        let kind = if error.is_broken_pipe() { Kind::BrokenPipe } else { Kind::CouldNot };
        Self::new(kind, error)
    }
}

/// Turns the error of a `Result` into a [`Failure`] with a sentence above it.
pub trait OrFail<T> {
    /// It could not be done (exit 3); `what` is the error line, the error its cause.
    fn or_could_not(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<BoxedError>> OrFail<T> for Result<T, E> {
    fn or_could_not(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::could_not(error).context(what))
    }
}

/// A sentence above another error.
#[derive(Debug)]
struct Explained {
    what: String,
    cause: BoxedError,
}

impl Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use libloom_console::Verbosity;

    use super::*;

    #[test]
    fn report_prints_causes_and_hints_once() {
        let (console, captured) = Console::captured(Verbosity::Normal);
        let result: io::Result<()> = Err(io::Error::other("disk full"));
        let failure = result.or_could_not("cannot write `a.json`").unwrap_err().hint("make room");
        assert_eq!(failure.report(&console), 3);
        let expected = "error: cannot write `a.json`\n  caused by: disk full\nhint: make room\n";
        assert_eq!(captured.err(), expected);
    }

    #[test]
    fn broken_pipe_is_quiet() {
        let (console, captured) = Console::captured(Verbosity::Normal);
        assert_eq!(Failure::new(Kind::BrokenPipe, "gone").report(&console), 0);
        assert_eq!(captured.err(), "");
    }
}
