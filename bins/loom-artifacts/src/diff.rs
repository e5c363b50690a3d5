//! `loom artifacts diff`: what one run left and another did not, by their manifests.

use std::collections::BTreeMap;

use libloom_archive::entry_path;
use libloom_console::{Label, printable, size};
use libloom_contract::{
    artifacts::{ArtifactChange, ArtifactDiff, ArtifactEntry, Change},
    exit,
    layout::Layout,
    version,
};
use libloom_entry::{Context, Failure, OrFail};

use crate::jobs::{self, Job};

/// Compare the artifacts of two runs
///
/// Prints a line for each artifact that was added (`+`), removed (`-`) or changed (`~`): in
/// content, permissions, kind or link target. Times do not count.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The run to compare with
    from: String,
    /// The run, or `latest`
    to: String,
    /// Only this job
    job: Option<String>,
    /// Exit with 1 where there is a difference
    #[arg(long)]
    exit_code: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let runs = [&arguments.from, &arguments.to].map(|run| jobs::resolve(layout, run));
    let [from_run_id, to_run_id] = runs;
    let (from_run_id, to_run_id) = (from_run_id?, to_run_id?);
    let job = arguments.job.as_deref();
    let [from, to] = [&from_run_id, &to_run_id].map(|run| artifacts(layout, run, job));
    let diff = ArtifactDiff {
        schema_version: version::ARTIFACTS.to_string(),
        kind: "loom-artifacts-diff".into(),
        changes: changes(&from?, &to?),
        from_run_id,
        to_run_id,
    };
    match arguments.json {
        true => context.console.json(&diff)?,
        false => print(&diff, context)?,
    }
    let differs = arguments.exit_code && !diff.changes.is_empty();
    Ok(if differs { exit::NO } else { exit::DONE })
}

/// Entries by job and path, in the order of jobs and of the bytes of paths.
type Artifacts = BTreeMap<(String, std::ffi::OsString), ArtifactEntry>;

fn artifacts(layout: &Layout, run_id: &str, job: Option<&str>) -> Result<Artifacts, Failure> {
    let mut found = BTreeMap::new();
    let wanted = |candidate: &Job| job.is_none_or(|job| candidate.id == job);
    for job in jobs::of_run(layout, run_id).into_iter().filter(wanted) {
        let id = job.id.clone();
        for entry in job.into_manifest()?.entries {
            let path = entry_path(&entry).or_could_not(format_args!("job `{id}` of `{run_id}`"))?;
            found.insert((id.clone(), path.into_os_string()), entry);
        }
    }
    Ok(found)
}

fn changes(from: &Artifacts, to: &Artifacts) -> Vec<ArtifactChange> {
    let removed = from.iter().filter(|(key, _)| !to.contains_key(*key));
    let mut changes: BTreeMap<_, ArtifactChange> =
        removed.map(|(key, entry)| (key, change(&key.0, Some(entry), None))).collect();
    for (key, entry) in to {
        let before = from.get(key);
        if before != Some(entry) {
            changes.insert(key, change(&key.0, before, Some(entry)));
        }
    }
    changes.into_values().collect()
}

fn change(
    job_id: &str,
    from: Option<&ArtifactEntry>,
    to: Option<&ArtifactEntry>,
) -> ArtifactChange {
    let change = match (from, to) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    };
    ArtifactChange { job_id: job_id.to_owned(), change, from: from.cloned(), to: to.cloned() }
}

fn print(diff: &ArtifactDiff, context: &Context) -> Result<(), Failure> {
    let paint = context.console.out_paint();
    let mut counts = [0; 3];
    for change in &diff.changes {
        let (sign, label, at) = match change.change {
            Change::Added => ("+", Label::Success, 0),
            Change::Removed => ("-", Label::Failure, 1),
            Change::Changed => ("~", Label::Cancelled, 2),
        };
        counts[at] += 1;
        let entry = change.to.as_ref().or(change.from.as_ref());
        let path = entry.map(|entry| printable(&entry.path).into_owned()).unwrap_or_default();
        let (sign, job) = (paint.paint(label, sign), printable(&change.job_id));
        context.console.out(&format!("{sign} {job}: {path}{}\n", how(change)))?;
    }
    let [added, removed, changed] = counts;
    context.console.status(format_args!("{added} added, {removed} removed, {changed} changed"));
    Ok(())
}

/// What became of a changed artifact, in brackets.
fn how(change: &ArtifactChange) -> String {
    let (Some(from), Some(to)) = (&change.from, &change.to) else { return String::new() };
    let mut words = Vec::new();
    if from.entry != to.entry {
        words.push("another kind".to_owned());
    } else if from.size != to.size {
        words.push(format!("{} to {}", size(from.size), size(to.size)));
    } else if from.sha256 != to.sha256 {
        words.push("content".to_owned());
    }
    if from.link_target != to.link_target {
        words.push("target".to_owned());
    }
    if from.mode != to.mode {
        words.push(format!("mode {:04o} to {:04o}", from.mode, to.mode));
    }
    format!(" ({})", words.join(", "))
}
