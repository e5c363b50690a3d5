//! Reads the workflow file and what it includes, and merges them into one root mapping.
//!
//! Includes are followed depth-first; a later include beats an earlier one, the including file
//! beats all of them.

use std::collections::HashMap;
use std::io;

use crate::merge::merge;
use crate::problem::{Problem, code};
use crate::source::{FileId, Mark, Sources, as_u32};
use crate::tree::{Entry, Kind, Mapping, Node, Value};
use crate::yaml;

/// Most files that one workflow is made of, each counted as often as it is included.
const MAX_INCLUDES: usize = 1000;
/// Longest chain of includes.
const MAX_DEPTH: usize = 50;
const LOCAL_FIX: &str = "set include.local to .loom/templates/<name>.yml or .yaml";

/// Reads a file by its path relative to the repository root.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

pub(crate) struct Loader<'a> {
    read: Read<'a>,
    pub(crate) sources: Sources,
    pub(crate) problems: Vec<Problem>,
    included: usize,
    /// Files that were read, so that one is parsed once however often it is included.
    known: HashMap<String, Option<FileId>>,
    /// Files from the workflow to the one being resolved.
    stack: Vec<String>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(read: Read<'a>) -> Self {
        Loader {
            read,
            sources: Sources::default(),
            problems: Vec::new(),
            included: 0,
            known: HashMap::new(),
            stack: Vec::new(),
        }
    }

    /// The merged root mapping of a workflow; `None` when a file could not be parsed, because
    /// what would then be missing would only cause more problems that are none.
    pub(crate) fn workflow(&mut self, path: &str, bytes: Vec<u8>) -> Option<Node> {
        self.stack.push(path.to_owned());
        let file = self.file(path, bytes)?;
        self.resolve(file)
    }

    /// Parses one file and keeps its tree.
    fn file(&mut self, path: &str, bytes: Vec<u8>) -> Option<FileId> {
        let (text, refused) = match yaml::decode(bytes) {
            Ok(text) => (text, None),
            Err((valid, refused)) => (valid, Some(refused)),
        };
        let file = self.sources.add(path.to_owned(), text, self.stack.clone());
        if let Some(refused) = refused {
            let at = as_u32(refused.at);
            let mark = Mark { file, start: at, end: at };
            self.problems
                .push(Problem::error(mark, refused.message).code(refused.code).fix(refused.fix));
            return None;
        }
        let (tree, mut problems) = yaml::parse(file, &self.sources.file(file).text);
        let broken = tree.is_none() && !problems.is_empty();
        self.problems.append(&mut problems);
        if broken {
            return None;
        }
        let start = Mark { file, start: 0, end: 0 };
        let tree = tree.unwrap_or_else(|| Node::new(Value::Empty, start));
        self.sources.file_mut(file).tree = Some(tree);
        Some(file)
    }

    /// The root mapping of a parsed file with its includes merged below it.
    fn resolve(&mut self, file: FileId) -> Option<Node> {
        let tree = self.sources.file(file).tree.clone()?;
        let Node { value: Value::Mapping(mut mapping), mark, stratum, under } = tree else {
            self.not_a_mapping(file, &tree);
            return None;
        };
        let include = mapping.remove("include");
        let own = Node { value: Value::Mapping(mapping), mark, stratum, under };
        let Some(include) = include else { return Some(own) };
        let mut below = Some(Node::new(Value::Mapping(Mapping::default()), own.mark));
        for (place, path) in self.include_paths(&include) {
            let included = self.include(place, &path);
            below = below.zip(included).map(|(below, included)| merge(below, included));
        }
        below.map(|below| merge(below, own))
    }

    fn not_a_mapping(&mut self, file: FileId, tree: &Node) {
        if tree.kind() == Kind::Refused {
            return;
        }
        let main = file == FileId(0);
        let problem = match tree.kind() {
            Kind::Null if main => Problem::error(tree.mark, "the workflow is empty")
                .fix("start with \"version: v1\", \"stages:\" and a job"),
            kind => Problem::error(
                tree.mark,
                format!("expected mapping for the whole file, got {}", kind.word()),
            )
            .fix("write keys such as \"version\", \"stages\" and jobs at the top"),
        };
        self.problems.push(problem);
    }

    /// The well-formed entries of an `include`; the others become problems.
    fn include_paths(&mut self, include: &Entry) -> Vec<(Mark, String)> {
        let Some(items) = include.value.as_sequence() else {
            let got = include.value.kind();
            if got != Kind::Refused {
                let message = format!("expected sequence for \"include\", got {}", got.word());
                let fix = "write a list of {local: .loom/templates/<name>.yml}";
                self.problems.push(Problem::error(include.value.mark, message).fix(fix));
            }
            return Vec::new();
        };
        items.to_vec().iter().filter_map(|item| self.include_path(item)).collect()
    }

    fn include_path(&mut self, item: &Node) -> Option<(Mark, String)> {
        let Some(mapping) = item.as_mapping() else {
            if item.kind() != Kind::Refused {
                let message =
                    format!("expected mapping for an include, got {}", item.kind().word());
                let problem = Problem::error(item.mark, message);
                self.problems.push(match item.as_string() {
                    Some(path) => problem
                        .fix(format!("write \"local: {path}\""))
                        .edit(Mark { end: item.mark.start, ..item.mark }, "local: "),
                    None => problem.fix("write {local: .loom/templates/<name>.yml}"),
                });
            }
            return None;
        };
        for entry in mapping.iter().filter(|entry| &*entry.key != "local") {
            let message = format!("unknown key \"{}\" in include", entry.key);
            let fix = "remove it; an include only has the key local";
            self.problems.push(Problem::error(entry.key_mark, message).fix(fix));
        }
        let Some(local) = mapping.entry("local") else {
            self.problems.push(Problem::error(item.mark, LOCAL_FIX));
            return None;
        };
        let path = local.value.as_string().filter(|path| is_template_path(path));
        if path.is_none() && local.value.kind() != Kind::Refused {
            self.problems.push(Problem::error(local.value.mark, LOCAL_FIX));
        }
        path.map(|path| (local.value.mark, path.to_owned()))
    }

    /// The root mapping of an included file; an empty one where including it makes no sense.
    fn include(&mut self, place: Mark, path: &str) -> Option<Node> {
        self.included += 1;
        if let Some(problem) = self.refused(place, path) {
            self.problems.push(problem);
            return Some(Node::new(Value::Mapping(Mapping::default()), place));
        }
        self.stack.push(path.to_owned());
        let file = match self.known.get(path) {
            Some(known) => *known,
            None => {
                let file = self.read_include(place, path);
                self.known.insert(path.to_owned(), file);
                file
            }
        };
        let root = file.and_then(|file| self.resolve(file));
        self.stack.pop();
        root
    }

    /// What forbids to include `path` here.
    fn refused(&self, place: Mark, path: &str) -> Option<Problem> {
        let limit = |message: String, fix: &str| {
            Some(Problem::error(place, message).code(code::LIMIT).fix(fix))
        };
        if self.stack.len() > MAX_DEPTH {
            return limit(format!("includes are more than {MAX_DEPTH} files deep"), "flatten them");
        }
        if self.included > MAX_INCLUDES {
            let message = format!("more than {MAX_INCLUDES} includes");
            return limit(message, "include each file once");
        }
        self.stack.iter().any(|earlier| earlier == path).then(|| {
            let chain = format!("{} -> {path}", self.stack.join(" -> "));
            let message = format!("resolve include cycle by removing one include edge: {chain}");
            Problem::error(place, message)
        })
    }

    fn read_include(&mut self, place: Mark, path: &str) -> Option<FileId> {
        match (self.read)(path) {
            Ok(bytes) => self.file(path, bytes),
            Err(error) => {
                self.unreadable(place, path, &error);
                None
            }
        }
    }

    fn unreadable(&mut self, place: Mark, path: &str, error: &io::Error) {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => {
                Problem::error(place, format!("included file \"{path}\" does not exist"))
                    .fix("create it, or correct the path (relative to the repository root)")
            }
            _ => Problem::error(place, format!("cannot read included file \"{path}\": {error}"))
                .fix("make it a readable file"),
        };
        self.problems.push(problem);
    }
}

/// Below `.loom/templates/`, a YAML file, without leaving the folder again.
fn is_template_path(path: &str) -> bool {
    let below = path.strip_prefix(libloom_contract::layout::TEMPLATES);
    let Some(name) = below.and_then(|rest| rest.strip_prefix('/')) else { return false };
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
    stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/'))
        && !path.contains("..")
        && !path.contains('\\')
        && path.split('/').all(|part| !part.is_empty() && part != ".")
}
