//! The four outcomes and why a thing did not succeed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outcome of a run, pipeline, job, section or step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran and did what it should.
    Success,
    /// It ran, or should have, and failed.
    Failure,
    /// It was not run, on purpose.
    Skipped,
    /// It was ended from outside, or never ran because the run was ended.
    Cancelled,
}

impl Status {
    /// The word used in documents and on screen.
    pub fn word(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Failure => "failure",
            Status::Skipped => "skipped",
            Status::Cancelled => "cancelled",
        }
    }

    /// Neither failed nor cancelled: what a run may contain and still succeed.
    pub fn is_fine(self) -> bool {
        matches!(self, Status::Success | Status::Skipped)
    }
}

/// Why something is `failure`, `skipped` or `cancelled`. A sentence for people stands beside it
/// in `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A command ended with an exit code other than 0.
    ExitCode,
    /// The shell was ended by a signal.
    Signal,
    /// The time allowed ran out.
    Timeout,
    /// The memory allowed ran out.
    OutOfMemory,
    /// A step of the job failed.
    StepFailed,
    /// A system section of the job (provider, services, artifacts …) failed.
    SectionFailed,
    /// A job of the pipeline failed.
    JobFailed,
    /// A job it needs did not succeed.
    NeedsNotMet,
    /// A job of an earlier stage did not succeed.
    EarlierStageFailed,
    /// An earlier step of the same job failed.
    EarlierStepFailed,
    /// An earlier step ended the shell with success (`exit 0`, `exec`).
    ShellEnded,
    /// Rules decided against it.
    Rules,
    /// It starts only when asked for by name.
    Manual,
    /// It was not among the jobs asked for.
    NotSelected,
    /// Another job failed, and the run was to stop at the first failure.
    FailFast,
    /// There was nothing to do.
    NothingToDo,
    /// The provider the job needs is not there.
    ProviderUnavailable,
    /// A secret could not be resolved.
    SecretUnavailable,
    /// The workflow is invalid.
    WorkflowInvalid,
    /// The isolated workspace could not be made.
    SnapshotFailed,
    /// Ctrl-C or a signal asked the run to end.
    Interrupt,
    /// The run's process was killed; its documents were completed afterwards.
    Interrupted,
    /// Loom itself could not go on (disk full, cannot start a process …).
    LoomError,
    /// A reason that a later Loom knows.
    #[serde(other)]
    Other,
}
