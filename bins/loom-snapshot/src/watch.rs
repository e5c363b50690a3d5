//! Tells how far a snapshot is: to the command that started us, to a person at a terminal, or not.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libloom_console::{Console, size};
use libloom_contract::message::Message;
use libloom_contract::version;
use libloom_entry::Failure;

use crate::progress::Progress;
use crate::work_tree::{Hear, Made, News};

/// How often progress is told; work shorter than that stays silent.
const TICK: Duration = Duration::from_millis(200);

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    /// A command that reads records from our stdout.
    Events,
    /// A person, by one line on stderr that is drawn again and again.
    Terminal,
    /// Nobody.
    Silent,
}

impl Display {
    pub(crate) fn choose(events: bool, console: &Console) -> Self {
        match (events, console.stderr_is_terminal() && !console.is_quiet()) {
            (true, _) => Self::Events,
            (false, true) => Self::Terminal,
            (false, false) => Self::Silent,
        }
    }

    /// Tells that a phase begins which [`Display::during`] does not see.
    pub(crate) fn phase(
        self,
        console: &Console,
        progress: &Progress,
        phase: &str,
    ) -> Result<(), Failure> {
        match self {
            Self::Events => Ok(console.json(&progress_message(phase, progress))?),
            Self::Terminal | Self::Silent => Ok(()),
        }
    }

    /// Runs `work`, which gets a function that takes news, and tells how far it is.
    pub(crate) fn during(
        self,
        console: &Console,
        progress: &Progress,
        work: impl FnOnce(Hear<'_>) -> Result<Made, Failure>,
    ) -> Result<Made, Failure> {
        if self == Self::Silent {
            return work(&|_| {});
        }
        let teller = Teller {
            display: self,
            console,
            progress,
            start: Instant::now(),
            broken: Mutex::new(None),
        };
        let (done, is_done) = mpsc::channel::<()>();
        let made = thread::scope(|scope| {
            let teller = &teller;
            scope.spawn(move || {
                while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    teller.progress();
                }
                teller.end();
            });
            let made = work(&|news| teller.news(news));
            drop(done);
            made
        });
        match teller.broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => made,
        }
    }
}

struct Teller<'a> {
    display: Display,
    console: &'a Console,
    progress: &'a Progress,
    start: Instant,
    /// Why nobody hears us any more.
    broken: Mutex<Option<Failure>>,
}

impl Teller<'_> {
    fn news(&self, news: News<'_>) {
        if self.display != Display::Events {
            return;
        }
        match news {
            News::Facts(facts) => {
                let schema_version = version::MESSAGE.to_string();
                self.tell(&Message::Facts { schema_version, facts: facts.clone() });
            }
            News::Phase(phase) => self.tell(&progress_message(phase, self.progress)),
        }
    }

    fn progress(&self) {
        if self.display == Display::Events {
            return self.tell(&progress_message("copy", self.progress));
        }
        let (done, bytes) = self.progress.so_far();
        let milliseconds =
            u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = size(bytes.saturating_mul(1000) / milliseconds);
        let of = self.progress.expected().map_or(String::new(), |all| format!(" of {all}"));
        let line = format!("\r\x1b[Kcopying: {done}{of} files, {} ({rate}/s)", size(bytes));
        self.console.err_bytes(line.as_bytes());
    }

    fn end(&self) {
        if self.display == Display::Terminal && self.start.elapsed() >= TICK {
            self.console.err_bytes(b"\r\x1b[K");
        }
    }

    fn tell(&self, message: &Message) {
        if let Err(error) = self.console.json(message) {
            // Nobody reads the result: stop and clean up.
            self.progress.fail();
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.into());
        }
    }
}

fn progress_message(phase: &str, progress: &Progress) -> Message {
    let (done, bytes) = progress.so_far();
    Message::Progress {
        schema_version: version::MESSAGE.to_string(),
        phase: phase.to_owned(),
        done,
        total: progress.expected(),
        bytes: Some(bytes),
    }
}

/// What a failure looks like to the command that started us.
pub(crate) fn error_message(failure: &Failure) -> Message {
    let mut lines = vec![failure.error.to_string()];
    let mut cause = failure.error.source();
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    Message::Error {
        schema_version: version::MESSAGE.to_string(),
        message: lines.join("\n"),
        hints: failure.hints.clone(),
        exit_code: failure.kind.exit_code().into(),
    }
}
