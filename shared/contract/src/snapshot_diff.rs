//! What `loom snapshot diff --json` prints: a snapshot compared with what it was and with the
//! repository now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    snapshot::PathText,
    store::Document,
    version::{self, Format},
};

/// A snapshot compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotDiff {
    /// `loom.snapshot.diff.v1`.
    #[schemars(extend("const" = "loom.snapshot.diff.v1"))]
    pub schema_version: String,
    /// `loom-snapshot-diff`.
    #[schemars(extend("const" = "loom-snapshot-diff"))]
    pub kind: String,
    /// The snapshot.
    pub id: String,
    /// Absolute path of the workspace.
    pub path: String,
    /// Absolute path of the repository's work tree.
    pub repo_root: String,
    /// What changed in the snapshot since it was made; sorted by path.
    pub changed: Vec<PathChange>,
    /// What differs now: old is the repository, new is the snapshot; sorted by path.
    pub differs: Vec<PathChange>,
}

impl Document for SnapshotDiff {
    const KIND: &'static str = "loom-snapshot-diff";
    const FORMAT: Format = version::SNAPSHOT_DIFF;
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathChange {
    /// Relative to the repository.
    pub path: PathText,
    /// In what way.
    pub change: ChangeKind,
    /// Git's mode before, such as `100644`; absent for an added path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_mode: Option<String>,
    /// Git's mode after; absent for a deleted path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_mode: Option<String>,
    /// Bytes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_size: Option<u64>,
    /// Bytes after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_size: Option<u64>,
    /// Lines added; absent for a binary file, and where the old content is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_lines: Option<u64>,
    /// Lines removed; absent for a binary file, and where the old content is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_lines: Option<u64>,
    /// Whether git takes it for a binary file.
    pub is_binary: bool,
    /// Whether git ignores it.
    pub is_ignored: bool,
    /// Whether the old content can still be had: not for a file with uncommitted changes that was
    /// changed in the snapshot and in the repository since.
    pub is_old_kept: bool,
}

/// In what way a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Deleted,
    /// Its content or its mode is another.
    Modified,
    /// A file became a symlink, or a symlink a file.
    TypeChanged,
}
