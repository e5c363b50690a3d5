//! A job's shell in its container: read until it has ended and everything it wrote has arrived.

use std::{
    future::Future,
    io,
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use libloom_contract::{Reason, event::Stream};
use libloom_engine::{
    Engine, EngineError,
    containers::{Channel, ExecSpec, Output},
};
use tokio::sync::watch;

use super::{
    Trouble,
    container::{Container, cannot},
};
use crate::{
    cancel::{Cancel, Level},
    processes::Ended,
    providers::host::{End, Reader, Stopped},
    steps::ended_by,
    verdict::Verdict,
};

/// How long the last output may take to arrive once the container has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// When a shell is to be stopped, if it does not end by itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When its time is up.
    pub deadline: Option<Instant>,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

/// Runs the shell of a container that is not started yet, to its end.
///
/// # Errors
/// It cannot be started, or `reader` fails; the container does not run in either case.
pub async fn run(
    container: &Container,
    limits: Limits,
    wishes: watch::Receiver<Level>,
    reader: &mut impl Reader,
) -> Result<End, Start> {
    let output = container.engine.attach(&container.id).await.map_err(Start::Refused)?;
    container.start().await.map_err(Start::Refused)?;
    let mut watched = Watched::new(container, limits, wishes);
    let read = watched.read_to_end(output, reader).await;
    if read.is_err() {
        // Nobody reads any more: left alone it would hang.
        let _ = container.engine.kill(&container.id, "KILL").await;
    }
    match read {
        Ok(()) => Ok(watched.end().await),
        Err(Broken::Record(error)) => Err(Start::Record(error)),
        Err(Broken::Engine(error)) => Ok(watched.broken(&error)),
    }
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Start {
    /// The engine refused to start it.
    Refused(EngineError),
    /// What it wrote cannot be recorded.
    Record(io::Error),
}

impl Start {
    /// The outcome that the engine's refusal is.
    pub fn trouble(error: &EngineError) -> Trouble {
        cannot("start", error)
    }
}

/// Why reading ended before the container did.
enum Broken {
    Record(io::Error),
    Engine(EngineError),
}

/// A running shell.
struct Watched<'a> {
    container: &'a Container,
    limits: Limits,
    wishes: watch::Receiver<Level>,
    began: Instant,
    exit_code: Option<i64>,
    ended_at: Option<Instant>,
    stopped: Option<Stopped>,
    /// When what is left is killed.
    kill_at: Option<Instant>,
}

impl<'a> Watched<'a> {
    fn new(container: &'a Container, limits: Limits, wishes: watch::Receiver<Level>) -> Self {
        Watched {
            container,
            limits,
            wishes,
            began: Instant::now(),
            exit_code: None,
            ended_at: None,
            stopped: None,
            kill_at: None,
        }
    }

    async fn read_to_end(
        &mut self,
        mut output: Output,
        reader: &mut impl Reader,
    ) -> Result<(), Broken> {
        let (engine, id) = (&self.container.engine, &self.container.id);
        let mut wait = pin!(engine.wait(id));
        let mut open = true;
        while open || self.exit_code.is_none() {
            self.heed();
            let patience = self.patience(reader.patience());
            tokio::select! {
                biased;
                item = output.next(), if open => match item {
                    Some(item) => feed(item, reader)?,
                    None => open = false,
                },
                code = &mut wait, if self.exit_code.is_none() => {
                    self.exit_code = Some(code.map_err(Broken::Engine)?);
                    self.ended_at = Some(Instant::now());
                }
                () = changed(&mut self.wishes) => {}
                () = sleep(patience) => {}
            }
            reader.tick().map_err(Broken::Record)?;
            if self.ended_at.is_some_and(|at| at.elapsed() >= LAST_OUTPUT) {
                open = false;
            }
        }
        Ok(())
    }

    /// Does what the run's state or the clock ask for.
    fn heed(&mut self) {
        let now = Instant::now();
        let wish = *self.wishes.borrow_and_update();
        if wish == Level::AtOnce {
            self.stop(Stopped::Cancelled, now);
        } else if wish == Level::Gentle {
            self.stop(Stopped::Cancelled, now + self.limits.grace);
        } else if self.limits.deadline.is_some_and(|deadline| deadline <= now) {
            self.stop(Stopped::Timeout, now + self.limits.grace);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.in_background(|engine, id| async move { engine.kill(&id, "KILL").await });
        }
    }

    fn stop(&mut self, why: Stopped, kill_at: Instant) {
        if self.stopped.is_none() && self.exit_code.is_none() {
            self.stopped = Some(why);
            self.kill_at = Some(kill_at);
            if kill_at > Instant::now() {
                self.in_background(terminate);
            }
        } else if let Some(at) = self.kill_at {
            self.kill_at = Some(at.min(kill_at));
        }
    }

    /// Asks something of the engine without waiting: output goes on being read meanwhile. That it
    /// fails shows by the container living on, until it is killed or removed.
    fn in_background<F>(&self, ask: impl FnOnce(Engine, String) -> F)
    where
        F: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        tokio::spawn(ask(self.container.engine.clone(), self.container.id.clone()));
    }

    /// The shortest of all reasons to look again.
    fn patience(&self, readers: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let deadline = self.limits.deadline.filter(|_| self.stopped.is_none()).map(until);
        let last = self.ended_at.map(|at| until(at + LAST_OUTPUT));
        [readers, deadline, self.kill_at.map(until), last].into_iter().flatten().min()
    }

    /// How it ended, told by the engine.
    async fn end(&self) -> End {
        let code = i32::try_from(self.exit_code.unwrap_or_default()).unwrap_or(i32::MAX);
        let why = match (self.stopped, code) {
            (Some(_), _) | (None, 0) => None,
            (None, code) => self.why(code).await,
        };
        let signal = match &why {
            Some(verdict) if verdict.reason == Some(Reason::Signal) => Some(code - 128),
            _ => None,
        };
        self.outcome(code, signal, why)
    }

    /// What was behind an exit code, where it was not the shell's own.
    async fn why(&self, code: i32) -> Option<Verdict> {
        let (engine, id) = (&self.container.engine, &self.container.id);
        let state = engine.inspect(id).await.ok()?;
        if state.was_out_of_memory {
            let how = match code {
                137 => "the container was killed for want of memory".to_owned(),
                code => format!("a process was killed for want of memory; exit code {code}"),
            };
            let message = format!("{how} (`resources.memory` is its limit)");
            return Some(Verdict::failure(Reason::OutOfMemory, message));
        }
        let was_signalled =
            code > 128 && engine.was_signalled(id, self.began.elapsed()).await.ok()?;
        was_signalled.then(|| {
            let message = format!("the container was {}", ended_by(code - 128));
            Verdict::failure(Reason::Signal, message)
        })
    }

    /// The engine did not tell how it ended.
    fn broken(&self, error: &EngineError) -> End {
        let trouble = Trouble::new("the job's container was lost", error);
        self.outcome(1, None, Some(trouble.verdict()))
    }

    fn outcome(&self, exit_code: i32, signal: Option<i32>, why: Option<Verdict>) -> End {
        let ended = Ended { exit_code, signal, cpu_ms: 0, peak_rss_bytes: 0 };
        End { ended, stopped: self.stopped, leftovers: 0, why }
    }
}

