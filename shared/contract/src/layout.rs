//! Where everything under a repository's runtime directory lies. No other code joins these names.
//!
//! ```text
//! <repository>/.loom/.runtime/          made by any command; may be deleted whole at any time
//! ├── .gitignore                        `*`: neither git nor a snapshot ever sees the directory
//! ├── receipts/
//! │   ├── <run_id>.json                 loom-run → loom-logs, people     RunReceipt
//! │   └── <time>-check-<pid>.json       loom-check → people              CheckReceipt
//! ├── graphs/<digest>.json              loom-compile → loom-run          Graph
//! ├── snapshots/<id>.json               loom-snapshot → loom-run         Snapshot
//! ├── snapshots/<id>.index              loom-snapshot alone: what the snapshot held when it was made
//! └── logs/<run_id>/                    loom-run; locked (flock) while the run lives
//!     ├── events.jsonl                  run-scoped phases                Event
//!     ├── summary.json                                                   RunSummary
//!     ├── phase-report.json                                              PhaseReport
//!     ├── engine.json                   only while something may be left in an engine   EngineRecord
//!     ├── pipeline/
//!     │   ├── events.jsonl              pipeline-scoped phases, job outcomes as notes
//!     │   ├── summary.json                                               PipelineSummary
//!     │   └── manifest.json             points to the failing job        PipelineManifest
//!     └── jobs/<job_id>/
//!         ├── events.jsonl              job-scoped phases
//!         ├── summary.json                                               JobSummary
//!         ├── manifest.json             points to the failing step       JobManifest
//!         ├── user/
//!         │   ├── execution/
//!         │   │   ├── events.jsonl      steps' boundaries mirrored; output of no step
//!         │   │   ├── {script,after_script}.sh   only where too long for an argument (128 KiB)
//!         │   │   └── {before_script,script,after_script}/<NN>/
//!         │   │       ├── events.jsonl  the step's boundaries and output
//!         │   │       └── summary.json                                   StepSummary
//!         │   └── script → execution/script
//!         ├── system/<section>/
//!         │   ├── events.jsonl
//!         │   ├── <service>.log         services only: what a service wrote
//!         │   └── summary.json                                           SectionSummary
//!         ├── dotenv.json              variables for later jobs              DotenvDocument
//!         ├── artifacts.json                                             ArtifactManifest
//!         ├── artifacts/<path>…         extracted files
//!         ├── artifacts/artifacts.tar.gz
//!         └── attempts/<n>/…            earlier attempts, from 1, each laid out like the job
//! ```
//!
//! A workspace has `logs/<run_id>` and `receipts/<run_id>.json` of its run as links into the
//! repository's runtime directory, so that deleting the workspace loses no evidence.

use std::path::{Path, PathBuf};

use crate::{
    event::Section,
    graph::{ScriptSection, Step},
};

/// The workflow that is used when none is named, relative to the repository root.
pub const DEFAULT_WORKFLOW: &str = ".loom/workflow.yml";
/// The only folder includes may come from, relative to the repository root.
pub const TEMPLATES: &str = ".loom/templates";
/// The repository's configuration, relative to the repository root.
pub const CONFIG: &str = ".loom/config.yml";
/// The runtime directory, relative to the repository root.
pub const RUNTIME: &str = ".loom/.runtime";
/// The snapshot record inside a workspace, relative to its `.git`.
pub const SNAPSHOT_RECORD_IN_GIT: &str = "loom-snapshot.json";
/// How the name of a workspace ends that is being made or removed; it begins with a dot.
pub const WORKSPACE_PARTIAL: &str = ".loom-partial";
/// A snapshot's baseline where the repository cannot be written to, relative to its `.git`.
pub const SNAPSHOT_BASELINE_IN_GIT: &str = "loom-snapshot.index";
/// What the runtime directory's `.gitignore` holds.
pub const RUNTIME_GITIGNORE: &str = "*\n";

