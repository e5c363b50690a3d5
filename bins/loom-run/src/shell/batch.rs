//! Gathers what a step writes to one stream into records of whole lines.
//!
//! A record goes out when it holds 64 KiB, when its first line is 100 ms old, or when the step
//! ends. A line that is longer is split between characters; bytes that are not UTF-8 share a
//! record with no line that is, so that one binary line does not hide its neighbours in base64.

use std::time::{Duration, Instant};

use libloom_contract::{
    Timestamp,
    event::{OUTPUT_BYTES_MAX, OUTPUT_DELAY_MS},
};
use memchr::{memchr, memchr_iter, memrchr};

/// One record's worth of output.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When its first line arrived.
    pub ts: Timestamp,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Line ends, plus one for a last line without its end.
    pub lines: u64,
    /// Ends within a line that the next record continues.
    pub partial: bool,
}

/// Output of one step on one stream that is not recorded yet.
#[derive(Debug, Default)]
pub struct Batch {
    pending: Vec<u8>,
    /// Length of the whole lines at the front of `pending`.
    whole: usize,
    /// When the oldest whole line arrived, by both clocks.
    since: Option<(Instant, Timestamp)>,
    /// When the unfinished last line began to arrive.
    tail_ts: Option<Timestamp>,
}

impl Batch {
    /// When the pending lines must go out; `None` when there are none.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|(instant, _)| instant + Duration::from_millis(OUTPUT_DELAY_MS))
    }

    /// Takes bytes that arrived now.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = (Instant::now(), Timestamp::now());
        while !bytes.is_empty() {
            let room = OUTPUT_BYTES_MAX - self.pending.len();
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            self.take(taken, now);
            bytes = rest;
            if self.pending.len() == OUTPUT_BYTES_MAX {
                self.make_room(record)?;
            }
        }
        if self.deadline().is_some_and(|deadline| deadline <= now.0) {
            self.flush(record)?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], now: (Instant, Timestamp)) {
        if self.tail_ts.is_none() && self.whole == self.pending.len() {
            self.tail_ts = Some(now.1);
        }
        if let Some(end) = memrchr(b'\n', bytes) {
            self.whole = self.pending.len() + end + 1;
            let first = self.tail_ts.take().unwrap_or(now.1);
            self.since.get_or_insert((now.0, first));
            if end + 1 < bytes.len() {
                self.tail_ts = Some(now.1);
            }
        }
        self.pending.extend_from_slice(bytes);
    }

    /// `pending` is full: its whole lines go out, or a piece of the one line that fills it.
    fn make_room<E>(
        &mut self,
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.whole > 0 {
            return self.flush(record);
        }
        let length = self.pending.len() - incomplete_character(&self.pending);
        let ts = self.tail_ts.unwrap_or_else(Timestamp::now);
        record(Record { ts, bytes: &self.pending[..length], lines: 0, partial: true })?;
        self.pending.drain(..length);
        Ok(())
    }

    /// Records the whole lines.
    pub fn flush<E>(
        &mut self,
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some((_, ts)) = self.since.take() {
            lines(&self.pending[..self.whole], ts, record)?;
            self.pending.drain(..self.whole);
            self.whole = 0;
        }
        Ok(())
    }

    /// The step ended: records everything, a last line without its end too.
    pub fn finish<E>(
        &mut self,
        record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush(record)?;
        if !self.pending.is_empty() {
            let ts = self.tail_ts.take().unwrap_or_else(Timestamp::now);
            record(Record { ts, bytes: &self.pending, lines: 1, partial: false })?;
            self.pending.clear();
        }
        self.tail_ts = None;
        Ok(())
    }
}

/// Records whole lines, those that are UTF-8 apart from those that are not.
fn lines<E>(
    bytes: &[u8],
    ts: Timestamp,
    record: &mut impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut emit = |bytes: &[u8]| {
        let lines = memchr_iter(b'\n', bytes).count() as u64;
        record(Record { ts, bytes, lines, partial: false })
    };
    if std::str::from_utf8(bytes).is_ok() {
        return emit(bytes);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(run_length(rest));
        emit(run)?;
        rest = after;
    }
    Ok(())
}

