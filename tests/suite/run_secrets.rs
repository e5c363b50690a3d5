//! Secrets of a run: where jobs find them, that nothing shows them, that nothing keeps them.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libloom_testkit::{Leftovers, Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::ran::Ran;

/// A value that looks different in every encoding, and needs quoting.
const TOKEN: &str = "t0k'n Q7/zz+w=\"x\"";
/// A value that can be in a file's name.
const PLAIN: &str = "plain-value-1234";
/// A value of several lines.
const KEY: &str =
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nAb7QpWzLk3\n-----END KEY-----\n";

/// Fails if a file below `folder` holds one of `texts`.
fn expect_in_no_file(folder: &Path, texts: &[&str]) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            expect_in_no_file(&path, texts);
        } else if let Ok(bytes) = fs::read(&path) {
            expect_none(&String::from_utf8_lossy(&bytes), texts, &path.display().to_string());
        }
    }
}

fn expect_none(said: &str, texts: &[&str], place: &str) {
    for text in texts {
        assert!(!said.contains(text), "`{text}` is in {place}:\n{said}");
    }
}

fn secrets_in_temp(sandbox: &Sandbox) -> usize {
    let entries = fs::read_dir(sandbox.temp()).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("loom-secrets")).count()
}

fn run(repo: &Repo<'_>, arguments: &[&str]) -> Ran {
    let mut command = repo.command("loom-run");
    command.env("TOKEN_IN", TOKEN).env("KEY_IN", KEY).env("TINY", "abc").env("PLAIN_IN", PLAIN);
    Ran::by(command.args(arguments))
}

