//! Every key that a configuration file may hold, and the walk that refuses all others.

use libloom_entry::nearest;

use crate::{Node, Value};

/// Keys whose values are for their readers to judge, names between dots.
const KEYS: [&str; 7] = [
    "alias",
    "providers.keepass.aliases",
    "providers.op.serviceAccountTokenEnv",
    "runtime.docker.workspaceMount",
    "runtime.docker.workspaceSync",
    "runtime.output.maxBytes",
    "snapshot.dir",
];

/// What is wrong with a key.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// The values of the known keys of a document.
pub(crate) fn values(document: &Node) -> Result<Vec<(String, &Node)>, Wrong> {
    let mut found = Vec::new();
    collect("", document, &mut found)?;
    Ok(found)
}

fn collect<'n>(
    above: &str,
    node: &'n Node,
    found: &mut Vec<(String, &'n Node)>,
) -> Result<(), Wrong> {
    let wrong = |line, key: &str, reason: &str| {
        Err(Wrong { line, key: key.to_owned(), reason: reason.to_owned() })
    };
    let entries = match &node.value {
        Value::Mapping(entries) => entries,
        // `snapshot:` with everything below it commented out.
        Value::Scalar(text) if text.is_empty() || text == "~" || text == "null" => return Ok(()),
        _ => return wrong(node.line, above, "expected a mapping of keys to values"),
    };
    for (key, value) in entries {
        let Value::Scalar(name) = &key.value else {
            return wrong(key.line, above, "expected a name as key");
        };
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if found.iter().any(|(known, _)| *known == path) {
            return wrong(key.line, &path, "it stands there twice");
        }
        if KEYS.contains(&path.as_str()) {
            found.push((path, value));
        } else if KEYS.iter().any(|known| is_below(known, &path)) {
            collect(&path, value, found)?;
        } else {
            return wrong(key.line, &path, &unknown(above, name));
        }
    }
    Ok(())
}

fn is_below(known: &str, path: &str) -> bool {
    known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// The words for a key that nothing reads.
fn unknown(above: &str, name: &str) -> String {
    let below = |known: &'static str| match above {
        "" => Some(known),
        _ => known.strip_prefix(above)?.strip_prefix('.'),
    };
    let mut names: Vec<&str> =
        KEYS.iter().filter_map(|known| below(known)?.split('.').next()).collect();
    names.dedup();
    let near = nearest(name, names.iter().map(ToString::to_string));
    match near.first() {
        Some(near) => format!("no such key; did you mean `{near}`?"),
        None => format!("no such key; known here: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let node = yaml::document(text).unwrap().unwrap();
        let found = values(&node).map_err(|w| format!("{} {}: {}", w.line, w.key, w.reason))?;
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }

    #[test]
    fn known_keys_are_found_and_groups_may_be_empty() {
        let text =
            "snapshot:\n  dir: /x\nruntime: {output: {maxBytes: 1}, docker: }\nalias: {a: b}\n";
        assert_eq!(read(text).unwrap(), ["snapshot.dir", "runtime.output.maxBytes", "alias"]);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        for (text, expected) in [
            ("snapshots: {dir: x}\n", "1 snapshots: no such key; did you mean `snapshot`?"),
            ("snapshot:\n  path: x\n", "2 snapshot.path: no such key; known here: dir"),
            ("runtime: {output: {maxbytes: 1}}\n", "did you mean `maxBytes`?"),
            ("snapshot: [a]\n", "1 snapshot: expected a mapping"),
            ("- a\n", "1 : expected a mapping"),
            ("snapshot: {dir: a, dir: b}\n", "snapshot.dir: it stands there twice"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
