//! Corners of `loom-snapshot create` where copies of repositories tend to go wrong.
//!
//! Each case brings a repository into a state and compares the snapshot with it by
//! `libloom_testkit::tree_list`, which only asks git, `find` and `sha256sum`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use libloom_testkit::{Repo, Sandbox, assert_same_list, tree_list};
use predicates::str::contains;

use crate::snapshot::{git_in, same_snapshot, snapshot};

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

fn failing(repo: &Repo<'_>, arguments: &[&str]) -> String {
    let assert = repo.command("loom-snapshot").arg("create").args(arguments).assert().code(3);
    assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0, "nothing is left behind");
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Runs git whatever its exit code.
fn git_may_fail(repo: &Repo<'_>, arguments: &[&str]) {
    repo.program("git").args(arguments).output().unwrap();
}

#[test]
fn unborn_head_and_empty_repository() {
    with_repo(|repo| {
        same_snapshot(repo);
        repo.write("a", "a").write("b", "b");
        repo.git(["add", "a"]);
        let workspace = same_snapshot(repo);
        assert_eq!(git_in(repo, &workspace, &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    });
}

#[test]
fn detached_head() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a").git(["checkout", "--quiet", "--detach"]);
        same_snapshot(repo);
    });
}

#[test]
fn partially_staged_intent_to_add_and_deleted_ways() {
    with_repo(|repo| {
        for name in ["partial", "index-only", "tree-only", "both", "again", "kept.o"] {
            repo.write(name, format!("{name}\n"));
        }
        repo.write(".gitignore", "*.o\n").commit("a");
        repo.git(["add", "--force", "kept.o"]);
        repo.write("partial", "staged\n").git(["add", "partial"]);
        repo.write("partial", "staged and dirty\n");
        repo.git(["rm", "--quiet", "--cached", "index-only"]);
        repo.remove("tree-only");
        repo.git(["rm", "--quiet", "both"]);
        repo.git(["rm", "--quiet", "again"]);
        repo.write("again", "again, new\n").write("intended", "x\n");
        repo.git(["add", "--intent-to-add", "intended"]);
        repo.write("kept.o", "ignored but tracked, dirty\n");
        same_snapshot(repo);
    });
}

#[test]
fn removed_from_the_index_and_ignored_is_left_out() {
    with_repo(|repo| {
        repo.write("gone.o", "x").commit("a").write(".gitignore", "*.o\n");
        repo.git(["rm", "--quiet", "--cached", "gone.o"]);
        let workspace = same_snapshot(repo);
        assert!(!workspace.join("gone.o").exists());
    });
}

#[test]
fn types_change_in_all_directions() {
    with_repo(|repo| {
        for name in ["to-link", "to-folder", "target", "folder/x", "gone/y", "outside/z"] {
            repo.write(name, format!("{name}\n"));
        }
        repo.symlink("target", "to-file").symlink("folder", "link-to-folder").commit("a");
        repo.remove("to-link").symlink("target", "to-link");
        repo.remove("to-folder").write("to-folder/inner", "inner\n");
        repo.remove("to-file").write("to-file", "now a file\n");
        repo.remove("link-to-folder").write("link-to-folder/x", "own\n");
        fs::remove_dir_all(repo.path("gone")).unwrap();
        repo.write("gone", "a file\n");
        fs::remove_dir_all(repo.path("outside")).unwrap();
        repo.symlink("/usr", "outside");
        let workspace = same_snapshot(repo);
        assert_eq!(fs::read_to_string(workspace.join("target")).unwrap(), "target\n");
        assert_eq!(fs::read_to_string(workspace.join("folder/x")).unwrap(), "folder/x\n");
    });
}

#[test]
fn file_mode_ignored_by_git_keeps_its_bits() {
    with_repo(|repo| {
        repo.git(["config", "core.fileMode", "false"]);
        repo.write("a", "a").write("b", "b").commit("a").mode("a", 0o755).mode("b", 0o600);
        same_snapshot(repo);
    });
}

