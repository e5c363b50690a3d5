//! Receipts: the first thing to read about a run or a check. All paths are absolute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::Diagnostic,
    logs::JobCounts,
    status::{Reason, Status},
    store::Document,
    time::Timestamp,
    version::{self, Format},
};

/// Receipt of `loom run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReceipt {
    /// `v1`.
    #[schemars(extend("const" = "v1"))]
    pub schema_version: String,
    /// `loom-run-local`.
    #[schemars(extend("const" = "loom-run-local"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// Version of the command that ran it.
    pub loom_version: String,
    /// The exact invocation; bytes that are not UTF-8 appear as U+FFFD.
    pub command: Vec<String>,
    /// Top folder of the repository.
    pub repo_root: String,
    /// The workflow file.
    pub workflow_path: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Wall time.
    pub duration_ms: u64,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Exit code of the process.
    pub exit_code: i32,
    /// What went wrong, where it was not a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Folder of the logs tree.
    pub logs_dir: String,
    /// Run-scoped events.
    pub events_jsonl_path: String,
    /// The phase report.
    pub phase_report_path: String,
    /// The jobs, and the one that failed; absent when there was no pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_manifest_path: Option<String>,
    /// The isolated workspace; absent when none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_path: Option<String>,
    /// Commit of HEAD in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_head_sha: Option<String>,
    /// Branch of the repository; absent when HEAD is detached or no workspace was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What was planned; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_ir: Option<GraphPointer>,
    /// Jobs by outcome.
    pub counts: JobCounts,
    /// The jobs; beyond 20 only those that did not succeed.
    pub jobs: Vec<JobLine>,
    /// What the executor did; absent when it did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_receipt: Option<ExecutorReceipt>,
}

/// Most jobs that a receipt lists whatever their outcome.
pub const JOBS_LISTED_MAX: usize = 20;

impl Document for RunReceipt {
    const KIND: &'static str = "loom-run-local";
    const FORMAT: Format = version::RECEIPT;
}

/// Where the graph document is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GraphPointer {
    /// The document; absent when it could not be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its digest.
    pub digest: String,
    /// Its format.
    pub schema_version: String,
}

/// One job in a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobLine {
    /// Its id.
    pub job_id: String,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Wall time of its last attempt.
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
}

/// What the executor did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorReceipt {
    /// Jobs that ran.
    pub jobs: u64,
    /// Steps that ran.
    pub steps: u64,
    /// Wall time of the pipeline.
    pub duration_ms: u64,
    /// Processor time of all job processes.
    pub cpu_ms: u64,
    /// Largest memory of one job process.
    pub peak_rss_bytes: u64,
}

/// Receipt of `loom check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReceipt {
    /// `v1`.
    #[schemars(extend("const" = "v1"))]
    pub schema_version: String,
    /// `loom-check`.
    #[schemars(extend("const" = "loom-check"))]
    pub kind: String,
    /// Version of the command.
    pub loom_version: String,
    /// The exact invocation; bytes that are not UTF-8 appear as U+FFFD.
    pub command: Vec<String>,
    /// Exit code of the process.
    pub exit_code: i32,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub workflow_schema_v1: SchemaVerdict,
}

impl Document for CheckReceipt {
    const KIND: &'static str = "loom-check";
    const FORMAT: Format = version::RECEIPT;
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaVerdict {
    /// The workflow file.
    pub workflow_path: String,
    /// No errors.
    pub valid: bool,
    /// What makes it invalid.
    pub errors: Vec<Diagnostic>,
    /// What does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Diagnostic>,
}
