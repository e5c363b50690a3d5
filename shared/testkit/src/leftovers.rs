//! What may remain when a test is over, and who is found to remain.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::holds_within;
use crate::{Engine, Object};

/// How long a process that is ending anyway may take to be gone.
const GRACE: Duration = Duration::from_secs(2);

/// What a sandbox tolerates when it is dropped. Documents must be whole under the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// The default: no process, and in the temp folder only workspaces that a document under
    /// `.loom/.runtime/snapshots` of one of the sandbox's repositories names.
    #[default]
    KnownWorkspaces,
    /// No process, and an empty temp folder.
    Nothing,
    /// No process, anything in the temp folder: for tests that damage things on purpose.
    AnyFile,
    /// Anything; processes are still ended, silently: for tests that kill a run's guard.
    Anything,
}

impl Leftovers {
    pub(crate) fn documents_are_whole(self) -> bool {
        matches!(self, Self::KnownWorkspaces | Self::Nothing)
    }
}

/// Fails if the temp folder holds what `policy` forbids.
pub(crate) fn check(policy: Leftovers, root: &Path, temp: &Path, repos: &[PathBuf]) {
    let known = match policy {
        Leftovers::KnownWorkspaces => known_documents(repos),
        Leftovers::Nothing => String::new(),
        Leftovers::AnyFile | Leftovers::Anything => return,
    };
    let is_known = |path: &Path| known.contains(&format!("\"{}\"", path.display()));
    let unknown: Vec<String> = entries(temp)
        .into_iter()
        .filter(|path| !is_known(path))
        .map(|path| path.display().to_string())
        .collect();
    assert!(unknown.is_empty(), "left in the temp folder of {}:\n{unknown:#?}", root.display());
}

/// The text of every snapshot document of `repos`.
fn known_documents(repos: &[PathBuf]) -> String {
    let folders = repos.iter().map(|repo| repo.join(".loom/.runtime/snapshots"));
    let documents = folders.flat_map(|folder| entries(&folder));
    documents.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Kills every process that belongs to the sandbox at `root`, and describes those that had not
/// ended by themselves within a short grace (none under [`Leftovers::Anything`]).
pub(crate) fn end_processes(root: &Path, policy: Leftovers) -> Vec<String> {
    if policy != Leftovers::Anything && holds_within(GRACE, || processes(root).is_empty()) {
        return Vec::new();
    }
    let found = processes(root);
    let described = found.iter().map(|pid| describe(*pid)).collect();
    for pid in found {
        // It may have ended meanwhile, which is just as well.
        let _ = kill_process(pid, Signal::KILL);
    }
    if policy == Leftovers::Anything { Vec::new() } else { described }
}

/// Removes what the sandbox's runs left in the engine, and returns it.
pub(crate) fn remove_objects(engine: Option<&Engine>, root: &Path) -> Vec<Object> {
    let Some(engine) = engine else { return Vec::new() };
    let objects = engine.of_runs_below(root);
    // Containers come first, and what they hold is free a moment after them. A test that failed is
    // not to fail again here.
    let mut left = objects.clone();
    holds_within(GRACE, || {
        left.retain(|object| !engine.remove(object));
        left.is_empty()
    });
    objects
}

/// Processes, zombies apart, whose environment or current folder names `root`.
fn processes(root: &Path) -> Vec<Pid> {
    let own = rustix::process::getpid();
    let pids = entries(Path::new("/proc")).into_iter().filter_map(|path| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        Pid::from_raw(pid)
    });
    pids.filter(|pid| *pid != own && belongs(*pid, root)).collect()
}

fn belongs(pid: Pid, root: &Path) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let root_bytes = root.as_os_str().as_bytes();
    let named = |environment: Vec<u8>| {
        environment.windows(root_bytes.len()).any(|window| window == root_bytes)
    };
    fs::read(folder.join("environ")).is_ok_and(named)
        || fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(root))
}

fn describe(pid: Pid) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::{Leftovers, Sandbox};

    fn sleeper(sandbox: &Sandbox) -> std::process::Child {
        sandbox.program("/bin/sleep".as_ref()).arg("1000").spawn().unwrap()
    }

    #[test]
    #[should_panic(expected = "processes left behind")]
    #[expect(clippy::zombie_processes, reason = "the sandbox panics before it could be waited for")]
    fn a_process_left_behind_fails_the_test() {
        let sandbox = Sandbox::new();
        sleeper(&sandbox);
    }

    #[test]
    fn any_policy_ends_processes_silently() {
        let sandbox = Sandbox::new();
        sandbox.allow(Leftovers::Anything);
        let mut child = sleeper(&sandbox);
        drop(sandbox);
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    #[should_panic(expected = "left in the temp folder")]
    fn an_unknown_file_in_the_temp_folder_fails_the_test() {
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.temp().join("loom-x"), "").unwrap();
    }

    #[test]
    fn a_workspace_named_by_a_document_is_known() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repo();
        let workspace = sandbox.temp().join("loom-snapshot-1-a");
        std::fs::create_dir(&workspace).unwrap();
        // Not a whole document: this test is about the temp folder alone.
        let document = format!("\"{}\"", workspace.display());
        repo.write(".loom/.runtime/snapshots/1.json", document);
        sandbox.check_leftovers();
        sandbox.allow(Leftovers::AnyFile);
    }

    #[test]
    fn processes_outside_are_left_alone() {
        let mut outside = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        drop(Sandbox::new());
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
