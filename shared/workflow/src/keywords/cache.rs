//! `cache`: one mapping, a list of named ones, or `null`/`[]` for none.

use std::collections::HashMap;

use libloom_contract::graph::{Cache, CacheKey, CachePolicy, Outcome};

use crate::check::Checker;
use crate::keywords::{OUTCOMES, artifacts};
use crate::problem::Problem;
use crate::source::Mark;
use crate::tree::{Kind, Mapping, Node};

const KEYS: &[&str] = &["name", "disabled", "paths", "key", "fallback_keys", "policy", "when"];
const POLICIES: &[(&str, CachePolicy)] = &[
    ("pull-push", CachePolicy::PullPush),
    ("pull", CachePolicy::Pull),
    ("push", CachePolicy::Push),
];
/// Names a key template may hold.
const TEMPLATE_NAMES: &[&str] = &["job_name", "job_id", "run_id", "pipeline_id", "head_sha"];

pub(crate) fn caches(check: &mut Checker<'_>, node: &Node, partial: bool) -> Vec<Cache> {
    match node.kind() {
        Kind::Null => Vec::new(),
        Kind::Mapping => cache(check, node, partial).into_iter().collect(),
        Kind::Sequence => {
            let items = node.as_sequence().unwrap_or_default();
            names(check, items);
            items.iter().filter_map(|item| cache(check, item, partial)).collect()
        }
        _ => {
            check.wrong_type_fix(
                node,
                "mapping or sequence",
                "cache",
                Some("write {paths: [...]}, a list of named caches, or [] for none"),
            );
            Vec::new()
        }
    }
}

/// In the list form every cache has a name of its own.
fn names(check: &mut Checker<'_>, items: &[Node]) {
    let mut seen: HashMap<&str, Mark> = HashMap::new();
    for item in items {
        let Some(fields) = item.as_mapping() else { continue };
        let Some(node) = fields.get("name") else {
            check.missing(item.mark, "name", "in cache list entry");
            continue;
        };
        let Some(name) = node.as_string() else { continue };
        if let Some(first) = seen.insert(name, node.mark) {
            let problem = Problem::error(node.mark, format!("duplicate cache name \"{name}\""));
            check.note(
                problem.fix("give each cache a name of its own").related(first, "first used here"),
            );
        }
    }
}

fn cache(check: &mut Checker<'_>, node: &Node, partial: bool) -> Option<Cache> {
    let fields = check.mapping(node, "cache")?;
    for entry in fields.iter().filter(|entry| !KEYS.contains(&&*entry.key)) {
        let message = "remove unknown cache key; allowed keys are name, disabled, paths, key, fallback_keys, policy, when";
        let near = check.meant_key(fields, entry, KEYS);
        let mut problem = Problem::error(entry.key_mark, message).did_you_mean(near);
        if let Some(near) = near {
            problem = problem.edit(entry.key_mark, near);
        }
        check.note(problem);
    }
    let disabled = fields.get("disabled").and_then(|value| check.boolean(value, "cache.disabled"));
    let disabled = disabled == Some(true);
    let mut cache = Cache {
        name: None,
        paths: Vec::new(),
        key: None,
        fallback_keys: Vec::new(),
        policy: CachePolicy::PullPush,
        when: Outcome::OnSuccess,
    };
    if let Some(name) = fields.get("name") {
        cache.name = check.text(name, "cache.name").map(str::to_owned);
    }
    match fields.get("paths") {
        Some(paths) => {
            cache.paths = check.some_texts(paths, "cache.paths").unwrap_or_default();
            artifacts::warn_outside(check, paths, "cache.paths");
        }
        None if !disabled && !partial => check.missing(node.mark, "paths", "in cache"),
        None => {}
    }
    settings(check, fields, &mut cache);
    (!disabled).then_some(cache)
}

fn settings(check: &mut Checker<'_>, fields: &Mapping, cache: &mut Cache) {
    if let Some(node) = fields.get("key") {
        cache.key = key(check, node);
    }
    if let Some(keys) = fields.get("fallback_keys") {
        let texts = check.texts(keys, "cache.fallback_keys").unwrap_or_default();
        cache.fallback_keys = texts.into_iter().map(|(text, _)| text).collect();
    }
    if let Some(policy) = fields.get("policy") {
        cache.policy = check.word(policy, "cache.policy", POLICIES).unwrap_or(cache.policy);
    }
    if let Some(when) = fields.get("when") {
        cache.when = check.word(when, "cache.when", OUTCOMES).unwrap_or(cache.when);
    }
}

fn key(check: &mut Checker<'_>, node: &Node) -> Option<CacheKey> {
    if node.kind() == Kind::String {
        return check
            .text(node, "cache.key")
            .map(|text| CacheKey::Literal { text: text.to_owned() });
    }
    let Some(fields) = node.as_mapping() else {
        check.wrong_type(node, "string or mapping", "cache.key");
        return None;
    };
    check.unknown_keys(fields, &["prefix", "files", "template"], "in cache.key");
    let prefix = fields.get("prefix").and_then(|value| check.text(value, "cache.key.prefix"));
    let prefix = prefix.map(str::to_owned);
    let files = fields.get("files").and_then(|value| {
        artifacts::check_globs(check, value, "cache.key.files");
        check.some_texts(value, "cache.key.files")
    });
    let Some(template) = fields.get("template") else {
        if fields.entries.is_empty() {
            let problem = Problem::error(node.mark, "\"cache.key\" says nothing");
            check.note(problem.fix("set prefix and files, or template"));
        }
        return Some(CacheKey::Files { prefix, files: files.unwrap_or_default() });
    };
    for key in ["prefix", "files"] {
        if let Some(entry) = fields.entry(key) {
            let message = format!("\"{key}\" and \"template\" exclude each other in cache.key");
            check.note(Problem::error(entry.key_mark, message).fix("remove one of the two"));
        }
    }
    let text = check.text(template, "cache.key.template")?;
    template_names(check, template, text);
    Some(CacheKey::Template { text: text.to_owned() })
}

/// Lowercase names in a template are Loom's own; others are variables of the job.
fn template_names(check: &mut Checker<'_>, node: &Node, text: &str) {
    use libloom_contract::variables::{Piece, pieces};
    for piece in pieces(text) {
        let Piece::Reference { name, .. } = piece else { continue };
        let lowercase = name.starts_with(|c: char| c.is_ascii_lowercase());
        if lowercase && !TEMPLATE_NAMES.contains(&name) {
            let near = check.nearest(name, TEMPLATE_NAMES.iter().copied());
            let problem = Problem::error(
                node.mark,
                format!("unknown name \"${name}\" in cache key template"),
            )
            .fix(format!("use one of ${}", TEMPLATE_NAMES.join(", $")));
            check.note(problem.did_you_mean(near));
        }
    }
}
