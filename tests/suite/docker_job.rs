//! What the tests of Docker jobs share: a sandbox at an engine, workflows of container jobs, and
//! what a run tells about its container.

use libloom_testkit::{Engine, Proxy, Repo, Sandbox};
use serde_json::Value;

use crate::ran::Ran;

/// A small image with a shell that both engines have.
pub(crate) const IMAGE: &str = "alpine:3.20";

/// Runs a test in a repository whose runs find `engine`, and in it leave nothing.
pub(crate) fn with_repo(engine: &Engine, test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    sandbox.use_engine(engine);
    test(&sandbox.repo());
}

/// The same with a proxy between them.
pub(crate) fn with_proxy(engine: &Engine, test: impl FnOnce(&Repo<'_>, &Proxy)) {
    with_repo(engine, |repo| {
        let socket = repo.sandbox().root().join("engine.sock");
        let proxy = Proxy::new(&format!("unix://{}", socket.display()), engine.address());
        repo.sandbox().use_address(proxy.address());
        test(repo, &proxy);
    });
}

/// A workflow of one stage of these jobs: name, further keys (indented lines or one in braces),
/// entries. A job whose keys name no image gets [`IMAGE`], without a network, which is quicker.
pub(crate) fn jobs(jobs: &[(&str, &str, &[&str])]) -> String {
    let mut text = String::from("version: v1\nstages: [ci]\n");
    for (name, keys, entries) in jobs {
        text.push_str(&job("ci", name, keys, entries));
    }
    text
}

/// The same with a stage for each.
pub(crate) fn stages(jobs: &[(&str, &str, &[&str])]) -> String {
    let names: Vec<&str> = jobs.iter().map(|(name, ..)| *name).collect();
    let mut text = format!("version: v1\nstages: [{}]\n", names.join(", "));
    for (name, keys, entries) in jobs {
        text.push_str(&job(name, name, keys, entries));
    }
    text
}

fn job(stage: &str, name: &str, keys: &str, entries: &[&str]) -> String {
    // JSON is YAML, and quotes every entry whatever it holds.
    let script = serde_json::to_string(entries).expect("strings are JSON");
    let mut text = format!("{name}:\n  stage: {stage}\n  target: linux\n  script: {script}\n");
    if !keys.lines().any(|line| line.starts_with("image:")) {
        text.push_str(&format!("  image: {{name: '{IMAGE}', network: none}}\n"));
    }
    for line in keys.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Runs one job `box` with these further keys.
pub(crate) fn run(repo: &Repo<'_>, keys: &str, entries: &[&str]) -> Ran {
    repo.workflow(&jobs(&[("box", keys, entries)]));
    Ran::of(repo, &[])
}

/// What an entry (from 1) of job `box` wrote to stdout.
pub(crate) fn said(ran: &Ran, entry: usize) -> String {
    ran.output_text("box", &format!("script/{entry:02}"), "stdout")
}

/// The provider's records of a job.
pub(crate) fn provider_events(ran: &Ran, job: &str) -> Vec<Value> {
    ran.events(&format!("jobs/{job}/system/provider/events.jsonl"))
}

/// What the provider's records say under `key` of their data: the last that says something.
#[track_caller]
pub(crate) fn told(ran: &Ran, job: &str, key: &str) -> Value {
    let events = provider_events(ran, job);
    let mut values = events.iter().rev().map(|event| &event["data"][key]);
    let value = values.find(|value| !value.is_null());
    value.unwrap_or_else(|| panic!("no `{key}` in {events:#?}\n{}", ran.stderr)).clone()
}
