//! `--failed`: what an earlier run came to, so that another goes on from there.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Reason, Status,
    layout::{Layout, SNAPSHOT_RECORD_IN_GIT},
    logs::{JobManifest, PipelineManifest},
    snapshot::Snapshot,
    store,
};
use libloom_entry::{Failure, OrFail as _};
use libloom_record::{
    complete::complete_dead_runs,
    lock::{self, RunLock},
    read::{self, RunState},
};

/// The options that go on from an earlier run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AgainArgs {
    /// Run again what failed or was skipped in this run (an id, a part of one, or `latest`, which
    /// is the default), with the artifacts of its finished jobs
    #[arg(
        long,
        value_name = "RUN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = read::LATEST
    )]
    failed: Option<String>,

    /// With --failed: work in that run's own workspace as it was left, instead of in a new one
    #[arg(long)]
    in_place: bool,
}

/// An earlier run.
#[derive(Debug)]
pub struct Earlier {
    /// Its id.
    pub run_id: String,
    /// Its workflow file, absolute.
    pub workflow: PathBuf,
    /// What became of its jobs, by id.
    jobs: HashMap<String, Fate>,
    /// Its workspace, where this run is to work in it.
    workspace: Option<Workspace>,
}

/// What became of a job.
#[derive(Debug)]
enum Fate {
    /// It is done; its artifacts are in the run of this id.
    Finished(String),
    /// The earlier run was not about it.
    Apart,
    /// It is to run again.
    Open,
}

/// The workspace of an earlier run, which nobody else uses while this exists.
#[derive(Debug)]
struct Workspace {
    snapshot: Snapshot,
    _lock: Option<RunLock>,
}

impl Earlier {
    /// Finds the run that the options name; `None` when they name none.
    ///
    /// # Errors
    /// There is no such run, it still goes on, it never came to its jobs, or its workspace is
    /// gone.
    pub fn find(args: &AgainArgs, layout: &Layout) -> Result<Option<Self>, Failure> {
        let Some(word) = &args.failed else {
            return if args.in_place { Err(in_place_of_what()) } else { Ok(None) };
        };
        let run_id = read::resolve(layout, word).map_err(Failure::could_not)?;
        let receipt = match state(layout, &run_id)? {
            RunState::Finished(receipt) => receipt,
            RunState::Running => {
                let failure = Failure::could_not(format!("run `{run_id}` still goes on"));
                return Err(failure.hint("wait for its end, or name another run"));
            }
            RunState::Damaged(error) => return Err(Failure::could_not(error)),
            RunState::Interrupted => {
                return Err(Failure::could_not(format!("run `{run_id}` has no receipt")));
            }
        };
        let manifest = store::read::<PipelineManifest>(&layout.run(&run_id).pipeline_manifest());
        let manifest = manifest.map_err(|error| {
            Failure::could_not(error)
                .context(format_args!("run `{run_id}` never came to its jobs"))
                .hint("start a new run: `loom run`")
        })?;
        if args.in_place && receipt.command.iter().any(|word| word == "--isolate-jobs") {
            let error = format!("the jobs of run `{run_id}` had a workspace each");
            return Err(Failure::could_not(error)
                .hint(format!("go on in a new workspace: --failed={run_id}")));
        }
        let path = receipt.snapshot_path.as_deref().map(Path::new);
        let workspace = args.in_place.then(|| workspace(layout, &run_id, path)).transpose()?;
        let jobs = jobs(layout, &run_id, manifest);
        Ok(Some(Earlier { run_id, workflow: receipt.workflow_path.into(), jobs, workspace }))
    }

    /// Whether any job is to run again.
    pub fn has_open(&self) -> bool {
        self.jobs.values().any(|fate| matches!(fate, Fate::Open))
    }

    /// Why the job is not run again; `None` when it is.
    pub fn why_not_again(&self, job_id: &str) -> Option<String> {
        match self.jobs.get(job_id)? {
            Fate::Finished(run_id) => Some(format!("succeeded in run `{run_id}`")),
            Fate::Apart => Some(format!("was no part of run `{}`", self.run_id)),
            Fate::Open => None,
        }
    }

