//! The spanned tree that a YAML file becomes: every key and value knows its place.
//!
//! After merging, a node also knows the layer it comes from and the node it replaced (`under`),
//! so that own-name references in variables can be folded and values explained.

use std::rc::Rc;

use libloom_contract::graph::Layer;

use crate::source::Mark;

/// Which layer a node comes from, with the template's name for [`Layer::Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stratum {
    pub(crate) layer: Layer,
    pub(crate) template: Option<Rc<str>>,
}

impl Stratum {
    pub(crate) fn of(layer: Layer) -> Self {
        Stratum { layer, template: None }
    }
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) mark: Mark,
    pub(crate) stratum: Stratum,
    /// What a lower layer had in its place.
    pub(crate) under: Option<Box<Node>>,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing was written.
    Empty,
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Mapping),
    /// Something refused already; checks pass over it in silence.
    Refused,
}

/// A scalar as text; only a plain one can be anything but a string.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: Box<str>,
    pub(crate) style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

/// The type of a value, by the YAML 1.2 core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Sequence,
    Mapping,
    Refused,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Sequence => "sequence",
            Kind::Mapping => "mapping",
            Kind::Refused => "nothing usable",
        }
    }
}

impl Node {
    pub(crate) fn new(value: Value, mark: Mark) -> Self {
        Node { value, mark, stratum: Stratum::of(Layer::Job), under: None }
    }

    pub(crate) fn kind(&self) -> Kind {
        match &self.value {
            Value::Empty => Kind::Null,
            Value::Scalar(scalar) => scalar.kind(),
            Value::Sequence(_) => Kind::Sequence,
            Value::Mapping(_) => Kind::Mapping,
            Value::Refused => Kind::Refused,
        }
    }

    pub(crate) fn as_mapping(&self) -> Option<&Mapping> {
        if let Value::Mapping(mapping) = &self.value { Some(mapping) } else { None }
    }

    pub(crate) fn as_sequence(&self) -> Option<&[Node]> {
        if let Value::Sequence(items) = &self.value { Some(items) } else { None }
    }

    /// The text of a scalar of any type.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Value::Scalar(scalar) = &self.value { Some(&scalar.text) } else { None }
    }

    /// The text of a string.
    pub(crate) fn as_string(&self) -> Option<&str> {
        if self.kind() == Kind::String { self.as_text() } else { None }
    }

    pub(crate) fn is_block_scalar(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.style == Style::Block)
    }

    /// How much it holds, with what it replaced: a value is one, a long text more.
    pub(crate) fn size(&self) -> usize {
        let under = self.under.as_ref().map_or(0, |under| under.size());
        1 + under
            + match &self.value {
                Value::Scalar(scalar) => scalar.text.len() / 64,
                Value::Sequence(items) => items.iter().map(Node::size).sum(),
                Value::Mapping(mapping) => mapping.iter().map(|entry| entry.value.size()).sum(),
                Value::Empty | Value::Refused => 0,
            }
    }

    /// Moves this node and all below it, of a tree just parsed, by some bytes.
    pub(crate) fn shift(&mut self, by: u32) {
        self.mark = self.mark.shifted(by);
        match &mut self.value {
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Mapping(mapping) => {
                for entry in &mut mapping.entries {
                    entry.key_mark = entry.key_mark.shifted(by);
                    entry.value.shift(by);
                }
            }
            _ => {}
        }
    }

    /// Says of this node and all below it which layer they come from.
    pub(crate) fn stamp(&mut self, stratum: &Stratum) {
        self.stratum = stratum.clone();
        if let Some(under) = &mut self.under {
            under.stamp(stratum);
        }
        match &mut self.value {
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.stamp(stratum)),
            Value::Mapping(mapping) => {
                mapping.entries.iter_mut().for_each(|entry| entry.value.stamp(stratum));
            }
            _ => {}
        }
    }
}

impl Scalar {
    fn kind(&self) -> Kind {
        if self.style != Style::Plain {
            return Kind::String;
        }
        match &*self.text {
            "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Boolean,
            text if is_number(text) => Kind::Number,
            _ => Kind::String,
        }
    }
}

/// Integers and floats of the core schema.
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let digits = unsigned.bytes().any(|b| b.is_ascii_digit());
    starts && digits && unsigned.parse::<f64>().is_ok()
}

/// One key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) key_mark: Mark,
    pub(crate) value: Node,
}

/// Entries in order of writing; keys are unique.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    pub(crate) entries: Vec<Entry>,
}

impl Mapping {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| &*entry.key == key)?;
        Some(self.entries.remove(at))
    }
}
