//! Nothing of a run outlives it in an engine: `kill -9` of the worker, of the guard and of both.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use libloom_testkit::{Engine, Leftovers, Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::ran::{Ran, workflow};

const LIMIT: Duration = Duration::from_secs(60);

/// A workflow whose job writes and then stays, in a container of its own with a volume.
fn staying_job(repo: &Repo<'_>) {
    let mut text = workflow([("build", vec!["echo written > new", "sleep 1000"])]);
    text = text.replacen("build:\n", "build:\n  image: busybox:1.36.1\n", 1);
    assert!(text.contains("image:"), "{text}");
    repo.workflow(&text);
}

/// A run whose job's container runs.
struct Going {
    guard: Child,
    guard_pid: Pid,
    worker_pid: Pid,
}

fn start(repo: &Repo<'_>, engine: &Engine) -> Going {
    staying_job(repo);
    let mut command = repo.program("loom-run");
    let guard = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the container runs", LIMIT, || {
        let objects = objects(repo, engine);
        let mut containers = objects.iter().filter(|object| object.kind == "containers");
        containers.any(|container| {
            let inspected = engine.get(&format!("/containers/{}/json", container.id));
            inspected["State"]["Running"] == true
        })
    });
    let id = guard.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let worker = children.split_whitespace().next().unwrap().parse().unwrap();
    Going { guard_pid: Pid::from_child(&guard), worker_pid: Pid::from_raw(worker).unwrap(), guard }
}

/// What runs of the repository have in the engine.
fn objects(repo: &Repo<'_>, engine: &Engine) -> Vec<libloom_testkit::Object> {
    let mut objects = engine.labelled("loom.run_id");
    let root = repo.root().display().to_string();
    objects.retain(|object| object.labels["loom.repo"] == root.as_str());
    objects
}

fn overlay_folders(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.temp()).unwrap().map(|entry| entry.unwrap().path());
    let is_one =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("loom-overlay-");
    entries.filter(is_one).collect()
}

fn engine_records(repo: &Repo<'_>) -> usize {
    let runs = fs::read_dir(repo.runtime().join("logs")).unwrap();
    runs.filter(|run| run.as_ref().unwrap().path().join("engine.json").exists()).count()
}

fn with_repo(engine: &Engine, test: impl FnOnce(&Sandbox, &Repo<'_>)) {
    let sandbox = Sandbox::new();
    sandbox.use_engine(engine);
    test(&sandbox, &sandbox.repo());
    assert_eq!(overlay_folders(&sandbox), [] as [PathBuf; 0]);
}

fn kill_both(going: &mut Going) {
    let pair = [going.worker_pid, going.guard_pid];
    for signal in [Signal::STOP, Signal::KILL] {
        pair.into_iter().for_each(|pid| kill_process(pid, signal).unwrap());
    }
    going.guard.wait().unwrap();
}

on_engines!(guard_removes_what_a_killed_worker_left);
fn guard_removes_what_a_killed_worker_left(engine: &Engine) {
    with_repo(engine, |_, repo| {
        let going = start(repo, engine);
        assert_eq!(engine_records(repo), 1);
        kill_process(going.worker_pid, Signal::KILL).unwrap();
        let output = going.guard.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("worker was ended by signal 9"), "{said}");
        assert_eq!(objects(repo, engine), []);
        assert_eq!(engine_records(repo), 0);
    });
}

on_engines!(worker_removes_everything_when_the_guard_is_killed);
fn worker_removes_everything_when_the_guard_is_killed(engine: &Engine) {
    with_repo(engine, |_, repo| {
        let mut going = start(repo, engine);
        kill_process(going.guard_pid, Signal::KILL).unwrap();
        going.guard.wait().unwrap();
        wait_until("everything is removed", LIMIT, || objects(repo, engine).is_empty());
        wait_until("the run is over", LIMIT, || engine_records(repo) == 0);
    });
}

on_engines!(next_run_removes_what_a_killed_pair_left);
fn next_run_removes_what_a_killed_pair_left(engine: &Engine) {
    with_repo(engine, |sandbox, repo| {
        sandbox.allow(Leftovers::KnownWorkspaces);
        let mut going = start(repo, engine);
        kill_both(&mut going);
        assert!(!objects(repo, engine).is_empty(), "somebody has to be left to clear up");
        repo.workflow(&workflow([("fine", vec!["true"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert!(ran.stderr.contains("left in an engine by a killed run"), "{}", ran.stderr);
        assert_eq!(objects(repo, engine), []);
        assert_eq!(engine_records(repo), 0);
    });
}

on_engines!(clean_removes_what_a_killed_pair_left);
fn clean_removes_what_a_killed_pair_left(engine: &Engine) {
    with_repo(engine, |_, repo| {
        let mut going = start(repo, engine);
        let clean = |arguments: &[&str]| {
            let output = repo.loom().arg("clean").args(arguments).output().unwrap();
            let [out, err] = [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap());
            assert_eq!(output.status.code(), Some(0), "{out}{err}");
            out
        };
        assert_eq!(clean(&[]), "", "a run that lives is left alone");
        kill_both(&mut going);
        let would = clean(&["--dry-run"]);
        assert!(
            would.contains("container loom-job-") && would.contains("volume loom-job-"),
            "{would}"
        );
        assert!(!objects(repo, engine).is_empty());
        assert_eq!(clean(&[]), would);
        assert_eq!(objects(repo, engine), []);
        assert_eq!(clean(&[]), "");
    });
}

on_engines!(engine_that_is_gone_is_an_error_only_where_something_is_left);
fn engine_that_is_gone_is_an_error_only_where_something_is_left(engine: &Engine) {
    with_repo(engine, |sandbox, repo| {
        let mut going = start(repo, engine);
        kill_both(&mut going);
        sandbox.use_address("unix:///nowhere/docker.sock");
        let logs = fs::read_dir(repo.runtime().join("logs")).unwrap();
        let record = logs.map(|run| run.unwrap().path().join("engine.json")).next().unwrap();
        let text = fs::read_to_string(&record).unwrap();
        let elsewhere = text.replace(engine.address(), "unix:///nowhere/docker.sock");
        fs::write(&record, elsewhere).unwrap();
        let output = repo.loom().arg("clean").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("docker daemon unavailable: cannot connect to the Docker"), "{said}");
        fs::write(&record, text).unwrap();
        let output = repo.loom().arg("clean").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "the record says where it is");
        assert_eq!(objects(repo, engine), []);
        assert_eq!(repo.loom().arg("clean").output().unwrap().status.code(), Some(0));
    });
}