#[test]
fn line_ends_filters_and_attributes() {
    with_repo(|repo| {
        repo.git(["config", "core.autocrlf", "true"]);
        repo.git(["config", "filter.shout.clean", "tr a-z A-Z"]);
        repo.git(["config", "filter.shout.smudge", "touch smudged; tr A-Z a-z"]);
        repo.write(".gitattributes", "*.loud filter=shout\n*.bin binary\n");
        repo.write(".git/info/attributes", "*.raw -text\n");
        repo.write("text", "a\r\nb\r\n")
            .write("x.loud", "hello\n")
            .write("y.raw", "a\r\n")
            .commit("a");
        repo.write("x.loud", "changed\n").write("text", "a\r\nc\r\n");
        let workspace = same_snapshot(repo);
        assert_eq!(fs::read_to_string(workspace.join("x.loud")).unwrap(), "changed\n");
        assert!(!workspace.join("smudged").exists(), "no filter ran");
    });
}

#[test]
fn hostile_names() {
    with_repo(|repo| {
        let long = "n".repeat(255);
        let deep = vec!["d".repeat(120); 30].join("/");
        let names: [&[u8]; 10] = [
            b"new\nline",
            b"tab\there",
            b"quo\"te",
            b"-dash",
            b"not\xff\xfeutf8",
            b"back\\slash",
            " spaces ".as_bytes(),
            "é".as_bytes(),
            "e\u{301}".as_bytes(),
            b"*glob[a]",
        ];
        for name in names.iter().copied().chain([long.as_bytes(), b"Case", b"case", b":(top)x"]) {
            repo.write(OsStr::from_bytes(name), name)
                .write(Path::new("sub").join(OsStr::from_bytes(name)), "x");
        }
        repo.write(format!("{deep}/file"), "deep").commit("a");
        for name in names {
            repo.write(OsStr::from_bytes(&[name, b".untracked"].concat()), "u");
        }
        same_snapshot(repo);
    });
}

#[test]
fn ignore_rules_of_all_kinds() {
    with_repo(|repo| {
        repo.write(".gitignore", "out/*\n!out/keep\n*.tmp\n").write("a", "a").commit("a");
        repo.write("out/keep", "k").write("out/drop", "d").write("x.tmp", "t");
        repo.write("sub/.gitignore", "!*.tmp\n").write("sub/y.tmp", "kept");
        repo.write(".git/info/exclude", "excluded\n")
            .write("excluded", "e")
            .write("sub/excluded", "e");
        fs::write(repo.sandbox().home().join("ignore"), "global\n").unwrap();
        repo.git(["config", "core.excludesFile", "~/ignore"]);
        repo.write("global", "g").write("sub/other", "o");
        let workspace = same_snapshot(repo);
        let has = |name: &str| workspace.join(name).exists();
        assert_eq!(["out/keep", "sub/y.tmp", "sub/other"].map(has), [true; 3]);
        assert_eq!(["out/drop", "x.tmp", "excluded", "global"].map(has), [false; 4]);
    });
}

#[test]
fn assumed_and_skipped_files_keep_the_users_content() {
    with_repo(|repo| {
        repo.write("assumed", "old\n").write("skipped", "old\n").commit("a");
        repo.git(["update-index", "--assume-unchanged", "assumed"]);
        repo.git(["update-index", "--skip-worktree", "skipped"]);
        repo.write("assumed", "mine\n").write("skipped", "mine\n");
        let workspace = snapshot(repo, &[]);
        for name in ["assumed", "skipped"] {
            assert_eq!(fs::read_to_string(workspace.join(name)).unwrap(), "mine\n");
        }
        // Skipping is kept; an assumption that is wrong is not: the snapshot tells the truth.
        assert_eq!(git_in(repo, &workspace, &["status", "--porcelain"]), " M assumed\n");
        assert_eq!(git_in(repo, &workspace, &["ls-files", "-t", "skipped"]), "S skipped\n");
    });
}

