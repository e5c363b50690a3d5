//! From "it failed" to the failing output, in three small files, by their fields alone.

use std::fs;
use std::path::{Path, PathBuf};

use libloom_testkit::{Repo, Sandbox};
use serde_json::Value;

use crate::ran::{Ran, bytes_of, document, events};

/// Most bytes of receipt and manifests together, for five jobs.
const EVIDENCE_BYTES_MAX: u64 = 4096;

const FIVE_JOBS: &str = "\
version: v1
stages: [build, test, publish]
compile: {stage: build, script: [echo compiled]}
lint: {stage: build, script: [echo linted]}
unit: {stage: test, script: [echo begun, 'echo the cause >&2; exit 42', echo never]}
package: {stage: publish, script: [echo never]}
release: {stage: publish, script: [echo never]}
";

fn with_failed_run(test: impl FnOnce(&Repo<'_>, &Ran)) {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(FIVE_JOBS).commit("five jobs");
    test(&repo, &Ran::of(&repo, &[]).expect_code(1));
}

fn field<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {document:#}"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn fields_of_three_small_files_lead_to_the_failing_output() {
    with_failed_run(|_, ran| {
        let receipt_path = ran.stdout.trim_end().strip_prefix("receipt: ").unwrap();
        let receipt = document(receipt_path.as_ref());
        let logs = PathBuf::from(field(&receipt, "logs_dir"));

        let pipeline_path = PathBuf::from(field(&receipt, "pipeline_manifest_path"));
        let pipeline = document(&pipeline_path);
        assert_eq!(field(&pipeline, "failing_job_id"), "unit");

        let job_path = logs.join(field(&pipeline, "failing_job_manifest_path"));
        let job = document(&job_path);
        assert_eq!(field(&job, "failing_step"), "script/02");

        let step = events(&logs.join(field(&job, "failing_step_events_path")));
        assert_eq!(bytes_of(&step, "stderr"), b"the cause\n");
        let last = step.last().unwrap();
        let end = [&last["event"], &last["status"], &last["reason"]];
        assert_eq!(end, ["finish", "failure", "exit_code"]);
        assert_eq!(last["exit_code"], 42);

        let bytes = size(receipt_path.as_ref()) + size(&pipeline_path) + size(&job_path);
        assert!(bytes <= EVIDENCE_BYTES_MAX, "{bytes} bytes");
    });
}

#[test]
fn every_path_in_a_document_leads_to_something() {
    fn paths(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(path) if name.ends_with("_path") => found.push(path.to_owned()),
                        _ => paths(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| paths(value, found)),
            _ => {}
        }
    }
    with_failed_run(|_, ran| {
        let names = ["compile", "lint", "unit", "package", "release"];
        let manifests = names.map(|job| format!("jobs/{job}/manifest.json"));
        let mut found = Vec::new();
        for path in
            manifests.iter().map(String::as_str).chain(["summary.json", "pipeline/manifest.json"])
        {
            paths(&ran.document(path), &mut found);
        }
        paths(&ran.receipt, &mut found);
        assert!(found.len() > 30, "{found:#?}");
        // Relative ones are relative to the run's folder.
        let lost: Vec<_> = found.iter().filter(|path| !ran.logs().join(path).exists()).collect();
        assert!(lost.is_empty(), "{lost:#?}");
    });
}

#[test]
fn later_stages_are_skipped_with_the_reason() {
    with_failed_run(|_, ran| {
        for job in ["package", "release"] {
            let summary = ran.document(&format!("jobs/{job}/summary.json"));
            let found = [&summary["status"], &summary["reason"]];
            assert_eq!(found, ["skipped", "earlier_stage_failed"]);
            assert_eq!(summary["message"], "stage `test`: job `unit` failed");
        }
        let words: Vec<String> = ran.receipt["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| {
                [&job["job_id"], &job["status"]].map(|value| value.as_str().unwrap()).join(" ")
            })
            .collect();
        let expected = [
            "compile success",
            "lint success",
            "unit failure",
            "package skipped",
            "release skipped",
        ];
        assert_eq!(words, expected);
    });
}

#[test]
fn receipt_counts_what_the_executor_did() {
    with_failed_run(|_, ran| {
        let counts = &ran.receipt["counts"];
        assert_eq!(
            counts,
            &serde_json::json!(
                {"total": 5, "success": 2, "failure": 1, "skipped": 2, "cancelled": 0}
            )
        );
        let executor = &ran.receipt["executor_receipt"];
        assert_eq!([&executor["jobs"], &executor["steps"]], [3, 4]);
        assert!(executor["peak_rss_bytes"].as_u64().unwrap() > 100_000, "{executor}");
        assert_eq!(ran.receipt["status"], "failure");
        assert_eq!(ran.receipt["reason"], "job_failed");
    });
}

#[test]
fn beyond_twenty_jobs_the_receipt_lists_those_that_did_not_succeed() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let jobs = (0..24).map(|n| format!("j{n}: {{stage: ci, script: [test {n} -ne 7]}}\n"));
    repo.workflow(&format!("version: v1\nstages: [ci]\n{}", jobs.collect::<String>()));
    let ran = Ran::of(&repo, &[]).expect_code(1);
    let listed = ran.receipt["jobs"].as_array().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["job_id"], "j7");
    assert_eq!(ran.receipt["counts"]["total"], 24);
}

#[test]
fn workspace_links_to_the_evidence_and_its_removal_loses_none() {
    with_failed_run(|repo, ran| {
        let inside = ran.workspace().join(".loom/.runtime");
        let run_id = ran.text("run_id");
        let receipt = format!("receipts/{run_id}.json");
        assert_eq!(document(&inside.join(&receipt)), ran.receipt);
        let step = format!("logs/{run_id}/jobs/unit/user/execution/script/02/events.jsonl");
        assert_eq!(bytes_of(&events(&inside.join(&step)), "stderr"), b"the cause\n");
        repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
        assert!(!ran.workspace().exists());
        assert_eq!(document(&repo.runtime().join(&receipt)), ran.receipt);
        assert_eq!(bytes_of(&events(&repo.runtime().join(&step)), "stderr"), b"the cause\n");
    });
}

#[test]
fn older_documented_step_path_works() {
    with_failed_run(|_, ran| {
        let old = ran.events("jobs/unit/user/script/02/events.jsonl");
        let new = ran.events("jobs/unit/user/execution/script/02/events.jsonl");
        assert!(!old.is_empty() && old == new);
    });
}

#[test]
fn runtime_directory_is_hidden_from_git_and_from_snapshots() {
    with_failed_run(|repo, ran| {
        assert_eq!(repo.git(["status", "--porcelain", "--untracked-files=all"]), "");
        let git =
            repo.program("git").arg("-C").arg(ran.workspace()).args(["status", "-s"]).output();
        assert_eq!(git.unwrap().stdout, b"", "nor do the links show in the workspace");
    });
}

#[test]
fn logs_lead_to_the_same_output() {
    with_failed_run(|repo, _| {
        let assert = repo.command("loom-logs").assert();
        let output = assert.get_output();
        let text = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("the cause") && text.contains("unit"), "{text}");
    });
}
