//! What all parts of one run share.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use libloom_contract::{
    Reason, Timestamp,
    event::{EventKind, PhaseCode},
    layout::{Layout, RunLayout},
    snapshot::{Facts, Snapshot},
};
use libloom_record::phases::PhaseLedger;
use libloom_redact::Redactor;
use libloom_variables::{Handed, Override, Predefined};

use crate::{
    again::Earlier,
    cancel::{Cancel, Cause},
    display::Display,
    processes::Registry,
    providers::docker::Docker,
    selection::SelectionArgs,
    slots::Slots,
    steps::ended_by,
    verdict::Verdict,
};

/// One run.
#[derive(Debug)]
pub struct Run {
    /// Id of the run.
    pub id: String,
    /// Id of the pipeline in it.
    pub pipeline_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// The same by the steady clock.
    pub started: Instant,
    /// Top folder of the repository.
    pub repo_root: PathBuf,
    /// Workflow file, relative to the repository root.
    pub workflow: String,
    /// The exact invocation.
    pub command: Vec<String>,
    /// Environment that host jobs inherit.
    pub inherited: Vec<(OsString, OsString)>,
    /// Folder of what lives no longer than the run.
    pub temp: PathBuf,
    /// Values above those of the workflow, the highest last.
    pub overrides: Vec<Override>,
    /// What `changes` compares with; `None`: where the default branch was left.
    pub changes_base: Option<String>,
    /// The shell of host jobs; empty when there is none.
    pub shell: PathBuf,
    /// Time between TERM and KILL.
    pub grace: Duration,
    /// Jobs that run at the same time.
    pub jobs: usize,
    /// The same, to be taken by each.
    pub slots: Slots,
    /// Most bytes of output that are recorded of one job.
    pub output_bytes_max: u64,
    /// The runtime directory that the run is recorded in.
    pub layout: Layout,
    /// The run's folder in it.
    pub logs: RunLayout,
    /// Shows the run.
    pub display: Display,
    /// The wish that the run ends.
    pub cancel: Cancel,
    /// Containers of its jobs.
    pub docker: Docker,
    /// Processes started by this one.
    pub registry: Registry,
    /// Phases seen so far.
    pub ledger: Mutex<PhaseLedger>,
    /// What of the graph is to run.
    pub wanted: SelectionArgs,
    /// The run that this one goes on from.
    pub earlier: Option<Earlier>,
    /// The first failure ends the run.
    pub fail_fast: bool,
    /// Every job has a workspace of its own.
    pub isolate: bool,
    /// Options of `loom-snapshot create`.
    pub snapshot_options: Vec<OsString>,
    /// State of the repository where no workspace is made (`--dry-run`).
    pub facts: OnceLock<Facts>,
    /// The isolated workspace, once it is made.
    pub snapshot: OnceLock<Snapshot>,
    /// Variables that jobs have left for later ones.
    pub handed: Handed,
    /// Hides the values of secrets, once it is known which there are.
    pub redactor: OnceLock<Redactor>,
}

impl Run {
    /// The isolated workspace; empty while there is none, and no job runs then.
    pub fn workspace(&self) -> &Path {
        self.snapshot.get().map_or(Path::new(""), |snapshot| Path::new(&snapshot.path))
    }

    /// Hides the values of secrets; nothing while none can have been used.
    pub fn redactor(&self) -> &Redactor {
        self.redactor.get_or_init(Redactor::default)
    }

    /// `verdict` without the value of any secret.
    pub fn hidden(&self, verdict: &Verdict) -> Verdict {
        let hide = |message: &String| self.redactor().text(message).into_owned();
        Verdict { message: verdict.message.as_ref().map(hide), ..verdict.clone() }
    }

    /// State of the repository, as the workspace has it; unknown before it is made.
    pub fn facts(&self) -> &Facts {
        static UNKNOWN: OnceLock<Facts> = OnceLock::new();
        let snapshot = self.snapshot.get().map(|snapshot| &snapshot.facts);
        snapshot.or(self.facts.get()).unwrap_or_else(|| UNKNOWN.get_or_init(Facts::default))
    }

    /// What predefined variables are made of.
    pub fn predefined(&self) -> Predefined<'_> {
        self.predefined_in(self.workspace())
    }

    /// The same for a job that works in this folder.
    pub fn predefined_in<'a>(&'a self, workspace: &'a Path) -> Predefined<'a> {
        Predefined {
            run_id: &self.id,
            pipeline_id: &self.pipeline_id,
            workflow_path: &self.workflow,
            project_name: self.repo_root.file_name().unwrap_or_default().to_string_lossy(),
            workspace,
            facts: self.facts(),
        }
    }

    /// Counts a phase boundary.
    pub fn observe(&self, job_id: Option<&str>, phase: PhaseCode, kind: EventKind) {
        let mut ledger = self.ledger.lock().expect("no thread panics while it holds the lock");
        ledger.observe(job_id, phase, kind);
    }

    /// Why jobs are cancelled.
    pub fn cancel_reason(&self) -> Reason {
        match self.cancel.cause() {
            Some(Cause::GuardGone) => Reason::Interrupted,
            Some(Cause::FailFast) => Reason::FailFast,
            _ => Reason::Interrupt,
        }
    }

    /// The same for people.
    pub fn cancel_message(&self) -> String {
        match self.cancel.cause() {
            Some(Cause::Signal(libc::SIGINT)) => "interrupted".into(),
            Some(Cause::Signal(signal)) => format!("the run was {}", ended_by(signal)),
            Some(Cause::GuardGone) => "the run's guard was killed".into(),
            Some(Cause::FailFast) => "another job failed (--fail-fast)".into(),
            None => "the run was cancelled".into(),
        }
    }
}
