//! Completing the pipeline and the run itself, the receipt last.

use std::{collections::BTreeSet, fs, path::Path};

use libloom_contract::{
    Document as _, Reason, Status, Timestamp,
    event::{Event, PhaseCode, RunContext, RunPlan},
    exit,
    graph::{Graph, Node},
    layout::{Layout, RunLayout},
    logs::{JobCounts, PhaseReport, PipelineManifest, PipelineSummary, RunSummary},
    receipt::{ExecutorReceipt, JOBS_LISTED_MAX, JobLine, RunReceipt},
    store,
};

use super::{
    CompleteError,
    job::{self, CompletedJob, Plan},
    mend::{Ending, MendedStream, milliseconds},
    sweep::sweep,
    whole,
};
use crate::{phases::PhaseLedger, read::began_at};

/// Completes a run that lies in `layout` itself.
pub(super) fn complete(layout: &Layout, run_id: &str) -> Result<(), CompleteError> {
    let paths = layout.run(run_id);
    let events = MendedStream::of(&paths.events())?;
    let pipeline = MendedStream::of(&paths.pipeline_events())?;
    let context = context(layout, run_id, &events);
    let plan: Option<RunPlan> = events.finish_of(PhaseCode::RunBootstrap).and_then(data);
    let plans = plans(layout, &paths, plan.as_ref())?;
    sweep(layout, &paths)?;
    let mut ledger = PhaseLedger::new();
    let mut jobs = Vec::new();
    for plan in &plans {
        jobs.push(job::complete(&paths, plan, &mut ledger)?);
    }
    let started_at = events.first.or_else(|| began_at(run_id)).unwrap_or_else(Timestamp::now);
    let last = jobs.iter().map(|job| job.last).chain([events.last, pipeline.last]).max().flatten();
    let finished_at = last.unwrap_or(started_at);
    let mut run = Run {
        layout,
        run_id,
        paths,
        events,
        pipeline,
        context,
        plan,
        jobs,
        started_at,
        finished_at,
    };
    run.complete_pipeline()?;
    run.complete_run(ledger)
}

struct Run<'a> {
    layout: &'a Layout,
    run_id: &'a str,
    paths: RunLayout,
    events: MendedStream,
    pipeline: MendedStream,
    context: RunContext,
    plan: Option<RunPlan>,
    jobs: Vec<CompletedJob>,
    started_at: Timestamp,
    finished_at: Timestamp,
}

/// How the run as a whole ended.
struct Outcome {
    ending: Ending,
    exit_code: i32,
    started_at: Timestamp,
    finished_at: Timestamp,
    duration_ms: u64,
}

