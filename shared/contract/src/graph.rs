//! The Graph IR: what a workflow means, resolved, as `loom compile` prints it.
//!
//! Nothing in it depends on the machine, the time or the folder, and it never holds a secret
//! value. `digest` is the SHA-256, in lowercase hex, of the document's RFC 8785 form without
//! provenance: `sources`, every `position`, every `origin`, every expression's `text` and the
//! digest itself. Equal meaning gives an equal digest.
//!
//! Lists are ordered: `nodes` by stage and id, `variables` by name, everything else as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    store::Document,
    version::{self, Format},
};

/// A resolved workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Graph {
    /// `loom.graph.v1`.
    #[schemars(extend("const" = "loom.graph.v1"))]
    pub schema_version: String,
    /// `loom-graph`.
    #[schemars(extend("const" = "loom-graph"))]
    pub kind: String,
    /// SHA-256 of the meaning (see the module), 64 hex digits.
    pub digest: String,
    /// Stages in order of execution.
    pub stages: Vec<String>,
    /// `workflow.rules`: the run goes ahead when one matches, or when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflow_rules: Vec<Rule>,
    /// Variables of the workflow, by name: what the conditions of `workflow_rules` see. Absent
    /// without those; jobs have them among their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// Runnable jobs.
    pub nodes: Vec<Node>,
    /// Order between stages and between jobs.
    pub edges: Vec<Edge>,
    /// Files the workflow was read from, the workflow file first. Provenance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

impl Document for Graph {
    const KIND: &'static str = "loom-graph";
    const FORMAT: Format = version::GRAPH;
}

impl Graph {
    /// The same graph with everything that is not meaning taken out: what the digest is made of.
    #[must_use]
    pub fn without_provenance(&self) -> Graph {
        let mut graph = self.clone();
        graph.digest.clear();
        graph.sources.clear();
        graph.workflow_rules.iter_mut().for_each(Rule::clear_provenance);
        graph.variables.iter_mut().for_each(|variable| variable.origin = None);
        graph.nodes.iter_mut().for_each(Node::clear_provenance);
        graph
    }
}

/// Where something stands in a source file. Provenance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Path relative to the repository root.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// One file the workflow was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Path relative to the repository root.
    pub path: String,
    /// SHA-256 of its bytes, 64 hex digits.
    pub sha256: String,
}

/// One runnable job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Name of the job, unique in the graph and safe as a file name.
    pub id: String,
    /// What people see: the name, with the matrix values of an expanded job.
    pub label: String,
    /// The stage it belongs to.
    pub stage: String,
    /// Target platform; `linux`.
    pub target: String,
    /// Where it runs.
    pub provider: Provider,
    /// The container image of a Docker job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Script entries in order of execution: `before_script`, `script`, `after_script`.
    pub steps: Vec<Step>,
    /// Variables by name, layers below already applied to each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// References to secrets, by name; never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Sidecar containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Directories kept between runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<Cache>,
    /// Files taken out of the workspace after execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
    /// Jobs it waits for in place of its stage's barrier; absent: the barrier holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<Need>>,
    /// When it runs and what its failure means.
    pub policy: Policy,
    /// Job rules; the first that matches decides. Empty: `policy.when` decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Limits of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Recorded; a local run does not act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_pool: Option<String>,
    /// Recorded as written; a local run does not act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invariant: Option<serde_json::Value>,
    /// Where the job's key stands. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

impl Node {
    /// A host job that has nothing but an id, which is its label too, and a stage.
    pub fn host(id: &str, stage: &str) -> Self {
        Node {
            id: id.to_owned(),
            label: id.to_owned(),
            stage: stage.to_owned(),
            target: "linux".to_owned(),
            provider: Provider::Host,
            image: None,
            steps: Vec::new(),
            variables: Vec::new(),
            secrets: Vec::new(),
            services: Vec::new(),
            cache: Vec::new(),
            artifacts: None,
            needs: None,
            policy: Policy::default(),
            rules: Vec::new(),
            resources: None,
            runner_pool: None,
            invariant: None,
            position: None,
        }
    }

