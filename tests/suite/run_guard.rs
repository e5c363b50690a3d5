//! Nothing outlives a run: signals, `kill -9` of either process of the pair, and of both.
//!
//! The jobs start processes that get away in every way there is. Each of them runs the same
//! script, `stay`, by a path that only this test knows, so that it is found whatever it did to
//! its session, its environment and its descriptors.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libloom_testkit::{Leftovers, Repo, Sandbox, wait_until};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::ran::{Ran, document, workflow};

/// For what takes no time but on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a job's process may live once guard or worker was killed.
const AFTERLIFE: Duration = Duration::from_secs(1);

/// Ways to get away, `STAY` being a process that stays until it is killed.
const FUGITIVES: [&str; 7] = [
    "STAY &",
    "nohup STAY >nohup.out 2>&1 &",
    "(trap '' TERM INT HUP; STAY) &",
    "setsid STAY &",
    "(setsid sh -c 'setsid STAY &' &)",
    "env -i setsid STAY >/dev/null 2>&1 </dev/null &",
    "(env -i setsid sh -c 'setsid STAY >/dev/null 2>&1 </dev/null &' >/dev/null 2>&1 &)",
];

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    let fifo = sandbox.root().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Nobody ever writes: the process stays, and is a single one.
    let body = format!("exec 9<>'{}'\nread word <&9", fifo.display());
    sandbox.script(&sandbox.root().join("kept"), "stay", &body);
    test(&sandbox.repo());
}

fn stay(repo: &Repo<'_>) -> PathBuf {
    repo.sandbox().root().join("kept/stay")
}

/// A workflow of one job `build` with these entries, in which `STAY` is the script.
fn job(repo: &Repo<'_>, entries: &[&str]) {
    let path = stay(repo).display().to_string();
    let entries: Vec<String> = entries.iter().map(|entry| entry.replace("STAY", &path)).collect();
    repo.workflow(&workflow([("build", entries.iter().map(String::as_str).collect())]));
}

/// Ids of all processes that run the script; a zombie has no command line.
fn staying(repo: &Repo<'_>) -> Vec<i32> {
    let path = stay(repo);
    let runs = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|word| word == path.as_os_str().as_encoded_bytes())
            && !line.starts_with(b"env\0")
            && !line.starts_with(b"setsid\0")
            && !line.starts_with(b"nohup\0")
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(runs).collect()
}

/// A run that goes on.
struct Going<'a> {
    repo: &'a Repo<'a>,
    guard: Child,
}

