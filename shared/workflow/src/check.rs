//! What every keyword's check is made of: typed access to nodes that notes a problem and goes on.

use std::collections::{BTreeMap, HashMap, HashSet};

use libloom_contract::graph::Expression;
use libloom_rules::SyntaxError;

use crate::names::nearest;
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::source::{Mark, Sources};
use crate::tree::{Entry, Kind, Mapping, Node, Style, Value};
use crate::yaml::quoted;

/// Collects problems; all checks share one.
pub(crate) struct Checker<'s> {
    pub(crate) sources: &'s Sources,
    /// Path of the workflow file.
    pub(crate) workflow: &'s str,
    /// Whether a file of the repository is there.
    pub(crate) exists: &'s dyn Fn(&str) -> bool,
    /// `false`: an include or a file could not be read, so a name that is not known may be defined
    /// there.
    pub(crate) complete: bool,
    /// `false`: of what is right nothing is kept.
    pub(crate) wants_graph: bool,
    problems: Vec<Problem>,
    noted: HashSet<(Mark, u64)>,
    /// Conditions with a pattern, which can take milliseconds to compile, each parsed once.
    patterns: HashMap<String, Result<Expression, SyntaxError>>,
    /// Mistyped keys with what they were meant to be: that one is not missed as well.
    meant: BTreeMap<Mark, String>,
    /// Names that may still be compared in search of the nearest.
    comparisons: usize,
    /// Values that may still be made of those in the files; `None`: some were left out.
    room: Option<usize>,
    /// Values that may still be gone through to merge others into them.
    merges: usize,
}

/// Most conditions with regular expressions, the same one counting once.
pub(crate) const MAX_PATTERNS: usize = 500;

/// Most problems that are kept until they are sorted; far more than are told.
const MAX_NOTED: usize = 10 * MAX_PROBLEMS;

/// Enough for any workflow that people write; ends the search in hostile ones.
const MAX_COMPARISONS: usize = 1_000_000;

/// Most values of all jobs together, and of the templates merged on the way to them; a small file
/// can be made to hold any number.
pub(crate) const MAX_SIZE: usize = 500_000;

/// Most values gone through while merging; a long list of small templates can go through a large
/// one any number of times.
const MAX_MERGES: usize = 5_000_000;

impl<'s> Checker<'s> {
    pub(crate) fn new(
        sources: &'s Sources,
        workflow: &'s str,
        exists: &'s dyn Fn(&str) -> bool,
        problems: Vec<Problem>,
    ) -> Self {
        Checker {
            sources,
            workflow,
            exists,
            complete: true,
            wants_graph: true,
            patterns: HashMap::new(),
            noted: problems.iter().map(Problem::identity).collect(),
            problems,
            meant: BTreeMap::new(),
            comparisons: MAX_COMPARISONS,
            room: Some(MAX_SIZE),
            merges: MAX_MERGES,
        }
    }

    /// Takes room for values that templates, matrices or rules make; whether there was enough.
    pub(crate) fn take(&mut self, values: usize) -> bool {
        self.room = self.room.and_then(|room| room.checked_sub(values));
        self.room.is_some()
    }

    /// Counts values gone through in a merge; whether there may be that many.
    pub(crate) fn take_merge(&mut self, values: usize) -> bool {
        let left = self.merges.checked_sub(values);
        self.merges = left.unwrap_or(0);
        if left.is_none() {
            self.room = None;
        }
        left.is_some()
    }

    /// Counts names looked at to find those worth comparing; whether there may be that many.
    pub(crate) fn take_comparisons(&mut self, names: usize) -> bool {
        let left = self.comparisons.checked_sub(names);
        self.comparisons = left.unwrap_or(0);
        left.is_some()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Parses a condition; `None` when it is one too many of those that hold a pattern.
    pub(crate) fn condition(&mut self, text: &str) -> Option<Result<Expression, SyntaxError>> {
        if !text.contains('/') {
            return Some(libloom_rules::parse(text));
        }
        if !self.patterns.contains_key(text) {
            if self.patterns.len() == MAX_PATTERNS {
                return None;
            }
            self.patterns.insert(text.to_owned(), libloom_rules::parse(text));
        }
        self.patterns.get(text).cloned()
    }

    /// The nearest of `known` to `name`.
    pub(crate) fn nearest<'k>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<&'k str> {
        let counted = known.into_iter().take(self.comparisons).inspect(|_| {
            self.comparisons = self.comparisons.saturating_sub(1);
        });
        nearest(name, counted)
    }

    /// Keeps a problem, unless it was noted before: a mistake in a template shows in every job
    /// that extends it.
    pub(crate) fn note(&mut self, problem: Problem) {
        if self.problems.len() < MAX_NOTED && self.noted.insert(problem.identity()) {
            self.problems.push(problem);
        }
    }

    /// `expected WANTED for "KEY", got KIND`.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str, key: &str) {
        self.wrong_type_fix(node, wanted, key, None);
    }

