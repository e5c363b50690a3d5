//! From a place in a file to its JSON pointer (RFC 6901).

use crate::source::Mark;
use crate::tree::{Node, Value};

/// Pointer to the smallest value of `tree` that holds `mark`; a key counts to its value.
pub(crate) fn pointer_to(tree: &Node, mark: Mark) -> String {
    let mut pointer = String::new();
    let mut node = tree;
    while node.mark != mark {
        let Some((token, child, on_key)) = child_at(node, mark) else { break };
        pointer.push('/');
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        if on_key {
            break;
        }
        node = child;
    }
    pointer
}

/// The child that holds `mark`, its token, and whether the mark lies on its key.
fn child_at(node: &Node, mark: Mark) -> Option<(String, &Node, bool)> {
    match &node.value {
        Value::Mapping(mapping) => mapping.iter().find_map(|entry| {
            let on_key = entry.key_mark.holds(mark);
            let found = on_key || entry.value.mark.holds(mark);
            found.then(|| (entry.key.to_string(), &entry.value, on_key))
        }),
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .find(|(_, item)| item.mark.holds(mark))
            .map(|(index, item)| (index.to_string(), item, false)),
        _ => None,
    }
}
