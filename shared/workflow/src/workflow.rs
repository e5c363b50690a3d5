//! The root of a workflow: its keys, stages, jobs; from a loaded tree to a graph.

use std::collections::{HashMap, HashSet};

use libloom_contract::graph::{Graph, Layer, Variable};

use crate::assemble::{self, Frame};
use crate::check::{Checker, MAX_SIZE};
use crate::job::{self, Draft, Role};
use crate::keywords::{rules, variables};
use crate::names::{is_job, is_stage, is_template};
use crate::problem::{Problem, code};
use crate::redundant;
use crate::resolve::{Known, Layers};
use crate::source::Mark;
use crate::tree::{Entry, Kind, Mapping, Node, Stratum};

/// Keys of the root that are no jobs.
pub(crate) const ROOT_KEYS: &[&str] =
    &["version", "stages", "include", "workflow", "variables", "default"];

/// Checks a root mapping; a graph comes out unless there was an error.
pub(crate) fn compile(check: &mut Checker<'_>, root: Node) -> Option<Graph> {
    let (drafts, frame) = self::check(check, &root)?;
    // The tree and the graph of a large workflow need not be held at once.
    drop(root);
    Some(assemble::graph(check.sources, drafts, frame))
}

/// Checks a root mapping; what a graph is made of comes out unless there was an error.
pub(crate) fn check(check: &mut Checker<'_>, root: &Node) -> Option<(Vec<Draft>, Frame)> {
    let fields = root.as_mapping()?;
    let start = Mark { end: root.mark.start, ..root.mark };
    // First, so that a mistyped `version` or `stages` is not missed as well.
    let (entries, lost) = job_entries(check, fields);
    version(check, fields, root.mark);
    let stages = stages(check, fields, root.mark);
    let workflow_rules =
        fields.get("workflow").map(|node| rules::workflow(check, node)).unwrap_or_default();
    let root_variables =
        fields.get("variables").map(|node| root_variables(check, node)).unwrap_or_default();
    let default = fields.entry("default");
    if let Some(entry) = default {
        check_default(check, entry, &stages);
    }
    let known = Known { entries: &entries, lost: &lost };
    let mut layers =
        Layers::new(check, &known, default.map(|entry| &entry.value), fields.entry("variables"));
    let drafts = jobs(check, &entries, &mut layers, &stages);
    let names = fields.iter().map(|entry| &*entry.key).collect::<HashSet<_>>();
    let has_order = assemble::check_needs(check, &drafts, &names, &stages);
    if check.complete && lost.is_empty() {
        warn_unused(check, &entries, &layers);
        if has_order {
            redundant::warn(check, &drafts, &stages);
        }
    }
    let is_runnable = |entry: &Entry| !ROOT_KEYS.contains(&&*entry.key) && !is_template(&entry.key);
    if check.complete && !fields.iter().any(is_runnable) {
        let problem = Problem::error(start, "the workflow has no job").about(root.mark);
        check.note(problem.fix("add a job with stage and script; names with a dot are templates"));
    }
    if check.has_errors() {
        return None;
    }
    // Only the workflow's rules ask for them: jobs have them among their own.
    let variables = if workflow_rules.is_empty() { Vec::new() } else { root_variables };
    let frame = Frame { stages, rules: workflow_rules, variables };
    Some((drafts, frame))
}

/// A job or template with all its layers merged, without checking it.
pub(crate) fn merged_job(check: &mut Checker<'_>, root: &Node, name: &str) -> Option<Node> {
    let fields = root.as_mapping()?;
    let (entries, lost) = job_entries(check, fields);
    let entry = entries.iter().find(|entry| &*entry.key == name)?;
    let known = Known { entries: &entries, lost: &lost };
    let mut layers = Layers::new(check, &known, fields.get("default"), fields.entry("variables"));
    layers.job(check, entry)
}