    /// The run that has the artifacts of the job, where it is done.
    pub fn finished_in(&self, job_id: &str) -> Option<&str> {
        match self.jobs.get(job_id)? {
            Fate::Finished(run_id) => Some(run_id),
            Fate::Apart | Fate::Open => None,
        }
    }

    /// The workspace to work in, where that is not to be a new one.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.workspace.as_ref().map(|workspace| &workspace.snapshot)
    }
}

fn in_place_of_what() -> Failure {
    Failure::usage("`--in-place` works in the workspace of an earlier run and wants to know which")
        .hint("`loom run --failed --in-place` goes on in the latest run's workspace")
        .hint("a run never works in the checkout itself, only in a copy of it")
}

/// How the run stands, once a dead one is completed.
fn state(layout: &Layout, run_id: &str) -> Result<RunState, Failure> {
    match read::state(layout, run_id) {
        RunState::Interrupted => {
            complete_dead_runs(layout).or_could_not("cannot complete the record of killed runs")?;
            Ok(read::state(layout, run_id))
        }
        state => Ok(state),
    }
}

fn jobs(layout: &Layout, run_id: &str, manifest: PipelineManifest) -> HashMap<String, Fate> {
    let fate = |job_id: &str, status, reason| match (status, reason) {
        (Status::Success, _) => Fate::Finished(run_id.to_owned()),
        (Status::Skipped, Some(Reason::NotSelected)) => {
            let manifest = store::read::<JobManifest>(&layout.run(run_id).job(job_id).manifest());
            manifest.ok().and_then(|job| job.finished_in).map_or(Fate::Apart, Fate::Finished)
        }
        _ => Fate::Open,
    };
    let jobs = manifest.jobs.into_iter();
    jobs.map(|job| (job.job_id.clone(), fate(&job.job_id, job.status, job.reason))).collect()
}

/// The workspace at `path`, kept from whoever else might use or remove it.
fn workspace(layout: &Layout, run_id: &str, path: Option<&Path>) -> Result<Workspace, Failure> {
    let gone = |what: &str| {
        Failure::could_not(format!("the workspace of run `{run_id}` {what}"))
            .hint(format!("without --in-place it goes on in a new one: --failed={run_id}"))
    };
    let path = path.ok_or_else(|| gone("was never made"))?;
    let record = path.join(".git").join(SNAPSHOT_RECORD_IN_GIT);
    let snapshot: Snapshot = store::read(&record)
        .map_err(|_| gone(&format!("is not there any more: `{}`", path.display())))?;
    if Path::new(&snapshot.path) != path {
        return Err(gone(&format!("is not what lies in `{}`", path.display())));
    }
    // A snapshot belongs to the run that it was made for, as long as that one's folder is locked.
    let owner = layout.run(snapshot.run_id.as_deref().unwrap_or(run_id));
    let lock = match lock::take(owner.folder()) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(gone("is in use by another run")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).or_could_not(format!("cannot lock `{}`", owner.folder().display()));
        }
    };
    Ok(Workspace { snapshot, _lock: lock })
}

/// Links a run's logs and receipt into a workspace that was made for another run.
///
/// # Errors
/// The workspace's own runtime directory is not what it was, or cannot be written.
pub fn link_run(layout: &Layout, run_id: &str, workspace: &Path) -> io::Result<()> {
    let there = Layout::of_repository(workspace);
    let links = [
        (layout.run(run_id).folder().to_owned(), there.run(run_id).folder().to_owned()),
        (layout.run_receipt(run_id), there.run_receipt(run_id)),
    ];
    for (target, link) in links {
        // A job may have put a symlink in the way; nothing is written through one.
        let folders = link.ancestors().skip(1).take_while(|folder| *folder != workspace);
        for folder in folders {
            if !fs::symlink_metadata(folder)?.is_dir() {
                return Err(io::Error::other(format!("`{}` is no folder", folder.display())));
            }
        }
        symlink(target, link)?;
    }
    Ok(())
}
