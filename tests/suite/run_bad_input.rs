//! Input that cannot be run: every error says what is wrong and how to mend it, has the exit code
//! of its kind, and nothing is left behind.
//!
//! What needs a full or read-only file system is mounted in namespaces of its own, for which no
//! rights are needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use assert_cmd::Command;
use libloom_testkit::{Leftovers, Repo, Sandbox};
use serde_json::Value;

use crate::ran::{Ran, document, workflow};

/// A repository with a job that would run; nothing may be left in the temp folder.
fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::Nothing);
    let repo = sandbox.repo();
    repo.workflow(&workflow([("build", vec!["echo never"])])).write("a", "a\n").commit("a");
    test(&repo);
}

impl Ran {
    /// Fails unless the run ended with `code` and an error that holds `words` and a hint, and
    /// named no job.
    #[track_caller]
    fn expect_error(self, code: i32, words: &[&str]) -> Self {
        let ran = self.expect_code(code).expect_said(words).expect_said(&["hint: "]);
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("job `build`"), "{}", ran.stderr);
        ran
    }

    /// Fails unless receipt and logs say the same error.
    #[track_caller]
    fn expect_record(self, reason: &str) -> Self {
        let found = [&self.receipt["status"], &self.receipt["reason"]];
        assert_eq!(found, ["failure", reason], "{:#}", self.receipt);
        assert_eq!(self.receipt["exit_code"], self.code.unwrap());
        assert!(self.receipt["pipeline_manifest_path"].is_null());
        assert_eq!(self.document("summary.json")["reason"], reason);
        let error = self.text("error").lines().next().unwrap().to_owned();
        assert!(self.stderr.contains(&format!("error: {error}")), "{}", self.stderr);
        let events = self.events("events.jsonl");
        assert!(events.iter().any(|event| event["event"] == "error"));
        self
    }
}

