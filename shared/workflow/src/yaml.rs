//! YAML text to a spanned tree, strictly: anchors, aliases, tags, merge keys, directives, a second
//! document and repeated keys are problems, each with its place.
//!
//! The parser's events are folded with an explicit stack (no recursion, so no input can overflow
//! it). Its spans have quirks that are mended here: a missing value has an empty span elsewhere,
//! a list under an unindented key starts behind its first dash, block scalars end too late.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use crate::blocks::{self, Recovered};
use crate::problem::{Problem, code};
use crate::source::{FileId, Mark, as_u32};
use crate::syntax_error;
use crate::tree::{Entry, Mapping, Node, Scalar, Style, Value};

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most values of one file: what a value takes in memory is many times what it takes in the file.
pub const MAX_VALUES: usize = 250_000;
/// Most entries of one list.
pub const MAX_ENTRIES: usize = 10_000;
/// Longest key, as YAML has it for those without `?`: the pointer of every problem below holds it.
pub const MAX_KEY: usize = 1024;
/// Deepest nesting of collections.
pub const MAX_NESTING: usize = 64;

/// Checks that bytes are text that can be parsed at all.
///
/// The error is the readable part of the text and what is wrong with the rest.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, (String, NotText)> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        let fix = "split it into includes";
        return Err((String::new(), NotText { at: 0, code: code::LIMIT, message, fix }));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
        let message = format!("byte {at} is not UTF-8");
        (valid, NotText { at, code: code::YAML_SYNTAX, message, fix: "save the file as UTF-8" })
    })?;
    let unwanted = |(at, c): (usize, char)| match c {
        '\0' => Some((at, "a NUL character".to_owned())),
        '\u{feff}' if at > 0 => Some((at, "a byte order mark inside the file".to_owned())),
        '\t' | '\n' | '\r' => None,
        c if c < ' ' => Some((at, format!("the control character U+{:04X}", u32::from(c)))),
        _ => None,
    };
    match text.char_indices().find_map(unwanted) {
        None => Ok(text),
        Some((at, what)) => {
            let message = format!("{what} is not allowed");
            Err((text, NotText { at, code: code::YAML_SYNTAX, message, fix: "remove it" }))
        }
    }
}

/// What makes a file no text.
pub(crate) struct NotText {
    pub(crate) at: usize,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) fix: &'static str,
}

/// What a file holds.
pub(crate) struct Read {
    /// Absent where nothing of it can be read, or where it holds no document.
    pub(crate) root: Option<Node>,
    pub(crate) problems: Vec<Problem>,
    /// `false`: something may stand in it that is not in `root`, not even as a refused value.
    pub(crate) complete: bool,
}

/// Reads a file, with a syntax error as much of it as can be.
pub(crate) fn read(file: FileId, text: &str) -> Read {
    let (root, problems) = parse(file, text);
    if root.is_some() || problems.is_empty() {
        return Read { root, problems, complete: true };
    }
    match blocks::recover(file, text) {
        None => Read { root, problems, complete: false },
        Some(Recovered { root, problems, all_named }) => {
            Read { root: Some(root), problems, complete: all_named }
        }
    }
}

/// Parses a text. Without a tree there is a problem, or the text holds no document.
pub(crate) fn parse(file: FileId, text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        block_nesting_limit: MAX_NESTING,
        flow_nesting_limit: MAX_NESTING,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(file, text);
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => return builder.stop(&error),
        }
        if builder.frames.len() > MAX_NESTING {
            return builder.too_deep();
        }
        if builder.documents > 1 {
            break;
        }
    }
    (builder.root, builder.problems)
}

enum Frame {
    Sequence {
        start: usize,
        block: bool,
        items: Vec<Node>,
        /// That there are too many entries was told.
        full: bool,
    },
    Mapping {
        start: usize,
        block: bool,
        entries: Vec<Entry>,
        pending: Option<Key>,
        broken: bool,
        seen: HashMap<Box<str>, Mark>,
    },
}

impl Frame {
    fn start(&self) -> usize {
        match self {
            Frame::Sequence { start, .. } | Frame::Mapping { start, .. } => *start,
        }
    }
}

/// A key that waits for its value.
struct Key {
    name: Name,
    mark: Mark,
}

