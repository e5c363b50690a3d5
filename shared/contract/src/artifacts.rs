//! The manifest of a job's extracted artifacts, which `loom artifacts verify` checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
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
    /// Name for people, where the workflow gives one; safe as a file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When they were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// From when on `loom artifacts prune` removes them; absent: not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When copies and archive were removed; `entries` tell what they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
    /// Sorted by the bytes of the path.
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
    /// File, symlink or empty folder.
    pub entry: EntryKind,
    /// Bytes of a file; 0 for all else.
    pub size: u64,
    /// Permission bits, such as 420 for `0644`.
    pub mode: u32,
    /// SHA-256 of a file's content, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symlink points; bytes that are not UTF-8 appear as U+FFFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<String>,
    /// The exact bytes in base64, where `link_target` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target_bytes: Option<String>,
}

/// What an extracted path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A symbolic link, never followed.
    Symlink,
    /// A folder with nothing in it; others are made with what they hold.
    Folder,
}
