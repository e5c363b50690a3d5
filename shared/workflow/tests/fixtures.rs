//! Every fixture workflow says what it should: `good` nothing, `warn` and `bad` the short-form
//! diagnostics beside them.
//!
//! `LOOM_REGENERATE=1` writes the expected texts anew, to be read before they are committed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "LOOM_REGENERATE is for the person at the keyboard")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libloom_workflow::{Compiled, Files, Located, code, compile, human, short};

/// Files that builds of the fixtures find.
const DOCKERFILES: &[&str] = &["Dockerfile.ci", "nix/Dockerfile", ".loom/docker/Dockerfile"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/workflows")
}

fn compile_fixture(file: &Path) -> Compiled {
    let read = |path: &str| -> io::Result<Vec<u8>> {
        fs::read(folder().join(path.strip_prefix(".loom/").unwrap_or(path)))
    };
    let exists = |path: &str| DOCKERFILES.contains(&path);
    let files = Files { read: &read, exists: &exists };
    compile(".loom/workflow.yml", fs::read(file).unwrap(), &files)
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(kind)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    files
}

fn shown(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().map(|diagnostic| short(diagnostic) + "\n").collect()
}

/// Compares with `<name>.expected`; answers what differs.
fn difference(file: &Path, found: &str) -> Option<String> {
    let beside = file.with_extension("expected");
    if std::env::var_os("LOOM_REGENERATE").is_some() {
        fs::write(&beside, found).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    (expected != found).then(|| format!("{}\nexpected:\n{expected}found:\n{found}", file.display()))
}

#[test]
fn good_workflows_compile_without_a_word() {
    for file in fixtures("good") {
        let compiled = compile_fixture(&file);
        assert_eq!(shown(&compiled), "", "{}", file.display());
        assert!(compiled.graph.is_some(), "{}", file.display());
    }
}

#[test]
fn warnings_are_the_expected_ones_and_do_not_fail() {
    for file in fixtures("warn") {
        let compiled = compile_fixture(&file);
        assert!(compiled.graph.is_some() && compiled.warnings().count() > 0, "{}", file.display());
        assert_eq!(difference(&file, &shown(&compiled)), None);
    }
}

#[test]
fn bad_workflows_say_all_that_is_expected() {
    let mut differences = Vec::new();
    for file in fixtures("bad") {
        let compiled = compile_fixture(&file);
        assert!(compiled.graph.is_none() && compiled.errors().count() > 0, "{}", file.display());
        differences.extend(difference(&file, &shown(&compiled)));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_diagnostic_can_be_drawn() {
    for file in fixtures("bad").into_iter().chain(fixtures("warn")) {
        let compiled = compile_fixture(&file);
        for diagnostic in &compiled.diagnostics {
            let frame = human(diagnostic, &compiled.sources, false);
            assert!(frame.contains(&diagnostic.code), "{frame}");
        }
    }
}

#[test]
fn every_code_has_a_fixture() {
    let told: Vec<Compiled> =
        ["bad", "warn"].into_iter().flat_map(fixtures).map(|file| compile_fixture(&file)).collect();
    let told = || told.iter().flat_map(|compiled| &compiled.diagnostics);
    for code in code::ALL {
        assert!(told().any(|diagnostic| diagnostic.code == *code), "no fixture has {code}");
    }
}

#[test]
fn edits_mend_what_they_belong_to() {
    for file in fixtures("bad") {
        let compiled = compile_fixture(&file);
        for diagnostic in &compiled.diagnostics {
            let Some(edit) = &diagnostic.edit else { continue };
            let source = compiled.sources.by_path(&edit.file).unwrap();
            if source.path != ".loom/workflow.yml" {
                continue;
            }
            let mut text = source.text.clone();
            text.replace_range(edit.start..edit.end, &edit.replacement);
            let files = Files { read: &|_| Err(io::ErrorKind::NotFound.into()), exists: &|_| true };
            let after = compile(".loom/workflow.yml", text.into_bytes(), &files);
            let same = |other: &&libloom_contract::diagnostic::Diagnostic| {
                other.message == diagnostic.message
                    && other.span.as_ref().map(|span| span.start)
                        == diagnostic.span.as_ref().map(|span| span.start)
            };
            let still = after.diagnostics.iter().find(same);
            assert!(still.is_none(), "{}: {still:?}", file.display());
        }
    }
}

#[test]
fn the_example_repository_compiles_without_a_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello");
    let compiled = Located::find(&root, &root, None).unwrap().compile();
    assert_eq!(shown(&compiled), "");
    assert_eq!(compiled.graph.unwrap().nodes.len(), 5);
}

#[test]
fn graphs_of_good_workflows_fit_the_schema_of_the_contract() {
    let schema = libloom_contract::schema::of_kind("loom-graph").unwrap();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for file in fixtures("good") {
        let graph = serde_json::to_value(compile_fixture(&file).graph.unwrap()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&graph).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }
}
