//! The logs tree of a run: write it, read it, complete it.
//!
//! `loom-run` writes it; `loom-logs` and whatever comes after a killed run read and complete it.

#![warn(missing_docs)]

pub mod events;
pub mod lock;
pub mod phases;
pub mod stream;

pub use phases::PhaseLedger;
