//! The jobs of a run that have artifacts.

use std::{error::Error, fs};

use libloom_contract::{
    StoreError, Timestamp,
    artifacts::{ArtifactManifest, ArtifactState},
    layout::{JobLayout, Layout},
    store,
};
use libloom_entry::{Failure, OrFail};
use libloom_record::read::{self, ReadError};

/// A job with artifacts; what is wrong with its manifest concerns no other job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) layout: JobLayout,
    pub(crate) manifest: Result<ArtifactManifest, StoreError>,
}

impl Job {
    /// How its artifacts stand, as far as the manifest tells.
    pub(crate) fn state(&self, now: Timestamp) -> ArtifactState {
        match &self.manifest {
            Err(_) => ArtifactState::Damaged,
            Ok(manifest) if manifest.pruned_at.is_some() => ArtifactState::Pruned,
            Ok(manifest) if is_expired(manifest, now) => ArtifactState::Expired,
            Ok(_) => ArtifactState::Kept,
        }
    }

    /// The manifest.
    pub(crate) fn into_manifest(self) -> Result<ArtifactManifest, Failure> {
        self.manifest.or_could_not(format_args!("cannot read the artifacts of job `{}`", self.id))
    }
}

pub(crate) fn is_expired(manifest: &ArtifactManifest, now: Timestamp) -> bool {
    manifest.expires_at.is_some_and(|at| at <= now)
}

/// The id of the run that `run` names.
pub(crate) fn resolve(layout: &Layout, run: &str) -> Result<String, Failure> {
    read::resolve(layout, run).map_err(|error| {
        let hint = match &error {
            ReadError::NoRuns { .. } => "start one with `loom run --local`",
            ReadError::NoSuchRun { .. } => "`loom logs list` shows all runs",
            ReadError::Ambiguous { .. } => "name more of the run's id",
            ReadError::Folder { .. } => "the folder must be readable for you",
        };
        Failure::could_not(error).hint(hint)
    })
}

/// The jobs of a run that have artifacts, by id. A run without jobs has none.
pub(crate) fn of_run(layout: &Layout, run_id: &str) -> Vec<Job> {
    let run = layout.run(run_id);
    let entries = fs::read_dir(run.jobs()).into_iter().flatten().flatten();
    let mut ids: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.sort_unstable();
    let jobs = ids.into_iter().map(|id| (run.job(&id), id));
    let with_artifacts = jobs.filter(|(layout, _)| layout.artifacts_manifest().exists());
    with_artifacts.map(|(layout, id)| of_layout(id, layout)).collect()
}

/// A job by where it lies.
pub(crate) fn of_layout(id: String, layout: JobLayout) -> Job {
    let manifest = store::read(&layout.artifacts_manifest());
    Job { id, layout, manifest }
}

/// One job of a run.
pub(crate) fn find(layout: &Layout, run_id: &str, job: &str) -> Result<Job, Failure> {
    let mut jobs = of_run(layout, run_id);
    if let Some(at) = jobs.iter().position(|found| found.id == job) {
        return Ok(jobs.swap_remove(at));
    }
    // Only a name of the listing is ever joined to a path.
    let failure = Failure::could_not(format!("the run `{run_id}` has no artifacts of job `{job}`"));
    let ids: Vec<String> = jobs.iter().map(|job| format!("`{}`", job.id)).collect();
    Err(match ids.is_empty() {
        true => failure.hint("no job of this run has artifacts"),
        false => failure.hint(format!("jobs with artifacts: {}", ids.join(", "))),
    })
}

/// The jobs that are meant: all of the run that have artifacts, or one.
pub(crate) fn chosen(
    layout: &Layout,
    run_id: &str,
    job: Option<&str>,
) -> Result<Vec<Job>, Failure> {
    match job {
        Some(job) => Ok(vec![find(layout, run_id, job)?]),
        None => Ok(of_run(layout, run_id)),
    }
}

/// An error with its causes, in one line.
pub(crate) fn words(error: &StoreError) -> String {
    let error: &dyn Error = error;
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
