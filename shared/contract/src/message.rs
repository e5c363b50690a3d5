//! Records that a command started with `--events` writes to stdout, one JSON object a line.
//!
//! A child never draws on the terminal: it tells its parent. The last line of a child that
//! succeeded is its document itself (`kind` `loom-graph`, `loom-snapshot`), which carries its
//! own version; a child that failed ends without one and says why in an `error` record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{diagnostic::Diagnostic, snapshot};

/// One record before the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// What is known of the repository before it is copied.
    Facts {
        /// `loom.message.v1`.
        #[schemars(extend("const" = "loom.message.v1"))]
        schema_version: String,
        /// The facts.
        facts: snapshot::Facts,
    },
    /// How far the work is.
    Progress {
        /// `loom.message.v1`.
        #[schemars(extend("const" = "loom.message.v1"))]
        schema_version: String,
        /// What is being done.
        phase: String,
        /// Units done.
        done: u64,
        /// Units in all, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Bytes done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// Something wrong with the workflow.
    Diagnostic {
        /// `loom.message.v1`.
        #[schemars(extend("const" = "loom.message.v1"))]
        schema_version: String,
        /// What and where.
        diagnostic: Box<Diagnostic>,
        /// The diagnostic as people read it, with its source frame, without colour.
        rendered: String,
    },
    /// Why the command failed, where diagnostics do not say it.
    Error {
        /// `loom.message.v1`.
        #[schemars(extend("const" = "loom.message.v1"))]
        schema_version: String,
        /// The error and its causes, one a line.
        message: String,
        /// How to mend it.
        hints: Vec<String>,
        /// Exit code the command ends with.
        exit_code: i32,
    },
}
