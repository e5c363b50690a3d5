//! Removes what dead runs left behind, and nothing else.
//!
//! A run is dead when the lock on its folder can be taken. What lives stays, and so does what a
//! finished run left on purpose: workspaces, logs, receipts. `loom run` does most of this when it
//! starts; this command does it without a run, and says what it did.

mod engines;
mod workspace;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Parser;
use libloom_console::printable;
use libloom_contract::{env, exit, layout::Layout};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_processes::{Survivor, end_survivors, survivors};
use libloom_record::{
    complete::complete_dead_runs,
    lock,
    read::{self, RunState},
};
use libloom_secrets::files;

/// Removes what dead runs of the repository left behind, and nothing else.
///
/// Ends processes that outlived their run, removes containers, networks, volumes, secrets and
/// unfinished workspaces, and completes the documents of runs that were killed. Whole workspaces, logs and receipts stay: see `loom
/// snapshot prune` and `loom logs prune`. Prints what it found, one thing a line.
///
/// Exit codes: 0 all is clean now; 2 wrong command line; 3 something could not be removed.
#[derive(Clone, Debug, Parser)]
#[command(name = "loom-clean", about = "Removes what dead runs left behind, and nothing else")]
pub struct Arguments {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Remove this workspace of a snapshot, and only that, by a container: how `loom snapshot`
    /// removes what its user may not
    #[arg(long, value_name = "PATH", hide = true)]
    workspace: Option<PathBuf>,
}

/// `loom-clean`.
///
/// # Errors
/// No repository, or something that cannot be removed.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let Arguments { dry_run, workspace } = arguments;
    if let Some(folder) = workspace {
        return workspace::remove(&folder, context).map(|()| exit::DONE);
    }
    let root = context.repository_root()?;
    let clean = Clean {
        layout: Layout::of_repository(&root),
        temp: context.env.temp_folder(),
        dry_run,
        context,
    };
    let found = [
        clean.processes()?,
        clean.engines(&root)?,
        clean.secrets()?,
        clean.records()?,
        clean.half_made_runs()?,
        clean.unfinished_workspaces()?,
    ];
    let [processes, objects, secrets, records, folders, workspaces] = found;
    let [ended, completed, removed] = match dry_run {
        true => ["would end", "would complete", "would remove"],
        false => ["ended", "completed", "removed"],
    };
    context.console.status(format_args!(
        "{ended} {processes} processes, {completed} {records} records, {removed} {objects} \
         containers, networks and volumes, {secrets} folders of secrets, {folders} of runs, \
         {workspaces} of workspaces"
    ));
    Ok(exit::DONE)
}

struct Clean<'a> {
    layout: Layout,
    temp: PathBuf,
    dry_run: bool,
    context: &'a Context,
}

impl Clean<'_> {
    fn say(&self, text: impl std::fmt::Display) -> Result<(), Failure> {
        Ok(self.context.console.out(&printable(&text.to_string()))?)
    }

    /// A run of this repository whose processes are gone.
    fn is_dead(&self, run_id: &str) -> bool {
        let folder = self.layout.run(run_id);
        folder.folder().is_dir() && !lock::is_held(folder.folder())
    }

    fn processes(&self) -> Result<usize, Failure> {
        let was_killed = |run_id: &str| read::was_killed(&self.layout, run_id);
        let found = survivors(env::RUN_ID, was_killed);
        for Survivor { pid, owner, command } in &found {
            self.say(format_args!("process {pid} of {owner}: {command}"))?;
        }
        if !self.dry_run && !found.is_empty() {
            end_survivors(env::RUN_ID, was_killed);
            let left = survivors(env::RUN_ID, was_killed);
            if let Some(Survivor { pid, owner, .. }) = left.first() {
                let error = format!("process {pid} of run `{owner}` cannot be ended");
                return Err(Failure::could_not(error)
                    .hint("it belongs to another user, or is stuck in the kernel"));
            }
        }
        Ok(found.len())
    }

    fn secrets(&self) -> Result<usize, Failure> {
        let dead: Vec<String> = files::runs(&self.temp).filter(|id| self.is_dead(id)).collect();
        for run_id in &dead {
            self.say(format_args!("secrets of {run_id}"))?;
            if !self.dry_run {
                let what = format!("cannot remove the secrets of run `{run_id}`");
                files::remove(&self.temp, run_id).or_could_not(what)?;
            }
        }
        Ok(dead.len())
    }

    fn records(&self) -> Result<usize, Failure> {
        let runs = read::run_ids(&self.layout).or_could_not("cannot list the runs")?;
        let interrupted = |id: &String| {
            matches!(read::state(&self.layout, id), RunState::Interrupted)
                && self.layout.run(id).events().exists()
        };
        let dead: Vec<String> = runs.into_iter().filter(interrupted).collect();
        for run_id in &dead {
            self.say(format_args!("record of {run_id}"))?;
        }
        if !self.dry_run && !dead.is_empty() {
            let what = "cannot complete the record of killed runs";
            for (run_id, result) in complete_dead_runs(&self.layout).or_could_not(what)? {
                result.or_could_not(format!("cannot complete the record of run `{run_id}`"))?;
            }
        }
        Ok(dead.len())
    }

    /// A run's folder has a name that begins with a dot until it is locked; one that was killed
    /// before holds nothing.
    fn half_made_runs(&self) -> Result<usize, Failure> {
        let mut found = 0;
        for folder in entries(&self.layout.logs()) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let is_empty = || fs::read_dir(&folder).is_ok_and(|mut all| all.next().is_none());
            if !name.starts_with(".loom-run-") || !is_empty() || lock::is_held(&folder) {
                continue;
            }
            found += 1;
            self.say(folder.display())?;
            if !self.dry_run {
                // Only ever an empty one: whoever just made it finds it missing, and says so.
                match fs::remove_dir(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let what = format!("cannot remove `{}`", folder.display());
                        return Err(error).or_could_not(what);
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// `loom-snapshot` knows its own leftovers.
    fn unfinished_workspaces(&self) -> Result<usize, Failure> {
        let mut command = Command::new(self.context.siblings.find("loom-snapshot")?);
        command.args(["prune", "--quiet"]).args(self.dry_run.then_some("--dry-run"));
        command.current_dir(&self.context.cwd).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().or_could_not("cannot run `loom-snapshot`")?;
        if !output.status.success() {
            return Err(Failure::could_not("`loom-snapshot prune` failed"));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().try_for_each(|path| self.say(path))?;
        Ok(text.lines().count())
    }
}

/// What a folder holds; nothing if there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