    /// The job's name in the workflow, which all copies of a parallel job share.
    pub fn base_name(&self) -> &str {
        // A name has neither blank nor colon; the label of a copy goes on with `: […]` or ` k/n`.
        self.label.split([' ', ':']).next().unwrap_or(&self.label)
    }

    fn clear_provenance(&mut self) {
        self.position = None;
        self.steps.iter_mut().for_each(|step| step.position = None);
        self.variables.iter_mut().for_each(|variable| variable.origin = None);
        self.secrets.iter_mut().for_each(|secret| secret.position = None);
        self.rules.iter_mut().for_each(Rule::clear_provenance);
    }
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The shell of this machine.
    Host,
    /// A container.
    Docker,
}

impl Provider {
    /// The value of `LOOM_PROVIDER`.
    pub fn word(self) -> &'static str {
        match self {
            Provider::Host => "host",
            Provider::Docker => "docker",
        }
    }
}

/// The image of a Docker job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Reference such as `alpine:3.20`; the name to give where it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How to build it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// In place of the image's own; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// User in the container; `host` is the caller's uid and gid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Platform such as `linux/arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// When to pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Network such as `none` or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Folder, relative to the repository root.
    pub context: String,
    /// File, relative to the context.
    pub dockerfile: String,
    /// BuildKit `--output` specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Every time.
    Always,
    /// When the engine does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// Which list of a job an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScriptSection {
    /// Runs first, in the shell of `script`.
    BeforeScript,
    /// The job itself.
    Script,
    /// Runs always, in a shell of its own.
    AfterScript,
}

impl ScriptSection {
    /// The keyword, which is also the folder's name.
    pub fn word(self) -> &'static str {
        match self {
            ScriptSection::BeforeScript => "before_script",
            ScriptSection::Script => "script",
            ScriptSection::AfterScript => "after_script",
        }
    }
}

/// One script entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The list it stands in.
    pub section: ScriptSection,
    /// Its place in that list, from 1.
    pub number: u32,
    /// One line of POSIX shell.
    pub command: String,
    /// Where it stands. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

impl Step {
    /// `script/01`: how documents and events name the step within its job.
    pub fn path(&self) -> String {
        format!("{}/{:02}", self.section.word(), self.number)
    }
}

/// One variable with the value it has before `$NAME` is expanded at job start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variable {
    /// `^[A-Z_][A-Z0-9_]*$`.
    pub name: String,
    /// Its text; a reference to its own name means the environment's value.
    pub value: String,
    /// The layer and place that decided. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Which layer a value comes from. Provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// Name of the template, where the layer is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where the value stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Layers of values, lowest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// `variables` of the workflow.
    Root,
    /// `default`.
    Default,
    /// A template, through `extends`.
    Template,
    /// The job.
    Job,
    /// A combination of `parallel.matrix`.
    Matrix,
}

/// A reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// Name of the variable that gets it.
    pub name: String,
    /// Provider URI such as `env://TOKEN`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// `true`: the variable holds the path of a file with the value.
    pub file: bool,
    /// `true`: the job fails without it.
    pub required: bool,
    /// Where it stands. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// A sidecar container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Image reference.
    pub name: String,
    /// Host name; absent: derived from the image's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// In place of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// When to pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
}

/// One cache of a job. Disabled entries are left out of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// Name, in the sequence form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Paths relative to the workspace.
    pub paths: Vec<String>,
    /// How the key is made; absent: one key for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CacheKey>,
    /// Tried in order when the key misses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_keys: Vec<String>,
    /// Whether it is restored, saved or both.
    pub policy: CachePolicy,
    /// On which outcome it is saved.
    pub when: Outcome,
}

/// How a cache key is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CacheKey {
    /// The text itself.
    Literal {
        /// The key.
        text: String,
    },
    /// `<prefix>-<SHA-256 of the files' contents>`; the prefix alone without files.
    Files {
        /// What stands before the hash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// Globs relative to the workspace.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
    },
    /// A text with `$job_name`, `$job_id`, `$run_id`, `$pipeline_id`, `$head_sha`.
    Template {
        /// The text.
        text: String,
    },
}