enum Name {
    Text(Box<str>),
    /// There already, or too long: dropped with its value.
    Dropped,
    /// No key at all: what its mapping holds is not known, so nothing is said about it.
    Refused,
}

struct Builder<'t> {
    file: FileId,
    text: &'t str,
    frames: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
    values: usize,
    problems: Vec<Problem>,
}

impl<'t> Builder<'t> {
    fn new(file: FileId, text: &'t str) -> Self {
        Builder {
            file,
            text,
            frames: Vec::new(),
            root: None,
            documents: 0,
            values: 0,
            problems: Vec::new(),
        }
    }

    fn mark(&self, start: usize, end: usize) -> Mark {
        Mark { file: self.file, start: as_u32(start), end: as_u32(end) }
    }

    fn range(&self, span: &Span) -> (usize, usize) {
        let range = span.byte_range().unwrap_or_default();
        (range.start.min(self.text.len()), range.end.min(self.text.len()))
    }

    fn mark_of(&self, span: &Span) -> Mark {
        let (start, end) = self.range(span);
        self.mark(start, end)
    }

    fn refuse(&mut self, mark: Mark, message: impl Into<String>, fix: impl Into<String>) {
        self.problems.push(Problem::error(mark, message).code(code::YAML_UNSUPPORTED).fix(fix));
    }

    fn limit(&mut self, mark: Mark, message: String, fix: &str) {
        self.problems.push(Problem::error(mark, message).code(code::LIMIT).fix(fix));
    }

    fn stop(mut self, error: &ScanError) -> (Option<Node>, Vec<Problem>) {
        self.problems.push(syntax_error::describe(self.file, self.text, error));
        (None, self.problems)
    }

    /// The parser counts collections in brackets and those without apart.
    fn too_deep(mut self) -> (Option<Node>, Vec<Problem>) {
        let start = self.frames.last().map_or(0, Frame::start);
        let mark = self.mark(start, start);
        self.limit(mark, format!("nested more than {MAX_NESTING} levels deep"), "flatten it");
        (None, self.problems)
    }

