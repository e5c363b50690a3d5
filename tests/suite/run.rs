//! `loom run`: what is shown, what is left, what a job finds around itself.

use libloom_testkit::{Repo, Sandbox};

use crate::ran::{Ran, document, workflow};

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

#[test]
fn passing_workflow_ends_with_zero_and_success_everywhere() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["echo hi"])])).commit("a");
        let ran = Ran::by(repo.loom().args(["run", "--local"])).expect_code(0);
        assert_eq!(ran.receipt["status"], "success");
        assert_eq!(ran.receipt["exit_code"], 0);
        for path in ["summary.json", "pipeline/summary.json", "jobs/build/summary.json"] {
            assert_eq!(ran.document(path)["status"], "success", "{path}");
        }
        assert_eq!(ran.step("build", "script/01")["status"], "success");
        let head = repo.git(["rev-parse", "HEAD"]);
        assert_eq!(ran.text("snapshot_head_sha"), head.trim());
        let graph = &ran.receipt["graph_ir"];
        let graph_document = document(graph["path"].as_str().unwrap().as_ref());
        assert_eq!(graph_document["digest"], graph["digest"]);
    });
}

#[test]
fn every_phase_that_began_ended() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["echo hi", "false", "echo never"])]));
        let ran = Ran::of(repo, &[]).expect_code(1);
        let report = document(ran.text("phase_report_path").as_ref());
        assert_eq!(report["valid"], true, "{report:#}");
        for phase in report["phases"].as_array().unwrap() {
            assert_eq!(phase["started"], phase["finished"], "{phase}");
        }
    });
}

#[test]
fn workspace_is_named_before_the_first_job_and_the_receipt_last() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["echo hi"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let workspace = format!("isolated workspace: {}\n", ran.text("snapshot_path"));
        let named = ran.stderr.find(&workspace).expect("the workspace is named");
        let began = ran.stderr.find("job `build` started").expect("the job is named");
        assert!(named < began, "{}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        assert!(ran.stdout.starts_with("receipt: /"), "{}", ran.stdout);
        assert!(ran.workspace().starts_with(repo.sandbox().temp()));
    });
}

#[test]
fn quiet_run_prints_the_final_status_and_the_receipt() {
    with_repo(|repo| {
        for (entry, code, status) in [("echo hi", 0, "success"), ("false", 1, "failure")] {
            repo.workflow(&workflow([("build", vec![entry])]));
            let ran = Ran::of(repo, &["-q"]).expect_code(code);
            assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
            assert!(ran.stderr.starts_with(status), "{}", ran.stderr);
        }
    });
}

#[test]
fn stream_shows_each_line_behind_its_job_on_the_stream_it_was_written_to() {
    with_repo(|repo| {
        let jobs = [("a", vec!["echo out; echo err >&2"]), ("longer", vec!["printf 1\\\\n2"])];
        repo.workflow(&workflow(jobs));
        let ran = Ran::of(repo, &["--stream"]).expect_code(0);
        let mut lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(lines.pop().is_some_and(|line| line.starts_with("receipt: ")));
        lines.sort_unstable();
        assert_eq!(lines, ["a      | out", "longer | 1", "longer | 2"]);
        assert!(ran.stderr.contains("a      | err\n"), "{}", ran.stderr);
    });
}

#[test]
fn last_lines_of_the_failing_step_are_shown_without_being_asked_for() {
    with_repo(|repo| {
        let entry = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; echo cause >&2; exit 9";
        repo.workflow(&workflow([("build", vec![entry])]));
        let ran = Ran::of(repo, &[]).expect_code(1);
        let words = ["script/01", "exit code 9", "| line 9\n", "| cause\n", "loom logs"];
        let ran = ran.expect_said(&words);
        assert!(ran.stderr.contains("user/execution/script/01/events.jsonl"), "{}", ran.stderr);
    });
}

#[test]
fn ignored_file_that_a_failed_job_missed_is_named_with_the_mend() {
    with_repo(|repo| {
        repo.write(".gitignore", "*.env\n").write("config/test.env", "A=1\n");
        repo.workflow(&workflow([("build", vec!["cd config", "cat test.env"])])).commit("a");
        let ran = Ran::of(repo, &[]).expect_code(1);
        let mend = "--include-ignored 'config/test.env'";
        let ran =
            ran.expect_said(&["hint: the job missed `config/test.env`: git ignores it", mend]);
        assert!(ran.stderr.contains(&format!("workspace: {}\n", ran.text("snapshot_path"))));
        let mended = Ran::of(repo, &["--include-ignored", "config/test.env"]).expect_code(0);
        assert!(!mended.stderr.contains("hint: the job missed"), "{}", mended.stderr);
    });
}

