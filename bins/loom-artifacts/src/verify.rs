//! `loom artifacts verify`: copies and archive, held against the manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
};

use libloom_archive::{
    Archived, ArchivedKind, Content, Copied, Folder, Kind, encoded, entry_path, kept_mode,
    link_target, read_archive,
};
use libloom_console::{Label, printable};
use libloom_contract::{
    artifacts::{
        ArtifactEntry, ArtifactManifest, ArtifactProblem, ArtifactVerification, EntryKind,
        VerifiedArtifacts,
    },
    exit,
    layout::{JobLayout, Layout},
    logs::JobManifest,
    store, version,
};
use libloom_entry::{Context, Failure};
use libloom_record::read;

use crate::jobs::{self, Job};

/// Check every artifact's path, size, mode and checksum
///
/// Copies and archive are held against the manifest. Exit code 1 where something is missing,
/// changed or too much, naming it.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// A run, or `latest`
    #[arg(default_value = read::LATEST)]
    run: String,
    /// A job of it; without one all that have artifacts
    job: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_id = jobs::resolve(layout, &arguments.run)?;
    let jobs = jobs::chosen(layout, &run_id, arguments.job.as_deref())?;
    let jobs: Vec<VerifiedArtifacts> = jobs.iter().map(verified).collect();
    let verification = ArtifactVerification {
        schema_version: version::ARTIFACTS.to_string(),
        kind: "loom-artifacts-verification".into(),
        run_id,
        intact: jobs.iter().all(|job| job.problems.is_empty()),
        jobs,
    };
    match arguments.json {
        true => context.console.json(&verification)?,
        false => print(&verification, context)?,
    }
    Ok(if verification.intact { exit::DONE } else { exit::NO })
}

fn print(verification: &ArtifactVerification, context: &Context) -> Result<(), Failure> {
    let paint = context.console.out_paint();
    for job in &verification.jobs {
        for problem in &job.problems {
            let damaged = paint.paint(Label::Failure, "damaged");
            let path = problem.path.as_deref().map(|path| format!("{}: ", printable(path)));
            let path = path.unwrap_or_default();
            let text = printable(&problem.problem);
            context
                .console
                .out(&format!("{damaged} {}: {path}{text}\n", printable(&job.job_id)))?;
        }
        if job.pruned {
            context.console.note(format_args!("the artifacts of job `{}` were pruned", job.job_id));
        }
    }
    context.console.status(summary(verification));
    Ok(())
}

fn summary(verification: &ArtifactVerification) -> String {
    let checked = || verification.jobs.iter().filter(|job| !job.pruned);
    let artifacts: u64 = checked().map(|job| job.count).sum();
    let of = match checked().count() {
        0 => return "no job of this run has artifacts to check".to_owned(),
        1 => format!("{artifacts} artifacts of 1 job"),
        jobs => format!("{artifacts} artifacts of {jobs} jobs"),
    };
    match verification.jobs.iter().map(|job| job.problems.len()).sum() {
        0 => format!("{of}: all as the manifest says"),
        1 => format!("{of}: 1 problem"),
        count => format!("{of}: {count} problems"),
    }
}

fn verified(job: &Job) -> VerifiedArtifacts {
    let mut verified =
        VerifiedArtifacts { job_id: job.id.clone(), pruned: false, count: 0, problems: Vec::new() };
    match &job.manifest {
        Err(error) => verified.problems.push(general(jobs::words(error))),
        Ok(manifest) => {
            verified.pruned = manifest.pruned_at.is_some();
            verified.count = manifest.entries.len() as u64;
            if !verified.pruned {
                verified.problems = problems(&job.layout, manifest);
            }
        }
    }
    verified
}

