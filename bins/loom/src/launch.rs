//! Becoming another command: the process is replaced, so signals, job control and the exit code
//! are the command's own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use libloom_contract::{env, layout::Layout};
use libloom_entry::{Failure, OrFail, SharedOptions, repository_root};

use crate::{Dispatcher, shipped, version};

/// Replaces this process by `program`; returns only if that fails. The first of `words` is the
/// command's name, the others are its arguments.
pub(crate) fn replace_process(
    dispatcher: &Dispatcher<'_>,
    program: &Path,
    words: &[OsString],
) -> Failure {
    let (name, arguments) = words.split_first().expect("a program was found for the first word");
    let mut command = Command::new(program);
    command.args(arguments);
    if dispatcher.folder != dispatcher.context.cwd {
        command.current_dir(&dispatcher.folder).env("PWD", &dispatcher.folder);
    }
    tell_about_loom(&mut command, dispatcher);
    hand_down_options(&mut command, dispatcher.context.options);
    if !shipped::is_shipped(name) {
        tell_about_repository(&mut command, &dispatcher.folder);
    }
    let error = command.exec();
    let hint = "is it made for this machine, and does a script begin with `#!` and a program \
                that exists?";
    Err::<(), _>(error)
        .or_could_not(format_args!("cannot start `{}`", program.display()))
        .expect_err("it was made from an error")
        .hint(hint)
}

fn tell_about_loom(command: &mut Command, dispatcher: &Dispatcher<'_>) {
    command.env(env::VERSION, version::VERSION);
    if let Some(path) = dispatcher.context.siblings.own_executable() {
        command.env(env::LOOM, path);
    }
}

/// The options travel as variables, which every shipped command reads as its defaults.
fn hand_down_options(command: &mut Command, options: SharedOptions) {
    if options.quiet {
        command.env(env::QUIET, "1").env_remove(env::VERBOSE);
    }
    if options.verbose {
        command.env(env::VERBOSE, "1").env_remove(env::QUIET);
    }
    if let Some(choice) = options.color {
        command.env(env::COLOR, choice.as_str());
    }
}

/// Foreign commands need no library to find the repository; what an outer command was told about
/// another repository must not mislead an inner one.
fn tell_about_repository(command: &mut Command, folder: &Path) {
    match repository_root(folder) {
        Ok(root) => {
            command.env(env::RUNTIME_DIR, Layout::of_repository(&root).runtime());
            command.env(env::REPO_ROOT, root);
        }
        Err(_) => {
            command.env_remove(env::REPO_ROOT).env_remove(env::RUNTIME_DIR);
        }
    }
}
