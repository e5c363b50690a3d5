//! Which jobs and steps a run has: from its manifests, or from its folders while it is running.

use std::{fs, path::PathBuf};

use libloom_contract::{
    Document, StoreError,
    graph::{ScriptSection, Step},
    layout::{JobLayout, RunLayout},
    logs::{JobManifest, PipelineManifest, StepSummary},
    store,
};

const SCRIPTS: [ScriptSection; 3] =
    [ScriptSection::BeforeScript, ScriptSection::Script, ScriptSection::AfterScript];

/// One step of a job, as far as it is known.
#[derive(Debug)]
pub(crate) struct StepRecord {
    /// Such as `script/02`.
    pub(crate) step: String,
    pub(crate) events: PathBuf,
    /// Absent while it is running.
    pub(crate) summary: Option<StepSummary>,
}

/// Ids of the jobs: in the order of the graph, or by name while the run has no manifest.
pub(crate) fn jobs(run: &RunLayout) -> Result<Vec<String>, StoreError> {
    if let Some(manifest) = if_there::<PipelineManifest>(store::read(&run.pipeline_manifest()))? {
        return Ok(manifest.jobs.into_iter().map(|job| job.job_id).collect());
    }
    let folders = fs::read_dir(run.jobs()).into_iter().flatten().flatten();
    let mut ids: Vec<String> =
        folders.filter_map(|folder| folder.file_name().into_string().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The steps of a job that began, in order.
pub(crate) fn steps(job: &JobLayout) -> Result<Vec<StepRecord>, StoreError> {
    let manifest: Option<JobManifest> = if_there(store::read(&job.manifest()))?;
    let steps = match manifest {
        Some(manifest) => manifest.steps.iter().filter_map(|entry| parse(&entry.step)).collect(),
        None => steps_with_folders(job),
    };
    let records = steps.into_iter().map(|step| record(job, &step));
    records.filter(|record| !matches!(record, Ok(record) if !record.events.exists())).collect()
}

fn record(job: &JobLayout, step: &Step) -> Result<StepRecord, StoreError> {
    let part = job.step(step);
    let summary = if_there(store::read(&part.summary()))?;
    Ok(StepRecord { step: step.path(), events: part.events(), summary })
}

pub(crate) fn steps_with_folders(job: &JobLayout) -> Vec<Step> {
    let in_section = |section: ScriptSection| {
        let names = fs::read_dir(job.script(section)).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut numbers: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(move |number| step(section, number))
    };
    SCRIPTS.into_iter().flat_map(in_section).collect()
}

fn step(section: ScriptSection, number: u32) -> Step {
    Step { section, number, command: String::new(), position: None }
}

/// The list of entries that a person names, such as `before_script`.
pub(crate) fn parse_list(text: &str) -> Option<ScriptSection> {
    SCRIPTS.into_iter().find(|section| section.word() == text)
}

/// The step that a person names: `2`, `02` and `script/2` are the second entry of `script`.
pub(crate) fn parse(text: &str) -> Option<Step> {
    let (word, number) = text.rsplit_once('/').unwrap_or(("script", text));
    let section = SCRIPTS.into_iter().find(|section| section.word() == word)?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(step(section, number))
}

fn if_there<D: Document>(read: Result<D, StoreError>) -> Result<Option<D>, StoreError> {
    match read {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_by_number_or_path() {
        let path = |text| parse(text).map(|step| step.path());
        assert_eq!(path("2"), Some("script/02".into()));
        assert_eq!(path("after_script/01"), Some("after_script/01".into()));
        assert_eq!([path("0"), path("x"), path("other/1"), path("")], [const { None }; 4]);
    }
}
