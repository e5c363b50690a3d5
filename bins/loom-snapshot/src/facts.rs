//! `loom snapshot facts`: what rules need to know of the repository; nothing is copied.

use std::io;
use std::os::fd::AsFd as _;

use clap::Args;
use libloom_console::printable;
use libloom_contract::snapshot::{Facts, PathText};
use libloom_contract::{exit, layout};
use libloom_entry::{Context, Failure};

use crate::changed::{ChangedArgs, path_text};
use crate::destination::Destination;
use crate::git::{Git, path_of, pieces};
use crate::listing::{open_root, tree};
use crate::repository::{Repository, is_below};

/// Print branch, tag and commit of the repository around the current folder
#[derive(Args, Debug)]
pub(crate) struct FactsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also list the files that a snapshot would hold
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    changed: ChangedArgs,
}

/// Prints the facts.
pub(crate) fn run(args: &FactsArgs, context: &Context) -> Result<u8, Failure> {
    let repository = Repository::discover(&Git::new(&context.env, &context.cwd), &context.cwd)?;
    let mut facts = repository.ask()?.answer(&repository)?.facts;
    if args.changed.is_wanted() {
        let temp = context.cwd.join(context.env.temp_folder());
        let scratch = Destination::make(&temp, &format!("loom-facts-{}", std::process::id()))?;
        args.changed.fill(&mut facts, &repository, scratch.folder())?;
    }
    if args.files {
        facts.files = Some(files(&repository)?);
    }
    match args.json {
        true => context.console.json(&facts)?,
        false => context.console.out(&lines(&facts))?,
    }
    Ok(exit::DONE)
}

/// Tracked and untracked files that are there. Of submodules and nested repositories everything
/// below them, as it is copied.
fn files(repository: &Repository) -> Result<Vec<PathText>, Failure> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let listed = repository.git.run(&arguments)?;
    let cannot_list =
        |error| Failure::could_not(io::Error::from(error)).context("cannot list files");
    let root = open_root(&repository.root).map_err(cannot_list)?;
    let mut paths = Vec::new();
    for path in pieces(&listed) {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        match repository.root.join(path_of(path)).symlink_metadata() {
            Ok(found) if found.is_dir() => {
                paths.extend(tree(root.as_fd(), path).map_err(cannot_list)?);
            }
            Ok(_) => paths.push(path.to_vec()),
            Err(_) => {}
        }
    }
    paths.retain(|path| !is_below(path, layout::RUNTIME.as_ref()));
    paths.sort_unstable();
    paths.dedup();
    Ok(paths.iter().map(|path| path_text(path)).collect())
}

fn lines(facts: &Facts) -> String {
    let known = [
        ("commit", &facts.head_sha),
        ("title", &facts.head_title),
        ("branch", &facts.branch),
        ("tag", &facts.tag),
        ("default branch", &facts.default_branch),
        ("base", &facts.base_sha),
    ];
    let known =
        known.iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value.as_ref()?)));
    let changed = facts.changed.iter().flatten();
    let changed = changed.map(|path| format!("changed: {}\n", printable(&path.path)));
    let files = facts.files.iter().flatten();
    let files = files.map(|path| format!("file: {}\n", printable(&path.path)));
    known.chain(changed).chain(files).collect()
}