impl<'a> Going<'a> {
    /// Starts a run and waits until `count` processes stay.
    fn start(repo: &'a Repo<'a>, arguments: &[&str], count: usize) -> Self {
        // Cargo may have been started in the background of a script, with SIGINT ignored.
        let mut command = repo.program("env");
        command.arg("--default-signal").arg(libloom_testkit::binaries().join("loom-run"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let guard = command.spawn().unwrap();
        wait_until("the job's processes run", LIMIT, || staying(repo).len() == count);
        Going { repo, guard }
    }

    fn guard_pid(&self) -> Pid {
        Pid::from_child(&self.guard)
    }

    fn worker_pid(&self) -> Pid {
        let guard = self.guard.id();
        let path = format!("/proc/{guard}/task/{guard}/children");
        let children = fs::read_to_string(path).unwrap();
        let first = children.split_whitespace().next().expect("the guard has a worker");
        Pid::from_raw(first.parse().unwrap()).unwrap()
    }

    /// Fails unless nothing stays a second after `killed`.
    #[track_caller]
    fn expect_nobody_since(&self, killed: Instant) {
        let left = AFTERLIFE.saturating_sub(killed.elapsed());
        wait_until("the job's processes are gone", left, || staying(self.repo).is_empty());
    }

    /// The exit status of the guard; does not wait for who holds its pipes.
    fn wait(mut self) -> ExitStatus {
        self.guard.wait().unwrap()
    }

    /// The exit status of the guard, and what both processes printed.
    fn finish(mut self) -> (ExitStatus, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        // Both processes write to these pipes: at their end both are gone.
        self.guard.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.guard.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.guard.wait().unwrap(), stdout, stderr)
    }

    /// Waits for the end; fails unless it is exit code `code`.
    #[track_caller]
    fn expect_code(self, code: i32) -> Ran {
        let repo = self.repo;
        let (status, stdout, stderr) = self.finish();
        assert_eq!(status.code(), Some(code), "{stdout}{stderr}");
        assert_eq!(staying(repo), [0; 0], "processes outlive the run");
        let receipt = stdout.lines().last().unwrap().strip_prefix("receipt: ").unwrap();
        Ran { receipt: document(Path::new(receipt)), code: status.code(), stdout, stderr }
    }
}

/// The only receipt there is.
fn only_receipt(repo: &Repo<'_>) -> Value {
    let receipts: Vec<PathBuf> = fs::read_dir(repo.runtime().join("receipts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(receipts.len(), 1);
    document(&receipts[0])
}

/// Every document of a run says that it was cancelled for this reason; `build` did begin.
#[track_caller]
fn assert_cancelled(receipt: &Value, reason: &str) {
    let logs = PathBuf::from(receipt["logs_dir"].as_str().unwrap());
    let says = |found: &Value, what: &str| {
        let found = [&found["status"], &found["reason"]];
        assert_eq!(found, ["cancelled", reason], "{what}");
    };
    says(receipt, "receipt");
    let documents = ["summary.json", "pipeline/summary.json", "jobs/build/summary.json"];
    for path in documents.into_iter().chain(["jobs/build/manifest.json"]) {
        says(&document(&logs.join(path)), path);
    }
    assert!(receipt["pipeline_manifest_path"].is_string());
    let step = document(&logs.join("jobs/build/user/execution/script/01/summary.json"));
    assert_ne!(step["status"], "failure", "{step}");
}

fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

#[test]
fn killed_worker_takes_all_its_jobs_with_it() {
    with_repo(|repo| {
        job(repo, &[&FUGITIVES, &["STAY"][..]].concat());
        let going = Going::start(repo, &[], FUGITIVES.len() + 1);
        kill(going.worker_pid(), Signal::KILL);
        going.expect_nobody_since(Instant::now());
        let ran = going.expect_code(3).expect_said(&["worker was ended by signal 9 (SIGKILL)"]);
        assert_cancelled(&ran.receipt, "interrupted");
        assert_eq!(ran.receipt["exit_code"], 3);
    });
}

#[test]
fn killed_guard_takes_all_jobs_with_it() {
    with_repo(|repo| {
        job(repo, &[&FUGITIVES, &["STAY"][..]].concat());
        let going = Going::start(repo, &[], FUGITIVES.len() + 1);
        kill(going.guard_pid(), Signal::KILL);
        going.expect_nobody_since(Instant::now());
        let (status, stdout, _) = going.finish();
        assert_eq!(status.signal(), Some(9));
        assert!(stdout.starts_with("receipt: "), "the worker ends what it has begun: {stdout}");
        assert_cancelled(&only_receipt(repo), "interrupted");
    });
}

#[test]
fn fugitives_of_a_job_that_succeeds_do_not_outlive_it() {
    with_repo(|repo| {
        job(repo, &FUGITIVES);
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(staying(repo), [0; 0]);
        assert_eq!(ran.receipt["status"], "success");
    });
}

#[test]
fn one_signal_ends_the_run_in_an_orderly_way() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        with_repo(|repo| {
            job(repo, &["trap 'echo cleaned up; exit 0' TERM", "STAY", "echo never"]);
            let going = Going::start(repo, &[], 1);
            kill(going.guard_pid(), signal);
            let ran = going.expect_code(code);
            assert_cancelled(&ran.receipt, "interrupt");
            assert_eq!(ran.receipt["exit_code"], code);
            assert_eq!(ran.output_text("build", "script/02", "stdout"), "cleaned up\n");
            for step in ["script/02", "script/03"] {
                assert_eq!(ran.step("build", step)["status"], "cancelled", "{step}");
            }
        });
    }
}

#[test]
fn ctrl_c_reaches_both_processes_and_counts_once() {
    with_repo(|repo| {
        job(repo, &["trap 'echo cleaned up; exit 0' TERM", "STAY"]);
        let going = Going::start(repo, &["--grace", "60"], 1);
        kill_process_group(going.guard_pid(), Signal::INT).unwrap();
        let ran = going.expect_code(130);
        assert_eq!(ran.output_text("build", "script/02", "stdout"), "cleaned up\n");
    });
}

#[test]
fn jobs_that_have_not_begun_are_cancelled_too() {
    with_repo(|repo| {
        job(repo, &["STAY"]);
        let text = fs::read_to_string(repo.path(".loom/workflow.yml")).unwrap();
        let later = "later:\n  stage: after\n  script: [echo never]\n";
        repo.workflow(&(text.replace("[ci]", "[ci, after]") + later));
        let going = Going::start(repo, &[], 1);
        kill(going.guard_pid(), Signal::TERM);
        let ran = going.expect_code(143);
        assert_eq!(ran.document("jobs/later/summary.json")["status"], "cancelled");
        assert_eq!(ran.receipt["counts"]["cancelled"], 2);
    });
}

#[test]
fn job_that_ignores_term_is_killed_after_the_grace() {
    with_repo(|repo| {
        job(repo, &["trap '' TERM; STAY"]);
        let going = Going::start(repo, &["--grace", "1"], 1);
        let asked = Instant::now();
        kill(going.guard_pid(), Signal::TERM);
        let ran = going.expect_code(143);
        assert!(asked.elapsed() >= Duration::from_secs(1), "the grace was not kept");
        assert!(asked.elapsed() < LIMIT);
        assert_cancelled(&ran.receipt, "interrupt");
    });
}

#[test]
fn second_signal_kills_at_once() {
    with_repo(|repo| {
        let asked = repo.sandbox().root().join("asked");
        let trap = format!("trap 'touch {}' TERM; while :; do STAY; done", asked.display());
        job(repo, &[&trap]);
        let going = Going::start(repo, &["--grace", "600"], 1);
        kill(going.guard_pid(), Signal::INT);
        wait_until("the job was asked to end", LIMIT, || asked.exists());
        kill(going.guard_pid(), Signal::INT);
        going.expect_nobody_since(Instant::now());
        assert_cancelled(&going.expect_code(130).receipt, "interrupt");
    });
}

/// A run that copies a repository large enough to take a while, at the moment it has begun to.
fn copying<'a>(repo: &'a Repo<'_>) -> Going<'a> {
    job(repo, &["STAY"]);
    let file = fs::File::create(repo.path("large")).unwrap();
    std::io::copy(&mut std::io::repeat(b'x').take(256 << 20), &mut &file).unwrap();
    let going = Going::start(repo, &[], 0);
    let begun = || fs::read_dir(repo.sandbox().temp()).unwrap().next().is_some();
    wait_until("a workspace is being made", LIMIT, begun);
    going
}

#[test]
fn signal_while_the_workspace_is_made_leaves_none() {
    with_repo(|repo| {
        let going = copying(repo);
        kill(going.guard_pid(), Signal::TERM);
        let ran = going.expect_code(143);
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0, "a workspace is left");
        assert_eq!([&ran.receipt["status"], &ran.receipt["reason"]], ["cancelled", "interrupt"]);
    });
}

