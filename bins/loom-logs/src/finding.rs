//! The walk from a receipt to the output of what failed, following the fields of the documents.
//!
//! Receipt → pipeline manifest → job manifest → event stream: three small documents and the end
//! of one stream, whatever the number of jobs and the size of their logs.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Status, StoreError,
    diagnostic::{Diagnostic, Span},
    event::{Event, EventKind, Section, Stream},
    layout::{Layout, RunLayout},
    logs::{JobManifest, PipelineManifest, StepSummary},
    receipt::RunReceipt,
    store,
};
use libloom_record::stream::{EventReader, Line, StreamError, last_lines, output};

/// Lines of output that are shown as evidence.
pub(crate) const EVIDENCE_LINES: usize = 20;

/// What is known of a finished run and of what failed in it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) receipt: RunReceipt,
    /// The files that were read, absolute, in the order in which one led to the next.
    pub(crate) walked: Vec<PathBuf>,
    pub(crate) job: Option<JobFinding>,
    /// The last lines of what failed.
    pub(crate) evidence: Vec<Line>,
}

/// The job that failed, or that was running when the run was ended.
#[derive(Debug)]
pub(crate) struct JobFinding {
    pub(crate) stage: String,
    pub(crate) manifest: JobManifest,
    pub(crate) step: Option<StepSummary>,
    pub(crate) section: Option<Section>,
}

/// Why the walk ended early.
#[derive(Debug)]
pub(crate) enum WalkError {
    Document(StoreError),
    Stream(StreamError),
}

impl From<StoreError> for WalkError {
    fn from(error: StoreError) -> Self {
        WalkError::Document(error)
    }
}

impl From<StreamError> for WalkError {
    fn from(error: StreamError) -> Self {
        WalkError::Stream(error)
    }
}

/// Walks from the receipt of a run as far as its fields lead.
pub(crate) fn walk(layout: &Layout, run_id: &str) -> Result<Finding, WalkError> {
    let mut walk = Walk { run: layout.run(run_id), walked: Vec::new() };
    let receipt: RunReceipt = walk.read(layout.run_receipt(run_id))?;
    let (mut job, mut evidence) = (None, Vec::new());
    if receipt.status != Status::Success {
        job = walk.job(&receipt)?;
        evidence = match &job {
            Some(job) => walk.evidence_of(job)?,
            None => walk.evidence_of_run()?,
        };
    }
    Ok(Finding { receipt, walked: walk.walked, job, evidence })
}

struct Walk {
    run: RunLayout,
    walked: Vec<PathBuf>,
}

impl Walk {
    fn read<D: store::Document>(&mut self, path: PathBuf) -> Result<D, StoreError> {
        let document = store::read(&path)?;
        self.walked.push(path);
        Ok(document)
    }

    /// A pointer field of a document, which is relative to the run's folder.
    fn pointed(&self, pointer: &str) -> PathBuf {
        self.run.folder().join(pointer)
    }

    fn job(&mut self, receipt: &RunReceipt) -> Result<Option<JobFinding>, StoreError> {
        let Some(pointer) = &receipt.pipeline_manifest_path else { return Ok(None) };
        // The repository may have been moved since; the run's folder moved with it.
        let recorded = Some(PathBuf::from(pointer)).filter(|path| path.exists());
        let path = recorded.unwrap_or_else(|| self.run.pipeline_manifest());
        let pipeline: PipelineManifest = self.read(path)?;
        let Some(pointer) = &pipeline.failing_job_manifest_path else { return Ok(None) };
        let manifest: JobManifest = self.read(self.pointed(pointer))?;
        let entry = pipeline.jobs.into_iter().find(|job| job.job_id == manifest.job_id);
        let step = self.failing_step(&manifest)?;
        let section = manifest.failing_section;
        let stage = entry.map(|entry| entry.stage).unwrap_or_default();
        Ok(Some(JobFinding { stage, manifest, step, section }))
    }

    fn failing_step(&self, manifest: &JobManifest) -> Result<Option<StepSummary>, StoreError> {
        let Some(failing) = &manifest.failing_step else { return Ok(None) };
        let entry = manifest.steps.iter().find(|entry| &entry.step == failing);
        entry.map(|entry| store::read(&self.pointed(&entry.summary_path))).transpose()
    }

    fn evidence_of(&mut self, job: &JobFinding) -> Result<Vec<Line>, StreamError> {
        let manifest = &job.manifest;
        if let Some(pointer) = &manifest.failing_step_events_path {
            return self.end_of(pointer);
        }
        if let Some(pointer) = &manifest.failing_section_events_path {
            let path = self.pointed(pointer);
            return self.sentences_of(path);
        }
        match &manifest.execution_events_path {
            Some(pointer) => self.end_of(pointer),
            None => Ok(Vec::new()),
        }
    }

    fn end_of(&mut self, pointer: &str) -> Result<Vec<Line>, StreamError> {
        let path = self.pointed(pointer);
        let lines = last_lines(&path, EVIDENCE_LINES)?;
        self.walked.push(path);
        Ok(lines)
    }

    fn evidence_of_run(&mut self) -> Result<Vec<Line>, StreamError> {
        let path = self.run.events();
        self.sentences_of(path)
    }

    /// The last lines of what Loom itself said and of what processes wrote: for system work.
    fn sentences_of(&mut self, path: PathBuf) -> Result<Vec<Line>, StreamError> {
        let lines = sentences(&path)?;
        self.walked.push(path);
        Ok(lines)
    }
}

fn sentences(path: &Path) -> Result<Vec<Line>, StreamError> {
    let mut lines = VecDeque::new();
    for event in EventReader::open(path)? {
        let event = event?;
        let written = output(&event).map(|(_, bytes)| bytes.into_owned());
        let text = said(&event).map(String::into_bytes).or(written).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        for bytes in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines.push_back(Line { stream: Stream::Stderr, bytes: bytes.to_vec() });
        }
        while lines.len() > EVIDENCE_LINES {
            lines.pop_front();
        }
    }
    Ok(lines.into())
}

/// What an event says for people, with the place in the workflow that a diagnostic is about.
fn said(event: &Event) -> Option<String> {
    let text = match event.event {
        EventKind::Error | EventKind::Note => event.text.clone()?,
        EventKind::Start | EventKind::Finish | EventKind::Output => return None,
    };
    let data = event.data.clone().map(serde_json::Value::Object);
    let diagnostic = data.and_then(|data| serde_json::from_value::<Diagnostic>(data).ok());
    Some(match diagnostic.and_then(|diagnostic| diagnostic.span) {
        Some(Span { file, line, column, .. }) => format!("{file}:{line}:{column}: {text}"),
        None => text,
    })
}
