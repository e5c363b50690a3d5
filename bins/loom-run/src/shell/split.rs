//! Cuts one stream of a job's shell at the boundaries between its entries.

use memchr::memmem;

use super::script::boundary;

/// Takes a stream apart. Only the boundary of the next entry counts; anything else is output.
#[derive(Debug)]
pub struct Splitter {
    nonce: String,
    entries: usize,
    /// Entry the stream is in; 0 before the first.
    current: usize,
    /// Boundary of the next entry; empty after the last.
    next: Vec<u8>,
    /// Bytes that may begin `next`.
    held: Vec<u8>,
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that entry wrote (0: before the first entry).
    Output(usize, &'a [u8]),
    /// The stream passed into that entry.
    Entered(usize),
}

impl Splitter {
    /// A stream of a shell that runs `entries` entries.
    pub fn new(nonce: &str, entries: usize) -> Self {
        let mut splitter = Splitter {
            nonce: nonce.to_owned(),
            entries,
            current: 0,
            next: Vec::new(),
            held: Vec::new(),
        };
        splitter.expect_next();
        splitter
    }

    /// The entry the stream is in; 0 before the first.
    pub fn current(&self) -> usize {
        self.current
    }

    fn expect_next(&mut self) {
        let number = self.current + 1;
        self.next = if number <= self.entries { boundary(&self.nonce, number) } else { Vec::new() };
    }

    /// Takes what arrived and hands on its pieces in order.
    pub fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut piece: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.held.is_empty() {
            return self.cut(bytes, &mut piece);
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.extend_from_slice(bytes);
        self.cut(&joined, &mut piece)
    }

    fn cut<E>(
        &mut self,
        mut bytes: &[u8],
        piece: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.next.is_empty()
            && let Some(at) = memmem::find(bytes, &self.next)
        {
            self.output(&bytes[..at], piece)?;
            bytes = &bytes[at + self.next.len()..];
            self.current += 1;
            self.expect_next();
            piece(Piece::Entered(self.current))?;
        }
        let (output, held) = bytes.split_at(bytes.len() - self.length_to_hold(bytes));
        self.held.extend_from_slice(held);
        self.output(output, piece)
    }

    /// Length of the longest end of `bytes` that could begin the next boundary.
    fn length_to_hold(&self, bytes: &[u8]) -> usize {
        let longest = self.next.len().saturating_sub(1).min(bytes.len());
        (1..=longest).rev().find(|&n| bytes.ends_with(&self.next[..n])).unwrap_or(0)
    }

    fn output<E>(
        &self,
        bytes: &[u8],
        piece: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if bytes.is_empty() { Ok(()) } else { piece(Piece::Output(self.current, bytes)) }
    }

    /// The stream ended: what was held back is output after all.
    pub fn finish<E>(
        &mut self,
        mut piece: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        self.output(&held, &mut piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], entries: usize) -> Vec<Vec<u8>> {
        let mut parts = vec![Vec::new(); entries + 1];
        let mut entered = 0;
        let mut splitter = Splitter::new("n0nce", entries);
        let mut collect = |piece: Piece<'_>| {
            match piece {
                Piece::Output(entry, bytes) => parts[entry].extend_from_slice(bytes),
                Piece::Entered(entry) => {
                    entered += 1;
                    assert_eq!(entry, entered);
                }
            }
            Ok::<_, ()>(())
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut collect).unwrap();
        }
        splitter.finish(&mut collect).unwrap();
        parts
    }

    #[test]
    fn only_the_expected_boundary_cuts() {
        let stream = b"profile\0n0nce:1\0one\0n0nce:3\0\0n0nce:1\0\0n0nce:2\0two\0n0nce";
        let parts = split(&[stream], 2);
        assert_eq!(parts[0], b"profile");
        assert_eq!(parts[1], b"one\0n0nce:3\0\0n0nce:1\0");
        assert_eq!(parts[2], b"two\0n0nce");
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(
            outputs in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"\0n0ce:12ab\n"[..]), 0..40), 1..5),
            cuts in prop::collection::vec(0usize..200, 0..20),
        ) {
            let entries = outputs.len() - 1;
            let mut stream = outputs[0].clone();
            for (index, output) in outputs.iter().enumerate().skip(1) {
                stream.extend_from_slice(&boundary("n0nce", index));
                stream.extend_from_slice(output);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            prop_assert_eq!(split(&chunks, entries), outputs);
        }
    }
}
