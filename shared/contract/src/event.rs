//! The event record: one line of every `events.jsonl`.
//!
//! A file is append-only; `seq` counts its records from 1 without gaps; a torn last line is what
//! a crash leaves and readers pass over it. The first record carries `schema_version`.
//!
//! An `output` event holds whole lines: what arrived within 100 ms, at most 64 KiB. `text` is
//! UTF-8 with its line ends; where the bytes are not UTF-8 there is `bytes` (base64) instead. A
//! longer line is split, each piece but the last marked `partial`; a last line without its end
//! simply lacks it. Concatenated in order, the events of a stream are the bytes that were written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    status::{Reason, Status},
    time::Timestamp,
};

/// Most bytes of output that one event holds.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Longest time, in milliseconds, that lines wait to share an event.
pub const OUTPUT_DELAY_MS: u64 = 100;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `loom.runtime.logs.v2`, on the first record of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Place in the file, from 1, without gaps.
    pub seq: u64,
    /// When it happened; for output, when the first line of the record arrived.
    pub ts: Timestamp,
    /// What it is about.
    pub scope: Scope,
    /// The phase it belongs to.
    pub phase_code: PhaseCode,
    /// The family of the phase.
    pub phase_family: PhaseFamily,
    /// What happened.
    pub event: EventKind,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The system section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
    /// The step, such as `script/01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Where output was written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// Output, or a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Output that is not UTF-8, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Line ends in the output, plus one for a last line without its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// The output ends within a line that the next record continues.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Outcome, on finish events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Exit code of the shell; 128 + n for signal n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Wall time from start to finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Facts that belong to the event, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole run.
    Run,
    /// The pipeline in it.
    Pipeline,
    /// One job, its sections included.
    Job,
    /// One script entry.
    Step,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The phase begins.
    Start,
    /// The phase ends; `status` says how.
    Finish,
    /// A process wrote something.
    Output,
    /// Something worth knowing.
    Note,
    /// Something went wrong.
    Error,
}

/// A stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A phase of a run. Within a job they come in the order of this list.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PhaseCode {
    /// Run context and workspace are made.
    #[serde(rename = "run.bootstrap")]
    RunBootstrap,
    /// Envelope around the pipeline.
    #[serde(rename = "run.pipeline_execute")]
    RunPipelineExecute,
    /// The pipeline.
    #[serde(rename = "pipeline.execute")]
    PipelineExecute,
    /// Provider, services and image of a job are made ready.
    #[serde(rename = "job.provider_prepare")]
    JobProviderPrepare,
    /// Caches are restored; only where there are any.
    #[serde(rename = "job.cache_restore")]
    JobCacheRestore,
    /// Envelope around the user's script.
    #[serde(rename = "job.execution")]
    JobExecution,
    /// One script entry.
    #[serde(rename = "step.execute")]
    StepExecute,
    /// Artifacts are extracted; only where there are any.
    #[serde(rename = "job.artifact_restore")]
    JobArtifactRestore,
    /// Caches are saved; only where there are any.
    #[serde(rename = "job.cache_save")]
    JobCacheSave,
    /// Closes a job, also one that never ran.
    #[serde(rename = "job.cleanup")]
    JobCleanup,
    /// The last documents are written.
    #[serde(rename = "run.finalize")]
    RunFinalize,
}

impl PhaseCode {
    /// The family every phase belongs to.
    pub fn family(self) -> PhaseFamily {
        match self {
            PhaseCode::RunBootstrap => PhaseFamily::Bootstrap,
            PhaseCode::JobProviderPrepare | PhaseCode::JobCacheRestore => PhaseFamily::Prepare,
            PhaseCode::RunPipelineExecute
            | PhaseCode::PipelineExecute
            | PhaseCode::JobExecution
            | PhaseCode::StepExecute => PhaseFamily::Execute,
            PhaseCode::JobArtifactRestore
            | PhaseCode::JobCacheSave
            | PhaseCode::JobCleanup
            | PhaseCode::RunFinalize => PhaseFamily::Finalize,
        }
    }

    /// What the phase is a phase of.
    pub fn scope(self) -> Scope {
        match self {
            PhaseCode::RunBootstrap | PhaseCode::RunPipelineExecute | PhaseCode::RunFinalize => {
                Scope::Run
            }
            PhaseCode::PipelineExecute => Scope::Pipeline,
            PhaseCode::StepExecute => Scope::Step,
            PhaseCode::JobProviderPrepare
            | PhaseCode::JobCacheRestore
            | PhaseCode::JobExecution
            | PhaseCode::JobArtifactRestore
            | PhaseCode::JobCacheSave
            | PhaseCode::JobCleanup => Scope::Job,
        }
    }
}

/// Families of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseFamily {
    /// Before there is a pipeline.
    Bootstrap,
    /// Before the user's script.
    Prepare,
    /// The user's script and what surrounds it.
    Execute,
    /// After the user's script.
    Finalize,
}

/// System work of a job, each kind with an event stream of its own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Choosing and preparing the provider; secrets.
    Provider,
    /// Sidecar containers.
    Services,
    /// Building the job's image.
    ImageBuild,
    /// Restoring caches.
    CacheRestore,
    /// Saving caches.
    CacheSave,
    /// Extracting artifacts.
    ArtifactExtract,
    /// Ending what is left and removing what was made.
    Cleanup,
}

impl Section {
    /// Name of the section's folder.
    pub fn word(self) -> &'static str {
        match self {
            Section::Provider => "provider",
            Section::Services => "services",
            Section::ImageBuild => "image_build",
            Section::CacheRestore => "cache_restore",
            Section::CacheSave => "cache_save",
            Section::ArtifactExtract => "artifact_extract",
            Section::Cleanup => "cleanup",
        }
    }

    /// The phase the section is part of.
    pub fn phase(self) -> PhaseCode {
        match self {
            Section::Provider | Section::Services | Section::ImageBuild => {
                PhaseCode::JobProviderPrepare
            }
            Section::CacheRestore => PhaseCode::JobCacheRestore,
            Section::CacheSave => PhaseCode::JobCacheSave,
            Section::ArtifactExtract => PhaseCode::JobArtifactRestore,
            Section::Cleanup => PhaseCode::JobCleanup,
        }
    }
}

/// `data` of the start of `run.bootstrap`: what a receipt needs if the run is killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunContext {
    /// The exact invocation.
    pub command: Vec<String>,
    /// Version of the command.
    pub loom_version: String,
    /// The pipeline.
    pub pipeline_id: String,
    /// Top folder of the repository.
    pub repo_root: String,
    /// The workflow file, absolute.
    pub workflow_path: String,
}

/// `data` of the finish of `run.bootstrap`: what is about to be executed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// The graph; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_ir: Option<crate::receipt::GraphPointer>,
    /// The isolated workspace; absent when none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_path: Option<String>,
    /// Commit of HEAD in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_head_sha: Option<String>,
    /// Branch of the repository; absent when HEAD is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}
