//! `services`: sidecar containers.

use std::collections::BTreeMap;

use libloom_contract::graph::Service;

use crate::check::Checker;
use crate::keywords::{image, variables};
use crate::problem::Problem;
use crate::tree::{Kind, Node};

const KEYS: &[&str] = &["name", "alias", "variables", "entrypoint", "command", "pull_policy"];
/// Known to the reference's schema, done by nobody.
const UNSUPPORTED: &[&str] = &["docker", "kubernetes"];

pub(crate) fn services(check: &mut Checker<'_>, node: &Node) -> Vec<Service> {
    let Some(items) = check.sequence(node, "services") else { return Vec::new() };
    items.iter().filter_map(|item| service(check, item)).collect()
}

fn service(check: &mut Checker<'_>, node: &Node) -> Option<Service> {
    let mut service = Service {
        name: String::new(),
        alias: None,
        variables: BTreeMap::new(),
        entrypoint: None,
        command: None,
        pull_policy: None,
    };
    if node.kind() == Kind::String {
        service.name = check.text(node, "services[]")?.to_owned();
        return Some(service);
    }
    let Some(fields) = node.as_mapping() else {
        check.wrong_type(node, "string or mapping", "services[]");
        return None;
    };
    for entry in fields.iter() {
        let key = &*entry.key;
        if UNSUPPORTED.contains(&key) {
            let message = format!("service key \"{key}\" is not implemented");
            check.note(Problem::error(entry.key_mark, message).fix("remove it"));
        } else if !KEYS.contains(&key) {
            check.unknown_key(fields, entry, KEYS, "in service");
        }
    }
    if let Some(alias) = fields.get("alias") {
        service.alias = check.text(alias, "services[].alias").map(str::to_owned);
    }
    if let Some(values) = fields.get("variables") {
        service.variables = variables::plain(check, values, "services[].variables");
    }
    if let Some(words) = fields.get("entrypoint") {
        service.entrypoint = image::words(check, words, "services[].entrypoint");
    }
    if let Some(words) = fields.get("command") {
        service.command = image::words(check, words, "services[].command");
    }
    if let Some(policy) = fields.get("pull_policy") {
        service.pull_policy = check.word(policy, "services[].pull_policy", image::PULL_POLICIES);
    }
    match fields.get("name") {
        Some(name) => service.name = check.text(name, "services[].name")?.to_owned(),
        None => {
            check.missing(node.mark, "name", "in service");
            return None;
        }
    }
    Some(service)
}
