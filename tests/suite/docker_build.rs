//! Images that jobs build: who uses them, what is recorded, what a failure says.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libloom_testkit::{Engine, Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ran::{Ran, bytes_of};

/// For what takes no time but on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);
/// What the images of these tests begin with.
const BASE: &str = "alpine:3.20";

/// Runs a test in a repository whose runs find `engine`, with the name of an image that is removed
/// afterwards.
fn with_image(engine: &Engine, test: impl FnOnce(&Repo<'_>, &str)) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let image = format!("lab-loom-suite-{}-{number}:built", std::process::id());
    let sandbox = Sandbox::new();
    sandbox.use_engine(engine);
    test(&sandbox.repo(), &image);
    engine.ask("DELETE", &format!("/images/{image}?force=1"), b"");
}

/// A job that builds its image from the repository's root.
fn job(name: &str, stage: &str, image: &str, keys: &str, entries: &[&str]) -> String {
    let script = serde_json::to_string(entries).unwrap();
    let output =
        if keys.starts_with("output:") { format!("\n      {keys}") } else { String::new() };
    let keys = if output.is_empty() { keys } else { "" };
    format!(
        "{name}:\n  stage: {stage}\n  target: linux\n  script: {script}\n  image:\n    name: '{image}'\n    \
         build:\n      context: .\n      dockerfile: Dockerfile{output}\n  {keys}\n"
    )
}

fn workflow(jobs: &[String]) -> String {
    format!("version: v1\nstages: [one, two, three]\n{}", jobs.concat())
}

/// A text that no build has seen before.
fn fresh(image: &str) -> String {
    format!("{image}-{:?}", Instant::now()).replace(|c: char| !c.is_ascii_alphanumeric(), "")
}

fn build_events(ran: &Ran, job: &str) -> Vec<Value> {
    ran.events(&format!("jobs/{job}/system/image_build/events.jsonl"))
}

fn notes(events: &[Value]) -> String {
    let notes = events.iter().filter(|event| event["event"] == "note");
    notes.filter_map(|event| event["text"].as_str()).collect::<Vec<_>>().join("\n")
}

fn has_image(engine: &Engine, image: &str) -> bool {
    engine.ask("GET", &format!("/images/{image}/json"), b"").0 == 200
}

on_engines!(
    a_job_runs_in_the_image_that_it_builds,
    "podman cannot: `POST /build` answers `history lists 2 non-empty layers, but we have 3` (4.3)"
);
fn a_job_runs_in_the_image_that_it_builds(engine: &Engine) {
    with_image(engine, |repo, image| {
        let fresh = fresh(image);
        repo.write("file", "content\n");
        repo.write("ignored", "").write(".dockerignore", "ignored\n");
        let text = format!(
            "FROM {BASE}\nENV OWN=kept\nCOPY . /copied\nRUN echo {fresh}; printf 'no end' >&2\n"
        );
        repo.write("Dockerfile", text);
        let entries = ["cat /copied/file; ls /copied/ignored || echo $OWN"];
        repo.workflow(&workflow(&[job("make", "one", image, "", &entries)])).commit("a build");
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(ran.output_text("make", "script/01", "stdout"), "content\nkept\n");
        let events = build_events(&ran, "make");
        let written = String::from_utf8(bytes_of(&events, "stdout")).unwrap();
        assert!(written.contains(&format!("{fresh}\n")), "{events:#?}");
        if !engine.is_podman() {
            assert_eq!(bytes_of(&events, "stderr"), b"no end");
        }
        let builder = if engine.is_podman() { "the classic builder: Podman" } else { "BuildKit" };
        assert!(
            notes(&events).contains(&format!("the image is built by {builder}")),
            "{events:#?}"
        );
        assert!(notes(&events).contains("RUN echo"), "{events:#?}");
        let sections = ran.job("make")["system_sections"].clone();
        let sections = sections.as_array().unwrap();
        assert!(sections.iter().any(|found| found["section"] == "image_build"), "{sections:?}");
        assert!(has_image(engine, image), "it stays");
    });
}

on_engines!(a_job_without_a_script_only_builds_and_saves_the_image);
fn a_job_without_a_script_only_builds_and_saves_the_image(engine: &Engine) {
    with_image(engine, |repo, image| {
        repo.write("Dockerfile", format!("FROM {BASE}\nCOPY Dockerfile /\n"));
        let output = "output: 'type=docker,dest=out/image.tar'";
        repo.workflow(&workflow(&[job("make", "one", image, output, &[])])).commit("a build");
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert!(has_image(engine, image));
        let saved = fs::read(ran.workspace().join("out/image.tar")).unwrap();
        let name = image.as_bytes();
        assert!(saved.windows(name.len()).any(|window| window == name), "it has its name");
        let provider = ran.events("jobs/make/system/provider/events.jsonl");
        let has_container = |event: &Value| !event["data"]["container_id"].is_null();
        assert!(!provider.iter().any(has_container), "{provider:#?}");
        assert!(!repo.path("out").exists(), "the repository is as it was");
    });
}

on_engines!(a_build_that_fails_names_the_instruction_and_shows_its_last_lines);
fn a_build_that_fails_names_the_instruction_and_shows_its_last_lines(engine: &Engine) {
    with_image(engine, |repo, image| {
        let fresh = fresh(image);
        let text = format!("FROM {BASE}\nRUN echo {fresh}\nRUN echo last words; exit 7\n");
        repo.write("Dockerfile", text);
        repo.workflow(&workflow(&[job("make", "one", image, "", &["true"])])).commit("a build");
        let ran = Ran::of(repo, &[]).expect_code(1);
        let job = ran.job("make");
        assert_eq!(
            (job["status"].as_str(), job["reason"].as_str()),
            (Some("failure"), Some("section_failed"))
        );
        let message = job["message"].as_str().unwrap();
        let expected =
            "image build failed at `RUN echo last words; exit 7` (Dockerfile:3): exit code 7";
        assert_eq!(message, expected);
        assert_eq!(job["failing_section"], "image_build");
        let events = build_events(&ran, "make");
        let error = events.iter().find(|event| event["event"] == "error").unwrap();
        assert_eq!((&error["exit_code"], &error["data"]["line"]), (&7.into(), &3.into()));
        let lines = error["data"]["last_lines"].as_array().unwrap();
        assert!(lines.iter().any(|line| line == "last words"), "{lines:?}");
        assert!(
            ran.stderr.contains("last words") && ran.stderr.contains(expected),
            "{}",
            ran.stderr
        );
        assert!(!has_image(engine, image));
    });
}

on_engines!(what_a_build_tells_holds_no_secret);
fn what_a_build_tells_holds_no_secret(engine: &Engine) {
    with_image(engine, |repo, image| {
        let fresh = fresh(image);
        let text = format!("FROM {BASE}\nRUN echo {fresh} hunter22; exit 1\n");
        repo.write("Dockerfile", text);
        let keys = "secrets: {S: {ref: 'env://IN'}}";
        repo.workflow(&workflow(&[job("make", "one", image, keys, &["true"])])).commit("a build");
        let mut command = repo.command("loom-run");
        let ran = Ran::by(command.env("IN", "hunter22")).expect_code(1);
        assert!(!ran.stderr.contains("hunter22"), "{}", ran.stderr);
        let path = ran.logs().join("jobs/make/system/image_build/events.jsonl");
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(&fresh) && !text.contains("hunter22"), "{text}");
        assert!(!ran.job("make").to_string().contains("hunter22"));
    });
}

