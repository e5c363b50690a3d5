//! A run that is killed at any moment leaves a tree that is completed and then obeys the contract;
//! runs at the same time do not disturb each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libloom_contract::layout::Layout;
use libloom_testkit::{Leftovers, Repo, Sandbox, wait_until};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(60);
/// Kills spread over a run, by each thread.
const SPREAD: u64 = 100;
const THREADS: usize = 2;

/// Every list of entries, artifacts, a second attempt, a failure, a job that never runs.
const WORKFLOW: &str = "\
version: v1
stages: [one, two, three]
files:
  stage: one
  before_script: [echo prepare]
  script: [mkdir -p out; echo a > out/a, \"printf 'no end'; echo err >&2\"]
  after_script: [echo after]
  artifacts: {paths: [out]}
again:
  stage: one
  retry: 1
  script: [\"test -e tried || { touch tried; exit 1; }\", echo second]
bad:
  stage: two
  script: [echo x, exit 3]
never:
  stage: three
  script: [echo y]
";

/// Whom `kill -9` hits.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Both,
    Worker,
    Guard,
}

/// When it does.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The tree has this many thousandths of the bytes it will have.
    Written(u64),
    /// A record of this phase, of this kind, is on disk.
    Event(&'static str, &'static str),
}

const PHASES: [&str; 9] = [
    "run.bootstrap",
    "run.pipeline_execute",
    "pipeline.execute",
    "job.provider_prepare",
    "job.execution",
    "step.execute",
    "job.artifact_restore",
    "job.cleanup",
    "run.finalize",
];

/// All moments with their victims, those of one thread.
fn kills(thread: usize) -> Vec<(Moment, Victim)> {
    let victims = [Victim::Both, Victim::Worker, Victim::Both, Victim::Guard];
    let spread = (0..SPREAD).map(|step| {
        let place = step * 1000 / SPREAD + thread as u64 * 1000 / SPREAD / THREADS as u64;
        (Moment::Written(place), victims[(step as usize + thread) % victims.len()])
    });
    let events = PHASES.into_iter().flat_map(|phase| ["start", "finish"].map(|kind| (phase, kind)));
    let victim = [Victim::Both, Victim::Worker][thread % 2];
    spread.chain(events.map(|(phase, kind)| (Moment::Event(phase, kind), victim))).collect()
}

fn start(repo: &Repo<'_>) -> Child {
    let mut command = repo.process("loom-run");
    command.args(["--local", "--jobs", "2"]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Folders of all runs.
fn runs(repo: &Repo<'_>) -> Vec<PathBuf> {
    let entries = fs::read_dir(Layout::of_repository(repo.root()).logs());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("loom-run-"))
        .collect();
    paths.sort();
    paths
}

/// Calls `each` with every file below a folder, which may be changing.
fn each_file(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => each_file(&entry.path(), each),
            Ok(_) => each(&entry.path()),
            Err(_) => {}
        }
    }
}

fn size(folder: &Path) -> u64 {
    let mut size = 0;
    each_file(folder, &mut |path| size += fs::metadata(path).map_or(0, |data| data.len()));
    size
}

fn has_event(folder: &Path, phase: &str, kind: &str) -> bool {
    let (phase, kind) = (format!("\"phase_code\":\"{phase}\""), format!("\"event\":\"{kind}\""));
    let mut found = false;
    each_file(folder, &mut |path| {
        let is_stream = path.file_name().is_some_and(|name| name == "events.jsonl");
        let text =
            if is_stream { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        found |= text.lines().any(|line| line.contains(&phase) && line.contains(&kind));
    });
    found
}

/// Starts a run and kills it at its moment; whether it still ran then.
fn kill_at(repo: &Repo<'_>, moment: Moment, victim: Victim, whole: u64) -> bool {
    let before = runs(repo).len();
    let mut guard = start(repo);
    let deadline = Instant::now() + LIMIT;
    let is_time = || {
        let all = runs(repo);
        let run = all.get(before);
        match moment {
            Moment::Written(part) => run.is_some_and(|run| size(run) * 1000 >= part * whole),
            Moment::Event(phase, kind) => run.is_some_and(|run| has_event(run, phase, kind)),
        }
    };
    // A pause would miss moments that last for microseconds.
    while !is_time() && guard.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "{moment:?} never came");
        thread::yield_now();
    }
    let children = format!("/proc/{0}/task/{0}/children", guard.id());
    let worker = fs::read_to_string(children).unwrap_or_default();
    let worker = worker.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let ran = guard.try_wait().unwrap().is_none() && worker.is_some();
    if let (true, Some(worker)) = (ran, worker) {
        let victims = match victim {
            Victim::Both => vec![Pid::from_child(&guard), worker],
            Victim::Worker => vec![worker],
            Victim::Guard => vec![Pid::from_child(&guard)],
        };
        for pid in victims {
            // The worker may just have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    guard.wait().unwrap();
    if let Some(run) = runs(repo).get(before) {
        wait_until("nobody writes any more", LIMIT, || {
            let folder = fs::File::open(run).unwrap();
            flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
    }
    ran
}

fn validate(repo: &Repo<'_>, run: &str, context: &str) {
    let output = repo.process("loom-logs").args(["validate", run]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let also = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{context}\n{said}{also}");
}

/// All kills of one thread in a repository of its own; how many hit a run that was going on.
fn survive(repo: &Repo<'_>, thread: usize) -> usize {
    start(repo).wait().unwrap();
    let whole = size(&runs(repo)[0]);
    let mut hits = 0;
    for (place, (moment, victim)) in kills(thread).into_iter().enumerate() {
        let known = runs(repo).len();
        hits += usize::from(kill_at(repo, moment, victim, whole));
        // Every other time the next `loom run` completes what is left.
        if place % 2 == 0 && runs(repo).len() > known {
            validate(repo, "latest", &format!("{moment:?} {victim:?}"));
        }
    }
    start(repo).wait().unwrap();
    for run in runs(repo) {
        let id = run.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            repo.runtime().join(format!("receipts/{id}.json")).is_file(),
            "{id} has no receipt"
        );
        validate(repo, &id, "at the end");
    }
    hits
}

#[test]
fn a_run_killed_at_any_of_two_hundred_moments_is_completed_and_valid() {
    let survive = |thread| {
        let sandbox = Sandbox::new();
        sandbox.allow(Leftovers::Anything);
        let repo = sandbox.repo();
        repo.workflow(WORKFLOW).commit("workflow");
        survive(&repo, thread)
    };
    let hits: usize = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || survive(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(hits >= 200, "only {hits} kills hit a run that was going on");
}

#[test]
fn runs_at_the_same_time_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW).commit("workflow");
    let started: Vec<Child> = (0..4).map(|_| start(&repo)).collect();
    for mut run in started {
        assert_eq!(run.wait().unwrap().code(), Some(1));
    }
    let all = runs(&repo);
    assert_eq!(all.len(), 4);
    for run in all {
        let id = run.file_name().unwrap().to_str().unwrap();
        let list = repo.process("loom-logs").args(["explain", id, "--json"]).output().unwrap();
        let text = String::from_utf8(list.stdout).unwrap();
        assert!(text.contains("\"cause\":\"step script/02 of job bad: failure"), "{text}");
        validate(&repo, id, "one of four");
    }
}
