//! The documents of a run as a whole: receipt, summary, phase report, pipeline.

use std::path::{Path, PathBuf};

use libloom_contract::{
    Status,
    event::{EventKind, PhaseCode},
    graph::Graph,
    layout::{Layout, RunLayout},
    logs::{JobCounts, JobEntry, PhaseReport, PipelineManifest, PipelineSummary, RunSummary},
    receipt::{JOBS_LISTED_MAX, RunReceipt},
};
use libloom_record::{PhaseLedger, phases};

use super::{
    Findings, Rule,
    documents::moved,
    job,
    outcome::Ended as _,
    stream::{self, Content, Subject},
};

const RUN_PHASES: &[PhaseCode] =
    &[PhaseCode::RunBootstrap, PhaseCode::RunPipelineExecute, PhaseCode::RunFinalize];
const PIPELINE_PHASES: &[PhaseCode] = &[PhaseCode::PipelineExecute];

/// Checks everything of a run.
pub(super) fn check(layout: &Layout, run_id: &str, findings: &mut Findings) {
    let run = Run { layout, id: run_id, logs: layout.run(run_id) };
    let receipt: Option<RunReceipt> = findings.document(&layout.run_receipt(run_id));
    let summary: Option<RunSummary> = findings.document(&run.logs.summary());
    let report: Option<PhaseReport> = findings.document(&run.logs.phase_report());
    let subject = Subject { phases: RUN_PHASES, ..Subject::default() };
    let events = stream::check(&run.logs.events(), &subject, findings);
    if let Some(receipt) = &receipt {
        run.receipt(receipt, findings);
    }
    if let Some(summary) = &summary {
        run.summary(summary, receipt.as_ref(), findings);
    }
    let mut ledger = PhaseLedger::new();
    let began = run.logs.pipeline_manifest().exists() || run.logs.pipeline_events().exists();
    let promised = receipt.as_ref().is_some_and(|receipt| receipt.pipeline_manifest_path.is_some());
    let pipeline = match began || promised {
        true => run.pipeline(receipt.as_ref(), &mut ledger, findings),
        false => Content::default(),
    };
    observe(&events, &pipeline, &mut ledger);
    if let Some(report) = &report {
        run.phase_report(report, &ledger, findings);
    }
    findings.no_half_written(run.logs.folder());
}

struct Run<'a> {
    layout: &'a Layout,
    id: &'a str,
    logs: RunLayout,
}

