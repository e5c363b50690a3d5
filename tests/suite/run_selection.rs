//! Which jobs a run is about: names, stages, manual jobs, `--fail-fast`.

use libloom_testkit::{Repo, Sandbox};

use crate::ran::Ran;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

const WORKFLOW: &str = "version: v1
stages: [make, test, ship]
build: {stage: make, script: [echo built >made]}
docs: {stage: make, script: [echo docs]}
unit: {stage: test, needs: [build], script: [cat made]}
lint: {stage: test, parallel: 2, script: [echo lint $CI_NODE_INDEX]}
deploy: {stage: ship, when: manual, script: [echo deployed]}
";

/// Ids of the jobs that ran, in the graph's order.
fn ran_jobs(ran: &Ran) -> Vec<String> {
    let manifest = ran.document("pipeline/manifest.json");
    let jobs = manifest["jobs"].as_array().unwrap().iter();
    let jobs = jobs.filter(|job| job["status"] != "skipped");
    jobs.map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn jobs_are_chosen_by_name_stage_and_hand() {
    with_repo(|repo| {
        repo.workflow(WORKFLOW);
        for (arguments, expected) in [
            (&["unit"][..], &["build", "unit"][..]),
            (&["--job", "unit", "--job", "docs"], &["build", "docs", "unit"]),
            (&["--only", "lint"], &["lint-1", "lint-2"]),
            (&["--from-stage", "ship", "--manual", "deploy"], &["deploy"]),
        ] {
            let ran = Ran::of(repo, arguments).expect_code(0);
            assert_eq!(ran_jobs(&ran), expected, "{arguments:?}");
        }
        let ran = Ran::of(repo, &["--only", "docs"]).expect_code(0);
        let skipped = ran.document("jobs/unit/summary.json");
        assert_eq!([&skipped["status"], &skipped["reason"]], ["skipped", "not_selected"]);
        let ran = Ran::of(repo, &["--from-stage", "ship"]).expect_code(0);
        assert_eq!(ran.document("jobs/deploy/summary.json")["reason"], "manual");
        ran.expect_said(&["job `deploy` skipped: starts only when asked for: --manual deploy"]);
    });
}

#[test]
fn name_that_nothing_has_is_a_wrong_command_line_and_nothing_is_copied() {
    with_repo(|repo| {
        repo.workflow(WORKFLOW);
        let ran = Ran::of(repo, &["biuld"]).expect_code(2);
        let ran = ran.expect_said(&["error: there is no job `biuld`", "did you mean `build`?"]);
        assert!(ran.receipt["snapshot_path"].is_null());
        assert_eq!([&ran.receipt["status"], &ran.receipt["reason"]], ["failure", "not_selected"]);
        let ran = Ran::of(repo, &["--from-stage", "tset"]).expect_code(2);
        ran.expect_said(&["there is no stage `tset`", "did you mean `test`?"]);
        Ran::of(repo, &["--only"]).expect_code(2).expect_said(&["wants the names of jobs"]);
    });
}

#[test]
fn first_failure_ends_the_run_where_that_is_wanted() {
    with_repo(|repo| {
        repo.workflow(
            "version: v1\nstages: [one, two]\n\
             a: {stage: one, script: ['while ! test -e begun; do sleep 0.01; done', exit 3]}\n\
             b: {stage: one, script: ['trap \"exit 9\" TERM', 'touch begun', \
             'while :; do sleep 0.05; done']}\n\
             c: {stage: two, when: always, script: [echo never]}\n",
        );
        let ran = Ran::of(repo, &["--fail-fast", "--jobs", "2"]).expect_code(1);
        let outcome = |job: &str| {
            let summary = ran.document(&format!("jobs/{job}/summary.json"));
            [summary["status"].clone(), summary["reason"].clone()]
        };
        assert_eq!(outcome("a"), ["failure", "step_failed"]);
        assert_eq!(outcome("b"), ["cancelled", "fail_fast"]);
        assert_eq!(outcome("c"), ["skipped", "fail_fast"]);
        assert_eq!([&ran.receipt["status"], &ran.receipt["reason"]], ["failure", "job_failed"]);
        assert_eq!(ran.document("pipeline/manifest.json")["failing_job_id"], "a");
        ran.expect_said(&["a job failed: ending the others"]);
    });
}

#[test]
fn options_reach_the_copy() {
    with_repo(|repo| {
        let script = "[ls]";
        repo.workflow(&format!("version: v1\nstages: [ci]\na: {{stage: ci, script: {script}}}\n"));
        repo.write(".gitignore", "*.env\n").commit("a");
        repo.write("local.env", "A=1\n").write("new", "");
        let listed = |arguments: &[&str]| {
            Ran::of(repo, arguments).expect_code(0).output_text("a", "script/01", "stdout")
        };
        assert_eq!(listed(&[]), "new\n");
        assert_eq!(listed(&["--include-ignored", "*.env"]), "local.env\nnew\n");
        assert_eq!(listed(&["--no-untracked"]), "");
    });
}

#[test]
fn dry_run_says_what_would_run_and_why_not_and_leaves_nothing() {
    with_repo(|repo| {
        repo.workflow(&format!(
            "{WORKFLOW}never: {{stage: ship, rules: [{{exists: [absent]}}], script: [echo]}}\n\
             there: {{stage: ship, timeout: 90s, retry: 2, rules: [{{exists: [.loom/*]}}], \
             script: [echo]}}\n"
        ));
        let output = repo.command("loom-run").args(["--dry-run", "-j", "2"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let rows = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Vec<&str>> = rows
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect())
            .collect();
        let row = |job: &str| {
            let mut rows =
                rows.iter().map(|row| row.iter().map(|cell| cell.trim()).collect::<Vec<_>>());
            rows.find(|row| row.contains(&job)).unwrap_or_else(|| panic!("no {job}")).join("|")
        };
        assert_eq!(row("build"), "make|build|host|run");
        assert_eq!(row("unit"), "unit|host|run|after build");
        assert_eq!(row("lint 2/2"), "lint 2/2|host|run");
        assert_eq!(
            row("deploy"),
            "ship|deploy|host|skip|starts only when asked for: --manual deploy"
        );
        assert!(row("never").starts_with("never|host|skip|"), "{}", row("never"));
        assert_eq!(row("there"), "there|host|run|timeout 90s; up to 3 attempts");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("6 of 8 jobs would run, 2 at a time"), "{said}");
        assert!(!repo.runtime().join("logs").exists() && !repo.runtime().join("receipts").exists());
        assert_eq!(std::fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
        Ran::of(repo, &["--dry-run", "nit"]).expect_code(2).expect_said(&["did you mean `unit`"]);
    });
}

#[test]
fn flaky_job_is_hunted_by_repeating_the_run() {
    with_repo(|repo| {
        // What is outside of the workspace survives from one repetition to the next.
        let count = repo.sandbox().root().join("count");
        repo.workflow(&format!(
            "version: v1\nstages: [ci]\nfine: {{stage: ci, script: [echo]}}\n\
             flaky: {{stage: ci, script: ['echo x >>{0}', 'test $(wc -l <{0}) != 2']}}\n",
            count.display()
        ));
        let ran = Ran::of(repo, &["--repeat", "3"]).expect_code(1);
        let receipts = ran.stdout.lines().filter(|line| line.starts_with("receipt: ")).count();
        assert_eq!(receipts, 3, "{}", ran.stdout);
        ran.expect_said(&["3 repetitions: 1 failed", "job `flaky` failed 1 of 3 times, first in "]);
        // Only the workspace of the one that failed is kept.
        assert_eq!(std::fs::read_dir(repo.sandbox().temp()).unwrap().count(), 1);

        std::fs::remove_file(&count).unwrap();
        let ran = Ran::of(repo, &["--until-fail", "flaky"]).expect_code(1);
        ran.expect_said(&["2 repetitions: 1 failed"]);
        let ran = Ran::of(repo, &["--repeat=2", "--only", "fine"]).expect_code(0);
        ran.expect_said(&["2 repetitions: 0 failed"]);
        Ran::of(repo, &["--repeat", "2", "nothing"]).expect_code(2);
    });
}
