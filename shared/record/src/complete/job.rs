//! Completing one job of a dead run: its steps, its sections, its summary and manifest.

use std::fs;

use libloom_contract::{
    Document as _, Status, Timestamp,
    artifacts::ArtifactManifest,
    event::{Event, EventKind, PhaseCode, Section},
    graph::{AllowFailure, Provider, ScriptSection, Step},
    layout::{JobLayout, RunLayout},
    logs::{
        ArtifactsEntry, AttemptEntry, JobEntry, JobManifest, JobSummary, SectionEntry,
        SectionSummary, StepEntry, StepSummary,
    },
    store,
};

use super::{
    CompleteError,
    mend::{Ending, MendedStream, exists, mend_end},
    whole,
};
use crate::{attempts, events::Subject, phases::PhaseLedger};

const SECTIONS: [Section; 7] = [
    Section::Provider,
    Section::Services,
    Section::ImageBuild,
    Section::CacheRestore,
    Section::CacheSave,
    Section::ArtifactExtract,
    Section::Cleanup,
];
const SCRIPTS: [ScriptSection; 3] =
    [ScriptSection::BeforeScript, ScriptSection::Script, ScriptSection::AfterScript];

/// What is known of a job apart from what happened to it.
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) stage: String,
    pub(super) provider: Provider,
    pub(super) steps: Vec<Step>,
    pub(super) allow_failure: Option<AllowFailure>,
}

impl Ending {
    fn of_step(summary: &StepSummary) -> Self {
        let StepSummary { status, reason, message, exit_code, .. } = summary.clone();
        Ending { status, reason, message, exit_code }
    }
}

impl Plan {
    /// Whether the job failed in a way that does not fail the pipeline.
    fn forgives(&self, summary: &JobSummary) -> bool {
        let Some(allowed) = &self.allow_failure else { return false };
        let listed = |code| allowed.exit_codes.contains(&code);
        let allowed = allowed.exit_codes.is_empty() || summary.exit_code.is_some_and(listed);
        allowed && summary.status == Status::Failure
    }

    /// A job of which only its folder tells.
    pub(super) fn of_folder(run: &RunLayout, id: &str) -> Result<Self, CompleteError> {
        let job = run.job(id);
        let summary: Option<JobSummary> = whole(&job.summary())?;
        let stage = summary.as_ref().map_or_else(|| "unknown".into(), |job| job.stage.clone());
        Ok(Plan {
            id: id.to_owned(),
            label: summary.as_ref().map_or_else(|| id.to_owned(), |job| job.label.clone()),
            stage,
            provider: summary.map_or(Provider::Host, |job| job.provider),
            steps: SCRIPTS.into_iter().flat_map(|list| steps_in(&job, list)).collect(),
            allow_failure: None,
        })
    }
}

/// The steps that have a folder; what they ran is known only from their summaries.
fn steps_in(job: &JobLayout, section: ScriptSection) -> Vec<Step> {
    let names = fs::read_dir(job.script(section)).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = names.filter_map(number).collect();
    numbers.sort_unstable();
    let step = |number| Step { section, number, command: String::new(), position: None };
    numbers.into_iter().map(step).collect()
}

/// A job whose documents are complete.
pub(super) struct CompletedJob {
    pub(super) entry: JobEntry,
    pub(super) summary: JobSummary,
    /// It failed and may.
    pub(super) forgiven: bool,
    /// Steps that began.
    pub(super) steps_run: u64,
    /// When the last thing happened in it.
    pub(super) last: Option<Timestamp>,
}

/// Completes a job and tells the ledger of its phases.
pub(super) fn complete(
    run: &RunLayout,
    plan: &Plan,
    ledger: &mut PhaseLedger,
) -> Result<CompletedJob, CompleteError> {
    let job = run.job(&plan.id);
    attempts::finish_setting_aside(&job)
        .map_err(|source| CompleteError::folder(job.folder(), source))?;
    let mut work = Work {
        run,
        plan,
        events: MendedStream::of(&job.events())?,
        execution: MendedStream::of(&job.execution_events())?,
        job,
    };
    let summary: Option<JobSummary> = whole(&work.job.summary())?;
    let manifest: Option<JobManifest> = whole(&work.job.manifest())?;
    let begun = work.has_begun();
    let ending = work.ending(summary.as_ref());
    let last = work.events.last.max(work.execution.last);
    work.execution.remove_if_empty()?;
    let parts = work.parts(begun)?;
    work.mirror(&parts.steps)?;
    let last = last.max(parts.steps.iter().filter_map(|step| step.last).max());
    work.close(&ending)?;
    work.observe(ledger);
    let summary = match summary {
        Some(summary) => summary,
        None => {
            let failing = culprit(&parts.steps).and_then(|step| step.entry.exit_code);
            let exit_code = ending.exit_code.or(failing);
            work.write_summary(Ending { exit_code, ..ending }, begun, last)?
        }
    };
    if manifest.is_none() {
        store::write(&work.job.manifest(), &work.manifest(&summary, &parts))?;
    }
    let steps_run = parts.steps.iter().filter(|step| step.began).count() as u64;
    let forgiven = plan.forgives(&summary);
    Ok(CompletedJob { entry: entry(run, &summary), summary, forgiven, steps_run, last })
}

