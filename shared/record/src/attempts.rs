//! The earlier attempts of a job that was tried again, as its folder holds them.

use std::{fs, io, path::PathBuf};

use libloom_contract::{
    layout::{JobLayout, RunLayout},
    logs::{AttemptEntry, JobSummary},
    store,
};

/// The attempts before the one that the job's own folder holds, oldest first.
///
/// Told by their summaries; the list ends with the first one that cannot be read.
pub fn earlier(run: &RunLayout, job: &JobLayout) -> Vec<AttemptEntry> {
    (1..).map_while(|attempt| entry(run, &job.attempt(attempt), attempt)).collect()
}

/// What the folder of a job holds besides its earlier attempts.
///
/// # Errors
/// The folder cannot be listed.
pub fn parts(job: &JobLayout) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(job.folder())?.collect::<io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| *path != job.attempts()).collect())
}

/// Removes what the folder of a job holds besides its earlier attempts, once that is whole among
/// them. The summary, which makes the job look finished, goes first, and the events last: by
/// them [`finish_setting_aside`] knows that it has to go on.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_parts(job: &JobLayout) -> io::Result<()> {
    let mut parts = parts(job)?;
    parts.sort_by_key(|part| match part {
        part if *part == job.summary() => 0,
        part if *part == job.events() => 2,
        _ => 1,
    });
    parts.iter().try_for_each(|part| match fs::symlink_metadata(part)?.is_dir() {
        true => fs::remove_dir_all(part),
        false => fs::remove_file(part),
    })
}

/// Ends what a killed process was doing: an attempt that is not whole in its new place is removed
/// from there, and one that is, from its old place.
///
/// # Errors
/// Something cannot be read or removed.
pub fn finish_setting_aside(job: &JobLayout) -> io::Result<()> {
    let entries = match fs::read_dir(job.attempts()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?.collect::<io::Result<Vec<_>>>()?,
    };
    let mut last = 0;
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match name.parse::<u32>() {
            Ok(number) => last = last.max(number),
            Err(_) if name.starts_with(store::TEMPORARY_PREFIX) => {
                fs::remove_dir_all(entry.path())?;
            }
            Err(_) => {}
        }
    }
    let begins = |job: &JobLayout| first_line(&job.events());
    match begins(job)? {
        Some(line) if begins(&job.attempt(last))? == Some(line.clone()) => remove_parts(job),
        _ => Ok(()),
    }
}

/// The first record of a stream, which has the time in it; `None` where there is none.
fn first_line(path: &std::path::Path) -> io::Result<Option<String>> {
    use std::io::BufRead as _;
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => io::BufReader::new(file?).lines().next().transpose(),
    }
}

fn entry(run: &RunLayout, folder: &JobLayout, attempt: u32) -> Option<AttemptEntry> {
    let summary: JobSummary = store::read(&folder.summary()).ok()?;
    Some(AttemptEntry {
        attempt,
        status: summary.status,
        reason: summary.reason,
        message: summary.message,
        exit_code: summary.exit_code,
        duration_ms: summary.duration_ms,
        manifest_path: run.relative(&folder.manifest()),
    })
}
