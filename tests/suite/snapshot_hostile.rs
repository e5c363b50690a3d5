//! `loom-snapshot` and repositories that mean harm, or change while they are copied.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use libloom_testkit::{Leftovers, Repo, Sandbox};
use predicates::str::contains;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::snapshot::snapshot;

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    test(&sandbox.repo());
}

/// Text of files that no snapshot may hold.
const SECRET: &str = "secret of another folder\n";

/// Files below `folder` that hold the secret; symlinks are not followed.
fn leaks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            found.extend(leaks(&path));
        } else if kind.is_file() && fs::read(&path).unwrap() == SECRET.as_bytes() {
            found.push(path);
        }
    }
    found
}

/// Makes `count` snapshots while another thread does `disturb` again and again; each is made or
/// fails in words, and nothing else is left. Returns how many were made and how many failed.
fn disturbed(repo: &Repo<'_>, count: usize, disturb: impl Fn(usize) + Sync) -> [usize; 2] {
    let is_done = AtomicBool::new(false);
    let mut results = [0; 2];
    std::thread::scope(|scope| {
        let turns = scope.spawn(|| {
            let mut turn = 0;
            while !is_done.load(Ordering::Relaxed) {
                disturb(turn);
                turn += 1;
            }
            turn
        });
        let end = EndAtDrop(&is_done);
        for _ in 0..count {
            let output = repo.command("loom-snapshot").arg("create").output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let made = fs::read_dir(repo.sandbox().temp()).unwrap();
            let made: Vec<_> = made.map(|entry| entry.unwrap().path()).collect();
            match output.status.code() {
                Some(0) => {
                    assert_eq!(made.len(), 1);
                    assert_eq!(leaks(&made[0]), Vec::<PathBuf>::new());
                    results[0] += 1;
                }
                Some(3) => {
                    assert_eq!(made, Vec::<PathBuf>::new(), "left after: {said}");
                    assert!(said.starts_with("error: "), "{said}");
                    results[1] += 1;
                }
                code => panic!("ended with {code:?}: {said}"),
            }
            repo.command("loom-snapshot").args(["prune", "--all"]).assert().success();
        }
        drop(end);
        assert!(turns.join().unwrap() > 10 * count, "the disturbance was too slow to matter");
    });
    results
}

/// Ends the other thread also when this one panics.
struct EndAtDrop<'a>(&'a AtomicBool);

impl Drop for EndAtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps two paths in one step.
fn swap(one: &Path, two: &Path) {
    renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn a_folder_swapped_for_a_symlink_never_leads_outside() {
    with_repo(|repo| {
        let outside = repo.sandbox().root().join("outside");
        for number in 0..60 {
            repo.write(format!("sub/deep/file-{number}"), format!("{number}\n"));
            repo.write(outside.join(format!("deep/file-{number}")), SECRET);
        }
        repo.write(outside.join("deep/untracked"), SECRET).commit("a");
        repo.write("sub/deep/untracked", "mine\n").write(".gitignore", "/other\n");
        symlink(&outside, repo.path("other")).unwrap();
        let (sub, other) = (repo.path("sub"), repo.path("other"));
        let [made, _] = disturbed(repo, 15, |_| swap(&sub, &other));
        assert!(made > 0, "no snapshot was made at all");
    });
}

#[test]
fn a_file_that_becomes_anything_else_is_whole_or_not_there() {
    with_repo(|repo| {
        for number in 0..40 {
            repo.write(format!("file-{number:02}"), format!("{number}\n"));
        }
        repo.write("victim", vec![b'a'; 300_000]).commit("a");
        let root = repo.sandbox().root();
        let (outside, spare) = (root.join("outside"), root.join("spare"));
        fs::write(&outside, SECRET).unwrap();
        fs::write(&spare, vec![b'b'; 300_000]).unwrap();
        let victim = repo.path("victim");
        let fifo = CString::new(root.join("fifo").into_os_string().into_encoded_bytes()).unwrap();
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        let others = ["spare", "link", "fifo", "folder"].map(|name| root.join(name));
        let [made, _] = disturbed(repo, 24, |turn| {
            // Away and back: every other moment it is what was committed.
            swap(&victim, &others[turn / 2 % others.len()]);
        });
        assert!(made > 0, "no snapshot was made at all");
    });
}

#[test]
fn files_that_come_and_go_are_copied_or_left_out() {
    with_repo(|repo| {
        for number in 0..100 {
            repo.write(format!("file-{number:02}"), format!("{number}\n"));
        }
        repo.commit("a");
        let (file, folder) = (repo.path("file-50"), repo.path("untracked"));
        let [made, failed] = disturbed(repo, 15, |_| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("new"), "n").unwrap();
            fs::remove_dir_all(&folder).unwrap();
            fs::write(&file, "50\n").unwrap();
        });
        assert_eq!((made, failed), (15, 0), "a file that goes is no error");
    });
}

