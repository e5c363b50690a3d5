//! Format versions of everything on disk and on the wire between commands.
//!
//! A version is a name and a major number. Minor additions (new optional fields) do not change
//! it: readers accept unknown fields. Readers refuse a higher major; writers never rewrite one.

use std::fmt;

/// One format: its family and its major version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// What stands before the version, with its dot; empty for the bare `v1` of the reference.
    pub family: &'static str,
    /// Major version: changes when an old reader would misread a document.
    pub major: u32,
}

/// Graph documents. v1: first.
pub const GRAPH: Format = Format { family: "loom.graph.", major: 1 };
/// What rules decide, as `loom compile --evaluate` prints it. v1: first.
pub const EVALUATION: Format = Format { family: "loom.evaluation.", major: 1 };
/// Event streams, summaries and manifests of pipeline, jobs, steps and sections.
///
/// v2: first here; the number continues the reference product's, whose v1 nested steps directly
/// under `user/`.
pub const LOGS: Format = Format { family: "loom.runtime.logs.", major: 2 };
/// Snapshot records. v1: first.
pub const SNAPSHOT: Format = Format { family: "loom.snapshot.", major: 1 };
/// Snapshots compared. v1: first.
pub const SNAPSHOT_DIFF: Format = Format { family: "loom.snapshot.diff.", major: 1 };
/// Records that a command started with `--events` writes to stdout. v1: first.
pub const MESSAGE: Format = Format { family: "loom.message.", major: 1 };
/// Artifact manifests. v1: first.
pub const ARTIFACTS: Format = Format { family: "loom.artifacts.", major: 1 };
/// Receipts of runs and checks. v1: first.
pub const RECEIPT: Format = Format { family: "", major: 1 };
/// The run-level `summary.json`. v1: first.
pub const RUN_SUMMARY: Format = Format { family: "", major: 1 };
/// `phase-report.json`. v1: first.
pub const PHASE_REPORT: Format = Format { family: "", major: 1 };

/// Every format with the name people know it by, for `loom version`.
pub const ALL: &[(&str, Format)] = &[
    ("graph", GRAPH),
    ("evaluation", EVALUATION),
    ("logs", LOGS),
    ("snapshot", SNAPSHOT),
    ("snapshot diff", SNAPSHOT_DIFF),
    ("message", MESSAGE),
    ("artifacts", ARTIFACTS),
    ("receipt", RECEIPT),
    ("run summary", RUN_SUMMARY),
    ("phase report", PHASE_REPORT),
];

/// Why a document's `schema_version` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Written by a later Loom whose format this one does not know.
    #[error(
        "format `{found}` is newer than `{supported}`, the newest this loom reads; update loom"
    )]
    Newer {
        /// What the document says.
        found: String,
        /// The newest format this build reads.
        supported: String,
    },
    /// Not this family of documents at all.
    #[error("format `{found}` is not `{supported}`")]
    Other {
        /// What the document says.
        found: String,
        /// The format that was expected.
        supported: String,
    },
}

impl Format {
    /// Checks a document's `schema_version` against this format.
    ///
    /// # Errors
    /// A higher major version, or another family.
    pub fn check(self, found: &str) -> Result<(), VersionError> {
        let other = || VersionError::Other { found: found.into(), supported: self.to_string() };
        let number = found.strip_prefix(self.family).and_then(|rest| rest.strip_prefix('v'));
        let major: u32 = number.and_then(|text| text.parse().ok()).ok_or_else(other)?;
        match major.cmp(&self.major) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(other()),
            std::cmp::Ordering::Greater => {
                Err(VersionError::Newer { found: found.into(), supported: self.to_string() })
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.family, self.major)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_major_is_refused_and_told_apart_from_another_family() {
        assert_eq!(GRAPH.check("loom.graph.v1"), Ok(()));
        assert!(matches!(GRAPH.check("loom.graph.v2"), Err(VersionError::Newer { .. })));
        assert!(matches!(GRAPH.check("v1"), Err(VersionError::Other { .. })));
        assert!(matches!(LOGS.check("loom.runtime.logs.v1"), Err(VersionError::Other { .. })));
        assert!(matches!(RECEIPT.check("v"), Err(VersionError::Other { .. })));
    }
}
