//! What two Loom commands must agree on.
//!
//! Commands do not link each other; they share this crate and the documents it describes.

#![warn(missing_docs)]

pub mod env;
pub mod exit;
