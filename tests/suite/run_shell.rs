//! What surrounds the entries of a job: the login profile, tracing, long scripts, background
//! processes, `after_script`, the time limit.

use std::fs;
use std::time::{Duration, Instant};

use libloom_testkit::{Repo, Sandbox};

use crate::ran::{Ran, bytes_of, workflow};
use crate::run_steps::use_as_sh;

/// The shells that are installed; `run_steps` reports the ones that are not.
fn shells() -> impl Iterator<Item = &'static str> {
    let all = [("dash", cfg!(has_dash)), ("bash", cfg!(has_bash)), ("busybox", cfg!(has_busybox))];
    all.into_iter().filter(|(_, installed)| *installed).map(|(shell, _)| shell)
}

fn with_repo(test: impl Fn(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

fn in_every_shell(test: impl Fn(&Repo<'_>)) {
    for shell in shells() {
        with_repo(|repo| {
            use_as_sh(repo.sandbox(), shell);
            test(repo);
        });
    }
}

fn profile(repo: &Repo<'_>) {
    let text = "PATH=/usr/bin:/bin\nGREETING=profile\necho the profile speaks\n";
    fs::write(repo.sandbox().home().join(".profile"), text).unwrap();
}

#[test]
fn path_and_variables_survive_a_login_profile_that_replaces_them() {
    in_every_shell(|repo| {
        profile(repo);
        repo.sandbox().script(&repo.sandbox().bin(), "users-tool", "echo of the user");
        repo.write("tools/jobs-tool", "#!/bin/sh\necho of the job\n")
            .mode("tools/jobs-tool", 0o755);
        repo.workflow(
            "version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  variables:\n    \
             PATH: $LOOM_PROJECT_DIR/tools:$PATH\n    GREETING: job\n  \
             script: [users-tool, jobs-tool, echo $GREETING]\n",
        );
        let ran = Ran::of(repo, &[]).expect_code(0);
        let written = |step| ran.output_text("build", step, "stdout");
        assert_eq!(written("script/01"), "of the user\n");
        assert_eq!(written("script/02"), "of the job\n");
        assert_eq!(written("script/03"), "job\n");
    });
}

#[test]
fn output_of_the_login_profile_belongs_to_no_step() {
    in_every_shell(|repo| {
        profile(repo);
        repo.workflow(&workflow([("build", vec!["echo of the entry"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let around = ran.events("jobs/build/user/execution/events.jsonl");
        assert_eq!(bytes_of(&around, "stdout"), b"the profile speaks\n");
        assert_eq!(ran.output_text("build", "script/01", "stdout"), "of the entry\n");
    });
}

/// A job's whole stderr, what belongs to no step included.
fn traces(ran: &Ran) -> String {
    let around = ran.events("jobs/build/user/execution/events.jsonl");
    let around = String::from_utf8(bytes_of(&around, "stderr")).unwrap();
    let of_step = |number| ran.output_text("build", &format!("script/0{number}"), "stderr");
    around + &of_step(1) + &of_step(2)
}

#[track_caller]
fn assert_only_entries_are_traced(ran: &Ran) {
    let traces = traces(ran);
    for command in ["echo one", "A=1", "echo two"] {
        assert!(traces.contains(&format!("+ {command}\n")), "{traces}");
    }
    let traced: Vec<&str> = traces.lines().map(|line| line.trim_start_matches('+')).collect();
    assert_eq!(traced, [" echo one", " A=1", " echo two"], "nothing else is traced");
}

#[test]
fn tracing_by_the_environment_shows_the_entries_and_nothing_of_the_driver() {
    in_every_shell(|repo| {
        repo.workflow(&workflow([("build", vec!["echo one; A=1", "echo two"])]));
        for name in ["LOOM_DEBUG_TRACE", "CI_DEBUG_TRACE"] {
            let ran = Ran::by(repo.command("loom-run").env(name, "true")).expect_code(0);
            assert_only_entries_are_traced(&ran);
        }
    });
}

#[test]
fn tracing_by_a_variable_of_the_job_shows_the_entries_and_nothing_of_the_driver() {
    in_every_shell(|repo| {
        let job = workflow([("build", vec!["echo one; A=1", "echo two"])]);
        repo.workflow(&format!("{job}  variables:\n    CI_DEBUG_TRACE: \"on\"\n"));
        assert_only_entries_are_traced(&Ran::of(repo, &[]).expect_code(0));
    });
}

#[test]
fn script_longer_than_one_argument_runs() {
    in_every_shell(|repo| {
        let long = format!("A={}; echo ${{#A}}", "x".repeat(140_000));
        repo.workflow(&workflow([("build", vec![&long, "echo again ${#A}; exit 4"])]));
        let ran = Ran::of(repo, &[]).expect_code(1);
        assert_eq!(ran.output_text("build", "script/01", "stdout"), "140000\n");
        assert_eq!(ran.output_text("build", "script/02", "stdout"), "again 140000\n");
        assert_eq!(ran.step("build", "script/02")["exit_code"], 4);
    });
}

#[test]
fn background_process_that_holds_the_pipe_is_ended_with_a_note() {
    with_repo(|repo| {
        let entry = "echo $$; sleep 1000 & setsid sleep 1000 & echo begun";
        repo.workflow(&workflow([("build", vec![entry, "echo done"])]));
        let begun = Instant::now();
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert!(begun.elapsed() < Duration::from_secs(30), "the job hung");
        assert_eq!(ran.output_text("build", "script/02", "stdout"), "done\n");
        let cleanup = ran.events("jobs/build/system/cleanup/events.jsonl");
        let note = cleanup.iter().find(|event| event["event"] == "note").unwrap();
        let text = note["text"].as_str().unwrap();
        assert!(text.contains("2 background processes"), "{text}");
    });
}

const AFTER: &str = "  before_script: [export A=1]\n  \
    after_script: ['echo after ${A-unset}', 'exit 7', echo never]\n";

#[test]
fn after_script_runs_in_a_shell_of_its_own_and_decides_nothing() {
    with_repo(|repo| {
        for (entry, code) in [("echo $A", 0), ("exit 3", 1)] {
            let job = workflow([("build", vec![entry])]);
            repo.workflow(&format!("{job}{AFTER}"));
            let ran = Ran::of(repo, &[]).expect_code(code);
            assert_eq!(ran.output_text("build", "after_script/01", "stdout"), "after unset\n");
            let statuses = ["before_script/01", "script/01", "after_script/02", "after_script/03"]
                .map(|step| ran.step("build", step)["status"].as_str().unwrap().to_owned());
            let of_script = if code == 0 { "success" } else { "failure" };
            assert_eq!(statuses, ["success", of_script, "failure", "skipped"]);
            let manifest = ran.job("build");
            let failing = (code == 1).then_some("script/01");
            assert_eq!(manifest["failing_step"].as_str(), failing, "{manifest:#}");
        }
    });
}

#[test]
fn job_that_takes_too_long_fails_and_its_after_script_still_runs() {
    with_repo(|repo| {
        let job = workflow([("build", vec!["echo begun", "sleep 1000", "echo never"])]);
        repo.workflow(&format!("{job}{AFTER}  timeout: 1s\n"));
        let begun = Instant::now();
        let ran = Ran::of(repo, &[]).expect_code(1);
        assert!(begun.elapsed() < Duration::from_secs(30), "the time limit is a second");
        assert_eq!(ran.document("jobs/build/summary.json")["reason"], "timeout");
        assert_eq!(ran.step("build", "script/01")["status"], "success");
        assert_eq!(ran.step("build", "script/02")["reason"], "timeout");
        assert_eq!(ran.step("build", "script/03")["reason"], "earlier_step_failed");
        assert_eq!(ran.output_text("build", "after_script/01", "stdout"), "after unset\n");
    });
}

#[test]
fn job_that_ignores_the_end_of_its_time_is_killed_after_the_grace() {
    with_repo(|repo| {
        let job = workflow([("build", vec!["trap '' TERM; sleep 1000"])]);
        repo.workflow(&format!("{job}  timeout: 1s\n"));
        let begun = Instant::now();
        let ran = Ran::of(repo, &["--grace", "1"]).expect_code(1);
        assert!((2..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(ran.step("build", "script/01")["reason"], "timeout");
    });
}

#[test]
fn shell_that_cannot_be_started_leaves_a_whole_record() {
    with_repo(|repo| {
        let job = workflow([("build", vec!["echo never"])]);
        let half = "x".repeat(100_000);
        repo.workflow(&format!("{job}  variables:\n    A: {half}\n    B: $A$A\n"));
        let ran = Ran::of(repo, &[]).expect_code(1).expect_said(&["variables are too long"]);
        let summary = ran.document("jobs/build/summary.json");
        assert_eq!([&summary["status"], &summary["reason"]], ["failure", "loom_error"]);
        assert_eq!(ran.job("build")["status"], "failure");
    });
}
