//! `loom-snapshot create`: what a snapshot holds, with git as the judge.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use libloom_testkit::{Leftovers, Repo, Sandbox, assert_same_list, big_repository, tree_list};
use predicates::prelude::*;
use predicates::str::contains;

/// Makes a snapshot and returns its path.
pub(crate) fn snapshot(repo: &Repo<'_>, arguments: &[&str]) -> PathBuf {
    let assert = repo.command("loom-snapshot").arg("create").args(arguments).assert().success();
    let path = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    PathBuf::from(path.strip_suffix('\n').expect("the path is a line"))
}

/// Makes a snapshot and compares it with the repository; returns its path.
pub(crate) fn same_snapshot(repo: &Repo<'_>) -> PathBuf {
    let expected = tree_list(repo.sandbox(), repo.root());
    let workspace = snapshot(repo, &[]);
    assert_same_list(&expected, &tree_list(repo.sandbox(), &workspace));
    workspace
}

/// What git prints in `folder`.
pub(crate) fn git_in(repo: &Repo<'_>, folder: &Path, arguments: &[&str]) -> String {
    let output = repo.program("git").current_dir(folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} failed in {}:\n{said}", folder.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every path below `folder` with type, mode, size, inode, time of modification and content, but
/// for the runtime directory.
pub(crate) fn bytes_on_disk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(above) = folders.pop() {
        for entry in fs::read_dir(above).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(folder).unwrap();
            if name == Path::new(".loom/.runtime") {
                continue;
            }
            let content = match (metadata.is_file(), metadata.is_symlink()) {
                (true, _) => fs::read(&path).unwrap(),
                (_, true) => fs::read_link(&path).unwrap().into_os_string().into_vec(),
                _ => Vec::new(),
            };
            // Nobody forges anything here: a quick hash is enough, many times over.
            let mut hash = DefaultHasher::new();
            hash.write(&content);
            let (time, inode) = ((metadata.mtime(), metadata.mtime_nsec()), metadata.ino());
            let stat = (metadata.mode(), metadata.len(), inode, time);
            // `.loom` may get its first entry; so its time may change.
            if name != Path::new(".loom") {
                found.push(format!("{name:?} {stat:?} {}", hash.finish()));
            }
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

fn mixed_repository(repo: &Repo<'_>) {
    repo.write("modified", "old\n").write("deleted", "x\n").write("renamed", "some text\n");
    repo.write("sub/kept", "kept\n").write("script.sh", "#!/bin/sh\n").mode("script.sh", 0o755);
    repo.write(".gitignore", "*.log\nbuild/\n");
    repo.symlink("modified", "link").symlink("/nowhere/at/all", "dangling");
    repo.commit("first\n\nbody");
    repo.write("modified", "new\n").remove("deleted").write("added", "added\n");
    repo.git(["add", "added"]);
    repo.git(["mv", "renamed", "sub/renamed"]);
    repo.write("untracked", "u\n").write("ignored.log", "secret\n").write("build/out", "o\n");
}

#[test]
fn the_documented_table_holds() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    mixed_repository(&repo);
    let workspace = same_snapshot(&repo);
    let read = |name: &str| fs::read_to_string(workspace.join(name)).ok();
    assert_eq!(read("modified").as_deref(), Some("new\n"), "modified tracked files");
    assert_eq!(read("added").as_deref(), Some("added\n"), "added files");
    assert_eq!(read("sub/renamed").as_deref(), Some("some text\n"), "renamed files");
    assert_eq!((read("renamed"), read("deleted")), (None, None), "deleted files");
    assert_eq!(read("untracked").as_deref(), Some("u\n"), "untracked files");
    assert_eq!((read("ignored.log"), read("build/out")), (None, None), "ignored files");
    assert_eq!(fs::read_link(workspace.join("link")).unwrap(), Path::new("modified"));
    assert_eq!(fs::read_link(workspace.join("dangling")).unwrap(), Path::new("/nowhere/at/all"));
    let head = repo.git(["rev-parse", "HEAD"]);
    assert_eq!(fs::read_to_string(workspace.join(".git/HEAD")).unwrap(), head, "detached HEAD");
}

#[test]
fn workspace_is_private_and_named_as_documented() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    let workspace = snapshot(&repo, &["--run-id", "loom-run-local-17"]);
    assert_eq!(workspace.parent(), Some(sandbox.temp().as_path()));
    let name = workspace.file_name().unwrap().to_str().unwrap();
    let random = name.strip_prefix("loom-run-local-17-").unwrap();
    assert!(random.parse::<u32>().is_ok(), "{name}");
    assert_eq!(fs::metadata(&workspace).unwrap().permissions().mode() & 0o777, 0o700);
    let alone = snapshot(&repo, &[]);
    assert!(alone.file_name().unwrap().to_str().unwrap().starts_with("loom-snapshot-"));
}