fn version(check: &mut Checker<'_>, fields: &Mapping, root: Mark) {
    let Some(node) = fields.get("version") else {
        if check.complete && !check.is_meant("version", root) {
            let start = Mark { end: root.start, ..root };
            let problem = Problem::error(start, "missing required key \"version\"").about(root);
            check.note(problem.fix("add version: v1 at the top"));
        }
        return;
    };
    let fix = "write version: v1";
    match node.as_text().filter(|_| node.kind() != Kind::Null) {
        None => check.wrong_type_fix(node, "string", "version", Some(fix)),
        Some("v1") => {}
        Some(got) => {
            let problem = Problem::error(node.mark, format!("unknown version \"{got}\""));
            check.note(problem.fix(fix).edit(node.mark, "v1"));
        }
    }
}

fn stages(check: &mut Checker<'_>, fields: &Mapping, root: Mark) -> Vec<String> {
    let Some(node) = fields.get("stages") else {
        if check.complete && !check.is_meant("stages", root) {
            let start = Mark { end: root.start, ..root };
            let problem = Problem::error(start, "missing required key \"stages\"").about(root);
            check.note(problem.fix("add stages: [ci], in the order they are to run"));
        }
        return Vec::new();
    };
    let Some(items) = check.sequence(node, "stages") else { return Vec::new() };
    if items.is_empty() {
        check.note(Problem::error(node.mark, "\"stages\" is empty").fix("list at least one stage"));
    }
    let mut stages: Vec<String> = Vec::new();
    let mut seen: HashMap<&str, Mark> = HashMap::new();
    for item in items {
        let Some(name) = check.name(item, "stages[]") else { continue };
        if !is_stage(name) {
            let message = format!("stage name \"{name}\" must match ^[a-z][a-z0-9_-]{{0,31}}$");
            check.note(Problem::error(item.mark, message).fix("rename it in lower case"));
        }
        if let Some(first) = seen.insert(name, item.mark) {
            let problem = Problem::error(item.mark, format!("duplicate stage \"{name}\""));
            check.note(problem.fix("remove one of the two").related(first, "first listed here"));
            continue;
        }
        stages.push(name.to_owned());
    }
    stages
}

fn root_variables(check: &mut Checker<'_>, node: &Node) -> Vec<Variable> {
    let mut node = node.clone();
    node.stamp(&Stratum::of(Layer::Root));
    let Some(fields) = variables::check(check, &node, "variables") else { return Vec::new() };
    let variables = variables::resolve(check, fields);
    variables::check_cycles(check, &variables, fields);
    variables
}

fn check_default(check: &mut Checker<'_>, entry: &Entry, stages: &[String]) {
    let Some(fields) = check.mapping(&entry.value, "default") else { return };
    for (key, message, fix) in [
        (
            "secrets",
            "\"default.secrets\" is not allowed",
            "declare secrets in the jobs that need them",
        ),
        ("extends", "\"default.extends\" is not allowed", "extend templates in jobs"),
    ] {
        if let Some(entry) = fields.entry(key) {
            check.note(Problem::error(entry.key_mark, message).fix(fix));
        }
    }
    job::check_keys(check, fields, "in default");
    job::draft(check, "default", entry.key_mark, &entry.value, Role::Part, stages);
}

/// Entries of the root that are jobs or templates, and the names of those that would be, were they
/// right; what is wrong with these becomes a problem.
fn job_entries<'r>(
    check: &mut Checker<'_>,
    fields: &'r Mapping,
) -> (Vec<&'r Entry>, HashSet<&'r str>) {
    let mut entries = Vec::new();
    let mut lost = HashSet::new();
    for entry in fields.iter().filter(|entry| !ROOT_KEYS.contains(&&*entry.key)) {
        if entry.value.kind() == Kind::Refused {
            lost.insert(&*entry.key);
            continue;
        }
        let is_body = entry.value.as_mapping().is_some_and(looks_like_job);
        let meant = if is_body { None } else { check.meant_key(fields, entry, ROOT_KEYS) };
        if let Some(near) = meant {
            let problem =
                Problem::error(entry.key_mark, format!("unknown root key \"{}\"", entry.key));
            check.note(problem.did_you_mean(Some(near)).edit(entry.key_mark, near));
        } else if is_stray_keyword(entry) {
            let message = format!("\"{}\" is a job keyword, not a root key", entry.key);
            check.note(Problem::error(entry.key_mark, message).fix("move it into \"default\""));
        } else if !is_job(&entry.key) {
            note_bad_name(check, entry, is_body);
            lost.insert(&*entry.key);
        } else if entry.value.kind() == Kind::Mapping {
            entries.push(entry);
        } else {
            lost.insert(&*entry.key);
            let message = format!(
                "expected mapping for job \"{}\", got {}",
                entry.key,
                entry.value.kind().word()
            );
            let fix = format!("write a job, or one of the root keys {}", ROOT_KEYS.join(", "));
            check.note(Problem::error(entry.value.mark, message).fix(fix));
        }
    }
    (entries, lost)
}