/// Length of the lines at the front of `bytes` that are all UTF-8, or all not.
fn run_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    let mut kind = None;
    while length < bytes.len() {
        let rest = &bytes[length..];
        let line = &rest[..memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)];
        let is_text = std::str::from_utf8(line).is_ok();
        if *kind.get_or_insert(is_text) != is_text {
            break;
        }
        length += line.len();
    }
    length
}

/// Length of the character at the end of `bytes` that more bytes would complete; 0 to 3.
fn incomplete_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    match tail.iter().rposition(|byte| byte & 0xC0 != 0x80) {
        Some(lead) if character_length(tail[lead]) > tail.len() - lead => tail.len() - lead,
        _ => 0,
    }
}

/// Length of a UTF-8 character by its first byte.
fn character_length(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, u64, bool);

    fn run(chunks: &[&[u8]]) -> Vec<Owned> {
        let mut records: Vec<Owned> = Vec::new();
        let mut batch = Batch::default();
        let mut collect = |r: Record<'_>| {
            records.push((r.bytes.to_vec(), r.lines, r.partial));
            Ok::<_, ()>(())
        };
        for chunk in chunks {
            batch.push(chunk, &mut collect).unwrap();
        }
        batch.finish(&mut collect).unwrap();
        records
    }

    fn text(record: &Owned) -> (&str, u64, bool) {
        (std::str::from_utf8(&record.0).unwrap(), record.1, record.2)
    }

    #[test]
    fn lines_share_a_record_and_an_unfinished_one_follows() {
        let records = run(&[b"a\nb", b"c\nd"]);
        let found: Vec<_> = records.iter().map(text).collect();
        assert_eq!(found, [("a\nbc\n", 2, false), ("d", 1, false)]);
    }

    #[test]
    fn long_line_is_split_between_characters() {
        let line = "é".repeat(OUTPUT_BYTES_MAX) + "\nend\n";
        let shifted = format!("x{line}");
        let records = run(&[shifted.as_bytes()]);
        assert!(records.iter().all(|(bytes, ..)| std::str::from_utf8(bytes).is_ok()));
        assert!(records.iter().all(|(bytes, ..)| bytes.len() <= OUTPUT_BYTES_MAX));
        assert_eq!(records.iter().filter(|(.., partial)| *partial).count(), 2);
        assert_eq!(records.iter().map(|(_, lines, _)| lines).sum::<u64>(), 2);
        assert_eq!(records.concat_bytes(), shifted.as_bytes());
    }

    #[test]
    fn binary_lines_stand_apart() {
        let records = run(&[b"one\n\xff\n\xfe\ntwo\n"]);
        let found: Vec<_> = records.iter().map(|(bytes, lines, _)| (&bytes[..], *lines)).collect();
        assert_eq!(found, [(&b"one\n"[..], 1), (&b"\xff\n\xfe\n"[..], 2), (&b"two\n"[..], 1)]);
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<Owned> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(bytes, ..)| bytes.iter().copied()).collect()
        }
    }

    proptest! {
        // Each case is large: records fill up only beyond 64 KiB.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_is_lost_and_only_the_last_record_may_lack_its_end(
            chunks in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"ab\n\r\0\xc3\xa9\xff"[..]), 0..80_000),
                0..4),
        ) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let records = run(&slices);
            prop_assert_eq!(records.concat_bytes(), slices.concat());
            for (index, (bytes, _, partial)) in records.iter().enumerate() {
                prop_assert!(bytes.len() <= OUTPUT_BYTES_MAX);
                let last = index + 1 == records.len();
                prop_assert!(*partial || last || bytes.ends_with(b"\n"));
            }
        }
    }
}
