//! An engine that goes wrong, and runs that are ended, in every phase of a job: what is said, and
//! that nothing is left.
//!
//! The proxy's log proves that the request that was meant was disturbed.

use std::process::{Child, Stdio};
use std::time::Duration;

use libloom_testkit::{Engine, Fault, Leftovers, Proxy, Repo, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::docker_job::{jobs, provider_events, said, with_proxy, with_repo};
use crate::ran::{Ran, document};

/// For what takes no time but on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any test waits.
const HELD: Duration = Duration::from_secs(3600);

/// A moment in the life of a job, as the request that makes it.
struct Phase {
    method: &'static str,
    pattern: &'static str,
    /// What the job's error begins with when it goes wrong.
    words: &'static str,
}

const VOLUME: Phase = Phase {
    method: "POST",
    pattern: "/volumes/create",
    words: "docker workspace volume create failed",
};
const CREATE: Phase = Phase {
    method: "POST",
    pattern: "/containers/create",
    words: "docker container create failed",
};
const ATTACH: Phase = Phase {
    method: "POST",
    pattern: "/containers/*/attach",
    words: "docker container start failed",
};
const START: Phase = Phase {
    method: "POST",
    pattern: "/containers/*/start",
    words: "docker container start failed",
};
const WAIT: Phase =
    Phase { method: "POST", pattern: "/containers/*/wait", words: "the job's container was lost" };
const NETWORK: Phase =
    Phase { method: "POST", pattern: "/networks/create", words: "docker network create failed" };

/// What becomes of the job.
enum Outcome {
    Success,
    /// Reason and further words of its error.
    Failure(&'static str, &'static [&'static str]),
}
use Outcome::{Failure, Success};

fn faults() -> Vec<(Fault, Outcome)> {
    let gone: &[&str] = &["the Docker daemon at", "is gone"];
    vec![
        (Fault::Delay(Duration::from_secs(1)), Success),
        (Fault::Slow(4000), Success),
        (Fault::Answer(404, "no such moon"), Failure("section_failed", &["no such moon"])),
        (
            Fault::Answer(409, "the moon is taken"),
            Failure("section_failed", &["the moon is taken"]),
        ),
        (Fault::Answer(500, "the moon is full"), Failure("section_failed", &["the moon is full"])),
        (
            Fault::Answer(500, "mkdir /var/lib/moon: no space left on device"),
            Failure("section_failed", &["no space left on the Docker daemon's disk"]),
        ),
        (Fault::Kill, Failure("provider_unavailable", gone)),
        (Fault::Cut(0), Failure("provider_unavailable", gone)),
        (Fault::Cut(10), Failure("provider_unavailable", gone)),
        (Fault::Die, Failure("provider_unavailable", &["the Docker daemon at"])),
    ]
}

/// Disturbs the first request of a phase in every way, and fails unless each outcome is right.
fn disturb(engine: &Engine, phase: &Phase, keys: &str) {
    for (fault, outcome) in faults() {
        with_proxy(engine, |repo, proxy| {
            repo.workflow(&jobs(&[("box", keys, &["echo said; exit 0"])])).commit("a job");
            proxy.disturb(phase.method, phase.pattern, 1, fault.clone());
            let ran = run(repo);
            let disturbed = proxy.disturbed();
            assert_eq!(disturbed.len(), 1, "{fault:?}: {disturbed:?}\n{}", ran.stderr);
            assert!(disturbed[0].starts_with(phase.method), "{disturbed:?}");
            expect(&ran, &outcome, phase, &fault);
            if fault == Fault::Die {
                proxy.revive();
                clean(repo);
            }
        });
    }
}

#[track_caller]
fn expect(ran: &Ran, outcome: &Outcome, phase: &Phase, fault: &Fault) {
    let manifest = ran.job("box");
    let context = format!("{fault:?} of {}\n{}\n{manifest:#}", phase.pattern, ran.stderr);
    match outcome {
        Success => {
            assert_eq!(ran.code, Some(0), "{context}");
            assert_eq!(said(ran, 1), "said\n", "{context}");
        }
        Failure(reason, words) => {
            assert_eq!(ran.code, Some(1), "{context}");
            assert_eq!(manifest["status"], "failure", "{context}");
            assert_eq!(manifest["reason"], *reason, "{context}");
            let message = manifest["message"].as_str().unwrap_or_default();
            for word in words.iter().chain([&phase.words]) {
                assert!(message.contains(word), "`{word}` is not in the message\n{context}");
                assert!(ran.stderr.contains(word), "`{word}` is not said\n{context}");
            }
        }
    }
}

/// A run whose volumes are overlays, or else nothing: fall-backs are another test's subject.
fn run(repo: &Repo<'_>) -> Ran {
    let mut command = repo.command("loom-run");
    Ran::by(command.env("LOOM_DOCKER_VOLUME_SEED", "overlay"))
}

/// The next command removes what a run could not.
fn clean(repo: &Repo<'_>) {
    repo.command("loom-clean").assert().code(0);
}

on_engines!(trouble_with_the_volume);
fn trouble_with_the_volume(engine: &Engine) {
    disturb(engine, &VOLUME, "");
}

on_engines!(trouble_with_making_the_container);
fn trouble_with_making_the_container(engine: &Engine) {
    disturb(engine, &CREATE, "");
}

on_engines!(trouble_with_attaching_to_the_container);
fn trouble_with_attaching_to_the_container(engine: &Engine) {
    disturb(engine, &ATTACH, "");
}

on_engines!(trouble_with_starting_the_container);
fn trouble_with_starting_the_container(engine: &Engine) {
    disturb(engine, &START, "");
}

on_engines!(trouble_with_waiting_for_the_container);
fn trouble_with_waiting_for_the_container(engine: &Engine) {
    disturb(engine, &WAIT, "");
}

on_engines!(trouble_with_the_network_of_services);
fn trouble_with_the_network_of_services(engine: &Engine) {
    let service =
        "image: alpine:3.20\nservices: [{name: 'alpine:3.20', alias: s, command: [sleep, '100']}]";
    disturb(engine, &NETWORK, service);
}

/// Output that does not come whole is never taken for all there was.
fn output_is_lost(engine: &Engine, fault: &Fault) {
    with_proxy(engine, |repo, proxy| {
        let entry = "echo one; sleep 1; echo two; sleep 3; echo three";
        repo.workflow(&jobs(&[("box", "", &[entry])])).commit("a job");
        proxy.disturb("POST", "/containers/*/attach", 1, fault.clone());
        let ran = run(repo).expect_code(1);
        assert_eq!(proxy.disturbed().len(), 1, "{fault:?}\n{}", ran.stderr);
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "failure", "{manifest:#}");
        let message = manifest["message"].as_str().unwrap_or_default();
        assert!(message.contains("the job's container was lost"), "{message}\n{}", ran.stderr);
    });
}

on_engines!(a_stream_that_ends_within_a_frame_fails_the_job);
fn a_stream_that_ends_within_a_frame_fails_the_job(engine: &Engine) {
    output_is_lost(engine, &Fault::CutFrame(1));
}

on_engines!(a_stream_that_ends_before_the_container_does_fails_the_job);
fn a_stream_that_ends_before_the_container_does_fails_the_job(engine: &Engine) {
    // The head of the answer, and no more.
    output_is_lost(engine, &Fault::HalfClose(150));
}

on_engines!(an_engine_that_dies_while_a_job_runs_fails_it_and_the_next_command_cleans_up);
fn an_engine_that_dies_while_a_job_runs_fails_it_and_the_next_command_cleans_up(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let going = going(repo, "echo here; sleep 1000", "");
        wait_until_running(engine, repo);
        proxy.die();
        let ran = Ran::from_output(&going.wait_with_output().unwrap()).expect_code(1);
        assert_eq!(ran.job("box")["reason"], "provider_unavailable", "{:#}", ran.job("box"));
        assert_eq!(said(&ran, 1), "here\n");
        assert!(!left(engine, repo).is_empty(), "nobody could remove them");
        proxy.revive();
        clean(repo);
        assert_eq!(left(engine, repo), [""; 0]);
    });
}

