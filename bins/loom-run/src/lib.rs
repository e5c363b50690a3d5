//! Runs a workflow in an isolated workspace.
pub mod shell;