    #[cfg_attr(test, track_caller)]
    pub(crate) fn wrong_type_fix(
        &mut self,
        node: &Node,
        wanted: &str,
        key: &str,
        fix: Option<&str>,
    ) {
        if node.kind() == Kind::Refused {
            return;
        }
        let message = format!("expected {wanted} for \"{key}\", got {}", node.kind().word());
        let mut problem = Problem::error(node.mark, message);
        if let Some(fix) = fix {
            problem = problem.fix(fix);
        } else if wanted == "string" && matches!(node.kind(), Kind::Boolean | Kind::Number) {
            let text = quoted(node.as_text().unwrap_or_default());
            problem = problem.fix(format!("quote the value: {text}")).edit(node.mark, text);
        } else {
            problem = problem.fix(format!("write a {wanted}"));
        }
        self.note(problem);
    }

    #[cfg_attr(test, track_caller)]
    pub(crate) fn mapping<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n Mapping> {
        let mapping = node.as_mapping();
        if mapping.is_none() {
            self.wrong_type(node, "mapping", key);
        }
        mapping
    }

    #[cfg_attr(test, track_caller)]
    pub(crate) fn sequence<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n [Node]> {
        let items = node.as_sequence();
        if items.is_none() && node.kind() != Kind::Refused {
            let message = format!("expected sequence for \"{key}\", got {}", node.kind().word());
            let problem = Problem::error(node.mark, message);
            self.note(match node.as_string().filter(|text| is_simple(text)) {
                Some(text) => {
                    let list = format!("[{text}]");
                    problem.fix(format!("write it as a list: {list}")).edit(node.mark, list)
                }
                None => problem.fix("write a list of entries, each after \"- \""),
            });
        }
        items
    }

