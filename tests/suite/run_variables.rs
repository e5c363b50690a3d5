//! `loom run --var`, `--env-file`, `--changes-base`: what is said on the command line.

use libloom_testkit::{Repo, Sandbox};

use crate::ran::Ran;

const WORKFLOW: &str = r#"version: v1
stages: [ci]
variables: {MODE: quick, PLACE: root}
workflow:
  rules:
    - if: $MODE == "full"
build:
  stage: ci
  variables: {A: job, B: job, C: job, D: 'job:$A', PLACE: 'job:$PLACE'}
  rules:
    - if: $A == "job"
      when: never
    - if: $LOOM_JOB_NAME == "build"
      variables: {B: rule, C: rule, PLACE: 'rule:$PLACE'}
  script:
    - echo "$A,$B,$C,$D,$PLACE,$ONLY"
"#;

fn said(repo: &Repo<'_>, arguments: &[&str]) -> String {
    let ran = Ran::of(repo, arguments).expect_code(0);
    ran.output_text("build", "script/01", "stdout")
}

#[test]
fn the_command_line_ranks_above_files_and_files_above_the_workflow() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(WORKFLOW);
    repo.write(
        "ci.env",
        "# for tests\nexport MODE=full\nA='file $5'\nC=\"file\"\nPLACE=file:$PLACE\n",
    );
    Ran::of(&repo, &[])
        .expect_code(0)
        .expect_said(&["workflow.rules: its only rule does not match"]);
    Ran::of(&repo, &["--var", "MODE=full"]).expect_code(0).expect_said(&["rule 1 matches"]);
    assert_eq!(
        said(&repo, &["--env-file", "ci.env", "--var", "C=line", "--var", "ONLY=here=1"]),
        "file $5,rule,line,job:file $5,file:rule:job:root,here=1\n"
    );
    repo.write("more.env", "A=more\n");
    let two = ["--env-file", "ci.env", "--env-file", "more.env", "--var=C=$A"];
    assert_eq!(said(&repo, &two), "more,rule,more,job:more,file:rule:job:root,\n");
}

#[test]
fn what_cannot_be_a_variable_is_refused_in_words() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: v1\nstages: [ci]\na:\n  stage: ci\n  variables: {B: $C, C: x}\n  \
         secrets: {TOKEN: {ref: 'env://TOKEN'}}\n  script: [echo]\n",
    );
    repo.write("ci.env", "A=1\n  b: 2\n");
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        Ran::of(&repo, arguments).expect_code(code).expect_said(words);
    };
    refused(&["--var", "a=1"], 2, &["variable name `a` must match ^[A-Z_][A-Z0-9_]*$"]);
    refused(&["--var", "A"], 2, &["expected NAME=VALUE", "write `A=`"]);
    refused(&["--env-file", "none.env"], 3, &["cannot read the variables of `none.env`"]);
    refused(&["--env-file", "ci.env"], 3, &["ci.env:2:3: expected NAME=value"]);
    assert!(!repo.runtime().join("receipts").exists(), "nothing was begun");
    refused(&["--var", "C=$B"], 3, &["refer to each other in a circle: $B -> $C -> $B"]);
    refused(&["--var", "TOKEN=x"], 3, &["`TOKEN` (--var) is a secret of job `a`"]);
}

#[test]
fn changes_are_since_the_commit_that_is_named() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  rules: [{changes: [src/**]}]\n  script: [echo ran]\n",
    );
    repo.commit("base");
    repo.write("src/a", "1").commit("first");
    repo.write("other", "1").commit("second");
    let skipped = Ran::of(&repo, &["--changes-base", "HEAD~1"]).expect_code(0);
    skipped.expect_said(&["its only rule does not match"]);
    assert_eq!(said(&repo, &["--changes-base", "HEAD~2"]), "ran\n");
    Ran::of(&repo, &["--changes-base", "nope"])
        .expect_code(3)
        .expect_said(&["`nope` names no commit"]);
}
