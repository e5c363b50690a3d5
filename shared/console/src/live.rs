//! Lines at the bottom of the terminal that are drawn anew in place, below everything else.
//!
//! The cursor rests at the start of the first line and is never hidden. So one sequence clears
//! the lines without counting rows: a terminal that is made narrower wraps them anew and takes
//! the cursor along, where a display that moves up by the rows it once drew leaves copies behind.
//! And whoever finds that the process was killed clears what it left without having known it.
//! Lines are drawn with wrapping off, so that one that turns out too long is cut, not torn.

use std::io::{self, IsTerminal, Write};

use crate::Console;

/// Clears from the start of the cursor's line to the end of the screen. Not in one go: where that is
/// the whole screen, tmux takes it for `clear` and keeps a copy of what was on it.
pub(crate) const CLEAR: &str = "\r\x1b[K\x1b[C\x1b[J\r";
const END_OF_LINE: &str = "\x1b[K\r\n";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What a terminal without a size (a serial line) is taken for.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: usize,
    /// Rows on the screen.
    pub rows: usize,
}

impl Size {
    /// The size of the terminal behind stderr, now.
    pub(crate) fn of_stderr() -> Self {
        let told = rustix::termios::tcgetwinsize(io::stderr());
        match told.map(|told| (usize::from(told.ws_col), usize::from(told.ws_row))) {
            Ok((columns, rows)) if columns > 0 && rows > 0 => Size { columns, rows },
            _ => USUAL,
        }
    }
}

/// What is drawn at the moment.
#[derive(Debug, Default)]
pub(crate) struct Area {
    lines: Vec<String>,
    /// The terminal's size when they were drawn.
    size: Option<Size>,
}

impl Area {
    pub(crate) const NONE: Area = Area { lines: Vec::new(), size: None };

    /// What stands before other text: nothing, or what clears the lines.
    pub(crate) fn clearing(&self) -> &'static str {
        if self.lines.is_empty() { "" } else { CLEAR }
    }

    /// What draws the lines and brings the cursor back to the first; they never fill the screen,
    /// which would scroll.
    pub(crate) fn drawing(&self) -> String {
        if self.lines.is_empty() { String::new() } else { drawing(&self.lines, Size::of_stderr()) }
    }
}

fn drawing(lines: &[String], size: Size) -> String {
    let shown = &lines[..lines.len().min(size.rows.saturating_sub(1))];
    let Some(last) = shown.len().checked_sub(1) else { return CLEAR.into() };
    let up = if last > 0 { format!("\x1b[{last}A") } else { String::new() };
    format!("{NO_WRAP}\r{}\x1b[J\r{up}{WRAP}", shown.join(END_OF_LINE))
}

/// The right to draw lines at the bottom of the terminal; given back, they are cleared.
#[derive(Debug)]
pub struct Live {
    console: Console,
}

impl Live {
    pub(crate) fn new(console: Console) -> Self {
        Live { console }
    }

    /// The size of the terminal, now.
    pub fn size(&self) -> Size {
        Size::of_stderr()
    }

    /// Shows `lines`, already styled and no wider than the terminal, in place of what was shown.
    pub fn draw(&self, lines: Vec<String>) {
        let mut area = self.console.area();
        let size = Some(self.size());
        // Rows that the terminal wrapped itself stay joined until they are cleared.
        let afresh = lines.is_empty() || area.size != size;
        let mut text = if afresh { area.clearing().to_owned() } else { String::new() };
        (area.lines, area.size) = (lines, size);
        text.push_str(&area.drawing());
        // Nobody is left to tell when the terminal is gone.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.draw(Vec::new());
    }
}

/// Clears what a killed process of the same terminal may have left of its lines.
pub(crate) fn clear_abandoned() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(CLEAR.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[test]
    fn cursor_comes_back_to_the_first_line() {
        let size = Size { columns: 10, rows: 24 };
        let text = drawing(&lines(3), size);
        assert_eq!(
            text, "\x1b[?7l\r0\x1b[K\r\n1\x1b[K\r\n2\x1b[J\r\x1b[2A\x1b[?7h",
            "each line ends its row, the last one the screen"
        );
        assert_eq!(drawing(&lines(1), size), "\x1b[?7l\r0\x1b[J\r\x1b[?7h");
    }

    #[test]
    fn lines_beyond_the_screen_are_not_drawn() {
        let text = drawing(&lines(9), Size { columns: 10, rows: 4 });
        assert_eq!(text.matches("\r\n").count(), 2);
        assert!(text.contains("\x1b[2A") && !text.contains('3'), "{text:?}");
        assert_eq!(drawing(&lines(9), Size { columns: 10, rows: 1 }), CLEAR);
    }
}
