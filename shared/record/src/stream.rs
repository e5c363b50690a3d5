//! Reading one `events.jsonl`: record by record in constant memory, or its last lines of output.
//!
//! A last line without its line end is what a crash, or a writer at work, leaves: it is passed
//! over. Any other line that is no record is damage; reading can go on behind it.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use libloom_contract::{
    event::{Event, EventKind, Stream},
    version::{self, VersionError},
};

/// Longest line that can be a record: 64 KiB of output, each byte escaped, with ample room.
const RECORD_MAX: u64 = 1 << 20;
/// Output that [`last_lines`] looks at most, whatever the number of lines asked for.
const TAIL_BYTES_MAX: usize = 1 << 20;
/// First step backwards of [`last_lines`].
const BLOCK: u64 = 64 * 1024;

/// Why an event stream, or a part of it, cannot be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no event record.
    #[error("`{}` is damaged: line {line} is no event record", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// From 1; 0 where the file is read from its end.
        line: u64,
        /// What the JSON reader said; absent when the line is longer than any record.
        source: Option<serde_json::Error>,
    },
    /// The stream's format is not one this build reads.
    #[error("cannot read `{}`", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Newer, or of another family.
        source: VersionError,
    },
}

impl StreamError {
    /// Whether the file was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Iterates over the whole records of a stream, in order.
#[derive(Debug)]
pub struct EventReader {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    end: u64,
    torn: bool,
}

impl EventReader {
    /// Opens a stream.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StreamError> {
        let file = File::open(path)
            .map_err(|source| StreamError::Read { path: path.to_owned(), source })?;
        let file = BufReader::with_capacity(256 * 1024, file);
        let path = path.to_owned();
        Ok(EventReader { path, file, line: Vec::new(), number: 0, end: 0, torn: false })
    }

    /// Where the last whole line that was read ends, in bytes from the start of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The last line without its line end, once the iterator came to it; empty when there is none.
    pub fn torn(&self) -> &[u8] {
        if self.torn { &self.line } else { &[] }
    }

    /// Reads a line; `false` at the end of the whole ones.
    fn read_line(&mut self) -> Result<bool, StreamError> {
        self.line.clear();
        let mut limited = (&mut self.file).take(RECORD_MAX);
        let read = limited.read_until(b'\n', &mut self.line);
        read.map_err(|source| StreamError::Read { path: self.path.clone(), source })?;
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.end += self.line.len() as u64;
            return Ok(true);
        }
        if (self.line.len() as u64) < RECORD_MAX {
            self.torn = !self.line.is_empty();
            return Ok(false);
        }
        self.skip_line()
    }

    /// Goes behind a line that is too long to be a record.
    fn skip_line(&mut self) -> Result<bool, StreamError> {
        let skipped = self.file.skip_until(b'\n');
        let skipped =
            skipped.map_err(|source| StreamError::Read { path: self.path.clone(), source })?;
        self.end += (self.line.len() + skipped) as u64;
        Err(StreamError::Record { path: self.path.clone(), line: self.number, source: None })
    }
}

