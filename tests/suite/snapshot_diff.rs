//! `loom-snapshot diff` and `apply`, with git as the judge.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use libloom_contract::snapshot_diff::SnapshotDiff;
use libloom_testkit::{Repo, Sandbox, assert_same_list, tree_list};
use predicates::prelude::*;
use predicates::str::contains;

use crate::snapshot::{git_in, snapshot};

fn run(repo: &Repo<'_>, arguments: &[&str]) -> assert_cmd::assert::Assert {
    repo.command("loom-snapshot").args(arguments).assert()
}

fn out(repo: &Repo<'_>, arguments: &[&str]) -> String {
    String::from_utf8(run(repo, arguments).success().get_output().stdout.clone()).unwrap()
}

fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("line {number}\n")).collect()
}

/// A repository with tracked, dirty and untracked files, and a snapshot of it in which a job
/// changed something of every kind.
fn changed_by_a_job(repo: &Repo<'_>) -> PathBuf {
    repo.write(".gitignore", "*.o\n/build/\n").write("text", lines(30)).write("gone", "g\n");
    repo.write("script", "#!/bin/sh\n").write("bin", b"\0\x01\x02").write("folder/file", "f\n");
    repo.write("touched", "same\n").write("to-link", "t\n").symlink("text", "link");
    repo.write("d\u{fc}n \"q\"\n", "odd\n").commit("one");
    repo.write("text", format!("dirty\n{}", lines(30))).write("untracked", "u\n");
    let workspace = snapshot(repo, &[]);
    let write = |path: &str, text: &[u8]| {
        let path = workspace.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("text", format!("dirty\n{}", lines(30).replace("line 3\n", "three\n")).as_bytes());
    write("bin", b"\0\x01\x03\xff");
    write("new/deep", b"n\n");
    write("untracked", b"u\nmore\n");
    write("d\u{fc}n \"q\"\n", b"odder\n");
    write("touched", b"same\n");
    write("build/out.o", b"output");
    fs::remove_file(workspace.join("gone")).unwrap();
    fs::remove_dir_all(workspace.join("folder")).unwrap();
    write("folder", b"a file now\n");
    fs::remove_file(workspace.join("to-link")).unwrap();
    symlink("text", workspace.join("to-link")).unwrap();
    fs::set_permissions(workspace.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    workspace
}

#[test]
fn what_a_job_changed_is_told_in_every_form() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let workspace = changed_by_a_job(&repo);
    let status = out(&repo, &["diff", "latest", "--name-status"]);
    let expected = [
        "M\tbin",
        "M\t\"d\\303\\274n \\\"q\\\"\\012\"",
        "A\tfolder",
        "D\tfolder/file",
        "D\tgone",
        "A\tnew/deep",
        "M\tscript",
        "M\ttext",
        "T\tto-link",
        "M\tuntracked",
    ];
    assert_eq!(status.lines().collect::<Vec<_>>(), expected);
    let names = out(&repo, &["diff", "latest", "--name-only", "-z", "--include-ignored"]);
    assert!(names.contains("\0d\u{fc}n \"q\"\n\0") && names.contains("build/out.o\0"), "{names:?}");
    assert_eq!(
        out(&repo, &["diff", "latest", "--name-only", "folder", "new"]),
        "folder\nfolder/file\nnew/deep\n"
    );

    let list = out(&repo, &["diff", "latest"]);
    assert!(
        list.contains("10 paths changed in the snapshot") && list.contains("mode 100644 -> 100755"),
        "{list}"
    );
    let stat = out(&repo, &["diff", "latest", "--stat"]);
    assert!(stat.contains("10 files changed") && stat.contains("3 -> 4 bytes"), "{stat}");
    run(&repo, &["diff", "latest", "--exit-code", "--stat"]).code(1);

    let document: SnapshotDiff =
        serde_json::from_str(&out(&repo, &["diff", "latest", "--json"])).unwrap();
    let find =
        |path: &str| document.changed.iter().find(|change| change.path.path == path).unwrap();
    assert_eq!((find("text").added_lines, find("text").deleted_lines), (Some(1), Some(1)));
    assert!(find("bin").is_binary && !find("text").is_binary && find("text").is_old_kept);
    assert_eq!(find("script").new_mode.as_deref(), Some("100755"));
    assert_eq!((document.changed.len(), document.differs.len()), (10, 10));

    // The patch makes of the repository, which is still as it was, what the snapshot is.
    let patch = out(&repo, &["diff", "latest", "--patch"]);
    let file = sandbox.root().join("patch");
    fs::write(&file, patch).unwrap();
    git_in(&repo, repo.root(), &["apply", "--whitespace=nowarn", file.to_str().unwrap()]);
    assert_same_list(&tree_list(&sandbox, &workspace), &tree_list(&sandbox, repo.root()));
    let same = contains("\n0 paths differ between the repository now and the snapshot\n");
    run(&repo, &["diff", "latest", "--exit-code"]).code(1).stdout(same);
    run(&repo, &["diff", "latest", "--exit-code", "--repository"]).code(0);
}

#[test]
fn the_repository_as_it_is_now_is_compared_too() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a\n").write("b", "b\n").write("c", "c\n").commit("one");
    snapshot(&repo, &[]);
    run(&repo, &["diff", "latest", "--exit-code"]).code(0);
    repo.write("a", "A\n").remove("b").write("mine", "m\n").write("c", "c\n");
    let status = out(&repo, &["diff", "latest", "--repository", "--name-status"]);
    assert_eq!(status, "M\ta\nA\tb\nD\tmine\n");
    assert_eq!(out(&repo, &["diff", "latest", "--name-only"]), "");
    assert!(out(&repo, &["diff", "latest", "--repository", "-p", "a"]).contains("-A\n+a\n"));
    run(&repo, &["diff", "latest", "../outside"])
        .code(2)
        .stderr(contains("outside the repository"));
}

