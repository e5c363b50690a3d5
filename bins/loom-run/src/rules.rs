//! What the rules of the workflow and of its jobs decide in this workspace.

use std::cell::OnceCell;
use std::ffi::OsStr;

use libloom_contract::{Reason, graph::Graph};
use libloom_rules::{ApplyError, Globs, Setting, apply as apply_to};

use crate::{run::Run, tree, verdict::Verdict};

/// A graph as its rules leave it.
#[derive(Debug)]
pub struct Decided {
    /// Jobs with the `when`, `allow_failure` and variables that they get in this run.
    pub graph: Graph,
    /// Jobs that rules leave out.
    pub left: Vec<Option<Verdict>>,
}

/// Applies all rules, and the values from the command line; `files` are those that there are.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(
    run: &Run,
    mut graph: Graph,
    files: impl Fn() -> Vec<String>,
) -> Result<Decided, ApplyError> {
    let paths = run.facts().changed.as_ref();
    let changed: Option<Vec<String>> =
        paths.map(|paths| paths.iter().map(|path| path.path.clone()).collect());
    let listed = OnceCell::new();
    let setting = Setting {
        predefined: run.predefined(),
        overrides: &run.overrides,
        host: &|name| inherited(run, name),
        changed: changed.as_deref(),
        exists: &|globs| first_match(listed.get_or_init(&files), globs),
    };
    let applied = apply_to(&mut graph, &setting)?;
    let left = |reason| Verdict::skipped(Reason::Rules, reason);
    let left = applied.jobs.into_iter().map(|job| job.left_out.map(left)).collect();
    Ok(Decided { graph, left })
}

fn inherited(run: &Run, name: &str) -> Option<String> {
    let found = run.inherited.iter().find(|(known, _)| known == OsStr::new(name))?;
    Some(found.1.to_string_lossy().into_owned())
}

/// Files of the workspace. One that cannot be listed has none: the job itself will tell.
pub fn files_of(run: &Run) -> Vec<String> {
    let files = tree::files(run.workspace()).unwrap_or_default();
    files.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

fn first_match(files: &[String], globs: &Globs) -> Option<String> {
    files.iter().find(|path| globs.matches(path)).cloned()
}