impl Run<'_> {
    fn had_pipeline(&self) -> bool {
        let begun = self.events.start_of(PhaseCode::RunPipelineExecute).is_some();
        begun || !self.jobs.is_empty() || self.pipeline.has_records()
    }

    /// Writes the pipeline's documents, then the end of its events: while its phase is open the
    /// documents are not final, and this is found again if it does not come to its end.
    fn complete_pipeline(&mut self) -> Result<(), CompleteError> {
        if !self.had_pipeline() {
            return Ok(());
        }
        let final_already = !self.pipeline.is_open(PhaseCode::PipelineExecute);
        let summary: Option<PipelineSummary> = whole(&self.paths.pipeline_summary())?;
        let manifest: Option<PipelineManifest> = whole(&self.paths.pipeline_manifest())?;
        let ending = match summary.as_ref().filter(|_| final_already) {
            Some(summary) => {
                let PipelineSummary { status, reason, message, exit_code, .. } = summary.clone();
                Ending { status, reason, message, exit_code: Some(exit_code) }
            }
            None => self.pipeline_ending(),
        };
        if summary.is_none() || !final_already {
            store::write(&self.paths.pipeline_summary(), &self.pipeline_summary(&ending))?;
        }
        if manifest.is_none() || !final_already {
            store::write(&self.paths.pipeline_manifest(), &self.pipeline_manifest(ending.status))?;
        }
        self.pipeline.close(&ending)?;
        self.pipeline.ensure_phase(PhaseCode::PipelineExecute, &ending)
    }

    fn pipeline_ending(&self) -> Ending {
        let ended = self.pipeline.ending_of(PhaseCode::PipelineExecute);
        let ending = ended.unwrap_or_else(Ending::interrupted);
        let code = ending.exit_code.unwrap_or(match ending.status {
            Status::Success | Status::Skipped => exit::DONE.into(),
            Status::Failure => exit::NO.into(),
            Status::Cancelled => exit::COULD_NOT.into(),
        });
        Ending { exit_code: Some(code), ..ending }
    }

    fn pipeline_summary(&self, ending: &Ending) -> PipelineSummary {
        let started_at = self.pipeline.first.unwrap_or(self.started_at);
        let finish = self.pipeline.finish_of(PhaseCode::PipelineExecute);
        let finished_at = finish.map_or(self.finished_at, |event| event.ts);
        PipelineSummary {
            schema_version: PipelineSummary::FORMAT.to_string(),
            kind: PipelineSummary::KIND.into(),
            run_id: self.run_id.into(),
            pipeline_id: self.context.pipeline_id.clone(),
            status: ending.status,
            reason: ending.reason,
            message: ending.message.clone(),
            exit_code: ending.exit_code.unwrap_or(exit::COULD_NOT.into()),
            started_at,
            finished_at,
            duration_ms: milliseconds(started_at, finished_at),
            counts: self.counts(),
        }
    }

    fn pipeline_manifest(&self, status: Status) -> PipelineManifest {
        let culprit = self.culprit().map(|job| &job.entry);
        PipelineManifest {
            schema_version: PipelineManifest::FORMAT.to_string(),
            kind: PipelineManifest::KIND.into(),
            run_id: self.run_id.into(),
            pipeline_id: self.context.pipeline_id.clone(),
            status,
            failing_job_id: culprit.map(|entry| entry.job_id.clone()),
            failing_job_manifest_path: culprit.map(|entry| entry.manifest_path.clone()),
            jobs: self.jobs.iter().map(|job| job.entry.clone()).collect(),
        }
    }

    /// The job to look at: the one that failed first, else the first that was running.
    fn culprit(&self) -> Option<&CompletedJob> {
        let failed = |job: &&CompletedJob| job.entry.status == Status::Failure && !job.forgiven;
        let failed = self.jobs.iter().filter(failed);
        let running = |job: &&CompletedJob| {
            job.entry.status == Status::Cancelled && job.summary.started_at.is_some()
        };
        let first = failed.min_by_key(|job| job.summary.finished_at);
        first.or_else(|| self.jobs.iter().find(running))
    }

    fn counts(&self) -> JobCounts {
        let mut counts = JobCounts::default();
        self.jobs.iter().for_each(|job| counts.add(job.entry.status));
        counts
    }

    fn complete_run(&mut self, mut ledger: PhaseLedger) -> Result<(), CompleteError> {
        let summary: Option<RunSummary> = whole(&self.paths.summary())?;
        let receipt: Option<RunReceipt> = whole(&self.layout.run_receipt(self.run_id))?;
        let outcome = self.outcome(summary.as_ref(), receipt.as_ref());
        self.close(&outcome.ending)?;
        if whole::<PhaseReport>(&self.paths.phase_report())?.is_none() {
            self.observe(&mut ledger);
            store::write(&self.paths.phase_report(), &ledger.report(self.run_id))?;
        }
        if summary.is_none() {
            store::write(&self.paths.summary(), &self.summary(&outcome))?;
        }
        if receipt.is_none() {
            store::write(&self.layout.run_receipt(self.run_id), &self.receipt(&outcome))?;
        }
        Ok(())
    }

    /// As the one document that is left says it, else interrupted.
    fn outcome(&self, summary: Option<&RunSummary>, receipt: Option<&RunReceipt>) -> Outcome {
        if let Some(summary) = summary.cloned() {
            let RunSummary { status, reason, message, exit_code, .. } = summary;
            return Outcome {
                ending: Ending { status, reason, message, exit_code: Some(exit_code) },
                exit_code,
                started_at: summary.started_at,
                finished_at: summary.finished_at,
                duration_ms: summary.duration_ms,
            };
        }
        if let Some(receipt) = receipt.cloned() {
            let RunReceipt { status, reason, error: message, exit_code, .. } = receipt;
            return Outcome {
                ending: Ending { status, reason, message, exit_code: Some(exit_code) },
                exit_code,
                started_at: receipt.started_at,
                finished_at: receipt.finished_at,
                duration_ms: receipt.duration_ms,
            };
        }
        Outcome {
            ending: Ending::interrupted(),
            exit_code: exit::COULD_NOT.into(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            duration_ms: milliseconds(self.started_at, self.finished_at),
        }
    }

    fn close(&mut self, ending: &Ending) -> Result<(), CompleteError> {
        self.events.close(ending)?;
        // A run that was killed before it wrote anything lacks even this.
        self.events.ensure_phase(PhaseCode::RunBootstrap, ending)?;
        if self.had_pipeline() {
            self.events.ensure_phase(PhaseCode::RunPipelineExecute, ending)?;
        }
        self.events.ensure_phase(PhaseCode::RunFinalize, ending)
    }

    /// Phases of the run with those of the pipeline within their envelope.
    fn observe(&self, ledger: &mut PhaseLedger) {
        use libloom_contract::event::EventKind::Finish;
        let mut pipeline = self.pipeline.boundaries.iter();
        for event in &self.events.boundaries {
            if (event.phase_code, event.event) == (PhaseCode::RunPipelineExecute, Finish) {
                pipeline
                    .by_ref()
                    .for_each(|inner| ledger.observe(None, inner.phase_code, inner.event));
            }
            ledger.observe(None, event.phase_code, event.event);
        }
        pipeline.for_each(|inner| ledger.observe(None, inner.phase_code, inner.event));
        if let Some(damage) = &self.events.damage {
            ledger.violation(PhaseCode::RunBootstrap, None, damage.as_str());
        }
        if let Some(damage) = &self.pipeline.damage {
            ledger.violation(PhaseCode::PipelineExecute, None, damage.as_str());
        }
    }

    fn summary(&self, outcome: &Outcome) -> RunSummary {
        let pipeline = |path: &Path| self.had_pipeline().then(|| self.paths.relative(path));
        RunSummary {
            schema_version: RunSummary::FORMAT.to_string(),
            kind: RunSummary::KIND.into(),
            run_id: self.run_id.into(),
            pipeline_id: self.context.pipeline_id.clone(),
            status: outcome.ending.status,
            reason: outcome.ending.reason,
            message: outcome.ending.message.clone(),
            exit_code: outcome.exit_code,
            started_at: outcome.started_at,
            finished_at: outcome.finished_at,
            duration_ms: outcome.duration_ms,
            events_path: self.paths.relative(&self.paths.events()),
            phase_report_path: self.paths.relative(&self.paths.phase_report()),
            pipeline_summary_path: pipeline(&self.paths.pipeline_summary()),
            pipeline_manifest_path: pipeline(&self.paths.pipeline_manifest()),
            snapshot_path: self.plan.as_ref().and_then(|plan| plan.snapshot_path.clone()),
        }
    }

    fn receipt(&self, outcome: &Outcome) -> RunReceipt {
        let plan = self.plan.as_ref();
        let manifest = self.had_pipeline().then(|| text(&self.paths.pipeline_manifest()));
        RunReceipt {
            schema_version: RunReceipt::FORMAT.to_string(),
            kind: RunReceipt::KIND.into(),
            run_id: self.run_id.into(),
            loom_version: self.context.loom_version.clone(),
            command: self.context.command.clone(),
            repo_root: self.context.repo_root.clone(),
            workflow_path: self.context.workflow_path.clone(),
            started_at: outcome.started_at,
            finished_at: outcome.finished_at,
            duration_ms: outcome.duration_ms,
            status: outcome.ending.status,
            reason: outcome.ending.reason,
            exit_code: outcome.exit_code,
            error: self.error(outcome),
            logs_dir: text(self.paths.folder()),
            events_jsonl_path: text(&self.paths.events()),
            phase_report_path: text(&self.paths.phase_report()),
            pipeline_manifest_path: manifest,
            snapshot_path: plan.and_then(|plan| plan.snapshot_path.clone()),
            snapshot_head_sha: plan.and_then(|plan| plan.snapshot_head_sha.clone()),
            branch: plan.and_then(|plan| plan.branch.clone()),
            graph_ir: plan.and_then(|plan| plan.graph_ir.clone()),
            counts: self.counts(),
            jobs: self.job_lines(),
            executor_receipt: self.had_pipeline().then(|| self.executor_receipt()),
        }
    }

    /// What went wrong where it was not a job; the death of the run counts as that.
    fn error(&self, outcome: &Outcome) -> Option<String> {
        let of_job = outcome.ending.reason == Some(Reason::JobFailed);
        outcome.ending.message.clone().filter(|_| !of_job)
    }

    fn job_lines(&self) -> Vec<JobLine> {
        let all = self.jobs.len() <= JOBS_LISTED_MAX;
        let listed = self.jobs.iter().filter(|job| all || job.entry.status != Status::Success);
        let line = |job: &CompletedJob| JobLine {
            job_id: job.entry.job_id.clone(),
            status: job.entry.status,
            reason: job.entry.reason,
            duration_ms: job.entry.duration_ms,
            attempts: job.entry.attempts,
            cpu_ms: job.entry.cpu_ms,
            peak_rss_bytes: job.entry.peak_rss_bytes,
        };
        listed.map(line).collect()
    }

    fn executor_receipt(&self) -> ExecutorReceipt {
        let run = || self.jobs.iter().filter(|job| job.summary.started_at.is_some());
        let started_at = self.pipeline.first.unwrap_or(self.started_at);
        ExecutorReceipt {
            jobs: run().count() as u64,
            steps: run().map(|job| job.steps_run).sum(),
            duration_ms: milliseconds(started_at, self.finished_at),
            cpu_ms: run().filter_map(|job| job.summary.cpu_ms).sum(),
            peak_rss_bytes: run().filter_map(|job| job.summary.peak_rss_bytes).max().unwrap_or(0),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The facts of an event, read as a type.
fn data<T: serde::de::DeserializeOwned>(event: &Event) -> Option<T> {
    let data = event.data.clone()?;
    serde_json::from_value(serde_json::Value::Object(data)).ok()
}

/// What the run wrote down first, or what its place tells when not even that was written.
fn context(layout: &Layout, run_id: &str, events: &MendedStream) -> RunContext {
    let written = events.start_of(PhaseCode::RunBootstrap).and_then(data);
    written.unwrap_or_else(|| RunContext {
        command: Vec::new(),
        loom_version: "unknown".into(),
        pipeline_id: run_id.replacen("loom-run-local-", "loom-local-", 1),
        repo_root: layout.runtime().ancestors().nth(2).map(text).unwrap_or_default(),
        workflow_path: String::new(),
    })
}

/// The jobs of the graph in its order, then those that only have a folder.
fn plans(
    layout: &Layout,
    run: &RunLayout,
    plan: Option<&RunPlan>,
) -> Result<Vec<Plan>, CompleteError> {
    let graph = plan.and_then(|plan| graph(layout, plan));
    let nodes = graph.map(|graph| graph.nodes).unwrap_or_default();
    // A graph document that someone wrote by hand must not lead out of the run's folder.
    let is_name = |node: &Node| Path::new(&node.id).file_name() == Some(node.id.as_ref());
    let mut plans: Vec<Plan> = nodes.into_iter().filter(is_name).map(of_node).collect();
    let known: BTreeSet<&String> = plans.iter().map(|plan| &plan.id).collect();
    let folders = fs::read_dir(run.jobs()).into_iter().flatten().flatten();
    let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
    let unknown: BTreeSet<String> = names.filter(|name| !known.contains(name)).collect();
    for id in unknown {
        plans.push(Plan::of_folder(run, &id)?);
    }
    Ok(plans)
}

fn of_node(node: Node) -> Plan {
    let Node { id, label, stage, provider, steps, policy, .. } = node;
    Plan { id, label, stage, provider, steps, allow_failure: policy.allow_failure }
}

/// The graph where the run recorded it, else where its digest says it is.
fn graph(layout: &Layout, plan: &RunPlan) -> Option<Graph> {
    let pointer = plan.graph_ir.as_ref()?;
    let recorded = pointer.path.as_ref().and_then(|path| store::read(Path::new(path)).ok());
    recorded.or_else(|| store::read(&layout.graph(&pointer.digest)).ok())
}
