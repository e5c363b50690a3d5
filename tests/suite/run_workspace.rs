//! What a job finds in its workspace is the repository as it is, and the repository is left
//! alone.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Stdio;

use libloom_testkit::{
    Repo, Sandbox, assert_same_list, big_repository, tree_list, tree_list_script,
};

use crate::ran::{Ran, workflow};

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// A workflow whose job lists its workspace, with git and `sha256sum` as the judges.
fn listing_workflow() -> String {
    let list = format!("sh '{}' .", tree_list_script().display());
    workflow([("list", vec![list.as_str()])])
}

/// What the job listed.
fn listed(ran: &Ran) -> Vec<String> {
    let output = ran.output("list", "script/01", "stdout");
    output.split(|&byte| byte == 0).map(|record| record.escape_ascii().to_string()).collect()
}

#[track_caller]
fn assert_lists_differ(expected: &[String], found: &[String]) {
    let compared = catch_unwind(AssertUnwindSafe(|| assert_same_list(expected, found)));
    assert!(compared.is_err(), "the comparison finds no difference");
}

/// Everything on disk but the runtime directory, with times and inodes. The folders that hold
/// that directory may get a new time.
fn on_disk(folder: &Path) -> Vec<String> {
    let find = "find . -path ./.loom/.runtime -prune -o -printf '%P %y %m %s %T@ %i %l\\0'; \
        find . -path ./.loom/.runtime -prune -o -type f -print0 | sort -z | xargs -0 sha256sum -z";
    let output = std::process::Command::new("sh").args(["-c", find]).current_dir(folder).output();
    let records = output.unwrap().stdout;
    let records = records.split(|&byte| byte == 0).map(|record| record.escape_ascii().to_string());
    records.filter(|record| !record.starts_with(" d ") && !record.starts_with(".loom d ")).collect()
}

#[test]
fn job_sees_twenty_thousand_files_in_every_state_as_git_sees_them_in_the_source() {
    with_repo(|repo| {
        big_repository(repo, 20_000);
        repo.workflow(&listing_workflow());
        // The first run makes what every later one finds: `.loom/.runtime`.
        fs::create_dir_all(repo.runtime()).unwrap();
        fs::write(repo.runtime().join(".gitignore"), "*\n").unwrap();
        let expected = tree_list(repo.sandbox(), repo.root());
        let before = on_disk(repo.root());
        assert!(expected.len() > 60_000, "{} records", expected.len());

        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_same_list(&expected, &listed(&ran));
        assert!(before == on_disk(repo.root()), "the run changed the repository");

        // The judge sees a single wrong byte and a single wrong mode.
        let file = ran.workspace().join("part-3/unit-3/file-3.txt");
        let content = fs::read(&file).unwrap();
        fs::write(&file, [&content[1..], b"y"].concat()).unwrap();
        assert_lists_differ(&expected, &tree_list(repo.sandbox(), &ran.workspace()));
        fs::write(&file, content).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode ^ 0o100)).unwrap();
        assert_lists_differ(&expected, &tree_list(repo.sandbox(), &ran.workspace()));
    });
}

#[test]
fn what_a_job_does_to_its_workspace_reaches_later_jobs_and_not_the_repository() {
    with_repo(|repo| {
        repo.write("kept", "kept\n").write("changed", "old\n");
        let first = ["rm kept", "echo new >changed", "git commit -qam job", "git branch made"];
        let jobs = workflow([("a", first.to_vec()), ("b", vec!["cat changed", "test ! -e kept"])]);
        repo.workflow(
            &jobs.replace("b:\n  stage: ci", "b:\n  stage: later").replace("[ci]", "[ci, later]"),
        );
        repo.commit("a");
        let before = on_disk(repo.root());
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(ran.output_text("b", "script/01", "stdout"), "new\n");
        assert!(before == on_disk(repo.root()), "the run changed the repository");
    });
}