/// Settings that name a program, with what is put after `=`: `T` is the trap.
const TRAPS: [(&str, &str); 34] = [
    ("alias.ls-files", "!T"),
    ("core.alternateRefsCommand", "T"),
    ("core.askPass", "T"),
    ("core.editor", "T"),
    ("core.fsmonitor", "T"),
    ("core.gitProxy", "T"),
    ("core.pager", "T"),
    ("core.sshCommand", "T"),
    ("credential.helper", "!T"),
    ("diff.external", "T"),
    ("diff.x.command", "T"),
    ("diff.x.textconv", "T"),
    ("filter.x.clean", "T"),
    ("filter.x.process", "T"),
    ("filter.x.smudge", "T"),
    ("filter.x.required", "true"),
    ("gpg.program", "T"),
    ("gpg.ssh.program", "T"),
    ("gpg.ssh.defaultKeyCommand", "T"),
    ("interactive.diffFilter", "T"),
    ("log.showSignature", "true"),
    ("merge.x.driver", "T"),
    ("pager.log", "T"),
    ("pager.config", "T"),
    ("protocol.ext.allow", "always"),
    ("remote.origin.uploadpack", "T"),
    ("remote.origin.promisor", "true"),
    ("remote.origin.vcs", "ext"),
    ("remote.origin.url", "ext::T"),
    ("sequence.editor", "T"),
    ("submodule.module.update", "!T"),
    ("trailer.x.command", "T"),
    ("uploadpack.packObjectsHook", "T"),
    ("extensions.partialClone", "origin"),
];

