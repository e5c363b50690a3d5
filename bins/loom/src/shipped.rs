//! The commands that come with this dispatcher, and their one-line summaries.
//!
//! Kept here because listing must not run anything; `tests/suite/dispatch.rs` compares the table
//! with what the commands say of themselves.

use std::ffi::OsStr;

/// Name and summary, in the order in which they are shown in help.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("check", "Validates a workflow and leaves a receipt"),
    ("compile", "Resolves a workflow into its graph and prints it"),
    (
        "snapshot",
        "Makes and manages isolated workspaces: disposable copies of a repository as it is now",
    ),
    ("run", "Runs the repository's workflow in an isolated workspace"),
    ("clean", "Removes what dead runs left behind, and nothing else"),
    ("logs", "Lists, shows, explains and exports runs"),
    ("artifacts", "Lists, fetches, verifies, compares and prunes artifacts of jobs"),
    ("shell", "Opens a shell in the workspace and environment of a job of an earlier run"),
];

/// What `loom` does by itself.
const BUILT_IN: &[(&str, &str)] = &[
    ("help", "Shows the manual of a command"),
    ("version", "Shows version, commit and contract versions"),
];

/// The summary of a shipped command.
pub(crate) fn summary(name: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(shipped, _)| *shipped == name).map(|(_, summary)| *summary)
}

/// Whether a command of this name comes with the dispatcher.
pub(crate) fn is_shipped(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| summary(name).is_some())
}

/// Whether `loom` itself answers to `name`.
pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
}

/// Name and summary of what `loom` does by itself.
pub(crate) fn built_in_commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.iter().copied()
}

/// The names that `loom` itself answers to.
pub(crate) fn built_in() -> impl Iterator<Item = String> {
    BUILT_IN.iter().map(|(name, _)| (*name).to_owned())
}

/// The part of `loom --help` that names the shipped commands.
pub(crate) fn help() -> String {
    let mut text = String::from("Shipped commands (`loom help COMMAND` tells more):\n");
    for (name, summary) in COMMANDS {
        text.push_str(&format!("  {name:<10} {summary}\n"));
    }
    text.push_str("\nAnyone adds a command by putting an executable `loom-NAME` on PATH.");
    text
}
