//! The way of one stream of one step: secrets are hidden, then lines gathered into records.

use std::time::{Duration, Instant};

use libloom_contract::event::OUTPUT_DELAY_MS;
use libloom_redact::{Redactor, Stream};

use super::batch::{Batch, Record};

/// Output of one step on one stream that is not recorded yet.
#[derive(Debug)]
pub struct Channel<'r> {
    redacted: Stream<'r>,
    /// When bytes that may begin a secret were held back.
    held_since: Option<Instant>,
    batch: Batch,
}

impl<'r> Channel<'r> {
    /// Nothing has arrived.
    pub fn new(redactor: &'r Redactor) -> Self {
        Channel { redacted: redactor.stream(), held_since: None, batch: Batch::default() }
    }

    /// When [`Channel::tick`] has something to do; `None`: not before more arrives.
    pub fn deadline(&self) -> Option<Instant> {
        let held = self.held_since.map(|since| since + Duration::from_millis(OUTPUT_DELAY_MS));
        held.into_iter().chain(self.batch.deadline()).min()
    }

    /// Takes bytes that arrived now.
    pub fn push<E>(
        &mut self,
        bytes: &[u8],
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut result = Ok(());
        self.redacted.feed(bytes, gather(&mut self.batch, record, &mut result));
        if !self.redacted.is_holding() {
            self.held_since = None;
        } else if self.held_since.is_none() {
            self.held_since = Some(Instant::now());
        }
        result
    }

    /// Records what has waited long enough.
    pub fn tick<E>(
        &mut self,
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_due = |at: Instant| at <= Instant::now();
        let mut result = Ok(());
        let held = self.held_since.map(|since| since + Duration::from_millis(OUTPUT_DELAY_MS));
        if held.is_some_and(is_due) {
            self.held_since = None;
            self.redacted.release(gather(&mut self.batch, record, &mut result));
        }
        if result.is_ok() && self.batch.deadline().is_some_and(is_due) {
            result = self.batch.flush(record);
        }
        result
    }

    /// The step ended: records everything.
    pub fn finish<E>(
        &mut self,
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut result = Ok(());
        self.redacted.finish(gather(&mut self.batch, record, &mut result));
        result.and_then(|()| self.batch.finish(record))
    }
}

/// Hands redacted bytes to `batch`, until that fails.
fn gather<E>(
    batch: &mut Batch,
    record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    result: &mut Result<(), E>,
) -> impl FnMut(&[u8]) {
    move |bytes| {
        if result.is_ok() {
            *result = batch.push(bytes, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use libloom_redact::Secret;

    use super::*;

    #[test]
    fn a_value_in_two_writes_is_hidden_and_what_only_looks_like_one_goes_out_at_the_end() {
        let redactor = Redactor::new(&[Secret { name: "T", value: b"abcdefghijklmnop" }]);
        let mut channel = Channel::new(&redactor);
        let mut shown = Vec::new();
        let mut record = |record: Record<'_>| {
            shown.extend_from_slice(record.bytes);
            Ok::<_, ()>(())
        };
        channel.push(b"<abcdefgh", &mut record).unwrap();
        assert!(channel.deadline().is_some());
        std::thread::sleep(Duration::from_millis(OUTPUT_DELAY_MS));
        channel.tick(&mut record).unwrap();
        assert_eq!(channel.deadline(), None, "a long beginning waits for the rest");
        channel.push(b"ijklmnop>\nabcdefgh", &mut record).unwrap();
        channel.finish(&mut record).unwrap();
        assert_eq!(shown, b"<[REDACTED:SECRET_T]>\nabcdefgh");
    }
}
