//! Text in a given number of terminal columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for what was cut off.
const CUT: char = '…';

/// Terminal columns that `text` takes; wide characters take two.
pub fn display_width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `columns` columns, its end cut off where it is longer.
pub fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = front(text, columns.saturating_sub(1)).to_owned();
    cut.extend((columns > 0).then_some(CUT));
    cut
}

/// `text` in at most `columns` columns, its middle cut out where it is longer: names of a kind
/// often differ at the end only.
pub fn fit_middle(text: &str, columns: usize) -> String {
    if text.width() <= columns || columns < 4 {
        return fit(text, columns);
    }
    let end = (columns - 1) / 2;
    let start = columns - 1 - end;
    format!("{}{CUT}{}", front(text, start), back(text, end))
}

/// `text` followed by the blanks that make it `columns` wide.
pub fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(blanks))
}

/// Columns that `c` adds to a text, at most; the selector of pictures widens what stands before it.
fn columns_of(c: char) -> usize {
    if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(1) }
}

/// The longest start of `text` that is no wider than `columns`.
fn front(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = text.char_indices().find(|&(_, c)| {
        width += columns_of(c);
        width > columns
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// The longest end of `text` that is no wider than `columns`.
fn back(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let start = text.char_indices().rev().find(|&(_, c)| {
        width += columns_of(c);
        width > columns
    });
    start.map_or(text, |(start, c)| &text[start + c.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cut_text_says_so_and_counts_columns() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("longer", 5), "long…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("long", 0), "");
        assert_eq!(fit_middle("test-linux-1", 8), "test…x-1");
        assert_eq!(pad("日本", 6), "日本  ");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked_for(text in ".{0,40}", columns in 0usize..50) {
            for cut in [fit(&text, columns), fit_middle(&text, columns)] {
                prop_assert!(display_width(&cut) <= columns, "{cut:?} in {columns}");
            }
        }
    }
}
