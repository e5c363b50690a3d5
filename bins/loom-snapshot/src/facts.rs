//! `loom snapshot facts`: what rules need to know of the repository; nothing is copied.

use clap::Args;
use libloom_console::printable;
use libloom_contract::exit;
use libloom_contract::snapshot::Facts;
use libloom_entry::{Context, Failure};

use crate::changed::ChangedArgs;
use crate::destination::Destination;
use crate::git::Git;
use crate::repository::Repository;

/// Print branch, tag and commit of the repository around the current folder
#[derive(Args, Debug)]
pub(crate) struct FactsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    match args.json {
        true => context.console.json(&facts)?,
        false => context.console.out(&lines(&facts))?,
    }
    Ok(exit::DONE)
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
    known.chain(changed).collect()
}
