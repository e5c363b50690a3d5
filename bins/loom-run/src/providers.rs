//! Where a job's shell runs.

pub mod docker;
pub mod host;
mod spawn;
