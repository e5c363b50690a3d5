//! The commands on trees that are written through the types of the contract.

use std::{fs, path::Path};

use clap::Parser as _;
use libloom_console::{Captured, Console, Verbosity};
use libloom_contract::{
    Document as _, Reason, Status, Timestamp,
    event::{EventKind, PhaseCode, RunContext, Stream},
    layout::Layout,
    logs::{JobCounts, JobEntry, JobManifest, PipelineManifest, StepEntry, StepSummary},
    receipt::RunReceipt,
    store,
};
use libloom_entry::{Context, Environment, Failure};
use libloom_record::{
    events::{EventLog, Output, Subject},
    lock,
};

use crate::{Arguments, report::JSON_MAX};

const RUN: &str = "loom-run-local-1772865600000000000";

struct Repository {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        let layout = Layout::of_repository(folder.path());
        Repository { folder, layout }
    }

    /// A run of `jobs` jobs of which the last fails in its second step, which wrote `output`.
    fn with_failure(jobs: usize, output: &[u8]) -> Self {
        let repository = Repository::new();
        repository.write_step(output);
        repository.write_manifests(jobs);
        let counts = JobCounts { total: jobs as u64, failure: 1, ..JobCounts::default() };
        let reason = Some(Reason::JobFailed);
        repository.write_receipt(RUN, |receipt| RunReceipt {
            status: Status::Failure,
            reason,
            exit_code: 1,
            counts,
            ..receipt
        });
        repository
    }

    fn write_step(&self, output: &[u8]) {
        let run = self.layout.run(RUN);
        let step = crate::steps::parse("2").unwrap();
        let part = run.job("test").step(&step);
        let subject = Subject::step("script/02", "test");
        let mut log = EventLog::create(&part.events(), subject.clone()).unwrap();
        log.append_own(EventKind::Start).unwrap();
        for bytes in output.chunks(60_000) {
            let (ts, stream) = (Timestamp::now(), Stream::Stdout);
            let partial = !bytes.ends_with(b"\n");
            log.output(Output { ts, stream, bytes, lines: 1, partial }).unwrap();
        }
        log.append(subject.finish(Status::Failure, Some(Reason::ExitCode), 7)).unwrap();
        let summary = StepSummary {
            schema_version: StepSummary::FORMAT.to_string(),
            kind: StepSummary::KIND.into(),
            job_id: "test".into(),
            step: "script/02".into(),
            command: "make test".into(),
            position: Some(".loom/workflow.yml:7:9".into()),
            status: Status::Failure,
            reason: Some(Reason::ExitCode),
            message: None,
            exit_code: Some(2),
            signal: None,
            started_at: Some(Timestamp::now()),
            duration_ms: 7,
            output_lines: 1,
            stdout_bytes: output.len() as u64,
            stderr_bytes: 0,
            dropped_bytes: None,
            events_path: Some(run.relative(&part.events())),
        };
        store::write(&part.summary(), &summary).unwrap();
    }

    fn write_manifests(&self, jobs: usize) {
        let run = self.layout.run(RUN);
        let entry = |id: String, status| JobEntry {
            manifest_path: run.relative(&run.job(&id).manifest()),
            job_id: id,
            label: None,
            stage: "check".into(),
            status,
            reason: None,
            duration_ms: 3,
            attempts: 1,
        };
        let mut entries: Vec<JobEntry> =
            (1..jobs).map(|n| entry(format!("job-{n}"), Status::Success)).collect();
        entries.push(entry("test".into(), Status::Failure));
        let pipeline = PipelineManifest {
            schema_version: PipelineManifest::FORMAT.to_string(),
            kind: PipelineManifest::KIND.into(),
            run_id: RUN.into(),
            pipeline_id: "p".into(),
            status: Status::Failure,
            failing_job_id: Some("test".into()),
            failing_job_manifest_path: Some("jobs/test/manifest.json".into()),
            jobs: entries,
        };
        store::write(&run.pipeline_manifest(), &pipeline).unwrap();
        store::write(&run.job("test").manifest(), &job_manifest()).unwrap();
    }

    fn write_receipt(&self, run_id: &str, change: impl FnOnce(RunReceipt) -> RunReceipt) {
        let run = self.layout.run(run_id);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        fs::create_dir_all(run.folder()).unwrap();
        let receipt = RunReceipt {
            schema_version: RunReceipt::FORMAT.to_string(),
            kind: RunReceipt::KIND.into(),
            run_id: run_id.into(),
            loom_version: "0.1.0".into(),
            command: vec!["loom".into(), "run".into()],
            repo_root: text(self.folder.path()),
            workflow_path: "w".into(),
            started_at: Timestamp::now(),
            finished_at: Timestamp::now(),
            duration_ms: 3_200,
            status: Status::Success,
            reason: None,
            exit_code: 0,
            error: None,
            logs_dir: text(run.folder()),
            events_jsonl_path: text(&run.events()),
            phase_report_path: text(&run.phase_report()),
            pipeline_manifest_path: Some(text(&run.pipeline_manifest())),
            snapshot_path: None,
            snapshot_head_sha: None,
            graph_ir: None,
            counts: JobCounts::default(),
            jobs: Vec::new(),
            executor_receipt: None,
        };
        store::write(&self.layout.run_receipt(run_id), &change(receipt)).unwrap();
    }

    fn logs(&self, arguments: &[&str]) -> (Result<u8, Failure>, Captured) {
        let (console, captured) = Console::captured(Verbosity::Normal);
        let context = Context::of_parts(console, self.folder.path(), Environment::default());
        let line = ["loom-logs"].iter().chain(arguments);
        (crate::run(Arguments::try_parse_from(line).unwrap(), &context), captured)
    }

    fn out(&self, arguments: &[&str]) -> String {
        let (result, captured) = self.logs(arguments);
        assert_eq!(result.unwrap(), 0);
        captured.out()
    }
}

fn job_manifest() -> JobManifest {
    let events = "jobs/test/user/execution/script/02/events.jsonl";
    JobManifest {
        schema_version: JobManifest::FORMAT.to_string(),
        kind: JobManifest::KIND.into(),
        job_id: "test".into(),
        status: Status::Failure,
        reason: Some(Reason::StepFailed),
        message: None,
        failing_section: None,
        failing_section_events_path: None,
        failing_step: Some("script/02".into()),
        failing_step_events_path: Some(events.into()),
        execution_events_path: None,
        steps: vec![StepEntry {
            step: "script/02".into(),
            status: Status::Failure,
            exit_code: Some(2),
            duration_ms: 7,
            summary_path: events.replace("events.jsonl", "summary.json"),
        }],
        system_sections: Vec::new(),
        artifacts: None,
        attempts: 1,
        earlier_attempts: Vec::new(),
        finished_in: None,
    }
}

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