on_engines!(what_could_not_be_removed_is_said_and_the_next_run_removes_it);
fn what_could_not_be_removed_is_said_and_the_next_run_removes_it(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        repo.workflow(&jobs(&[("box", "", &["echo said"])])).commit("a job");
        proxy.disturb_each("DELETE", "/volumes/*", Fault::Answer(500, "the moon is full"));
        let words = "docker workspace volume cleanup failed";
        let ran = run(repo).expect_code(0).expect_said(&[words, "the moon is full"]);
        assert!(!proxy.disturbed().is_empty());
        assert!(said(&ran, 1) == "said\n" && !left(engine, repo).is_empty());
        let events = provider_events(&ran, "box");
        let is_error = |event: &serde_json::Value| {
            event["event"] == "error"
                && event["text"].as_str().is_some_and(|text| text.contains(words))
        };
        assert!(events.iter().any(is_error), "{events:#?}");
        proxy.leave_alone();
        run(repo).expect_code(0);
        assert_eq!(left(engine, repo), [""; 0]);
    });
}

on_engines!(a_container_that_is_gone_already_is_no_trouble_to_the_cleanup);
fn a_container_that_is_gone_already_is_no_trouble_to_the_cleanup(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        repo.workflow(&jobs(&[("box", "", &["echo said"])])).commit("a job");
        // The engine does what it is asked, and the client does not hear of it.
        proxy.disturb("DELETE", "/containers/*", 1, Fault::Cut(0));
        let ran = run(repo).expect_code(0);
        assert_eq!(proxy.disturbed().len(), 1);
        assert_eq!(said(&ran, 1), "said\n");
        clean(repo);
    });
}

