//! `loom snapshot facts`: what rules need to know of the repository; nothing is copied.

use clap::Args;
use libloom_contract::exit;
use libloom_contract::snapshot::Facts;
use libloom_entry::{Context, Failure};

use crate::git::Git;
use crate::repository::Repository;

/// Print branch, tag and commit of the repository around the current folder
#[derive(Args, Debug)]
pub(crate) struct FactsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the facts.
pub(crate) fn run(args: &FactsArgs, context: &Context) -> Result<u8, Failure> {
    let repository = Repository::discover(&Git::new(&context.env, &context.cwd), &context.cwd)?;
    let facts = repository.ask()?.answer(&repository)?.facts;
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
    known.collect()
}
