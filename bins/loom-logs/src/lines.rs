//! Whole lines of output, put together from the records of one step.
//!
//! Each stream has its own lines; they come in the order in which they end, so that nothing a
//! command wrote to one stream stands within a line of the other.

use libloom_contract::event::Stream;

/// A line longer than this is given out in pieces, so that memory stays bounded.
const LINE_MAX: usize = 1 << 20;

/// The lines that have not ended yet, one a stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: [Vec<u8>; 2],
}

impl Lines {
    /// Takes what was written to `stream`; `each` gets the lines that are whole, without their end.
    pub(crate) fn push<E>(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        mut each: impl FnMut(Stream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let open = &mut self.open[place(stream)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            match (open.is_empty(), ended) {
                (true, Some(line)) => each(stream, line)?,
                _ => open.extend_from_slice(ended.unwrap_or(piece)),
            }
            if !open.is_empty() && (ended.is_some() || open.len() > LINE_MAX) {
                each(stream, open)?;
                open.clear();
            }
        }
        Ok(())
    }

    /// No more comes: `each` gets what never ended.
    pub(crate) fn finish<E>(
        &mut self,
        mut each: impl FnMut(Stream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.open[place(stream)]);
            if !rest.is_empty() {
                each(stream, &rest)?;
            }
        }
        Ok(())
    }
}

fn place(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn lines(pieces: &[(Stream, &str)]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut each = |_, line: &[u8]| {
            found.push(String::from_utf8_lossy(line).into_owned());
            Ok::<_, Infallible>(())
        };
        for (stream, piece) in pieces {
            lines.push(*stream, piece.as_bytes(), &mut each).unwrap();
        }
        lines.finish(&mut each).unwrap();
        found
    }

    #[test]
    fn streams_do_not_mix_within_a_line() {
        let found = lines(&[
            (Stream::Stdout, "one\n\ntw"),
            (Stream::Stderr, "err\n"),
            (Stream::Stdout, "o\nrest"),
        ]);
        assert_eq!(found, ["one", "", "err", "two", "rest"]);
    }

    #[test]
    fn endless_lines_come_in_pieces() {
        let long = "x".repeat(LINE_MAX + 1);
        let found = lines(&[(Stream::Stdout, &long), (Stream::Stdout, "y\n")]);
        assert_eq!([found[0].len(), found[1].len()], [LINE_MAX + 1, 1]);
    }
}