#[test]
fn apply_brings_everything_back_and_merges_what_the_user_changed_elsewhere() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let workspace = changed_by_a_job(&repo);
    let index = fs::read(repo.path(".git/index")).unwrap();
    // A text that was clean is merged; `text` was dirty, so what it was is gone once it changes.
    let before = tree_list(&sandbox, repo.root());
    run(&repo, &["apply", "latest", "--check"]).success().stdout("");
    let listed = out(&repo, &["apply", "latest", "--dry-run"]);
    assert_eq!(listed.lines().count(), 10, "{listed}");
    assert_eq!(before, tree_list(&sandbox, repo.root()), "nothing was written yet");
    let patch = out(&repo, &["apply", "latest", "--patch"]);

    let copy = sandbox.root().join("copy");
    let cp = repo.program("cp").arg("-a").arg(repo.root()).arg(&copy).status().unwrap();
    assert!(cp.success());
    fs::write(sandbox.root().join("patch"), patch).unwrap();
    git_in(&repo, &copy, &["apply", "--whitespace=nowarn", "../patch"]);

    assert_eq!(out(&repo, &["apply", "latest"]), listed);
    assert_same_list(&tree_list(&sandbox, &copy), &tree_list(&sandbox, repo.root()));
    assert_same_list(&tree_list(&sandbox, &workspace), &tree_list(&sandbox, repo.root()));
    assert_eq!(fs::read(repo.path(".git/index")).unwrap(), index, "the index is the user's");
    assert_eq!(out(&repo, &["apply", "latest"]), "", "it is already so");
    run(&repo, &["apply", "latest", "touched"]).code(3).stderr(contains("nothing changed"));
    assert!(!repo.path("build").exists());
    run(&repo, &["apply", "latest", "build", "--include-ignored"]).success();
    assert_eq!(fs::read_to_string(repo.path("build/out.o")).unwrap(), "output");
}

#[test]
fn changes_of_the_user_are_merged_or_named_and_then_nothing_is_written() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("merged", lines(30))
        .write("clash", lines(30))
        .write("removed", "r\n")
        .write("ours", "o\n");
    repo.write("way/file", "w\n").write("mode", lines(9)).commit("one");
    let workspace = snapshot(&repo, &["--at", "HEAD"]);
    let change = |folder: &Path, path: &str, from: &str, to: &str| {
        let text = fs::read_to_string(folder.join(path)).unwrap();
        fs::write(folder.join(path), text.replace(from, to)).unwrap();
    };
    for path in ["merged", "clash"] {
        change(&workspace, path, "line 3\n", "three\n");
    }
    fs::write(workspace.join("removed"), "changed\n").unwrap();
    fs::write(workspace.join("ours"), "job\n").unwrap();
    fs::write(workspace.join("way/new"), "n\n").unwrap();
    fs::set_permissions(workspace.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    change(repo.root(), "merged", "line 25\n", "twenty-five\n");
    change(repo.root(), "mode", "line 5\n", "five\n");
    change(repo.root(), "clash", "line 3\n", "III\n");
    repo.remove("removed");
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(repo.path("way")).unwrap();
    repo.symlink(&outside, "way");
    let before = tree_list(&sandbox, repo.root());
    for option in ["--check", "--dry-run", "--patch"] {
        run(&repo, &["apply", "latest", option]).code(1).stdout("");
    }
    let names = contains("`clash`").and(contains("`removed`")).and(contains("`way/new`"));
    run(&repo, &["apply", "latest"]).code(1).stderr(names.and(contains("`ours`").not()));
    assert_eq!(before, tree_list(&sandbox, repo.root()), "nothing was written");

    run(&repo, &["apply", "latest", "merged", "mode", "ours"]).success();
    let merged = lines(30).replace("line 3\n", "three\n").replace("line 25\n", "twenty-five\n");
    assert_eq!(fs::read_to_string(repo.path("merged")).unwrap(), merged);
    assert_eq!(
        fs::read_to_string(repo.path("mode")).unwrap(),
        lines(9).replace("line 5\n", "five\n")
    );
    assert_eq!(fs::metadata(repo.path("mode")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::read_to_string(repo.path("ours")).unwrap(), "job\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "no symlink was followed");
    assert_eq!(fs::read_dir(repo.runtime()).unwrap().count(), 2, "no new files are left behind");
}

#[test]
fn what_a_job_wrote_into_the_snapshots_git_is_not_trusted() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a\n")
        .write(".gitattributes", "* filter=evil diff=evil merge=evil\n")
        .commit("one");
    let workspace = snapshot(&repo, &[]);
    let program = format!("touch {}", sandbox.root().join("ran").display());
    for name in [
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "merge.evil.driver",
        "core.pager",
    ] {
        git_in(&repo, &workspace, &["config", name, &program]);
    }
    fs::write(workspace.join("a"), "changed\n").unwrap();
    fs::write(workspace.join(".git/index"), "damaged").unwrap();
    fs::remove_dir_all(workspace.join(".git/objects")).unwrap();
    symlink("/etc", workspace.join("etc")).unwrap();
    assert_eq!(out(&repo, &["diff", "latest", "--name-status"]), "M\ta\nA\tetc\n");
    assert!(out(&repo, &["diff", "latest", "--patch"]).contains("-a\n+changed\n"));
    run(&repo, &["apply", "latest"]).success();
    assert_eq!(fs::read_link(repo.path("etc")).unwrap(), Path::new("/etc"));
    assert_eq!(fs::read_to_string(repo.path("a")).unwrap(), "changed\n");
    assert!(!sandbox.root().join("ran").exists(), "a configured program ran");
}
