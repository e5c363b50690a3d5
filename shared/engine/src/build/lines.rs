//! Output of a step in whole lines, and the last of them.

use std::collections::VecDeque;

/// Lines that are kept to explain a failure.
const LAST_LINES: usize = 20;
/// A line that does not end is let go in parts of this many bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes that wait for the end of their line.
#[derive(Clone, Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes; returns the whole lines that there are now, line ends included.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.extend_from_slice(bytes);
        let end = match self.0.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.0.len() >= LINE_BYTES_MAX => self.0.len(),
            None => return None,
        };
        let rest = self.0.split_off(end);
        Some(std::mem::replace(&mut self.0, rest))
    }

    /// What waits for a line end that will not come.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.0)).filter(|rest| !rest.is_empty())
    }
}

/// The last lines of a step.
#[derive(Clone, Debug, Default)]
pub struct Tail(VecDeque<String>);

impl Tail {
    /// Takes whole lines.
    pub fn push(&mut self, lines: &[u8]) {
        for line in String::from_utf8_lossy(lines).lines() {
            if self.0.len() == LAST_LINES {
                self.0.pop_front();
            }
            self.0.push_back(line.to_owned());
        }
    }

    /// The lines, oldest first.
    pub fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_whole_lines() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"a"), None);
        assert_eq!(lines.feed(b"b\nc\nd"), Some(b"ab\nc\n".to_vec()));
        assert_eq!(lines.finish(), Some(b"d".to_vec()));
        assert_eq!(lines.finish(), None);
        assert_eq!(
            lines.feed(&[b'x'; LINE_BYTES_MAX]).map(|line| line.len()),
            Some(LINE_BYTES_MAX)
        );
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut tail = Tail::default();
        for number in 0..LAST_LINES + 2 {
            tail.push(format!("{number}\n").as_bytes());
        }
        let lines = tail.into_lines();
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines.last().unwrap(), &(LAST_LINES + 1).to_string());
    }
}
