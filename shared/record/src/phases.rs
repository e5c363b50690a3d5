//! Which phases of a run began and ended, and whether they did so in order: the phase report.
//!
//! `loom-run` tells a [`PhaseLedger`] of every boundary as it writes it, so that nothing is read
//! again; what completes a killed run feeds one from the files. Tell it each boundary once: of a
//! step either the step's own or the one mirrored around the steps, of a section neither (its
//! phase is the job's). The report covers `run.finalize` too, so the finish of that phase is
//! observed before the report is made.

use std::collections::BTreeMap;

use libloom_contract::{
    event::{EventKind, PhaseCode},
    logs::{PhaseCoverage, PhaseReport, PhaseViolation},
    store::Document as _,
};

/// Every phase, in order.
const ALL: [PhaseCode; 11] = [
    PhaseCode::RunBootstrap,
    PhaseCode::RunPipelineExecute,
    PhaseCode::PipelineExecute,
    PhaseCode::JobProviderPrepare,
    PhaseCode::JobCacheRestore,
    PhaseCode::JobExecution,
    PhaseCode::StepExecute,
    PhaseCode::JobArtifactRestore,
    PhaseCode::JobCacheSave,
    PhaseCode::JobCleanup,
    PhaseCode::RunFinalize,
];

/// The phase's name in documents.
pub fn word(phase: PhaseCode) -> &'static str {
    match phase {
        PhaseCode::RunBootstrap => "run.bootstrap",
        PhaseCode::RunPipelineExecute => "run.pipeline_execute",
        PhaseCode::PipelineExecute => "pipeline.execute",
        PhaseCode::JobProviderPrepare => "job.provider_prepare",
        PhaseCode::JobCacheRestore => "job.cache_restore",
        PhaseCode::JobExecution => "job.execution",
        PhaseCode::StepExecute => "step.execute",
        PhaseCode::JobArtifactRestore => "job.artifact_restore",
        PhaseCode::JobCacheSave => "job.cache_save",
        PhaseCode::JobCleanup => "job.cleanup",
        PhaseCode::RunFinalize => "run.finalize",
    }
}

/// The phase that must be open for `phase` to begin.
fn envelope(phase: PhaseCode) -> Option<PhaseCode> {
    match phase {
        PhaseCode::PipelineExecute => Some(PhaseCode::RunPipelineExecute),
        PhaseCode::StepExecute => Some(PhaseCode::JobExecution),
        _ => None,
    }
}

/// Boundaries observed so far; a job takes six bytes and its id.
#[derive(Clone, Debug, Default)]
pub struct PhaseLedger {
    started: [u64; ALL.len()],
    finished: [u64; ALL.len()],
    run: Line,
    jobs: BTreeMap<String, Line>,
    violations: Vec<PhaseViolation>,
}

/// Phases that follow each other: those of the run and the pipeline, or those of one job.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    seen: PhaseSet,
    open: PhaseSet,
    /// Phases that were reported out of order once, so that what follows from it is not.
    reported: PhaseSet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PhaseSet(u16);

impl PhaseSet {
    fn contains(self, phase: PhaseCode) -> bool {
        self.0 & (1 << phase as u16) != 0
    }

    fn insert(&mut self, phase: PhaseCode) {
        self.0 |= 1 << phase as u16;
    }

    fn remove(&mut self, phase: PhaseCode) {
        self.0 &= !(1 << phase as u16);
    }

    fn iter(self) -> impl DoubleEndedIterator<Item = PhaseCode> {
        ALL.into_iter().filter(move |phase| self.contains(*phase))
    }
}

impl Line {
    fn start(&mut self, phase: PhaseCode) -> Option<String> {
        let wrong = self.wrong_start(phase);
        self.seen.insert(phase);
        self.open.insert(phase);
        wrong
    }

