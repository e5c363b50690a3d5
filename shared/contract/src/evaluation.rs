//! What the rules of a workflow decide, and why: `loom compile --evaluate --format json`.
//!
//! Nothing is run and nothing recorded; the document goes to stdout.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    graph::{AllowFailure, Position, When},
    snapshot::Facts,
    store::Document,
    version::{self, Format},
};

/// The rules of a workflow, decided against facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// `loom.evaluation.v1`.
    #[schemars(extend("const" = "loom.evaluation.v1"))]
    pub schema_version: String,
    /// `loom-evaluation`.
    #[schemars(extend("const" = "loom-evaluation"))]
    pub kind: String,
    /// Workflow file, relative to the repository root.
    pub workflow_path: String,
    /// Digest of the graph whose rules these are.
    pub graph_digest: String,
    /// State of the repository.
    pub facts: Facts,
    /// `workflow.rules`; absent: there are none, and jobs run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Decision>,
    /// Every job of the graph, in its order.
    pub jobs: Vec<JobEvaluation>,
}

impl Document for Evaluation {
    const KIND: &'static str = "loom-evaluation";
    const FORMAT: Format = version::EVALUATION;
}

/// What rules make of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobEvaluation {
    /// Its id.
    pub id: String,
    /// What people see of it.
    pub label: String,
    /// Its stage.
    pub stage: String,
    /// `false`: rules leave it out, and a run would skip it.
    pub included: bool,
    /// The same for people, such as `rule 2 matches: $CI_COMMIT_TAG`; absent: the job has no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// On which state of what stands before it the job would start.
    pub when: When,
    /// What failures would not fail the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_failure: Option<AllowFailure>,
    /// Variables that the rule gives it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The rules that were looked at; absent: the job has none, or `workflow.rules` decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// Which rule of a list decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Number of the first rule that matches, from 1; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// For people, such as `rule 2 matches: $CI_COMMIT_TAG`.
    pub reason: String,
    /// The rules up to the one that matches, in order.
    pub rules: Vec<RuleTrace>,
}

/// One rule that was looked at. Its parts were looked at in the order of these fields, up to the
/// first that does not hold; the others are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleTrace {
    /// Whether all its parts hold.
    pub matches: bool,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Its `if`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionTrace>,
    /// Its `changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesTrace>,
    /// Its `exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<ExistsTrace>,
}

/// A condition that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConditionTrace {
    /// As written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The variables it names, with their values; null: not set. The value of a job's secret is
    /// never shown.
    pub variables: BTreeMap<String, Option<String>>,
}

/// A `changes` that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangesTrace {
    /// Its globs.
    pub globs: Vec<String>,
    /// Whether it holds.
    pub holds: bool,
    /// `false`: nothing is known to compare with, and then it holds.
    pub comparable: bool,
    /// The changed paths that match.
    pub matched: Vec<String>,
}

/// An `exists` that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExistsTrace {
    /// Its globs.
    pub globs: Vec<String>,
    /// Whether it holds.
    pub holds: bool,
    /// A file that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
}
