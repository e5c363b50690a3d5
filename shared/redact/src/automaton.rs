//! One automaton over all forms, walked byte by byte so that it can stop anywhere.
//!
//! `aho-corasick` refuses to search streams for the longest match, and its overlapping search
//! does not say how much of the end may still become one. Both are known from the state.

use std::collections::HashMap;

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton as _, StateID},
    dfa, nfa,
};

use memchr::memchr2;

use crate::forms::{Form, LINE_ENDS};

/// Most bytes of forms for which the fast table is built; a larger one leaves the processor's
/// caches and costs about 500 bytes a byte.
const FAST_BYTES_MAX: usize = 32 * 1024;

/// What was read since the start and may become a form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix {
    /// Its length, in bytes that are no line ends.
    pub length: usize,
    /// Length of the shortest form that begins with it.
    pub shortest: usize,
}

/// A form that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its length, in bytes that are no line ends.
    pub length: usize,
    /// Number of the value.
    pub value: usize,
}

pub struct Automaton {
    table: Table,
    start: StateID,
    /// What each state stands for; absent: nothing.
    prefixes: HashMap<StateID, Prefix>,
    /// Length and value of each form.
    forms: Vec<Found>,
}

enum Table {
    Fast(dfa::DFA),
    Small(nfa::contiguous::NFA),
}

impl Automaton {
    /// Recognises `forms`, of which there is at least one.
    pub fn new(forms: &[Form]) -> Self {
        let texts = forms.iter().map(|(text, _)| text);
        let bytes: usize = texts.clone().map(Vec::len).sum();
        // A gigabyte of forms is beyond what a process may get as its environment.
        let table = if bytes <= FAST_BYTES_MAX {
            let mut builder = dfa::DFA::builder();
            let builder = builder.match_kind(MatchKind::Standard);
            Table::Fast(builder.build(texts).expect("forms are few and short"))
        } else {
            let mut builder = nfa::contiguous::NFA::builder();
            let builder = builder.match_kind(MatchKind::Standard);
            Table::Small(builder.build(texts).expect("forms are few and short"))
        };
        let start = match &table {
            Table::Fast(dfa) => dfa.start_state(Anchored::No),
            Table::Small(nfa) => nfa.start_state(Anchored::No),
        };
        let found = |(text, value): &Form| Found { length: text.len(), value: *value };
        let mut automaton = Automaton {
            table,
            start: start.expect("the automaton has an unanchored start"),
            prefixes: HashMap::new(),
            forms: forms.iter().map(found).collect(),
        };
        forms.iter().for_each(|(text, _)| automaton.note_prefixes(text));
        automaton
    }

    /// The state after the first bytes of a form stands for exactly those bytes.
    fn note_prefixes(&mut self, text: &[u8]) {
        let mut state = self.start;
        for (index, &byte) in text.iter().enumerate() {
            state = match &self.table {
                Table::Fast(dfa) => dfa.next_state(Anchored::No, state, byte),
                Table::Small(nfa) => nfa.next_state(Anchored::No, state, byte),
            };
            let new = Prefix { length: index + 1, shortest: text.len() };
            let known = self.prefixes.entry(state).or_insert(new);
            known.shortest = known.shortest.min(text.len());
        }
    }

    pub fn start(&self) -> StateID {
        self.start
    }

    /// What the bytes before `state` may become.
    pub fn prefix(&self, state: StateID) -> Prefix {
        self.prefixes.get(&state).copied().unwrap_or_default()
    }

    /// Goes on from `state` through `bytes`; `found` is told of the longest form that ends at
    /// each place, and where (one past its last byte).
    pub fn walk(&self, state: StateID, bytes: &[u8], found: impl FnMut(usize, Found)) -> StateID {
        match &self.table {
            Table::Fast(dfa) => walk(dfa, &self.forms, state, bytes, found),
            Table::Small(nfa) => walk(nfa, &self.forms, state, bytes, found),
        }
    }
}

fn walk<A: aho_corasick::automaton::Automaton>(
    automaton: &A,
    forms: &[Found],
    mut state: StateID,
    bytes: &[u8],
    mut found: impl FnMut(usize, Found),
) -> StateID {
    let mut start = 0;
    while start < bytes.len() {
        let line = memchr2(LINE_ENDS[0], LINE_ENDS[1], &bytes[start..]);
        let end = line.map_or(bytes.len(), |length| start + length);
        for (index, &byte) in bytes[start..end].iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                let ending = (0..automaton.match_len(state))
                    .map(|number| forms[automaton.match_pattern(state, number).as_usize()]);
                let longest = ending.max_by_key(|form| form.length);
                found(start + index + 1, longest.expect("a match state has a match"));
            }
        }
        start = end + 1;
    }
    state
}