    fn wrong_start(&self, phase: PhaseCode) -> Option<String> {
        if self.open.contains(phase) {
            return Some("started again before it finished".into());
        }
        let may_repeat = phase == PhaseCode::StepExecute;
        if self.seen.contains(phase) && !may_repeat {
            return Some("started a second time".into());
        }
        if let Some(outer) = envelope(phase) {
            let outside = !self.open.contains(outer);
            return outside.then(|| format!("started outside {}", word(outer)));
        }
        let sibling = |other: &PhaseCode| *other != phase && envelope(*other).is_none();
        if let Some(open) = self.open.iter().find(sibling) {
            return Some(format!("started before {} finished", word(open)));
        }
        let later = self.seen.iter().rev().find(|other| sibling(other) && *other > phase);
        later.map(|later| format!("started after {}", word(later)))
    }

    fn finish(&mut self, phase: PhaseCode) -> Option<String> {
        if !self.open.contains(phase) {
            self.reported.insert(phase);
            return Some("finished without having started".into());
        }
        self.open.remove(phase);
        let inner = self.open.iter().find(|inner| envelope(*inner) == Some(phase))?;
        Some(format!("finished before {} in it did", word(inner)))
    }

    /// What is wrong when nothing more comes.
    fn at_end(self, required: &[PhaseCode]) -> Vec<(PhaseCode, &'static str)> {
        let open = self.open.iter().map(|phase| (phase, "started and never finished"));
        let missing = |phase: &&PhaseCode| !self.seen.contains(**phase);
        let unreported = |phase: &&PhaseCode| !self.reported.contains(**phase);
        let required = required.iter().filter(missing).filter(unreported);
        open.chain(required.map(|phase| (*phase, "is missing"))).collect()
    }

    /// Phases that a job with these phases cannot lack.
    fn required_of_job(self) -> Vec<PhaseCode> {
        let mut required = vec![PhaseCode::JobCleanup];
        if self.seen.iter().any(|phase| phase != PhaseCode::JobCleanup) {
            required.insert(0, PhaseCode::JobProviderPrepare);
        }
        let after_execution =
            [PhaseCode::StepExecute, PhaseCode::JobArtifactRestore, PhaseCode::JobCacheSave];
        if after_execution.iter().any(|phase| self.seen.contains(*phase)) {
            required.insert(1, PhaseCode::JobExecution);
        }
        required
    }
}

impl PhaseLedger {
    /// A ledger that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that there is a job, so that its lack of a `job.cleanup` is noticed even when nothing
    /// is ever observed of it.
    pub fn expect_job(&mut self, job_id: &str) {
        self.line_of(Some(job_id));
    }

    /// Takes note of a boundary; events that are neither start nor finish are passed over.
    ///
    /// `job_id` is `None` for phases of the run and of the pipeline.
    pub fn observe(&mut self, job_id: Option<&str>, phase: PhaseCode, kind: EventKind) {
        let line = self.line_of(job_id);
        let wrong = match kind {
            EventKind::Start => line.start(phase),
            EventKind::Finish => line.finish(phase),
            EventKind::Output | EventKind::Note | EventKind::Error => return,
        };
        let counts = if kind == EventKind::Start { &mut self.started } else { &mut self.finished };
        counts[phase as usize] += 1;
        if let Some(message) = wrong {
            self.violation(phase, job_id, message);
        }
    }

    /// Forgets an attempt of a job that is over and of which `steps` steps began: the report is
    /// about the attempt that counts, as is what the job's folder holds.
    pub fn forget_attempt(&mut self, job_id: &str, steps: u64) {
        let line = std::mem::take(self.line_of(Some(job_id)));
        for phase in line.seen.iter() {
            let times = if phase == PhaseCode::StepExecute { steps } else { 1 };
            for counts in [&mut self.started, &mut self.finished] {
                counts[phase as usize] = counts[phase as usize].saturating_sub(times);
            }
        }
    }

