//! The context on its way: read by a thread of its own, no faster than the engine takes it.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::{Builder, Context, ContextError};

/// Bytes of a part.
const PART: usize = 128 << 10;
/// Parts that may wait for the engine.
const WAITING: usize = 4;

/// Why the context could not be read, once that is known.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Mutex<Option<ContextError>>>);

impl Outcome {
    /// The reason, once.
    pub fn failure(&self) -> Option<ContextError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The archive of a context as a stream, and how reading it went.
pub fn archive(
    context: Context,
    builder: Builder,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Outcome) {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let outcome = Outcome::default();
    let told = outcome.clone();
    tokio::task::spawn_blocking(move || {
        let mut parts = Parts { sender: sender.clone(), part: Vec::with_capacity(PART) };
        match context.write(builder, &mut parts) {
            // Nobody is there to be told.
            Ok(()) | Err(ContextError::NotTaken(_)) => {}
            Err(error) => {
                *told.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // An archive that ends early would be taken for a whole one.
                drop(sender.blocking_send(Err(io::ErrorKind::Interrupted.into())));
            }
        }
    });
    (stream::poll_fn(move |task| receiver.poll_recv(task)), outcome)
}

/// A writer that sends what it gets in parts.
struct Parts {
    sender: mpsc::Sender<io::Result<Bytes>>,
    part: Vec<u8>,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        if part.is_empty() {
            return Ok(());
        }
        let sent = self.sender.blocking_send(Ok(part.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
