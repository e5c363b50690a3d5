//! The logs tree of a run: write it, read it, complete it.
//!
//! `loom-run` writes it; `loom-logs` and whatever comes after a killed run read and complete it.

#![warn(missing_docs)]

pub mod attempts;
pub mod complete;
pub mod engines;
pub mod events;
pub mod lock;
pub mod phases;
pub mod read;
pub mod stream;

pub use complete::{CompleteError, complete, complete_dead_runs};
pub use phases::PhaseLedger;
