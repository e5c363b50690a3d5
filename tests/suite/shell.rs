//! `loom shell`: what a shell in a job's workspace finds, and when there is none.

use std::fs;

use libloom_testkit::{Repo, Sandbox};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use crate::ran::Ran;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// Prints all that a job's step or a shell finds around itself.
const LOOK: &str =
    "env | grep -v -E '^(SHLVL|_|OLDPWD|PWD|LOOM|LOOM_VERSION)=' | sort; pwd -P; type ls";

#[test]
fn shell_has_the_variables_folder_and_path_of_the_jobs_steps() {
    with_repo(|repo| {
        repo.write("values.env", "FROM_FILE='a b'\n");
        repo.write(
            ".loom/workflow.yml",
            format!(
                "version: v1\nstages: [ci]\nvariables: {{ROOT: \"$CI_PROJECT_DIR/x\", OVER: low}}\n\
                 build:\n  stage: ci\n  variables: {{PATH: \"/opt/own/bin:$PATH\", QUOTED: \"it's $$1\"}}\n  \
                 rules:\n    - {{if: '$OVER == \"high\"', variables: {{BY_RULE: \"yes\"}}}}\n    - {{when: always}}\n  \
                 script:\n    - {}\n    - echo left >made; exit 3\n",
                serde_json::to_string(LOOK).unwrap()
            ),
        );
        let ran = Ran::of(repo, &["--var", "OVER=high", "--env-file", "values.env"]).expect_code(1);
        let found = ran.output_text("build", "script/01", "stdout");
        for part in ["BY_RULE=yes", "FROM_FILE=a b", "PATH=/opt/own/bin:", "QUOTED=it's $1"] {
            assert!(found.contains(part), "`{part}` is not in:\n{found}");
        }
        let shell = || repo.command("loom-shell");
        shell().args(["build", "--command", LOOK]).assert().success().stdout(found);

        // What the job left is there; the code is the shell's; arguments stay apart.
        let run_id = ran.text("run_id");
        shell().args([run_id, "build", "-c", "cat made; exit 7"]).assert().code(7).stdout("left\n");
        let program = ["build", "--", "printf", "%s\n", "a b", "$HOME"];
        shell().args(program).assert().success().stdout("a b\n$HOME\n");
        shell().arg("build").write_stdin("cat made\nexit 4\n").assert().code(4).stdout("left\n");
        repo.loom().args(["shell", "build", "-c", "kill -9 $$"]).assert().interrupted();

        shell()
            .arg("biuld")
            .assert()
            .code(3)
            .stderr(contains("no job `biuld`").and(contains("build")));
        shell().args(["nothing", "build"]).assert().code(3).stderr(contains("loom logs list"));
        fs::remove_dir_all(ran.workspace()).unwrap();
        shell().arg("build").assert().code(3).stderr(contains("is gone").and(contains("loom run")));
    });
}

#[test]
fn secrets_are_resolved_afresh_and_leave_no_file() {
    with_repo(|repo| {
        repo.workflow(
            "version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  script: ['true']\n  secrets:\n    \
             TOKEN: {ref: 'env://MY_TOKEN', file: false}\n    \
             KEY: {ref: 'env://MY_KEY', file: true}\n",
        );
        let mut command = repo.command("loom-run");
        Ran::by(command.env("MY_TOKEN", "first-value").env("MY_KEY", "key")).expect_code(0);
        let line = "echo \"$TOKEN $(cat \"$KEY\") $(stat -c %a \"$KEY\")\"; echo \"$KEY\"; exit 5";
        let mut shell = repo.command("loom-shell");
        let shell = shell.env("MY_TOKEN", "second-value").env("MY_KEY", "other");
        let output = shell.args(["build", "-c", line]).assert().code(5).get_output().clone();
        let said = String::from_utf8(output.stdout).unwrap();
        let (values, file) = said.trim_end().split_once('\n').unwrap();
        assert_eq!(values, "second-value other 600");
        assert!(!fs::exists(file).unwrap(), "{file}");
        let mut shell = repo.command("loom-shell");
        let without = shell.args(["build", "-c", "echo \"[$TOKEN]\""]).assert();
        without.success().stdout("[]\n").stderr(contains("MY_TOKEN"));
    });
}

#[test]
fn variables_that_an_earlier_job_left_are_there() {
    with_repo(|repo| {
        repo.workflow(
            "version: v1\nstages: [one, two]\nmake:\n  stage: one\n  script: ['echo HANDED=from-make >v.env']\n  \
             artifacts: {paths: [v.env], reports: {dotenv: v.env}}\n\
             use:\n  stage: two\n  script: ['echo \"[$HANDED]\"; false']\n",
        );
        let ran = Ran::of(repo, &[]).expect_code(1);
        let found = ran.output_text("use", "script/01", "stdout");
        assert_eq!(found, "[from-make]\n");
        let shell = repo.command("loom-shell").args(["use", "-c", "echo \"[$HANDED]\""]).assert();
        shell.success().stdout(found);
        let shell = repo.command("loom-shell").args(["make", "-c", "echo \"[$HANDED]\""]).assert();
        shell.success().stdout("[]\n");
    });
}

#[test]
fn a_run_does_not_end_the_shell_of_an_earlier_one() {
    with_repo(|repo| {
        repo.workflow("version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  script: ['true']\n");
        Ran::of(repo, &[]).expect_code(0);
        // A run in the shell looks for processes that dead runs left.
        let line = format!("cd '{}' && loom-run -q; echo alive", repo.root().display());
        let shell = repo.command("loom-shell").args(["build", "-c", &line]).assert();
        shell.success().stdout(contains("alive"));
    });
}

#[test]
fn shell_on_failure_is_refused_without_a_terminal() {
    with_repo(|repo| {
        repo.workflow("version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  script: ['false']\n");
        let assert = repo.command("loom-run").arg("--shell-on-failure").assert();
        assert.code(2).stderr(contains("needs a terminal"));
        assert!(!repo.runtime().join("receipts").exists(), "nothing was run");
    });
}
