//! `loom logs --follow`: a run in progress, from another terminal.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use libloom_contract::layout::Layout;
use libloom_testkit::{Leftovers, Repo, Sandbox, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Both jobs wait for a file in the top folder of the sandbox.
fn workflow(sandbox: &Sandbox) -> String {
    let wait = |file: &str| {
        let path = sandbox.root().join(file);
        format!("until [ -e '{}' ]; do sleep 0.02; done", path.display())
    };
    let first = format!("echo begun; printf part; {}; echo whole", wait("first"));
    let second = format!("echo second >&2; {}", wait("second"));
    format!(
        "version: v1\nstages: [one, two]\n\
         build:\n  stage: one\n  script: [\"{first}\"]\n\
         longer-name:\n  stage: two\n  script: [\"{second}\"]\n\
         again:\n  stage: two\n  retry: 1\n\
         \x20 script: [\"test -e tried || {{ touch tried; exit 1; }}\", echo at last]\n"
    )
}

/// A command whose output goes to a file of the sandbox.
fn start(repo: &Repo<'_>, command: &str, arguments: &[&str], output: &str) -> (Child, PathBuf) {
    let path = repo.sandbox().root().join(output);
    let file = File::create(&path).unwrap();
    let mut command = repo.process(command);
    command.args(arguments).stdin(Stdio::null()).stderr(file.try_clone().unwrap()).stdout(file);
    (command.spawn().unwrap(), path)
}

fn wait_for(path: &PathBuf, word: &str) {
    wait_until(word, LIMIT, || fs::read_to_string(path).unwrap().contains(word));
}

#[test]
fn run_is_followed_from_before_it_begins_to_its_end() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(&workflow(&sandbox)).commit("workflow");
    let (mut view, shown) = start(&repo, "loom-logs", &["--follow"], "shown");
    wait_for(&shown, "waiting for one to begin");
    let (mut run, _) = start(&repo, "loom-run", &["--local", "--jobs", "2"], "run");
    wait_for(&shown, "build       | begun\n");
    // Of a line that has not ended nothing is shown.
    fs::write(sandbox.root().join("first"), "").unwrap();
    wait_for(&shown, "build       | partwhole\n");
    wait_for(&shown, "longer-name | second\n");
    // Also of a job that is tried again nothing is missed.
    wait_for(&shown, "again       | at last\n");
    assert!(view.try_wait().unwrap().is_none(), "it ended before the run");
    fs::write(sandbox.root().join("second"), "").unwrap();
    assert!(view.wait().unwrap().success() && run.wait().unwrap().success());
    let text = fs::read_to_string(&shown).unwrap();
    assert!(text.contains("longer-name | $ echo second >&2; until"), "{text}");
    assert!(text.contains("longer-name | success in"), "{text}");
    assert!(text.trim_end().lines().last().unwrap().contains(": success in "), "{text}");
}

#[test]
fn a_killed_run_ends_the_view_and_is_called_interrupted() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::Anything);
    let repo = sandbox.repo();
    repo.workflow(&workflow(&sandbox)).commit("workflow");
    let (mut run, _) = start(&repo, "loom-run", &["--local"], "run");
    let logs = Layout::of_repository(repo.root()).logs();
    wait_until("there is a run", LIMIT, || logs.is_dir());
    let raw = ["show", "--follow", "--raw", "--job", "build"];
    let (mut view, shown) = start(&repo, "loom-logs", &["--follow", "latest"], "shown");
    let (mut raw_view, exact) = start(&repo, "loom-logs", &raw, "exact");
    wait_for(&shown, "build       | begun\n");
    wait_for(&exact, "begun\n");
    let children = format!("/proc/{0}/task/{0}/children", run.id());
    let worker = fs::read_to_string(children).unwrap();
    let kill = format!("kill -9 {} {worker}", run.id());
    assert!(repo.program("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    run.wait().unwrap();
    assert!(view.wait().unwrap().success() && raw_view.wait().unwrap().success());
    let text = fs::read_to_string(&shown).unwrap();
    assert!(text.contains("build       | cancelled (interrupted)"), "{text}");
    assert!(
        text.trim_end().lines().last().unwrap().contains("cancelled (interrupted) in"),
        "{text}"
    );
    let exact = fs::read_to_string(&exact).unwrap();
    assert!(exact.contains("\nbegun\n") && !exact.contains(" | "), "{exact}");
}