impl Run<'_> {
    fn receipt(&self, receipt: &RunReceipt, findings: &mut Findings) {
        let path = self.layout.run_receipt(self.id);
        findings.compare(&path, "run_id", (receipt.run_id.as_str(), self.id), "its file's name");
        let fields = [
            ("logs_dir", Some(&receipt.logs_dir)),
            ("events_jsonl_path", Some(&receipt.events_jsonl_path)),
            ("phase_report_path", Some(&receipt.phase_report_path)),
            ("pipeline_manifest_path", receipt.pipeline_manifest_path.as_ref()),
            ("graph_ir.path", receipt.graph_ir.as_ref().and_then(|graph| graph.path.as_ref())),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if !Path::new(value).is_absolute() {
                findings.add(&path, Rule::Pointer, format!("{name} is not absolute"));
                continue;
            }
            findings.leads_somewhere(&path, name, &self.here(value, receipt));
        }
        if let Some(graph) = receipt.graph_ir.as_ref().and_then(|graph| graph.path.as_ref()) {
            let graph = self.here(graph, receipt);
            if graph.exists() {
                let _: Option<Graph> = findings.document(&graph);
            }
        }
        if (receipt.status == Status::Success) != (receipt.exit_code == 0)
            && receipt.status != Status::Skipped
        {
            let message = format!("{:?} with exit code {}", receipt.status, receipt.exit_code);
            findings.add(&path, Rule::Agreement, message);
        }
    }

    /// An absolute path of the receipt, wherever the repository lies now.
    fn here(&self, recorded: &str, receipt: &RunReceipt) -> PathBuf {
        let runtime = Path::new(&receipt.logs_dir).ancestors().nth(2);
        moved(recorded, runtime.unwrap_or(Path::new("")), self.layout.runtime())
    }

    fn summary(&self, summary: &RunSummary, receipt: Option<&RunReceipt>, findings: &mut Findings) {
        let path = self.logs.summary();
        findings.compare(&path, "run_id", (summary.run_id.as_str(), self.id), "its folder");
        let fields = [
            ("events_path", Some(&summary.events_path), self.logs.events()),
            ("phase_report_path", Some(&summary.phase_report_path), self.logs.phase_report()),
            (
                "pipeline_summary_path",
                summary.pipeline_summary_path.as_ref(),
                self.logs.pipeline_summary(),
            ),
            (
                "pipeline_manifest_path",
                summary.pipeline_manifest_path.as_ref(),
                self.logs.pipeline_manifest(),
            ),
        ];
        for (name, value, place) in fields {
            if let Some(value) = value {
                findings.points_to(&path, &self.logs, (name, value), &place);
            }
        }
        if let Some(receipt) = receipt {
            let both = (summary.outcome(), receipt.outcome());
            findings.compare(&path, "the outcome", both, "the receipt");
            let both = (summary.exit_code, receipt.exit_code);
            findings.compare(&path, "exit_code", both, "the receipt");
        }
    }

    /// Summary, manifest, events and jobs; the content of the pipeline's events.
    fn pipeline(
        &self,
        receipt: Option<&RunReceipt>,
        ledger: &mut PhaseLedger,
        findings: &mut Findings,
    ) -> Content {
        let subject = Subject { phases: PIPELINE_PHASES, ..Subject::default() };
        let events = stream::check(&self.logs.pipeline_events(), &subject, findings);
        let summary: Option<PipelineSummary> = findings.document(&self.logs.pipeline_summary());
        let manifest: Option<PipelineManifest> = findings.document(&self.logs.pipeline_manifest());
        let Some(manifest) = manifest else {
            // What is left is looked at all the same.
            for id in Findings::folders(&self.logs.jobs()) {
                job::check(&self.logs, &id, ledger, findings);
            }
            return events;
        };
        let path = self.logs.pipeline_manifest();
        findings.compare(&path, "run_id", (manifest.run_id.as_str(), self.id), "its folder");
        let mut counts = JobCounts::default();
        for entry in &manifest.jobs {
            counts.add(entry.status);
            self.job(entry, ledger, findings);
        }
        self.no_unlisted_jobs(&manifest, findings);
        self.failing(&manifest, findings);
        if let Some(summary) = summary {
            let file = self.logs.pipeline_summary();
            findings.compare(&file, "run_id", (summary.run_id.as_str(), self.id), "its folder");
            findings.compare(&file, "status", (summary.status, manifest.status), "manifest.json");
            findings.compare(&file, "counts", (summary.counts, counts), "manifest.json");
        }
        if let Some(receipt) = receipt {
            self.receipt_lists(receipt, &manifest, counts, findings);
        }
        events
    }

    fn job(&self, entry: &JobEntry, ledger: &mut PhaseLedger, findings: &mut Findings) {
        let path = self.logs.pipeline_manifest();
        if Path::new(&entry.job_id).file_name() != Some(entry.job_id.as_ref()) {
            let message = format!("job_id `{}` is no name", entry.job_id);
            findings.add(&path, Rule::Schema, message);
            return;
        }
        let place = self.logs.job(&entry.job_id).manifest();
        let name = format!("manifest_path of `{}`", entry.job_id);
        findings.points_to(&path, &self.logs, (&name, &entry.manifest_path), &place);
        let Some(summary) = job::check(&self.logs, &entry.job_id, ledger, findings) else { return };
        let what = format!("the outcome of `{}`", entry.job_id);
        let both = (entry.outcome(), summary.outcome());
        findings.compare(&path, &what, both, "its summary.json");
        let what = format!("duration_ms of `{}`", entry.job_id);
        let both = (entry.duration_ms, summary.duration_ms);
        findings.compare(&path, &what, both, "its summary.json");
        let what = format!("the stage of `{}`", entry.job_id);
        findings.compare(&path, &what, (&entry.stage, &summary.stage), "its summary.json");
    }

    fn no_unlisted_jobs(&self, manifest: &PipelineManifest, findings: &mut Findings) {
        for name in Findings::folders(&self.logs.jobs()) {
            if !manifest.jobs.iter().any(|entry| entry.job_id == name) {
                let folder = self.logs.jobs().join(&name);
                findings.add(&folder, Rule::Coverage, "is not in the pipeline's manifest");
            }
        }
    }

    fn failing(&self, manifest: &PipelineManifest, findings: &mut Findings) {
        let path = self.logs.pipeline_manifest();
        let failing = manifest.failing_job_id.as_ref();
        let entry = failing.map(|id| manifest.jobs.iter().find(|entry| &entry.job_id == id));
        match (entry, &manifest.failing_job_manifest_path) {
            (Some(Some(entry)), Some(pointer)) => {
                let both = (pointer, &entry.manifest_path);
                findings.compare(&path, "failing_job_manifest_path", both, "the list of jobs");
                if entry.status.is_fine() {
                    let message = format!("failing_job_id `{}` did not fail", entry.job_id);
                    findings.add(&path, Rule::Agreement, message);
                }
            }
            (Some(None), _) => {
                findings.add(&path, Rule::Pointer, "failing_job_id names no job of the list");
            }
            (Some(Some(_)), None) | (None, Some(_)) => {
                let message = "failing_job_id and failing_job_manifest_path belong together";
                findings.add(&path, Rule::Pointer, message);
            }
            (None, None) if manifest.status == Status::Failure => {
                findings.add(&path, Rule::Pointer, "a failure without failing_job_id");
            }
            (None, None) => {}
        }
    }

    fn receipt_lists(
        &self,
        receipt: &RunReceipt,
        manifest: &PipelineManifest,
        counts: JobCounts,
        findings: &mut Findings,
    ) {
        let path = self.layout.run_receipt(self.id);
        findings.compare(&path, "counts", (receipt.counts, counts), "pipeline/manifest.json");
        let all = manifest.jobs.len() <= JOBS_LISTED_MAX;
        let listed = manifest.jobs.iter().filter(|job| all || job.status != Status::Success);
        let expected: Vec<_> = listed.map(|job| (&job.job_id, job.status)).collect();
        let found: Vec<_> = receipt.jobs.iter().map(|job| (&job.job_id, job.status)).collect();
        findings.compare(&path, "jobs", (found, expected), "pipeline/manifest.json");
    }

    /// What the streams show now must be what was reported, and that nothing is wrong.
    fn phase_report(&self, report: &PhaseReport, ledger: &PhaseLedger, findings: &mut Findings) {
        let path = self.logs.phase_report();
        findings.compare(&path, "run_id", (report.run_id.as_str(), self.id), "its folder");
        let actual = ledger.report(self.id);
        for (reported, actual) in report.phases.iter().zip(&actual.phases) {
            let what = format!("the count of {}", phases::word(actual.phase_code));
            let both = ((reported.started, reported.finished), (actual.started, actual.finished));
            findings.compare(&path, &what, both, "what the streams hold");
        }
        findings.compare(
            &path,
            "the number of phases",
            (report.phases.len(), actual.phases.len()),
            "the contract",
        );
        if report.valid != report.violations.is_empty() {
            findings.add(&path, Rule::Agreement, "valid contradicts the list of violations");
        }
        let mut all = report.violations.clone();
        all.extend(
            actual.violations.into_iter().filter(|found| !report.violations.contains(found)),
        );
        for violation in all {
            let phase = phases::word(violation.phase_code);
            let file = match &violation.job_id {
                Some(job) => self.logs.job(job).events(),
                None => self.logs.events(),
            };
            findings.add(&file, Rule::Order, format!("{phase} {}", violation.message));
        }
    }
}

/// Phases of the run with those of the pipeline within their envelope.
fn observe(events: &Content, pipeline: &Content, ledger: &mut PhaseLedger) {
    let mut inner = pipeline.boundaries.iter();
    for event in &events.boundaries {
        if (event.phase_code, event.event) == (PhaseCode::RunPipelineExecute, EventKind::Finish) {
            inner.by_ref().for_each(|event| ledger.observe(None, event.phase_code, event.event));
        }
        ledger.observe(None, event.phase_code, event.event);
    }
    inner.for_each(|event| ledger.observe(None, event.phase_code, event.event));
}
