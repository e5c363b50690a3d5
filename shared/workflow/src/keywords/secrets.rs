//! `secrets`: references to values that are resolved at run time.

use std::collections::HashMap;

use libloom_contract::graph::Secret;

use crate::check::{Checker, inside};
use crate::keywords::variables::note_overlap;
use crate::names::is_variable;
use crate::problem::{Problem, code};
use crate::source::Mark;
use crate::tree::{Entry, Mapping, Node};

const SCHEMES: &[&str] = &["env", "keepass", "op"];

pub(crate) fn secrets(check: &mut Checker<'_>, node: &Node, partial: bool) -> Vec<Secret> {
    let Some(fields) = check.mapping(node, "secrets") else { return Vec::new() };
    let mut secrets: Vec<Secret> =
        fields.iter().filter_map(|entry| secret(check, entry, partial)).collect();
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    secrets
}

fn secret(check: &mut Checker<'_>, entry: &Entry, partial: bool) -> Option<Secret> {
    let name = &*entry.key;
    if !is_variable(name) {
        let message = format!("secret name \"{name}\" must match ^[A-Z_][A-Z0-9_]*$");
        check.note(Problem::error(entry.key_mark, message).fix("rename it in UPPER_SNAKE_CASE"));
    }
    let place = format!("in secret \"{name}\"");
    let fields = check.mapping(&entry.value, &format!("secrets.{name}"))?;
    check.unknown_keys(fields, &["ref", "file", "required"], &place);
    let mut flag = |key: &str| {
        fields.get(key).and_then(|value| check.boolean(value, &format!("secrets.{name}.{key}")))
    };
    let (file, required) = (flag("file").unwrap_or(true), flag("required").unwrap_or(true));
    let Some(node) = fields.get("ref") else {
        if !partial {
            check.missing_at(entry.key_mark, entry.value.mark, "ref", &place);
        }
        return None;
    };
    let reference = check.name(node, &format!("secrets.{name}.ref"))?.to_owned();
    check_reference(check, node, &reference);
    let position = Some(check.sources.position(entry.key_mark));
    Some(Secret { name: name.to_owned(), reference, file, required, position })
}

fn check_reference(check: &mut Checker<'_>, node: &Node, reference: &str) {
    let Some((scheme, rest)) = reference.split_once("://") else {
        return refuse(check, node, 0..reference.len(), "the reference has no scheme", FORMS);
    };
    let fault = match scheme {
        "env" => env(rest),
        "keepass" => keepass(rest),
        "op" => op(rest),
        _ => {
            let message = format!("unsupported secret scheme \"{scheme}\"");
            let near = check.nearest(scheme, SCHEMES.iter().copied());
            let mark = inside(node, check.sources.slice(node.mark), 0..scheme.len());
            let problem = Problem::error(mark, message).code(code::SECRETS_REF_INVALID).fix(FORMS);
            return check.note(problem.did_you_mean(near));
        }
    };
    if let Some((message, fix)) = fault {
        refuse(check, node, scheme.len() + 3..reference.len(), message, fix);
    }
}

const FORMS: &str =
    "use env://NAME, keepass://<alias>#<path>:<field> or op://<vault>/<item>/<field>";

fn refuse(
    check: &mut Checker<'_>,
    node: &Node,
    range: std::ops::Range<usize>,
    message: &str,
    fix: &str,
) {
    let mark = inside(node, check.sources.slice(node.mark), range);
    check.note(Problem::error(mark, message).code(code::SECRETS_REF_INVALID).fix(fix));
}

type Fault = Option<(&'static str, &'static str)>;

fn env(name: &str) -> Fault {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (!is_name).then_some(("this is not the name of an environment variable", "write env://NAME"))
}

/// The alias is everything before `#`.
fn keepass(rest: &str) -> Fault {
    let fix = "write keepass://<alias>#<entry path>:<field>";
    let Some((alias, entry)) = rest.split_once('#') else {
        return Some(("the entry is missing after \"#\"", fix));
    };
    let (path, field) = entry.rsplit_once(':').unwrap_or((entry, ""));
    match (alias, path, field) {
        ("", ..) => Some(("the database alias is missing", fix)),
        (_, "", _) => Some(("the entry is missing after \"#\"", fix)),
        (_, _, "") => Some(("the field is missing after \":\"", fix)),
        _ => None,
    }
}

fn op(rest: &str) -> Fault {
    let fix = "write op://<vault>/<item>/<field>";
    if rest.contains(['?', '#']) {
        return Some(("query strings and fragments are not supported", fix));
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let complete = parts.len() >= 3 && parts.iter().all(|part| !part.is_empty());
    (!complete).then_some(("vault, item or field is missing", fix))
}

/// One name cannot be a variable and a secret of the same job.
pub(crate) fn overlap(check: &mut Checker<'_>, secrets: &Mapping, variables: &Mapping) {
    let variables: HashMap<&str, Mark> =
        variables.iter().map(|entry| (&*entry.key, entry.key_mark)).collect();
    for entry in secrets.iter() {
        if let Some(variable) = variables.get(&*entry.key) {
            note_overlap(check, &entry.key, entry.key_mark, *variable);
        }
    }
}
