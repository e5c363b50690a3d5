//! What must hold for every input: it is compiled, explained, decided, drawn and mended, and what
//! is said of it is about it.

use std::collections::BTreeMap;
use std::io;

use libloom_contract::diagnostic::Diagnostic;
use libloom_contract::graph::Graph;
use libloom_rules::{Facts, decide};
use libloom_workflow::{Compiled, Files, compile, digest, explain, human, short};

use crate::mutate::Input;

const WORKFLOW: &str = ".loom/workflow.yml";

/// Compiles an input and looks at all that comes out.
pub(crate) fn run(input: &Input) {
    let compiled = compiled(&input.workflow, &input.templates);
    assert_eq!(compiled.graph.is_none(), compiled.errors().count() > 0, "a graph, or an error");
    for diagnostic in compiled.diagnostics.iter().take(100) {
        check(diagnostic, &compiled);
    }
    if let Some(graph) = &compiled.graph {
        decided(graph);
    }
    explained(input);
    mended(input, &compiled);
}

fn compiled(workflow: &[u8], templates: &BTreeMap<String, Vec<u8>>) -> Compiled {
    let read = |path: &str| templates.get(path).cloned().ok_or(io::ErrorKind::NotFound.into());
    let exists = |path: &str| path.len().is_multiple_of(2);
    compile(WORKFLOW, workflow.to_vec(), &Files { read: &read, exists: &exists })
}

/// It points into its file, at the line it says, and can be shown.
fn check(diagnostic: &Diagnostic, compiled: &Compiled) {
    let span = diagnostic.span.as_ref().unwrap();
    let source = compiled.sources.by_path(&span.file).unwrap();
    assert!(source.text.get(span.start..span.end).is_some(), "{diagnostic:?}");
    let line = source.text.as_bytes()[..span.start].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(span.line as usize, line + 1, "{diagnostic:?}");
    assert!(!short(diagnostic).contains(['\n', '\u{1b}']), "{diagnostic:?}");
    human(diagnostic, &compiled.sources, true);
}

fn decided(graph: &Graph) {
    assert_eq!(graph.digest, digest(graph));
    let text = serde_json::to_string(graph).unwrap();
    let read: Graph = serde_json::from_str(&text).unwrap();
    assert_eq!(digest(&read), graph.digest);
    let facts = Facts {
        variable: &|name| name.len().is_multiple_of(2).then(|| "/(a|b)*/".to_owned()),
        changed: Some(&["a/b.rs".to_owned()]),
        exists: &|globs| globs.matches("Cargo.toml").then(|| "Cargo.toml".to_owned()),
    };
    for node in graph.nodes.iter().take(100) {
        // A pattern out of a variable may be one that cannot be used; that is an answer too.
        drop(decide(&node.rules, &facts));
    }
}

fn explained(input: &Input) {
    let read =
        |path: &str| input.templates.get(path).cloned().ok_or(io::ErrorKind::NotFound.into());
    let files = Files { read: &read, exists: &|_| true };
    drop(explain(WORKFLOW, input.workflow.clone(), &files, "build"));
}

/// Applies every edit there is; the result is compiled like any other text.
fn mended(input: &Input, compiled: &Compiled) {
    let mut edits: Vec<_> = compiled.diagnostics.iter().filter_map(|d| d.edit.as_ref()).collect();
    edits.retain(|edit| edit.file == WORKFLOW);
    edits.sort_by_key(|edit| edit.start);
    let Some(mut text) = String::from_utf8(input.workflow.clone()).ok() else { return };
    for pair in edits.windows(2) {
        assert!(pair[0].end <= pair[1].start, "edits overlap: {pair:?}");
    }
    for edit in edits.iter().rev() {
        text.replace_range(edit.start..edit.end, &edit.replacement);
    }
    if !edits.is_empty() {
        self::compiled(text.as_bytes(), &input.templates);
    }
}
