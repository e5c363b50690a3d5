//! The record of an isolated workspace: what was copied, how, and the facts that rules need.
//!
//! Written by `loom-snapshot` to `.loom/.runtime/snapshots/<id>.json` of the repository and to
//! `.git/loom-snapshot.json` inside the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    store::Document,
    time::Timestamp,
    version::{self, Format},
};

/// One isolated workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// `loom.snapshot.v1`.
    #[schemars(extend("const" = "loom.snapshot.v1"))]
    pub schema_version: String,
    /// `loom-snapshot`.
    #[schemars(extend("const" = "loom-snapshot"))]
    pub kind: String,
    /// Name of the workspace's folder, unique on this machine.
    pub id: String,
    /// Absolute path of the workspace.
    pub path: String,
    /// Absolute path of the repository's work tree, as text.
    pub repo_root: String,
    /// Its exact bytes in base64, where `repo_root` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_root_bytes: Option<String>,
    /// The run it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The revision it shows, as it was asked for (its commit is `facts.head_sha`); absent: the
    /// work tree as it was, uncommitted work included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// When it was complete.
    pub created_at: Timestamp,
    /// Wall time it took.
    pub duration_ms: u64,
    /// Version of the command that made it.
    pub loom_version: String,
    /// What rules and predefined variables need to know.
    pub facts: Facts,
    /// What was copied.
    pub counts: Counts,
    /// How it was copied.
    pub methods: Methods,
    /// Where the time went, in order of start; phases may overlap.
    pub phases: Vec<Phase>,
    /// What a reader should know: left out, degraded, unusual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Document for Snapshot {
    const KIND: &'static str = "loom-snapshot";
    const FORMAT: Format = version::SNAPSHOT;
}

/// The state of the repository the snapshot shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Commit of HEAD; absent when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
    /// First line of HEAD's commit message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_title: Option<String>,
    /// Branch; absent when HEAD is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Tag that points at HEAD; the first by name where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// Branch that others are compared with; absent when none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Commit that `changed` compares with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_sha: Option<String>,
    /// Paths that differ from the base, dirty state included; absent: not computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<PathText>>,
    /// Files that a snapshot would hold; only where asked for, and in no snapshot's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathText>>,
}

/// A path of the repository, whatever bytes it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PathText {
    /// As text; bytes that are not UTF-8 appear as U+FFFD.
    pub path: String,
    /// The exact bytes in base64, where `path` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Paths of the index that were copied.
    pub tracked: u64,
    /// Paths of the index that are missing in the work tree.
    pub deleted: u64,
    /// Copied paths that git does not track.
    pub untracked: u64,
    /// Symlinks among the copied paths.
    pub symlinks: u64,
    /// Submodules and nested repositories.
    pub repositories: u64,
    /// Paths that differ from what the index records, where that was learned on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
    /// Bytes of the copied files.
    pub bytes: u64,
    /// Bytes under the workspace's `.git`.
    pub git_bytes: u64,
}

/// How files reached the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Methods {
    /// Files of the work tree.
    pub files: Method,
    /// Object files of git.
    pub objects: Method,
}

/// One way of copying a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Shared blocks, copied when written.
    Reflink,
    /// Bytes copied.
    Copy,
    /// Written by git from its objects, as it checks a commit out.
    Checkout,
    /// Shared inode; only immutable git packs.
    HardLink,
    /// There was nothing to copy.
    None,
}

/// One phase of the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Such as `plan`, `copy`, `untracked`, `git`, `index`.
    pub name: String,
    /// Wall time.
    pub ms: u64,
}
