//! The `alias` key of a configuration file; other keys belong to `loom-config` and are passed by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScanError};

/// Alias names with the words they stand for.
pub(crate) type AliasWords = BTreeMap<String, Vec<String>>;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read `{file}`")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("cannot read `{file}`: {reason}")]
    Syntax { file: PathBuf, reason: String },
    #[error("cannot use `alias` in `{file}`, line {line}: {reason}")]
    Alias { file: PathBuf, line: usize, reason: String },
}

/// The aliases of `file`; none if it does not exist.
pub(crate) fn aliases(file: &Path) -> Result<AliasWords, ConfigError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if is_absent(&error) => return Ok(AliasWords::new()),
        Err(source) => return Err(ConfigError::Read { file: file.to_owned(), source }),
    };
    let syntax = |reason| ConfigError::Syntax { file: file.to_owned(), reason };
    let document = document(&text).map_err(syntax)?;
    aliases_of(document).map_err(|wrong| ConfigError::Alias {
        file: file.to_owned(),
        line: wrong.line,
        reason: wrong.reason,
    })
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

struct Node {
    line: usize,
    value: Value,
}

enum Value {
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
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

/// The first document of `text`.
fn document(text: &str) -> Result<Option<Node>, String> {
    let mut events = Parser::new_from_str(text);
    while let Some(event) = events.next() {
        if let (Event::DocumentStart(..), _) = event.map_err(|error| error.to_string())? {
            return node(&mut events);
        }
    }
    Ok(None)
}

/// The next node, or `None` at the end of a collection. The parser's own nesting limit keeps the
/// recursion shallow.
fn node<'t>(
    events: &mut impl Iterator<Item = Result<(Event<'t>, granit_parser::Span), ScanError>>,
) -> Result<Option<Node>, String> {
    let Some(event) = events.next() else { return Ok(None) };
    let (event, span) = event.map_err(|error| error.to_string())?;
    let line = span.start.line();
    let value = match event {
        Event::Scalar(text, ..) => Value::Scalar(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut nodes = Vec::new();
            while let Some(item) = node(events)? {
                nodes.push(item);
            }
            Value::Sequence(nodes)
        }
        Event::MappingStart(..) => {
            let mut entries = Vec::new();
            while let Some(key) = node(events)? {
                let value = node(events)?.ok_or("a key without a value")?;
                entries.push((key, value));
            }
            Value::Mapping(entries)
        }
        Event::Alias(_) => return Err(format!("line {line}: YAML aliases are not supported")),
        _ => return Ok(None),
    };
    Ok(Some(Node { line, value }))
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