#[test]
fn worker_killed_while_the_workspace_is_made_leaves_what_prune_removes() {
    with_repo(|repo| {
        let going = copying(repo);
        kill(going.worker_pid(), Signal::KILL);
        let ran = going.expect_code(3);
        assert_eq!([&ran.receipt["status"], &ran.receipt["reason"]], ["cancelled", "interrupted"]);
        repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0, "a workspace is left");
    });
}

#[test]
fn run_within_a_job_ends_with_the_job() {
    with_repo(|repo| {
        job(repo, &["STAY"]);
        let inner = fs::read_to_string(repo.path(".loom/workflow.yml")).unwrap();
        repo.write("inner.yml", inner);
        repo.workflow(&workflow([("build", vec!["loom-run --workflow inner.yml"])]));
        let going = Going::start(repo, &[], 1);
        kill(going.worker_pid(), Signal::KILL);
        going.expect_nobody_since(Instant::now());
        assert_cancelled(&going.expect_code(3).receipt, "interrupted");
        // The inner run's workspace is named by a document in the outer one's workspace.
        repo.sandbox().allow(Leftovers::AnyFile);
    });
}

/// Whether nobody holds the lock of the only run.
fn is_lock_free(repo: &Repo<'_>) -> bool {
    let mut runs = fs::read_dir(repo.runtime().join("logs")).unwrap();
    let folder = File::open(runs.next().unwrap().unwrap().path()).unwrap();
    flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[test]
fn next_run_ends_and_completes_what_a_pair_killed_at_once_has_left() {
    with_repo(|repo| {
        job(repo, &["STAY &", "setsid STAY &", "echo word; STAY"]);
        let going = Going::start(repo, &[], 3);
        // Stopped first, so that neither can act on the other's end. The guard goes last: a stopped
        // process whose group loses its last parent outside is woken up by the kernel.
        let pair = [going.worker_pid(), going.guard_pid()];
        pair.into_iter().for_each(|pid| kill(pid, Signal::STOP));
        pair.into_iter().for_each(|pid| kill(pid, Signal::KILL));
        let status = going.wait();
        assert_eq!(status.signal(), Some(9));
        // Threads of a killed process hold its lock until the last of them is gone.
        wait_until("the killed run's lock is free", LIMIT, || is_lock_free(repo));
        assert_eq!(staying(repo).len(), 3, "nobody is there to end them");

        repo.workflow(&workflow([("build", vec!["echo hi"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let words = ["4 processes were left by a killed run", "the record of 1 killed run was"];
        let ran = ran.expect_said(&words);
        assert_eq!(staying(repo), [0; 0]);
        let receipts = fs::read_dir(repo.runtime().join("receipts")).unwrap();
        let receipts = receipts.map(|entry| document(&entry.unwrap().path()));
        let dead = receipts.into_iter().find(|receipt| receipt["run_id"] != ran.text("run_id"));
        assert_cancelled(&dead.expect("the killed run has a receipt"), "interrupted");
    });
}

#[test]
fn interrupted_hunt_ends_its_repetition_and_starts_no_other() {
    with_repo(|repo| {
        job(repo, &["trap 'echo cleaned up; exit 0' TERM", "STAY"]);
        let going = Going::start(repo, &["--until-fail"], 1);
        kill(going.guard_pid(), Signal::INT);
        let (status, stdout, stderr) = going.finish();
        assert_eq!(status.code(), Some(130), "{stdout}{stderr}");
        assert!(stderr.contains("1 repetitions: 0 failed"), "{stderr}");
        assert_cancelled(&only_receipt(repo), "interrupt");
    });
}

#[test]
fn killed_hunt_ends_its_repetition() {
    with_repo(|repo| {
        job(repo, &["STAY"]);
        let going = Going::start(repo, &["--until-fail"], 1);
        kill(going.guard_pid(), Signal::KILL);
        let (status, ..) = going.finish();
        assert_eq!(status.signal(), Some(9));
        assert_eq!(staying(repo), [0; 0]);
        assert_cancelled(&only_receipt(repo), "interrupt");
    });
}

#[test]
fn fugitives_end_with_the_time_of_their_job_and_with_the_run() {
    for (timeout, code) in [(Some("5s"), 1), (None, 143)] {
        with_repo(|repo| {
            job(repo, &[&FUGITIVES, &["STAY"][..]].concat());
            if let Some(timeout) = timeout {
                let text = fs::read_to_string(repo.path(".loom/workflow.yml")).unwrap();
                repo.workflow(&format!("{text}  timeout: {timeout}\n"));
            }
            let going = Going::start(repo, &["--grace", "1"], FUGITIVES.len() + 1);
            if timeout.is_none() {
                kill(going.guard_pid(), Signal::TERM);
            }
            let ran = going.expect_code(code);
            let reason = if timeout.is_some() { "timeout" } else { "interrupt" };
            assert_eq!(ran.document("jobs/build/summary.json")["reason"], reason);
        });
    }
}

#[test]
fn process_below_the_shell_has_the_whole_grace_even_if_the_shell_ends_at_once() {
    with_repo(|repo| {
        // Neither of the two is the job's shell; the second one holds no pipe of the job.
        let slow = "trap \"sleep 1; echo cleaned up >>cleaned; exit 0\" TERM; STAY; :";
        let entries = [format!("sh -c '{slow}' >/dev/null 2>&1 &"), format!("sh -c '{slow}'")];
        job(repo, &[&entries[0], &entries[1]]);
        let going = Going::start(repo, &["--grace", "60"], 2);
        kill(going.guard_pid(), Signal::TERM);
        let ran = going.expect_code(143);
        let cleaned = fs::read_to_string(ran.workspace().join("cleaned")).unwrap_or_default();
        assert_eq!(cleaned, "cleaned up\ncleaned up\n");
    });
}
