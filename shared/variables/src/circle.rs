//! Variables that refer to each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use libloom_contract::graph::Variable;
use libloom_contract::variables::{Piece, pieces};

/// Most names of all circles together; who has more does not read them.
const MAX_NAMES: usize = 10_000;

/// Every circle, each once: the names on it in order of reference, the smallest first. The search
/// ends when what was found holds 10,000 names.
///
/// A variable's own name in its value is none: that one means the layer below. Depth-first, without
/// recursion.
pub fn circles(variables: &[Variable]) -> Vec<Vec<&str>> {
    let names: BTreeMap<&str, Vec<&str>> =
        variables.iter().map(|variable| (&*variable.name, references(variable))).collect();
    let mut found: Vec<Vec<&str>> = Vec::new();
    let mut room = MAX_NAMES;
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
                let circle: Vec<&str> = members.skip_while(|name| name != reference).collect();
                room = room.saturating_sub(circle.len());
                found.push(from_smallest(circle));
                if room == 0 {
                    return found;
                }
            } else if names.contains_key(reference) && !done.contains(reference) {
                on_path.insert(reference);
                path.push((reference, 0));
            }
        }
    }
    found
}

fn from_smallest(mut members: Vec<&str>) -> Vec<&str> {
    let smallest = (0..members.len()).min_by_key(|place| members[*place]).unwrap_or(0);
    members.rotate_left(smallest);
    members
}

/// Names that a value refers to, but for its own.
fn references(variable: &Variable) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Reference { name, .. } if name != variable.name => Some(name),
        _ => None,
    };
    pieces(&variable.value).into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_circle_is_found_once_and_an_own_name_is_none() {
        let variable = |(name, value): (&str, &str)| Variable {
            name: name.into(),
            value: value.into(),
            origin: None,
        };
        let variables = [
            ("A", "$B"),
            ("B", "x${C}"),
            ("C", "$A"),
            ("D", "$A"),
            ("E", "$E"),
            ("F", "$$G"),
            ("G", "$F"),
        ]
        .map(variable);
        assert_eq!(circles(&variables), [["A", "B", "C"]]);
        assert!(circles(&variables[3..]).is_empty());
    }
}
