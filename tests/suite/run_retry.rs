//! `retry`: what is tried again, when, and where earlier attempts go.

use std::fs;
use std::path::Path;

use libloom_testkit::{Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ran::{Ran, document, events};

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

fn workflow(repo: &Repo<'_>, jobs: &str) {
    repo.workflow(&format!("version: v1\nstages: [ci]\n{jobs}"));
}

/// Every path that a document points to exists.
#[track_caller]
fn assert_pointers_lead_somewhere(logs: &Path, document: &Value) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name.ends_with("_path")) {
                    Some(path) => assert!(logs.join(path).exists(), "{name}: {path}"),
                    None => assert_pointers_lead_somewhere(logs, value),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|v| assert_pointers_lead_somewhere(logs, v)),
        _ => {}
    }
}

#[test]
fn job_that_succeeds_at_its_third_attempt_keeps_the_record_of_the_others() {
    with_repo(|repo| {
        // The workspace is the run's: the second attempt finds what the first one left.
        workflow(
            repo,
            "flaky:\n  stage: ci\n  retry: 2\n  artifacts: {paths: [out.json], when: always}\n  \
             script:\n    - echo x >>count; cp count out.json; echo attempt $(wc -l <count)\n    \
             - test $(wc -l <count) = 3\n",
        );
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(ran.output_text("flaky", "script/01", "stdout"), "attempt 3\n");
        let manifest = ran.job("flaky");
        assert_eq!(manifest["attempts"], 3);
        let earlier = manifest["earlier_attempts"].as_array().unwrap();
        assert_eq!(earlier.len(), 2);
        for (number, entry) in (1..).zip(earlier) {
            assert_eq!([&entry["status"], &entry["reason"]], ["failure", "step_failed"]);
            let manifest = ran.document(entry["manifest_path"].as_str().unwrap());
            assert_pointers_lead_somewhere(&ran.logs(), &manifest);
            let folder = ran.logs().join(format!("jobs/flaky/attempts/{number}"));
            let failing = manifest["failing_step_events_path"].as_str().unwrap();
            assert!(ran.logs().join(failing).starts_with(&folder), "{failing}");
            let output = events(&folder.join("user/script/01/events.jsonl"));
            let said: Vec<&str> =
                output.iter().filter_map(|event| event["text"].as_str()).collect();
            assert_eq!(said, [format!("attempt {number}\n")]);
            // What the job extracted is called like a document and is none.
            let artifact = fs::read_to_string(folder.join("artifacts/out.json")).unwrap();
            assert_eq!(artifact, "x\n".repeat(number));
            assert_eq!(document(&folder.join("summary.json"))["attempt"], number);
        }
        assert_eq!(ran.receipt["jobs"][0]["attempts"], 3);
        assert_eq!(ran.document("pipeline/manifest.json")["jobs"][0]["attempts"], 3);
        assert_eq!(ran.receipt["executor_receipt"]["jobs"], 1);
        assert_eq!(ran.receipt["executor_receipt"]["steps"], 6);
        let report = document(ran.text("phase_report_path").as_ref());
        assert_eq!(report["valid"], true, "{report:#}");
        let notes = ran.events("pipeline/events.jsonl");
        let notes: Vec<&Value> = notes.iter().filter(|event| event["event"] == "note").collect();
        let statuses: Vec<&Value> = notes.iter().map(|note| &note["status"]).collect();
        assert_eq!(statuses, ["failure", "failure", "success"]);
        assert_eq!(notes[1]["data"]["attempt"], 2);
        ran.expect_said(&["attempt 1 of 3, again now", "started (host), attempt 3 of 3"])
            .expect_said(&["success at attempt 3 of 3"]);
    });
}

#[test]
fn only_the_causes_that_are_listed_are_worth_another_attempt() {
    with_repo(|repo| {
        workflow(
            repo,
            "times: {stage: ci, timeout: 200ms, retry: {max: 1, when: timeout}, \
             script: [sleep 60]}\n\
             fails: {stage: ci, retry: {max: 1, when: timeout}, script: [exit 3]}\n\
             killed: {stage: ci, retry: {max: 1, when: [signal]}, script: ['kill -9 $$']}\n",
        );
        let ran = Ran::of(repo, &["--jobs", "3"]).expect_code(1);
        let attempts = ["times", "fails", "killed"].map(|job| ran.job(job)["attempts"].clone());
        assert_eq!(attempts, [2, 1, 2]);
        assert_eq!(ran.job("killed")["reason"], "signal");
    });
}

#[test]
fn waiting_for_the_next_attempt_holds_nobody_up_and_ends_with_the_run() {
    with_repo(|repo| {
        let other = repo.sandbox().root().join("other");
        workflow(
            repo,
            &format!(
                "a: {{stage: ci, retry: {{max: 3, backoff: 1h}}, script: [exit 3]}}\n\
                 b: {{stage: ci, script: ['touch {}']}}\n",
                other.display()
            ),
        );
        let mut run = repo.program("env");
        run.arg("--default-signal").arg(libloom_testkit::binaries().join("loom-run"));
        run.args(["--jobs", "1"]).stdout(std::process::Stdio::piped());
        let run = run.stderr(std::process::Stdio::piped()).spawn().unwrap();
        wait_until("the other job runs", std::time::Duration::from_secs(30), || other.exists());
        kill_process(Pid::from_child(&run), Signal::INT).unwrap();
        let ran = Ran::from_output(&run.wait_with_output().unwrap()).expect_code(130);
        let summary = ran.document("jobs/a/summary.json");
        assert_eq!([&summary["status"], &summary["reason"]], ["cancelled", "interrupt"]);
        assert_eq!(ran.job("a")["earlier_attempts"][0]["status"], "failure");
        assert_eq!(document(ran.text("phase_report_path").as_ref())["valid"], true);
    });
}

#[test]
fn attempts_of_a_killed_run_are_in_the_record_that_is_completed() {
    with_repo(|repo| {
        let again = repo.sandbox().root().join("again");
        workflow(
            repo,
            &format!(
                "a: {{stage: ci, retry: 2, script: ['if test -e tried; then touch {}; sleep 1000; \
                 fi', 'touch tried; exit 3']}}\n",
                again.display()
            ),
        );
        let mut run = repo.program("loom-run");
        let run = run.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let run = run.spawn().unwrap();
        let limit = std::time::Duration::from_secs(30);
        wait_until("the second attempt goes on", limit, || again.exists());
        let id = run.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let worker: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
        let ran = Ran::from_output(&run.wait_with_output().unwrap()).expect_code(3);
        let manifest = ran.job("a");
        assert_eq!(manifest["attempts"], 2);
        assert_eq!(manifest["earlier_attempts"][0]["status"], "failure");
        assert_pointers_lead_somewhere(&ran.logs(), &manifest);
        assert_eq!(ran.receipt["jobs"][0]["attempts"], 2);
    });
}
