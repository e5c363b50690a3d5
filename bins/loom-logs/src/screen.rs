//! Output of jobs as people see it: nothing in it moves the cursor, colours may pass.
//!
//! Of a line that was drawn over with carriage returns (progress bars) the last state is left.
//! The exact bytes are what `show --raw` is for.

use libloom_console::{Paint, printable};

const RESET: &str = "\u{1b}[0m";

/// `bytes`, a line without its end, ready for a terminal.
pub(crate) fn line(bytes: &[u8], paint: Paint) -> String {
    let text = String::from_utf8_lossy(last_drawn(bytes));
    let (mut shown, mut rest, mut styled) = (String::new(), text.as_ref(), false);
    while let Some((before, code, after)) = split_at_colour(rest) {
        shown.push_str(&printable(before));
        if paint.is_colored() {
            shown.push_str(code);
            styled = true;
        }
        rest = after;
    }
    shown.push_str(&printable(rest));
    if styled {
        shown.push_str(RESET);
    }
    shown
}

/// At most `count` characters of a text, with a sign where some were left out.
pub(crate) fn cut(text: &str, count: usize) -> String {
    match text.char_indices().nth(count) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) fn last_drawn(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    bytes.rsplit(|byte| *byte == b'\r').next().unwrap_or(bytes)
}

/// Splits at the first sequence that only changes colours and styles: `ESC [ digits ; : m`.
fn split_at_colour(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("\u{1b}[") {
        let start = from + found;
        let parameters = &text[start + 2..];
        let is_parameter = |c: char| c.is_ascii_digit() || c == ';' || c == ':';
        let length = parameters.find(|c| !is_parameter(c)).unwrap_or(parameters.len());
        if parameters[length..].starts_with('m') {
            let end = start + 2 + length + 1;
            return Some((&text[..start], &text[start..end], &text[end..]));
        }
        from = start + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: fn() -> Paint = || Paint::new(false);

    #[test]
    fn colours_pass_where_there_are_colours_and_end_with_the_line() {
        let bytes = b"\x1b[31mred\x1b[0m \x1b[2Jcleared \x1b]0;title\x07";
        let safe = "red \\u{1b}[2Jcleared \\u{1b}]0;title\\u{7}";
        assert_eq!(line(bytes, PLAIN()), safe);
        let coloured = line(b"\x1b[1;31mred \x1b[2J", Paint::new(true));
        assert_eq!(coloured, "\u{1b}[1;31mred \\u{1b}[2J\u{1b}[0m");
    }

    #[test]
    fn progress_bars_show_their_last_state() {
        assert_eq!(line(b" 10%\r 50%\r100%\r", PLAIN()), "100%");
        assert_eq!(line(b"dos\r", PLAIN()), "dos");
    }

    #[test]
    fn bytes_that_are_no_text_are_harmless() {
        assert_eq!(line(b"a\xff\x00b", PLAIN()), "a\u{fffd}\\u{0}b");
        assert_eq!(cut("日本語", 2), "日本…");
    }
}
