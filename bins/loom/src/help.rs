//! `loom help NAME`: the man page of a command if there is one, else its `--help`.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libloom_contract::exit;
use libloom_entry::{Context, Failure, is_executable};

use crate::{Dispatcher, executable_name, launch, shipped};

/// Becomes `man` or the command itself; prints only for aliases.
pub(crate) fn show(dispatcher: &Dispatcher<'_>, name: &OsStr) -> Result<u8, Failure> {
    if name.to_str().is_some_and(|name| name == "loom" || shipped::is_built_in(name)) {
        return show_own(dispatcher.context);
    }
    let Some(program) = dispatcher.search.find(name) else { return alias_help(dispatcher, name) };
    if let (Some(man), Some(page)) = (man(dispatcher), man_page(dispatcher, name, &program)) {
        // Where `man` cannot be started after all, `--help` still can.
        let _ = Command::new(man).arg(page).exec();
    }
    let words = [name.to_owned(), OsString::from("--help")];
    Err(launch::replace_process(dispatcher, &program, &words))
}

/// What `loom --help` prints.
pub(crate) fn show_own(context: &Context) -> Result<u8, Failure> {
    let help = libloom_entry::command::<crate::Arguments>().render_long_help();
    context.console.out(&help.to_string())?;
    Ok(exit::DONE)
}

fn alias_help(dispatcher: &Dispatcher<'_>, name: &OsStr) -> Result<u8, Failure> {
    let aliases = dispatcher.aliases()?;
    let described = aliases.described().find(|(alias, _, _)| OsStr::new(alias) == name);
    let Some((alias, words, origin)) = described else {
        return Err(dispatcher.unknown(name, &aliases));
    };
    let line = format!("`{alias}` is an alias for `{words}` (from {})", origin.display());
    dispatcher.context.console.out(&line)?;
    Ok(exit::DONE)
}

/// `man` itself, so that a machine without it falls back quietly.
fn man(dispatcher: &Dispatcher<'_>) -> Option<PathBuf> {
    let folders = dispatcher.context.siblings.path_folders();
    folders.iter().map(|folder| folder.join("man")).find(|path| is_executable(path))
}

/// The page beside the command's own installation (`bin/../share/man`), else on `MANPATH`.
fn man_page(dispatcher: &Dispatcher<'_>, name: &OsStr, program: &Path) -> Option<PathBuf> {
    let beside = program.parent().and_then(Path::parent).map(|prefix| prefix.join("share/man"));
    let manpath = dispatcher.context.env.get_non_empty("MANPATH").unwrap_or_default();
    let on_manpath = std::env::split_paths(manpath).filter(|folder| !folder.as_os_str().is_empty());
    let page = executable_name(name)?;
    let folders = beside.into_iter().chain(on_manpath);
    let pages = folders.flat_map(|folder| pages_in(&folder, &page));
    pages.into_iter().find(|path| path.is_file())
}

fn pages_in(folder: &Path, page: &OsStr) -> [PathBuf; 2] {
    [".1", ".1.gz"].map(|suffix| {
        let mut file = page.to_owned();
        file.push(suffix);
        folder.join("man1").join(file)
    })
}