#[test]
fn outside_of_a_git_repository() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::Nothing);
    let folder = sandbox.root().join("plain");
    fs::create_dir(&folder).unwrap();
    let ran = Ran::by(sandbox.command("loom-run").current_dir(&folder));
    let ran = ran.expect_error(3, &["not a git repository", "git init"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is written there");
}

#[test]
fn no_workflow() {
    with_repo(|repo| {
        repo.remove(".loom/workflow.yml");
        let ran = Ran::of(repo, &[]);
        ran.expect_error(3, &[".loom/workflow.yml"]);
        let ran = Ran::of(repo, &["--workflow", "ci/none.yml"]);
        ran.expect_error(3, &["ci/none.yml"]);
    });
}

#[test]
fn invalid_yaml() {
    with_repo(|repo| {
        repo.workflow("version: v1\nstages: [ci\nbuild: {}\n");
        let ran = Ran::of(repo, &[]).expect_code(1);
        let ran = ran.expect_said(&["error[", " --> .loom/workflow.yml:", "workflow is invalid"]);
        ran.expect_record("workflow_invalid");
    });
}

#[test]
fn invalid_workflow_shows_all_diagnostics_and_leaves_receipt_and_logs() {
    with_repo(|repo| {
        repo.workflow(
            "version: v1\nstages: [ci]\nbuild:\n  stage: ci\n  scrip: [a]\n  script: [b]\n\
             test:\n  stage: cii\n  script: oops\n",
        );
        let ran = Ran::of(repo, &[]).expect_code(1).expect_said(&[
            ".loom/workflow.yml:5:",
            "scrip",
            ".loom/workflow.yml:8:",
            "cii",
            ".loom/workflow.yml:9:",
            "expected sequence for \"script\", got string",
        ]);
        let ran = ran.expect_record("workflow_invalid");
        assert!(ran.logs().is_dir());
        let errors: Vec<Value> = ran.events("events.jsonl");
        let pointers = errors.iter().filter(|event| event["event"] == "error");
        let pointers: Vec<_> = pointers.map(|event| event["data"]["pointer"].clone()).collect();
        assert_eq!(pointers, ["/build/scrip", "/test/stage", "/test/script"]);
    });
}

#[test]
fn workflow_that_cannot_be_read() {
    with_repo(|repo| {
        repo.remove(".loom/workflow.yml");
        fs::create_dir(repo.path(".loom/workflow.yml")).unwrap();
        Ran::of(repo, &[]).expect_error(3, &[".loom/workflow.yml", "is not a file"]);
    });
}

#[test]
fn workflow_that_may_not_be_read() {
    with_repo(|repo| {
        repo.mode(".loom/workflow.yml", 0o000);
        let mut command = match fs::read(repo.path(".loom/workflow.yml")) {
            Err(_) => repo.command("loom-run"),
            // Only root reads such a file.
            Ok(_) => as_nobody(repo),
        };
        let ran = Ran::by(&mut command);
        ran.expect_error(3, &[".loom/workflow.yml", "Permission denied", "chmod"]);
    });
}

/// `loom-run` by a user without rights, to whom the sandbox belongs.
fn as_nobody(repo: &Repo<'_>) -> Command {
    let root = repo.sandbox().root();
    let installed = root.join("installed");
    repo.sandbox().install(&installed, &["loom-run", "loom-compile", "loom-snapshot"]);
    let owner = std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(root).status();
    assert!(owner.unwrap().success());
    let mut command = repo.program("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(installed.join("loom-run"));
    Command::from_std(command)
}

#[test]
fn workflow_outside_of_the_repository() {
    with_repo(|repo| {
        let outside = repo.sandbox().root().join("outside.yml");
        fs::write(&outside, workflow([("build", vec!["echo never"])])).unwrap();
        for path in ["../outside.yml", outside.to_str().unwrap()] {
            let ran = Ran::of(repo, &["--workflow", path]);
            ran.expect_error(3, &["outside.yml", "outside the repository"]);
        }
    });
}

#[test]
fn no_shell_in_path() {
    with_repo(|repo| {
        // What Loom itself needs, and no `sh`.
        symlink("/usr/bin/git", repo.sandbox().bin().join("git")).unwrap();
        let path = [repo.sandbox().bin(), libloom_testkit::binaries().to_owned()];
        let mut command = repo.command("loom-run");
        command.env("PATH", std::env::join_paths(path).unwrap());
        let ran = Ran::by(&mut command).expect_error(3, &["shell \"sh\" not found in PATH"]);
        ran.expect_record("provider_unavailable");
    });
}

#[test]
fn no_git_in_path() {
    with_repo(|repo| {
        symlink("/bin/sh", repo.sandbox().bin().join("sh")).unwrap();
        let path = [repo.sandbox().bin(), libloom_testkit::binaries().to_owned()];
        let mut command = repo.command("loom-run");
        command.env("PATH", std::env::join_paths(path).unwrap());
        Ran::by(&mut command).expect_error(3, &["git"]).expect_record("snapshot_failed");
    });
}

#[test]
fn temp_folder_that_is_missing() {
    with_repo(|repo| {
        let ran = Ran::by(repo.command("loom-run").env("TMPDIR", "/does/not/exist"));
        let ran = ran.expect_error(3, &["/does/not/exist", "LOOM_SNAPSHOT_DIR"]);
        ran.expect_record("snapshot_failed");
    });
}

/// `loom-run` in a mount namespace in which `mount` (in `sh`) was done before.
fn mounted(repo: &Repo<'_>, mount: &str) -> Command {
    let mut command = repo.program("unshare");
    let run = libloom_testkit::binaries().join("loom-run");
    // Not `exec` alone: a mount that fails must not look like an error of Loom.
    let script = format!("{mount} || exit 99; exec '{}'", run.display());
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    Command::from_std(command)
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn place_for_workspaces_that_is_full() {
    with_repo(|repo| {
        repo.write("large", vec![b'x'; 1 << 20]).commit("large");
        let full = repo.sandbox().root().join("full");
        fs::create_dir(&full).unwrap();
        let mount = format!("mount -t tmpfs -o size=256k tmpfs '{}'", full.display());
        let keep = format!("{mount} && trap 'ls -A {0} >left' EXIT", full.display());
        let mut command = mounted(repo, &mount);
        let ran = Ran::by(command.env("LOOM_SNAPSHOT_DIR", &full));
        let ran = ran.expect_error(3, &["No space left on device", "LOOM_SNAPSHOT_DIR"]);
        ran.expect_record("snapshot_failed");

        // Once more, without `exec`, to see what is left in the folder that goes with the mount.
        let run = libloom_testkit::binaries().join("loom-run");
        let mut command = mounted(repo, &format!("{keep}; '{}'; exit", run.display()));
        Ran::by(command.env("LOOM_SNAPSHOT_DIR", &full)).expect_code(3);
        assert_eq!(fs::read_to_string(repo.path("left")).unwrap(), "", "left in the full folder");
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn temp_folder_that_is_full_is_passed_by() {
    with_repo(|repo| {
        repo.sandbox().allow(Leftovers::KnownWorkspaces);
        repo.write("large", vec![b'x'; 1 << 20]).commit("large");
        let mut command = mounted(repo, "mount -t tmpfs -o size=256k tmpfs \"$TMPDIR\"");
        let ran = Ran::by(&mut command).expect_code(0);
        let cache = repo.sandbox().home().join(".cache/loom/workspaces");
        assert!(ran.workspace().starts_with(&cache), "{}", ran.workspace().display());
        ran.expect_said(&["note: ", cache.to_str().unwrap()]);
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn temp_folder_that_is_read_only() {
    with_repo(|repo| {
        let mut command = mounted(repo, "mount -t tmpfs -o ro tmpfs \"$TMPDIR\"");
        let ran = Ran::by(&mut command);
        let temp = repo.sandbox().temp();
        let ran = ran.expect_error(3, &["Read-only file system", temp.to_str().unwrap()]);
        ran.expect_record("snapshot_failed");
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn read_only_repository_is_run_and_recorded_in_the_workspace() {
    with_repo(|repo| {
        repo.sandbox().allow(Leftovers::AnyFile);
        repo.workflow(&workflow([("build", vec!["echo hi", "exit 3"])])).commit("a");
        let read_only = "mount --bind . . && mount -o remount,bind,ro . && cd .";
        let script = format!("{read_only} && cd \"$PWD\" && ! touch b 2>/dev/null");
        let ran = Ran::by(&mut mounted(repo, &script)).expect_code(1);
        let runtime = ran.workspace().join(".loom/.runtime");
        let ran = ran.expect_said(&["the repository cannot be written", runtime.to_str().unwrap()]);
        assert!(ran.logs().starts_with(&runtime), "{}", ran.logs().display());
        assert_eq!(ran.output_text("build", "script/01", "stdout"), "hi\n");
        assert_eq!(ran.receipt["status"], "failure");
        assert!(!repo.runtime().exists());
        libloom_testkit::check_documents(&runtime);
    });
}

#[test]
fn runtime_directory_that_is_a_file() {
    with_repo(|repo| {
        repo.write(".loom/.runtime", "in the way\n");
        let ran = Ran::of(repo, &[]).expect_code(3);
        ran.expect_said(&["error: ", "/.loom/.runtime"]);
    });
}

#[test]
#[cfg_attr(not(can_mount), ignore = "nothing can be mounted here")]
fn disk_full_under_the_record_ends_the_run_in_words() {
    with_repo(|repo| {
        repo.sandbox().allow(Leftovers::AnyFile);
        let entry = "i=0; while [ $i -lt 3000 ]; do echo 'a line of output that fills the disk'; i=$((i+1)); done";
        repo.workflow(&workflow([("build", vec![entry])])).commit("a");
        fs::create_dir_all(repo.runtime()).unwrap();
        let mount = "mount -t tmpfs -o size=120k tmpfs .loom/.runtime";
        let ran = Ran::by(&mut mounted(repo, mount)).expect_code(3);
        let of_job = ran.stderr.lines().find(|line| line.starts_with("job `build` failure"));
        assert!(of_job.unwrap().contains("No space left on device"), "{}", ran.stderr);
        ran.expect_said(&[
            "error: cannot record the run",
            "caused by: ",
            "No space left on device",
        ]);
    });
}

#[test]
fn wrong_command_line() {
    with_repo(|repo| {
        for arguments in [&["--nonsense"][..], &["--jobs", "0"], &["--grace", "x"]] {
            let ran = Ran::of(repo, arguments).expect_code(2);
            assert_eq!(ran.stdout, "");
        }
        assert!(!repo.runtime().exists(), "nothing was begun");
    });
}

#[test]
fn sibling_command_that_is_missing() {
    with_repo(|repo| {
        let folder = repo.sandbox().root().join("installed");
        repo.sandbox().install(&folder, &["loom-run"]);
        let mut command = Command::from_std(repo.program(folder.join("loom-run")));
        command.env("PATH", "/usr/bin:/bin");
        Ran::by(&mut command).expect_error(3, &["loom-compile"]);
    });
}

#[test]
fn receipt_of_an_invalid_workflow_is_found_by_its_printed_path() {
    with_repo(|repo| {
        repo.workflow("version: v1\n");
        let ran = Ran::of(repo, &["-q"]).expect_code(1);
        let line = ran.stdout.lines().last().unwrap();
        let receipt = document(Path::new(line.strip_prefix("receipt: ").unwrap()));
        assert_eq!(receipt["status"], "failure");
    });
}
