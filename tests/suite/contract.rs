//! The contract on disk: real runs write every kind of document, each obeys its schema, and the
//! judge of that can say no.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use libloom_contract::schema;
use libloom_testkit::{Repo, Sandbox, check_documents};
use serde_json::{Value, json};

use crate::ran::{Ran, document, workflow};

/// There only while an engine may hold something; no run here is in a container.
const WHILE_CONTAINERS_RUN: &str = "loom-engine";

/// Kinds that are not files of their own: records of event files, what goes between processes, what
/// is only printed.
const NOT_FILES: [&str; 7] = [
    "loom-event",
    "loom-message",
    "loom-evaluation",
    "loom-artifacts-list",
    "loom-artifacts-diff",
    "loom-artifacts-verification",
    "loom-snapshot-diff",
];

fn with_run(test: impl FnOnce(&Repo<'_>, &Ran)) {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let jobs = workflow([("build", vec!["echo hi >made", "echo A=1 | tee vars"])]);
    let artifacts = "  artifacts: {paths: [made], reports: {dotenv: [vars]}}\n";
    repo.workflow(&format!("{jobs}{artifacts}")).commit("a");
    repo.command("loom-check").assert().success();
    test(&repo, &Ran::of(&repo, &[]).expect_code(0));
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => json_files(&entry.path()),
            kind if kind.is_file() && entry.path().extension() == Some("json".as_ref()) => {
                vec![entry.path()]
            }
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn runs_and_checks_write_every_kind_of_document_there_is() {
    with_run(|repo, _| {
        let kind = |path: &PathBuf| document(path)["kind"].as_str().unwrap().to_owned();
        let written: BTreeSet<String> = json_files(&repo.runtime()).iter().map(kind).collect();
        let all = schema::all().into_iter().map(|(kind, _)| kind.to_owned());
        let expected: BTreeSet<String> = all
            .filter(|kind| !NOT_FILES.contains(&kind.as_str()) && kind != WHILE_CONTAINERS_RUN)
            .collect();
        assert_eq!(written, expected);
        check_documents(&repo.runtime());
    });
}

#[test]
fn first_record_of_every_event_file_says_its_format() {
    with_run(|_, ran| {
        let files = [
            "events.jsonl",
            "pipeline/events.jsonl",
            "jobs/build/events.jsonl",
            "jobs/build/user/execution/events.jsonl",
            "jobs/build/user/execution/script/01/events.jsonl",
            "jobs/build/system/provider/events.jsonl",
            "jobs/build/system/artifact_extract/events.jsonl",
        ];
        for file in files {
            let events = ran.events(file);
            let formats: Vec<&Value> =
                events.iter().map(|event| &event["schema_version"]).collect();
            assert_eq!(formats[0], "loom.runtime.logs.v2", "{file}");
            assert!(formats[1..].iter().all(|format| format.is_null()), "{file}");
        }
    });
}

/// Damages a document of a real run and returns what the judge says then.
#[track_caller]
fn verdict_on(damage: impl FnOnce(&Ran)) -> String {
    let mut said = String::new();
    with_run(|repo, ran| {
        check_documents(&repo.runtime());
        let kept = repo.sandbox().root().join("kept");
        copy(&repo.runtime(), &kept);
        damage(ran);
        let judged = catch_unwind(AssertUnwindSafe(|| check_documents(&repo.runtime())));
        said = words(judged.expect_err("the judge says that all is well"));
        fs::remove_dir_all(repo.runtime()).unwrap();
        copy(&kept, &repo.runtime());
    });
    said
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

fn words(panic: Box<dyn std::any::Any + Send>) -> String {
    panic.downcast::<String>().map(|text| *text).expect("a panic in words")
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = document(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn missing_field_of_a_receipt_is_noticed() {
    let said = verdict_on(|ran| {
        let path = ran.stdout.trim_end().strip_prefix("receipt: ").unwrap().to_owned();
        edit(path.as_ref(), |receipt| {
            receipt.as_object_mut().unwrap().remove("run_id");
        });
    });
    assert!(said.contains("receipts/") && said.contains("run_id"), "{said}");
}

#[test]
fn status_word_of_another_language_is_noticed() {
    let said = verdict_on(|ran| {
        let path = ran.logs().join("jobs/build/summary.json");
        edit(&path, |summary| summary["status"] = json!("passed"));
    });
    assert!(said.contains("jobs/build/summary.json") && said.contains("/status"), "{said}");
}

#[test]
fn gap_in_an_event_file_is_noticed() {
    let said = verdict_on(|ran| {
        let path = ran.logs().join("jobs/build/user/execution/script/02/events.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
    });
    assert!(said.contains("script/02/events.jsonl: 2: seq is 3, not 2"), "{said}");
}

#[test]
fn a_sandbox_looks_at_every_document_when_it_is_dropped() {
    let dropped = catch_unwind(|| {
        with_run(|_, ran| {
            let path = ran.logs().join("pipeline/manifest.json");
            edit(&path, |manifest| manifest["jobs"] = json!("none"));
        });
    });
    let said = words(dropped.expect_err("the sandbox does not look"));
    assert!(said.contains("pipeline/manifest.json") && said.contains("/jobs"), "{said}");
}