#[test]
fn no_configured_program_runs_whatever_is_asked() {
    let sandbox = Sandbox::new();
    let module = sandbox.repo_named("module");
    module.write("m", "m\n").commit("m");
    let repo = sandbox.repo();
    repo.write("a", "a\n")
        .write("gone", "g\n")
        .write(".gitattributes", "* filter=x diff=x merge=x\nb filter=a=b\n");
    repo.git(["submodule", "--quiet", "add", module.root().to_str().unwrap(), "module"]);
    repo.commit("a").write("a", "b\n").commit("b").git(["branch", "side"]);
    repo.write("a", "c\n").commit("c");
    // An object that is missing makes a partial clone ask its remote.
    let missing = repo.git(["rev-parse", "HEAD~2:a"]);
    let (two, rest) = missing.trim().split_at(2);
    fs::remove_file(repo.path(format!(".git/objects/{two}/{rest}"))).unwrap();
    let sprung = sandbox.home().join("sprung");
    let trap = sandbox.script(&sandbox.bin(), "trap", "echo \"$0 $*\" >>\"$HOME/sprung\"; cat");
    let trap = trap.to_str().unwrap();
    for hook in
        ["post-index-change", "post-checkout", "reference-transaction", "fsmonitor-watchman"]
    {
        sandbox.script(&repo.path(".git/hooks"), hook, &format!("exec {trap} hook"));
    }
    set_traps(&repo, repo.root(), trap, "x");
    set_traps(&repo, repo.root(), trap, "a=b");
    set_traps(&repo, &repo.path("module"), trap, "y");
    fs::write(repo.path("module/.gitattributes"), "* filter=y diff=y\n").unwrap();
    repo.write("a", "d\n")
        .write("b", "d\n")
        .write("module/m", "n\n")
        .write("new", "n\n")
        .remove("gone");
    let plain = repo.program("git").args(["diff", "HEAD"]).output().unwrap();
    assert!(sprung.exists(), "the traps work: {plain:?}");
    fs::remove_file(&sprung).unwrap();
    for arguments in [
        &["facts", "--json"][..],
        &["facts", "--json", "--changes-base", "side"],
        &["create", "--changes-base", "side"],
        &["create", "--include-ignored", "*", "--run-id", "r"],
        &["list"],
        &["show", "latest"],
        &["rm", "latest"],
        &["prune", "--all"],
    ] {
        let output = repo.command("loom-snapshot").args(arguments).output().unwrap();
        let sprung = fs::read_to_string(&sprung).unwrap_or_default();
        assert_eq!(sprung, "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

/// A job can do to a snapshot what it likes; looking at it afterwards is done by the user.
#[test]
fn what_a_job_put_into_its_snapshot_does_not_run_when_the_snapshot_is_looked_at() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a\n").write("b", "b\n").write(".gitattributes", "* filter=x diff=x merge=x\n");
    repo.commit("a").git(["branch", "side"]);
    let workspace = snapshot(&repo, &[]);
    let sprung = sandbox.home().join("sprung");
    let trap = sandbox.script(&sandbox.bin(), "trap", "echo \"$0 $*\" >>\"$HOME/sprung\"; cat");
    let trap = trap.to_str().unwrap();
    for folder in [repo.root(), &workspace] {
        set_traps(&repo, folder, trap, "x");
        fs::create_dir_all(folder.join(".git/hooks")).unwrap();
        for hook in ["post-index-change", "post-checkout", "pre-applypatch", "post-applypatch"] {
            sandbox.script(&folder.join(".git/hooks"), hook, &format!("exec {trap} hook"));
        }
    }
    fs::write(workspace.join("a"), "by the job\n").unwrap();
    fs::write(workspace.join("new"), "by the job\n").unwrap();
    fs::write(workspace.join(".gitattributes"), "* filter=x diff=x merge=x -text\n").unwrap();
    // Out of the snapshot it leads nowhere.
    fs::write(sandbox.root().join("outside"), SECRET).unwrap();
    symlink(sandbox.root(), workspace.join("up")).unwrap();
    repo.write("b", "by the user\n");
    for arguments in [
        &["diff", "latest"][..],
        &["diff", "latest", "--patch"],
        &["diff", "latest", "--stat"],
        &["apply", "latest", "--dry-run"],
        &["apply", "latest"],
        &["create", "--at", "side"],
    ] {
        let output = repo.command("loom-snapshot").args(arguments).output().unwrap();
        let sprung = fs::read_to_string(&sprung).unwrap_or_default();
        assert_eq!(sprung, "", "{arguments:?}");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("secret of"), "{arguments:?}");
    }
    assert_eq!(fs::read_to_string(repo.path("a")).unwrap(), "by the job\n", "it was applied");
    assert_eq!(fs::read_to_string(repo.path("b")).unwrap(), "by the user\n");
    assert!(repo.path("up").is_symlink());
}

fn set_traps(repo: &Repo<'_>, folder: &Path, trap: &str, driver: &str) {
    let included = repo.sandbox().root().join("included");
    fs::write(&included, format!("[core]\n\tfsmonitor = {trap}\n")).unwrap();
    let set = |key: &str, value: &str| {
        let mut command = repo.program("git");
        command.current_dir(folder).args(["config", key, value]);
        assert!(command.status().unwrap().success(), "{key}");
    };
    set("include.path", included.to_str().unwrap());
    for (key, value) in TRAPS {
        set(&key.replace(".x.", &format!(".{driver}.")), &value.replace('T', trap));
    }
}

/// A snapshot of `repo` fails with this text, or is made and holds no secret.
fn is_harmless(repo: &Repo<'_>, refusal: Option<&str>) {
    let output = repo.command("loom-snapshot").args(["create", "--run-id", "r"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match refusal {
        Some(text) => {
            assert_eq!(output.status.code(), Some(3), "{said}");
            assert!(said.contains(text), "{said}");
        }
        None => assert!(output.status.success(), "{said}"),
    }
    assert_eq!(leaks(&repo.sandbox().temp()), Vec::<PathBuf>::new());
}

#[test]
fn links_to_files_outside_bring_nothing_in() {
    for name in
        ["info/exclude", "info/attributes", "info/grafts", "info/sparse-checkout", "shallow"]
    {
        with_repo(|repo| {
            repo.write("a", "a").commit("a");
            let outside = repo.sandbox().root().join("outside");
            fs::write(&outside, SECRET).unwrap();
            let _ = fs::remove_file(repo.path(".git").join(name));
            symlink(&outside, repo.path(".git").join(name)).unwrap();
            let refusal =
                if name == "shallow" { "error: " } else { "is a symlink to a file outside" };
            is_harmless(repo, Some(refusal));
        });
    }
    with_repo(|repo| {
        // Within the repository it is as good as a file.
        repo.write("a", "a").write("ignores", "*.o\n").commit("a").write("b.o", "o");
        fs::remove_file(repo.path(".git/info/exclude")).unwrap();
        symlink("../../ignores", repo.path(".git/info/exclude")).unwrap();
        let workspace = snapshot(repo, &[]);
        assert_eq!(fs::read_to_string(workspace.join(".git/info/exclude")).unwrap(), "*.o\n");
        assert!(!workspace.join("b.o").exists());
    });
}

#[test]
fn alternates_bring_objects_and_nothing_else() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let outside = repo.sandbox().root().join("outside");
        for name in ["id_rsa", "pack/secret", "pack/pack-x.secret", "ab/short", "info/secret"] {
            repo.write(outside.join(name), SECRET);
        }
        fs::write(repo.path(".git/objects/info/alternates"), format!("{}\n", outside.display()))
            .unwrap();
        is_harmless(repo, None);
    });
}

