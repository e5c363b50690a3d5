//! `list`, `show` and `explain`.

use std::fs;

use clap::Parser as _;
use libloom_console::{Console, Verbosity};
use libloom_contract::{
    Reason, Status,
    event::{EventKind, PhaseCode, RunContext},
    receipt::RunReceipt,
};
use libloom_entry::{Context, Environment};
use libloom_record::{
    events::{EventLog, Subject},
    lock,
};

use super::repository::{RUN, Repository};
use crate::{Arguments, brief::JSON_MAX};

#[test]
fn bare_explains_the_failing_step_of_the_latest_run() {
    let text = Repository::with_failure(5, b"one\n\x1b[2Jtwo\nthree").out(&[]);
    for expected in [
        "failure (job failed), exit code 1, 3.2 s",
        "job test (stage check): failure (step failed)",
        "step script/02: failure (exit code), exit code 2, after 7 ms",
        "  $ make test\n  .loom/workflow.yml:7:9\n",
        "last 3 lines\n  | one\n  | \\u{1b}[2Jtwo\n  | three\n",
        "logs show loom-run-local-1772865600000000000 --job test --step script/02",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    let places = ["receipts/", "pipeline/manifest.json", "test/manifest.json", "02/events.jsonl"];
    let places: Vec<_> = places.iter().map(|place| text.find(place).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn explanation_for_agents_fits_whatever_the_output() {
    let long = "\u{1}".repeat(9_000) + "\n";
    for output in ["last\n".repeat(50), long.repeat(30), String::new()] {
        let repository = Repository::with_failure(1_000, output.as_bytes());
        let json = repository.out(&["explain", "--json"]);
        assert!(json.len() <= JSON_MAX, "{}", json.len());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["job"]["step"]["exit_code"], 2);
        assert_eq!(value["evidence"].as_array().unwrap().is_empty(), output.is_empty());
        assert_eq!(value["walked"][2], "jobs/test/manifest.json");
    }
}

#[test]
fn successful_run_gets_a_short_summary() {
    let repository = Repository::new();
    repository.write_receipt(RUN, |receipt| receipt);
    let text = repository.out(&["explain"]);
    assert!(text.contains(": success, exit code 0, 3.2 s") && text.lines().count() < 7, "{text}");
}

#[test]
fn without_runs_list_is_friendly_and_the_others_say_so() {
    let repository = Repository::new();
    let (result, captured) = repository.logs(&["list"]);
    assert_eq!((result.unwrap(), captured.out().as_str()), (0, ""));
    assert!(captured.err().contains("loom run --local"));
    assert_eq!(repository.out(&["list", "--json"]), "[]\n");
    for arguments in [&["explain"][..], &["show"], &[]] {
        let failure = repository.logs(arguments).0.unwrap_err();
        assert_eq!(failure.kind.exit_code(), 3);
        assert!(!failure.hints.is_empty());
    }
}

#[test]
fn damage_in_one_run_hides_no_other() {
    let repository = Repository::with_failure(1, b"x\n");
    let damaged = "loom-run-local-1772865600000000001";
    fs::create_dir_all(repository.layout.run(damaged).folder()).unwrap();
    fs::write(repository.layout.run_receipt(damaged), "{\"schema").unwrap();
    let text = repository.out(&["list"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with(damaged) && lines[1].contains("damaged"), "{text}");
    assert!(lines[2].starts_with(RUN) && lines[2].contains("failure (job failed)"), "{text}");
    let filtered = repository.out(&["list", "--json", "--status", "failure"]);
    let rows: serde_json::Value = serde_json::from_str(&filtered).unwrap();
    assert_eq!((rows[0]["run_id"].as_str(), rows.as_array().unwrap().len()), (Some(RUN), 1));
    // Explaining the damaged one mends what can be mended.
    assert!(repository.out(&["explain"]).contains("cancelled (interrupted)"));
}

#[test]
fn raw_is_exact_and_reading_is_safe() {
    let output = [&b"\x1b[31mred\x1b[m\r\n\xff\x00 10%\r100%"[..], &[b'x'; 130_000]].concat();
    let repository = Repository::with_failure(1, &output);
    let part = repository.layout.run(RUN);
    assert!(part.folder().is_dir());
    let text = repository.out(&["show", "--job", "test", "--step", "2"]);
    assert!(text.contains("=== job test\n--- script/02 $ make test: failure"), "{text:.300}");
    assert!(text.contains("\nred\n") && !text.contains('\u{1b}') && text.ends_with("x\n"));
    let (console, captured) = Console::captured(Verbosity::Normal);
    let context = Context::of_parts(console, repository.folder.path(), Environment::default());
    let arguments = ["loom-logs", "show", "--raw", "--step", "script/02"];
    crate::run(Arguments::try_parse_from(arguments).unwrap(), &context).unwrap();
    assert_eq!(captured.out(), String::from_utf8_lossy(&output));
    assert_eq!(repository.out(&["show", "--raw", "--stderr"]), "");
}

#[test]
fn unknown_job_and_step_are_answered_with_the_known_ones() {
    let repository = Repository::with_failure(3, b"x\n");
    let failure = repository.logs(&["show", "--job", "tset"]).0.unwrap_err();
    assert_eq!(failure.hints, ["its jobs are job-1, job-2, test"]);
    let failure = repository.logs(&["show", "--job", "test", "--step", "9"]).0.unwrap_err();
    assert_eq!(failure.hints, ["steps that began: script/02"]);
    assert_eq!(repository.logs(&["show", "--step", "1"]).0.unwrap_err().kind.exit_code(), 2);
    assert_eq!(repository.logs(&["explain", "nope"]).0.unwrap_err().kind.exit_code(), 3);
}

#[test]
fn run_in_progress_is_shown_and_left_alone() {
    let repository = Repository::new();
    repository.write_step(b"so far\n");
    let _lock = lock::take(repository.layout.run(RUN).folder()).unwrap().unwrap();
    assert!(repository.out(&["explain"]).contains("still running"));
    assert!(repository.out(&["list"]).contains("running"));
    assert!(repository.out(&["show"]).contains("so far\n"));
    assert!(!repository.layout.receipts().exists());
}

#[test]
fn killed_run_is_completed_before_it_is_explained() {
    let repository = Repository::new();
    let run = repository.layout.run(RUN);
    let mut log = EventLog::create(&run.events(), Subject::phase(PhaseCode::RunBootstrap)).unwrap();
    let context = RunContext {
        command: vec!["loom".into()],
        loom_version: "0.1.0".into(),
        pipeline_id: "p".into(),
        repo_root: "/r".into(),
        workflow_path: "/r/w".into(),
    };
    let serde_json::Value::Object(data) = serde_json::to_value(context).unwrap() else { panic!() };
    let start = Subject::phase(PhaseCode::RunBootstrap).event(EventKind::Start);
    log.append(libloom_contract::event::Event { data: Some(data), ..start }).unwrap();
    let (result, captured) = repository.logs(&[]);
    assert_eq!(result.unwrap(), 0);
    assert!(captured.err().contains("had been interrupted"), "{}", captured.err());
    assert!(captured.out().contains("cancelled (interrupted), exit code 3"), "{}", captured.out());
}

#[test]
fn explaining_reads_pointers_not_logs() {
    let repository = Repository::with_failure(1_000, b"the end\n");
    // Any other document or log that was read would be missing: there is none.
    let text = repository.out(&["explain", "latest"]);
    assert!(text.contains("| the end\n"), "{text}");
}

#[test]
fn explanation_for_agents_fits_with_long_paths_names_and_messages() {
    let repository = Repository::with_failure(1, b"the end\n");
    for (length, text) in [(10, "x"), (300, "\u{1}"), (4_000, "\u{65e5}"), (400_000, "\"")] {
        let long = text.repeat(length);
        repository.write_receipt(RUN, |receipt| RunReceipt {
            status: Status::Failure,
            reason: Some(Reason::JobFailed),
            error: Some(long.clone()),
            logs_dir: format!("/{long}"),
            snapshot_path: Some(format!("/{long}")),
            workflow_path: format!("/{long}"),
            ..receipt
        });
        let json = repository.out(&["explain", "--json"]);
        assert!(json.len() <= JSON_MAX, "{}", json.len());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let cause = "step script/02 of job test: failure (exit code), exit code 2";
        assert_eq!(value["cause"], cause, "{json}");
        assert_eq!(value["evidence"][0], "the end", "{json}");
        assert_eq!(value["shortened"].as_bool(), (length > 10).then_some(true));
    }
}

#[test]
fn list_is_filtered_by_branch_workflow_and_age() {
    let repository = Repository::new();
    let (now, old) =
        (libloom_contract::Timestamp::now().nanoseconds(), 1_772_865_600_000_000_000_i128);
    for (began, branch, workflow) in
        [(now, "main", "/r/.loom/workflow.yml"), (old, "topic", "/r/ci/other.yml")]
    {
        repository.write_receipt(&format!("loom-run-local-{began}"), |receipt| RunReceipt {
            branch: Some(branch.into()),
            workflow_path: workflow.into(),
            ..receipt
        });
    }
    let listed = |arguments: &[&str]| {
        let text = repository.out(&[&["list", "--json"], arguments].concat());
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        rows.iter().map(|row| row["branch"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]), ["main", "topic"]);
    assert_eq!(listed(&["--branch", "topic"]), ["topic"]);
    assert_eq!(listed(&["--workflow", "other.yml"]), ["topic"]);
    assert_eq!(listed(&["--workflow", "./ci/other.yml"]), ["topic"]);
    assert_eq!(listed(&["--workflow", "ther.yml"]), [""; 0]);
    assert_eq!(listed(&["--since", "1d"]), ["main"]);
    assert_eq!(listed(&["--older-than", "1d"]), ["topic"]);
    assert_eq!(listed(&["--since", "2026-03-01T00:00:00Z", "--older-than", "1d"]), ["topic"]);
    assert_eq!(listed(&["-n", "1"]), ["main"]);
    assert_eq!(listed(&["-n", "0"]), ["main", "topic"]);
}

#[test]
fn lines_are_searched_as_they_are_read() {
    let repository =
        Repository::with_failure(1, b"one \x1b[31mtwo\x1b[0m\nthree\r10%\rtwo!\nfour\n");
    let (result, captured) = repository.logs(&["show", "--grep", "o.e two|wo!|^$"]);
    assert_eq!(result.unwrap(), 0);
    let out = captured.out();
    assert!(out.starts_with("=== job test\n--- script/02 $ make test"), "{out}");
    assert!(out.ends_with("\none two\ntwo!\n"), "{out}");
    let (result, captured) = repository.logs(&["show", "--grep", "three"]);
    assert_eq!((result.unwrap(), captured.out().as_str()), (1, ""));
    assert!(Arguments::try_parse_from(["loom-logs", "show", "--grep", "("]).is_err());
}

#[test]
fn output_is_picked_by_stream_list_and_time() {
    let repository = Repository::with_failure(1, b"out\n");
    assert!(repository.out(&["show", "--step", "script"]).ends_with("\nout\n"));
    assert!(!repository.out(&["show", "--stderr"]).contains("\nout\n"));
    assert_eq!(repository.out(&["show", "--raw", "--since", "1h"]), "out\n");
    assert_eq!(repository.out(&["show", "--raw", "--since", "2999-01-01T00:00:00Z"]), "");
    assert_eq!(
        repository.logs(&["show", "--step", "after_script"]).0.unwrap_err().kind.exit_code(),
        3
    );
}

#[test]
fn following_a_finished_run_shows_it_and_ends() {
    let repository = Repository::with_failure(1, b"one\nunfinished");
    let expected = "test | one\ntest | unfinished\n\
        run loom-run-local-1772865600000000000: failure (job failed) in 3.2 s\n";
    assert_eq!(repository.out(&["--follow"]), expected);
    assert_eq!(repository.out(&["show", "--follow", "--job", "test"]), expected);
    assert_eq!(repository.out(&["show", "--follow", "--raw"]), "one\nunfinished");
    let failure = repository.logs(&["show", "--follow", "--job", "tset"]).0.unwrap_err();
    assert_eq!(failure.hints, ["its jobs are test"]);
}
