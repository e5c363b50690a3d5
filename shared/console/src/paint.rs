//! Styles by meaning: call sites name a [`Label`], this table decides how it looks.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// What a piece of text is; colour never carries meaning that the words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The word `error:`, and what is wrong.
    Error,
    /// The word `warning:`.
    Warning,
    /// The word `note:`.
    Note,
    /// The word `hint:`.
    Hint,
    /// Title of a section or a table.
    Heading,
    /// Status of something that succeeded.
    Success,
    /// Status of something that failed.
    Failure,
    /// Status of something that was skipped.
    Skipped,
    /// Status of something that was cancelled.
    Cancelled,
    /// Status of something in progress.
    Running,
    /// One of several things that are told apart, by its number.
    Member(usize),
    /// Name of a job, step, command or file.
    Name,
    /// What was searched for.
    Match,
    /// Text of second rank: times, ids, counts.
    Dim,
}

/// Colours that can be read on dark and on light ground; red means failure.
const MEMBERS: [AnsiColor; 4] =
    [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Green, AnsiColor::Blue];

impl Label {
    fn style(self) -> Style {
        let bold = |color: AnsiColor| color.on_default().bold();
        match self {
            Self::Error | Self::Failure => bold(AnsiColor::Red),
            Self::Warning | Self::Cancelled => bold(AnsiColor::Yellow),
            Self::Note | Self::Hint => bold(AnsiColor::Cyan),
            Self::Success => bold(AnsiColor::Green),
            Self::Running => AnsiColor::Cyan.on_default(),
            Self::Member(number) => MEMBERS[number % MEMBERS.len()].on_default(),
            Self::Match => bold(AnsiColor::Magenta),
            Self::Heading | Self::Name => Style::new().bold(),
            Self::Skipped | Self::Dim => Style::new().dimmed(),
        }
    }
}

/// Styles text for one stream, or leaves it plain; small enough to pass by value.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    colored: bool,
}

impl Paint {
    /// Paints if `colored`, else returns every text as it is.
    pub fn new(colored: bool) -> Self {
        Self { colored }
    }

    /// Whether escape sequences are written at all.
    pub fn is_colored(self) -> bool {
        self.colored
    }

    /// `text` in the style of `label`; format it with `{}`.
    pub fn paint<T: fmt::Display>(self, label: Label, text: T) -> Painted<T> {
        Painted { style: self.colored.then(|| label.style()), text }
    }
}

/// A text with its style, from [`Paint::paint`].
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::new(false).paint(Label::Error, "no").to_string(), "no");
    }

    #[test]
    fn colored_paint_ends_what_it_begins() {
        let text = Paint::new(true).paint(Label::Error, "no").to_string();
        assert!(text.starts_with("\u{1b}[") && text.ends_with("\u{1b}[0m"), "{text:?}");
    }
}
