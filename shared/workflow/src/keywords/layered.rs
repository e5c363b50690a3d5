//! A job's variables together with what a matrix and rules lay above them.
//!
//! Only of jobs that run: a template may hold half of a circle that no job closes.

use std::collections::{HashMap, HashSet};

use libloom_contract::graph::{Node as GraphNode, Variable};
use libloom_variables::{circles, put};

use crate::check::Checker;
use crate::keywords::parallel::Copies;
use crate::keywords::variables::{check_cycles, note_cycle, note_overlap, warn_useless};
use crate::source::Mark;
use crate::tree::{Mapping, Node};

/// Name, value and place of a value that lies above the job's own.
type Above<'a> = (&'a str, &'a str, Mark);

/// Notes circles among all values that can come together, and names that are secrets too; warns of
/// variables that come to nothing.
pub(crate) fn check(check: &mut Checker<'_>, node: &GraphNode, fields: &Mapping, copies: &Copies) {
    let none = Mapping::default();
    let own = fields.get("variables").and_then(Node::as_mapping).unwrap_or(&none);
    check_cycles(check, &node.variables, own);
    let layers: Vec<Vec<Above<'_>>> = of_copies(copies).chain(of_rules(fields)).collect();
    let secrets = fields.get("secrets").and_then(Node::as_mapping).unwrap_or(&none);
    let secrets: HashMap<&str, Mark> =
        secrets.iter().map(|entry| (&*entry.key, entry.key_mark)).collect();
    let mut above: HashSet<&str> = HashSet::new();
    for layer in &layers {
        for (name, _, mark) in layer {
            if let (true, Some(secret)) = (above.insert(name), secrets.get(name)) {
                note_overlap(check, name, *secret, *mark);
            }
        }
        check_layer(check, &node.variables, layer);
    }
    warn_useless(check, &node.variables, own, &above);
}

fn of_copies(copies: &Copies) -> impl Iterator<Item = Vec<Above<'_>>> {
    copies.copies.iter().map(|copy| {
        copy.values.iter().map(|(name, value, mark)| (&**name, &**value, *mark)).collect()
    })
}

fn of_rules(fields: &Mapping) -> impl Iterator<Item = Vec<Above<'_>>> {
    let rules = fields.get("rules").and_then(Node::as_sequence).unwrap_or_default();
    let variables =
        rules.iter().filter_map(|rule| rule.as_mapping()?.get("variables")?.as_mapping());
    variables.map(|variables| {
        let above = variables
            .iter()
            .filter_map(|entry| Some((&*entry.key, entry.value.as_string()?, entry.value.mark)));
        above.collect()
    })
}

/// Notes circles that this layer closes.
fn check_layer(check: &mut Checker<'_>, below: &[Variable], layer: &[Above<'_>]) {
    let refers = layer.iter().any(|(_, value, _)| value.contains('$'));
    if !refers || !check.take(below.len()) {
        return;
    }
    let mut variables = below.to_vec();
    for (name, value, _) in layer {
        put(&mut variables, name, value, None);
    }
    for members in circles(&variables) {
        if let Some((_, _, mark)) = layer.iter().find(|(name, _, _)| members.contains(name)) {
            note_cycle(check, &members, *mark);
        }
    }
}