#[test]
fn variables_of_a_git_hook_do_not_reach_jobs() {
    with_repo(|repo| {
        repo.write("tracked", "a\n").workflow(&workflow([(
            "build",
            vec!["git rev-parse --show-toplevel", "echo b >tracked; git commit -qam job", "env"],
        )]));
        repo.commit("a");
        let head = repo.git(["rev-parse", "HEAD"]);
        let mut command = repo.command("loom-run");
        let git = repo.path(".git");
        command.env("GIT_DIR", &git).env("GIT_INDEX_FILE", git.join("index"));
        command.env("GIT_WORK_TREE", repo.root()).env("GIT_PREFIX", "");
        let ran = Ran::by(&mut command).expect_code(0);
        let top = ran.output_text("build", "script/01", "stdout");
        assert_eq!(top.trim_end(), ran.text("snapshot_path"));
        let env = ran.output_text("build", "script/03", "stdout");
        for name in ["GIT_DIR=", "GIT_INDEX_FILE=", "GIT_WORK_TREE=", "GIT_PREFIX="] {
            assert!(!env.lines().any(|line| line.starts_with(name)), "{name} reached the job");
        }
        assert_eq!(repo.git(["rev-parse", "HEAD"]), head, "the job committed to the repository");
        assert_eq!(repo.git(["status", "--porcelain"]), "");
    });
}

#[test]
fn runs_at_the_same_time_in_one_repository_do_not_disturb_each_other() {
    with_repo(|repo| {
        let entries = ["echo $LOOM_RUN_ID >mine", "sleep 0.5", "sleep 1000 &", "cat mine"];
        repo.workflow(&workflow([("build", entries.to_vec())])).commit("a");
        let start = || {
            let mut command = repo.process("loom-run");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..8).map(|_| start()).collect();
        let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
        let runs: Vec<Ran> = outputs.map(|o| Ran::from_output(&o).expect_code(0)).collect();
        for ran in &runs {
            let shown = ran.output_text("build", "script/04", "stdout");
            assert_eq!(shown.trim_end(), ran.text("run_id"));
            assert_eq!(ran.receipt["status"], "success");
            assert!(!ran.stderr.contains("killed run"), "{}", ran.stderr);
        }
        let ids: BTreeSet<&str> = runs.iter().map(|ran| ran.text("run_id")).collect();
        assert_eq!(ids.len(), runs.len());
    });
}

#[test]
fn run_inside_the_printed_workspace_reproduces_and_keeps_its_own_record() {
    with_repo(|repo| {
        repo.write("state", "dirty\n");
        repo.workflow(&workflow([("build", vec!["cat state; echo $CI_COMMIT_BRANCH", "exit 3"])]));
        repo.commit("a").write("state", "dirtier\n");
        let first = Ran::of(repo, &[]).expect_code(1);
        let mut command = repo.command("loom-run");
        let again = Ran::by(command.current_dir(first.workspace())).expect_code(1);
        for ran in [&first, &again] {
            assert_eq!(ran.output_text("build", "script/01", "stdout"), "dirtier\nmain\n");
        }
        let own = first.workspace().join(".loom/.runtime");
        assert!(again.logs().starts_with(&own), "{}", again.logs().display());
        assert_ne!(first.workspace(), again.workspace());
        // The second run's workspace is named by a document in the first one's workspace.
        fs::remove_dir_all(again.workspace()).unwrap();
    });
}

#[test]
fn workflow_saved_while_it_is_copied_is_compiled_again() {
    with_repo(|repo| {
        repo.workflow(&workflow([("build", vec!["echo old"])])).commit("a");
        // Stands before the real one: it changes the workflow, then does its work.
        let real = libloom_testkit::binaries().join("loom-snapshot");
        let other = workflow([("build", vec!["echo new"])]);
        repo.sandbox().install(&repo.sandbox().bin(), &["loom", "loom-run", "loom-compile"]);
        let body = format!(
            "cat >.loom/workflow.yml <<'END'\n{other}END\nexec '{}' \"$@\"",
            real.display()
        );
        repo.sandbox().script(&repo.sandbox().bin(), "loom-snapshot", &body);
        let run = repo.sandbox().bin().join("loom-run");
        let mut command = assert_cmd::Command::from_std(repo.program(run));
        let ran = Ran::by(&mut command).expect_code(0).expect_said(&["compiled again"]);
        assert_eq!(ran.output_text("build", "script/01", "stdout"), "new\n");
    });
}
