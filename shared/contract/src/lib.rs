//! What two Loom commands must agree on.
//!
//! Commands do not link each other; they share this crate and the documents it describes. It
//! reads no environment and prints nothing. The runtime directory is drawn in [`layout`]; every
//! document has a type here, a JSON Schema in `schemas/` and a format version in [`version`].
//!
//! Evolution: readers accept unknown fields and refuse a higher major version; a field is added
//! as optional; a changed meaning is a new major version with its own type beside the old one.

#![warn(missing_docs)]

pub mod artifacts;
pub mod diagnostic;
pub mod env;
pub mod evaluation;
pub mod event;
pub mod exit;
pub mod graph;
pub mod layout;
pub mod logs;
pub mod message;
pub mod quantity;
pub mod receipt;
pub mod reports;
pub mod schema;
pub mod snapshot;
pub mod snapshot_diff;
pub mod status;
pub mod store;
pub mod time;
pub mod variables;
pub mod version;

pub use status::{Reason, Status};
pub use store::{Document, StoreError};
pub use time::Timestamp;
