//! How something ended: a status, and why and in which words where it is not success.

use libloom_contract::{Reason, Status};

/// Outcome of a job, a section or a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One of the four.
    pub status: Status,
    /// Why; `None` for success.
    pub reason: Option<Reason>,
    /// The same for people.
    pub message: Option<String>,
}

impl Verdict {
    /// It did what it should.
    pub fn success() -> Self {
        Verdict { status: Status::Success, reason: None, message: None }
    }

    /// It failed.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Verdict::because(Status::Failure, reason, message)
    }

    /// It was not run.
    pub fn skipped(reason: Reason, message: impl Into<String>) -> Self {
        Verdict::because(Status::Skipped, reason, message)
    }

    /// It was ended from outside.
    pub fn cancelled(reason: Reason, message: impl Into<String>) -> Self {
        Verdict::because(Status::Cancelled, reason, message)
    }

    fn because(status: Status, reason: Reason, message: impl Into<String>) -> Self {
        Verdict { status, reason: Some(reason), message: Some(message.into()) }
    }

    /// Whether it is success.
    pub fn is_success(&self) -> bool {
        self.status == Status::Success
    }
}
