//! One job, template or `default`: all its keywords checked and put into graph form.

use libloom_contract::graph::{Image, Need, Node as GraphNode, Provider, ScriptSection};

use crate::check::Checker;
use crate::keywords::parallel::{self, Copies};
use crate::keywords::{
    artifacts, cache, image, layered, needs, policy, resources, rules, script, secrets, services,
    variables,
};
use crate::problem::{Problem, code};
use crate::source::Mark;
use crate::tree::{Kind, Mapping, Node, Value};

/// All keywords of a job.
pub(crate) const KEYS: &[&str] = &[
    "stage",
    "target",
    "script",
    "before_script",
    "after_script",
    "extends",
    "needs",
    "image",
    "runner_pool",
    "variables",
    "secrets",
    "services",
    "invariant",
    "cache",
    "artifacts",
    "timeout",
    "retry",
    "allow_failure",
    "when",
    "rules",
    "parallel",
    "resources",
];

/// What a mapping of job keywords is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs: what is required must be there.
    Job,
    /// A template or `default`: may hold any part.
    Part,
}

/// A job before its names are checked against other jobs and before it is multiplied.
pub(crate) struct Draft {
    /// In a place of its own, so that it moves into the graph and is not held twice.
    pub(crate) node: Box<GraphNode>,
    pub(crate) needs: Option<Vec<(Need, Mark)>>,
    pub(crate) copies: Copies,
    /// Where the job's key stands.
    pub(crate) mark: Mark,
}

/// Notes keys that no job has; only for what is written in one place, not for merged jobs.
pub(crate) fn check_keys(check: &mut Checker<'_>, fields: &Mapping, place: &str) {
    check.unknown_keys(fields, KEYS, place);
}

/// Checks the keywords of a job with all its layers merged, or of a part alone.
pub(crate) fn draft(
    check: &mut Checker<'_>,
    name: &str,
    key: Mark,
    body: &Node,
    role: Role,
    stages: &[String],
) -> Draft {
    let none = Mapping::default();
    let fields = body.as_mapping().unwrap_or(&none);
    let partial = role == Role::Part;
    let image = fields.get("image").and_then(|node| image::image(check, node, partial));
    let mut node = empty_node(name, image);
    node.position = Some(check.sources.position(key));
    place(check, &mut node, fields, stages);
    scripts(check, &mut node, fields);
    if role == Role::Job {
        required(check, &node, key, body.mark, fields);
    }
    environment(check, &mut node, fields, partial);
    files(check, &mut node, fields, partial);
    node.policy = policy::policy(check, fields);
    if let Some(rules) = fields.get("rules") {
        node.rules = rules::job(check, rules);
    }
    containers(check, &mut node, fields, role);
    remote(check, &mut node, fields);
    let copies = fields.get("parallel").map(|node| parallel::parallel(check, node));
    let copies = copies.unwrap_or_default();
    if !partial {
        layered::check(check, &node, fields, &copies);
    }
    Draft {
        node: Box::new(node),
        needs: fields.get("needs").and_then(|node| needs::needs(check, node)),
        copies,
        mark: key,
    }
}

fn empty_node(name: &str, image: Option<Image>) -> GraphNode {
    let provider = if image.is_some() { Provider::Docker } else { Provider::Host };
    GraphNode { provider, image, ..GraphNode::host(name, "") }
}

fn place(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping, stages: &[String]) {
    if let Some(value) = fields.get("stage")
        && let Some(stage) = check.name(value, "stage")
    {
        check_stage(check, value, stage, stages);
        node.stage = stage.to_owned();
    }
    if let Some(value) = fields.get("target")
        && let Some(target) = check.name(value, "target")
        && target != "linux"
    {
        let message = format!("target \"{target}\" is not supported: jobs run on linux only");
        check.note(
            Problem::error(value.mark, message)
                .fix("write target: linux")
                .edit(value.mark, "linux"),
        );
    }
}

fn check_stage(check: &mut Checker<'_>, node: &Node, stage: &str, stages: &[String]) {
    // Without any stage known, that is the mistake, and noted already.
    if stages.is_empty() || stages.iter().any(|known| known == stage) {
        return;
    }
    let near = check.nearest(stage, stages.iter().map(String::as_str));
    let mut problem = Problem::error(node.mark, format!("unknown stage \"{stage}\""))
        .fix(format!("write one of {}, or add it to stages", listed(stages)))
        .did_you_mean(near);
    if let Some(near) = near {
        problem = problem.edit(node.mark, near);
    }
    check.note(problem);
}