#[test]
fn sparse_checkout_and_sparse_index() {
    for index in ["--no-sparse-index", "--sparse-index"] {
        with_repo(|repo| {
            for name in ["in/a", "out/b", "out/deep/c", "top"] {
                repo.write(name, name);
            }
            repo.commit("a");
            repo.git(["sparse-checkout", "set", "--cone", index, "in"]);
            assert!(!repo.path("out").exists());
            repo.write("in/a", "dirty").write("in/new", "untracked");
            same_snapshot(repo);
            repo.write("out/b", "present after all");
            same_snapshot(repo);
        });
    }
}

#[test]
fn index_of_every_version_and_split() {
    for version in ["2", "3", "4"] {
        with_repo(|repo| {
            repo.write("a/b/c", "c").write("a/b/d", "d").write("e", "e").commit("a");
            repo.git(["update-index", "--index-version", version]);
            repo.write("a/b/d", "changed").write("i", "i").git(["add", "--intent-to-add", "i"]);
            same_snapshot(repo);
        });
    }
    with_repo(|repo| {
        repo.write("a", "a").write("b", "b").commit("a");
        repo.git(["update-index", "--split-index"]);
        repo.write("b", "changed").git(["add", "b"]);
        repo.write("a", "dirty");
        assert!(
            fs::read_dir(repo.path(".git"))
                .unwrap()
                .any(|e| { e.unwrap().file_name().to_str().unwrap().starts_with("sharedindex.") })
        );
        let workspace = same_snapshot(repo);
        assert!(!workspace.join(".git/loom-scratch").exists());
    });
}

fn initialised_with(repo: &Repo<'_>, option: &str) {
    fs::remove_dir_all(repo.path(".git")).unwrap();
    repo.git(["init", "--quiet", option]);
    repo.write("a", "a").write("b", "b").commit("a");
    repo.git(["tag", "v1"]);
    repo.write("a", "dirty").write("new", "n");
    let workspace = same_snapshot(repo);
    assert_eq!(git_in(repo, &workspace, &["describe", "--tags"]), "v1\n");
    git_in(repo, &workspace, &["fsck", "--strict"]);
}

#[test]
fn sha256_repository() {
    with_repo(|repo| initialised_with(repo, "--object-format=sha256"));
}

#[test]
#[cfg_attr(not(has_reftable), ignore = "no git here knows reftable (2.45)")]
fn reftable() {
    with_repo(|repo| {
        std::os::unix::fs::symlink(env!("REFTABLE_GIT"), repo.sandbox().bin().join("git")).unwrap();
        initialised_with(repo, "--ref-format=reftable");
    });
}

fn conflict(repo: &Repo<'_>) {
    repo.write("a", "base\n").write("b", "b\n").commit("base");
    repo.git(["checkout", "--quiet", "-b", "topic"]);
    repo.write("a", "topic\n").commit("topic");
    repo.git(["checkout", "--quiet", "main"]);
    repo.write("a", "main\n").commit("main");
}

#[test]
fn merge_rebase_and_cherry_pick_in_progress() {
    for operation in [["merge", "topic"], ["rebase", "topic"], ["cherry-pick", "topic"]] {
        with_repo(|repo| {
            conflict(repo);
            git_may_fail(repo, &operation);
            repo.write("b", "dirty\n").write("new", "n\n");
            let workspace = same_snapshot(repo);
            let said = |folder: &Path| {
                let text = git_in(repo, folder, &["status"]);
                let on = |line: &&str| {
                    !line.starts_with("On branch")
                        && !line.starts_with("HEAD detached")
                        && !line.starts_with("Not currently")
                };
                text.lines().filter(on).map(String::from).collect::<Vec<_>>()
            };
            assert_eq!(said(repo.root()), said(&workspace), "{operation:?}");
        });
    }
}