#[test]
fn logs_and_receipt_of_a_run_are_links_into_the_repository() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    let workspace = snapshot(&repo, &["--run-id", "loom-run-local-17"]);
    let link = |path: &str| fs::read_link(workspace.join(".loom/.runtime").join(path)).unwrap();
    assert_eq!(link("logs/loom-run-local-17"), repo.runtime().join("logs/loom-run-local-17"));
    let receipt = "receipts/loom-run-local-17.json";
    assert_eq!(link(receipt), repo.runtime().join(receipt));
    assert_eq!(git_in(&repo, &workspace, &["status", "--porcelain"]), "");
}

#[test]
fn a_symlink_at_loom_is_not_followed_out_of_the_workspace() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    repo.symlink(&outside, ".loom").commit("hostile");
    let mut command = repo.command("loom-snapshot");
    command.args(["create", "--run-id", "r"]).assert().code(3).stderr(contains(".loom/.runtime"));
    assert_eq!(fs::read_dir(sandbox.temp()).unwrap().count(), 0);
}

#[test]
fn source_is_byte_identical_afterwards() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    mixed_repository(&repo);
    repo.write(".loom/workflow.yml", "version: v1\n");
    let before = bytes_on_disk(repo.root());
    assert!(before.len() > 50, "the listing works");
    snapshot(&repo, &["--run-id", "r"]);
    assert_eq!(before, bytes_on_disk(repo.root()));
}

#[test]
fn a_large_repository_in_all_states_is_the_same() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    big_repository(&repo, 20_000);
    let expected = tree_list(&sandbox, repo.root());
    let workspace = snapshot(&repo, &[]);
    // Before any other git command: the index as it was written must already know what is clean.
    assert_only_changed_files_look_changed(&repo, &workspace);
    let found = tree_list(&sandbox, &workspace);
    assert_same_list(&expected, &found);
    assert!(found.len() > 60_000, "{} records", found.len());
    git_in(&repo, &workspace, &["fsck", "--no-dangling"]);

    let path = workspace.join("part-7/unit-799/file-19999.txt");
    let mut content = fs::read(&path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, &content).unwrap();
    assert_ne!(expected, tree_list(&sandbox, &workspace), "one byte must show");
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, &content).unwrap();
    assert_eq!(expected, tree_list(&sandbox, &workspace));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(expected, tree_list(&sandbox, &workspace), "one mode must show");
}

/// `diff-files` reads no content: what it names is what git would have to read.
fn assert_only_changed_files_look_changed(repo: &Repo<'_>, workspace: &Path) {
    let names = |text: String| text.split('\0').map(String::from).collect::<BTreeSet<_>>();
    let looks = names(git_in(repo, workspace, &["diff-files", "--name-only", "-z"]));
    let is = names(git_in(repo, workspace, &["diff", "--name-only", "-z"]));
    let surplus: Vec<_> = looks.difference(&is).collect();
    // Files staged just before the snapshot are racy in the source's index: git would read them
    // there too.
    assert!(surplus.len() <= 200, "{} unchanged files look changed", surplus.len());
}

#[test]
#[cfg_attr(not(has_strace), ignore = "strace is not installed")]
fn first_status_opens_no_unchanged_file() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    big_repository(&repo, 4_000);
    let workspace = snapshot(&repo, &[]);
    let trace = sandbox.root().join("trace");
    let status = repo
        .program("strace")
        .args(["-f", "-qq", "-e", "trace=open,openat", "-o"])
        .arg(&trace)
        .args(["git", "status", "--porcelain"])
        .current_dir(&workspace)
        .output();
    let status = status.expect("strace is installed");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains(".git/index"), "the trace works");
    let changed = String::from_utf8_lossy(&status.stdout).into_owned();
    let opened = trace.lines().filter_map(|line| {
        let name = line.split('"').nth(1)?;
        name.contains("file-").then(|| name.to_owned())
    });
    let unchanged: Vec<_> =
        opened.filter(|name| !changed.contains(name.trim_end_matches("renamed"))).collect();
    assert!(unchanged.is_empty(), "{unchanged:?}");
}

