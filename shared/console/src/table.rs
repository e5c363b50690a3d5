//! A table of aligned columns, without lines; widths count terminal columns, not bytes.

use crate::{Label, Paint, display_width};

/// Rows collected first, rendered once with every column as wide as its widest cell.
#[derive(Debug, Default)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    label: Option<Label>,
}

impl Table {
    /// An empty table without a heading.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty table with one heading a column.
    pub fn with_heading(titles: &[&str]) -> Self {
        Self { heading: titles.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row of plain cells; rows may differ in length.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.labelled_row(cells.into_iter().map(|text| (None, text)));
    }

    /// Adds a row whose cells may carry a label.
    pub fn labelled_row<T: Into<String>>(
        &mut self,
        cells: impl IntoIterator<Item = (Option<Label>, T)>,
    ) {
        let cell = |(label, text): (Option<Label>, T)| Cell { text: text.into(), label };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All lines, each with its line end and without trailing blanks; two blanks between columns.
    pub fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut text = String::new();
        if !self.heading.is_empty() {
            let heading = self.heading.iter().map(|title| (Some(Label::Heading), title.as_str()));
            push_line(&mut text, heading, &widths, paint);
        }
        for row in &self.rows {
            let cells = row.iter().map(|cell| (cell.label, cell.text.as_str()));
            push_line(&mut text, cells, &widths, paint);
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heading.iter().map(|t| display_width(t)).collect();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(display_width(&cell.text));
            }
        }
        widths
    }
}

fn push_line<'a>(
    text: &mut String,
    cells: impl Iterator<Item = (Option<Label>, &'a str)>,
    widths: &[usize],
    paint: Paint,
) {
    // Blanks are owed, and paid only when another cell follows: no line ends in blanks.
    let mut owed = 0;
    for ((label, cell), width) in cells.zip(widths) {
        if !cell.is_empty() {
            text.extend(std::iter::repeat_n(' ', owed));
            owed = 0;
            match label {
                Some(label) => text.push_str(&paint.paint(label, cell).to_string()),
                None => text.push_str(cell),
            }
        }
        owed += width - display_width(cell) + 2;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_terminal_width_without_trailing_blanks() {
        let mut table = Table::with_heading(&["NAME", "STATUS", "TIME"]);
        table.row(["日本", "success", "1s"]);
        table.row(["lint", "", ""]);
        let lines = "NAME  STATUS   TIME\n日本  success  1s\nlint\n";
        assert_eq!(table.render(Paint::new(false)), lines);
    }

    #[test]
    fn labels_do_not_change_alignment() {
        let mut table = Table::new();
        table.labelled_row([(Some(Label::Success), "ok"), (None, "a")]);
        table.row(["long", "b"]);
        let colored = table.render(Paint::new(true));
        assert!(colored.contains("\u{1b}[0m    a\n"), "{colored:?}");
    }
}