/// Paths below one runtime directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    runtime: PathBuf,
}

impl Layout {
    /// The runtime directory of the repository at `root`.
    pub fn of_repository(root: &Path) -> Self {
        Layout { runtime: root.join(RUNTIME) }
    }

    /// `.loom/.runtime` itself.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The file that hides the directory from git.
    pub fn gitignore(&self) -> PathBuf {
        self.runtime.join(".gitignore")
    }

    /// Folder of all receipts.
    pub fn receipts(&self) -> PathBuf {
        self.runtime.join("receipts")
    }

    /// Receipt of a run.
    pub fn run_receipt(&self, run_id: &str) -> PathBuf {
        self.receipts().join(format!("{run_id}.json"))
    }

    /// Receipt of a check that process `pid` made at `time` (see `Timestamp::compact`).
    pub fn check_receipt(&self, time: &str, pid: u32) -> PathBuf {
        self.receipts().join(format!("{time}-check-{pid}.json"))
    }

    /// A graph document.
    pub fn graph(&self, digest: &str) -> PathBuf {
        self.runtime.join("graphs").join(format!("{digest}.json"))
    }

    /// Folder of all snapshot records.
    pub fn snapshots(&self) -> PathBuf {
        self.runtime.join("snapshots")
    }

    /// The record of a snapshot.
    pub fn snapshot(&self, id: &str) -> PathBuf {
        self.snapshots().join(format!("{id}.json"))
    }

    /// What a snapshot held when it was made, in the format of git's index.
    pub fn snapshot_baseline(&self, id: &str) -> PathBuf {
        self.snapshots().join(format!("{id}.index"))
    }

    /// Folder of all runs.
    pub fn logs(&self) -> PathBuf {
        self.runtime.join("logs")
    }

    /// One run.
    pub fn run(&self, run_id: &str) -> RunLayout {
        RunLayout { folder: self.logs().join(run_id) }
    }

    /// Makes the runtime directory with its `.gitignore`.
    ///
    /// A repository may hold a symlink in its place, which must not lead what is written outside.
    ///
    /// # Errors
    /// What the system says, or that there is a symlink; the caller decides whether it can do
    /// without.
    pub fn create(&self) -> std::io::Result<()> {
        let above = self.runtime.parent().unwrap_or(&self.runtime);
        let below = ["receipts", "logs", "graphs", "snapshots"].map(|name| self.runtime.join(name));
        for folder in [above, &self.runtime].into_iter().chain(below.iter().map(PathBuf::as_path)) {
            if folder.is_symlink() {
                let what = format!("`{}` is a symlink, not a folder", folder.display());
                return Err(std::io::Error::new(std::io::ErrorKind::NotADirectory, what));
            }
        }
        std::fs::create_dir_all(&self.runtime)?;
        match std::fs::read_to_string(self.gitignore()) {
            Ok(text) if text == RUNTIME_GITIGNORE => Ok(()),
            _ => crate::store::write_bytes(&self.gitignore(), RUNTIME_GITIGNORE.as_bytes()),
        }
    }
}

/// Paths of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLayout {
    folder: PathBuf,
}

impl RunLayout {
    /// The run at `folder`.
    pub fn at(folder: PathBuf) -> Self {
        RunLayout { folder }
    }

    /// The run's folder, which is locked while the run lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which engine may hold something of the run; there only while one may.
    pub fn engine(&self) -> PathBuf {
        self.folder.join("engine.json")
    }

