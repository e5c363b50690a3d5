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

/// One job's artifacts in what `loom artifacts list --json` prints: an array of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedArtifacts {
    /// The run.
    pub run_id: String,
    /// The job.
    pub job_id: String,
    /// How they stand.
    pub state: ArtifactState,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Files, symlinks and empty folders; absent where the manifest cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Bytes of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When they were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// From when on `loom artifacts prune` removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When they were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
    /// Folder of the copies, absolute.
    pub path: String,
    /// The archive, absolute, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_path: Option<String>,
    /// Bytes of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_bytes: Option<u64>,
    /// The manifest, absolute.
    pub manifest_path: String,
    /// Why the manifest cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the artifacts of a job stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactState {
    /// They are there.
    Kept,
    /// They are there, and their time is over.
    Expired,
    /// They were removed.
    Pruned,
    /// Their manifest cannot be read.
    Damaged,
}

/// What `loom artifacts verify --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactVerification {
    /// `loom.artifacts.v1`.
    #[schemars(extend("const" = "loom.artifacts.v1"))]
    pub schema_version: String,
    /// `loom-artifacts-verification`.
    #[schemars(extend("const" = "loom-artifacts-verification"))]
    pub kind: String,
    /// The run.
    pub run_id: String,
    /// Nothing is missing, changed or too much.
    pub intact: bool,
    /// Jobs that have artifacts, by id.
    pub jobs: Vec<VerifiedArtifacts>,
}

impl Document for ArtifactVerification {
    const KIND: &'static str = "loom-artifacts-verification";
    const FORMAT: Format = version::ARTIFACTS;
}

/// One job in a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedArtifacts {
    /// The job.
    pub job_id: String,
    /// Its artifacts were removed: there is nothing to check.
    pub pruned: bool,
    /// Entries of its manifest.
    pub count: u64,
    /// What is wrong.
    pub problems: Vec<ArtifactProblem>,
}

/// Something that is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactProblem {
    /// The artifact; absent where it concerns all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The exact bytes in base64, where `path` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// What is wrong, for people.
    pub problem: String,
}

/// What `loom artifacts diff --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactDiff {
    /// `loom.artifacts.v1`.
    #[schemars(extend("const" = "loom.artifacts.v1"))]
    pub schema_version: String,
    /// `loom-artifacts-diff`.
    #[schemars(extend("const" = "loom-artifacts-diff"))]
    pub kind: String,
    /// The run to compare with.
    pub from_run_id: String,
    /// The run.
    pub to_run_id: String,
    /// Differences, by job and path.
    pub changes: Vec<ArtifactChange>,
}

impl Document for ArtifactDiff {
    const KIND: &'static str = "loom-artifacts-diff";
    const FORMAT: Format = version::ARTIFACTS;
}

/// One artifact that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactChange {
    /// The job.
    pub job_id: String,
    /// What became of it.
    pub change: Change,
    /// As it was; absent where it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ArtifactEntry>,
    /// As it is; absent where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ArtifactEntry>,
}

/// What became of an artifact from one run to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the second run has it.
    Added,
    /// Only the first run has it.
    Removed,
    /// Content, permissions, kind or link target differ.
    Changed,
}
