//! From a place in a file to its JSON pointer (RFC 6901).

use crate::source::Mark;
use crate::tree::{Node, Value};

/// Pointer to the smallest value of `tree` that holds `mark`; a key counts to its value.
pub(crate) fn pointer_to(tree: &Node, mark: Mark) -> String {
    let mut pointer = String::new();
    let mut node = tree;
    while node.mark != mark {
        let Some((token, child, ends)) = child_at(node, mark) else { break };
        pointer.push('/');
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        if ends {
            break;
        }
        node = child;
    }
    pointer
}

/// The child that `mark` belongs to, its token, and whether the pointer ends there: the mark lies on
/// its key, or before its value (an anchor, a tag). Children of a parsed tree stand in order of
/// position.
fn child_at(node: &Node, mark: Mark) -> Option<(String, &Node, bool)> {
    match &node.value {
        Value::Mapping(mapping) => {
            let entries = &mapping.entries;
            let after = entries.partition_point(|entry| entry.key_mark.start <= mark.start);
            let entry = entries.get(after.checked_sub(1)?)?;
            let above = mark.end <= entry.value.mark.start || entry.key_mark.holds(mark);
            let found = above || entry.value.mark.holds(mark);
            found.then(|| (entry.key.to_string(), &entry.value, above))
        }
        Value::Sequence(items) => {
            let after = items.partition_point(|item| item.mark.start <= mark.start);
            let before = after.checked_sub(1).filter(|index| items[*index].mark.holds(mark));
            let index = before.unwrap_or(after);
            let item = items.get(index)?;
            (before.is_some() || node.mark.holds(mark))
                .then(|| (index.to_string(), item, before.is_none()))
        }
        _ => None,
    }
}