/// The first stages, and how many more there are.
fn listed(stages: &[String]) -> String {
    const FIRST: usize = 20;
    match stages.len().checked_sub(FIRST) {
        None | Some(0) => stages.join(", "),
        Some(more) => format!("{} ({more} more)", stages[..FIRST].join(", ")),
    }
}

fn scripts(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping) {
    let lists = [
        ("before_script", ScriptSection::BeforeScript),
        ("script", ScriptSection::Script),
        ("after_script", ScriptSection::AfterScript),
    ];
    for (word, section) in lists {
        if let Some(list) = fields.get(word) {
            node.steps.extend(script::steps(check, list, section));
            if section == ScriptSection::Script {
                script::warn_repeated_cd(check, list);
            }
        }
    }
}

/// A job that runs has a stage, and a script unless it only builds its image.
fn required(check: &mut Checker<'_>, node: &GraphNode, key: Mark, body: Mark, fields: &Mapping) {
    let place = format!("in job \"{}\"", node.id);
    if fields.get("stage").is_none() {
        check.missing_at(key, body, "stage", &place);
    }
    let image = fields.get("image").and_then(Node::as_mapping);
    if image.is_some_and(|image| image.get("build").is_some()) {
        return;
    }
    match fields.get("script") {
        None => check.missing_at(key, body, "script", &place),
        Some(list) if list.as_sequence().is_some_and(<[Node]>::is_empty) => {
            let fix = "list at least one command; only a job with image.build may have none";
            check.note(Problem::error(list.mark, "\"script\" is empty").fix(fix));
        }
        Some(_) => {}
    }
}

fn environment(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping, partial: bool) {
    let variables = fields.get("variables").and_then(|value| {
        let fields = variables::check(check, value, "variables")?;
        node.variables = variables::resolve(check, fields);
        Some(fields)
    });
    if let Some(value) = fields.get("secrets") {
        node.secrets = secrets::secrets(check, value, partial);
        if let (Some(secrets), Some(variables)) = (value.as_mapping(), variables) {
            secrets::overlap(check, secrets, variables);
        }
    }
}

fn files(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping, partial: bool) {
    if let Some(value) = fields.get("cache") {
        node.cache = cache::caches(check, value, partial);
    }
    if let Some(value) = fields.get("artifacts") {
        node.artifacts = artifacts::artifacts(check, value, partial);
    }
}

/// What only a container can have.
fn containers(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping, role: Role) {
    if let Some(value) = fields.get("services") {
        node.services = services::services(check, value);
    }
    if let Some(value) = fields.get("resources") {
        node.resources = resources::resources(check, value);
    }
    if role == Role::Part || node.image.is_some() {
        return;
    }
    if let (Some(value), false) = (fields.get("services"), node.services.is_empty()) {
        let message = format!("job \"{}\" has services but no image", node.id);
        let fix = "set an image, or write services: []; a job on the host has no containers";
        check.note(Problem::error(value.mark, message).fix(fix));
    }
    if let (Some(value), true) = (fields.get("resources"), node.resources.is_some()) {
        let message =
            format!("\"resources\" has no effect on job \"{}\", which has no image", node.id);
        check.note(Problem::warning(code::NO_EFFECT, value.mark, message).fix("set an image"));
    }
}

/// Recorded for remote execution; a local run does not act on it.
fn remote(check: &mut Checker<'_>, node: &mut GraphNode, fields: &Mapping) {
    if let Some(value) = fields.get("runner_pool") {
        node.runner_pool = check.text(value, "runner_pool").map(str::to_owned);
    }
    node.invariant = fields.get("invariant").map(json);
}

/// A value as JSON, typed by the core schema; what JSON cannot say stays text.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(mapping) => mapping
            .iter()
            .map(|entry| (entry.key.to_string(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Empty | Value::Refused => serde_json::Value::Null,
        Value::Scalar(scalar) => match node.kind() {
            Kind::Null => serde_json::Value::Null,
            Kind::Boolean => scalar.text.eq_ignore_ascii_case("true").into(),
            Kind::Number => number(&scalar.text),
            _ => (*scalar.text).into(),
        },
    }
}

fn number(text: &str) -> serde_json::Value {
    let whole = text.parse::<i64>().ok().map(serde_json::Number::from);
    let float = || text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    whole.or_else(float).map_or_else(|| text.into(), serde_json::Value::Number)
}
