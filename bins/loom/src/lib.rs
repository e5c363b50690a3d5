//! The dispatcher: finds `loom-<sub>` and becomes it.
//!
//! A real command always wins over an alias, so the configuration is read only when no command
//! of that name exists; starting a shipped command costs a look into one folder.

mod alias;
mod completions;
mod config;
mod help;
mod launch;
mod list;
mod search;
mod shipped;
mod version;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueHint};
use libloom_contract::exit;
use libloom_entry::{Context, Failure, Kind, OrFail};

use crate::alias::{Aliases, Expansion};
use crate::search::Search;

pub use crate::completions::completions;

/// Runs a repository's CI workflow on your own machine
///
/// `loom COMMAND` runs `loom-COMMAND`: a shipped one from the folder that holds `loom`, any other
/// from PATH. What stands after the command's name is handed on untouched.
#[derive(Debug, Parser)]
#[command(name = "loom", long_version = version::text(), after_help = shipped::help())]
#[command(disable_help_subcommand = true, subcommand_value_name = "COMMAND")]
#[command(override_usage = "loom [OPTIONS] COMMAND [ARGS]...\n       loom --list")]
pub struct Arguments {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", value_hint = ValueHint::DirPath, display_order = 1)]
    directory: Vec<PathBuf>,
    /// List all commands; with --verbose also where they are
    #[arg(long, display_order = 2)]
    list: bool,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Shows the manual of a command
    Help {
        /// Name of the command, without `loom-`
        command: Option<OsString>,
    },
    /// Shows version, commit and contract versions
    Version,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Does what the command line asks for; comes back only if no other program takes over.
///
/// # Errors
/// No such command (exit 127), or it could not be started (exit 3).
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let folder = enter(context, &arguments.directory)?;
    let dispatcher = Dispatcher { context, search: Search::new(context), folder };
    if arguments.list {
        return list::print(&dispatcher);
    }
    match arguments.command {
        Some(Sub::Help { command: Some(name) }) => help::show(&dispatcher, &name),
        Some(Sub::Help { command: None }) => help::show_own(context),
        Some(Sub::Version) => {
            context.console.out(&format!("loom {}", version::text()))?;
            Ok(exit::DONE)
        }
        Some(Sub::Other(words)) => Err(dispatcher.start(&words)),
        None => {
            let help = libloom_entry::command::<Arguments>().render_help().to_string();
            context.console.err_bytes(help.as_bytes());
            Ok(exit::USAGE)
        }
    }
}

/// The folder that `-C` options lead to, each relative to the one before.
fn enter(context: &Context, directories: &[PathBuf]) -> Result<PathBuf, Failure> {
    let mut folder = context.cwd.clone();
    for directory in directories {
        let cannot = || format!("cannot change to folder `{}`", directory.display());
        folder = folder.join(directory).canonicalize().or_could_not(cannot())?;
        if !folder.is_dir() {
            return Err(Failure::could_not("it is not a folder").context(cannot()));
        }
    }
    Ok(folder)
}

/// What every part of the dispatcher needs.
pub(crate) struct Dispatcher<'a> {
    pub(crate) context: &'a Context,
    pub(crate) search: Search,
    /// Where the command is to run.
    pub(crate) folder: PathBuf,
}

impl Dispatcher<'_> {
    /// Becomes the command named by the first of `words`, or says why not.
    fn start(&self, words: &[OsString]) -> Failure {
        match self.resolve(words) {
            Ok((program, words)) => launch::replace_process(self, &program, &words),
            Err(failure) => failure,
        }
    }

    /// The program for `words`, and `words` with aliases expanded.
    fn resolve(&self, words: &[OsString]) -> Result<(PathBuf, Vec<OsString>), Failure> {
        let Some((name, _)) = words.split_first() else {
            return Err(Failure::usage("no command given"));
        };
        if let Some(program) = self.search.find(name) {
            return Ok((program, words.to_vec()));
        }
        if let Some(path) = self.search.not_executable(name) {
            let what = format!("`{}` is not executable", path.display());
            let hint = format!("run `chmod +x {}`, or remove it", path.display());
            return Err(Failure::could_not(what).hint(hint));
        }
        let aliases = self.aliases()?;
        match aliases.expand(words, |name| self.search.find(name))? {
            Expansion::Command { program, words } => Ok((program, words)),
            Expansion::Unknown(name) => Err(self.unknown(&name, &aliases)),
        }
    }

    /// The aliases of the repository and of the user; warns about those that can never be used.
    pub(crate) fn aliases(&self) -> Result<Aliases, Failure> {
        let aliases = Aliases::read(&self.config_files())?;
        for (name, origin) in aliases.names() {
            if self.search.find(OsStr::new(name)).is_some() || shipped::is_built_in(name) {
                let file = origin.display();
                let console = &self.context.console;
                console.warn(format_args!(
                    "alias `{name}` in `{file}` is never used: a command has that name"
                ));
            }
        }
        Ok(aliases)
    }

    /// Configuration files, the stronger first.
    fn config_files(&self) -> Vec<PathBuf> {
        let root = libloom_entry::repository_root(&self.folder).ok();
        libloom_config::files(root.as_deref(), self.context.env.config_home().as_deref())
    }

    pub(crate) fn unknown(&self, name: &OsStr, aliases: &Aliases) -> Failure {
        let shown = name.to_string_lossy();
        let shown = libloom_console::printable(&shown);
        let failure = Failure::new(Kind::NoSuchCommand, format!("no such command: `{shown}`"));
        let known = self.search.all().into_keys().chain(shipped::built_in());
        let known = known.chain(aliases.names().map(|(name, _)| name.to_owned()));
        let near = libloom_entry::nearest(&shown, known);
        let failure = match near.as_slice() {
            [] => failure,
            names => failure.hint(format!("did you mean {}?", quoted(names))),
        };
        failure
            .hint(format!("searched for `loom-{shown}` in {}", self.search.described(name)))
            .hint("`loom --list` shows all commands")
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

/// `loom-<name>`; a name with a slash is no name, it would leave the folder searched.
pub(crate) fn executable_name(name: &OsStr) -> Option<OsString> {
    let plain = !name.is_empty() && Path::new(name).file_name() == Some(name);
    plain.then(|| {
        let mut file = OsString::from("loom-");
        file.push(name);
        file
    })
}