#[test]
fn linked_work_tree_alternates_and_shallow_clone() {
    with_repo(|repo| {
        repo.write("a", "1").commit("one").write("a", "2").commit("two");
        let root = repo.sandbox().root();
        let source = repo.root().to_str().unwrap();
        let elsewhere = |name: &str| root.join(name).to_str().unwrap().to_owned();
        repo.git(["worktree", "add", "--quiet", "-b", "side", &elsewhere("linked")]);
        repo.git(["clone", "--quiet", "--shared", source, &elsewhere("shared")]);
        repo.git([
            "clone",
            "--quiet",
            "--depth=1",
            &format!("file://{source}"),
            &elsewhere("shallow"),
        ]);
        for name in ["linked", "shared", "shallow"] {
            let folder = root.join(name);
            fs::write(folder.join("a"), "dirty").unwrap();
            fs::write(folder.join("new"), "untracked").unwrap();
            let expected = tree_list(repo.sandbox(), &folder);
            let mut command = repo.command("loom-snapshot");
            let assert = command
                .current_dir(&folder)
                .args(["create", "--dest", &elsewhere(&format!("{name}-copy"))])
                .assert()
                .success();
            drop(assert);
            let workspace = root.join(format!("{name}-copy"));
            assert_same_list(&expected, &tree_list(repo.sandbox(), &workspace));
            let log = ["log", "--format=%H"];
            assert_eq!(git_in(repo, &workspace, &log), git_in(repo, &folder, &log), "{name}");
            git_in(repo, &workspace, &["fsck", "--strict"]);
            assert!(!workspace.join(".git/objects/info/alternates").exists());
        }
    });
}

#[test]
fn submodules_initialised_dirty_and_not() {
    let sandbox = Sandbox::new();
    let module = sandbox.repo_named("module");
    module.write("m", "m\n").commit("m");
    let repo = sandbox.repo();
    let url = module.root().to_str().unwrap();
    repo.git(["submodule", "--quiet", "add", url, "clean"]);
    repo.git(["submodule", "--quiet", "add", url, "sub/dirty"]);
    repo.git(["submodule", "--quiet", "add", url, "absent"]);
    repo.commit("a");
    repo.git(["submodule", "--quiet", "deinit", "--force", "absent"]);
    repo.write("sub/dirty/m", "changed\n").write("sub/dirty/new", "n\n");
    let workspace = same_snapshot(&repo);
    assert_eq!(fs::read_to_string(workspace.join("sub/dirty/m")).unwrap(), "changed\n");
    assert_eq!(fs::read_to_string(workspace.join("sub/dirty/new")).unwrap(), "n\n");
    assert!(workspace.join("absent").is_dir());
    let (there, here) = (repo.path("sub/dirty"), workspace.join("sub/dirty"));
    assert_same_list(&tree_list(&sandbox, &there), &tree_list(&sandbox, &here));
    let status = ["submodule", "status"];
    assert_eq!(
        git_in(&repo, &workspace, &["rev-parse", "HEAD:clean"]),
        git_in(&repo, &workspace.join("clean"), &["rev-parse", "HEAD"])
    );
    assert_eq!(git_in(&repo, &workspace, &status).lines().count(), 3);
}

#[test]
fn nested_repository_is_copied_as_plain_files_with_a_note() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        repo.git(["init", "--quiet", "nested"]);
        repo.write("nested/x", "x")
            .write("nested/.gitignore", "*.o\n")
            .write("nested/y.o", "ignored");
        let assert = repo.command("loom-snapshot").args(["create", "--json"]).assert().success();
        let record: serde_json::Value =
            serde_json::from_slice(&assert.get_output().stdout).unwrap();
        assert!(record["notes"][0].as_str().unwrap().contains("nested repository `nested/`"));
        let workspace = Path::new(record["path"].as_str().unwrap());
        let has = |name: &str| workspace.join("nested").join(name).exists();
        assert_eq!(["x", ".gitignore", "y.o", ".git"].map(has), [true, true, false, false]);
    });
}