/// What is wrong, in the order of the manifest: names, copies, archive.
fn problems(job: &JobLayout, manifest: &ArtifactManifest) -> Vec<ArtifactProblem> {
    let (promised, mut problems) = promised(manifest);
    problems.extend(differs_from_job(job, manifest));
    // Both read everything once, and neither waits for the other.
    let (copies, archive) = thread::scope(|scope| {
        let archive = scope.spawn(|| archive_problems(job, &promised));
        (copy_problems(job, &promised), archive.join())
    });
    problems.extend(copies);
    problems.extend(archive.unwrap_or_else(|_| vec![general("the archive cannot be checked")]));
    problems
}

type Promised<'a> = BTreeMap<PathBuf, &'a ArtifactEntry>;

fn promised(manifest: &ArtifactManifest) -> (Promised<'_>, Vec<ArtifactProblem>) {
    let (mut promised, mut problems) = (BTreeMap::new(), Vec::new());
    for entry in &manifest.entries {
        match entry_path(entry) {
            Err(error) => problems.push(general(error.to_string())),
            Ok(path) => {
                if promised.insert(path.clone(), entry).is_some() {
                    problems.push(problem(&path, "the manifest has it twice"));
                }
            }
        }
    }
    (promised, problems)
}

/// The job's manifest tells how many there are; where there is none the run did not get so far.
fn differs_from_job(job: &JobLayout, manifest: &ArtifactManifest) -> Option<ArtifactProblem> {
    let told = store::read::<JobManifest>(&job.manifest()).ok()?.artifacts?;
    let count = manifest.entries.len() as u64;
    let bytes: u64 = manifest.entries.iter().map(|entry| entry.size).sum();
    let text = format!(
        "the artifact manifest has {count} artifacts and {bytes} bytes, the job's manifest {} and {}",
        told.count, told.bytes
    );
    (told.count != count || told.bytes != bytes).then(|| general(text))
}

fn copy_problems(job: &JobLayout, promised: &Promised<'_>) -> Vec<ArtifactProblem> {
    let mut folder = match Folder::open(&job.artifacts()) {
        Ok(folder) => folder,
        Err(error) => return vec![general(format!("the copies cannot be read: {error}"))],
    };
    let archive = archive_name(job);
    let mut problems = Vec::new();
    for (path, entry) in promised.iter().filter(|(path, _)| **path != archive) {
        let wrong = wrong_copy(&mut folder, path, entry);
        problems.extend(wrong.map(|wrong| problem(path, format!("the copy {wrong}"))));
    }
    problems.extend(extra_copies(&mut folder, promised, &archive));
    problems
}

/// The one name among the copies that is the archive's.
fn archive_name(job: &JobLayout) -> PathBuf {
    job.artifacts_archive().file_name().unwrap_or_default().into()
}

fn wrong_copy(folder: &mut Folder, path: &Path, entry: &ArtifactEntry) -> Option<String> {
    let stat = match folder.stat(path) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Some("is missing".into()),
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    let kind = folder.kind(path).ok().flatten().unwrap_or(Kind::Special);
    if kind != kind_of(entry) {
        return Some(format!("is {}, not {}", kind.words(), kind_of(entry).words()));
    }
    match entry.entry {
        EntryKind::Folder => None,
        EntryKind::Symlink => match folder.read_link(path) {
            Ok(target) if target == link_target(entry) => None,
            Ok(target) => Some(format!("points to `{}`", target.to_string_lossy())),
            Err(error) => Some(format!("cannot be read: {error}")),
        },
        EntryKind::File => {
            let (mode, expected) = (stat.st_mode & 0o7777, kept_mode(entry.mode));
            if mode != expected {
                return Some(format!("has mode {mode:04o}, not {expected:04o}"));
            }
            match folder.open_file(path).and_then(|mut file| summed(&mut file)) {
                Ok(copied) => wrong_content(&copied, entry),
                Err(error) => Some(format!("cannot be read: {error}")),
            }
        }
    }
}

fn kind_of(entry: &ArtifactEntry) -> Kind {
    match entry.entry {
        EntryKind::File => Kind::File,
        EntryKind::Symlink => Kind::Symlink,
        EntryKind::Folder => Kind::Folder,
    }
}

