//! Whether a stream is coloured: option, then environment, then terminal.

use std::str::FromStr;

/// What the user asked for with `--color` or `LOOM_COLOR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Colour where the stream is a terminal that can show it.
    #[default]
    Auto,
    /// Colour always.
    Always,
    /// No colour.
    Never,
}

impl ColorChoice {
    /// Every accepted word, in the order shown in help texts.
    pub const WORDS: [&'static str; 3] = ["auto", "always", "never"];

    /// The word that [`FromStr`] reads back.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl FromStr for ColorChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(format!("`{word}` is not one of auto, always, never")),
        }
    }
}

/// What the surroundings say about colour; each rule is one that other tools follow too.
#[derive(Clone, Copy, Debug, Default)]
pub struct ColorHints {
    /// `NO_COLOR` is set and not empty (no-color.org).
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set, not empty and not `0` (bixense.com/clicolors).
    pub force: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
    /// `CI` is set and says so: what is shown is kept as a log.
    pub ci: bool,
}

/// Answers for one stream; `choice` outranks every hint, `NO_COLOR` outranks forcing.
pub fn colored(choice: ColorChoice, hints: ColorHints, is_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if hints.no_color => false,
        ColorChoice::Auto => hints.force || (is_terminal && !hints.dumb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ColorHints = ColorHints { no_color: false, force: false, dumb: false, ci: false };

    #[test]
    fn choice_outranks_hints() {
        let hints = ColorHints { no_color: true, ..NONE };
        assert!(colored(ColorChoice::Always, hints, false));
        let hints = ColorHints { force: true, ..NONE };
        assert!(!colored(ColorChoice::Never, hints, true));
    }

    #[test]
    fn auto_follows_terminal_and_hints() {
        let auto = |hints, terminal| colored(ColorChoice::Auto, hints, terminal);
        assert!(auto(NONE, true));
        assert!(!auto(NONE, false));
        assert!(auto(ColorHints { force: true, ..NONE }, false));
        assert!(!auto(ColorHints { no_color: true, force: true, ..NONE }, true));
        assert!(!auto(ColorHints { dumb: true, ..NONE }, true));
    }

    #[test]
    fn words_round_trip() {
        for word in ColorChoice::WORDS {
            assert_eq!(word.parse::<ColorChoice>().unwrap().as_str(), word);
        }
        assert!("yes".parse::<ColorChoice>().is_err());
    }
}
