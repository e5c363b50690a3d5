//! A proxy in front of an engine or a registry that disturbs the requests it is told to.
//!
//! Each connection carries one request: the proxy asks the other side to close it afterwards, so
//! that a client comes with a new one. Connections that are upgraded (attached streams) pass
//! untouched in both directions.

mod pattern;
mod stream;
mod wire;

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use self::pattern::matches;
use self::stream::{Listener, Stream};
use self::wire::{Head, answer, reply};
use crate::wait::holds_within;

/// How long an address may still be in use.
const LIMIT: Duration = Duration::from_secs(5);

/// What is done to a request. Bytes of an answer are counted from its first, the head's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on this much later; never, if the proxy ends before.
    Delay(Duration),
    /// The proxy answers with this status and message; the engine never sees the request.
    Answer(u16, &'static str),
    /// The same with a whole answer, head and body, and the end of the connection after it.
    Reply(&'static str),
    /// The connection is closed before the engine sees the request.
    Kill,
    /// The connection is closed after so many bytes of the answer; 0: the engine has done what
    /// was asked, and the client is not told.
    Cut(usize),
    /// The connection is closed in the middle of a frame of an attached stream: after so many
    /// whole frames, the header of the next, and half of what it announces.
    CutFrame(usize),
    /// After so many bytes of the answer no more is to come, but the connection stays open for
    /// what the client sends.
    HalfClose(usize),
    /// After so many bytes of the answer nothing happens any more.
    Stall(usize),
    /// The answer comes at so many bytes a second.
    Slow(usize),
    /// One byte of the answer is another: the one at this place.
    Corrupt(usize),
    /// The engine dies before it sees the request: every connection is closed, and none is
    /// accepted until [`Proxy::revive`].
    Die,
}

#[derive(Debug)]
struct Rule {
    method: String,
    pattern: String,
    /// From 1; `None`: every one.
    nth: Option<usize>,
    fault: Fault,
    seen: usize,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    requests: Vec<String>,
    disturbed: Vec<String>,
    /// Both ends of every connection, to be closed at once.
    open: Vec<Weak<Stream>>,
    /// Counts the listeners; the threads of an earlier one end.
    listener: usize,
    is_closing: bool,
}

#[derive(Debug)]
struct Shared {
    address: String,
    upstream: String,
    state: Mutex<State>,
    closing: Condvar,
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy at `address` in front of `upstream`, both `unix:///PATH` or `tcp://HOST:PORT`; with
    /// port 0 a free one is taken.
    pub fn new(address: &str, upstream: &str) -> Self {
        let mut listener = Err(io::ErrorKind::AddrInUse.into());
        // A proxy that was there before may be about to end.
        holds_within(LIMIT, || {
            listener = Listener::bind(address);
            listener.is_ok()
        });
        let listener = listener.unwrap_or_else(|e| panic!("{address}: {e}"));
        let shared = Arc::new(Shared {
            address: listener.address(),
            upstream: upstream.to_owned(),
            state: Mutex::default(),
            closing: Condvar::new(),
        });
        shared.listen(listener);
        Self { shared }
    }

    /// Where it is, as in `DOCKER_HOST`.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Disturbs the `nth` (from 1) of the requests from now on that have this method and a path
    /// like `/containers/*/start`. A star stands for any characters (as method: for any); the API's
    /// version is left out, and so is the query unless the pattern has a question mark.
    pub fn disturb(&self, method: &str, pattern: &str, nth: usize, fault: Fault) {
        self.rule(method, pattern, Some(nth), fault);
    }

    /// Disturbs each such request; of several rules the first that applies decides.
    pub fn disturb_each(&self, method: &str, pattern: &str, fault: Fault) {
        self.rule(method, pattern, None, fault);
    }

    fn rule(&self, method: &str, pattern: &str, nth: Option<usize>, fault: Fault) {
        let (method, pattern) = (method.to_owned(), pattern.to_owned());
        self.shared.state().rules.push(Rule { method, pattern, nth, fault, seen: 0 });
    }

    /// Forgets all that was to be disturbed.
    pub fn leave_alone(&self) {
        self.shared.state().rules.clear();
    }

    /// The requests that were disturbed, such as `POST /containers/4f…/start: Kill`, in the order in
    /// which it took effect.
    pub fn disturbed(&self) -> Vec<String> {
        self.shared.state().disturbed.clone()
    }

    /// All requests, such as `GET /version`, with their queries.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }

    /// How many requests there were of this kind.
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        let is_such = |request: &&String| {
            let (its_method, target) = request.split_once(' ').expect("as recorded");
            its_method == method && matches(pattern, target)
        };
        self.shared.state().requests.iter().filter(is_such).count()
    }

    /// The engine dies: every connection is closed, and none is accepted.
    pub fn die(&self) {
        self.shared.die();
    }

    /// The engine is back.
    pub fn revive(&self) {
        self.die();
        let listener = Listener::bind(&self.shared.address).expect("the address is ours");
        self.shared.listen(listener);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().is_closing = true;
        self.shared.closing.notify_all();
        self.die();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts connections until the next listener, or none, takes its place.
    fn listen(self: &Arc<Self>, listener: Listener) {
        let shared = Arc::clone(self);
        let mine = {
            let mut state = self.state();
            state.listener += 1;
            state.listener
        };
        thread::spawn(move || {
            while let Ok(client) = listener.accept() {
                if shared.state().listener != mine {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A connection that breaks is what this proxy is for.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
    }

    fn die(&self) {
        let mut state = self.state();
        state.listener += 1;
        for stream in state.open.drain(..).filter_map(|stream| stream.upgrade()) {
            stream.close();
        }
        drop(state);
        // The listener waits for a connection; it ends with this one.
        let _ = Stream::connect(&self.address);
    }

    fn serve(self: &Arc<Self>, client: Stream) -> io::Result<()> {
        let client = self.hold(client);
        let Some(head) = Head::read(&client)? else { return Ok(()) };
        let fault = self.fault(&head);
        let took_effect = || self.took_effect(&head, fault.as_ref());
        match &fault {
            Some(Fault::Answer(status, message)) => {
                took_effect();
                return reply(&client, &answer(*status, message));
            }
            Some(Fault::Reply(answer)) => {
                took_effect();
                return reply(&client, answer);
            }
            Some(Fault::Kill) => {
                took_effect();
                client.close();
                return Ok(());
            }
            Some(Fault::Die) => {
                took_effect();
                self.die();
                return Ok(());
            }
            Some(Fault::Delay(time)) => {
                took_effect();
                if self.pause(*time).is_err() {
                    return Ok(());
                }
            }
            _ => {}
        }
        let engine = self.hold(Stream::connect(&self.upstream)?);
        (&*engine).write_all(&head.closing())?;
        let (from, to) = (Arc::clone(&client), Arc::clone(&engine));
        thread::spawn(move || wire::copy(&from, &to));
        self.bring_answer(&engine, &client, fault.as_ref(), took_effect)
    }

    /// Passes the answer on, disturbed or not.
    fn bring_answer(
        &self,
        engine: &Stream,
        client: &Stream,
        fault: Option<&Fault>,
        took_effect: impl Fn(),
    ) -> io::Result<()> {
        match fault {
            Some(Fault::Cut(bytes)) => {
                let first = wire::first_byte(engine)?;
                wire::copy_cut(first, engine, client, *bytes)?;
                took_effect();
                engine.close();
                client.close();
            }
            Some(Fault::CutFrame(frames)) => {
                wire::copy_frames(engine, client, *frames)?;
                took_effect();
                engine.close();
                client.close();
            }
            Some(Fault::HalfClose(bytes)) => {
                wire::copy_some(engine, client, *bytes)?;
                took_effect();
                client.end_output();
            }
            Some(Fault::Stall(bytes)) => {
                wire::copy_some(engine, client, *bytes)?;
                took_effect();
            }
            Some(Fault::Corrupt(place)) => {
                wire::copy_some(engine, client, *place)?;
                wire::corrupt_one(engine, client)?;
                took_effect();
                wire::copy(engine, client);
            }
            Some(Fault::Slow(rate)) => {
                took_effect();
                while wire::copy_some(engine, client, (rate / 20).max(1)).is_ok() {
                    self.pause(Duration::from_millis(50))?;
                }
            }
            _ => wire::copy(engine, client),
        }
        Ok(())
    }

    /// Remembers a connection while it lives, so that [`Shared::die`] can close it.
    fn hold(&self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        let mut state = self.state();
        state.open.retain(|stream| stream.strong_count() > 0);
        state.open.push(Arc::downgrade(&stream));
        stream
    }

    /// Records a request and finds what is to be done to it.
    fn fault(&self, head: &Head) -> Option<Fault> {
        let mut state = self.state();
        state.requests.push(head.to_string());
        let mut fault = None;
        for rule in &mut state.rules {
            let is_method = rule.method == "*" || rule.method == head.method;
            if !is_method || !matches(&rule.pattern, &head.target) {
                continue;
            }
            rule.seen += 1;
            if fault.is_none() && rule.nth.is_none_or(|nth| nth == rule.seen) {
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }

    fn took_effect(&self, head: &Head, fault: Option<&Fault>) {
        if let Some(fault) = fault {
            self.state().disturbed.push(format!("{head}: {fault:?}"));
        }
    }

    /// Waits; fails when the proxy ends meanwhile.
    fn pause(&self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut state = self.state();
        while !state.is_closing {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.closing.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

#[cfg(test)]
mod tests;
