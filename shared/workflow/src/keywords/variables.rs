//! `variables`: names, values, what lower layers add to them, and circles among them.

use std::collections::BTreeMap;

use libloom_contract::graph::{Origin, Variable};
use libloom_variables::{MAX_VALUE, circles, fold};

use crate::check::Checker;
use crate::names::{chain, is_variable};
use crate::problem::{Problem, code};
use crate::source::{Mark, Sources};
use crate::tree::{Mapping, Node};

/// Checks a mapping of variables and answers its good entries.
pub(crate) fn check<'n>(check: &mut Checker<'_>, node: &'n Node, key: &str) -> Option<&'n Mapping> {
    let fields = check.mapping(node, key)?;
    for entry in fields.iter() {
        check_name(check, &entry.key, entry.key_mark);
        if check.any_text(&entry.value, &entry.key).is_some_and(|text| text.contains('\0')) {
            let message = format!("variable \"{}\" holds a NUL character", entry.key);
            check.note(Problem::error(entry.value.mark, message).fix("remove it"));
        }
        if entry.value.as_string().is_some_and(looks_secret) {
            let message = format!("the value of \"{}\" looks like a secret", entry.key);
            let problem = Problem::warning(code::SECRET_LITERAL, entry.value.mark, message);
            check.note(problem.fix("declare it under secrets; variables are shown in logs"));
        }
    }
    Some(fields)
}

/// Beginnings of tokens that well-known services give out.
const SECRET_PREFIXES: &[&str] = &[
    "-----BEGIN ",
    "AKIA",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "npm_",
    "ops_",
    "sk_live_",
    "xoxb-",
    "xoxp-",
];

fn looks_secret(value: &str) -> bool {
    value.len() >= 16 && SECRET_PREFIXES.iter().any(|prefix| value.starts_with(prefix))
}

fn check_name(check: &mut Checker<'_>, name: &str, mark: Mark) {
    if is_variable(name) {
        return;
    }
    let message = format!("variable name \"{name}\" must match ^[A-Z_][A-Z0-9_]*$");
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let problem = Problem::error(mark, message);
    check.note(match is_variable(&upper) {
        true => problem.fix(format!("rename it to \"{upper}\"")),
        false => problem.fix("rename it in UPPER_SNAKE_CASE"),
    });
}

/// Variables that belong to no layer: of a service, of a rule.
pub(crate) fn plain(check: &mut Checker<'_>, node: &Node, key: &str) -> BTreeMap<String, String> {
    let Some(fields) = self::check(check, node, key) else { return BTreeMap::new() };
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    fields
        .iter()
        .filter_map(|entry| entry.value.as_string().map(|value| (&*entry.key, value)))
        .map(pair)
        .collect()
}

/// Values with the lower layers' folded in, by name.
pub(crate) fn resolve(check: &mut Checker<'_>, fields: &Mapping) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::with_capacity(fields.entries.len());
    for entry in fields.iter() {
        let Some(value) = folded(&entry.key, &entry.value) else { continue };
        if value.len() > MAX_VALUE {
            let message = format!("variable \"{}\" is longer than {MAX_VALUE} bytes", entry.key);
            check.note(
                Problem::error(entry.value.mark, message).code(code::LIMIT).fix("shorten it"),
            );
            continue;
        }
        let origin = Some(origin(check.sources, &entry.value));
        variables.push(Variable { name: entry.key.to_string(), value, origin });
    }
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    variables
}

/// The layer and place of a value.
pub(crate) fn origin(sources: &Sources, node: &Node) -> Origin {
    Origin {
        layer: node.stratum.layer,
        template: node.stratum.template.as_deref().map(str::to_owned),
        position: Some(sources.position(node.mark)),
    }
}

/// A value in which the variable's own name stands for what the lower layer has.
fn folded(name: &str, node: &Node) -> Option<String> {
    let text = node.as_string()?;
    let below = node.under.as_deref().and_then(|under| folded(name, under));
    Some(match below {
        Some(below) => fold(name, text, &below),
        None => text.to_owned(),
    })
}

/// Notes circles among the variables of one job, each once, at the value of its first name that
/// stands in `marks`.
pub(crate) fn check_cycles(check: &mut Checker<'_>, variables: &[Variable], marks: &Mapping) {
    for members in circles(variables) {
        let Some(entry) = members.iter().find_map(|name| marks.entry(name)) else { continue };
        note_cycle(check, &members, entry.value.mark);
    }
}

/// Notes that these variables, by name, refer to each other.
pub(crate) fn note_cycle(check: &mut Checker<'_>, members: &[&str], mark: Mark) {
    let names: Vec<String> =
        members.iter().chain(members.first()).map(|name| format!("${name}")).collect();
    let message = format!("variables refer to each other in a circle: {}", chain(&names));
    let problem = Problem::error(mark, message).code(code::VARIABLE_CYCLE);
    check.note(problem.fix("remove one of the references"));
}
