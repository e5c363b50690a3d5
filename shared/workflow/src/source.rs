//! The texts a workflow was read from, and where a byte of them stands.

use libloom_contract::diagnostic::Span;
use libloom_contract::graph::{self, Position};
use sha2::{Digest as _, Sha256};

/// One of the files, in order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

/// A stretch of one file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    pub(crate) file: FileId,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Mark {
    /// A part of this stretch; both offsets are relative to its start and cut to its end.
    pub(crate) fn part(self, start: usize, end: usize) -> Mark {
        let at = |offset: usize| (self.start + as_u32(offset)).min(self.end);
        Mark { start: at(start), end: at(end), ..self }
    }

    /// The same stretch some bytes further on.
    pub(crate) fn shifted(self, by: u32) -> Mark {
        Mark { start: self.start + by, end: self.end + by, ..self }
    }

    pub(crate) fn holds(self, other: Mark) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }
}

/// Files are limited to far less than 4 GiB before an offset is ever made.
pub(crate) fn as_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// One file.
#[derive(Debug)]
pub struct SourceFile {
    /// Path relative to the repository root, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// Files from the workflow to this one, itself last; only itself for the workflow.
    pub(crate) chain: Vec<String>,
    line_starts: Vec<usize>,
    /// Characters before every [`STRIDE`]th byte: a line may be as long as the file.
    counts: Vec<u32>,
}

/// Bytes between two counts of characters.
const STRIDE: usize = 1024;

impl SourceFile {
    fn new(path: String, text: String, chain: Vec<String>) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let mut counts = vec![0];
        for piece in text.as_bytes().chunks(STRIDE) {
            counts.push(counts.last().copied().unwrap_or(0) + as_u32(characters(piece)));
        }
        SourceFile { path, text, chain, line_starts, counts }
    }

    /// Characters that begin before a byte.
    fn characters_before(&self, offset: usize) -> usize {
        let whole = offset / STRIDE;
        self.counts[whole] as usize + characters(&self.text.as_bytes()[whole * STRIDE..offset])
    }

    /// Line and column of a byte, from 1, the column in characters.
    fn line_and_column(&self, offset: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= offset) - 1;
        let mut start = self.line_starts[line];
        if start == 0 && self.text.starts_with('\u{feff}') {
            start = '\u{feff}'.len_utf8().min(offset);
        }
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        (as_u32(line + 1), as_u32(column))
    }
}

/// Characters that begin in a stretch of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count()
}

/// All files of a workflow, the workflow file first.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    pub(crate) fn add(&mut self, path: String, text: String, chain: Vec<String>) -> FileId {
        self.files.push(SourceFile::new(path, text, chain));
        FileId(as_u32(self.files.len() - 1))
    }

    pub(crate) fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The files in order of reading.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file at `path`, relative to the repository root.
    pub fn by_path(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn position(&self, mark: Mark) -> Position {
        let file = self.file(mark.file);
        let (line, column) = file.line_and_column(mark.start as usize);
        Position { file: file.path.clone(), line, column }
    }

    pub(crate) fn span(&self, mark: Mark) -> Span {
        let Position { file, line, column } = self.position(mark);
        Span { file, line, column, start: mark.start as usize, end: mark.end as usize }
    }

    /// The text of a stretch.
    pub(crate) fn slice(&self, mark: Mark) -> &str {
        let text = &self.file(mark.file).text;
        text.get(mark.start as usize..mark.end as usize).unwrap_or_default()
    }

    /// What the graph says about its sources.
    pub(crate) fn digests(&self) -> Vec<graph::Source> {
        let source = |file: &SourceFile| graph::Source {
            path: file.path.clone(),
            sha256: sha256_hex(file.text.as_bytes()),
        };
        self.files.iter().map(source).collect()
    }
}

/// SHA-256 in lowercase hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, offset: usize) -> (u32, u32) {
        SourceFile::new(String::new(), text.to_owned(), Vec::new()).line_and_column(offset)
    }

    #[test]
    fn columns_count_characters_and_lines_end_at_newlines() {
        let text = "aé日\r\nb\n";
        let places = [0, 1, 3, 6, 7, 8, 9, 10].map(|offset| place(text, offset));
        let expected = [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1), (2, 2), (3, 1)];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let text = "\u{feff}a\n\u{feff}b";
        assert_eq!([place(text, 0), place(text, 3), place(text, 4)], [(1, 1), (1, 1), (1, 2)]);
        assert_eq!(place(text, 8), (2, 2));
    }

    #[test]
    fn columns_are_counted_alike_in_lines_of_any_length() {
        let text = format!("{}\n{}", "é".repeat(3000), "aé".repeat(3000));
        let file = SourceFile::new(String::new(), text.clone(), Vec::new());
        for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
            let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
            let column = text[start..offset].chars().count() + 1;
            assert_eq!(file.line_and_column(offset).1 as usize, column, "{offset}");
        }
    }

    #[test]
    fn parts_stay_within_their_stretch() {
        let mark = |start, end| Mark { file: FileId(0), start, end };
        let whole = mark(10, 15);
        assert_eq!(whole.part(0, 2), mark(10, 12));
        assert_eq!(whole.part(3, 9), mark(13, 15));
        assert_eq!(whole.part(9, 9), mark(15, 15));
        assert!(whole.holds(whole) && whole.holds(mark(11, 14)));
        assert!(!whole.holds(mark(9, 12)) && !whole.holds(mark(12, 16)));
        assert!(!whole.holds(Mark { file: FileId(1), ..whole }));
    }
}
