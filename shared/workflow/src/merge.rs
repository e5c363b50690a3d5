//! Deep merge: mappings merge key by key, everything else is replaced.

use std::collections::HashMap;

use crate::tree::{Entry, Mapping, Node, Value};

/// `over` laid on `base`. What is replaced stays reachable as `under`.
pub(crate) fn merge(base: Node, over: Node) -> Node {
    match (base.value, over.value) {
        (Value::Mapping(low), Value::Mapping(high)) => Node {
            value: Value::Mapping(merge_mappings(low, high)),
            mark: over.mark,
            stratum: over.stratum,
            under: over.under,
        },
        (low, high) => {
            let replaced = Node { value: low, ..base };
            let under = Some(Box::new(bury(replaced, over.under)));
            Node { value: high, under, ..over }
        }
    }
}

/// Most layers kept below a value; hostile chains of templates could double them at each step.
const MAX_UNDER: usize = 64;

/// Puts `node` below everything that is already buried under `above`.
fn bury(node: Node, above: Option<Box<Node>>) -> Node {
    let Some(mut top) = above else { return node };
    let mut depth = 0;
    let mut lowest = &mut *top;
    while lowest.under.is_some() && depth < MAX_UNDER {
        depth += 1;
        lowest = lowest.under.as_mut().expect("just seen");
    }
    if depth < MAX_UNDER {
        lowest.under = Some(Box::new(node));
    }
    *top
}

/// Keys of `low` keep their place, new ones follow.
pub(crate) fn merge_mappings(low: Mapping, high: Mapping) -> Mapping {
    if low.entries.is_empty() {
        return high;
    }
    let mut entries: Vec<Option<Entry>> = low.entries.into_iter().map(Some).collect();
    let places: HashMap<Box<str>, usize> = entries
        .iter()
        .flatten()
        .enumerate()
        .map(|(place, entry)| (entry.key.clone(), place))
        .collect();
    for entry in high.entries {
        match places.get(&entry.key).and_then(|place| entries.get_mut(*place)) {
            Some(slot) => {
                let merged = slot.take().map(|below| merge_entries(below, entry));
                *slot = merged;
            }
            None => entries.push(Some(entry)),
        }
    }
    Mapping { entries: entries.into_iter().flatten().collect() }
}

fn merge_entries(below: Entry, above: Entry) -> Entry {
    Entry { value: merge(below.value, above.value), ..above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileId, Mark};
    use crate::tree::{Scalar, Style};

    fn scalar(text: &str) -> Node {
        let value = Value::Scalar(Scalar { text: text.into(), style: Style::Plain });
        Node::new(value, Mark { file: FileId(0), start: 0, end: 0 })
    }

    fn texts(node: &Node) -> Vec<&str> {
        let nodes = std::iter::successors(Some(node), |node| node.under.as_deref());
        nodes.filter_map(Node::as_text).collect()
    }

    #[test]
    fn what_is_replaced_lies_below_in_order_up_to_a_limit() {
        let three = merge(merge(scalar("a"), scalar("b")), merge(scalar("c"), scalar("d")));
        assert_eq!(texts(&three), ["d", "c", "b", "a"]);
        let many = (0..100).fold(scalar("top"), |top, i| merge(scalar(&i.to_string()), top));
        let found = texts(&many);
        assert_eq!((found.len(), found[1], found[MAX_UNDER + 1]), (MAX_UNDER + 2, "0", "64"));
    }
}
