//! The manifest of a job's extracted artifacts, which `loom artifacts verify` checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    store::Document,
    version::{self, Format},
};

/// What was taken out of one job's workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactManifest {
    /// `loom.artifacts.v1`.
    #[schemars(extend("const" = "loom.artifacts.v1"))]
    pub schema_version: String,
    /// `loom-artifacts`.
    #[schemars(extend("const" = "loom-artifacts"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// Name for people, where the workflow gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sorted by path.
    pub entries: Vec<ArtifactEntry>,
}

impl Document for ArtifactManifest {
    const KIND: &'static str = "loom-artifacts";
    const FORMAT: Format = version::ARTIFACTS;
}

/// One extracted path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactEntry {
    /// Relative to the workspace, with `/`; bytes that are not UTF-8 appear as U+FFFD.
    pub path: String,
    /// The exact bytes in base64, where `path` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// File or symlink.
    pub entry: EntryKind,
    /// Bytes of a file; 0 for a symlink.
    pub size: u64,
    /// Permission bits, such as 420 for `0644`.
    pub mode: u32,
    /// SHA-256 of a file's content, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symlink points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<String>,
}

/// What an extracted path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A symbolic link, never followed.
    Symlink,
}