fn feed(
    item: Result<(Channel, Bytes), EngineError>,
    reader: &mut impl Reader,
) -> Result<(), Broken> {
    let (channel, bytes) = item.map_err(Broken::Engine)?;
    let stream = match channel {
        Channel::Stdout => Stream::Stdout,
        Channel::Stderr => Stream::Stderr,
    };
    reader.feed(stream, &bytes).map_err(Broken::Record)
}

/// Asks every process in the container to end. The first one has a trap: without one, the kernel
/// would not let it hear the signal, and an init that passes it on costs 50 ms a job.
async fn terminate(engine: Engine, id: String) -> Result<(), EngineError> {
    let command = ["sh", "-c", "kill -TERM 1; kill -TERM -1"].map(str::to_owned).to_vec();
    let spec = ExecSpec { command, user: Some("0".into()) };
    engine.exec(&id, &spec).await.map(drop)
}

/// Waits until the run's wish to end is another one.
async fn changed(wishes: &mut watch::Receiver<Level>) {
    if wishes.changed().await.is_err() {
        // It is as urgent as it can be.
        std::future::pending::<()>().await;
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The run's wish to end, for what runs on the engine's runtime: a thread waits for it.
pub fn wishes(cancel: &Cancel) -> io::Result<watch::Receiver<Level>> {
    let (sender, receiver) = watch::channel(cancel.level());
    let cancel = cancel.clone();
    thread::Builder::new().name("wishes".into()).spawn(move || {
        for level in [Level::Gentle, Level::AtOnce] {
            cancel.wait_for(level);
            // Nobody listens any more at the end of the run.
            let _ = sender.send(cancel.level());
        }
    })?;
    Ok(receiver)
}
