//! `loom artifacts prune`: removes copies and archives; the manifests stay and say when.
//!
//! The documents are changed first, under the run's lock: a prune that is killed half way leaves
//! files that no document points to, and the next one removes them.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use libloom_console::size;
use libloom_contract::{
    Timestamp, exit,
    layout::{JobLayout, Layout},
    logs::JobManifest,
    store,
};
use libloom_entry::{Context, Failure, OrFail, parse_age};
use libloom_record::{lock, read};

use crate::jobs::{self, Job};

/// Remove copies and archives of artifacts
///
/// Without an option, those whose `expire_in` is over. With `--keep`, `--older-than` or both,
/// those of runs that are neither among the newest N with artifacts nor younger than AGE; and
/// with `--expired` also all that are expired. Logs, receipts and the lists of what there was
/// stay; a run in progress keeps everything.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Keep those of the newest N runs that have some
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only what is older, such as 12h, 7d or 2w
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Remove those whose `expire_in` is over
    #[arg(long)]
    expired: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Default)]
struct Freed {
    jobs: usize,
    bytes: u64,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let now = Timestamp::now();
    let mut runs_with_artifacts = 0;
    let mut freed = Freed::default();
    for run_id in read::run_ids(layout).or_could_not("cannot list the runs")? {
        let jobs = with_attempts(jobs::of_run(layout, &run_id));
        if !jobs.iter().any(|(_, job)| holds_some(job)) {
            continue;
        }
        runs_with_artifacts += 1;
        let goes = |job: &Job| arguments.goes(job, &run_id, runs_with_artifacts, now);
        let chosen: Vec<_> = jobs.iter().filter(|(_, job)| goes(job) && holds_some(job)).collect();
        if chosen.is_empty() {
            continue;
        }
        let folder = layout.run(&run_id);
        let taken = lock::take(folder.folder())
            .or_could_not(format_args!("cannot lock `{}`", folder.folder().display()))?;
        let Some(_lock) = taken else {
            context.console.note(format_args!("`{run_id}` is in progress and keeps its artifacts"));
            continue;
        };
        for (name, job) in chosen {
            freed.jobs += 1;
            freed.bytes += bytes_of(&job.layout.artifacts());
            if !arguments.dry_run {
                remove(job, now)
                    .or_could_not(format_args!("cannot remove the artifacts of job `{name}`"))?;
            }
            context.console.out(&format!("{run_id} {name}\n"))?;
        }
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let jobs = if freed.jobs == 1 { "job" } else { "jobs" };
    context.console.status(format_args!(
        "{verb} the artifacts of {} {jobs} ({})",
        freed.jobs,
        size(freed.bytes)
    ));
    Ok(exit::DONE)
}

impl Arguments {
    /// `place`: which of the runs with artifacts this is, from 1 for the newest.
    fn goes(&self, job: &Job, run_id: &str, place: usize, now: Timestamp) -> bool {
        // A manifest that cannot be read says nothing of its age; `loom logs prune` removes runs.
        let Ok(manifest) = &job.manifest else { return false };
        let by_age = self.keep.is_some() || self.older_than.is_some();
        let expired = (self.expired || !by_age) && jobs::is_expired(manifest, now);
        let made = manifest.created_at.or_else(|| read::began_at(run_id));
        let is_old =
            self.older_than.is_none_or(|age| made.is_none_or(|made| now.since(made) > age));
        let is_spare = self.keep.is_none_or(|keep| place > keep);
        manifest.pruned_at.is_some() || expired || (by_age && is_old && is_spare)
    }
}

/// The jobs, and their earlier attempts as `job/attempts/1`.
fn with_attempts(jobs: Vec<Job>) -> Vec<(String, Job)> {
    let mut all = Vec::with_capacity(jobs.len());
    for job in jobs {
        for number in 1.. {
            let layout = job.layout.attempt(number);
            if !layout.folder().is_dir() {
                break;
            }
            if layout.artifacts_manifest().exists() {
                let name = format!("{}/attempts/{number}", job.id);
                all.push((name.clone(), jobs::of_layout(name, layout)));
            }
        }
        all.push((job.id.clone(), job));
    }
    all
}

/// Whether anything lies in the folder of copies.
fn holds_some(job: &Job) -> bool {
    fs::read_dir(job.layout.artifacts()).is_ok_and(|mut entries| entries.next().is_some())
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

fn remove(job: &Job, now: Timestamp) -> io::Result<()> {
    mark(job, now)?;
    let folder = job.layout.artifacts();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder)? {
        names.insert(entry?.path());
    }
    // The folder itself stays: documents point to it.
    names.iter().try_for_each(|path| match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    })
}

/// The manifests say from now on that the artifacts are gone.
fn mark(job: &Job, now: Timestamp) -> io::Result<()> {
    let Ok(manifest) = &job.manifest else { return Ok(()) };
    if manifest.pruned_at.is_some() {
        return Ok(());
    }
    let mut manifest = manifest.clone();
    manifest.pruned_at = Some(now);
    store::write(&job.layout.artifacts_manifest(), &manifest).map_err(io::Error::other)?;
    mark_job(&job.layout, now)
}

fn mark_job(layout: &JobLayout, now: Timestamp) -> io::Result<()> {
    let path = layout.manifest();
    let mut manifest: JobManifest = match store::read(&path) {
        Err(error) if error.is_not_found() => return Ok(()),
        manifest => manifest.map_err(io::Error::other)?,
    };
    if let Some(artifacts) = &mut manifest.artifacts {
        artifacts.pruned_at = Some(now);
        artifacts.archive_path = None;
    }
    store::write(&path, &manifest).map_err(io::Error::other)
}
