//! `loom-snapshot`: disposable, faithful copies of a repository as it is now.
//!
//! Everything that asks git runs git as a process and nothing links a git library: git is on PATH
//! wherever a repository is, and libgit2 opens neither SHA-256, reftable, split-index nor
//! sparse-index repositories. One mechanism covers all of them. Read here are only the index,
//! because the snapshot's own index is written from it, and, where they are as plain as git writes
//! them, refs and settings, because a process costs more than their files ([`ref_files`],
//! [`config_file`]).
//!
//! What git does not know of is not copied: empty folders, extended attributes, owners, hard links
//! between files, set-user-id bits. Modification times and permissions are.
//!
//! [`create`] wires one snapshot; [`work_tree`] is the pass over the files; [`dot_git`],
//! [`objects`] and [`config`] build the repository around them.

mod baseline;
mod changed;
mod checkout;
mod config;
mod config_file;
mod copy;
mod create;
mod destination;
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
mod pool;
mod progress;
mod prune;
mod questions;
mod records;
mod ref_files;
mod remove;
mod repository;
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
        Command::Prune(args) => prune::prune(&args, context),
        Command::Rm(args) => prune::rm(&args, context),
    }
}
