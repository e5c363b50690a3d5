//! The earlier attempts of a job that was tried again, as its folder holds them.

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