#[test]
fn a_hooks_environment_points_nowhere_else() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a").write("b", "b");
        let other = repo.sandbox().repo_named("other");
        other.write("wrong", "w").commit("w");
        let expected = tree_list(repo.sandbox(), repo.root());
        let mut command = repo.command("loom-snapshot");
        command.env("GIT_DIR", other.path(".git")).env("GIT_INDEX_FILE", other.path(".git/index"));
        command.env("GIT_WORK_TREE", other.root());
        let assert = command.arg("create").assert().success();
        let path = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert_same_list(&expected, &tree_list(repo.sandbox(), Path::new(path.trim_end())));
    });
}

#[test]
fn from_a_subfolder_the_whole_repository_is_copied() {
    with_repo(|repo| {
        repo.write("a", "a").write("sub/b", "b").commit("a").write("new", "n");
        let expected = tree_list(repo.sandbox(), repo.root());
        let mut command = repo.command("loom-snapshot");
        let assert = command.current_dir(repo.path("sub")).arg("create").assert().success();
        let path = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert_same_list(&expected, &tree_list(repo.sandbox(), Path::new(path.trim_end())));
    });
}

#[test]
fn configured_programs_do_not_run_and_are_not_copied() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let trap =
            repo.sandbox().script(&repo.sandbox().bin(), "trap", "touch \"$HOME/sprung\"; cat");
        let trap = trap.to_str().unwrap();
        for key in [
            "core.fsmonitor",
            "core.hooksPath",
            "core.sshCommand",
            "core.editor",
            "core.pager",
            "filter.x.process",
            "diff.external",
            "gpg.program",
        ] {
            repo.git(["config", key, trap]);
        }
        repo.git(["config", "log.showSignature", "true"]);
        repo.write(".gitattributes", "* filter=x\n").write("a", "changed");
        let workspace = snapshot(repo, &[]);
        assert!(!repo.sandbox().home().join("sprung").exists());
        let config = fs::read_to_string(workspace.join(".git/config")).unwrap();
        for word in ["fsmonitor", "hooksPath", "hookspath", "sshcommand", "editor", "external"] {
            assert!(!config.contains(word), "{config}");
        }
    });
}

#[test]
fn fifo_in_a_tracked_files_place_is_an_error_that_names_it() {
    with_repo(|repo| {
        repo.write("sub/pipe", "p").write("a", "a").commit("a").remove("sub/pipe");
        assert!(Command::new("mkfifo").arg(repo.path("sub/pipe")).status().unwrap().success());
        let said = failing(repo, &[]);
        assert!(
            said.contains("`sub/pipe`") && said.contains("FIFO") && said.contains("hint:"),
            "{said}"
        );
    });
}

#[test]
fn untracked_fifo_is_left_out_with_a_note() {
    with_repo(|repo| {
        repo.write("a", "a").write(".gitignore", "*.sock\n").commit("a");
        for name in ["pipe", "ignored.sock"] {
            assert!(Command::new("mkfifo").arg(repo.path(name)).status().unwrap().success());
        }
        let assert = repo.command("loom-snapshot").arg("create").assert().success();
        let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(said.contains("`pipe`") && !said.contains("ignored.sock"), "{said}");
    });
}

#[test]
fn symlink_among_the_objects_is_refused() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let object = repo.git(["rev-parse", "HEAD:a"]);
        let (folder, name) = object.trim().split_at(2);
        let path = repo.path(format!(".git/objects/{folder}/{name}"));
        let moved = repo.sandbox().root().join("moved");
        fs::rename(&path, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        let said = failing(repo, &[]);
        assert!(said.contains("is not a file, as objects of git must be"), "{said}");
    });
}