    /// Id of the run: the folder's name.
    pub fn run_id(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Run-scoped events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    /// Summary of the run.
    pub fn summary(&self) -> PathBuf {
        self.folder.join("summary.json")
    }

    /// The phase report.
    pub fn phase_report(&self) -> PathBuf {
        self.folder.join("phase-report.json")
    }

    /// Pipeline-scoped events.
    pub fn pipeline_events(&self) -> PathBuf {
        self.folder.join("pipeline/events.jsonl")
    }

    /// Summary of the pipeline.
    pub fn pipeline_summary(&self) -> PathBuf {
        self.folder.join("pipeline/summary.json")
    }

    /// Manifest of the pipeline.
    pub fn pipeline_manifest(&self) -> PathBuf {
        self.folder.join("pipeline/manifest.json")
    }

    /// Folder of all jobs.
    pub fn jobs(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    /// One job.
    pub fn job(&self, job_id: &str) -> JobLayout {
        JobLayout { folder: self.jobs().join(job_id) }
    }

    /// `path` as pointer fields hold it: relative to the run's folder.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// Paths of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLayout {
    folder: PathBuf,
}

impl JobLayout {
    /// The job's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Job-scoped events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    /// Summary of the job.
    pub fn summary(&self) -> PathBuf {
        self.folder.join("summary.json")
    }

    /// Manifest of the job.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("manifest.json")
    }

    /// Folder around the steps.
    pub fn execution(&self) -> PathBuf {
        self.folder.join("user/execution")
    }

    /// Events around the steps.
    pub fn execution_events(&self) -> PathBuf {
        self.execution().join("events.jsonl")
    }

    /// Folder of one list of script entries.
    pub fn script(&self, section: ScriptSection) -> PathBuf {
        self.execution().join(section.word())
    }

    /// The link that makes the older documented step path work, and its target.
    pub fn script_link(&self) -> (PathBuf, &'static str) {
        (self.folder.join("user/script"), "execution/script")
    }

    /// One step.
    pub fn step(&self, step: &Step) -> PartLayout {
        PartLayout { folder: self.execution().join(step.path()) }
    }

    /// One system section.
    pub fn section(&self, section: Section) -> PartLayout {
        PartLayout { folder: self.folder.join("system").join(section.word()) }
    }

    /// Folder of the extracted files.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.join("artifacts")
    }

    /// The archive of the extracted files.
    pub fn artifacts_archive(&self) -> PathBuf {
        self.artifacts().join("artifacts.tar.gz")
    }

    /// The list of the extracted files.
    pub fn artifacts_manifest(&self) -> PathBuf {
        self.folder.join("artifacts.json")
    }

    /// Folder of all earlier attempts.
    pub fn attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }

    /// Variables for later jobs, from `reports.dotenv`.
    pub fn dotenv(&self) -> PathBuf {
        self.folder.join("dotenv.json")
    }

    /// An earlier attempt, from 1, laid out like the job itself.
    pub fn attempt(&self, number: u32) -> JobLayout {
        JobLayout { folder: self.attempts().join(number.to_string()) }
    }
}

/// Paths of a step or a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartLayout {
    folder: PathBuf,
}

impl PartLayout {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    /// Its summary.
    pub fn summary(&self) -> PathBuf {
        self.folder.join("summary.json")
    }

    /// What the service of this name wrote; for the section of services.
    pub fn service_log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.log", name.replace('/', "-")))
    }
}

const SECRETS_PREFIX: &str = "loom-secrets-";

/// Folder of a run's secret values in the temp folder, while its jobs need them.
pub fn secrets(temp: &Path, run_id: &str) -> PathBuf {
    temp.join(format!("{SECRETS_PREFIX}{run_id}"))
}

/// The run whose [`secrets`] a folder of that name holds.
pub fn run_of_secrets(name: &str) -> Option<String> {
    name.strip_prefix(SECRETS_PREFIX).map(str::to_owned)
}

/// Id of a run that begins at `time`.
pub fn run_id(time: crate::Timestamp) -> String {
    format!("loom-run-local-{}", time.nanoseconds())
}

/// Id of the pipeline of the run that begins at `time`.
pub fn pipeline_id(time: crate::Timestamp) -> String {
    format!("loom-local-{}", time.nanoseconds())
}
