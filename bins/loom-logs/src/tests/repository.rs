//! A run with a failure, as the tests of this crate read it.

use std::{fs, path::Path};

use clap::Parser as _;
use libloom_console::{Captured, Console, Verbosity};
use libloom_contract::{
    Document as _, Reason, Status, Timestamp,
    event::{EventKind, Stream},
    layout::Layout,
    logs::{JobCounts, JobEntry, JobManifest, PipelineManifest, StepEntry, StepSummary},
    receipt::RunReceipt,
    store,
};
use libloom_entry::{Context, Environment, Failure};
use libloom_record::events::{EventLog, Output, Subject};

use crate::Arguments;

pub(super) const RUN: &str = "loom-run-local-1772865600000000000";

/// A repository with runs that never happened, written through the types of the contract.
pub(super) struct Repository {
    pub(super) folder: tempfile::TempDir,
    pub(super) layout: Layout,
}

impl Repository {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        let layout = Layout::of_repository(folder.path());
        Repository { folder, layout }
    }

    /// A run of `jobs` jobs of which the last fails in its second step, which wrote `output`.
    pub(super) fn with_failure(jobs: usize, output: &[u8]) -> Self {
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

    pub(super) fn write_step(&self, output: &[u8]) {
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

    pub(super) fn write_manifests(&self, jobs: usize) {
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
            cpu_ms: None,
            peak_rss_bytes: None,
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

    pub(super) fn write_receipt(
        &self,
        run_id: &str,
        change: impl FnOnce(RunReceipt) -> RunReceipt,
    ) {
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
            branch: Some("main".into()),
            graph_ir: None,
            counts: JobCounts::default(),
            jobs: Vec::new(),
            executor_receipt: None,
        };
        store::write(&self.layout.run_receipt(run_id), &change(receipt)).unwrap();
    }

    pub(super) fn logs(&self, arguments: &[&str]) -> (Result<u8, Failure>, Captured) {
        let (console, captured) = Console::captured(Verbosity::Normal);
        let context = Context::of_parts(console, self.folder.path(), Environment::default());
        let line = ["loom-logs"].iter().chain(arguments);
        (crate::run(Arguments::try_parse_from(line).unwrap(), &context), captured)
    }

    pub(super) fn out(&self, arguments: &[&str]) -> String {
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
        tests: None,
        dotenv: None,
        attempts: 1,
        earlier_attempts: Vec::new(),
        finished_in: None,
    }
}
