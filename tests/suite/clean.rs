//! `loom clean`: what a run that was killed whole has left goes, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use libloom_testkit::{Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::ran::{Ran, workflow};

const LIMIT: Duration = Duration::from_secs(30);

fn clean(repo: &Repo<'_>, arguments: &[&str]) -> (String, String) {
    let output = repo.loom().arg("clean").args(arguments).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    (out, err)
}

fn lives(pid: &str) -> bool {
    Path::new(&format!("/proc/{pid}/fd")).read_dir().is_ok_and(|mut fds| fds.next().is_some())
}

#[test]
fn what_a_killed_pair_left_goes_and_everything_else_stays() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(&workflow([("fine", vec!["true"])]));
    let kept = Ran::of(&repo, &[]).expect_code(0);
    // Somebody looks into a run that is over.
    let mut shell = repo.program("sleep");
    let mut shell = shell.arg("1000").env("LOOM_RUN_ID", kept.text("run_id")).spawn().unwrap();
    assert_eq!(clean(&repo, &[]).0, "");

    let pid_file = sandbox.root().join("pid");
    let script = format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 1000", pid_file.display());
    repo.workflow(&workflow([("build", vec![script.as_str()])]));
    let mut guard = repo.program("loom-run");
    let mut guard = guard.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the job runs", LIMIT, || pid_file.exists());
    let job = fs::read_to_string(&pid_file).unwrap();
    let job = job.trim();
    assert_eq!(clean(&repo, &[]).0, "", "a run that lives is left alone");

    let id = guard.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let worker = Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap());
    let pair = [worker.unwrap(), Pid::from_child(&guard)];
    for signal in [Signal::STOP, Signal::KILL] {
        pair.into_iter().for_each(|pid| kill_process(pid, signal).unwrap());
    }
    guard.wait().unwrap();
    let unfinished = sandbox.temp().join(".loom-run-local-1-1.loom-partial");
    fs::create_dir(&unfinished).unwrap();

    // Threads of a killed process hold its lock until the last of them is gone.
    wait_until("the run is dead", LIMIT, || !clean(&repo, &["--dry-run"]).0.is_empty());
    let (would, _) = clean(&repo, &["--dry-run"]);
    assert!(lives(job) && unfinished.exists());
    let (did, said) = clean(&repo, &[]);
    assert_eq!(did, would);
    assert!(did.contains(&format!("process {job} of loom-run-local-")), "{did}");
    assert!(did.contains("record of loom-run-local-"), "{did}");
    assert!(did.contains(&unfinished.display().to_string()), "{did}");
    assert!(said.contains("completed 1 records"), "{said}");
    assert!(!lives(job) && !unfinished.exists());
    assert!(kept.workspace().is_dir() && kept.logs().is_dir());
    assert_eq!(fs::read_dir(repo.runtime().join("receipts")).unwrap().count(), 2);
    assert_eq!(clean(&repo, &[]).0, "");
    assert!(shell.try_wait().unwrap().is_none());
    shell.kill().unwrap();
    shell.wait().unwrap();
}
