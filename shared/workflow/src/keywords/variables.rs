//! `variables`: names, values, what lower layers add to them, and circles among them.

use std::collections::{BTreeMap, BTreeSet};

use libloom_contract::graph::{Origin, Variable};
use libloom_contract::variables::{Piece, pieces};

use crate::check::Checker;
use crate::names::is_variable;
use crate::problem::{Problem, code};
use crate::source::{Mark, Sources};
use crate::tree::{Mapping, Node};

/// Longest value; the system takes no longer one (`MAX_ARG_STRLEN`).
const MAX_VALUE: usize = 128 << 10;

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
        // Folding on could only make it longer still.
        Some(below) if below.len() <= MAX_VALUE => replace_name(text, name, &below),
        Some(below) => below,
        None => text.to_owned(),
    })
}

/// Replaces `$NAME` and `${NAME}`; `$$` and everything else stays as written.
pub(crate) fn replace_name(text: &str, name: &str, value: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if rest.starts_with("$$") {
            result.push_str("$$");
            rest = &rest[2..];
        } else if let Some(length) = own_reference(rest, name) {
            result.push_str(value);
            rest = &rest[length..];
        } else {
            result.push('$');
            rest = &rest[1..];
        }
    }
    result + rest
}

/// Length of the reference to `name` at the start of `text`.
fn own_reference(text: &str, name: &str) -> Option<usize> {
    match pieces(&text[..text.len().min(reach(text, name))]).first() {
        Some(Piece::Reference { name: found, written }) if *found == name => Some(written.len()),
        _ => None,
    }
}

/// How much of `text` decides whether it starts with a reference to `name`.
fn reach(text: &str, name: &str) -> usize {
    let end = (name.len() + 4).min(text.len());
    (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Notes circles among the variables of one job, each once; depth-first, without recursion.
pub(crate) fn check_cycles(check: &mut Checker<'_>, variables: &[Variable], marks: &Mapping) {
    let names: BTreeMap<&str, Vec<&str>> =
        variables.iter().map(|variable| (&*variable.name, references(variable))).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for name in names.keys() {
        let mut path: Vec<(&str, usize)> = vec![(name, 0)];
        let mut on_path: BTreeSet<&str> = BTreeSet::from([*name]);
        while let Some((current, next)) = path.last_mut() {
            let reference = names.get(current).and_then(|references| references.get(*next));
            let Some(reference) = reference.filter(|_| !done.contains(current)) else {
                done.insert(current);
                on_path.remove(current);
                path.pop();
                continue;
            };
            *next += 1;
            if on_path.contains(reference) {
                let members = path.iter().map(|(name, _)| *name);
                note_cycle(check, members.skip_while(|name| name != reference).collect(), marks);
            } else if names.contains_key(reference) && !done.contains(reference) {
                on_path.insert(reference);
                path.push((reference, 0));
            }
        }
    }
}

/// The message starts at the smallest name, so that one circle has one message.
fn note_cycle(check: &mut Checker<'_>, mut members: Vec<&str>, marks: &Mapping) {
    let smallest = (0..members.len()).min_by_key(|place| members[*place]).unwrap_or(0);
    members.rotate_left(smallest);
    let Some(entry) = marks.entry(members[0]) else { return };
    members.push(members[0]);
    let names: Vec<String> = members.iter().map(|name| format!("${name}")).collect();
    let message = format!("variables refer to each other in a circle: {}", names.join(" -> "));
    let problem = Problem::error(entry.value.mark, message).code(code::VARIABLE_CYCLE);
    check.note(problem.fix("remove one of the references"));
}

/// Names that a value refers to, but for its own: that one means the environment.
fn references(variable: &Variable) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Reference { name, .. } if name != variable.name => Some(name),
        _ => None,
    };
    pieces(&variable.value).into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::replace_name;

    #[test]
    fn own_name_is_replaced_and_nothing_else() {
        let replaced = |text: &str| replace_name(text, "PATH", "X");
        assert_eq!(replaced("/a:$PATH:${PATH}"), "/a:X:X");
        assert_eq!(replaced("$$PATH $PATHS ${PATHS} $é"), "$$PATH $PATHS ${PATHS} $é");
        assert_eq!(replaced("$PATH"), "X");
        assert_eq!(replaced("$"), "$");
    }
}
