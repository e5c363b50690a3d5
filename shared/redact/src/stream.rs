//! Redacts bytes that arrive in chunks: the result does not depend on where they are cut.

use aho_corasick::automaton::StateID;
use memchr::memchr2;

use crate::{
    Redactor,
    automaton::Automaton,
    forms::{LINE_ENDS, is_line_end},
};

/// Longest beginning of a value that [`Stream::release`] lets go, in bytes; also at most a
/// quarter of the value.
const RELEASED_BYTES_MAX: usize = 3;

/// A part of the held bytes that is not shown.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    start: usize,
    end: usize,
    value: usize,
    /// Length of the longest form in it, which names it.
    length: usize,
}

/// One stream of bytes.
///
/// Only what may still become a value is held back, so that ordinary lines go out at once.
#[derive(Debug)]
pub struct Stream<'r> {
    redactor: &'r Redactor,
    state: StateID,
    /// Bytes that are not handed on.
    held: Vec<u8>,
    /// Parts of `held`, in order, apart from each other.
    hidden: Vec<Hidden>,
}

impl<'r> Stream<'r> {
    pub(crate) fn new(redactor: &'r Redactor) -> Self {
        let state = redactor.automaton.as_ref().map_or(StateID::ZERO, Automaton::start);
        Stream { redactor, state, held: Vec::new(), hidden: Vec::new() }
    }

    /// Bytes are held back.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes bytes and hands on what is certain, redacted.
    pub fn feed(&mut self, bytes: &[u8], mut show: impl FnMut(&[u8])) {
        let Some(automaton) = &self.redactor.automaton else { return show(bytes) };
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let (held, hidden) = (&self.held, &mut self.hidden);
        self.state = automaton.walk(self.state, bytes, |end, found| {
            let end = before + end;
            let start = start_of(&held[..end], found.length);
            hide(hidden, Hidden { start, end, value: found.value, length: found.length });
        });
        let open = start_of(&self.held, automaton.prefix(self.state).length);
        // A hidden part that something still open overlaps may grow.
        let growing = self.hidden.iter().find(|hidden| hidden.end > open);
        let certain = growing.map_or(open, |hidden| hidden.start.min(open));
        self.hand_on(certain, &mut show);
    }

    /// Nothing has arrived for a while: hands on what is held, unless it is so much of a value
    /// that it should stay hidden. The rest of a value is hidden all the same when it comes.
    pub fn release(&mut self, mut show: impl FnMut(&[u8])) {
        let Some(automaton) = &self.redactor.automaton else { return };
        let open = automaton.prefix(self.state);
        if open.length <= RELEASED_BYTES_MAX && open.length * 4 <= open.shortest {
            self.hand_on(self.held.len(), &mut show);
        }
    }

    /// Nothing more comes: hands on the rest, and begins anew.
    pub fn finish(&mut self, mut show: impl FnMut(&[u8])) {
        self.hand_on(self.held.len(), &mut show);
        *self = Stream::new(self.redactor);
    }

    /// Hands on the first `length` of the held bytes; no hidden part reaches beyond them.
    fn hand_on(&mut self, length: usize, show: &mut impl FnMut(&[u8])) {
        let mut from = 0;
        let count = self.hidden.iter().take_while(|hidden| hidden.end <= length).count();
        for hidden in self.hidden.drain(..count) {
            if from < hidden.start {
                show(&self.held[from..hidden.start]);
            }
            mask(&self.held[hidden.start..hidden.end], &self.redactor.masks[hidden.value], show);
            from = hidden.end;
        }
        if from < length {
            show(&self.held[from..length]);
        }
        self.held.drain(..length);
        for hidden in &mut self.hidden {
            hidden.start -= length;
            hidden.end -= length;
        }
    }
}

/// Where the last `length` bytes that are no line ends begin; 0 where the first of them were
/// handed on already.
fn start_of(bytes: &[u8], length: usize) -> usize {
    let mut left = length;
    let mut start = bytes.len();
    while left > 0 && start > 0 {
        start -= 1;
        left -= usize::from(!is_line_end(bytes[start]));
    }
    start
}

/// Adds a part that ends where no earlier one ends later, and joins those it overlaps.
fn hide(hidden: &mut Vec<Hidden>, mut new: Hidden) {
    while let Some(last) = hidden.last().copied().filter(|last| last.end > new.start) {
        new.start = new.start.min(last.start);
        if last.length > new.length {
            (new.value, new.length) = (last.value, last.length);
        }
        hidden.pop();
    }
    hidden.push(new);
}

/// `mask` instead of each line of `bytes`; line ends stay.
fn mask(bytes: &[u8], mask: &str, show: &mut impl FnMut(&[u8])) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let line = memchr2(LINE_ENDS[0], LINE_ENDS[1], rest).unwrap_or(rest.len());
        if line > 0 {
            show(mask.as_bytes());
        }
        let ends = rest[line..].iter().take_while(|&&byte| is_line_end(byte)).count();
        show(&rest[line..line + ends]);
        rest = &rest[line + ends..];
    }
}