#[test]
fn refs_and_history_work_in_the_snapshot() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "1").commit("one");
    repo.git(["tag", "-m", "annotated", "v1"]);
    repo.git(["branch", "other"]);
    repo.git(["pack-refs", "--all"]);
    repo.write("a", "2").commit("two");
    repo.git(["update-ref", "refs/remotes/origin/main", "HEAD"]);
    repo.git(["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    repo.write("a", "3");
    repo.git(["stash", "--quiet"]);
    let workspace = same_snapshot(&repo);
    for arguments in [
        &["describe"][..],
        &["for-each-ref", "refs/heads", "refs/tags", "refs/remotes"],
        &["log", "--branches", "--tags", "--remotes", "--format=%H %s"],
        &["rev-parse", "HEAD", "v1^{}", "origin/HEAD"],
    ] {
        assert_eq!(git_in(&repo, &workspace, arguments), git_in(&repo, repo.root(), arguments));
    }
    let names = git_in(&repo, &workspace, &["for-each-ref", "--format=%(refname)"]);
    // A name of this kind is one that git is asked about.
    repo.git(["branch", "ö"]);
    let again = same_snapshot(&repo);
    let more = git_in(&repo, &again, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(more.lines().count(), names.lines().count() + 1, "{more}");
    git_in(&repo, &workspace, &["fsck", "--strict"]);
    assert!(!workspace.join(".git/logs").exists() && !workspace.join(".git/hooks").exists());
}

#[test]
fn snapshot_survives_the_source() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "1").commit("one");
    repo.write("a", "2").commit("two");
    repo.git(["gc", "--quiet"]);
    let workspace = snapshot(&repo, &[]);
    fs::remove_dir_all(repo.path(".git/objects")).unwrap();
    git_in(&repo, &workspace, &["fsck", "--strict"]);
    assert_eq!(git_in(&repo, &workspace, &["show", "HEAD~1:a"]), "1");
    sandbox.allow(Leftovers::AnyFile);
}

#[test]
fn ignored_files_come_only_when_asked_for_and_untracked_ones_unless_refused() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    mixed_repository(&repo);
    let workspace = snapshot(&repo, &["--no-untracked", "--include-ignored", "build"]);
    let has = |name: &str| workspace.join(name).exists();
    assert_eq!([has("build/out"), has("ignored.log"), has("untracked")], [true, false, false]);
}

#[test]
fn dest_is_where_it_comes_to_lie() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    let there = sandbox.root().join("there");
    let arguments = ["--dest", there.to_str().unwrap()];
    assert_eq!(snapshot(&repo, &arguments), there);
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "a");
    let mut again = repo.command("loom-snapshot");
    again.arg("create").args(arguments).assert().code(3).stderr(contains("not an empty folder"));
    // What a killed command left at the same name does not stand in the way.
    fs::create_dir(sandbox.root().join(".other.loom-partial")).unwrap();
    snapshot(&repo, &["--dest", sandbox.root().join("other").to_str().unwrap()]);
    assert!(!sandbox.root().join(".other.loom-partial").exists());
    let mut inside = repo.command("loom-snapshot");
    inside.args(["create", "--dest", "x"]).assert().code(3).stderr(contains("hold itself"));
}

#[test]
fn loom_snapshot_dir_is_made_and_used() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    let place = sandbox.root().join("deep/place");
    let mut command = repo.command("loom-snapshot");
    let path = place.to_str().unwrap().to_owned();
    command
        .env("LOOM_SNAPSHOT_DIR", &place)
        .arg("create")
        .assert()
        .success()
        .stdout(contains(path));
}

