//! How a thing ended, as each document that tells of it does, for comparison.

use libloom_contract::{
    Reason, Status,
    event::Event,
    logs::{JobEntry, JobManifest, JobSummary, RunSummary, StepEntry, StepSummary},
    receipt::RunReceipt,
};

/// Status and reason.
pub(super) type Outcome = (Status, Option<Reason>);

macro_rules! outcome {
    ($($type:ty),*) => {$(
        impl Ended for $type {
            fn outcome(&self) -> Outcome {
                (self.status, self.reason)
            }
        }
    )*};
}

/// A document that says how something ended.
pub(super) trait Ended {
    fn outcome(&self) -> Outcome;
}

outcome!(JobEntry, JobManifest, JobSummary, StepSummary, RunSummary, RunReceipt);

/// What a job's manifest lists of a step.
pub(super) fn of_entry(entry: &StepEntry) -> (Status, Option<i32>, u64) {
    (entry.status, entry.exit_code, entry.duration_ms)
}

/// The same as the step's own summary tells it.
pub(super) fn of_step(summary: &StepSummary) -> (Status, Option<i32>, u64) {
    (summary.status, summary.exit_code, summary.duration_ms)
}

/// What a finish event says.
pub(super) fn of_finish(event: &Event) -> Option<Outcome> {
    event.status.map(|status| (status, event.reason))
}
