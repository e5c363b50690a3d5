//! The options every command has, and the console they describe.
//!
//! The command line outranks `LOOM_QUIET`, `LOOM_VERBOSE` and `LOOM_COLOR`, by which the
//! dispatcher hands its own options down.

use std::ffi::OsStr;

use clap::builder::{PossibleValuesParser, Resettable, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use libloom_console::{ColorChoice, ColorHints, Console, Verbosity};
use libloom_contract::env;

use crate::{Environment, Failure};

/// `-q`, `-v` and `--color`, on every command and all its subcommands.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct SharedOptions {
    /// Say only what is wrong and what the command must print
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, display_order = 901)]
    pub verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", display_order = 902, value_parser = choices())]
    pub color: Option<ColorChoice>,
}

/// The words of `--color`, which completions and help then know.
fn choices() -> impl TypedValueParser<Value = ColorChoice> {
    PossibleValuesParser::new(ColorChoice::WORDS).try_map(|word| word.parse::<ColorChoice>())
}

/// Adds the options to `command`, below its own.
pub(crate) fn add_to(command: Command) -> Command {
    // clap takes the doc comment of a flattened struct for the text of the whole command.
    let about = command.get_about().cloned();
    let long_about = command.get_long_about().cloned();
    SharedOptions::augment_args(command)
        .about(Resettable::from(about))
        .long_about(Resettable::from(long_about))
}

/// The console for what is printed before the command line is understood.
pub(crate) fn console_before_parsing(environment: &Environment) -> Console {
    let color = color_from(environment).unwrap_or_default().unwrap_or_default();
    Console::new(Verbosity::Normal, color, hints(environment))
}

/// The options as typed.
pub(crate) fn typed(matches: &ArgMatches) -> Result<SharedOptions, Failure> {
    SharedOptions::from_arg_matches(matches).map_err(Failure::usage)
}

/// The console that `options` and `environment` ask for.
pub(crate) fn console(
    options: SharedOptions,
    environment: &Environment,
) -> Result<Console, Failure> {
    let color = match options.color {
        Some(choice) => choice,
        None => color_from(environment)?.unwrap_or_default(),
    };
    Ok(Console::new(verbosity(options, environment), color, hints(environment)))
}

fn verbosity(options: SharedOptions, environment: &Environment) -> Verbosity {
    let asked = (options.quiet, options.verbose);
    let (quiet, verbose) = match asked {
        (false, false) => (environment.is_on(env::QUIET), environment.is_on(env::VERBOSE)),
        asked => asked,
    };
    match (quiet, verbose) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    }
}

fn color_from(environment: &Environment) -> Result<Option<ColorChoice>, Failure> {
    let Some(value) = environment.get_non_empty(env::COLOR) else { return Ok(None) };
    let choice = value.to_string_lossy().parse().map_err(|cause: String| {
        Failure::usage(cause).context(format_args!("cannot use the variable {}", env::COLOR))
    })?;
    Ok(Some(choice))
}

fn hints(environment: &Environment) -> ColorHints {
    ColorHints {
        no_color: environment.get_non_empty(env::NO_COLOR).is_some(),
        force: environment.is_on(env::CLICOLOR_FORCE),
        dumb: environment.get("TERM").is_some_and(|term| term == "dumb"),
        ci: environment.is_on(env::CI) && environment.get(env::CI) != Some(OsStr::new("false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbosity_of(arguments: &[&str], variables: &[(&str, &str)]) -> Verbosity {
        let matches = add_to(Command::new("loom-foo"))
            .try_get_matches_from([&["loom-foo"], arguments].concat())
            .unwrap();
        let environment = variables.iter().copied().collect();
        console(typed(&matches).unwrap(), &environment).unwrap().verbosity()
    }

    #[test]
    fn environment_is_the_default_of_the_options() {
        assert_eq!(verbosity_of(&[], &[("LOOM_QUIET", "1")]), Verbosity::Quiet);
        assert_eq!(verbosity_of(&["-v"], &[("LOOM_QUIET", "1")]), Verbosity::Verbose);
        assert_eq!(verbosity_of(&[], &[("LOOM_VERBOSE", "0")]), Verbosity::Normal);
    }

    #[test]
    fn options_leave_the_text_of_the_command_alone() {
        let command = add_to(Command::new("loom-foo").about("Does foo"));
        assert_eq!(command.get_about().unwrap().to_string(), "Does foo");
        assert!(command.get_long_about().is_none());
    }

    #[test]
    fn color_option_outranks_loom_color() {
        let environment = [("LOOM_COLOR", "always")].into_iter().collect();
        let parse = |line: &[&str]| {
            let matches = add_to(Command::new("loom-foo")).try_get_matches_from(line).unwrap();
            console(typed(&matches).unwrap(), &environment).unwrap().out_paint().is_colored()
        };
        assert!(parse(&["loom-foo"]));
        assert!(!parse(&["loom-foo", "--color", "never"]));
    }

    #[test]
    fn wrong_loom_color_is_a_usage_error_that_names_it() {
        let environment: Environment = [("LOOM_COLOR", "pink")].into_iter().collect();
        let failure = color_from(&environment).unwrap_err();
        assert_eq!(failure.kind.exit_code(), 2);
        assert!(failure.error.to_string().contains("LOOM_COLOR"));
    }
}
