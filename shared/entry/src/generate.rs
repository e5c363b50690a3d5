//! `--generate man|bash|zsh|fish`: man page and completions out of the argument definitions.
//!
//! Hidden from help and looked at before parsing, so that no definition has to know of it. The
//! files in `man/` and `completions/` are its output, compared by `tests/suite/docs.rs`.

use std::ffi::OsString;
use std::str::FromStr;

use clap::Command;
use clap_complete::Shell;
use libloom_console::Console;
use libloom_contract::exit;

use crate::Failure;
use crate::man::man_page;

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generated {
    /// A man page of section 1, in roff.
    Man,
    /// Completions for one shell.
    Completions(Shell),
}

impl FromStr for Generated {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "man" => Ok(Self::Man),
            "bash" => Ok(Self::Completions(Shell::Bash)),
            "zsh" => Ok(Self::Completions(Shell::Zsh)),
            "fish" => Ok(Self::Completions(Shell::Fish)),
            _ => Err(format!("cannot generate `{word}`: expected man, bash, zsh or fish")),
        }
    }
}

/// Adds to the completions that clap generates for a shell.
pub(crate) type ExtendCompletions = fn(Shell, String) -> String;

/// The word after a leading `--generate`, if the command line is such a request.
pub(crate) fn requested(argv: &[OsString]) -> Option<&str> {
    match argv {
        [_, option, word] if option == "--generate" => Some(word.to_str().unwrap_or("?")),
        _ => None,
    }
}

/// Prints what `word` names to stdout.
pub(crate) fn print(
    command: Command,
    word: &str,
    extend: ExtendCompletions,
    console: &Console,
) -> Result<u8, Failure> {
    let text = match word.parse().map_err(|text: String| Failure::usage(text))? {
        Generated::Man => man_page(command).map_err(Failure::bug)?,
        Generated::Completions(shell) => extend(shell, completions(command, shell)).into_bytes(),
    };
    console.out_bytes(&text)?;
    Ok(exit::DONE)
}

fn completions(mut command: Command, shell: Shell) -> String {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("clap generates UTF-8")
}
