//! Which file is the workflow, and what is said where there is none.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use libloom_workflow::{Located, MAX_BYTES};

const WORKFLOW: &str = "version: v1\nstages: [ci]\nbuild: {stage: ci, script: [make]}\n";

/// A repository of its own with these files, each a workflow.
fn repository(name: &str, files: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("locate").join(name);
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    fs::create_dir_all(root.join("sub")).unwrap();
    for file in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, WORKFLOW).unwrap();
    }
    root.canonicalize().unwrap()
}

/// Message and hint, with the root cut off.
fn refusal(root: &Path, named: Option<&str>) -> [String; 2] {
    let error = Located::find(root, root, named.map(Path::new)).unwrap_err();
    let root = format!("{}/", root.display());
    [error.to_string(), error.hint()].map(|text| text.replace(&root, ""))
}

#[test]
fn without_a_name_it_is_the_default_workflow_of_the_root() {
    let root = repository("default", &[".loom/workflow.yml", "sub/.loom/workflow.yml"]);
    let found = Located::find(&root, &root.join("sub"), None).unwrap();
    assert_eq!((&*found.path, found.file), (".loom/workflow.yml", root.join(".loom/workflow.yml")));
    assert_eq!(found.bytes, WORKFLOW.as_bytes());
    assert_eq!(found.root, root);
}

#[test]
fn a_name_is_relative_to_the_folder_or_else_to_the_root() {
    let root = repository("named", &["a.yml", "b.yml", "sub/a.yml"]);
    let path =
        |name: &str| Located::find(&root, &root.join("sub"), Some(Path::new(name))).unwrap().path;
    assert_eq!([path("a.yml"), path("b.yml"), path("../a.yml")], ["sub/a.yml", "b.yml", "a.yml"]);
}

#[test]
fn it_is_compiled_checked_and_explained_with_what_its_repository_holds() {
    let root = repository("whole", &[".loom/templates/base.yml", "Dockerfile"]);
    let text = "include: [{local: .loom/templates/base.yml}]\ntest: {stage: ci, script: [], image: {name: x, build: {context: ., dockerfile: Dockerfile}}}\n";
    fs::write(root.join(".loom/workflow.yml"), text).unwrap();
    let found = Located::find(&root, &root, None).unwrap();
    let compiled = found.compile();
    assert!(compiled.is_valid(), "{:?}", compiled.diagnostics);
    assert_eq!(compiled.graph.unwrap().nodes.len(), 2);
    assert!(found.check().is_valid() && found.check().graph.is_none());
    let explained = found.explain("build").unwrap();
    assert_eq!(explained[0].value, "ci");
    fs::remove_file(root.join("Dockerfile")).unwrap();
    assert!(!found.check().is_valid());
}

#[test]
fn a_missing_file_is_named_with_one_that_was_meant() {
    let create = "create `.loom/workflow.yml`, or name another file with --workflow";
    let meant = |name: &str| format!("did you mean `{name}`? rename it, or pass --workflow {name}");
    let root = repository("missing", &[]);
    let nothing = "no workflow at `.loom/workflow.yml`";
    assert_eq!(refusal(&root, None), [nothing, create]);
    let root = repository("missing-folder", &[".loom/other"]);
    assert_eq!(refusal(&root, None), [nothing, create]);
    let root = repository("yaml", &[".loom/workflow.yaml", "a.yml", "b.yaml", "c.yml"]);
    assert_eq!(refusal(&root, None), [nothing, &*meant(".loom/workflow.yaml")]);
    assert_eq!(refusal(&root, Some("a.yaml"))[1], meant("a.yml"));
    assert_eq!(refusal(&root, Some("b.yml"))[1], meant("b.yaml"));
    assert_eq!(refusal(&root, Some("c.txt"))[1], meant("c.yml"));
    assert_eq!(refusal(&root, Some("d.yml"))[1], meant(".loom/workflow.yaml"));
    assert_eq!(refusal(&root, Some("a.yml/x"))[0], "no workflow at `a.yml/x`");
}

#[test]
fn what_is_no_file_or_lies_elsewhere_is_refused() {
    let root = repository("refused", &["a.yml"]);
    let folder = refusal(&root, Some("sub"));
    assert_eq!(folder, ["workflow `sub` is not a file", "name a YAML file"]);
    let [message, hint] = refusal(&root.join("sub"), Some("../a.yml"));
    assert!(message.contains("is outside the repository"), "{message}");
    assert_eq!(hint, "name a file inside the repository");
}

#[test]
fn of_a_file_that_is_too_large_just_more_than_the_limit_is_read() {
    let root = repository("large", &[]);
    fs::create_dir_all(root.join(".loom")).unwrap();
    fs::write(root.join(".loom/workflow.yml"), vec![b'#'; MAX_BYTES + 10]).unwrap();
    let found = Located::find(&root, &root, None).unwrap();
    assert_eq!(found.bytes.len(), MAX_BYTES + 1);
    assert_eq!(found.check().diagnostics[0].code, "WF_LIMIT");
}