    fn event(&mut self, event: Event<'_>, span: Span) {
        match event {
            Event::DocumentStart(..) => self.document(&span),
            Event::Scalar(text, style, _, tag) => {
                let node = self.scalar(&text, style, &span);
                match tag {
                    Some(_) => self.tagged(&span, node),
                    None => self.place(node),
                }
            }
            Event::SequenceStart(style, _, tag) => {
                self.refuse_tag(tag.is_some(), &span);
                let start = self.sequence_start(style, &span);
                let block = style == StructureStyle::Block;
                self.frames.push(Frame::Sequence { start, block, items: Vec::new(), full: false });
            }
            Event::MappingStart(style, _, tag) => {
                self.refuse_tag(tag.is_some(), &span);
                let (start, block) = (self.range(&span).0, style == StructureStyle::Block);
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.frames.push(Frame::Mapping {
                    start,
                    block,
                    entries,
                    pending: None,
                    broken: false,
                    seen,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            Event::Anchor(_, name) => {
                let mark = self.mark_of(&span);
                self.refuse(
                    mark,
                    format!("YAML anchors are not allowed (\"&{name}\")"),
                    "use a template job and `extends`",
                );
            }
            Event::Alias(_) => {
                let mark = self.mark_of(&span);
                self.refuse(
                    mark,
                    "YAML aliases are not allowed",
                    "use a template job and `extends`",
                );
                self.place(Node::new(Value::Refused, mark));
            }
            Event::UnresolvedAlias(name) => self.unresolved_alias(&name, &span),
            _ => {}
        }
    }

    fn document(&mut self, span: &Span) {
        self.documents += 1;
        if self.documents > 1 {
            let mark = self.mark_of(span);
            self.refuse(mark, "a second YAML document is not allowed", "keep one document a file");
        }
    }

    fn unresolved_alias(&mut self, name: &str, span: &Span) {
        let mark = self.mark_of(span);
        let problem = Problem::error(
            mark,
            format!("\"*{name}\" is read as a YAML alias, which is not allowed"),
        )
        .code(code::YAML_UNSUPPORTED)
        .fix(format!("quote it: \"*{name}\""))
        .edit(mark, format!("\"*{name}\""));
        self.problems.push(problem);
        self.place(Node::new(Value::Refused, mark));
    }

    fn refuse_tag(&mut self, tagged: bool, span: &Span) {
        if tagged {
            let mark = span.tag_span().map_or(self.mark_of(span), |tag| self.mark_of(&tag));
            self.refuse(mark, "YAML tags are not allowed", "remove the tag");
        }
    }

    /// A tagged scalar: `!cond` is mostly a value that needed quotes.
    fn tagged(&mut self, span: &Span, node: Node) {
        let tag = span.tag_span().map_or(node.mark, |tag| self.mark_of(&tag));
        let end = if node.mark.end > tag.end && !matches!(node.value, Value::Empty) {
            node.mark.end
        } else {
            tag.end
        };
        let written = &self.text[tag.start as usize..(end as usize).max(tag.start as usize)];
        let mut problem = Problem::error(
            tag,
            "a value that starts with \"!\" is read as a YAML tag, which is not allowed",
        )
        .code(code::YAML_UNSUPPORTED);
        let one_line = !written.contains(['\n', '\'', '"']) && !written.starts_with("!!");
        problem = if one_line {
            let whole = Mark { end, ..tag };
            problem.fix(format!("quote it: '{written}'")).edit(whole, format!("'{written}'"))
        } else {
            problem.fix("remove the tag, or quote the value")
        };
        self.problems.push(problem);
        let mark = Mark { end: end.max(tag.end), ..tag };
        self.place(Node { value: Value::Refused, mark, ..node });
    }

    fn scalar(&self, text: &str, style: ScalarStyle, span: &Span) -> Node {
        let (start, end) = self.range(span);
        if style == ScalarStyle::Plain && start == end {
            return Node::new(Value::Empty, self.empty_mark(start));
        }
        let (style, end) = match style {
            ScalarStyle::Plain => (Style::Plain, end),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => (Style::Quoted, end),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                (Style::Block, start + self.text[start..end].trim_end().len())
            }
        };
        let value = Value::Scalar(Scalar { text: text.into(), style });
        Node::new(value, if end > start { self.mark(start, end) } else { self.empty_mark(start) })
    }

    /// Where a missing value is shown: its key, or the dash before it.
    fn empty_mark(&self, at: usize) -> Mark {
        if let Some(Frame::Mapping { pending: Some(key), .. }) = self.frames.last() {
            return key.mark;
        }
        let before = self.text[..at].trim_end();
        match before.ends_with('-') && !self.frames.is_empty() {
            true => self.mark(before.len() - 1, before.len()),
            false => self.mark(at, at),
        }
    }

    /// Steps back to the dash of a list whose key is not indented less than it.
    fn sequence_start(&self, style: StructureStyle, span: &Span) -> usize {
        let start = self.range(span).0;
        let before = self.text[..start].trim_end_matches([' ', '\t']);
        let at_dash = self.text[start..].starts_with("- ");
        if style == StructureStyle::Block && !at_dash && before.ends_with('-') {
            return before.len() - 1;
        }
        start
    }

    fn close(&mut self, span: &Span) {
        let end = self.range(span).1;
        let Some(frame) = self.frames.pop() else { return };
        // A vector starts with room for four; most mappings and lists hold less.
        let node = match frame {
            Frame::Sequence { start, block, mut items, .. } => {
                items.shrink_to_fit();
                let end = self.end_of(start, block, end, items.last());
                Node::new(Value::Sequence(items), self.mark(start, end))
            }
            Frame::Mapping { start, block, mut entries, broken, .. } => {
                entries.shrink_to_fit();
                let end = self.end_of(start, block, end, entries.last().map(|entry| &entry.value));
                let mapping = Value::Mapping(Mapping { entries });
                Node::new(if broken { Value::Refused } else { mapping }, self.mark(start, end))
            }
        };
        self.place(node);
    }

    /// A flow collection ends at its bracket, a block collection with its last child; where that
    /// is a missing value, with the colon, so that a mapping is never just its key.
    fn end_of(&self, start: usize, block: bool, end: usize, last: Option<&Node>) -> usize {
        match last {
            Some(child) if block => {
                let end = (child.mark.end as usize).max(start);
                let colon =
                    matches!(child.value, Value::Empty) && self.text[end..].starts_with(':');
                end + usize::from(colon)
            }
            _ => end.max(start),
        }
    }

    /// Puts a finished node where it belongs: the root, a list, or a mapping's key or value.
    fn place(&mut self, node: Node) {
        self.values += 1;
        let too_many = self.values > MAX_VALUES && !self.frames.is_empty();
        if self.values == MAX_VALUES + 1 {
            let message = format!("the file holds more than {MAX_VALUES} values");
            self.limit(node.mark, message, "split it into includes");
        }
        match self.frames.last_mut() {
            None if self.root.is_none() => self.root = Some(node),
            None => {}
            Some(Frame::Sequence { .. }) if too_many => {}
            Some(Frame::Mapping { pending, .. }) if too_many => {
                let key = Key { name: Name::Dropped, mark: node.mark };
                *pending = if pending.is_some() { None } else { Some(key) };
            }
            Some(Frame::Sequence { items, full, .. }) => {
                if items.len() < MAX_ENTRIES {
                    items.push(node);
                } else if !std::mem::replace(full, true) {
                    let message = format!("a list has more than {MAX_ENTRIES} entries");
                    self.limit(node.mark, message, "split it");
                }
            }
            Some(Frame::Mapping { pending, .. }) if pending.is_none() => {
                let key = self.key(&node);
                if let Some(Frame::Mapping { pending, .. }) = self.frames.last_mut() {
                    *pending = Some(key);
                }
            }
            Some(Frame::Mapping { entries, pending, broken, .. }) => {
                let key = pending.take().expect("the arm above handles a missing key");
                match key.name {
                    Name::Text(key_text) => {
                        entries.push(Entry { key: key_text, key_mark: key.mark, value: node });
                    }
                    Name::Dropped => {}
                    Name::Refused => *broken = true,
                }
            }
        }
    }

    fn key(&mut self, node: &Node) -> Key {
        let mark = node.mark;
        let name = match &node.value {
            Value::Scalar(scalar) if &*scalar.text == "<<" && scalar.style == Style::Plain => {
                self.refuse(mark, "YAML merge keys are not allowed", "use `extends`");
                Name::Refused
            }
            Value::Scalar(scalar) if scalar.text.len() > MAX_KEY => {
                let message = format!("a key is longer than {MAX_KEY} bytes");
                self.limit(mark, message, "shorten it");
                Name::Dropped
            }
            Value::Scalar(scalar) if self.is_repeated(&scalar.text, mark) => Name::Dropped,
            Value::Scalar(scalar) => Name::Text(scalar.text.clone()),
            Value::Refused => Name::Refused,
            Value::Empty => {
                self.refuse(mark, "a key is missing before \":\"", "write a key");
                Name::Refused
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                self.collection_as_key(mark);
                Name::Refused
            }
        };
        Key { name, mark }
    }

    fn collection_as_key(&mut self, mark: Mark) {
        let written = &self.text[mark.start as usize..mark.end as usize];
        if written.starts_with('{') {
            let start = self.text[..mark.start as usize].rfind('{').unwrap_or(mark.start as usize);
            let place = Mark { start: as_u32(start), ..mark };
            self.refuse(
                place,
                "\"{{ … }}\" is read as a YAML mapping",
                "quote the value; Loom has no template syntax but `$NAME`",
            );
        } else {
            self.refuse(mark, "a key must be a string", "quote it");
        }
    }

    fn is_repeated(&mut self, text: &str, mark: Mark) -> bool {
        let Some(Frame::Mapping { seen, .. }) = self.frames.last_mut() else { return false };
        let Some(first) = seen.get(text).copied() else {
            seen.insert(text.into(), mark);
            return false;
        };
        self.problems.push(duplicate_key(text, mark, first));
        true
    }
}

/// The problem of a key that stands twice in a mapping.
pub(crate) fn duplicate_key(key: &str, mark: Mark, first: Mark) -> Problem {
    Problem::error(mark, format!("duplicate key \"{key}\""))
        .code(code::DUPLICATE_KEY)
        .fix("remove one of the two")
        .about(first)
        .related(first, "first defined here")
}

/// A value as it can be written in a double-quoted scalar.
pub(crate) fn quoted(text: &str) -> Cow<'static, str> {
    Cow::Owned(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
