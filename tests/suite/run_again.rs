//! `--failed`, `--in-place` and `--isolate-jobs`: what a run takes over, and from where.

use std::fs;

use libloom_testkit::{Repo, Sandbox};
use serde_json::Value;

use crate::ran::Ran;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// `build` leaves an artifact and a file that is none; `test` fails while the checkout has no
/// file `fixed`.
const WORKFLOW: &str = "version: v1
stages: [make, test, ship]
build:
  stage: make
  artifacts: {paths: [out]}
  script: [mkdir -p out, echo built >>out/tool, echo scratch >>scratch]
other: {stage: make, script: [echo other]}
test: {stage: test, needs: [build], script: [cat out/tool, test -e fixed]}
ship: {stage: ship, script: [cat out/tool, cat scratch || true]}
";

fn statuses(ran: &Ran) -> Vec<String> {
    let manifest = ran.document("pipeline/manifest.json");
    let status = |job: &Value| {
        let reason = job["reason"].as_str().map_or(String::new(), |reason| format!(" {reason}"));
        format!("{} {}{reason}", job["job_id"].as_str().unwrap(), job["status"].as_str().unwrap())
    };
    manifest["jobs"].as_array().unwrap().iter().map(status).collect()
}

#[test]
fn what_failed_runs_again_with_the_artifacts_of_what_did_not() {
    with_repo(|repo| {
        repo.workflow(WORKFLOW);
        let first = Ran::of(repo, &[]).expect_code(1);
        // Twice, so that the second time the artifacts are those of the run before last.
        let again = ["build skipped not_selected", "other skipped not_selected"];
        for (failed, code, test, ship) in [
            ("--failed", 1, "test failure step_failed", "ship skipped earlier_stage_failed"),
            ("--failed=latest", 0, "test success", "ship success"),
        ] {
            if code == 0 {
                repo.write("fixed", "");
            }
            let ran = Ran::of(repo, &[failed]).expect_code(code);
            assert_eq!(statuses(&ran), [again[0], again[1], test, ship]);
            assert_ne!(ran.workspace(), first.workspace());
            assert_eq!(ran.output_text("test", "script/01", "stdout"), "built\n");
            assert_eq!(ran.job("build")["finished_in"], first.receipt["run_id"]);
            // What was no artifact stayed in the first run's workspace.
            assert!(!ran.workspace().join("scratch").exists());
        }
        let ran = Ran::of(repo, &["--failed"]).expect_code(0);
        assert!(statuses(&ran).iter().all(|status| status.ends_with(" not_selected")));
        ran.expect_said(&["nothing failed in run"]);
    });
}

#[test]
fn in_place_goes_on_in_the_workspace_as_it_was_left() {
    with_repo(|repo| {
        repo.workflow(WORKFLOW);
        let first = Ran::of(repo, &[]).expect_code(1);
        fs::write(first.workspace().join("fixed"), "").unwrap();
        let id = first.text("run_id").to_owned();
        let ran = Ran::of(repo, &[&format!("--failed={id}"), "--in-place"]).expect_code(0);
        assert_eq!(ran.workspace(), first.workspace());
        assert_eq!(ran.output_text("ship", "script/02", "stdout"), "scratch\n");
        let linked = ran.workspace().join(".loom/.runtime/receipts");
        let receipt = linked.join(format!("{}.json", ran.text("run_id")));
        assert!(fs::read_to_string(receipt).unwrap().contains(ran.text("run_id")));
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 1);

        repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
        let ran = Ran::of(repo, &[&format!("--failed={id}"), "--in-place"]).expect_code(3);
        ran.expect_said(&["the workspace of run", "is not there any more", "without --in-place"]);
    });
}

#[test]
fn what_cannot_be_gone_on_from_is_refused_in_words() {
    with_repo(|repo| {
        repo.workflow(WORKFLOW);
        let words = ["wants to know which", "--failed --in-place"];
        Ran::of(repo, &["--in-place"]).expect_code(2).expect_said(&words);
        Ran::of(repo, &["--failed"]).expect_code(3).expect_said(&["there are no runs in"]);
        repo.workflow("version: v1\n");
        Ran::of(repo, &[]).expect_code(1);
        let words = ["never came to its jobs", "start a new run"];
        Ran::of(repo, &["--failed"]).expect_code(3).expect_said(&words);
        Ran::of(repo, &["--failed=nonsense"]).expect_code(3).expect_said(&["no run matches"]);
    });
}

#[test]
fn isolated_jobs_see_the_artifacts_of_those_they_depend_on_and_nothing_else() {
    with_repo(|repo| {
        let list = "find out scratch -type f 2>/dev/null || true";
        repo.workflow(&format!(
            "version: v1\nstages: [make, test]\n\
             build: {{stage: make, artifacts: {{paths: [out]}}, \
             script: [mkdir out, echo built >out/tool, echo scratch >scratch, pwd]}}\n\
             apart: {{stage: test, needs: [], script: [\"{list}\"]}}\n\
             needs: {{stage: test, needs: [build], script: [\"{list}\"]}}\n\
             stage: {{stage: test, script: [\"{list}\", git status --short, exit 3]}}\n"
        ));
        let ran = Ran::of(repo, &["--isolate-jobs"]).expect_code(1);
        let seen =
            ["apart", "needs", "stage"].map(|job| ran.output_text(job, "script/01", "stdout"));
        assert_eq!(seen, ["", "out/tool\n", "out/tool\n"]);
        assert!(!ran.workspace().join("scratch").exists(), "the run's workspace stays as it was");
        let own = ran.output_text("build", "script/04", "stdout");
        assert!(own.trim_end().ends_with("-build"), "{own}");
        let in_place = Ran::of(repo, &["--failed", "--in-place"]).expect_code(3);
        in_place.expect_said(&["had a workspace each", "go on in a new workspace: --failed="]);
        // The copy of a job that failed is kept, is a snapshot like any other, and goes with them.
        let kept: Vec<_> = fs::read_dir(repo.sandbox().temp()).unwrap().flatten().collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        let list = repo.command("loom-snapshot").args(["list"]).output().unwrap();
        assert!(String::from_utf8_lossy(&list.stdout).contains("-stage "), "{list:?}");
        repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
    });
}
