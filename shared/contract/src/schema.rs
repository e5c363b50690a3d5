//! JSON Schemas (draft 2020-12) of every document and record, generated from the types.
//!
//! The generated files lie in this crate's `schemas/`; a test compares them with the types and
//! `LOOM_REGENERATE=1 cargo test -p libloom-contract` writes them anew.

use schemars::{Schema, schema_for};

use crate::{
    artifacts::{ArtifactDiff, ArtifactManifest, ArtifactVerification, ListedArtifacts},
    evaluation::Evaluation,
    event::Event,
    graph::Graph,
    logs::{
        EngineRecord, JobManifest, JobSummary, PhaseReport, PipelineManifest, PipelineSummary,
        RunSummary, SectionSummary, StepSummary,
    },
    message::Message,
    receipt::{CheckReceipt, RunReceipt},
    reports::DotenvDocument,
    snapshot::Snapshot,
    snapshot_diff::SnapshotDiff,
    store::Document,
};

/// The `kind` under which the schema of `events.jsonl` records is listed.
pub const EVENT: &str = "loom-event";
/// The name under which the schema of `loom artifacts list --json` is listed.
pub const ARTIFACTS_LIST: &str = "loom-artifacts-list";
/// The `kind` under which the schema of `--events` records is listed.
pub const MESSAGE: &str = "loom-message";

fn of<D: Document>() -> (&'static str, Schema) {
    (D::KIND, schema_for!(D))
}

/// Every schema under the `kind` of its document, which is also its file's name.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        of::<Graph>(),
        of::<Evaluation>(),
        of::<Snapshot>(),
        of::<SnapshotDiff>(),
        of::<RunReceipt>(),
        of::<CheckReceipt>(),
        of::<RunSummary>(),
        of::<PhaseReport>(),
        of::<PipelineSummary>(),
        of::<PipelineManifest>(),
        of::<JobSummary>(),
        of::<JobManifest>(),
        of::<StepSummary>(),
        of::<SectionSummary>(),
        of::<EngineRecord>(),
        of::<ArtifactManifest>(),
        of::<DotenvDocument>(),
        of::<ArtifactVerification>(),
        of::<ArtifactDiff>(),
        (ARTIFACTS_LIST, schema_for!(Vec<ListedArtifacts>)),
        (EVENT, schema_for!(Event)),
        (MESSAGE, schema_for!(Message)),
    ]
}

/// The schema of one kind of document.
pub fn of_kind(kind: &str) -> Option<Schema> {
    all().into_iter().find_map(|(name, schema)| (name == kind).then_some(schema))
}
