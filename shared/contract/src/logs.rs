//! Summaries and manifests of a run's logs tree.
//!
//! A summary says how a thing ended; a manifest lists its parts and points to the part that
//! failed. Paths ending in `_path` are relative to the run's folder.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::{PhaseCode, Section},
    graph::Provider,
    reports::{DotenvEntry, TestReport},
    status::{Reason, Status},
    store::Document,
    time::Timestamp,
    version::{self, Format},
};

macro_rules! document {
    ($type:ty, $kind:literal, $format:expr) => {
        impl Document for $type {
            const KIND: &'static str = $kind;
            const FORMAT: Format = $format;
        }
    };
}

document!(RunSummary, "loom-run-local-logs", version::RUN_SUMMARY);
document!(PhaseReport, "loom-run-local-phase-report", version::PHASE_REPORT);
document!(PipelineSummary, "loom-pipeline-summary", version::LOGS);
document!(PipelineManifest, "loom-pipeline-manifest", version::LOGS);
document!(JobSummary, "loom-job-summary", version::LOGS);
document!(JobManifest, "loom-job-manifest", version::LOGS);
document!(StepSummary, "loom-step-summary", version::LOGS);
document!(SectionSummary, "loom-section-summary", version::LOGS);
document!(EngineRecord, "loom-engine", version::LOGS);

/// `summary.json` of a run: where everything else is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    /// `v1`.
    #[schemars(extend("const" = "v1"))]
    pub schema_version: String,
    /// `loom-run-local-logs`.
    #[schemars(extend("const" = "loom-run-local-logs"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// The pipeline in it.
    pub pipeline_id: String,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of `loom run`.
    pub exit_code: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Wall time.
    pub duration_ms: u64,
    /// Run-scoped events.
    pub events_path: String,
    /// The phase report.
    pub phase_report_path: String,
    /// Summary of the pipeline; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_summary_path: Option<String>,
    /// Manifest of the pipeline; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_manifest_path: Option<String>,
    /// The isolated workspace, absolute; absent when none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_path: Option<String>,
}

/// `phase-report.json`: whether every phase began and ended as it should.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseReport {
    /// `v1`.
    #[schemars(extend("const" = "v1"))]
    pub schema_version: String,
    /// `loom-run-local-phase-report`.
    #[schemars(extend("const" = "loom-run-local-phase-report"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// No violation was found.
    pub valid: bool,
    /// How often each phase began and ended.
    pub phases: Vec<PhaseCoverage>,
    /// What is missing or out of order.
    pub violations: Vec<PhaseViolation>,
}

/// How often one phase began and ended in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseCoverage {
    /// The phase.
    pub phase_code: PhaseCode,
    /// Start events.
    pub started: u64,
    /// Finish events.
    pub finished: u64,
}

/// A boundary that is missing or out of order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseViolation {
    /// The phase.
    pub phase_code: PhaseCode,
    /// The job, for phases of jobs and steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// `pipeline/summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineSummary {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-pipeline-summary`.
    #[schemars(extend("const" = "loom-pipeline-summary"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// The pipeline.
    pub pipeline_id: String,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the pipeline.
    pub exit_code: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Wall time.
    pub duration_ms: u64,
    /// Jobs by outcome.
    pub counts: JobCounts,
}

/// Jobs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobCounts {
    /// Jobs of the graph.
    pub total: u64,
    /// Of these, succeeded.
    pub success: u64,
    /// Of these, failed.
    pub failure: u64,
    /// Of these, not run.
    pub skipped: u64,
    /// Of these, ended from outside.
    pub cancelled: u64,
}

impl JobCounts {
    /// Counts one more job.
    pub fn add(&mut self, status: Status) {
        self.total += 1;
        match status {
            Status::Success => self.success += 1,
            Status::Failure => self.failure += 1,
            Status::Skipped => self.skipped += 1,
            Status::Cancelled => self.cancelled += 1,
        }
    }
}

/// `pipeline/manifest.json`: the jobs, and the one that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineManifest {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-pipeline-manifest`.
    #[schemars(extend("const" = "loom-pipeline-manifest"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// The pipeline.
    pub pipeline_id: String,
    /// How it ended.
    pub status: Status,
    /// The job that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_job_id: Option<String>,
    /// Its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_job_manifest_path: Option<String>,
    /// Every job of the graph, in its order.
    pub jobs: Vec<JobEntry>,
}

