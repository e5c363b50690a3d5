//! `loom-snapshot create --at`: a commit as git checks it out; and folders without files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libloom_testkit::{Repo, Sandbox, assert_same_list, tree_list};
use predicates::str::contains;
use serde_json::Value;

use crate::snapshot::{git_in, snapshot};

/// Makes a snapshot and returns its record.
fn record(repo: &Repo<'_>, arguments: &[&str]) -> Value {
    let arguments = [&["create", "--json"], arguments].concat();
    let assert = repo.command("loom-snapshot").args(arguments).assert().success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

/// A clone with `commit` checked out by git itself.
fn checked_out(repo: &Repo<'_>, name: &str, commit: &str) -> PathBuf {
    let clone = repo.sandbox().root().join(name);
    let root = repo.root().to_str().unwrap();
    git_in(repo, repo.sandbox().root(), &["clone", "--quiet", "--no-checkout", root, name]);
    git_in(repo, &clone, &["checkout", "--quiet", "--detach", commit]);
    clone
}

#[test]
fn a_commit_is_as_git_checks_it_out_and_no_program_runs() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let marker = sandbox.root().join("ran");
    repo.write("text", "a\nb\n").write("plain.bin", "x\ny\n").write("wide.w", "w\n");
    repo.write(
        ".gitattributes",
        "text eol=crlf\n*.w working-tree-encoding=UTF-16LE-BOM\n*.big filter=lfs\nid ident\n",
    );
    repo.write("id", "$Id$\n").write("run.sh", "#!/bin/sh\n").mode("run.sh", 0o755);
    repo.symlink("text", "link").write("a.big", "pointer\n").write("deep/b.big", "pointer\n");
    repo.commit("one");
    repo.git(["tag", "-m", "annotated", "v1"]);
    repo.git(["checkout", "--quiet", "-b", "topic"]);
    repo.write("text", "changed\n").remove("id").write("new", "n\n").commit("two");
    let clone = checked_out(&repo, "clone", "v1");
    // Whatever runs a program on its own, in the repository and in the user's settings.
    let program = sandbox.root().join("program");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", marker.display())).unwrap();
    Command::new("chmod").arg("+x").arg(&program).status().unwrap();
    let program = program.to_str().unwrap();
    for setting in
        ["filter.lfs.smudge", "filter.lfs.process", "core.fsmonitor", "filter.a=b.smudge"]
    {
        repo.git(["config", setting, program]);
    }
    repo.git(["config", "filter.lfs.required", "true"]);
    repo.git(["config", "--global", "core.hooksPath", repo.path(".git/hooks").to_str().unwrap()]);
    for hook in ["post-checkout", "post-index-change", "reference-transaction", "post-merge"] {
        repo.symlink(program, Path::new(".git/hooks").join(hook));
    }
    repo.write("text", "dirty\n").write("untracked", "u\n");
    let before = tree_list(&sandbox, &clone);

    let made = record(&repo, &["--at", "v1", "--changed"]);
    assert!(!marker.exists(), "a configured program ran");
    for setting in ["core.fsmonitor", "filter.lfs.process", "filter.lfs.smudge"] {
        repo.git(["config", "--unset", setting]);
    }
    repo.git(["config", "--global", "--unset", "core.hooksPath"]);
    let workspace = PathBuf::from(made["path"].as_str().unwrap());
    for folder in [&clone, &workspace] {
        git_in(&repo, folder, &["config", "filter.lfs.required", "false"]);
    }
    assert_same_list(&before, &tree_list(&sandbox, &workspace));
    assert_eq!(git_in(&repo, &workspace, &["status", "--porcelain", "--ignored"]), "");
    let head = repo.git(["rev-parse", "v1^{commit}"]);
    assert_eq!(fs::read_to_string(workspace.join(".git/HEAD")).unwrap(), head, "detached");
    assert_eq!(fs::read(workspace.join("text")).unwrap(), b"a\r\nb\r\n");
    let facts = &made["facts"];
    assert_eq!(facts["head_sha"], head.trim());
    assert_eq!((&facts["tag"], &facts["head_title"]), (&"v1".into(), &"one".into()));
    assert_eq!((&made["rev"], &made["methods"]["files"]), (&"v1".into(), &"checkout".into()));
    assert_eq!(facts["changed"], Value::Array(Vec::new()), "`main` is where it was left");
    let notes = made["notes"].to_string();
    assert!(notes.contains("`a.big` and 1 more") && notes.contains("`lfs`"), "{notes}");

    let topic = record(&repo, &["--at", "topic", "--changed"]);
    assert_eq!(topic["facts"]["branch"], "topic");
    let changed: Vec<_> =
        topic["facts"]["changed"].as_array().unwrap().iter().map(|path| &path["path"]).collect();
    assert_eq!(changed, ["id", "new", "text"], "dirty files of the work tree are not in it");
}

