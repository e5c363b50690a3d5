//! Which job of a run runs when, and what a failure does to the others.
//!
//! Jobs tell each other through FIFOs: one that opens its end waits for the other, so a run ends
//! only if both really run at the same time. A time limit makes a wrong order fail, not hang.

use std::process::Command;

use libloom_testkit::{Repo, Sandbox};
use serde_json::Value;

use crate::ran::Ran;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// Stages `one`, `two`, `three` and the jobs in `text`, in which `FIFO` is a path.
fn workflow(repo: &Repo<'_>, text: &str) {
    let fifo = repo.sandbox().root().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let text = text.replace("FIFO", &fifo.display().to_string());
    let head = "version: v1\nstages: [one, two, three]\ndefault: {timeout: 20s}\n";
    repo.workflow(&format!("{head}{text}"));
}

fn status(ran: &Ran, job: &str) -> (String, Option<String>) {
    let summary = ran.document(&format!("jobs/{job}/summary.json"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&summary["status"]).unwrap(), text(&summary["reason"]))
}

#[test]
fn jobs_of_a_stage_run_at_the_same_time() {
    with_repo(|repo| {
        workflow(
            repo,
            "a: {stage: one, script: ['echo met >FIFO']}\n\
             b: {stage: one, script: ['read word <FIFO', 'echo $word']}\n",
        );
        let ran = Ran::of(repo, &["--jobs", "2"]).expect_code(0);
        assert_eq!(ran.output_text("b", "script/02", "stdout"), "met\n");
    });
}

#[test]
fn next_stage_waits_for_the_whole_stage_before_it() {
    with_repo(|repo| {
        workflow(
            repo,
            "a: {stage: one, script: [sleep 0.3, echo a >>order]}\n\
             b: {stage: one, script: [echo b >>order]}\n\
             c: {stage: two, script: [sort order]}\n",
        );
        let ran = Ran::of(repo, &["--jobs", "4"]).expect_code(0);
        assert_eq!(ran.output_text("c", "script/01", "stdout"), "a\nb\n");
    });
}

#[test]
fn job_with_needs_passes_the_barrier() {
    with_repo(|repo| {
        workflow(
            repo,
            "a: {stage: one, script: [echo a >made]}\n\
             slow: {stage: one, script: ['read word <FIFO', 'echo $word']}\n\
             c: {stage: two, needs: [a], script: ['cat made >FIFO']}\n",
        );
        let ran = Ran::of(repo, &["--jobs", "2"]).expect_code(0);
        assert_eq!(ran.output_text("slow", "script/02", "stdout"), "a\n");
    });
}

#[test]
fn failure_skips_what_depends_on_it_and_lets_the_rest_finish() {
    with_repo(|repo| {
        workflow(
            repo,
            "a: {stage: one, script: ['false']}\n\
             b: {stage: one, script: [sleep 0.3, echo b]}\n\
             c: {stage: two, script: [echo never]}\n\
             d: {stage: two, needs: [b], script: [echo d]}\n\
             e: {stage: three, needs: [a], script: [echo never]}\n",
        );
        let ran = Ran::of(repo, &["--jobs", "2"]).expect_code(1);
        let found = ["a", "b", "c", "d", "e"].map(|job| status(&ran, job));
        let pair = |status: &str, reason: Option<&str>| (status.into(), reason.map(str::to_owned));
        let expected = [
            pair("failure", Some("step_failed")),
            pair("success", None),
            pair("skipped", Some("earlier_stage_failed")),
            pair("success", None),
            pair("skipped", Some("needs_not_met")),
        ];
        assert_eq!(found, expected);
        let counts = &ran.receipt["counts"];
        assert_eq!([&counts["success"], &counts["failure"], &counts["skipped"]], [2, 1, 2]);
        assert!(
            ran.stderr.contains("job `c` skipped: stage `one`: job `a` failed"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn failure_that_is_allowed_fails_nothing() {
    with_repo(|repo| {
        workflow(
            repo,
            "a: {stage: one, allow_failure: true, script: [exit 3]}\n\
             b: {stage: two, script: [echo b]}\n\
             c: {stage: three, when: on_failure, script: [echo never]}\n",
        );
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(status(&ran, "a").0, "failure");
        assert_eq!(status(&ran, "b").0, "success");
        assert_eq!(status(&ran, "c").0, "skipped");
    });
}

#[test]
fn many_short_jobs_at_once_all_succeed() {
    with_repo(|repo| {
        let jobs =
            (0..60).map(|n| format!("j{n}: {{stage: one, script: [/bin/true, sleep 0 &]}}\n"));
        workflow(repo, &jobs.collect::<String>());
        let ran = Ran::of(repo, &["--jobs", "16"]).expect_code(0);
        assert_eq!(ran.receipt["counts"]["success"], 60);
    });
}
