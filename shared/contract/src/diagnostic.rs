//! One thing that is wrong with a workflow, where, and how to mend it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// General code of workflow errors.
pub const WF_SCHEMA_V1: &str = "WF_SCHEMA_V1";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The workflow is invalid.
    Error,
    /// The workflow is valid, but likely not what was meant.
    Warning,
}

/// A stretch of a source file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Path relative to the repository root, with `/`.
    pub file: String,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1, in characters.
    pub column: u32,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// A further place that belongs to a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What stands there, such as `first defined here`.
    pub message: String,
}

/// A replacement that certainly mends the diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edit {
    /// Path relative to the repository root.
    pub file: String,
    /// Offset of the first byte to replace.
    pub start: usize,
    /// Offset after the last byte to replace.
    pub end: usize,
    /// What to write there instead.
    pub replacement: String,
}

/// One thing that is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// Stable code: [`WF_SCHEMA_V1`] or a more specific one.
    pub code: String,
    /// Error or warning.
    pub severity: Severity,
    /// JSON pointer to the value it is about; empty for the whole file.
    pub pointer: String,
    /// Where; absent when the file could not be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// What is wrong, or, where the reference gives the text, the imperative fix.
    pub message: String,
    /// How to mend it, in the imperative; absent where `message` says so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Nearest known name, where a name was not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Other places that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    /// Files from the workflow to the one it stands in, where that is an included one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_chain: Vec<String>,
    /// The certain mend, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}