#[test]
fn submodules_are_filled_where_their_commit_is_at_hand() {
    let sandbox = Sandbox::new();
    let (repo, inner) = (sandbox.repo(), sandbox.root().join("inner"));
    git_in(&repo, sandbox.root(), &["init", "--quiet", "inner"]);
    fs::write(inner.join("file"), "one\n").unwrap();
    let commit = ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qam"];
    git_in(&repo, &inner, &["add", "."]);
    git_in(&repo, &inner, &[&commit[..], &["one"]].concat());
    let path = inner.to_str().unwrap();
    git_in(
        &repo,
        repo.root(),
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", path, "sub/module"],
    );
    repo.commit("with a submodule");
    fs::write(repo.path("sub/module/file"), "dirty\n").unwrap();
    let workspace = snapshot(&repo, &["--at", "HEAD"]);
    assert_eq!(fs::read_to_string(workspace.join("sub/module/file")).unwrap(), "one\n");
    assert_eq!(git_in(&repo, &workspace, &["status", "--porcelain"]), "");
    let status = git_in(&repo, &workspace, &["submodule", "status"]);
    assert!(status.starts_with(' '), "{status}");
}

#[test]
fn a_revision_that_is_none_and_options_that_mean_nothing_are_refused() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    for rev in ["nope", "HEAD:a", "--all", ""] {
        let mut command = repo.command("loom-snapshot");
        let assert = command.arg("create").arg(format!("--at={rev}")).assert();
        assert.code(3).stdout("").stderr(contains(format!("`{rev}` names no commit")));
    }
    let mut command = repo.command("loom-snapshot");
    command.args(["create", "--at", "HEAD", "--no-untracked"]).assert().code(2);
    assert_eq!(fs::read_dir(sandbox.temp()).unwrap().count(), 0);
}

/// Folders below `folder`, but for those of git and of Loom.
fn folders(folder: &Path) -> BTreeSet<String> {
    let find =
        "find . -mindepth 1 -type d -not -path '*/.git*' -not -path './.loom*' -printf '%P %m\n'";
    let output = Command::new("sh").args(["-c", find]).current_dir(folder).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

#[test]
fn folders_without_files_are_kept_but_for_ignored_ones() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write(".gitignore", "*.log\n/out/\nnode_modules/\n").write("a/b/file", "f");
    repo.write("emptied/file", "f").commit("one").remove("emptied/file");
    for folder in ["empty/deep/er", "a/empty", "a/b/c/empty", "untracked/empty", "emptied"] {
        fs::create_dir_all(repo.path(folder)).unwrap();
    }
    repo.mode("empty/deep", 0o750).write("untracked/file", "u").write("logs/x.log", "l");
    let kept = folders(repo.root());
    for ignored in ["out/empty", "a/node_modules/x/empty"] {
        fs::create_dir_all(repo.path(ignored)).unwrap();
    }
    assert_eq!(folders(&snapshot(&repo, &[])), kept);
    let tracked = folders(&snapshot(&repo, &["--no-untracked"]));
    assert_eq!(
        tracked.iter().map(|f| f.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["a", "a/b", "emptied"]
    );
}