#[test]
fn an_index_that_leads_outside_is_refused() {
    with_repo(|repo| {
        repo.write("aa/x", "x").commit("a");
        let path = repo.path(".git/index");
        let mut index = fs::read(&path).unwrap();
        let at = index.windows(4).position(|four| four == b"aa/x").unwrap();
        index[at..at + 4].copy_from_slice(b"../x");
        fs::write(&path, index).unwrap();
        let said = failing(repo, &[]);
        assert!(said.contains("`../x`"), "{said}");
    });
}

#[test]
fn unreadable_file_is_named_and_nothing_is_left_behind() {
    with_repo(|repo| {
        repo.write("sub/secret", "s").write("a", "a").commit("a").mode("sub/secret", 0o000);
        if fs::read(repo.path("sub/secret")).is_ok() {
            // Only root reads such a file; it can still be made unreadable for everyone else.
            return as_nobody(repo);
        }
        let said = failing(repo, &[]);
        assert!(said.contains("`sub/secret`") && said.contains("hint:"), "{said}");
    });
}

/// The same, run as a user without rights by root.
fn as_nobody(repo: &Repo<'_>) {
    let output = nobody(repo);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("`sub/secret`") && said.contains("hint:"), "{said}");
    assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0, "nothing is left behind");
}

/// Gives the sandbox to a user without rights and makes a snapshot as that user.
fn nobody(repo: &Repo<'_>) -> std::process::Output {
    let sandbox = repo.sandbox();
    sandbox.install(&sandbox.root().join("installed"), &["loom-snapshot"]);
    let mut chown = Command::new("chown");
    assert!(chown.args(["-R", "65534:65534"]).arg(sandbox.root()).status().unwrap().success());
    let program = sandbox.root().join("installed/loom-snapshot");
    let mut command = repo.program("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).arg("create");
    command.output().unwrap()
}

#[test]
fn read_only_source_is_copied_into_folders_that_jobs_can_write_to() {
    use std::os::unix::fs::MetadataExt;
    with_repo(|repo| {
        repo.write("sub/a", "a").write("b", "b").commit("a").write("new", "n");
        repo.mode("sub/a", 0o444);
        let expected = tree_list(repo.sandbox(), repo.root());
        let folders = ["sub", ".git", ""];
        for folder in folders {
            repo.mode(folder, 0o555);
        }
        let output = match fs::write(repo.path("probe"), "") {
            // For root nothing is read-only.
            Ok(()) => {
                repo.remove("probe");
                nobody(repo)
            }
            Err(_) => repo.process("loom-snapshot").arg("create").output().unwrap(),
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("cannot be written to"), "{said}");
        let workspace = String::from_utf8(output.stdout).unwrap();
        let workspace = Path::new(workspace.trim_end());
        assert_eq!(fs::metadata(workspace.join("sub")).unwrap().mode() & 0o700, 0o700);
        repo.git(["config", "--global", "safe.directory", "*"]);
        assert_same_list(&expected, &tree_list(repo.sandbox(), workspace));
        repo.sandbox().allow(libloom_testkit::Leftovers::AnyFile);
    });
}

#[test]
fn a_file_that_keeps_changing_is_an_error_that_names_it() {
    use std::io::{Seek, SeekFrom, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    with_repo(|repo| {
        let mut file = fs::File::create(repo.path("busy")).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b'x'), 256 << 20), &mut file)
            .unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    file.seek(SeekFrom::Start(0)).unwrap();
                    file.write_all(b"y").unwrap();
                }
            });
            let assert = repo.command("loom-snapshot").arg("create").assert();
            is_done.store(true, Ordering::Relaxed);
            assert.code(3).stderr(contains("`busy`")).stderr(contains("kept changing"));
        });
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
    });
}

#[test]
fn temp_folder_that_does_not_exist_is_an_error_with_a_hint() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let mut command = repo.command("loom-snapshot");
        command
            .env("TMPDIR", "/does/not/exist")
            .arg("create")
            .assert()
            .code(3)
            .stderr(contains("/does/not/exist"))
            .stderr(contains("LOOM_SNAPSHOT_DIR"));
    });
}

