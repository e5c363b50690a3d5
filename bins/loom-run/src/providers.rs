//! Where a job's shell runs.

pub mod host;
mod spawn;