fn summed(content: &mut dyn Read) -> io::Result<Copied> {
    let mut sum = Content::checked();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return sum.finish(),
            Ok(length) => sum.push(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn wrong_content(copied: &Copied, entry: &ArtifactEntry) -> Option<String> {
    if copied.size != entry.size {
        return Some(format!("has {} bytes, not {}", copied.size, entry.size));
    }
    let is_same = entry.sha256.as_ref() == Some(&copied.sha256);
    (!is_same).then(|| "has another content (SHA-256)".to_owned())
}

/// What lies among the copies and is not promised.
fn extra_copies(
    folder: &mut Folder,
    promised: &Promised<'_>,
    archive: &Path,
) -> Vec<ArtifactProblem> {
    let mut problems = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(at) = folders.pop() {
        let listed = match folder.list(&at) {
            Ok(listed) => listed,
            Err(error) => {
                problems.push(problem(&at, format!("cannot be listed: {error}")));
                continue;
            }
        };
        for entry in listed {
            let path = at.join(entry.name);
            if entry.kind == Kind::Folder {
                folders.push(path);
            } else if !promised.contains_key(&path) && path != archive {
                problems.push(problem(&path, "is among the copies, but not in the manifest"));
            }
        }
    }
    problems
}

fn archive_problems(job: &JobLayout, promised: &Promised<'_>) -> Vec<ArtifactProblem> {
    let archive = job.artifacts_archive();
    if promised.is_empty() {
        let extra = archive.exists().then(|| general("there is an archive of no artifacts"));
        return extra.into_iter().collect();
    }
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    let read = read_archive(&archive, |archived, content| {
        let wrong = wrong_entry(&archived, content, promised, &seen)?;
        problems.extend(wrong.map(|wrong| problem(&archived.path, wrong)));
        seen.insert(archived.path);
        Ok(())
    });
    match read {
        Err(error) => problems.push(general(format!("the archive cannot be read: {error}"))),
        // What a damaged archive lacks was said with the damage.
        Ok(()) => {
            let missing = promised.keys().filter(|path| !seen.contains(*path));
            problems.extend(missing.map(|path| problem(path, "is missing in the archive")));
        }
    }
    problems
}

fn wrong_entry(
    archived: &Archived,
    content: &mut dyn Read,
    promised: &Promised<'_>,
    seen: &BTreeSet<PathBuf>,
) -> io::Result<Option<String>> {
    let Some(entry) = promised.get(&archived.path) else {
        return Ok(Some("is in the archive, but not in the manifest".into()));
    };
    if seen.contains(&archived.path) {
        return Ok(Some("is in the archive twice".into()));
    }
    let wrong = match (&archived.kind, entry.entry) {
        (ArchivedKind::File, EntryKind::File) => wrong_content(&summed(content)?, entry),
        (ArchivedKind::HardLink(first), EntryKind::File) => {
            let same = promised.get(first).filter(|_| seen.contains(first));
            let same = same.is_some_and(|same| same.sha256 == entry.sha256);
            (!same).then(|| format!("is a link to `{}`", first.to_string_lossy()))
        }
        (ArchivedKind::Symlink(target), EntryKind::Symlink) => (*target != link_target(entry))
            .then(|| format!("points to `{}`", target.to_string_lossy())),
        (ArchivedKind::Folder, EntryKind::Folder) => None,
        _ => Some("is something else".to_owned()),
    };
    let mode = (archived.mode != entry.mode)
        .then(|| format!("has mode {:04o}, not {:04o}", archived.mode, entry.mode));
    Ok(wrong.or(mode).map(|wrong| format!("in the archive it {wrong}")))
}

fn general(text: impl Into<String>) -> ArtifactProblem {
    ArtifactProblem { path: None, path_bytes: None, problem: text.into() }
}

fn problem(path: &Path, text: impl Into<String>) -> ArtifactProblem {
    let (path, path_bytes) = encoded(path.as_os_str());
    ArtifactProblem { path: Some(path), path_bytes, problem: text.into() }
}