const WORKFLOW: &str = r#"
version: v1
stages: [ci]
use:
  stage: ci
  variables: {HEADER: "Bearer $TOKEN_IN"}
  secrets:
    TOKEN: {ref: env://TOKEN_IN, file: false}
    KEY: {ref: env://KEY_IN}
    TINY: {ref: env://TINY, file: false}
    NONE: {ref: env://NOT_SET, required: false}
  script:
    - test "$TOKEN" = "$TOKEN_IN" && test "$HEADER" = "Bearer $TOKEN_IN" && test -z "${NONE+set}"
    - test "$(stat -c %a "$KEY")" = 600 && printf %s "$KEY_IN" | cmp - "$KEY" && echo "$KEY" >file
    - printf %s "$TOKEN" >value; ! grep -alFf value /proc/[0-9]*/cmdline; rm value
    - echo "<$TOKEN>"; echo "<$HEADER>" >&2; cat "$KEY"; set -x; true "$HEADER"; set +x
    - printf "<%s" "${TOKEN%z*}"; sleep 0.3; printf "%s>\n" "z${TOKEN##*z}"
    - printf "x%s" "$TOKEN$TOKEN$TOKEN$TOKEN$TOKEN" | base64; base64 "$KEY"; printf %s "$TOKEN" | od -An -tx1 | tr -d " \n"
    - printf '{"token":"%s"}\n' "$(printf %s "$TOKEN" | sed 's/["\\]/\\&/g')"
    - echo "tiny $TINY"
  after_script:
    - test "$TOKEN" = "$TOKEN_IN" && echo "after $TOKEN"
leave:
  stage: ci
  secrets: {PLAIN: {ref: env://PLAIN_IN, file: false}}
  script: ['mkdir -p "out/$PLAIN"', 'echo x >"out/$PLAIN/a-$PLAIN.txt"', 'ln -s "$PLAIN" out/link']
  artifacts: {paths: [out], name: "for-$PLAIN_IN"}
other:
  stage: ci
  needs: [use]
  script: ['echo "not mine: $TOKEN_IN"', 'test ! -e "$(cat file)"']
"#;

#[test]
fn values_are_where_the_job_needs_them_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW).commit("secrets");
    let ran = run(&repo, &["--stream"]).expect_code(0);
    let expected = "<[REDACTED:SECRET_TOKEN]>\n";
    let show = |step: &str, stream: &str| ran.output_text("use", step, stream);
    let lines = "[REDACTED:SECRET_KEY]\n".repeat(4);
    assert_eq!(show("script/04", "stdout"), format!("{expected}{lines}"));
    assert!(show("script/04", "stderr").contains("<Bearer [REDACTED:SECRET_TOKEN]>\n"));
    assert_eq!(show("script/05", "stdout"), expected, "in two writes");
    assert_eq!(show("script/07", "stdout"), "{\"token\":\"[REDACTED:SECRET_TOKEN]\"}\n");
    assert_eq!(show("script/08", "stdout"), "tiny abc\n");
    assert_eq!(show("after_script/01", "stdout"), "after [REDACTED:SECRET_TOKEN]\n");
    let other = ran.output_text("other", "script/01", "stdout");
    assert_eq!(other, "not mine: [REDACTED:SECRET_TOKEN]\n");
    assert!(ran.stderr.contains("secret `TINY` is shorter than 4 bytes"), "{}", ran.stderr);

    let artifacts = ran.document("jobs/leave/artifacts.json");
    assert_eq!(artifacts["name"], "for-[REDACTED-SECRET_PLAIN]");
    let mask = "[REDACTED:SECRET_PLAIN]";
    assert_eq!(artifacts["entries"][1]["path"], format!("out/{mask}/a-{mask}.txt"));
    assert_eq!(artifacts["entries"][0]["link_target"], mask);
    let archive = ran.logs().join("jobs/leave/artifacts/artifacts.tar.gz");
    let listed = std::process::Command::new("tar").arg("-tvzf").arg(archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&format!("out/{mask}/a-{mask}.txt")), "{listed}");
    expect_none(&listed, &[PLAIN], "the archive");

    let encoded = BASE64_STANDARD.encode(KEY);
    let hidden =
        [TOKEN, PLAIN, "Q7/zz", "MIIEvQ", "AQ\nAb7", &encoded[8..40], "51372f7a7a", "Q7\\/zz"];
    expect_none(&ran.stdout, &hidden, "stdout");
    expect_none(&ran.stderr, &hidden, "stderr");
    expect_in_no_file(&repo.runtime(), &hidden);
    expect_in_no_file(&ran.workspace().join(".git"), &hidden);
    assert_eq!(secrets_in_temp(&sandbox), 0);
}

/// A job with this secret, and what the run says of it.
fn refused(secret: &str, environment: &[(&str, &str)]) -> (Ran, String) {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let workflow = format!(
        "version: v1\nstages: [ci]\nuse:\n  stage: ci\n  secrets: {{S: {secret}}}\n  script: ['true']\n"
    );
    repo.workflow(&workflow).commit("a secret");
    let mut command = repo.command("loom-run");
    let ran = Ran::by(command.envs(environment.iter().copied())).expect_code(1);
    let manifest = ran.job("use");
    assert_eq!(manifest["failing_section"], "provider");
    assert_eq!(manifest["reason"], "secret_unavailable");
    let message = manifest["message"].as_str().unwrap().to_owned();
    let events = ran.events(manifest["failing_section_events_path"].as_str().unwrap());
    let errors: Vec<_> = events.iter().filter(|event| event["event"] == "error").collect();
    assert_eq!(errors.len(), 1, "{events:#?}");
    let data = &errors[0]["data"];
    assert_eq!(data["secret"], "S");
    assert!(message.starts_with(data["code"].as_str().unwrap()), "{message}");
    assert!(secret.contains(data["scheme"].as_str().unwrap()));
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
    (ran, message)
}

#[test]
fn what_cannot_be_resolved_fails_the_job_with_a_code() {
    let (_, message) = refused("{ref: 'env://NOT_SET'}", &[]);
    assert_eq!(
        message,
        "SECRETS_REQUIRED_MISSING: secret `S`: the environment variable `NOT_SET` is not set; \
         set it where loom is started"
    );
    let (_, message) = refused("{ref: 'op://vault/item/field'}", &[]);
    assert!(message.starts_with("SECRETS_PROVIDER_UNAVAILABLE: secret `S`: "), "{message}");
}

#[test]
fn tracing_with_a_value_in_a_variable_is_refused() {
    let set = [("IN", "hunter2-hunter2"), ("CI_DEBUG_TRACE", "true")];
    let (_, message) = refused("{ref: 'env://IN', file: false}", &set);
    assert!(message.starts_with("SECRETS_UNSAFE_DEBUG_TRACE: secret `S`: "), "{message}");

    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: v1\nstages: [ci]\nuse:\n  stage: ci\n  variables: {LOOM_DEBUG_TRACE: 'yes'}\n  \
         secrets: {S: {ref: 'env://IN'}}\n  script: ['echo \"$(cat $S)\"']\n",
    );
    let ran = Ran::by(repo.command("loom-run").env("IN", "hunter2-hunter2")).expect_code(0);
    assert_eq!(ran.output_text("use", "script/01", "stdout"), "[REDACTED:SECRET_S]\n");
    let trace = ran.output_text("use", "script/01", "stderr");
    assert!(trace.contains("+ echo [REDACTED:SECRET_S]"), "{trace}");
}

/// Starts a run whose job waits, kills `victims` of it (guard, worker), and waits for its end.
fn kill_while_a_secret_is_there(sandbox: &Sandbox, repo: &Repo<'_>, victims: &[usize]) {
    let mut command = repo.process("loom-run");
    command.env("IN", "hunter2-hunter2").stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = command.spawn().unwrap();
    let limit = Duration::from_secs(30);
    let ready = sandbox.root().join("ready");
    wait_until("the job runs", limit, || ready.exists());
    fs::remove_file(ready).unwrap();
    assert_eq!(secrets_in_temp(sandbox), 1);
    let guard_pid = Pid::from_child(&guard);
    let id = guard_pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let worker = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    let pair = [guard_pid, worker];
    victims.iter().for_each(|&one| kill_process(pair[one], Signal::STOP).unwrap());
    victims.iter().for_each(|&one| kill_process(pair[one], Signal::KILL).unwrap());
    guard.wait().unwrap();
}

#[test]
fn killed_run_leaves_no_secret_behind() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::Anything);
    let repo = sandbox.repo();
    let ready = sandbox.root().join("ready");
    let secret = "stage: ci\n  secrets: {S: {ref: 'env://IN'}}";
    repo.workflow(&format!(
        "version: v1\nstages: [ci]\nuse:\n  {secret}\n  script: ['touch {}; exec sleep 1000']\n",
        ready.display()
    ));
    let limit = Duration::from_secs(30);
    kill_while_a_secret_is_there(&sandbox, &repo, &[1]);
    assert_eq!(secrets_in_temp(&sandbox), 0, "the guard removes it");
    kill_while_a_secret_is_there(&sandbox, &repo, &[0]);
    wait_until("the worker removes it", limit, || secrets_in_temp(&sandbox) == 0);
    kill_while_a_secret_is_there(&sandbox, &repo, &[0, 1]);
    assert_eq!(secrets_in_temp(&sandbox), 1);
    repo.workflow("version: v1\nstages: [ci]\nuse: {stage: ci, script: ['true']}\n");
    wait_until("the next run removes it", limit, || {
        run(&repo, &[]).expect_code(0);
        secrets_in_temp(&sandbox) == 0
    });
}
