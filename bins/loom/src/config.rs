//! The `alias` key of a configuration file; other keys belong to `loom-config` and are passed by.

use std::collections::BTreeMap;
use std::path::Path;

use libloom_config::{ConfigError, Node, Value};

/// Alias names with the words they stand for.
pub(crate) type AliasWords = BTreeMap<String, Vec<String>>;

/// The aliases of `file`; none if it does not exist.
pub(crate) fn aliases(file: &Path) -> Result<AliasWords, ConfigError> {
    aliases_of(libloom_config::document(file)?).map_err(|wrong| ConfigError::Key {
        file: file.to_owned(),
        line: wrong.line,
        key: "alias".to_owned(),
        reason: wrong.reason,
    })
}

struct Wrong {
    line: usize,
    reason: String,
}

fn wrong(line: usize, reason: impl Into<String>) -> Wrong {
    Wrong { line, reason: reason.into() }
}

fn aliases_of(document: Option<Node>) -> Result<AliasWords, Wrong> {
    let mut aliases = AliasWords::new();
    let Some(Node { value: Value::Mapping(entries), .. }) = document else { return Ok(aliases) };
    let of_alias = |(key, _): &(Node, Node)| matches!(&key.value, Value::Scalar(k) if k == "alias");
    for (_, node) in entries.into_iter().filter(of_alias) {
        let Value::Mapping(entries) = node.value else {
            return Err(wrong(node.line, "expected a mapping of names to command lines"));
        };
        for (key, value) in entries {
            let Value::Scalar(name) = key.value else {
                return Err(wrong(key.line, "expected a name"));
            };
            let words = words(&name, value)?;
            if aliases.insert(name.clone(), words).is_some() {
                return Err(wrong(key.line, format!("`{name}` stands there twice")));
            }
        }
    }
    Ok(aliases)
}

/// The words of a string, split as a shell would, or of a list.
fn words(name: &str, node: Node) -> Result<Vec<String>, Wrong> {
    let line = node.line;
    let words = match node.value {
        Value::Scalar(text) => shlex::split(&text)
            .ok_or_else(|| wrong(line, format!("`{name}` has an unclosed quote")))?,
        Value::Sequence(nodes) => {
            nodes.into_iter().map(|n| word(name, n)).collect::<Result<_, _>>()?
        }
        Value::Mapping(_) => {
            return Err(wrong(line, format!("`{name}` must be a string or a list of strings")));
        }
    };
    match words.first() {
        None => Err(wrong(line, format!("`{name}` is empty"))),
        Some(first) if first.starts_with('-') => {
            Err(wrong(line, format!("`{name}` must begin with the name of a command")))
        }
        Some(_) => Ok(words),
    }
}

fn word(name: &str, node: Node) -> Result<String, Wrong> {
    match node.value {
        Value::Scalar(text) => Ok(text),
        _ => Err(wrong(node.line, format!("`{name}` must be a list of strings"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AliasWords, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yml");
        std::fs::write(&file, text).unwrap();
        let result = aliases(&file);
        result.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn strings_are_split_like_a_shell_and_lists_taken_as_they_are() {
        let text = "other: {deep: [1]}\nalias:\n  ci: run --local 'a b'\n  l: [logs, list all]\n";
        let aliases = read(text).unwrap();
        assert_eq!(aliases["ci"], ["run", "--local", "a b"]);
        assert_eq!(aliases["l"], ["logs", "list all"]);
    }

    #[test]
    fn no_file_empty_file_and_no_alias_are_no_aliases() {
        assert!(aliases(Path::new("/nowhere/config.yml")).unwrap().is_empty());
        for text in ["", "# only a comment\n", "color: never\n"] {
            assert!(read(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn wrong_shapes_name_file_and_line() {
        let cases = [
            ("alias: [a]\n", "line 1: expected a mapping"),
            ("alias:\n  a: {b: c}\n", "line 2: `a` must be a string or a list"),
            ("alias:\n  a: [[b]]\n", "line 2: `a` must be a list of strings"),
            ("alias:\n  a: ''\n", "line 2: `a` is empty"),
            ("alias:\n  a: --version\n", "line 2: `a` must begin with the name of a command"),
            ("alias:\n  a: \"b 'c\"\n", "line 2: `a` has an unclosed quote"),
            ("alias:\n  a: b\n  a: c\n", "line 3: `a` stands there twice"),
            ("alias: {a: b\n", "cannot read `/config.yml`"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("/config.yml"), "{text:?}: {error}");
        }
    }
}