/// The job as the pipeline's manifest lists it.
fn entry(run: &RunLayout, summary: &JobSummary) -> JobEntry {
    JobEntry {
        job_id: summary.job_id.clone(),
        label: (summary.label != summary.job_id).then(|| summary.label.clone()),
        stage: summary.stage.clone(),
        status: summary.status,
        reason: summary.reason,
        duration_ms: summary.duration_ms,
        attempts: summary.attempt,
        cpu_ms: summary.cpu_ms,
        peak_rss_bytes: summary.peak_rss_bytes,
        manifest_path: run.relative(&run.job(&summary.job_id).manifest()),
    }
}

struct Work<'a> {
    run: &'a RunLayout,
    plan: &'a Plan,
    job: JobLayout,
    events: MendedStream,
    execution: MendedStream,
}

/// What the manifest lists.
struct Parts {
    steps: Vec<CompletedStep>,
    sections: Vec<SectionEntry>,
}

struct CompletedStep {
    entry: StepEntry,
    ending: Ending,
    began: bool,
    last: Option<Timestamp>,
}

impl Work<'_> {
    fn has_begun(&self) -> bool {
        let only_cleanup = |event: &Event| event.phase_code == PhaseCode::JobCleanup;
        let began = !self.events.boundaries.iter().all(only_cleanup);
        began || self.execution.has_records()
    }

    /// How the job ended: as its summary says, else as far as its events tell.
    fn ending(&self, summary: Option<&JobSummary>) -> Ending {
        if let Some(JobSummary { status, reason, message, exit_code, .. }) = summary.cloned() {
            return Ending { status, reason, message, exit_code };
        }
        let ending_of = |phase| self.events.ending_of(phase);
        let script = ending_of(PhaseCode::JobExecution);
        let deciding = [
            ending_of(PhaseCode::JobProviderPrepare),
            script.clone(),
            ending_of(PhaseCode::JobArtifactRestore),
        ];
        let bad = deciding.into_iter().flatten().find(|ending| !ending.status.is_fine());
        let closed = ending_of(PhaseCode::JobCleanup);
        bad.or_else(|| closed.map(|closed| script.unwrap_or(closed)))
            .unwrap_or_else(Ending::interrupted)
    }

    fn parts(&mut self, begun: bool) -> Result<Parts, CompleteError> {
        if !begun {
            return Ok(Parts { steps: Vec::new(), sections: Vec::new() });
        }
        let mut steps: Vec<CompletedStep> = Vec::new();
        for step in &self.plan.steps {
            let failed = steps.iter().any(|step| step.entry.status == Status::Failure);
            steps.push(self.step(step, failed)?);
        }
        let mut sections = Vec::new();
        for section in SECTIONS {
            sections.extend(self.section(section)?);
        }
        Ok(Parts { steps, sections })
    }

    /// The boundaries of steps that are missing around them.
    fn mirror(&mut self, steps: &[CompletedStep]) -> Result<(), CompleteError> {
        for step in steps.iter().filter(|step| step.began) {
            let name = step.entry.step.as_str();
            let stands = |kind| {
                let mut boundaries = self.execution.boundaries.iter();
                boundaries.any(|event| event.event == kind && event.step.as_deref() == Some(name))
            };
            let (started, finished) = (stands(EventKind::Start), stands(EventKind::Finish));
            let subject = Subject::step(name, &self.plan.id);
            let finish = Event {
                exit_code: step.ending.exit_code,
                text: step.ending.message.clone(),
                ..subject.finish(step.ending.status, step.ending.reason, step.entry.duration_ms)
            };
            let start = (!started).then(|| subject.event(EventKind::Start));
            let finish = (!finished).then_some(finish);
            self.execution.append(start.into_iter().chain(finish).collect())?;
        }
        Ok(())
    }

    fn step(&self, step: &Step, after_failure: bool) -> Result<CompletedStep, CompleteError> {
        let part = self.job.step(step);
        if let Some(summary) = whole::<StepSummary>(&part.summary())? {
            mend_end(&part.events(), &Ending::of_step(&summary))?;
            let began = summary.started_at.is_some();
            return Ok(self.completed(step, &summary, began, None));
        }
        let mut events = MendedStream::of(&part.events())?;
        events.remove_if_empty()?;
        let (began, last) = (events.has_records(), events.last);
        let ending = match events.ending_of(PhaseCode::StepExecute) {
            Some(ending) => ending,
            None if !began && after_failure => Ending::after_failure(),
            None => Ending::interrupted(),
        };
        let duration_ms = events.duration_ms();
        events.close(&ending)?;
        let summary = StepSummary { duration_ms, ..self.step_summary(step, ending, &events) };
        store::write(&part.summary(), &summary)?;
        Ok(self.completed(step, &summary, began, last))
    }

    fn step_summary(&self, step: &Step, ending: Ending, events: &MendedStream) -> StepSummary {
        let start = events.start_of(PhaseCode::StepExecute);
        let position = step.position.as_ref();
        StepSummary {
            schema_version: StepSummary::FORMAT.to_string(),
            kind: StepSummary::KIND.into(),
            job_id: self.plan.id.clone(),
            step: step.path(),
            command: step.command.clone(),
            position: position.map(|at| format!("{}:{}:{}", at.file, at.line, at.column)),
            status: ending.status,
            reason: ending.reason,
            signal: ending.signal(),
            message: ending.message,
            exit_code: ending.exit_code,
            started_at: start.map(|event| event.ts),
            duration_ms: 0,
            output_lines: events.output.all_lines(),
            stdout_bytes: events.output.stdout_bytes,
            stderr_bytes: events.output.stderr_bytes,
            dropped_bytes: None,
            events_path: start.map(|_| self.run.relative(&self.job.step(step).events())),
        }
    }

    fn completed(
        &self,
        step: &Step,
        summary: &StepSummary,
        began: bool,
        last: Option<Timestamp>,
    ) -> CompletedStep {
        let entry = StepEntry {
            step: step.path(),
            status: summary.status,
            exit_code: summary.exit_code,
            duration_ms: summary.duration_ms,
            summary_path: self.run.relative(&self.job.step(step).summary()),
        };
        CompletedStep { entry, ending: Ending::of_step(summary), began, last }
    }

    fn section(&self, section: Section) -> Result<Option<SectionEntry>, CompleteError> {
        let part = self.job.section(section);
        if !exists(part.folder()) {
            return Ok(None);
        }
        let events_path = self.run.relative(&part.events());
        let status = match whole::<SectionSummary>(&part.summary())? {
            Some(summary) => {
                let SectionSummary { status, reason, message, .. } = summary;
                mend_end(&part.events(), &Ending { status, reason, message, exit_code: None })?;
                status
            }
            None => self.write_section(section, &events_path)?,
        };
        let summary_path = self.run.relative(&part.summary());
        Ok(Some(SectionEntry { section, status, summary_path, events_path }))
    }

    fn write_section(&self, section: Section, events_path: &str) -> Result<Status, CompleteError> {
        let part = self.job.section(section);
        let mut events = MendedStream::of(&part.events())?;
        let ending = events.ending_of(section.phase()).unwrap_or_else(Ending::interrupted);
        let duration_ms = events.duration_ms();
        events.close(&ending)?;
        if !events.has_records() {
            events.append_phase(&Subject::section(section, &self.plan.id), &ending)?;
        }
        let summary = SectionSummary {
            schema_version: SectionSummary::FORMAT.to_string(),
            kind: SectionSummary::KIND.into(),
            job_id: self.plan.id.clone(),
            section,
            status: ending.status,
            reason: ending.reason,
            message: ending.message,
            duration_ms,
            events_path: events_path.to_owned(),
        };
        store::write(&part.summary(), &summary)?;
        Ok(ending.status)
    }

    /// Appends the finish events that are missing, and the phase that closes every job.
    fn close(&mut self, ending: &Ending) -> Result<(), CompleteError> {
        self.execution.close(ending)?;
        self.events.close(ending)?;
        if self.events.start_of(PhaseCode::JobCleanup).is_none() {
            let cleanup = Subject::job(PhaseCode::JobCleanup, &self.plan.id);
            self.events.append_phase(&cleanup, ending)?;
        }
        Ok(())
    }

    /// Steps are told from their mirrored boundaries, within the phase they belong to.
    fn observe(&self, ledger: &mut PhaseLedger) {
        let id = Some(self.plan.id.as_str());
        ledger.expect_job(&self.plan.id);
        let is_step = |event: &&Event| event.phase_code == PhaseCode::StepExecute;
        let mut steps = self.execution.boundaries.iter().filter(is_step);
        for event in &self.events.boundaries {
            if (event.phase_code, event.event) == (PhaseCode::JobExecution, EventKind::Finish) {
                steps.by_ref().for_each(|step| ledger.observe(id, step.phase_code, step.event));
            }
            ledger.observe(id, event.phase_code, event.event);
        }
        steps.for_each(|step| ledger.observe(id, step.phase_code, step.event));
        for damage in [&self.events.damage, &self.execution.damage].into_iter().flatten() {
            ledger.violation(PhaseCode::JobExecution, id, damage.as_str());
        }
    }

    fn write_summary(
        &self,
        ending: Ending,
        begun: bool,
        last: Option<Timestamp>,
    ) -> Result<JobSummary, CompleteError> {
        let started_at = self.events.first.filter(|_| begun);
        let finished_at = last.unwrap_or_else(Timestamp::now);
        let summary = JobSummary {
            schema_version: JobSummary::FORMAT.to_string(),
            kind: JobSummary::KIND.into(),
            job_id: self.plan.id.clone(),
            label: self.plan.label.clone(),
            stage: self.plan.stage.clone(),
            provider: self.plan.provider,
            attempt: if begun { self.earlier_attempts().len() as u32 + 1 } else { 0 },
            status: ending.status,
            reason: ending.reason,
            signal: ending.signal(),
            message: ending.message,
            exit_code: ending.exit_code,
            started_at,
            finished_at,
            duration_ms: started_at.map_or(0, |from| super::mend::milliseconds(from, finished_at)),
            cpu_ms: None,
            peak_rss_bytes: None,
        };
        store::write(&self.job.summary(), &summary)?;
        Ok(summary)
    }

    fn manifest(&self, summary: &JobSummary, parts: &Parts) -> JobManifest {
        let culprit = culprit(&parts.steps).filter(|_| !summary.status.is_fine());
        let section = parts.sections.iter().find(|entry| entry.status == Status::Failure);
        let section = section.filter(|_| culprit.is_none());
        let events = self.job.execution_events();
        JobManifest {
            schema_version: JobManifest::FORMAT.to_string(),
            kind: JobManifest::KIND.into(),
            job_id: self.plan.id.clone(),
            status: summary.status,
            reason: summary.reason,
            message: summary.message.clone(),
            failing_section: section.map(|entry| entry.section),
            failing_section_events_path: section.map(|entry| entry.events_path.clone()),
            failing_step: culprit.map(|step| step.entry.step.clone()),
            failing_step_events_path: culprit
                .map(|step| step.entry.summary_path.replace("summary.json", "events.jsonl")),
            execution_events_path: exists(&events).then(|| self.run.relative(&events)),
            steps: parts.steps.iter().map(|step| step.entry.clone()).collect(),
            system_sections: parts.sections.clone(),
            artifacts: self.artifacts(),
            // What was read is only in the manifest that was never written.
            tests: None,
            dotenv: None,
            attempts: summary.attempt,
            earlier_attempts: self.earlier_attempts(),
            finished_in: None,
        }
    }

    fn earlier_attempts(&self) -> Vec<AttemptEntry> {
        attempts::earlier(self.run, &self.job)
    }

    fn artifacts(&self) -> Option<ArtifactsEntry> {
        let path = self.job.artifacts_manifest();
        let manifest: ArtifactManifest = store::read(&path).ok()?;
        let archive = self.job.artifacts_archive();
        Some(ArtifactsEntry {
            count: manifest.entries.len() as u64,
            bytes: manifest.entries.iter().map(|entry| entry.size).sum(),
            path: self.run.relative(&self.job.artifacts()),
            archive_path: exists(&archive).then(|| self.run.relative(&archive)),
            manifest_path: self.run.relative(&path),
            expires_at: manifest.expires_at,
            pruned_at: manifest.pruned_at,
        })
    }
}

/// The step to look at: the one that failed, else the one that was running. What happens in
/// `after_script` does not decide about the job.
fn culprit(steps: &[CompletedStep]) -> Option<&CompletedStep> {
    let decides = |step: &CompletedStep| !step.entry.step.starts_with("after_script/");
    let failed = steps.iter().find(|step| step.entry.status == Status::Failure && decides(step));
    let running = |step: &&CompletedStep| step.began && step.entry.status == Status::Cancelled;
    failed.or_else(|| steps.iter().find(running))
}
