//! The table that is printed: one row a contender.

use crate::measure::Samples;

/// How good a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

impl Target {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Target::AtMost(limit) => figure <= limit,
            Target::AtLeast(limit) => figure >= limit,
        }
    }

    fn describe(self) -> String {
        match self {
            Target::AtMost(limit) => format!("≤ {limit}"),
            Target::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

/// One line: what was measured, and what it came to.
#[derive(Debug)]
pub struct Row {
    cells: [String; 5],
}

impl Row {
    /// What a contender took, its ratio to `yardstick`, and the target of that ratio.
    pub fn ratio(samples: &Samples, yardstick: &Samples, target: Option<Target>) -> Self {
        let figure = samples.ratio(yardstick);
        let name = format!("{} / {}", samples.name, yardstick.name);
        Row::figure(&name, figure, "", target).timed(samples)
    }

    /// The times of a contender alone, such as the yardstick.
    pub fn time(samples: &Samples) -> Self {
        let mut cells = [const { String::new() }; 5];
        cells[0].clone_from(&samples.name);
        Row { cells }.timed(samples)
    }

    /// A figure of its own, with its unit.
    pub fn figure(name: &str, figure: f64, unit: &str, target: Option<Target>) -> Self {
        let verdict = target.map_or_else(String::new, |target| {
            let word = if target.is_met_by(figure) { "met" } else { "MISSED" };
            format!("{} {word}", target.describe())
        });
        let figure = format!("{figure:.2} {unit}");
        Row { cells: [name.to_owned(), String::new(), String::new(), figure, verdict] }
    }

    /// Something that is not measured, and why.
    pub fn skipped(why: &str) -> Self {
        let mut cells = [const { String::new() }; 5];
        cells[0] = format!("skipped: {why}");
        Row { cells }
    }

    /// Why there are no figures.
    pub fn note(why: &str) -> Self {
        let mut cells = [const { String::new() }; 5];
        cells[0] = format!("left out: {why}");
        Row { cells }
    }

    /// With the contender's times.
    pub fn timed(mut self, samples: &Samples) -> Self {
        self.cells[1] = milliseconds(samples.seconds());
        self.cells[2] = milliseconds(samples.cpu_seconds());
        self
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

const HEADER: [&str; 5] = ["", "median", "cpu", "figure", "target"];

/// The rows below each other, columns aligned.
pub fn render(rows: &[Row]) -> String {
    let header = HEADER.map(str::to_owned);
    let all: Vec<&[String; 5]> =
        [&header].into_iter().chain(rows.iter().map(|row| &row.cells)).collect();
    let width =
        |column: usize| all.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let line = |cells: &&[String; 5]| {
        let [name, wall, cpu, figure, verdict] = *cells;
        let [a, b, c, d, _] = widths;
        let text = format!("  {name:<a$}  {wall:>b$}  {cpu:>c$}  {figure:>d$}  {verdict}");
        text.trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beyond_its_target_is_marked() {
        let target = Some(Target::AtMost(1.5));
        let rows =
            [Row::figure("fast", 1.5, "x", target), Row::figure("slow one", 1.51, "x", target)];
        let text = render(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("  fast  ") && lines[1].ends_with("1.50 x  ≤ 1.5 met"));
        assert!(lines[2].starts_with("  slow one  ") && lines[2].ends_with("1.51 x  ≤ 1.5 MISSED"));
        assert_eq!(lines[1].find('≤'), lines[2].find('≤'), "columns are aligned: {text}");
    }
}
