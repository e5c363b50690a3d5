//! `parallel`: one job as several, by number or by a matrix of variables.

use crate::check::Checker;
use crate::names::is_variable;
use crate::problem::{Problem, code};
use crate::source::Mark;
use crate::tree::{Entry, Kind, Mapping, Node};

/// Most jobs that one job becomes, as in GitLab.
pub(crate) const MAX_COPIES: usize = 200;

/// Most variables of one entry of a matrix: every copy holds them all.
const MAX_VARIABLES: usize = 100;

/// One copy: what its label adds, and its variables with the place of each value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copy {
    pub(crate) values: Vec<(String, String, Mark)>,
}

/// The copies of a job; empty when it is not `parallel`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies {
    pub(crate) copies: Vec<Copy>,
    /// Made by a matrix, so that labels show values instead of `k/n`.
    pub(crate) matrix: bool,
}

pub(crate) fn parallel(check: &mut Checker<'_>, node: &Node) -> Copies {
    let limit = i64::try_from(MAX_COPIES).unwrap_or(i64::MAX);
    let Some(fields) = node.as_mapping() else {
        if node.kind() != Kind::Number {
            check.wrong_type_fix(
                node,
                "number or mapping",
                "parallel",
                Some("write a number, or {matrix: [...]}"),
            );
            return Copies::default();
        }
        let count = check.integer(node, "parallel", 1..=limit).unwrap_or(0);
        let copies = (0..count).map(|_| Copy::default()).collect();
        return Copies { copies, matrix: false };
    };
    check.unknown_keys(fields, &["matrix"], "in parallel");
    let Some(matrix) = fields.get("matrix") else {
        check.missing(node.mark, "matrix", "in parallel");
        return Copies::default();
    };
    let Some(items) = check.sequence(matrix, "parallel.matrix") else { return Copies::default() };
    if items.is_empty() {
        check.note(
            Problem::error(matrix.mark, "\"parallel.matrix\" is empty")
                .fix("list at least one mapping of variables"),
        );
    }
    let mut copies = Vec::new();
    for item in items {
        if let Some(fields) = check.mapping(item, "parallel.matrix[]") {
            if fields.entries.is_empty() {
                let problem = Problem::error(item.mark, "\"parallel.matrix[]\" is empty");
                check.note(problem.fix("name at least one variable"));
            }
            if fields.entries.len() > MAX_VARIABLES {
                let message = format!("a matrix entry has more than {MAX_VARIABLES} variables");
                let problem = Problem::error(item.mark, message).code(code::LIMIT);
                check.note(problem.fix("put those with one value into variables"));
                continue;
            }
            copies.extend(combinations(check, fields));
        }
        if copies.len() > MAX_COPIES {
            let message = format!("the matrix has more than {MAX_COPIES} combinations");
            check.note(Problem::error(matrix.mark, message).fix("split the job"));
            copies.truncate(MAX_COPIES);
            break;
        }
    }
    Copies { copies, matrix: true }
}

/// All combinations of one matrix entry, the last variable by name changing fastest: how keys are
/// ordered has no meaning, here as everywhere.
fn combinations(check: &mut Checker<'_>, fields: &Mapping) -> Vec<Copy> {
    let mut copies = vec![Copy::default()];
    let mut entries: Vec<&Entry> = fields.iter().collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries {
        let values = values(check, entry);
        let mut next = Vec::new();
        'full: for copy in &copies {
            for (value, mark) in &values {
                if next.len() > MAX_COPIES {
                    break 'full;
                }
                let mut copy: Copy = copy.clone();
                copy.values.push((entry.key.to_string(), value.clone(), *mark));
                next.push(copy);
            }
        }
        copies = next;
    }
    copies
}

fn values(check: &mut Checker<'_>, entry: &Entry) -> Vec<(String, Mark)> {
    if !is_variable(&entry.key) {
        let message = format!("variable name \"{}\" must match ^[A-Z_][A-Z0-9_]*$", entry.key);
        check.note(Problem::error(entry.key_mark, message).fix("rename it in UPPER_SNAKE_CASE"));
    }
    let key = format!("parallel.matrix[].{}", entry.key);
    let one: &Node = &entry.value;
    let items = if one.kind() == Kind::Sequence {
        one.as_sequence().unwrap_or_default()
    } else {
        std::slice::from_ref(one)
    };
    if items.is_empty() {
        check.note(
            Problem::error(one.mark, format!("\"{key}\" is empty")).fix("list at least one value"),
        );
    }
    items
        .iter()
        .filter_map(|item| check.any_text(item, &key).map(|text| (text.to_owned(), item.mark)))
        .collect()
}
