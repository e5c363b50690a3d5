//! What can still be read of a file with a syntax error: its root keys, each parsed by itself.
//!
//! So one slip hides one job at most. What cannot be read stays in the tree as a refused value, so
//! that checks pass over it in silence and references to it are known.

use std::collections::HashMap;
use std::ops::Range;

use crate::problem::{Problem, code};
use crate::source::{FileId, Mark, as_u32};
use crate::tree::{Entry, Mapping, Node, Value};
use crate::yaml::{duplicate_key, parse};

/// More root keys than this are not parsed one by one.
const MAX_BLOCKS: usize = 10_000;

/// What was read of a broken file.
pub(crate) struct Recovered {
    pub(crate) root: Node,
    pub(crate) problems: Vec<Problem>,
    /// Everything that is lost is known by its key.
    pub(crate) all_named: bool,
}

/// Reads a file by its root keys; `None` where that does not show what is wrong with it.
pub(crate) fn recover(file: FileId, text: &str) -> Option<Recovered> {
    let blocks = blocks(text);
    if blocks.len() > MAX_BLOCKS {
        return None;
    }
    let mark = |range: &Range<usize>| Mark {
        file,
        start: as_u32(range.start),
        end: as_u32(range.start + text[range.clone()].trim_end().len()),
    };
    let (first, last) = (blocks.first()?, blocks.last()?);
    let whole = mark(&(first.start..last.end));
    let mut found = Reader {
        file,
        text,
        entries: Vec::new(),
        problems: Vec::new(),
        broken: false,
        all_named: true,
    };
    for block in &blocks {
        found.read(block, mark(block))?;
    }
    let Reader { entries, mut problems, broken, all_named, .. } = found;
    let root = Node::new(Value::Mapping(unique(entries, &mut problems)), whole);
    broken.then_some(Recovered { root, problems, all_named })
}

/// The first entry of each key; the others become problems.
fn unique(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> Mapping {
    let mut seen: HashMap<Box<str>, Mark> = HashMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        match seen.get(&entry.key) {
            Some(first) => problems.push(duplicate_key(&entry.key, entry.key_mark, *first)),
            None => {
                seen.insert(entry.key.clone(), entry.key_mark);
                kept.push(entry);
            }
        }
    }
    Mapping { entries: kept }
}

/// From each line that begins at the margin with what can be a key to the next.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let shown = line.trim_start_matches('\u{feff}');
        let marker = shown.starts_with("---") || shown.starts_with("...");
        if marker || !shown.starts_with([' ', '\t', '#', '\r', '\n', '-', ']', '}', ')', ',']) {
            starts.push(at + line.len() - shown.len());
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

struct Reader<'t> {
    file: FileId,
    text: &'t str,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    broken: bool,
    all_named: bool,
}

impl Reader<'_> {
    /// `None`: the file is no block mapping, so blocks mean nothing.
    fn read(&mut self, block: &Range<usize>, mark: Mark) -> Option<()> {
        let text = &self.text[block.clone()];
        if text.starts_with(['{', '[']) {
            return None;
        }
        let (root, mut problems) = parse(self.file, text);
        problems.iter_mut().for_each(|problem| problem.shift(mark.start));
        self.problems.append(&mut problems);
        match root {
            Some(mut root) => {
                root.shift(mark.start);
                match root.value {
                    Value::Mapping(mapping) => self.entries.extend(mapping.entries),
                    // Only `---` stands there.
                    Value::Empty => {}
                    _ => self.lose(text, mark, true),
                }
            }
            // A directive holds nothing; it was told of.
            None if text.starts_with('%') => self.broken = true,
            None => self.lose(text, mark, false),
        }
        Some(())
    }

    /// Keeps the key of a block that cannot be read; `untold`: nothing was said about it yet.
    fn lose(&mut self, text: &str, block: Mark, untold: bool) {
        self.broken = true;
        if untold {
            let line = text.lines().next().unwrap_or_default().trim_end();
            let problem = Problem::error(block.part(0, line.len()), "expected a key here");
            let fix = "write \"key: value\", or indent this line like those above it";
            self.problems.push(problem.code(code::YAML_SYNTAX).fix(fix));
        }
        let line = text.lines().next().unwrap_or_default();
        let key = line.split(':').next().unwrap_or_default().trim_end();
        let key_mark = block.part(0, key.len());
        let name = key.trim_matches(['"', '\'']);
        if name.is_empty() || name.contains(char::is_whitespace) {
            self.all_named = false;
            return;
        }
        let value = Node::new(Value::Refused, Mark { start: key_mark.end, ..block });
        self.entries.push(Entry { key: name.into(), key_mark, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_very_many_keys_is_not_read_key_by_key() {
        let text =
            |keys: usize| (1..keys).map(|i| format!("k{i}:\n")).collect::<String>() + "k: [\n";
        let recovered = recover(FileId(0), &text(MAX_BLOCKS)).unwrap();
        assert_eq!(recovered.root.as_mapping().unwrap().entries.len(), MAX_BLOCKS);
        assert!(recover(FileId(0), &text(MAX_BLOCKS + 1)).is_none());
        assert!(recover(FileId(0), &text(MAX_BLOCKS + 2)).is_none());
    }
}
