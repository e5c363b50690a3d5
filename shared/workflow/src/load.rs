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
/// Most text of all included files, each counted as often as it is included.
const MAX_BYTES: usize = 16 << 20;
/// Longest chain of includes.
const MAX_DEPTH: usize = 50;
const LOCAL_FIX: &str = "set include.local to .loom/templates/<name>.yml or .yaml";

/// Reads a file by its path relative to the repository root.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

pub(crate) struct Loader<'a> {
    read: Read<'a>,
    pub(crate) sources: Sources,
    pub(crate) problems: Vec<Problem>,
    /// `false`: something that the workflow is made of could not be read.
    pub(crate) complete: bool,
    included: usize,
    bytes: usize,
    /// Files that were read, so that what is wrong with one is told once.
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
            complete: true,
            included: 0,
            bytes: 0,
            known: HashMap::new(),
            stack: Vec::new(),
        }
    }

    /// The merged root mapping of a workflow; `None` when nothing of the file itself can be read.
    pub(crate) fn workflow(&mut self, path: &str, bytes: Vec<u8>) -> Option<Node> {
        self.stack.push(path.to_owned());
        let (file, tree) = self.file(path, bytes)?;
        self.resolve(file, tree)
    }

    /// Parses one file. What it may hold beyond its tree is missed, but not what is in it.
    fn file(&mut self, path: &str, bytes: Vec<u8>) -> Option<(FileId, Node)> {
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
        let yaml::Read { root, mut problems, complete } =
            yaml::read(file, &self.sources.file(file).text);
        self.complete &= complete;
        let broken = root.is_none() && !problems.is_empty();
        self.problems.append(&mut problems);
        if broken {
            return None;
        }
        let start = Mark { file, start: 0, end: 0 };
        Some((file, root.unwrap_or_else(|| Node::new(Value::Empty, start))))
    }

    /// The root mapping of a parsed file with its includes merged below it.
    fn resolve(&mut self, file: FileId, tree: Node) -> Option<Node> {
        let Node { value: Value::Mapping(mut mapping), mark, stratum, under } = tree else {
            self.not_a_mapping(file, &tree);
            return None;
        };
        let include = mapping.remove("include");
        let own = Node { value: Value::Mapping(mapping), mark, stratum, under };
        let Some(include) = include else { return Some(own) };
        let mut below = Node::new(Value::Mapping(Mapping::default()), own.mark);
        for (place, path) in self.include_paths(&include) {
            match self.include(place, &path) {
                Some(included) => below = merge(below, included),
                None => self.complete = false,
            }
        }
        Some(merge(below, own))
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
            self.complete = false;
            return Vec::new();
        };
        let paths: Vec<_> = items.iter().filter_map(|item| self.include_path(item)).collect();
        self.complete &= paths.len() == items.len();
        paths
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

    /// The root mapping of an included file.
    fn include(&mut self, place: Mark, path: &str) -> Option<Node> {
        self.included += 1;
        if let Some(problem) = self.refused(place) {
            self.problems.push(problem);
            return None;
        }
        // A circle adds nothing that was not read.
        if self.stack.iter().any(|earlier| earlier == path) {
            let chain = format!("{} -> {path}", self.stack.join(" -> "));
            let message = format!("resolve include cycle by removing one include edge: {chain}");
            self.problems.push(Problem::error(place, message));
            return Some(Node::new(Value::Mapping(Mapping::default()), place));
        }
        self.stack.push(path.to_owned());
        let read = match self.known.get(path) {
            Some(known) => known.and_then(|file| self.again(file)),
            None => {
                let read = self.read_include(place, path);
                self.known.insert(path.to_owned(), read.as_ref().map(|(file, _)| *file));
                read
            }
        };
        let root = read.and_then(|(file, tree)| {
            self.bytes += self.sources.file(file).text.len();
            self.resolve(file, tree)
        });
        self.stack.pop();
        root
    }

    /// What forbids another include.
    fn refused(&self, place: Mark) -> Option<Problem> {
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
        if self.bytes > MAX_BYTES {
            let message = format!("includes hold more than {} MiB together", MAX_BYTES >> 20);
            return limit(message, "include each file once");
        }
        None
    }

    /// A file that was read before: its tree went into another place.
    fn again(&self, file: FileId) -> Option<(FileId, Node)> {
        yaml::read(file, &self.sources.file(file).text).root.map(|tree| (file, tree))
    }

    fn read_include(&mut self, place: Mark, path: &str) -> Option<(FileId, Node)> {
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
