//! What a program wrote, as it may be shown on a line of ours: a progress bar as it ended, colours
//! if they are wanted, and nothing that moves the cursor or speaks to the terminal.

/// Most bytes of a line that are looked at.
const BYTES_MAX: usize = 64 * 1024;
/// Columns between tab stops, which count from the start of the text rather than of the row.
const TAB: usize = 8;

/// One line of output, without its end, as it looks on a terminal. What a carriage return wrote
/// over is left out; bytes that are not UTF-8 become U+FFFD; of escape sequences only colours
/// stay, if `colors`, and are switched off at the end.
pub fn shown_line(line: &[u8], colors: bool) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = last_written(line);
    let text = String::from_utf8_lossy(&line[..line.len().min(BYTES_MAX)]);
    let mut shown =
        Shown { text: String::with_capacity(text.len()), column: 0, styled: false, kept: 0 };
    let mut rest: &str = &text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\x1b' => shown.escape(rest, colors),
            _ => shown.character(c),
        };
        rest = &rest[length..];
    }
    if shown.styled {
        shown.text.push_str("\x1b[0m");
    }
    shown.text
}

/// The text after the last carriage return that has text after it.
fn last_written(line: &[u8]) -> &[u8] {
    let mut parts = line.rsplit(|&byte| byte == b'\r');
    parts.find(|part| !part.is_empty()).unwrap_or_default()
}

#[derive(Default)]
struct Shown {
    text: String,
    /// Characters so far: good enough for tabs.
    column: usize,
    styled: bool,
    /// Bytes of `text` up to the end of the last colour, which no overstrike may tear.
    kept: usize,
}

impl Shown {
    fn character(&mut self, c: char) -> usize {
        match c {
            '\t' => {
                let blanks = TAB - self.column % TAB;
                self.text.extend(std::iter::repeat_n(' ', blanks));
                self.column += blanks;
            }
            '\u{8}' => {
                // Overstrikes of old manual pages: the later character stands.
                if self.text.len() > self.kept && self.text.pop().is_some() {
                    self.column = self.column.saturating_sub(1);
                }
            }
            c if crate::printable::is_hostile(c) => {}
            c => {
                self.text.push(c);
                self.column += 1;
            }
        }
        c.len_utf8()
    }

    /// Passes over the escape sequence at the start of `rest`, or keeps it; returns its length.
    fn escape(&mut self, rest: &str, colors: bool) -> usize {
        let length = sequence_length(rest);
        let sequence = &rest[..length];
        if colors && is_color(sequence) {
            self.text.push_str(sequence);
            self.styled = true;
            self.kept = self.text.len();
        }
        length
    }
}

/// Length of the escape sequence at the start of `text` (ECMA-48): `ESC [` parameters, final byte;
/// `ESC ]`, `P`, `X`, `^`, `_` up to BEL or `ESC \`; else ESC, intermediate bytes, final byte.
fn sequence_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let until = |from: usize, is_last: fn(&u8) -> bool| {
        let end = bytes[from..].iter().position(is_last);
        end.map_or(bytes.len(), |end| from + end + 1)
    };
    let length = match bytes.get(1) {
        Some(b'[') => until(2, |byte| !matches!(byte, 0x20..=0x3f)),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => match until(2, |byte| matches!(byte, 7 | 0x1b)) {
            end if bytes[end - 1] == 0x1b && bytes.get(end) == Some(&b'\\') => end + 1,
            end => end,
        },
        Some(0x20..=0x2f) => until(1, |byte| !matches!(byte, 0x20..=0x2f)),
        Some(byte) if byte.is_ascii_graphic() => 2,
        _ => 1,
    };
    // A sequence that is broken off by a character of several bytes ends before it.
    (1..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(1)
}

/// `ESC [` digits, `;` and `:`, `m`: colours and weight of text.
fn is_color(sequence: &str) -> bool {
    let parameters = sequence.strip_prefix("\x1b[").and_then(|rest| rest.strip_suffix('m'));
    parameters.is_some_and(|p| p.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_seen_in_the_end_is_shown() {
        for (line, shown) in [
            (&b"plain"[..], "plain"),
            (b"10%\r50%\r100%\r\n", "100%"),
            (b"a\tb", "a       b"),
            (b"\x1b[31mred\x1b[0m text", "red text"),
            (b"\x1b[2J\x1b[1;1Hgone\x1b[?25l", "gone"),
            (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link", "alink"),
            (b"\x1b(Ba\x1bMb\x1b", "ab"),
            (b"bell\x07 nul\x00 bin\xff\xfe", "bell nul bin\u{fffd}\u{fffd}"),
            (b"N\x08NA\x08A", "NA"),
            ("\u{202e}evil \u{9b}31mé".as_bytes(), "evil 31mé"),
            ("\x1b[é".as_bytes(), "é"),
            (b"", ""),
        ] {
            assert_eq!(shown_line(line, false), shown, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn colours_stay_where_they_are_wanted_and_end_with_the_line() {
        assert_eq!(shown_line(b"\x1b[1;31mred\x1b[2K", true), "\x1b[1;31mred\x1b[0m");
        assert_eq!(shown_line(b"plain", true), "plain");
        assert_eq!(shown_line(b"\x1b[31m\x08x", true), "\x1b[31mx\x1b[0m");
    }

    proptest! {
        #[test]
        fn nothing_reaches_the_terminal_but_text(
            line in prop::collection::vec(
                prop::sample::select(&b"\x1b[]PX;:08mHJ\\\x07\r\x08\t\xc3\xa9\x9b\xffab"[..]), 0..60),
        ) {
            let shown = shown_line(&line, false);
            prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
            // With colours the only escapes are theirs.
            let colored = shown_line(&line, true);
            for after in colored.split('\x1b').skip(1) {
                let sequence = format!("\x1b{}", &after[..=after.find('m').unwrap()]);
                prop_assert!(is_color(&sequence), "{colored:?}");
            }
        }
    }
}
