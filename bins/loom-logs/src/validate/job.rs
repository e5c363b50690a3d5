//! The folder of one job, and of each of its earlier attempts, which are laid out like it.

use std::path::Path;

use libloom_contract::{
    Status,
    artifacts::ArtifactManifest,
    event::{EventKind, PhaseCode, Section},
    layout::{JobLayout, RunLayout},
    logs::{
        ArtifactsEntry, JobManifest, JobSummary, SectionEntry, SectionSummary, StepEntry,
        StepSummary,
    },
};
use libloom_record::PhaseLedger;

use super::{
    Findings, Rule,
    outcome::{Ended as _, of_entry, of_finish, of_step},
    stream::{self, Content, Subject},
};
use crate::steps::parse;

const JOB_PHASES: &[PhaseCode] = &[
    PhaseCode::JobProviderPrepare,
    PhaseCode::JobCacheRestore,
    PhaseCode::JobExecution,
    PhaseCode::JobArtifactRestore,
    PhaseCode::JobCacheSave,
    PhaseCode::JobCleanup,
];
const EXECUTION_PHASES: &[PhaseCode] = &[PhaseCode::JobExecution, PhaseCode::StepExecute];
const STEP_PHASES: &[PhaseCode] = &[PhaseCode::StepExecute];
const SECTIONS: [Section; 7] = [
    Section::Provider,
    Section::Services,
    Section::ImageBuild,
    Section::CacheRestore,
    Section::CacheSave,
    Section::ArtifactExtract,
    Section::Cleanup,
];

/// The folders of steps.
const LISTS: [&str; 3] = ["before_script", "script", "after_script"];

/// One job's folder.
struct Job<'a> {
    run: &'a RunLayout,
    layout: JobLayout,
    id: &'a str,
}

