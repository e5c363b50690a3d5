//! The one `main` of every command.
//!
//! A command's `main.rs` is `libloom_entry::main(loom_foo::run)`, where `run` takes the parsed
//! arguments and a [`Context`] and answers with an exit code or a [`Failure`]. Everything that
//! touches the process as a whole happens here and nowhere else: reading the environment, the
//! shared options (`-q`, `-v`, `--color`), reporting a failure once, exit codes, panics.
//! `main` starts no thread, because `loom-run` forks.

#![warn(missing_docs)]

mod age;
mod context;
mod environment;
mod failure;
mod generate;
mod man;
mod options;
mod panics;
mod repository;
mod siblings;
mod suggest;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Parser};
use libloom_console::Console;
use libloom_contract::exit;

pub use age::parse_age;
pub use clap_complete::Shell;
pub use context::Context;
pub use environment::Environment;
pub use failure::{Failure, Kind, OrFail};
pub use options::SharedOptions;
pub use repository::{normalized, repository_root};
pub use siblings::{NoSuchSibling, Siblings, is_executable};
pub use suggest::nearest;

/// Runs a command from its arguments to its exit code.
///
/// `A` names the command (`#[command(name = "loom-foo", about = "…")]`); version and shared
/// options are added here. A clap usage error exits 2, `--help` and `--version` exit 0.
pub fn main<A: Parser>(run: impl FnOnce(A, &Context) -> Result<u8, Failure>) -> ExitCode {
    main_completing(run, |_, script| script)
}

/// As [`main`], for a command whose completions need more than its definition tells: `extend`
/// gets the script that clap generates for a shell and returns the whole one.
pub fn main_completing<A: Parser>(
    run: impl FnOnce(A, &Context) -> Result<u8, Failure>,
    extend: fn(Shell, String) -> String,
) -> ExitCode {
    panics::report_as_bugs();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let environment = Environment::of_process();
    let plain = options::console_before_parsing(&environment);
    let ended = match generate::requested(&argv) {
        Some(wanted) => generate::print(command::<A>(), wanted, extend, &plain)
            .map_err(|failure| (plain, failure)),
        None => start(run, argv, environment, &plain),
    };
    ExitCode::from(ended.unwrap_or_else(|(console, failure)| failure.report(&console)))
}

/// The command as users see it: `A` with version and shared options.
pub fn command<A: Parser>() -> Command {
    let command = A::command().version(env!("CARGO_PKG_VERSION"));
    options::add_to(command)
}

/// A failure with the console it is to be reported on.
type Reported = (Console, Failure);

fn start<A: Parser>(
    run: impl FnOnce(A, &Context) -> Result<u8, Failure>,
    argv: Vec<OsString>,
    environment: Environment,
    plain: &Console,
) -> Result<u8, Reported> {
    let on_plain = |failure| (plain.clone(), failure);
    let matches = match command::<A>().try_get_matches_from(&argv) {
        Ok(matches) => matches,
        Err(error) => return explain(&error, plain).map_err(on_plain),
    };
    let options = options::typed(&matches).map_err(on_plain)?;
    let console = options::console(options, &environment).map_err(on_plain)?;
    let on_console = |failure| (console.clone(), failure);
    let arguments = parse::<A>(&matches).map_err(on_console)?;
    let context = Context::of_process(console.clone(), options, environment, argv);
    let context = context.map_err(on_console)?;
    run(arguments, &context).map_err(on_console)
}

fn parse<A: Parser>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(Failure::usage)
}

/// Help and version are data, every other answer of clap is a usage error.
fn explain(error: &clap::Error, console: &Console) -> Result<u8, Failure> {
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        console.out(&text)?;
        return Ok(exit::DONE);
    }
    console.err_bytes(text.as_bytes());
    Ok(exit::USAGE)
}