/// A run of one job `box`.
fn going(repo: &Repo<'_>, entry: &str, keys: &str) -> Child {
    repo.workflow(&jobs(&[("box", keys, &[entry])])).commit("a job");
    // Cargo may have been started in the background of a script, with SIGINT ignored.
    let mut process = repo.program("env");
    process.arg("--default-signal").arg(libloom_testkit::binaries().join("loom-run"));
    process.env("LOOM_DOCKER_VOLUME_SEED", "overlay");
    process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_until_running(engine: &Engine, repo: &Repo<'_>) {
    wait_until("the container runs and said something", LIMIT, || {
        let mut find = repo.program("grep");
        find.args(["-rqs", "--include=events.jsonl", "\"text\":\"here", "--"])
            .arg(repo.runtime().join("logs"));
        !left(engine, repo).is_empty() && find.status().unwrap().success()
    });
}

/// What the engine holds of the repository's runs.
fn left(engine: &Engine, repo: &Repo<'_>) -> Vec<String> {
    let objects = engine.labelled(&format!("loom.repo={}", repo.root().display()));
    objects.into_iter().map(|object| format!("{} {}", object.kind, object.name)).collect()
}

/// Holds a request back, sends SIGINT meanwhile, and expects a cancelled job of which nothing is left.
fn interrupt_at(engine: &Engine, phase: &Phase, keys: &str) {
    with_proxy(engine, |repo, proxy| {
        proxy.disturb(phase.method, phase.pattern, 1, Fault::Delay(HELD));
        let going = going(repo, "sleep 1000", keys);
        wait_until("the request is held", LIMIT, || !proxy.disturbed().is_empty());
        kill_process(Pid::from_child(&going), Signal::INT).unwrap();
        let ran = ended(going).expect_code(130);
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "cancelled", "{}\n{manifest:#}", phase.pattern);
    });
}

/// The end of a run; fails if it takes longer than cancelling may.
fn ended(mut going: Child) -> Ran {
    wait_until("the run ends", LIMIT, || going.try_wait().unwrap().is_some());
    Ran::from_output(&going.wait_with_output().unwrap())
}

on_engines!(ctrl_c_while_the_volume_is_made);
fn ctrl_c_while_the_volume_is_made(engine: &Engine) {
    interrupt_at(engine, &VOLUME, "");
}

on_engines!(ctrl_c_while_the_container_is_made);
fn ctrl_c_while_the_container_is_made(engine: &Engine) {
    interrupt_at(engine, &CREATE, "");
}

on_engines!(ctrl_c_while_the_container_is_started);
fn ctrl_c_while_the_container_is_started(engine: &Engine) {
    interrupt_at(engine, &START, "");
}

on_engines!(ctrl_c_while_an_image_is_pulled);
fn ctrl_c_while_an_image_is_pulled(engine: &Engine) {
    let pull = Phase { method: "POST", pattern: "/images/create", words: "" };
    interrupt_at(engine, &pull, "image: '127.0.0.1:1/none:1'");
}

