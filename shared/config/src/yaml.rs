//! A YAML document as plain values with their lines; aliases and anchors are not supported.

use granit_parser::{Event, Parser, ScanError};

/// One value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// From 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, whatever its type in YAML.
    Scalar(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys with their values, in the order in which they stand.
    Mapping(Vec<(Node, Node)>),
}

/// The first document of `text`.
pub(crate) fn document(text: &str) -> Result<Option<Node>, String> {
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