    /// A string that is not empty.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        let text = self.any_text(node, key)?;
        if text.trim().is_empty() {
            self.note(
                Problem::error(node.mark, format!("\"{key}\" is empty"))
                    .fix("write a value, or remove the key"),
            );
            return None;
        }
        Some(text)
    }

    /// The same where a number or a word such as `true` would be wrong with quotes too.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn name<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        if node.as_string().is_none() {
            self.wrong_type_fix(node, "string", key, Some("write a string"));
            return None;
        }
        self.text(node, key)
    }

    /// A string, also an empty one.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn any_text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        let text = node.as_string();
        if text.is_none() {
            self.wrong_type(node, "string", key);
        }
        text
    }

    /// A list of strings that are not empty, with the place of each.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn texts(&mut self, node: &Node, key: &str) -> Option<Vec<(String, Mark)>> {
        let items = self.sequence(node, key)?;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let Some(text) = self.text(item, key) {
                texts.push((text.to_owned(), item.mark));
            }
        }
        Some(texts)
    }

    /// The same with at least one entry, and without the places.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn some_texts(&mut self, node: &Node, key: &str) -> Option<Vec<String>> {
        let texts = self.texts(node, key)?;
        if node.as_sequence().is_some_and(<[Node]>::is_empty) {
            self.note(
                Problem::error(node.mark, format!("\"{key}\" is empty"))
                    .fix("list at least one entry, or remove the key"),
            );
            return None;
        }
        Some(texts.into_iter().map(|(text, _)| text).collect())
    }

    /// A string or a list of strings.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn one_or_more(&mut self, node: &Node, key: &str) -> Option<Vec<String>> {
        match node.kind() {
            Kind::String => self.text(node, key).map(|text| vec![text.to_owned()]),
            _ => self.some_texts(node, key),
        }
    }

    #[cfg_attr(test, track_caller)]
    pub(crate) fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        if node.kind() == Kind::Boolean {
            return node.as_text().map(|text| text.eq_ignore_ascii_case("true"));
        }
        let spelled = match node.as_text() {
            Some("yes" | "on" | "Yes" | "On" | "true") => Some("true"),
            Some("no" | "off" | "No" | "Off" | "false") => Some("false"),
            _ => None,
        };
        let message = format!("expected boolean for \"{key}\", got {}", node.kind().word());
        let problem = Problem::error(node.mark, message);
        match spelled {
            Some(word) => self.note(problem.fix(format!("write {word}")).edit(node.mark, word)),
            None if node.kind() == Kind::Refused => {}
            None => self.note(problem.fix("write true or false")),
        }
        None
    }

    /// A whole number within limits.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn integer(
        &mut self,
        node: &Node,
        key: &str,
        limits: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let number = match node.kind() {
            Kind::Number => node.as_text().and_then(|text| text.parse::<i64>().ok()),
            _ => {
                self.wrong_type_fix(
                    node,
                    "number",
                    key,
                    Some("write a whole number without quotes"),
                );
                return None;
            }
        };
        let inside = number.filter(|number| limits.contains(number));
        if inside.is_none() {
            let message = format!(
                "\"{key}\" must be a whole number from {} to {}",
                limits.start(),
                limits.end()
            );
            self.note(Problem::error(node.mark, message).fix("change the number"));
        }
        inside
    }

    /// One of a few words.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn word<T: Copy>(
        &mut self,
        node: &Node,
        key: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let fix = format!("write one of {}", known.join(", "));
        let Some(text) = node.as_string() else {
            self.wrong_type_fix(node, "string", key, Some(&fix));
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let message = format!("unknown value \"{text}\" for \"{key}\"");
            let mut problem = Problem::error(node.mark, message).fix(fix);
            if let Some(word) = self.nearest(text, known.iter().copied()) {
                problem = problem.did_you_mean(Some(word)).edit(node.mark, word);
            }
            self.note(problem);
        }
        found.map(|(_, value)| *value)
    }

    /// Notes every key that is not among `known`; `place` is such as `in job "build"`.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn unknown_keys(&mut self, mapping: &Mapping, known: &[&str], place: &str) {
        for entry in mapping.iter().filter(|entry| !known.contains(&&*entry.key)) {
            self.unknown_key(mapping, entry, known, place);
        }
    }

    #[cfg_attr(test, track_caller)]
    pub(crate) fn unknown_key(
        &mut self,
        mapping: &Mapping,
        entry: &Entry,
        known: &[&str],
        place: &str,
    ) {
        let message = format!("unknown key \"{}\" {place}", entry.key);
        let problem = Problem::error(entry.key_mark, message);
        let near = self.meant_key(mapping, entry, known);
        self.note(match near {
            Some(near) => problem.did_you_mean(Some(near)).edit(entry.key_mark, near),
            None => problem.fix("remove it"),
        });
    }

    /// The known key that a mistyped one was meant to be, and remembers it: the nearest that its
    /// mapping does not have.
    pub(crate) fn meant_key<'k>(
        &mut self,
        mapping: &Mapping,
        entry: &Entry,
        known: &[&'k str],
    ) -> Option<&'k str> {
        let mut free = known.to_vec();
        loop {
            let near = self.nearest(&entry.key, free.iter().copied())?;
            self.comparisons = self.comparisons.saturating_sub(mapping.entries.len());
            if !self.is_taken(mapping, near) {
                self.meant.insert(entry.key_mark, near.to_owned());
                return Some(near);
            }
            free.retain(|name| *name != near);
        }
    }

    /// Whether a mapping has a key, or one that was meant to be it.
    fn is_taken(&self, mapping: &Mapping, name: &str) -> bool {
        let is_meant = |mark| self.meant.get(mark).is_some_and(|meant| meant == name);
        mapping.iter().any(|entry| &*entry.key == name || is_meant(&entry.key_mark))
    }

    /// Whether a mistyped key within `body` was meant to be `key`.
    pub(crate) fn is_meant(&self, key: &str, body: Mark) -> bool {
        let first = Mark { end: body.start, ..body };
        let last = Mark { start: body.end, ..body };
        self.meant.range(first..=last).any(|(mark, name)| name == key && body.holds(*mark))
    }

    /// Notes that a key is missing in the mapping at `body`.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn missing(&mut self, body: Mark, key: &str, place: &str) {
        self.missing_at(body, body, key, place);
    }

    /// The same, shown at `owner`, such as the job's key.
    #[cfg_attr(test, track_caller)]
    pub(crate) fn missing_at(&mut self, owner: Mark, body: Mark, key: &str, place: &str) {
        if self.is_meant(key, body) {
            return;
        }
        let message = format!("missing required key \"{key}\" {place}");
        self.note(Problem::error(owner, message).fix(format!("add \"{key}\"")));
    }
}

/// Whether a text means the same as a plain scalar in brackets.
fn is_simple(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._-/".contains(&b))
}

/// Where byte `offset` of a scalar's value stands, where that is certain: in one line, without
/// escapes.
pub(crate) fn inside(node: &Node, slice: &str, range: std::ops::Range<usize>) -> Mark {
    let Value::Scalar(scalar) = &node.value else { return node.mark };
    let lead = match scalar.style {
        Style::Plain if slice == &*scalar.text => 0,
        Style::Quoted if slice.get(1..slice.len().max(2) - 1) == Some(&*scalar.text) => 1,
        _ => return node.mark,
    };
    node.mark.part(lead + range.start, lead + range.end)
}
