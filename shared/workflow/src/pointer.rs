//! From a place in a file to its JSON pointer (RFC 6901).

use crate::source::Mark;
use crate::tree::{Node, Value};

/// Pointer to the smallest value of `tree` that holds `mark`; a key counts to its value, and so
/// does a tag or an anchor before it.
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

/// The value that stands at `mark`, but for its key.
pub(crate) fn value_at(tree: &Node, mark: Mark) -> Option<&Node> {
    let mut node = tree;
    while node.mark != mark {
        node = child_at(node, mark).filter(|(_, _, ends)| !ends)?.1;
    }
    Some(node)
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
            let before = entry.key_mark.end <= mark.start && mark.end <= entry.value.mark.start;
            let on_key = entry.key_mark.holds(mark) || before;
            let found = on_key || entry.value.mark.holds(mark);
            found.then(|| (entry.key.to_string(), &entry.value, on_key))
        }
        Value::Sequence(items) => {
            let after = items.partition_point(|item| item.mark.start <= mark.start);
            let holds = |index: &usize| items[*index].mark.holds(mark);
            let before = |item: &Node| mark.end <= item.mark.start;
            match after.checked_sub(1).filter(holds) {
                Some(index) => Some((index.to_string(), &items[index], false)),
                None => {
                    let next = items.get(after).filter(|item| before(item))?;
                    Some((after.to_string(), next, true))
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;
    use crate::yaml;

    /// The pointer to the `length` bytes at the first `word` of a text.
    fn pointer(text: &str, word: &str) -> String {
        let tree = yaml::parse(FileId(0), text).0.unwrap();
        let at = text.find(word).unwrap();
        let mark = |at: usize| u32::try_from(at).unwrap();
        pointer_to(&tree, Mark { file: FileId(0), start: mark(at), end: mark(at + word.len()) })
    }

    #[test]
    fn a_place_belongs_to_the_smallest_value_around_it() {
        let text = "a: [x, yy, {k: z}]\nb:\n  c/d~: 1\n  e: !t f\ng: &h [i, &j k]\n";
        for (word, expected) in [
            ("a", "/a"),
            ("[x, yy, {k: z}]", "/a"),
            ("x", "/a/0"),
            ("yy", "/a/1"),
            ("y", "/a/1"),
            ("k", "/a/2/k"),
            ("z", "/a/2/k"),
            (", {", "/a"),
            ("c/d~", "/b/c~1d~0"),
            ("1", "/b/c~1d~0"),
            ("!t", "/b/e"),
            ("f", "/b/e"),
            ("&h", "/g"),
            ("i", "/g/0"),
            ("&j", "/g/1"),
            ("k]", "/g"),
            ("1\n  e", "/b"),
        ] {
            assert_eq!(pointer(text, word), expected, "{word:?}");
        }
    }
}
