//! `variables`: names, values, what lower layers add to them, and circles among them.

use std::collections::{BTreeMap, HashMap, HashSet};

use libloom_contract::graph::{Origin, Variable};
use libloom_contract::variables::{Piece, pieces};
use libloom_variables::{MAX_VALUE, circles, fold};

use crate::check::Checker;
use crate::keywords::literal::looks_secret;
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
        if entry.value.as_string().is_some_and(|value| looks_secret(&entry.key, value)) {
            let message = format!("the value of \"{}\" looks like a secret", entry.key);
            let problem = Problem::warning(code::SECRET_LITERAL, entry.value.mark, message);
            check.note(problem.fix("declare it under secrets; variables are shown in logs"));
        }
    }
    Some(fields)
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

/// Most bytes of all values of one job: each may grow with every layer of templates.
const MAX_TOGETHER: usize = 4 << 20;

/// Values with the lower layers' folded in, by name.
pub(crate) fn resolve(check: &mut Checker<'_>, fields: &Mapping) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::with_capacity(fields.entries.len());
    let mut together = 0;
    for entry in fields.iter() {
        let Some(value) = folded(&entry.key, &entry.value) else { continue };
        if value.len() > MAX_VALUE {
            let message = format!("variable \"{}\" is longer than {MAX_VALUE} bytes", entry.key);
            check.note(
                Problem::error(entry.value.mark, message).code(code::LIMIT).fix("shorten it"),
            );
            continue;
        }
        together += value.len();
        if together > MAX_TOGETHER {
            let message = format!("the variables hold more than {} MiB", MAX_TOGETHER >> 20);
            let problem = Problem::error(entry.value.mark, message).code(code::LIMIT);
            check.note(problem.fix("put large values into files"));
            break;
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
    let under = node.under.as_deref().filter(|_| refers_to(text, name));
    let below = under.and_then(|under| folded(name, under));
    Some(match below {
        Some(below) => fold(name, text, &below),
        None => text.to_owned(),
    })
}

fn refers_to(value: &str, name: &str) -> bool {
    let is_own = |piece| matches!(piece, Piece::Reference { name: found, .. } if found == name);
    value.contains('$') && pieces(value).into_iter().any(is_own)
}

/// Notes circles among the variables of one job, each once, at the value of its first name that
/// stands in `marks`.
pub(crate) fn check_cycles(check: &mut Checker<'_>, variables: &[Variable], marks: &Mapping) {
    let circles = circles(variables);
    if circles.is_empty() {
        return;
    }
    let places: HashMap<&str, Mark> =
        marks.iter().map(|entry| (&*entry.key, entry.value.mark)).collect();
    for members in circles {
        let Some(mark) = members.iter().find_map(|name| places.get(name)) else { continue };
        note_cycle(check, &members, *mark);
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

/// Notes that a secret has the name of a variable.
pub(crate) fn note_overlap(check: &mut Checker<'_>, name: &str, secret: Mark, variable: Mark) {
    let message = format!("\"{name}\" is both a variable and a secret");
    let problem = Problem::error(secret, message).fix("remove one of the two");
    check.note(problem.related(variable, "the variable"));
}

/// Warns of variables of one job that come to nothing: no more than the reference to their own name,
/// or empty only because what they refer to is. `elsewhere` may still get a value: from a matrix, a
/// rule.
pub(crate) fn warn_useless(
    check: &mut Checker<'_>,
    variables: &[Variable],
    marks: &Mapping,
    elsewhere: &HashSet<&str>,
) {
    let empty = empty(variables, elsewhere);
    for entry in marks.iter() {
        let at = variables.binary_search_by(|variable| variable.name.as_str().cmp(&entry.key));
        let Some(variable) = at.ok().map(|at| &variables[at]) else { continue };
        let written = entry.value.as_string().unwrap_or_default();
        if written.is_empty() || elsewhere.contains(&*variable.name) {
            continue;
        }
        let (message, fix) = if is_reference_to(&variable.value, &variable.name) {
            let message = format!("\"{}\" expands to itself", variable.name);
            (message, "remove it: what the environment has is there without it")
        } else if empty.contains(&*variable.name) {
            let message = format!("\"{}\" expands to nothing", variable.name);
            (message, "give a value to what it refers to, or write \"\"")
        } else {
            continue;
        };
        check.note(Problem::warning(code::NO_VALUE, entry.value.mark, message).fix(fix));
    }
}

fn is_reference_to(value: &str, name: &str) -> bool {
    matches!(pieces(value)[..], [Piece::Reference { name: found, .. }] if found == name)
}

/// Variables that hold nothing but references to others that are empty, from those that are written
/// so on: each is looked at once for each reference to it, however they refer to one another.
fn empty<'v>(variables: &'v [Variable], elsewhere: &HashSet<&str>) -> HashSet<&'v str> {
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut referring: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut found: Vec<&str> = Vec::new();
    for variable in variables.iter().filter(|variable| !elsewhere.contains(&*variable.name)) {
        let Some(names) = only_references(&variable.value) else { continue };
        if names.is_empty() {
            found.push(&variable.name);
        }
        open.insert(&variable.name, names.len());
        names.into_iter().for_each(|name| referring.entry(name).or_default().push(&variable.name));
    }
    let mut empty: HashSet<&str> = HashSet::new();
    while let Some(name) = found.pop() {
        empty.insert(name);
        for other in referring.remove(name).unwrap_or_default() {
            let Some(left) = open.get_mut(other) else { continue };
            *left -= 1;
            if *left == 0 {
                found.push(other);
            }
        }
    }
    empty
}

/// The names in a value; `None` where it holds any text.
fn only_references(value: &str) -> Option<Vec<&str>> {
    let name = |piece| match piece {
        Piece::Reference { name, .. } => Some(name),
        Piece::Text(_) => None,
    };
    pieces(value).into_iter().map(name).collect()
}