#[test]
fn a_symlink_at_the_runtime_directory_is_not_written_through() {
    for name in [".loom", ".loom/.runtime", ".loom/.runtime/snapshots", ".loom/.runtime/logs"] {
        with_repo(|repo| {
            repo.sandbox().allow(Leftovers::AnyFile);
            let outside = repo.sandbox().root().join("outside");
            fs::create_dir(&outside).unwrap();
            repo.write("a", "a");
            fs::create_dir_all(repo.path(name).parent().unwrap()).unwrap();
            repo.symlink(&outside, name).git(["add", "--force", "a", name]);
            repo.commit("a");
            let assert = repo.command("loom-snapshot").arg("create").assert().success();
            assert.stderr(contains("is a symlink"));
            // With a run's links it may also fail, because the snapshot holds the symlink.
            let _ = repo.command("loom-snapshot").args(["create", "--run-id", "r"]).output();
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{name}");
        });
    }
}

#[test]
fn a_submodule_that_claims_another_work_tree_is_refused() {
    let sandbox = Sandbox::new();
    let module = sandbox.repo_named("module");
    module.write("m", "m\n").commit("m");
    let repo = sandbox.repo();
    repo.git(["submodule", "--quiet", "add", module.root().to_str().unwrap(), "sub/module"]);
    repo.commit("a");
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("m"), SECRET).unwrap();
    let config = repo.path(".git/modules/sub/module/config");
    let sets = |worktree: &Path| {
        let mut command = repo.program("git");
        command.args(["config", "--file"]).arg(&config).arg("core.worktree").arg(worktree);
        assert!(command.status().unwrap().success());
    };
    sets(&outside);
    is_harmless(&repo, Some("sub/module"));
    sets(sandbox.root());
    is_harmless(&repo, Some("which is not where it lies"));
}

#[test]
fn a_git_file_or_a_work_tree_that_leads_elsewhere_is_an_error_or_gits_own_view() {
    with_repo(|repo| {
        repo.write("a", "a").commit("a");
        let outside = repo.sandbox().root().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("a"), SECRET).unwrap();
        repo.git(["config", "core.worktree", outside.to_str().unwrap()]);
        is_harmless(repo, Some("is not in the work tree of its repository"));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        repo.git(["config", "--unset", "core.worktree"]);
        fs::rename(repo.path(".git"), repo.path("moved")).unwrap();
        fs::write(repo.path(".git"), format!("gitdir: {}\n", outside.display())).unwrap();
        is_harmless(repo, Some("error: "));
        fs::remove_file(repo.path(".git")).unwrap();
        fs::rename(repo.path("moved"), repo.path(".git")).unwrap();
        fs::write(repo.path(".git/commondir"), format!("{}\n", outside.display())).unwrap();
        is_harmless(repo, Some("error: "));
        fs::remove_file(repo.path(".git/commondir")).unwrap();
    });
}
