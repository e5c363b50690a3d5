//! Writes the folder of one job: phases, sections, summary, manifest.

use std::{error::Error, io, time::Instant};

use libloom_contract::{
    Reason, Status,
    event::{Event, EventKind, PhaseCode, Section},
    graph::Node,
    layout::{JobLayout, RunLayout},
    logs::{ArtifactsEntry, JobManifest, JobSummary, SectionEntry, SectionSummary, StepEntry},
    store, version,
};
use libloom_record::{
    attempts::earlier,
    events::{EventLog, Subject},
};

use crate::{run::Run, steps::milliseconds, verdict::Verdict};

/// The folder of one job while the job goes on.
pub struct JobLog<'a> {
    run: &'a Run,
    job_id: &'a str,
    /// Where everything lies.
    pub layout: JobLayout,
    events: EventLog,
    /// What the manifest will say.
    pub manifest: JobManifest,
}

impl<'a> JobLog<'a> {
    /// Makes the folder.
    pub fn create(run: &'a Run, node: &'a Node) -> io::Result<Self> {
        let layout = run.logs.job(&node.id);
        let subject = Subject::job(PhaseCode::JobProviderPrepare, &node.id);
        let events = EventLog::create(&layout.events(), subject)?;
        let manifest = empty_manifest(&node.id);
        Ok(JobLog { run, job_id: &node.id, layout, events, manifest })
    }

    /// The run's folders.
    pub fn run_layout(&self) -> &'a RunLayout {
        &self.run.logs
    }

    /// A phase of the job around `body`, which says how it ended.
    pub fn phase<T>(
        &mut self,
        phase: PhaseCode,
        body: impl FnOnce(&mut Self) -> io::Result<(Verdict, T)>,
    ) -> io::Result<(Verdict, T)> {
        let subject = Subject::job(phase, self.job_id);
        let started = Instant::now();
        self.run.display.phase(self.job_id, phase);
        self.run.observe(Some(self.job_id), phase, EventKind::Start);
        self.events.append(subject.event(EventKind::Start))?;
        let result = body(self);
        let finish = match &result {
            Ok((verdict, _)) => finish(&subject, &self.run.hidden(verdict), started),
            Err(error) => finish(&subject, &self.run.hidden(&loom_error(error)), started),
        };
        self.run.observe(Some(self.job_id), phase, EventKind::Finish);
        self.events.append(finish)?;
        result
    }

    /// A system section around `body`, with an event log of its own; sections may lie within others.
    pub fn section<T>(
        &mut self,
        section: Section,
        body: impl FnOnce(&mut Self, &mut EventLog) -> io::Result<Result<T, Verdict>>,
    ) -> io::Result<Result<T, Verdict>> {
        let part = self.layout.section(section);
        let mut log = EventLog::create(&part.events(), Subject::section(section, self.job_id))?;
        let started = Instant::now();
        log.append_own(EventKind::Start)?;
        let result = body(self, &mut log)?;
        let verdict = match &result {
            Ok(_) => Verdict::success(),
            Err(verdict) => self.run.hidden(verdict),
        };
        let is_told = log.has_told_error();
        if let (Status::Failure, Some(text), false) = (verdict.status, &verdict.message, is_told) {
            let event =
                Event { reason: verdict.reason, ..log.subject().say(EventKind::Error, text) };
            log.append(event)?;
        }
        let finished = finish(&log.subject().clone(), &verdict, started);
        log.append(finished)?;
        self.close_section(section, verdict, milliseconds(started.elapsed()))?;
        Ok(result)
    }

    fn close_section(
        &mut self,
        section: Section,
        verdict: Verdict,
        duration_ms: u64,
    ) -> io::Result<()> {
        let part = self.layout.section(section);
        let [summary_path, events_path] =
            [part.summary(), part.events()].map(|path| self.run.logs.relative(&path));
        let status = verdict.status;
        let summary = SectionSummary {
            schema_version: version::LOGS.to_string(),
            kind: "loom-section-summary".into(),
            job_id: self.job_id.into(),
            section,
            status,
            reason: verdict.reason,
            message: verdict.message,
            duration_ms,
            events_path: events_path.clone(),
        };
        store::write(&part.summary(), &summary).map_err(io::Error::other)?;
        if status == Status::Failure && self.manifest.failing_section.is_none() {
            self.manifest.failing_section = Some(section);
            self.manifest.failing_section_events_path = Some(events_path.clone());
        }
        let entry = SectionEntry { section, status, summary_path, events_path };
        self.manifest.system_sections.push(entry);
        Ok(())
    }

    /// The steps and what was extracted are known.
    pub fn steps(&mut self, steps: Vec<StepEntry>) {
        self.manifest.steps.extend(steps);
    }

    /// What was extracted is known.
    pub fn artifacts(&mut self, artifacts: ArtifactsEntry) {
        self.manifest.artifacts = Some(artifacts);
    }

    /// Writes summary and manifest; the job is over.
    pub fn close(mut self, summary: &JobSummary) -> io::Result<()> {
        self.manifest.status = summary.status;
        self.manifest.reason = summary.reason;
        self.manifest.message = summary.message.clone();
        store::write(&self.layout.summary(), summary).map_err(io::Error::other)?;
        store::write(&self.layout.manifest(), &self.manifest).map_err(io::Error::other)
    }
}

/// Writes summary and manifest of a job whose record failed half way, so that the pipeline's
/// manifest points to something. Where even that fails the pipeline still tells the job's fate.
pub fn close_broken(run: &Run, summary: &JobSummary) {
    let layout = run.logs.job(&summary.job_id);
    let manifest = JobManifest {
        status: summary.status,
        reason: summary.reason,
        message: summary.message.clone(),
        attempts: summary.attempt,
        earlier_attempts: earlier(&run.logs, &layout),
        ..empty_manifest(&summary.job_id)
    };
    let _ = store::write(&layout.summary(), summary);
    let _ = store::write(&layout.manifest(), &manifest);
}

fn empty_manifest(job_id: &str) -> JobManifest {
    JobManifest {
        schema_version: version::LOGS.to_string(),
        kind: "loom-job-manifest".into(),
        job_id: job_id.into(),
        status: Status::Cancelled,
        reason: None,
        message: None,
        failing_section: None,
        failing_section_events_path: None,
        failing_step: None,
        failing_step_events_path: None,
        execution_events_path: None,
        steps: Vec::new(),
        system_sections: Vec::new(),
        artifacts: None,
        tests: None,
        dotenv: None,
        attempts: 0,
        earlier_attempts: Vec::new(),
        finished_in: None,
    }
}

/// The finish record of a phase that ended with `verdict`.
pub fn finish(subject: &Subject, verdict: &Verdict, started: Instant) -> Event {
    let duration_ms = milliseconds(started.elapsed());
    let text = verdict.message.clone();
    Event { text, ..subject.finish(verdict.status, verdict.reason, duration_ms) }
}

/// Loom could not go on.
pub fn loom_error(error: &io::Error) -> Verdict {
    let error: &dyn Error = error;
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    Verdict::failure(Reason::LoomError, words.join(": "))
}
