//! `loom compile --evaluate`: what rules would decide here, and why.

use libloom_contract::evaluation::Evaluation;
use libloom_contract::store;
use libloom_testkit::{Sandbox, check_documents};
use predicates::prelude::*;
use predicates::str::contains;

const WORKFLOW: &str = r#"version: v1
stages: [ci]
variables: {MODE: quick}
workflow:
  rules:
    - if: $MODE == "none"
    - if: $CI_COMMIT_BRANCH =~ /^ma/
build:
  stage: ci
  script: [make]
  rules:
    - if: $CI_COMMIT_TAG
    - changes: [src/**]
      exists: [ignored, Makefile]
      when: manual
      allow_failure: true
      variables: {WHY: changes}
docs:
  stage: ci
  script: [make docs]
  secrets: {TOKEN: {ref: 'env://HOST_TOKEN'}}
  rules:
    - if: $HOST_TOKEN == "guess"
    - exists: [ignored]
plain: {stage: ci, script: [x]}
"#;

#[test]
fn decisions_are_told_with_what_they_were_made_of() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW).write(".gitignore", "ignored\n").write("ignored", "").commit("a");
    repo.git(["checkout", "-q", "-b", "maintenance"]);
    repo.write("src/a b", "1").write("Makefile", "");
    let evaluate = |arguments: &[&str]| {
        let mut command = repo.command("loom-compile");
        command.env("HOST_TOKEN", "s3cret-of-the-host").arg("--evaluate").args(arguments);
        command.assert()
    };
    let text = "2 paths differ from ";
    let decisions = r#"
workflow.rules: jobs run: rule 2 matches: $CI_COMMIT_BRANCH =~ /^ma/
  rule 1 (.loom/workflow.yml:6:7) does not match
    if $MODE == "none": no
      $MODE is "quick"
  rule 2 (.loom/workflow.yml:7:7) matches
    if $CI_COMMIT_BRANCH =~ /^ma/: yes
      $CI_COMMIT_BRANCH is "maintenance"

build: waits to be started by hand, may fail: rule 2 matches: changes src/** and exists ignored, Makefile
  rule 1 (.loom/workflow.yml:12:7) does not match
    if $CI_COMMIT_TAG: no
      $CI_COMMIT_TAG is not set
  rule 2 (.loom/workflow.yml:13:7) matches
    changes src/**: yes
      src/a b
    exists ignored, Makefile: yes
      Makefile
  gets WHY="changes"

docs: left out: none of its 2 rules matches
  rule 1 (.loom/workflow.yml:23:7) does not match
    if $HOST_TOKEN == "guess": no
      $HOST_TOKEN is "[REDACTED:SECRET_HOST_TOKEN]"
  rule 2 (.loom/workflow.yml:24:7) does not match
    exists ignored: no

plain: runs: it has no rules
"#;
    evaluate(&[]).success().stdout(contains(text).and(contains(decisions))).stderr("");
    assert!(!repo.runtime().join("graphs").exists(), "nothing is recorded");

    // Where documents lie it is held against its schema, too.
    let file = ".loom/.runtime/evaluation.json";
    repo.write(file, "");
    let asked = ["--format", "json", "--var", "MODE=none", "--changes-base", "HEAD", "--out", file];
    evaluate(&asked).success().stdout("");
    check_documents(&repo.runtime());
    let evaluation: Evaluation = store::read(&repo.path(file)).unwrap();
    assert_eq!(evaluation.workflow.unwrap().rule, Some(1));
    let included: Vec<(&str, bool)> =
        evaluation.jobs.iter().map(|job| (&*job.id, job.included)).collect();
    assert_eq!(included, [("build", true), ("docs", false), ("plain", true)]);
    assert!(evaluation.facts.changed.is_some_and(|changed| changed.len() == 2));
    assert!(evaluation.facts.files.is_none());
}

#[test]
fn a_workflow_that_does_not_run_leaves_every_job_out() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW).commit("a");
    repo.git(["checkout", "-q", "-b", "other"]);
    let mut command = repo.command("loom-compile");
    let told = contains("workflow.rules: all jobs are skipped: none of its 2 rules matches")
        .and(contains("plain: left out: workflow.rules: none of its 2 rules matches"));
    command.arg("--evaluate").assert().success().stdout(told);
}

#[test]
fn what_is_wrong_with_the_question_is_told_once() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW);
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let mut command = repo.command("loom-compile");
        command.args(arguments).assert().code(code).stdout("").stderr(contains(words).count(1));
    };
    refused(&["--var", "A=1"], 2, "required arguments were not provided:\n  --evaluate");
    refused(&["--evaluate", "--var", "a=1"], 2, "must match");
    refused(&["--evaluate", "--format", "dot"], 2, "decisions cannot be drawn as dot");
    refused(&["--evaluate", "--env-file", "no.env"], 3, "cannot read the variables of `no.env`");
    refused(&["--evaluate", "--changes-base", "nope"], 3, "`nope` names no commit");
    refused(&["--evaluate", "--var", "TOKEN=x"], 3, "is a secret of job `docs`");
}