/// One job in a pipeline's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobEntry {
    /// Id of the job.
    pub job_id: String,
    /// What people see, where it differs from the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its stage.
    pub stage: String,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Wall time of its last attempt; 0 for a job that never ran.
    pub duration_ms: u64,
    /// How often it was tried; 0 for a job that never ran.
    #[serde(default)]
    pub attempts: u32,
    /// Processor time of its processes; absent where it never ran or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Largest memory of one of its processes; absent where it never ran or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// Its manifest.
    pub manifest_path: String,
}

/// `jobs/<id>/summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobSummary {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-job-summary`.
    #[schemars(extend("const" = "loom-job-summary"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// What people see.
    pub label: String,
    /// Its stage.
    pub stage: String,
    /// Where it ran.
    pub provider: Provider,
    /// Which attempt this is, from 1; 0 for a job that never ran.
    #[serde(default)]
    pub attempt: u32,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the job's shell; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it began; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Wall time; 0 for a job that never ran.
    pub duration_ms: u64,
    /// Processor time of its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Largest memory of one of its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
}

/// `jobs/<id>/manifest.json`: the steps and sections, and the one that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobManifest {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-job-manifest`.
    #[schemars(extend("const" = "loom-job-manifest"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The section that failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_section: Option<Section>,
    /// Its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_section_events_path: Option<String>,
    /// The step that failed, such as `script/02`, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_step: Option<String>,
    /// Its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_step_events_path: Option<String>,
    /// Events around the steps, with the output that belongs to none of them; absent when the
    /// job never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_events_path: Option<String>,
    /// Every script entry in order.
    pub steps: Vec<StepEntry>,
    /// System work that took place.
    pub system_sections: Vec<SectionEntry>,
    /// What was extracted, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactsEntry>,
    /// What `reports.junit` says, where the job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestReport>,
    /// Variables for later jobs, where `reports.dotenv` has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotenv: Option<DotenvEntry>,
    /// How often the job was tried, this attempt included; 0 for a job that never ran.
    #[serde(default)]
    pub attempts: u32,
    /// The attempts before this one, which failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_attempts: Vec<AttemptEntry>,
    /// The run in which the job succeeded, where this one took that as given (`--failed`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_in: Option<String>,
}

/// An earlier attempt in a job's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptEntry {
    /// Which one, from 1.
    pub attempt: u32,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of its shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Wall time.
    pub duration_ms: u64,
    /// Its manifest, in a folder laid out like the job's own.
    pub manifest_path: String,
}

/// One step in a job's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepEntry {
    /// Such as `script/02`.
    pub step: String,
    /// How it ended.
    pub status: Status,
    /// Exit code; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Wall time; 0 when it never ran.
    pub duration_ms: u64,
    /// Its summary; its events stand beside it.
    pub summary_path: String,
}

/// One system section in a job's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SectionEntry {
    /// Which one.
    pub section: Section,
    /// How it ended.
    pub status: Status,
    /// Its summary.
    pub summary_path: String,
    /// Its events.
    pub events_path: String,
}

/// The extracted files in a job's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactsEntry {
    /// Files, symlinks and empty folders.
    pub count: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Folder that holds them.
    pub path: String,
    /// The archive of them all; absent when nothing matched, or when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_path: Option<String>,
    /// The list with sizes and checksums.
    pub manifest_path: String,
    /// From when on `loom artifacts prune` removes them; absent: not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When copies and archive were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
}

/// `summary.json` of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepSummary {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-step-summary`.
    #[schemars(extend("const" = "loom-step-summary"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// Such as `script/02`.
    pub step: String,
    /// The script entry, before the shell expanded it.
    pub command: String,
    /// Where the entry stands in the workflow, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code; 128 + n for signal n; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it began; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Wall time.
    pub duration_ms: u64,
    /// Lines of both streams, a last one without its end included.
    pub output_lines: u64,
    /// Bytes of standard output.
    pub stdout_bytes: u64,
    /// Bytes of standard error.
    pub stderr_bytes: u64,
    /// Bytes that were not recorded because the job reached its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_bytes: Option<u64>,
    /// Its events; absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_path: Option<String>,
}

/// `summary.json` of a system section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SectionSummary {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-section-summary`.
    #[schemars(extend("const" = "loom-section-summary"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// Which one.
    pub section: Section,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wall time.
    pub duration_ms: u64,
    /// Its events.
    pub events_path: String,
}

/// `engine.json` of a run: which engine may hold containers, volumes and networks of it. It is there
/// from before the first is made until all are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineRecord {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-engine`.
    #[schemars(extend("const" = "loom-engine"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// The engine's address, such as `unix:///var/run/docker.sock`.
    pub address: String,
}
