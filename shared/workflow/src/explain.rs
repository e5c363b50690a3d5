//! Where each value of a job comes from, and what it overrode.

use libloom_contract::graph::Origin;

use crate::Files;
use crate::check::Checker;
use crate::keywords::variables::origin;
use crate::load::Loader;
use crate::source::Sources;
use crate::tree::{Node, Value};
use crate::workflow;

/// One value of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its place in the job, such as `variables.PATH` or `cache.paths[0]`.
    pub key: String,
    /// As written; empty lists and mappings as `[]` and `{}`.
    pub value: String,
    /// The layer, template and place that decided.
    pub origin: Origin,
    /// What lower layers say, the next lower one first.
    pub overridden: Vec<(String, Origin)>,
}

/// Every value of `job`, in order of the merged mapping; `None` when there is no such job or its
/// templates cannot be resolved. Nothing is validated: compile first.
pub fn explain(path: &str, bytes: Vec<u8>, files: &Files<'_>, job: &str) -> Option<Vec<Explained>> {
    let mut loader = Loader::new(files.read);
    let root = loader.workflow(path, bytes)?;
    let sources = loader.sources;
    let mut check = Checker::new(&sources, path, files.exists, Vec::new());
    let merged = workflow::merged_job(&mut check, &root, job)?;
    let mut explained = Vec::new();
    collect(&sources, "", &merged, &mut explained);
    Some(explained)
}

/// Depth is bounded by that of the parsed trees.
fn collect(sources: &Sources, key: &str, node: &Node, found: &mut Vec<Explained>) {
    match &node.value {
        Value::Mapping(mapping) if !mapping.entries.is_empty() => {
            for entry in mapping.iter() {
                let dot = if key.is_empty() { "" } else { "." };
                collect(sources, &format!("{key}{dot}{}", entry.key), &entry.value, found);
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let under = if index == 0 { overridden(sources, node) } else { Vec::new() };
                let before = found.len();
                collect(sources, &format!("{key}[{index}]"), item, found);
                if let Some(first) = found.get_mut(before) {
                    first.overridden.extend(under);
                }
            }
        }
        _ => found.push(Explained {
            key: key.to_owned(),
            value: shown(sources, node),
            origin: origin(sources, node),
            overridden: overridden(sources, node),
        }),
    }
}

fn overridden(sources: &Sources, node: &Node) -> Vec<(String, Origin)> {
    let below = std::iter::successors(node.under.as_deref(), |node| node.under.as_deref());
    below.map(|node| (shown(sources, node), origin(sources, node))).collect()
}

fn shown(sources: &Sources, node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.to_string(),
        Value::Sequence(items) if items.is_empty() => "[]".to_owned(),
        Value::Mapping(mapping) if mapping.entries.is_empty() => "{}".to_owned(),
        Value::Sequence(_) | Value::Mapping(_) => {
            let words: Vec<&str> = sources.slice(node.mark).split_whitespace().collect();
            words.join(" ")
        }
        Value::Empty | Value::Refused => "null".to_owned(),
    }
}
