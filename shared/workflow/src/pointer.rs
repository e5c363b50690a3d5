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

/// The child that holds `mark`, its token, and whether the mark lies on its key. Children of a
/// parsed tree stand in order of position.
fn child_at(node: &Node, mark: Mark) -> Option<(String, &Node, bool)> {
    match &node.value {
        Value::Mapping(mapping) => {
            let entries = &mapping.entries;
            let after = entries.partition_point(|entry| entry.key_mark.start <= mark.start);
            let entry = entries.get(after.checked_sub(1)?)?;
            let on_key = entry.key_mark.holds(mark);
            let found = on_key || entry.value.mark.holds(mark);
            found.then(|| (entry.key.to_string(), &entry.value, on_key))
        }
        Value::Sequence(items) => {
            let after = items.partition_point(|item| item.mark.start <= mark.start);
            let index = after.checked_sub(1)?;
            let item = &items[index];
            item.mark.holds(mark).then(|| (index.to_string(), item, false))
        }
        _ => None,
    }
}