/// What is done with a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CachePolicy {
    /// Restore and save.
    #[serde(rename = "pull-push")]
    PullPush,
    /// Only restore.
    #[serde(rename = "pull")]
    Pull,
    /// Only save.
    #[serde(rename = "push")]
    Push,
}

/// On which outcome of the script something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// When it succeeded.
    OnSuccess,
    /// When it failed.
    OnFailure,
    /// In either case.
    Always,
}

/// What is taken out of the workspace after execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifacts {
    /// Paths or globs relative to the workspace.
    pub paths: Vec<String>,
    /// Globs to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// On which outcome.
    pub when: Outcome,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long they are kept, in seconds; absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_in_s: Option<u64>,
    /// Reports that Loom reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Reports>,
}

/// Reports among the artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reports {
    /// `JUnit` XML files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub junit: Vec<String>,
    /// A file of `KEY=value` lines for later jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dotenv: Vec<String>,
}

/// A job that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// Its id.
    pub job: String,
    /// `true`: it may be missing from the pipeline.
    #[serde(default)]
    pub optional: bool,
    /// `true`: its artifacts are wanted.
    pub artifacts: bool,
}

/// When a job runs and what its failure means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// On which state of what stands before it.
    pub when: When,
    /// What failures do not fail the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_failure: Option<AllowFailure>,
    /// Time allowed for one attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How often it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { when: When::OnSuccess, allow_failure: None, timeout_ms: None, retry: None }
    }
}

/// On which state of what stands before it a job starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All succeeded.
    OnSuccess,
    /// One failed.
    OnFailure,
    /// Whatever happened.
    Always,
    /// Only when asked for by name.
    Manual,
    /// Not at all (in rules).
    Never,
}

/// Failures that do not fail the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowFailure {
    /// Only these exit codes; empty: all failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_codes: Vec<i32>,
}

/// How often and when a job is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    /// Further attempts after the first.
    pub max: u32,
    /// Only after these reasons; empty: after any failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Wait before the first further attempt, in milliseconds; doubled each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
}

/// Limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Processors, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_milli: Option<u64>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// `/dev/shm` in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size_bytes: Option<u64>,
}

/// One rule of a workflow or a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// The condition; absent: true.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Globs of which a changed file must match one; absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<String>>,
    /// Globs of which a file of the workspace must match one; absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<Vec<String>>,
    /// The job's `when` in this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The job's `allow_failure` in this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_failure: Option<bool>,
    /// Variables the job gets in this case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Where it stands. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

impl Rule {
    fn clear_provenance(&mut self) {
        self.position = None;
        if let Some(condition) = &mut self.condition {
            condition.text = None;
        }
    }
}

/// A parsed condition and the text it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// As written. Provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it means.
    pub expression: Expression,
}

/// A rule expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Expression {
    /// `$NAME`; null when it is not set.
    Variable {
        /// Without the dollar.
        name: String,
    },
    /// `"text"`.
    String {
        /// The text.
        value: String,
    },
    /// `null`.
    Null,
    /// `/pattern/flags`.
    Regex {
        /// Between the slashes.
        pattern: String,
        /// Such as `i`; may be empty.
        flags: String,
    },
    /// `left == right`.
    Equal {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `left != right`.
    NotEqual {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `left =~ right`.
    Match {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `left !~ right`.
    NotMatch {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `left && right`.
    And {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `left || right`.
    Or {
        /// Left of the operator.
        left: Box<Expression>,
        /// Right of the operator.
        right: Box<Expression>,
    },
    /// `!operand`.
    Not {
        /// What is negated.
        operand: Box<Expression>,
    },
}

/// Order between two stages or two jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Edge {
    /// Every job of `to` that has no `needs` waits for every job of `from`.
    Stage {
        /// Earlier stage.
        from: String,
        /// The next stage.
        to: String,
    },
    /// Job `to` waits for job `from`.
    Needs {
        /// The job waited for.
        from: String,
        /// The job that waits.
        to: String,
    },
}