on_engines!(jobs_that_build_the_same_build_once_and_later_files_count);
fn jobs_that_build_the_same_build_once_and_later_files_count(engine: &Engine) {
    with_image(engine, |repo, image| {
        let text = format!("FROM {BASE}\nCOPY . /copied\n");
        repo.write("Dockerfile", text).write("file", "first");
        let look = ["cat /copied/file"];
        let change = format!(
            "change:\n  stage: two\n  target: linux\n  image: {{name: '{BASE}', network: none}}\n  \
             script: ['printf second >file']\n  artifacts: {{paths: [file]}}\n"
        );
        let jobs = [
            job("first", "one", image, "", &look),
            job("other", "one", image, "", &look),
            change,
            job("later", "three", image, "", &look),
        ];
        repo.workflow(&workflow(&jobs)).commit("builds");
        let ran = Ran::of(repo, &[]).expect_code(0);
        for (name, expected) in [("first", "first"), ("other", "first"), ("later", "second")] {
            assert_eq!(ran.output_text(name, "script/01", "stdout"), expected);
        }
        let told = ["first", "other", "later"].map(|name| notes(&build_events(&ran, name)));
        let reused = told.iter().filter(|text| text.contains("was built by job")).count();
        assert_eq!(reused, 1, "{told:#?}");
        assert!(told[2].contains("is built by"), "{told:#?}");
    });
}

on_engines!(a_build_ends_with_its_run);
fn a_build_ends_with_its_run(engine: &Engine) {
    with_image(engine, |repo, image| {
        let seconds = format!("{}{}", std::process::id(), image.len());
        let fresh = fresh(image);
        repo.write("Dockerfile", format!("FROM {BASE}\nRUN echo {fresh}; sleep {seconds}\n"));
        repo.workflow(&workflow(&[job("make", "one", image, "", &["true"])])).commit("a build");
        let mut process = repo.process("loom-run");
        let child = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let command = format!("sleep {seconds}");
        wait_until("the build runs", LIMIT, || runs(&command));
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let ran = Ran::from_output(&child.wait_with_output().unwrap()).expect_code(130);
        assert_eq!(ran.job("make")["status"], "cancelled");
        wait_until("the build ends", LIMIT, || !runs(&command));
    });
}

/// Whether a process runs on this machine whose command line has this text.
fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
}

on_engines!(what_leads_out_of_the_context_or_the_workspace_is_refused);
fn what_leads_out_of_the_context_or_the_workspace_is_refused(engine: &Engine) {
    with_image(engine, |repo, image| {
        repo.symlink("/etc/passwd", "Dockerfile");
        repo.workflow(&workflow(&[job("make", "one", image, "", &["true"])])).commit("a build");
        let ran = Ran::of(repo, &[]).expect_code(1);
        let message = ran.job("make")["message"].as_str().unwrap().to_owned();
        let workspace = fs::canonicalize(ran.workspace()).unwrap();
        for part in
            ["/etc/passwd", "is not inside of the build context", workspace.to_str().unwrap()]
        {
            assert!(message.contains(part), "{message}");
        }
        repo.remove("Dockerfile").write("Dockerfile", format!("FROM {BASE}\n"));
        for (output, expected) in [
            ("output: 'type=docker,dest=../image.tar'", "is not inside of the workspace"),
            ("output: 'type=zip,dest=a'", "has the type `zip`"),
        ] {
            repo.workflow(&workflow(&[job("make", "one", image, output, &[])]));
            let ran = Ran::of(repo, &[]).expect_code(1);
            let message = ran.job("make")["message"].to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(!has_image(engine, image));
    });
}