#[test]
fn workflow_option_takes_another_file_of_the_repository() {
    with_repo(|repo| {
        repo.write("ci/other.yml", workflow([("other", vec!["pwd"])]));
        let mut command = repo.command("loom-run");
        command.current_dir(repo.path("ci")).args(["--workflow", "other.yml"]);
        let ran = Ran::by(&mut command).expect_code(0);
        assert_eq!(ran.receipt["jobs"][0]["job_id"], "other");
        let place = ran.output_text("other", "script/01", "stdout");
        assert_eq!(place.trim_end(), ran.text("snapshot_path"), "a job begins at the top");
    });
}

#[test]
fn variables_of_all_layers_and_predefined_ones_are_visible() {
    with_repo(|repo| {
        let names = "LOOM_CI CI LOOM_RUN_ID LOOM_JOB_NAME CI_JOB_NAME LOOM_JOB_STAGE CI_JOB_STAGE \
            LOOM_PROJECT_DIR CI_PROJECT_DIR CI_PROJECT_NAME LOOM_WORKFLOW_PATH CI_COMMIT_SHA \
            CI_COMMIT_BRANCH ROOT LAYER OWN EXPANDED LITERAL";
        let entry = format!("for n in {names}; do eval \"echo $n=\\$$n\"; done");
        let job = workflow([("build", vec![entry.as_str()])]);
        repo.workflow(&format!(
            "variables: {{ROOT: root, LAYER: root}}\n{job}  variables:\n    LAYER: job\n    \
             OWN: \"it's \\\"own\\\" \\\\ and $ROOT\"\n    EXPANDED: ${{LAYER}}/$CI_JOB_NAME/$FROM_USER\n    \
             LITERAL: $$HOME $NOBODY_KNOWS\n"
        ));
        repo.commit("a");
        let ran = Ran::by(repo.command("loom-run").env("FROM_USER", "user")).expect_code(0);
        let shown = ran.output_text("build", "script/01", "stdout");
        let head = repo.git(["rev-parse", "HEAD"]);
        let (run_id, workspace) = (ran.text("run_id"), ran.text("snapshot_path"));
        let expected = format!(
            "LOOM_CI=true\nCI=true\nLOOM_RUN_ID={run_id}\nLOOM_JOB_NAME=build\nCI_JOB_NAME=build\n\
             LOOM_JOB_STAGE=ci\nCI_JOB_STAGE=ci\nLOOM_PROJECT_DIR={workspace}\n\
             CI_PROJECT_DIR={workspace}\nCI_PROJECT_NAME=repo\n\
             LOOM_WORKFLOW_PATH=.loom/workflow.yml\nCI_COMMIT_SHA={head}CI_COMMIT_BRANCH=main\n\
             ROOT=root\nLAYER=job\nOWN=it's \"own\" \\ and root\nEXPANDED=job/build/user\n\
             LITERAL=$HOME $NOBODY_KNOWS\n"
        );
        assert_eq!(shown, expected);
    });
}

#[test]
fn job_in_a_container_fails_in_words_without_an_engine_and_the_others_run() {
    with_repo(|repo| {
        let jobs = workflow([("here", vec!["echo hi"]), ("there", vec!["echo never"])]);
        repo.workflow(&format!("{jobs}  image: alpine:3.20\n"));
        let unavailable = "docker daemon unavailable: cannot connect to the Docker daemon at \
                           unix:///nowhere/docker.sock";
        let mut run = repo.command("loom-run");
        run.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let ran = Ran::by(&mut run).expect_code(1).expect_said(&[unavailable]);
        assert_eq!(ran.document("jobs/here/summary.json")["status"], "success");
        let summary = ran.document("jobs/there/summary.json");
        assert_eq!(summary["reason"], "provider_unavailable");
        let message = summary["message"].as_str().unwrap();
        assert!(message.starts_with(unavailable), "{message}");
        let events = ran.job("there")["failing_section_events_path"].as_str().unwrap().to_owned();
        let error = ran.events(&events).into_iter().find(|event| event["event"] == "error");
        assert!(error.unwrap()["text"].as_str().unwrap().contains("docker daemon"));
    });
}
