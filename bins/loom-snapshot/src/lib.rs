//! `loom-snapshot`: disposable, faithful copies of a repository as it is now.
//!
//! Everything that asks git runs git as a process and nothing links a git library: git is on PATH
//! wherever a repository is, and libgit2 opens neither SHA-256, reftable, split-index nor
//! sparse-index repositories. One mechanism covers all of them. Read here are only the index,
//! because the snapshot's own index is written from it, and, where they are as plain as git writes
//! them, refs and settings, because a process costs more than their files ([`ref_files`],
//! [`config_file`]).
//!
//! Copied are contents, permissions, modification times of files, symlinks as they are, and folders
//! without files. What git does not know of and a job has no right to is not: extended attributes
//! (capabilities of executables among them), owners, hard links between files (each becomes a file
//! of its own), set-user-id, set-group-id and sticky bits, times of folders.
//!
//! [`create`] wires one snapshot; [`work_tree`] is the pass over the files; [`dot_git`],
//! [`objects`] and [`config`] build the repository around them.

mod apply;
mod baseline;
mod changed;
mod checkout;
mod chosen;
mod compare;
mod config;
mod config_file;
mod copy;
mod create;
mod destination;
mod diff;
mod dot_git;
mod errors;
mod facts;
mod folders;
mod git;
mod index;
mod kinds;
mod list;
mod listing;
mod objects;
mod patch;
mod pool;
mod progress;
mod prune;
mod put;
mod questions;
mod records;
mod ref_files;
mod remove;
mod repository;
mod scratch;
mod seen;
mod source_index;
mod special;
mod stat;
mod sums;
mod transfer;
mod watch;
mod work_tree;

use clap::{Parser, Subcommand};
use libloom_entry::{Context, Failure};

/// Makes and manages isolated workspaces: disposable copies of a repository as it is now
///
/// They lie in the folder that LOOM_SNAPSHOT_DIR names, else `snapshot.dir` of .loom/config.yml or
/// ~/.config/loom/config.yml (relative to the file's folder), else in the temp folder.
///
/// Exit codes: 0 done; 1 `apply` found conflicts, or `diff --exit-code` a difference; 2 wrong command
/// line; 3 it could not be done; 130 and 143 interrupted.
#[derive(Debug, Parser)]
#[command(name = "loom-snapshot", subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(create::CreateArgs),
    Facts(facts::FactsArgs),
    List(list::ListArgs),
    Show(list::ShowArgs),
    Diff(diff::DiffArgs),
    Apply(apply::ApplyArgs),
    Prune(prune::PruneArgs),
    Rm(prune::RmArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from being done, in words.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let Arguments { command } = arguments;
    match command {
        Command::Create(args) => create::run(&args, context),
        Command::Facts(args) => facts::run(&args, context),
        Command::List(args) => list::list(&args, context),
        Command::Show(args) => list::show(&args, context),
        Command::Diff(args) => diff::run(&args, context),
        Command::Apply(args) => apply::run(&args, context),
        Command::Prune(args) => prune::prune(&args, context),
        Command::Rm(args) => prune::rm(&args, context),
    }
}