    /// Takes note of something wrong that boundaries alone do not show.
    pub fn violation(
        &mut self,
        phase: PhaseCode,
        job_id: Option<&str>,
        message: impl Into<String>,
    ) {
        let job_id = job_id.map(str::to_owned);
        let message = message.into();
        self.violations.push(PhaseViolation { phase_code: phase, job_id, message });
    }

    /// The report on everything observed, on the assumption that nothing more comes.
    pub fn report(&self, run_id: &str) -> PhaseReport {
        let mut violations = self.violations.clone();
        let mut add = |job_id: Option<&String>, wrong: Vec<(PhaseCode, &str)>| {
            violations.extend(wrong.into_iter().map(|(phase_code, message)| PhaseViolation {
                phase_code,
                job_id: job_id.cloned(),
                message: message.into(),
            }));
        };
        add(None, self.run.at_end(&self.required_of_run()));
        for (job_id, line) in &self.jobs {
            add(Some(job_id), line.at_end(&line.required_of_job()));
        }
        PhaseReport {
            schema_version: PhaseReport::FORMAT.to_string(),
            kind: PhaseReport::KIND.into(),
            run_id: run_id.into(),
            valid: violations.is_empty(),
            phases: self.coverage(),
            violations,
        }
    }

    /// A run that never came to a pipeline (its workflow is invalid, say) lacks nothing.
    fn required_of_run(&self) -> Vec<PhaseCode> {
        let mut required = vec![PhaseCode::RunBootstrap, PhaseCode::RunFinalize];
        if !self.jobs.is_empty() || self.run.seen.contains(PhaseCode::RunPipelineExecute) {
            required.splice(1..1, [PhaseCode::RunPipelineExecute, PhaseCode::PipelineExecute]);
        }
        required
    }

    fn coverage(&self) -> Vec<PhaseCoverage> {
        let coverage = |phase_code: PhaseCode| PhaseCoverage {
            phase_code,
            started: self.started[phase_code as usize],
            finished: self.finished[phase_code as usize],
        };
        ALL.into_iter().map(coverage).collect()
    }

    fn line_of(&mut self, job_id: Option<&str>) -> &mut Line {
        let Some(job_id) = job_id else { return &mut self.run };
        if !self.jobs.contains_key(job_id) {
            self.jobs.insert(job_id.to_owned(), Line::default());
        }
        self.jobs.get_mut(job_id).expect("inserted above")
    }
}

#[cfg(test)]
mod tests {
    use EventKind::{Finish, Start};
    use PhaseCode as P;

    use super::*;

    #[test]
    fn attempt_that_is_forgotten_leaves_no_trace() {
        let mut ledger = PhaseLedger::new();
        phase(&mut ledger, None, P::RunBootstrap);
        let once = ledger.coverage();
        for _ in 0..2 {
            phase(&mut ledger, Some("a"), P::JobProviderPrepare);
            ledger.observe(Some("a"), P::JobExecution, Start);
            phase(&mut ledger, Some("a"), P::StepExecute);
            phase(&mut ledger, Some("a"), P::StepExecute);
            ledger.observe(Some("a"), P::JobExecution, Finish);
            phase(&mut ledger, Some("a"), P::JobCleanup);
            ledger.forget_attempt("a", 2);
        }
        assert_eq!(ledger.coverage(), once);
        assert!(ledger.violations.is_empty());
    }

    fn phase(ledger: &mut PhaseLedger, job: Option<&str>, phase: P) {
        ledger.observe(job, phase, Start);
        ledger.observe(job, phase, Finish);
    }

    fn run_with(jobs: impl FnOnce(&mut PhaseLedger)) -> PhaseReport {
        let mut ledger = PhaseLedger::new();
        phase(&mut ledger, None, P::RunBootstrap);
        ledger.observe(None, P::RunPipelineExecute, Start);
        ledger.observe(None, P::PipelineExecute, Start);
        jobs(&mut ledger);
        ledger.observe(None, P::PipelineExecute, Finish);
        ledger.observe(None, P::RunPipelineExecute, Finish);
        phase(&mut ledger, None, P::RunFinalize);
        ledger.report("r")
    }