on_engines!(ctrl_c_while_services_become_ready);
fn ctrl_c_while_services_become_ready(engine: &Engine) {
    let wait = Phase { method: "POST", pattern: "/containers/*/exec", words: "" };
    let service = "image: alpine:3.20\nservices: [{name: 'postgres:15-healthcheck', entrypoint: [sleep, '1000']}]";
    interrupt_at(engine, &wait, service);
}

/// Who is killed with no chance to clean up.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Guard,
    Worker,
    Both,
}

/// Kills a run whose job and service run; nothing of it is left, at the latest after `loom clean`.
fn killed(engine: &Engine, victim: Victim) {
    with_repo(engine, |repo| {
        repo.sandbox().allow(Leftovers::Anything);
        let service = "image: alpine:3.20\nservices: [{name: 'alpine:3.20', alias: s, command: [sleep, '1000']}]";
        let mut going = going(repo, "echo here; sleep 1000", service);
        wait_until_running(engine, repo);
        let kinds = ["containers", "networks", "volumes"];
        let there = left(engine, repo);
        assert!(kinds.iter().all(|kind| there.iter().any(|object| object.starts_with(kind))));
        let guard = Pid::from_child(&going);
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children"));
        let children = children.unwrap();
        let worker = children.split_whitespace().next().unwrap().parse().unwrap();
        let worker = Pid::from_raw(worker).unwrap();
        match victim {
            Victim::Guard => kill_process(guard, Signal::KILL).unwrap(),
            Victim::Worker => kill_process(worker, Signal::KILL).unwrap(),
            Victim::Both => {
                kill_process(guard, Signal::KILL).unwrap();
                kill_process(worker, Signal::KILL).unwrap();
            }
        }
        going.wait().unwrap();
        if matches!(victim, Victim::Both) {
            assert!(!left(engine, repo).is_empty(), "nobody was there to remove them");
            clean(repo);
            assert_eq!(left(engine, repo), [""; 0]);
        } else {
            wait_until("all is removed", LIMIT, || left(engine, repo).is_empty());
        }
        // A job of a dead run is told as such, once its documents are completed.
        clean(repo);
        let receipts = std::fs::read_dir(repo.runtime().join("receipts")).unwrap();
        let receipts: Vec<_> = receipts.map(|entry| document(&entry.unwrap().path())).collect();
        assert_eq!(receipts.len(), 1);
        assert_eq!(receipts[0]["status"], "cancelled", "{:#}", receipts[0]);
    });
}

on_engines!(a_killed_guard_leaves_nothing_in_the_engine);
fn a_killed_guard_leaves_nothing_in_the_engine(engine: &Engine) {
    killed(engine, Victim::Guard);
}

on_engines!(a_killed_worker_leaves_nothing_in_the_engine);
fn a_killed_worker_leaves_nothing_in_the_engine(engine: &Engine) {
    killed(engine, Victim::Worker);
}

on_engines!(of_a_run_that_was_killed_altogether_the_next_command_removes_what_is_left);
fn of_a_run_that_was_killed_altogether_the_next_command_removes_what_is_left(engine: &Engine) {
    killed(engine, Victim::Both);
}

on_engines!(the_objects_of_a_run_that_lives_are_left_alone);
fn the_objects_of_a_run_that_lives_are_left_alone(engine: &Engine) {
    with_repo(engine, |repo| {
        let going = going(repo, "echo here; while test ! -e /tmp/go; do sleep 0.1; done", "");
        wait_until_running(engine, repo);
        let before = left(engine, repo);
        clean(repo);
        assert_eq!(left(engine, repo), before);
        kill_process(Pid::from_child(&going), Signal::TERM).unwrap();
        ended(going).expect_code(143);
    });
}

/// Proxies answer at once when nobody disturbs them: what the matrix says is not their doing.
#[test]
#[cfg_attr(not(has_docker), ignore = "no Docker engine answered when the tests were built")]
fn an_undisturbed_proxy_changes_nothing() {
    with_proxy(&crate::engines::docker(), |repo, proxy: &Proxy| {
        repo.workflow(&jobs(&[("box", "", &["echo said"])])).commit("a job");
        let ran = run(repo).expect_code(0);
        assert_eq!(said(&ran, 1), "said\n");
        assert_eq!(proxy.disturbed(), [""; 0]);
        for phase in [&VOLUME, &CREATE, &ATTACH, &START, &WAIT] {
            assert!(proxy.count(phase.method, phase.pattern) >= 1, "{}", phase.pattern);
        }
    });
}