/// Checks a job with its earlier attempts, and tells the ledger of the phases of the last one.
pub(super) fn check(
    run: &RunLayout,
    id: &str,
    ledger: &mut PhaseLedger,
    findings: &mut Findings,
) -> Option<JobSummary> {
    let layout = run.job(id);
    let mut numbers: Vec<u32> = Findings::folders(&layout.folder().join("attempts"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    numbers.sort_unstable();
    for (number, expected) in numbers.iter().zip(1..) {
        if *number != expected {
            let folder = layout.attempt(*number);
            findings.add(folder.folder(), Rule::Coverage, format!("attempt {expected} is missing"));
        }
        let job = Job { run, layout: layout.attempt(*number), id };
        job.check(&mut PhaseLedger::new(), findings);
    }
    Job { run, layout, id }.check(ledger, findings)
}

impl Job<'_> {
    fn check(&self, ledger: &mut PhaseLedger, findings: &mut Findings) -> Option<JobSummary> {
        let summary: Option<JobSummary> = findings.document(&self.layout.summary());
        let manifest: Option<JobManifest> = findings.document(&self.layout.manifest());
        let events = self.layout.events();
        let events = stream::check(&events, &self.subject(JOB_PHASES), findings);
        if let Some(summary) = &summary {
            let path = self.layout.summary();
            findings.compare(&path, "job_id", (summary.job_id.as_str(), self.id), "its folder");
        }
        let execution = match &manifest {
            Some(manifest) => {
                if let Some(summary) = &summary {
                    self.agrees(manifest, summary, findings);
                }
                self.failing(manifest, findings);
                self.parts(manifest, findings)
            }
            None => self.loose_parts(findings),
        };
        self.observe(&events, &execution, ledger);
        summary
    }

    fn subject<'s>(&'s self, phases: &'s [PhaseCode]) -> Subject<'s> {
        Subject { phases, job_id: Some(self.id), ..Subject::default() }
    }

    fn agrees(&self, manifest: &JobManifest, summary: &JobSummary, findings: &mut Findings) {
        let path = self.layout.manifest();
        findings.compare(&path, "job_id", (manifest.job_id.as_str(), self.id), "its folder");
        let both = (manifest.outcome(), summary.outcome());
        findings.compare(&path, "the outcome", both, "summary.json");
    }

    /// Execution, steps, sections and artifacts; the content of the stream around the steps.
    fn parts(&self, manifest: &JobManifest, findings: &mut Findings) -> Content {
        let path = self.layout.manifest();
        let place = self.layout.execution_events();
        let mut execution = Content::default();
        match &manifest.execution_events_path {
            Some(pointer) => {
                let field = ("execution_events_path", pointer.as_str());
                findings.points_to(&path, self.run, field, &place);
                execution = stream::check(&place, &self.subject(EXECUTION_PHASES), findings);
            }
            None if place.exists() => {
                let message = "execution_events_path is absent, and yet the job ran";
                findings.add(&path, Rule::Pointer, message);
            }
            None => {}
        }
        for entry in &manifest.steps {
            self.step(entry, &execution, findings);
        }
        self.no_unlisted_steps(manifest, findings);
        for entry in &manifest.system_sections {
            self.section(entry, findings);
        }
        self.no_unlisted_sections(manifest, findings);
        if let Some(entry) = &manifest.artifacts {
            self.artifacts(entry, findings);
        }
        execution
    }

    /// What lies in the folder of a job whose manifest cannot be read.
    fn loose_parts(&self, findings: &mut Findings) -> Content {
        let mut execution = Content::default();
        let events = self.layout.execution_events();
        if events.exists() {
            execution = stream::check(&events, &self.subject(EXECUTION_PHASES), findings);
        }
        for list in LISTS {
            for number in Findings::folders(&self.layout.execution().join(list)) {
                let Some(step) = parse(&format!("{list}/{number}")) else { continue };
                let part = self.layout.step(&step);
                if let Some(summary) = findings.document::<StepSummary>(&part.summary())
                    && summary.events_path.is_some()
                {
                    self.step_stream(&summary, &part.events(), &execution, findings);
                }
            }
        }
        for section in SECTIONS {
            let part = self.layout.section(section);
            if part.folder().exists() {
                let _: Option<SectionSummary> = findings.document(&part.summary());
                self.section_stream(section, findings);
            }
        }
        if self.layout.artifacts_manifest().exists() {
            let _: Option<ArtifactManifest> = findings.document(&self.layout.artifacts_manifest());
        }
        execution
    }

    fn step(&self, entry: &StepEntry, execution: &Content, findings: &mut Findings) {
        let manifest = self.layout.manifest();
        let Some(step) = parse(&entry.step).filter(|step| step.path() == entry.step) else {
            findings.add(&manifest, Rule::Schema, format!("`{}` names no step", entry.step));
            return;
        };
        let part = self.layout.step(&step);
        let path = part.summary();
        let name = format!("summary_path of {}", entry.step);
        findings.points_to(&manifest, self.run, (&name, &entry.summary_path), &path);
        let Some(summary) = findings.document::<StepSummary>(&path) else { return };
        findings.compare(&path, "job_id", (summary.job_id.as_str(), self.id), "its folder");
        findings.compare(&path, "step", (&summary.step, &entry.step), "manifest.json");
        let both = (of_step(&summary), of_entry(entry));
        findings.compare(&path, "the outcome", both, "manifest.json");
        let ran = summary.started_at.is_some();
        match &summary.events_path {
            Some(pointer) => {
                let field = ("events_path", pointer.as_str());
                findings.points_to(&path, self.run, field, &part.events());
                self.step_stream(&summary, &part.events(), execution, findings);
            }
            None if ran || part.events().exists() => {
                findings.add(&path, Rule::Pointer, "events_path is absent, and yet the step ran");
            }
            None => {}
        }
    }

    fn step_stream(
        &self,
        summary: &StepSummary,
        events: &Path,
        execution: &Content,
        findings: &mut Findings,
    ) {
        let step = Some(summary.step.as_str());
        let subject = Subject { step, ..self.subject(STEP_PHASES) };
        let content = stream::check(events, &subject, findings);
        let path = self.layout.folder().join("user/execution").join(&summary.step);
        let path = path.join("summary.json");
        let bytes = [summary.stdout_bytes, summary.stderr_bytes];
        if summary.dropped_bytes.is_none() {
            findings.compare(
                &path,
                "the size of both streams",
                (bytes, content.bytes),
                "its events.jsonl",
            );
            let lines = (summary.output_lines, content.lines);
            findings.compare(&path, "output_lines", lines, "its events.jsonl");
        }
        if let Some(finish) = content.finish_of(PhaseCode::StepExecute) {
            let both = (Some(summary.outcome()), of_finish(finish));
            findings.compare(&path, "the outcome", both, "its events.jsonl");
            findings.compare(
                &path,
                "exit_code",
                (summary.exit_code, finish.exit_code),
                "its events.jsonl",
            );
        }
        let mirrored = |kind| {
            let of_step = |event: &&libloom_contract::event::Event| {
                event.event == kind && event.step.as_deref() == step
            };
            execution.boundaries.iter().filter(of_step).count()
        };
        for (kind, word) in [(EventKind::Start, "start"), (EventKind::Finish, "finish")] {
            if mirrored(kind) != 1 {
                let message =
                    format!("the {word} of {} stands there {} times", summary.step, mirrored(kind));
                findings.add(&self.layout.execution_events(), Rule::Coverage, message);
            }
        }
    }

    fn no_unlisted_steps(&self, manifest: &JobManifest, findings: &mut Findings) {
        for list in LISTS {
            let folder = self.layout.execution().join(list);
            for number in Findings::folders(&folder) {
                let name = format!("{list}/{number}");
                if !manifest.steps.iter().any(|entry| entry.step == name) {
                    let message = "is not in the job's manifest";
                    findings.add(&folder.join(number), Rule::Coverage, message);
                }
            }
        }
    }

    fn section(&self, entry: &SectionEntry, findings: &mut Findings) {
        let (manifest, part) = (self.layout.manifest(), self.layout.section(entry.section));
        let word = entry.section.word();
        let name = format!("summary_path of {word}");
        findings.points_to(&manifest, self.run, (&name, &entry.summary_path), &part.summary());
        let name = format!("events_path of {word}");
        findings.points_to(&manifest, self.run, (&name, &entry.events_path), &part.events());
        let path = part.summary();
        if let Some(summary) = findings.document::<SectionSummary>(&path) {
            findings.compare(&path, "job_id", (summary.job_id.as_str(), self.id), "its folder");
            findings.compare(&path, "section", (summary.section, entry.section), "its folder");
            findings.compare(&path, "status", (summary.status, entry.status), "manifest.json");
            let field = ("events_path", summary.events_path.as_str());
            findings.points_to(&path, self.run, field, &part.events());
        }
        self.section_stream(entry.section, findings);
    }

    fn section_stream(&self, section: Section, findings: &mut Findings) {
        let phases = [section.phase()];
        let subject = Subject { section: Some(section), ..self.subject(&phases) };
        stream::check(&self.layout.section(section).events(), &subject, findings);
    }

    fn no_unlisted_sections(&self, manifest: &JobManifest, findings: &mut Findings) {
        for section in SECTIONS {
            let folder = self.layout.section(section);
            let listed = manifest.system_sections.iter().any(|entry| entry.section == section);
            if folder.folder().exists() && !listed {
                findings.add(folder.folder(), Rule::Coverage, "is not in the job's manifest");
            }
        }
    }

    fn artifacts(&self, entry: &ArtifactsEntry, findings: &mut Findings) {
        let (path, list) = (self.layout.manifest(), self.layout.artifacts_manifest());
        let field = ("artifacts.manifest_path", entry.manifest_path.as_str());
        findings.points_to(&path, self.run, field, &list);
        let Some(artifacts) = findings.document::<ArtifactManifest>(&list) else { return };
        findings.compare(&list, "job_id", (artifacts.job_id.as_str(), self.id), "its folder");
        if artifacts.pruned_at.is_some() {
            return;
        }
        let listed = artifacts.entries.len() as u64;
        findings.compare(&path, "artifacts.count", (entry.count, listed), "artifacts.json");
        let bytes = artifacts.entries.iter().map(|entry| entry.size).sum();
        findings.compare(&path, "artifacts.bytes", (entry.bytes, bytes), "artifacts.json");
        if entry.count > 0 {
            findings.pointer(&path, self.run, ("artifacts.path", &entry.path));
        }
        if let Some(archive) = &entry.archive_path {
            findings.pointer(&path, self.run, ("artifacts.archive_path", archive));
        }
        for artifact in artifacts.entries.iter().filter(|entry| entry.path_bytes.is_none()) {
            let place = self.layout.artifacts().join(&artifact.path);
            findings.leads_somewhere(&list, "an entry", &place);
        }
    }

    /// The pointers of the way down.
    fn failing(&self, manifest: &JobManifest, findings: &mut Findings) {
        let path = self.layout.manifest();
        if let Some(pointer) = &manifest.failing_step_events_path {
            findings.pointer(&path, self.run, ("failing_step_events_path", pointer));
        }
        if let Some(pointer) = &manifest.failing_section_events_path {
            findings.pointer(&path, self.run, ("failing_section_events_path", pointer));
        }
        if let Some(failing) = &manifest.failing_step {
            let entry = manifest.steps.iter().find(|entry| &entry.step == failing);
            if entry.is_none_or(|entry| entry.status.is_fine()) {
                let message = format!("failing_step `{failing}` is no step that failed");
                findings.add(&path, Rule::Agreement, message);
            }
        }
        if manifest.failing_step.is_some() != manifest.failing_step_events_path.is_some()
            || manifest.failing_section.is_some() != manifest.failing_section_events_path.is_some()
        {
            findings.add(&path, Rule::Pointer, "what failed is named without its events");
        }
        if manifest.failing_step.is_some() && manifest.status == Status::Success {
            findings.add(&path, Rule::Agreement, "a failing step in a job that succeeded");
        }
    }

    /// Steps are told from their mirrored boundaries, within the phase they belong to.
    fn observe(&self, events: &Content, execution: &Content, ledger: &mut PhaseLedger) {
        let id = Some(self.id);
        ledger.expect_job(self.id);
        let is_step =
            |event: &&libloom_contract::event::Event| event.phase_code == PhaseCode::StepExecute;
        let mut steps = execution.boundaries.iter().filter(is_step);
        for event in &events.boundaries {
            if (event.phase_code, event.event) == (PhaseCode::JobExecution, EventKind::Finish) {
                steps.by_ref().for_each(|step| ledger.observe(id, step.phase_code, step.event));
            }
            ledger.observe(id, event.phase_code, event.event);
        }
        steps.for_each(|step| ledger.observe(id, step.phase_code, step.event));
    }
}
