//! `loom artifacts list`: which jobs have artifacts, or which files one of them has.

use libloom_console::{Label, Table, printable, size};
use libloom_contract::{
    Timestamp,
    artifacts::{ArtifactEntry, ArtifactState, EntryKind, ListedArtifacts},
    exit,
    layout::Layout,
};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::read;

use crate::jobs::{self, Job};

/// List jobs that have artifacts, or the files of one job
///
/// Without RUN, of all runs, newest first. STATE is `kept`, `expired` (their `expire_in` is over:
/// `loom artifacts prune` removes them), `pruned` or `damaged`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// A run, or `latest`
    run: Option<String>,
    /// A job of it: list its files
    job: Option<String>,
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_ids = match &arguments.run {
        Some(run) => vec![jobs::resolve(layout, run)?],
        None => read::run_ids(layout).or_could_not("cannot list the runs")?,
    };
    if let (Some(run_id), Some(job)) = (run_ids.first(), &arguments.job) {
        return files(jobs::find(layout, run_id, job)?, arguments.json, context);
    }
    let rows: Vec<ListedArtifacts> = run_ids.iter().flat_map(|id| rows(layout, id)).collect();
    if arguments.json {
        context.console.json(&rows)?;
        return Ok(exit::DONE);
    }
    match rows.is_empty() {
        true => context.console.note("no job has artifacts"),
        false => context.console.out(&table(&rows).render(context.console.out_paint()))?,
    }
    Ok(exit::DONE)
}

fn rows(layout: &Layout, run_id: &str) -> Vec<ListedArtifacts> {
    let now = Timestamp::now();
    jobs::of_run(layout, run_id).into_iter().map(|job| row(run_id, &job, now)).collect()
}

fn row(run_id: &str, job: &Job, now: Timestamp) -> ListedArtifacts {
    let archive = job.layout.artifacts_archive();
    let archive_bytes = archive.metadata().map(|metadata| metadata.len()).ok();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let manifest = job.manifest.as_ref().ok();
    ListedArtifacts {
        run_id: run_id.to_owned(),
        job_id: job.id.clone(),
        state: job.state(now),
        name: manifest.and_then(|manifest| manifest.name.clone()),
        count: manifest.map(|manifest| manifest.entries.len() as u64),
        bytes: manifest.map(|manifest| manifest.entries.iter().map(|entry| entry.size).sum()),
        created_at: manifest.and_then(|manifest| manifest.created_at),
        expires_at: manifest.and_then(|manifest| manifest.expires_at),
        pruned_at: manifest.and_then(|manifest| manifest.pruned_at),
        path: text(&job.layout.artifacts()),
        archive_path: archive_bytes.map(|_| text(&archive)),
        archive_bytes,
        manifest_path: text(&job.layout.artifacts_manifest()),
        error: job.manifest.as_ref().err().map(jobs::words),
    }
}

fn table(rows: &[ListedArtifacts]) -> Table {
    let headings = ["RUN", "JOB", "NAME", "FILES", "SIZE", "ARCHIVE", "STATE"];
    let mut table = Table::with_heading(&headings);
    for row in rows {
        let (label, state) = state(row);
        table.labelled_row([
            (None, row.run_id.clone()),
            (Some(Label::Name), printable(&row.job_id).into_owned()),
            (None, row.name.as_deref().map(printable).unwrap_or_default().into_owned()),
            (None, row.count.map(|count| count.to_string()).unwrap_or_default()),
            (None, row.bytes.map(size).unwrap_or_default()),
            (None, row.archive_bytes.map(size).unwrap_or_default()),
            (Some(label), state),
        ]);
    }
    table
}

fn state(row: &ListedArtifacts) -> (Label, String) {
    let date = |time: Timestamp| time.to_string().chars().take(10).collect::<String>();
    match (row.state, row.expires_at) {
        (ArtifactState::Kept, Some(at)) => (Label::Success, format!("kept until {}", date(at))),
        (ArtifactState::Kept, None) => (Label::Success, "kept".into()),
        (ArtifactState::Expired, _) => (Label::Cancelled, "expired".into()),
        (ArtifactState::Pruned, _) => (Label::Skipped, "pruned".into()),
        (ArtifactState::Damaged, _) => {
            let error = row.error.as_deref().unwrap_or_default();
            (Label::Failure, format!("damaged: {}", printable(error)))
        }
    }
}

fn files(job: Job, json: bool, context: &Context) -> Result<u8, Failure> {
    let manifest = job.into_manifest()?;
    if json {
        context.console.json(&manifest.entries)?;
        return Ok(exit::DONE);
    }
    let mut table = Table::with_heading(&["MODE", "SIZE", "SHA-256", "PATH"]);
    for entry in &manifest.entries {
        let sum = entry.sha256.as_deref().unwrap_or_default();
        table.row([
            mode(entry),
            entry.size.to_string(),
            sum.chars().take(12).collect(),
            path(entry),
        ]);
    }
    context.console.out(&table.render(context.console.out_paint()))?;
    Ok(exit::DONE)
}

/// `-rw-r--r--`, as `ls` has it.
fn mode(entry: &ArtifactEntry) -> String {
    let kind = match entry.entry {
        EntryKind::File => '-',
        EntryKind::Symlink => 'l',
        EntryKind::Folder => 'd',
    };
    let bit = |at: usize, letter: char| if entry.mode >> (8 - at) & 1 == 1 { letter } else { '-' };
    let bits = "rwxrwxrwx".chars().enumerate().map(|(at, letter)| bit(at, letter));
    std::iter::once(kind).chain(bits).collect()
}

fn path(entry: &ArtifactEntry) -> String {
    let path = printable(&entry.path).into_owned();
    match &entry.link_target {
        Some(target) => format!("{path} -> {}", printable(target)),
        None => path,
    }
}