    fn messages(report: &PhaseReport) -> Vec<String> {
        let text = |v: &PhaseViolation| format!("{} {}", word(v.phase_code), v.message);
        report.violations.iter().map(text).collect()
    }

    fn whole_job(ledger: &mut PhaseLedger) {
        let job = Some("build");
        phase(ledger, job, P::JobProviderPrepare);
        ledger.observe(job, P::JobExecution, Start);
        phase(ledger, job, P::StepExecute);
        phase(ledger, job, P::StepExecute);
        ledger.observe(job, P::JobExecution, Finish);
        phase(ledger, job, P::JobCacheSave);
        phase(ledger, job, P::JobCleanup);
    }

    #[test]
    fn words_are_the_ones_in_documents() {
        for (place, phase) in ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(phase).unwrap(), word(phase));
            assert_eq!(phase as usize, place);
        }
    }

    #[test]
    fn whole_run_is_valid_and_counted() {
        let report = run_with(|ledger| {
            whole_job(ledger);
            ledger.expect_job("skipped");
            phase(ledger, Some("skipped"), P::JobCleanup);
        });
        assert!(report.valid, "{:?}", messages(&report));
        let steps = report.phases.iter().find(|c| c.phase_code == P::StepExecute).unwrap();
        assert_eq!((steps.started, steps.finished), (2, 2));
    }

    #[test]
    fn run_without_pipeline_lacks_nothing() {
        let mut ledger = PhaseLedger::new();
        phase(&mut ledger, None, P::RunBootstrap);
        phase(&mut ledger, None, P::RunFinalize);
        assert!(ledger.report("r").valid);
        assert_eq!(
            messages(&PhaseLedger::new().report("r")),
            ["run.bootstrap is missing", "run.finalize is missing"]
        );
    }

    #[test]
    fn missing_phases_of_a_job_are_named() {
        let report = run_with(|ledger| {
            ledger.expect_job("never");
            ledger.observe(Some("torn"), P::StepExecute, Finish);
            phase(ledger, Some("torn"), P::JobArtifactRestore);
        });
        let expected = [
            "step.execute finished without having started",
            "job.cleanup is missing",
            "job.provider_prepare is missing",
            "job.execution is missing",
            "job.cleanup is missing",
        ];
        assert_eq!(messages(&report), expected);
        assert_eq!(report.violations[1].job_id.as_deref(), Some("never"));
    }

    #[test]
    fn order_within_a_job_is_checked() {
        let job = Some("build");
        let report = run_with(|ledger| {
            ledger.observe(job, P::JobProviderPrepare, Start);
            ledger.observe(job, P::JobExecution, Start);
            ledger.observe(job, P::JobProviderPrepare, Finish);
            ledger.observe(job, P::StepExecute, Start);
            ledger.observe(job, P::StepExecute, Start);
            ledger.observe(job, P::JobExecution, Finish);
            phase(ledger, job, P::JobCacheRestore);
            phase(ledger, job, P::JobCleanup);
            ledger.observe(job, P::JobCleanup, Start);
        });
        let expected = [
            "job.execution started before job.provider_prepare finished",
            "step.execute started again before it finished",
            "job.execution finished before step.execute in it did",
            "job.cache_restore started after job.execution",
            "job.cleanup started a second time",
            "step.execute started and never finished",
            "job.cleanup started and never finished",
        ];
        assert_eq!(messages(&report), expected);
    }

    #[test]
    fn pipeline_belongs_in_its_envelope() {
        let mut ledger = PhaseLedger::new();
        phase(&mut ledger, None, P::PipelineExecute);
        let messages = messages(&ledger.report("r"));
        assert_eq!(messages[0], "pipeline.execute started outside run.pipeline_execute");
    }
}