impl Iterator for EventReader {
    type Item = Result<Event, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.torn {
            return None;
        }
        match self.read_line() {
            Ok(true) => Some(record(&self.line, &self.path, self.number)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Parses one line; `line` only names it in errors.
fn record(bytes: &[u8], path: &Path, line: u64) -> Result<Event, StreamError> {
    let damaged =
        |source| StreamError::Record { path: path.to_owned(), line, source: Some(source) };
    if line == 1 {
        check_version(bytes, path)?;
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Looks at the version alone, because a newer record may not parse as an [`Event`].
fn check_version(bytes: &[u8], path: &Path) -> Result<(), StreamError> {
    #[derive(serde::Deserialize)]
    struct Header {
        schema_version: Option<String>,
    }
    let header = serde_json::from_slice::<Header>(bytes).ok();
    let Some(found) = header.and_then(|header| header.schema_version) else { return Ok(()) };
    version::LOGS
        .check(&found)
        .map_err(|source| StreamError::Version { path: path.to_owned(), source })
}

/// The bytes of an output event; `None` for other events and where its base64 is damaged.
pub fn output(event: &Event) -> Option<(Stream, Cow<'_, [u8]>)> {
    let stream = event.stream.filter(|_| event.event == EventKind::Output)?;
    let bytes = match (&event.text, &event.bytes) {
        (Some(text), _) => Cow::Borrowed(text.as_bytes()),
        (None, Some(bytes)) => Cow::Owned(BASE64_STANDARD.decode(bytes).ok()?),
        (None, None) => Cow::Borrowed(&[][..]),
    };
    Some((stream, bytes))
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub stream: Stream,
    /// Its bytes without the line end; of an overlong line the end.
    pub bytes: Vec<u8>,
}

/// The last lines of output of a stream, at most `count`, oldest first.
///
/// Reads from the end of the file and no more than it must; an output of endless lines counts
/// with its last MiB. The lines of both streams stand in the order in which they ended.
///
/// # Errors
/// The file cannot be read, or a line near its end is no record.
pub fn last_lines(path: &Path, count: usize) -> Result<Vec<Line>, StreamError> {
    last_lines_within(path, count, TAIL_BYTES_MAX)
}

/// As [`last_lines`], but looking at no more than about `limit` bytes of output.
///
/// # Errors
/// As [`last_lines`].
pub fn last_lines_within(
    path: &Path,
    count: usize,
    limit: usize,
) -> Result<Vec<Line>, StreamError> {
    let mut backwards = Backwards::open(path)?;
    let mut events = Vec::new();
    let (mut ends, mut bytes) = (0, 0);
    while ends <= count && bytes < limit {
        let Some(line) = backwards.previous_line()? else { break };
        let event = record(&line, path, 0)?;
        let Some((_, output)) = output(&event) else { continue };
        ends += output.iter().filter(|byte| **byte == b'\n').count();
        bytes += output.len();
        events.push(event);
    }
    let mut lines = assemble(events.iter().rev());
    lines.drain(..lines.len().saturating_sub(count));
    Ok(lines)
}

/// The lines of both streams, each where it ends; a line without its end where it stops.
fn assemble<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut unfinished = [Unfinished::default(), Unfinished::default()];
    for (stream, bytes) in events.filter_map(output) {
        let open = &mut unfinished[usize::from(stream == Stream::Stderr)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            open.bytes.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            open.place = lines.len();
            if piece.ends_with(b"\n") {
                lines.push(Line { stream, bytes: std::mem::take(&mut open.bytes) });
            }
        }
    }
    let [out, err] = unfinished;
    let mut rest = [(Stream::Stdout, out), (Stream::Stderr, err)];
    rest.sort_by_key(|(_, open)| std::cmp::Reverse(open.place));
    for (stream, Unfinished { bytes, place }) in rest {
        if !bytes.is_empty() {
            lines.insert(place, Line { stream, bytes });
        }
    }
    lines
}

/// A line that has not ended yet, and how many lines had ended when it was last added to.
#[derive(Default)]
struct Unfinished {
    bytes: Vec<u8>,
    place: usize,
}

/// The whole lines of a file from its last to its first.
struct Backwards {
    path: PathBuf,
    file: File,
    /// Bytes from `start` on that were not given out yet.
    pending: Vec<u8>,
    start: u64,
    block: u64,
}

impl Backwards {
    fn open(path: &Path) -> Result<Self, StreamError> {
        let read = |source| StreamError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let start = file.seek(SeekFrom::End(0)).map_err(read)?;
        let mut backwards =
            Backwards { path: path.to_owned(), file, pending: Vec::new(), start, block: BLOCK };
        backwards.drop_torn_line()?;
        Ok(backwards)
    }

    fn drop_torn_line(&mut self) -> Result<(), StreamError> {
        loop {
            if let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') {
                self.pending.truncate(end + 1);
                return Ok(());
            }
            if !self.read_block()? {
                self.pending.clear();
                return Ok(());
            }
        }
    }

    fn previous_line(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        loop {
            let before_end = self.pending.len().saturating_sub(1);
            if let Some(end) = self.pending[..before_end].iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.pending.split_off(end + 1)));
            }
            if !self.read_block()? {
                let first = std::mem::take(&mut self.pending);
                return Ok((!first.is_empty()).then_some(first));
            }
        }
    }

