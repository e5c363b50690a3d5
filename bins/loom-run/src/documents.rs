//! The documents of the run as a whole: pipeline, summary, phase report, receipt.

use std::path::Path;

use libloom_contract::{
    Status, StoreError, Timestamp,
    graph::Graph,
    logs::{PipelineManifest, PipelineSummary, RunSummary},
    receipt::{GraphPointer, JOBS_LISTED_MAX, JobLine, RunReceipt},
    store, version,
};

use crate::{
    bootstrap::Trouble, pipeline::Pipeline, run::Run, steps::milliseconds, verdict::Verdict,
};

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Status, reason and words.
    pub verdict: Verdict,
    /// Exit code of the process.
    pub exit_code: u8,
    /// What went wrong, where it was not a job.
    pub trouble: Option<Trouble>,
    /// What was executed; `None` when it never came to that.
    pub pipeline: Option<Pipeline>,
}

/// Writes summary and manifest of the pipeline.
pub fn write_pipeline(run: &Run, outcome: &Outcome) -> Result<(), StoreError> {
    let Some(pipeline) = &outcome.pipeline else { return Ok(()) };
    let summary = PipelineSummary {
        schema_version: version::LOGS.to_string(),
        kind: "loom-pipeline-summary".into(),
        run_id: run.id.clone(),
        pipeline_id: run.pipeline_id.clone(),
        status: pipeline.verdict.status,
        reason: pipeline.verdict.reason,
        message: pipeline.verdict.message.clone(),
        exit_code: outcome.exit_code.into(),
        started_at: pipeline.started_at,
        finished_at: Timestamp::now(),
        duration_ms: pipeline.duration_ms,
        counts: pipeline.counts,
    };
    store::write(&run.logs.pipeline_summary(), &summary)?;
    let failing = pipeline.failing_job.as_ref();
    let manifest = PipelineManifest {
        schema_version: version::LOGS.to_string(),
        kind: "loom-pipeline-manifest".into(),
        run_id: run.id.clone(),
        pipeline_id: run.pipeline_id.clone(),
        status: pipeline.verdict.status,
        failing_job_id: failing.cloned(),
        failing_job_manifest_path: failing
            .map(|job| run.logs.relative(&run.logs.job(job).manifest())),
        jobs: pipeline.jobs.clone(),
    };
    store::write(&run.logs.pipeline_manifest(), &manifest)
}

/// Writes the phase report and the run's summary; the phases are all over.
pub fn write_summary(run: &Run, outcome: &Outcome) -> Result<(), StoreError> {
    let report = {
        let ledger = run.ledger.lock().expect("no thread panics while it holds the lock");
        ledger.report(&run.id)
    };
    store::write(&run.logs.phase_report(), &report)?;
    let has_pipeline = outcome.pipeline.is_some();
    let relative = |path: &Path| run.logs.relative(path);
    let summary = RunSummary {
        schema_version: version::RUN_SUMMARY.to_string(),
        kind: "loom-run-local-logs".into(),
        run_id: run.id.clone(),
        pipeline_id: run.pipeline_id.clone(),
        status: outcome.verdict.status,
        reason: outcome.verdict.reason,
        message: outcome.verdict.message.clone(),
        exit_code: outcome.exit_code.into(),
        started_at: run.started_at,
        finished_at: Timestamp::now(),
        duration_ms: milliseconds(run.started.elapsed()),
        events_path: relative(&run.logs.events()),
        phase_report_path: relative(&run.logs.phase_report()),
        pipeline_summary_path: has_pipeline.then(|| relative(&run.logs.pipeline_summary())),
        pipeline_manifest_path: has_pipeline.then(|| relative(&run.logs.pipeline_manifest())),
        snapshot_path: run.snapshot.get().map(|snapshot| snapshot.path.clone()),
    };
    store::write(&run.logs.summary(), &summary)
}

/// Writes the receipt: the run is over.
pub fn write_receipt(
    run: &Run,
    graph: Option<&Graph>,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let pipeline = outcome.pipeline.as_ref();
    let snapshot = run.snapshot.get();
    let receipt = RunReceipt {
        schema_version: version::RECEIPT.to_string(),
        kind: "loom-run-local".into(),
        run_id: run.id.clone(),
        loom_version: env!("CARGO_PKG_VERSION").into(),
        command: run.command.clone(),
        repo_root: text(&run.repo_root),
        workflow_path: text(&run.repo_root.join(&run.workflow)),
        started_at: run.started_at,
        finished_at: Timestamp::now(),
        duration_ms: milliseconds(run.started.elapsed()),
        status: outcome.verdict.status,
        reason: outcome.verdict.reason,
        exit_code: outcome.exit_code.into(),
        error: outcome.trouble.as_ref().map(|trouble| trouble.error.clone()),
        logs_dir: text(run.logs.folder()),
        events_jsonl_path: text(&run.logs.events()),
        phase_report_path: text(&run.logs.phase_report()),
        pipeline_manifest_path: pipeline.map(|_| text(&run.logs.pipeline_manifest())),
        snapshot_path: snapshot.map(|snapshot| snapshot.path.clone()),
        snapshot_head_sha: snapshot.and_then(|snapshot| snapshot.facts.head_sha.clone()),
        branch: snapshot.and_then(|snapshot| snapshot.facts.branch.clone()),
        graph_ir: graph.map(|graph| graph_pointer(run, graph)),
        counts: pipeline.map(|pipeline| pipeline.counts).unwrap_or_default(),
        jobs: pipeline.map(job_lines).unwrap_or_default(),
        executor_receipt: pipeline.map(|pipeline| pipeline.executor),
    };
    store::write(&run.layout.run_receipt(&run.id), &receipt)
}

/// Where the graph document is; its path is left out when it could not be recorded.
pub fn graph_pointer(run: &Run, graph: &Graph) -> GraphPointer {
    let path = run.layout.graph(&graph.digest);
    GraphPointer {
        path: path.is_file().then(|| path.to_string_lossy().into_owned()),
        digest: graph.digest.clone(),
        schema_version: graph.schema_version.clone(),
    }
}

/// The jobs; where there are many only those that did not succeed.
fn job_lines(pipeline: &Pipeline) -> Vec<JobLine> {
    let few = pipeline.jobs.len() <= JOBS_LISTED_MAX;
    let wanted = pipeline.jobs.iter().filter(|job| few || job.status != Status::Success);
    let line = |job: &libloom_contract::logs::JobEntry| JobLine {
        job_id: job.job_id.clone(),
        status: job.status,
        reason: job.reason,
        duration_ms: job.duration_ms,
        attempts: job.attempts,
        cpu_ms: job.cpu_ms,
        peak_rss_bytes: job.peak_rss_bytes,
    };
    wanted.map(line).collect()
}