#[test]
fn temp_folder_that_cannot_be_written_to_is_an_error_with_a_hint() {
    use std::os::unix::fs::PermissionsExt;
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let folder = repo.sandbox().root().join("read-only");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        // Permissions do not keep root out; the kernel's own folders do, but they count as full
        // when they are the temp folder, and a full one is not used.
        let is_kept_out = fs::write(folder.join("try"), "").is_err();
        let place = if is_kept_out { folder.as_path() } else { Path::new("/sys") };
        let names = [("LOOM_SNAPSHOT_DIR", "TMPDIR"), ("TMPDIR", "LOOM_SNAPSHOT_DIR")];
        for (name, other) in names.into_iter().take(if is_kept_out { 2 } else { 1 }) {
            let mut command = repo.command("loom-snapshot");
            let assert = command.env(name, place).env_remove(other).arg("create").assert();
            assert
                .code(3)
                .stderr(contains(format!("cannot make a snapshot in `{}`", place.display())))
                .stderr(contains("set TMPDIR or LOOM_SNAPSHOT_DIR to a folder"));
        }
    });
}

#[test]
fn large_sparse_file_stays_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let file = fs::File::create(repo.path("sparse")).unwrap();
        file.set_len(4 << 30).unwrap();
        file.write_all_at(b"middle", 2 << 30).unwrap();
        let workspace = snapshot(repo, &[]);
        let copy = fs::File::open(workspace.join("sparse")).unwrap();
        let metadata = copy.metadata().unwrap();
        assert_eq!(metadata.len(), 4 << 30);
        assert!(metadata.blocks() < 1 << 12, "{} blocks", metadata.blocks());
        let mut found = [0; 6];
        copy.read_exact_at(&mut found, 2 << 30).unwrap();
        assert_eq!(&found, b"middle");
    });
}

#[test]
fn large_packs_are_linked_and_small_ones_copied() {
    use std::os::unix::fs::MetadataExt;
    with_repo(|repo| {
        // Random bytes do not compress: the pack is larger than what is copied.
        let mut random = fs::File::open("/dev/urandom").unwrap();
        let mut file = fs::File::create(repo.path("large")).unwrap();
        std::io::copy(&mut std::io::Read::take(&mut random, 66 << 20), &mut file).unwrap();
        repo.git(["config", "gc.auto", "0"]);
        repo.git(["config", "core.compression", "0"]);
        repo.commit("large").git(["repack", "-adq"]);
        repo.write("small", "loose").commit("small");
        let assert = repo.command("loom-snapshot").args(["create", "--json"]).assert().success();
        let record: serde_json::Value =
            serde_json::from_slice(&assert.get_output().stdout).unwrap();
        let workspace = Path::new(record["path"].as_str().unwrap());
        let links = |folder: &str| -> Vec<u64> {
            let entries = fs::read_dir(workspace.join(".git/objects").join(folder)).unwrap();
            entries.map(|e| e.unwrap().metadata().unwrap().nlink()).collect()
        };
        // Where the file system shares blocks, nothing is linked at all.
        let is_linked = record["methods"]["objects"] == "hard_link";
        assert!(is_linked || record["methods"]["objects"] == "reflink", "{record}");
        assert_eq!(links("pack").iter().any(|count| *count > 1), is_linked);
        let small = repo.git(["rev-parse", "HEAD:small"]);
        assert_eq!(links(&small[..2]), [1], "loose objects are never linked");
        git_in(repo, workspace, &["fsck", "--strict"]);
    });
}

