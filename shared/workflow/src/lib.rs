//! YAML text to checked workflow to graph; diagnostics.
//!
//! Pure but for [`Located`]: files come through the two closures of [`Files`], what is wrong
//! comes back as [`Diagnostic`]s, all of them, in order of position. The way is
//!
//! ```text
//! yaml (text → spanned tree, with a syntax error by blocks) → load (includes) → resolve (extends, default) → job, keywords
//! (checks) → assemble (names between jobs, graph, digest)
//! ```
//!
//! Nothing recurses over input of unbounded depth: [`MAX_NESTING`] bounds trees, circles are
//! found with explicit stacks.

#![warn(missing_docs)]

mod assemble;
mod blocks;
mod canonical;
mod check;
#[cfg(test)]
mod coverage;
mod explain;
#[cfg(test)]
mod fixtures;
mod job;
mod keywords;
mod load;
mod locate;
#[cfg(test)]
mod meaning;
mod merge;
mod names;
mod pointer;
mod problem;
mod quantity;
mod redundant;
mod render;
mod resolve;
mod schema;
mod source;
mod syntax_error;
mod tree;
mod workflow;
mod yaml;

use std::io;

use libloom_contract::diagnostic::{Diagnostic, Severity};
use libloom_contract::graph::Graph;

pub use canonical::{canonical, digest};
pub use explain::{Explained, explain};
pub use locate::{LocateError, Located};
pub use problem::code;
pub use render::{human, short};
pub use schema::WORKFLOW_SCHEMA;
pub use source::{SourceFile, Sources};
pub use yaml::{MAX_BYTES, MAX_NESTING};

/// How the compiler sees the repository. Paths are relative to its root, with `/`.
pub struct Files<'a> {
    /// The bytes of a file.
    pub read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
    /// Whether a file is there.
    pub exists: &'a dyn Fn(&str) -> bool,
}

/// What came out.
#[derive(Debug)]
pub struct Compiled {
    /// The files that were read, the workflow first.
    pub sources: Sources,
    /// Everything that is wrong, in order of position.
    pub diagnostics: Vec<Diagnostic>,
    /// The graph, unless there was an error or none was asked for.
    pub graph: Option<Graph>,
}

impl Compiled {
    /// Whether the workflow can be run.
    pub fn is_valid(&self) -> bool {
        self.errors().next().is_none()
    }

    /// What makes the workflow invalid.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// What does not.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }
}

/// Compiles a workflow: the file at `path` (relative to the repository root) that holds `bytes`.
pub fn compile(path: &str, bytes: Vec<u8>, files: &Files<'_>) -> Compiled {
    with_root(path, bytes, files, true, workflow::compile)
}

/// Finds everything that is wrong, as [`compile()`] does, without the cost of a graph.
pub fn check(path: &str, bytes: Vec<u8>, files: &Files<'_>) -> Compiled {
    with_root(path, bytes, files, false, |check, root| {
        workflow::check(check, &root);
        None
    })
}

fn with_root(
    path: &str,
    bytes: Vec<u8>,
    files: &Files<'_>,
    wants_graph: bool,
    look: impl FnOnce(&mut check::Checker<'_>, tree::Node) -> Option<Graph>,
) -> Compiled {
    let mut loader = load::Loader::new(files.read);
    let root = loader.workflow(path, bytes);
    let load::Loader { sources, problems, complete, .. } = loader;
    let mut check = check::Checker::new(&sources, path, files.exists, problems);
    (check.complete, check.wants_graph) = (complete, wants_graph);
    let graph = root.and_then(|root| look(&mut check, root));
    let diagnostics = problem::into_diagnostics(check.into_problems(), &sources);
    Compiled { sources, diagnostics, graph }
}