#[test]
fn events_are_facts_and_progress_then_the_record() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("first line\n\nbody");
    repo.git(["tag", "v2"]);
    let assert = repo.command("loom-snapshot").args(["create", "--events"]).assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: Vec<_> = lines.iter().filter(|line| line["kind"] != "progress").collect();
    let [first, last] = told[..] else { panic!("{told:#?}") };
    assert_eq!(first["kind"], "facts");
    assert_eq!(first["facts"]["branch"], "main");
    assert_eq!(first["facts"]["tag"], "v2");
    assert_eq!(first["facts"]["head_title"], "first line");
    assert_eq!(last["kind"], "loom-snapshot");
    assert_eq!(last["facts"], first["facts"]);
    let path = Path::new(last["path"].as_str().unwrap());
    let inside = fs::read_to_string(path.join(".git/loom-snapshot.json")).unwrap();
    assert_eq!(&serde_json::from_str::<serde_json::Value>(&inside).unwrap(), last);
    let id = last["id"].as_str().unwrap();
    let recorded = fs::read_to_string(repo.runtime().join(format!("snapshots/{id}.json"))).unwrap();
    assert_eq!(recorded, inside);
}

#[test]
fn events_end_in_an_error_record_that_says_why() {
    let sandbox = Sandbox::new();
    let assert = sandbox.command("loom-snapshot").args(["create", "--events"]).assert().code(3);
    let line: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!((line["kind"].as_str(), line["exit_code"].as_i64()), (Some("error"), Some(3)));
    assert!(line["message"].as_str().unwrap().contains("not a git repository"));
}

#[test]
fn a_snapshot_of_a_snapshot_keeps_branch_and_tag() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    repo.git(["checkout", "--quiet", "-b", "topic"]);
    let workspace = snapshot(&repo, &[]);
    let facts = |folder: &Path| {
        let mut command = repo.command("loom-snapshot");
        let assert = command.current_dir(folder).args(["facts", "--json"]).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    assert!(facts(repo.root()).contains("\"branch\":\"topic\""));
    assert_eq!(facts(&workspace), facts(repo.root()));
    git_in(
        &repo,
        &workspace,
        &["-c", "user.name=x", "-c", "user.email=x@y", "commit", "--allow-empty", "-qm", "new"],
    );
    assert!(!facts(&workspace).contains("\"branch\""), "another commit is not the branch's");
}

#[test]
fn no_repository_and_a_bare_one_are_errors_in_words() {
    let sandbox = Sandbox::new();
    let create = |folder: &Path| {
        let mut command = sandbox.command("loom-snapshot");
        command.current_dir(folder).arg("create").assert().code(3).stdout("")
    };
    create(sandbox.root()).stderr(contains("not a git repository").and(contains("hint:")));
    let repo = sandbox.repo();
    repo.git(["init", "--quiet", "--bare", "../bare"]);
    create(&sandbox.root().join("bare")).stderr(contains("bare repository").and(contains("hint:")));
    create(&repo.path(".git")).stderr(contains("is not in the work tree of its repository"));
}

#[test]
fn changed_paths_are_those_since_the_default_branch_was_left() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("same", "s").write("sub/dirty", "d").write("gone", "g").commit("base");
    let base = repo.git(["rev-parse", "HEAD"]);
    repo.git(["checkout", "--quiet", "-b", "topic"]);
    repo.write("committed", "c").commit("topic");
    repo.write("sub/dirty", "changed").remove("gone").write("new", "n").write("same", "s");
    let before = bytes_on_disk(repo.root());
    let facts = |arguments: &[&str]| -> serde_json::Value {
        let assert = repo.command("loom-snapshot").args(arguments).assert().success();
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    };
    let names = |facts: &serde_json::Value| -> Vec<String> {
        let paths = facts["changed"].as_array().unwrap().iter();
        paths.map(|path| path["path"].as_str().unwrap().to_owned()).collect()
    };
    let there = facts(&["facts", "--json", "--changed"]);
    assert_eq!(names(&there), ["committed", "gone", "new", "sub/dirty"]);
    assert_eq!(there["base_sha"].as_str(), Some(base.trim()));
    assert_eq!(before, bytes_on_disk(repo.root()), "asking changes nothing");
    let record = facts(&["create", "--json", "--changed"]);
    assert_eq!(record["facts"], there);
    let head = facts(&["facts", "--json", "--changes-base", "HEAD"]);
    assert_eq!(names(&head), ["gone", "new", "sub/dirty"]);
    assert!(facts(&["facts", "--json"]).get("changed").is_none());
    let mut wrong = repo.command("loom-snapshot");
    wrong.args(["facts", "--changes-base", "nope"]).assert().code(3).stderr(contains("`nope`"));
}