    /// Reads the block before; `false` when the file begins here.
    fn read_block(&mut self) -> Result<bool, StreamError> {
        if self.pending.len() as u64 > RECORD_MAX {
            return Err(StreamError::Record { path: self.path.clone(), line: 0, source: None });
        }
        let length = self.block.min(self.start);
        let mut block = vec![0; usize::try_from(length).unwrap_or(0)];
        self.start -= length;
        let read = self.file.seek(SeekFrom::Start(self.start));
        read.and_then(|_| self.file.read_exact(&mut block))
            .map_err(|source| StreamError::Read { path: self.path.clone(), source })?;
        block.append(&mut self.pending);
        self.pending = block;
        Ok(length > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use libloom_contract::Timestamp;

    use super::*;
    use crate::events::{EventLog, Output, Subject};

    fn stream_of(pieces: &[(Stream, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path, Subject::step("script/01", "build")).unwrap();
        log.append_own(EventKind::Start).unwrap();
        for (stream, bytes) in pieces {
            let ts = Timestamp::now();
            let partial = !bytes.ends_with(b"\n");
            log.output(Output { ts, stream: *stream, bytes, lines: 1, partial }).unwrap();
        }
        log.append_own(EventKind::Finish).unwrap();
        (folder, path)
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
    }

    #[test]
    fn torn_last_line_is_passed_over_at_every_length() {
        let (_folder, path) = stream_of(&[(Stream::Stdout, b"one\n"), (Stream::Stderr, b"\xff\n")]);
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let ends = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            let mut reader = EventReader::open(&path).unwrap();
            let events: Result<Vec<_>, _> = reader.by_ref().collect();
            assert_eq!(events.unwrap().len(), ends);
            let torn = reader.torn().len();
            assert_eq!(reader.end() as usize + torn, length);
            assert!(last_lines(&path, 9).unwrap().len() <= 2);
        }
    }

    #[test]
    fn damaged_line_is_named_and_reading_goes_on() {
        let (_folder, path) = stream_of(&[]);
        let text = fs::read_to_string(&path).unwrap();
        let long = "x".repeat(RECORD_MAX as usize + 5);
        fs::write(&path, text.replacen('\n', &format!("\nnonsense\n{long}\n"), 1)).unwrap();
        let results: Vec<_> = EventReader::open(&path).unwrap().collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
        let message = results[1].as_ref().unwrap_err().to_string();
        assert!(message.ends_with("damaged: line 2 is no event record"), "{message}");
        assert!(matches!(results[2], Err(StreamError::Record { line: 3, source: None, .. })));
    }

    #[test]
    fn unknown_fields_are_accepted_and_newer_versions_refused() {
        let (_folder, path) = stream_of(&[]);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"seq\"", "\"later\":{},\"seq\"")).unwrap();
        assert!(EventReader::open(&path).unwrap().all(|event| event.is_ok()));
        fs::write(&path, text.replace("logs.v2", "logs.v3").replace("start", "launch")).unwrap();
        let error = EventReader::open(&path).unwrap().next().unwrap().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("newer") && cause.contains("update loom"), "{cause}");
    }

    #[test]
    fn bytes_are_reconstructed() {
        let long = vec![b'\x01'; 64 * 1024];
        let (_folder, path) = stream_of(&[(Stream::Stdout, &long), (Stream::Stdout, b"\xff\xfe")]);
        let events: Result<Vec<_>, _> = EventReader::open(&path).unwrap().collect();
        let events = events.unwrap();
        let bytes: Vec<u8> =
            events.iter().filter_map(output).flat_map(|o| o.1.into_owned()).collect();
        assert_eq!(bytes, [long.as_slice(), b"\xff\xfe"].concat());
    }

    #[test]
    fn last_lines_join_partial_records_and_keep_the_order_of_line_ends() {
        let (_folder, path) = stream_of(&[
            (Stream::Stdout, b"zero\none\ntw"),
            (Stream::Stderr, b"err\n"),
            (Stream::Stdout, b"o\nunfinished"),
        ]);
        assert_eq!(texts(&last_lines(&path, 3).unwrap()), ["err", "two", "unfinished"]);
        let all = ["zero", "one", "err", "two", "unfinished"];
        assert_eq!(texts(&last_lines(&path, 99).unwrap()), all);
        assert!(last_lines(&path, 0).unwrap().is_empty());
    }

    #[test]
    fn last_lines_read_only_the_end_of_a_large_file() {
        let line = [b"x".repeat(99), b"\n".to_vec()].concat().repeat(600);
        let pieces: Vec<(Stream, &[u8])> = vec![(Stream::Stdout, &line); 200];
        let (_folder, path) = stream_of(&pieces);
        // Whoever read the file from its start would stumble over this.
        let mut bytes = fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes[..half].fill(b'#');
        fs::write(&path, bytes).unwrap();
        assert_eq!(last_lines(&path, 700).unwrap().len(), 700);
    }

    proptest::proptest! {
        #[test]
        fn last_lines_are_the_end_of_all_lines(
            pieces in proptest::collection::vec(
                (proptest::bool::ANY, "[ab\n\u{1}é]{0,40}", 1..3000usize),
                0..40,
            ),
            count in 0..60usize,
        ) {
            let pieces: Vec<(Stream, Vec<u8>)> = pieces
                .into_iter()
                .map(|(err, text, times)| {
                    let stream = if err { Stream::Stderr } else { Stream::Stdout };
                    (stream, text.repeat(times / 100 + 1).into_bytes())
                })
                .collect();
            let borrowed: Vec<_> = pieces.iter().map(|(s, bytes)| (*s, bytes.as_slice())).collect();
            let (_folder, path) = stream_of(&borrowed);
            let events: Result<Vec<_>, _> = EventReader::open(&path).unwrap().collect();
            let all = assemble(events.unwrap().iter());
            let last = last_lines(&path, count).unwrap();
            proptest::prop_assert_eq!(&last.len(), &count.min(all.len()));
            // A line whose begin lies before what was read shows its end.
            for (shown, whole) in last.iter().zip(&all[all.len() - last.len()..]) {
                proptest::prop_assert_eq!(shown.stream, whole.stream);
                proptest::prop_assert!(whole.bytes.ends_with(&shown.bytes));
            }
        }
    }
}