/// A keyword that other tools have at the root; a job may well be called `image` or `cache`.
fn is_stray_keyword(entry: &Entry) -> bool {
    let is_job = |fields: &Mapping| {
        ["stage", "script", "extends"].iter().any(|key| fields.get(key).is_some())
    };
    job::KEYS.contains(&&*entry.key) && !entry.value.as_mapping().is_some_and(is_job)
}

fn looks_like_job(fields: &Mapping) -> bool {
    fields.iter().any(|entry| job::KEYS.contains(&&*entry.key))
}

fn note_bad_name(check: &mut Checker<'_>, entry: &Entry, is_body: bool) {
    let pattern = "^\\.?[a-z][a-z0-9_-]{0,63}$";
    let problem = if is_body {
        Problem::error(entry.key_mark, format!("job name \"{}\" must match {pattern}", entry.key))
            .fix("rename it in lower case, up to 64 characters")
    } else {
        Problem::error(entry.key_mark, format!("unknown root key \"{}\"", entry.key))
            .fix(format!("remove it; root keys are {} and job names", ROOT_KEYS.join(", ")))
    };
    check.note(problem);
}

/// Checks every job and template; the drafts of those that run.
fn jobs<'r>(
    check: &mut Checker<'_>,
    entries: &[&'r Entry],
    layers: &mut Layers<'r>,
    stages: &[String],
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for entry in entries {
        let kind = if is_template(&entry.key) { "template" } else { "job" };
        if let Some(own) = entry.value.as_mapping() {
            job::check_keys(check, own, &format!("in {kind} \"{}\"", entry.key));
        }
        if is_template(&entry.key) {
            job::draft(check, &entry.key, entry.key_mark, &entry.value, Role::Part, stages);
            continue;
        }
        // Without all its templates, what a job lacks may stand in one of them.
        let merged = layers.job(check, entry);
        let role =
            if layers.is_whole(&entry.key) && merged.is_some() { Role::Job } else { Role::Part };
        let merged = merged.unwrap_or_else(|| entry.value.clone());
        let mut draft = job::draft(check, &entry.key, entry.key_mark, &merged, role, stages);
        let text: usize = draft.node.variables.iter().map(|variable| variable.value.len()).sum();
        let size = (merged.size() + text / 64) * draft.copies.copies.len().max(1);
        if !check.take(size) {
            let message = format!(
                "with templates and matrices resolved, the workflow holds more than {MAX_SIZE} values"
            );
            let problem = Problem::error(entry.key_mark, message).code(code::LIMIT);
            check.note(problem.fix("split it into several workflows"));
            break;
        }
        if !check.wants_graph {
            draft.node.steps = Vec::new();
            draft.node.variables = Vec::new();
            draft.node.cache = Vec::new();
        }
        drafts.push(draft);
    }
    drafts
}

fn warn_unused(check: &mut Checker<'_>, entries: &[&Entry], layers: &Layers<'_>) {
    let used: HashSet<&str> = layers.extended().collect();
    for entry in entries {
        // A file of templates is shared: what one workflow leaves unused, another extends.
        let own_file = entry.key_mark.file.0 == 0;
        if own_file && is_template(&entry.key) && !used.contains(&*entry.key) {
            let message = format!("template \"{}\" is not extended by any job", entry.key);
            let problem = Problem::warning(code::UNUSED_TEMPLATE, entry.key_mark, message);
            check.note(problem.fix("extend it, or remove it"));
        }
    }
}
