//! `loom-snapshot create` under `kill -9`: at any moment, and at each boundary between phases.
//!
//! After each kill there is nothing, or a whole snapshot, or a leftover that `prune` removes; and
//! the source is what it was, byte for byte.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libloom_testkit::{Repo, Sandbox, assert_same_list, tree_list, try_tree_list, wait_until};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::snapshot::{bytes_on_disk, snapshot};

const LIMIT: Duration = Duration::from_secs(20);
const KILLS: u32 = 200;
/// Repositories in which snapshots are killed side by side.
const THREADS: u32 = 4;

/// What a kill left in the temp folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Unfinished,
    Whole,
}

/// A repository, and what a snapshot of it has to be.
struct Subject<'a> {
    repo: &'a Repo<'a>,
    tree: Vec<String>,
    disk: Vec<String>,
    usual: Duration,
}

impl<'a> Subject<'a> {
    fn of(repo: &'a Repo<'a>) -> Self {
        for number in 0..120 {
            repo.write(format!("folder-{}/file-{number}", number % 20), format!("{number}\n"));
        }
        repo.commit("files").write("folder-3/file-3", "dirty").write("new", "untracked");
        let (tree, disk) = (tree_list(repo.sandbox(), repo.root()), bytes_on_disk(repo.root()));
        assert!(disk.len() > 200, "the listing works");
        let start = Instant::now();
        snapshot(repo, &[]);
        let subject = Self { repo, tree, disk, usual: start.elapsed() };
        subject.prune();
        subject
    }

    fn create(&self) -> Command {
        let mut command = self.repo.process("loom-snapshot");
        command.arg("create").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn found(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.repo.sandbox().temp()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Why a folder is no whole snapshot.
    fn flaw(&self, folder: &Path) -> Result<(), String> {
        let found = try_tree_list(self.repo.sandbox(), folder)?;
        let has_record = folder.join(".git/loom-snapshot.json").is_file();
        match (found == self.tree, has_record) {
            (true, true) => Ok(()),
            (same, record) => Err(format!("tree is the same: {same}, has its record: {record}")),
        }
    }

    /// The whole check after a kill; nothing is left afterwards.
    fn check(&self, what: &str) -> Left {
        assert_same_list(&self.disk, &bytes_on_disk(self.repo.root()));
        let found = self.found();
        assert!(found.len() <= 1, "{what}: {found:?}");
        let left = match found.first() {
            None => Left::Nothing,
            Some(path) if is_unfinished(path) => Left::Unfinished,
            Some(path) => {
                self.flaw(path).unwrap_or_else(|flaw| panic!("{what}: {flaw}"));
                Left::Whole
            }
        };
        self.prune();
        left
    }

    fn prune(&self) {
        // A git process that was just being started may hold the lock for an instant more.
        wait_until("prune removes what was left", LIMIT, || {
            self.repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
            self.found().is_empty()
        });
        let records = fs::read_dir(self.repo.runtime().join("snapshots"));
        let records: Vec<_> = records.into_iter().flatten().map(|e| e.unwrap().path()).collect();
        assert!(records.is_empty(), "{records:?}");
    }

    /// Kills a creation as soon as it says that `phase` begins.
    ///
    /// The pipe holds one message and no more: what comes after the next one has not begun.
    fn kill_at(&self, phase: &str, arguments: &[&str]) {
        let (read, write) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
        fcntl_setpipe_size(&write, 4096).unwrap();
        let mut command = self.create();
        let mut child = command.arg("--events").args(arguments).stdout(write).spawn().unwrap();
        drop(command);
        let mark = format!("\"phase\":\"{phase}\"");
        let lines = BufReader::with_capacity(4096, File::from(read)).lines();
        let is_there = lines.map(Result::unwrap).any(|line| line.contains(&mark));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_there, "the phase `{phase}` was never told");
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".loom-partial")
}

#[test]
fn kill_at_any_moment_leaves_a_whole_snapshot_or_a_leftover_that_prune_removes() {
    let counts = [const { AtomicU32::new(0) }; 3];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let counts = &counts;
            scope.spawn(move || {
                let sandbox = Sandbox::new();
                let repo = sandbox.repo();
                let subject = Subject::of(&repo);
                for kill in (thread..KILLS).step_by(THREADS as usize) {
                    let left = killed(&subject, kill);
                    counts[left as usize].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let [nothing, unfinished, whole] = counts.map(AtomicU32::into_inner);
    println!("{KILLS} kills: {nothing} nothing, {unfinished} unfinished, {whole} whole");
    assert_eq!(nothing + unfinished + whole, KILLS);
    assert!(unfinished > 20 && whole >= 3, "the kills are spread: {unfinished}, {whole}");
}

fn killed(subject: &Subject<'_>, kill: u32) -> Left {
    let mut child = subject.create().spawn().unwrap();
    let moment = Instant::now() + subject.usual * kill * 5 / (KILLS * 4);
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    if kill + THREADS >= KILLS {
        // However busy the machine is: some come too late.
        child.wait().unwrap();
    }
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
    subject.check(&format!("kill {kill} of {KILLS}"))
}

#[test]
fn kill_at_each_phase_boundary_and_a_missing_rename_is_seen() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let subject = Subject::of(&repo);
    let mut flaws = 0;
    for phase in ["plan", "copy", "untracked", "index", "publish", "record"] {
        subject.kill_at(phase, &[]);
        // Without the last rename a snapshot would be built under its own name: the check that
        // the kills rely on has to see that it is not whole.
        let found = subject.found();
        if matches!(phase, "plan" | "copy") {
            let place = repo.sandbox().temp().join("loom-snapshot-1-2");
            fs::rename(&found[0], &place).unwrap();
            flaws += usize::from(subject.flaw(&place).is_err());
            fs::rename(&place, &found[0]).unwrap();
        }
        let left = subject.check(phase);
        match phase {
            "record" => assert_eq!(left, Left::Whole),
            "publish" => assert_ne!(left, Left::Nothing),
            _ => assert_eq!(left, Left::Unfinished, "{phase}"),
        }
    }
    assert_eq!(flaws, 2, "a snapshot without its last rename looked whole");
}

#[test]
fn what_a_kill_leaves_at_a_place_of_the_users_is_found_too() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let subject = Subject::of(&repo);
    let above = sandbox.root().join("mine");
    fs::create_dir(&above).unwrap();
    let dest = above.join("copy");
    let left = || fs::read_dir(&above).unwrap().count();
    for phase in ["plan", "copy", "index"] {
        subject.kill_at(phase, &["--dest", dest.to_str().unwrap()]);
        assert_eq!((left(), dest.exists()), (1, false), "{phase}");
        wait_until("prune removes what was left", LIMIT, || {
            repo.command("loom-snapshot").arg("prune").assert().success();
            left() == 0
        });
    }
    // Whole, but its record was not written: `prune` makes up for that, and does not lose it.
    subject.kill_at("record", &["--dest", dest.to_str().unwrap()]);
    subject.flaw(&dest).unwrap();
    repo.command("loom-snapshot").arg("prune").assert().success();
    assert!(dest.exists());
    let listed = repo.command("loom-snapshot").arg("list").assert().success();
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    assert!(listed.contains(dest.to_str().unwrap()), "{listed}");
    subject.prune();
    assert_eq!(left(), 0);
}