#[test]
fn partial_clone() {
    with_repo(|repo| {
        repo.write("a", "1").write("b/c", "2").commit("one").write("a", "3").commit("two");
        repo.git(["config", "uploadpack.allowFilter", "true"]);
        let (source, clone) = (repo.root().to_str().unwrap(), repo.sandbox().root().join("clone"));
        let url = format!("file://{source}");
        repo.git(["clone", "--quiet", "--filter=blob:none", &url, clone.to_str().unwrap()]);
        fs::write(clone.join("a"), "dirty").unwrap();
        let expected = tree_list(repo.sandbox(), &clone);
        let copy = repo.sandbox().root().join("copy");
        let mut command = repo.command("loom-snapshot");
        command.current_dir(&clone).args(["create", "--dest"]).arg(&copy).assert().success();
        assert_same_list(&expected, &tree_list(repo.sandbox(), &copy));
        git_in(repo, &copy, &["fsck"]);
        assert_eq!(
            git_in(repo, &copy, &["show", "HEAD~1:a"]),
            "1",
            "the promised object is fetched"
        );
    });
}

#[test]
fn work_tree_elsewhere_and_settings_for_one_work_tree() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        repo.git(["config", "extensions.worktreeConfig", "true"]);
        repo.git(["config", "--worktree", "core.fileMode", "false"]);
        repo.mode("a", 0o755);
        let workspace = same_snapshot(repo);
        assert_eq!(git_in(repo, &workspace, &["status", "--porcelain"]), "");
        let elsewhere = repo.sandbox().root().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(repo.path("a"), elsewhere.join("a")).unwrap();
        fs::write(elsewhere.join(".git"), format!("gitdir: {}\n", repo.path(".git").display()))
            .unwrap();
        repo.git(["config", "--worktree", "core.worktree", elsewhere.to_str().unwrap()]);
        fs::write(elsewhere.join("new"), "n").unwrap();
        let expected = tree_list(repo.sandbox(), &elsewhere);
        let mut command = repo.command("loom-snapshot");
        let copy = repo.sandbox().root().join("copy");
        command.current_dir(&elsewhere).args(["create", "--dest"]).arg(&copy).assert().success();
        assert_same_list(&expected, &tree_list(repo.sandbox(), &copy));
    });
}

#[test]
fn settings_that_a_condition_included_hold_in_the_snapshot() {
    with_repo(|repo| {
        let home = repo.sandbox().home();
        let mut config = fs::read_to_string(home.join(".gitconfig")).unwrap();
        config += &format!("[includeIf \"gitdir:{}/\"]\n\tpath = extra\n", repo.root().display());
        fs::write(home.join(".gitconfig"), config).unwrap();
        fs::write(home.join("extra"), "[core]\n\tfileMode = false\n").unwrap();
        repo.git(["config", "--unset", "core.fileMode"]);
        repo.write("a", "a").commit("a").mode("a", 0o755);
        assert_eq!(repo.git(["status", "--porcelain"]), "");
        same_snapshot(repo);
    });
}

#[test]
fn replaced_objects_and_grafts_show_the_same_history() {
    with_repo(|repo| {
        repo.write("a", "1")
            .commit("one")
            .write("a", "2")
            .commit("two")
            .write("a", "3")
            .commit("three");
        repo.git(["replace", "--graft", "HEAD~1"]);
        let workspace = same_snapshot(repo);
        let log = ["log", "--format=%h %s"];
        assert_eq!(git_in(repo, &workspace, &log), git_in(repo, repo.root(), &log));
        assert_eq!(git_in(repo, &workspace, &log).lines().count(), 2);
    });
}

#[test]
fn a_submodule_in_a_files_place_and_a_file_in_a_submodules() {
    let sandbox = Sandbox::new();
    let module = sandbox.repo_named("module");
    module.write("m", "m\n").commit("m");
    let repo = sandbox.repo();
    let url = module.root().to_str().unwrap();
    repo.git(["submodule", "--quiet", "add", url, "module"]);
    repo.write("file", "f\n").commit("a");
    fs::remove_dir_all(repo.path("module")).unwrap();
    repo.write("module", "a file now\n").remove("file");
    repo.git(["clone", "--quiet", url, "file"]);
    same_snapshot(&repo);
}
