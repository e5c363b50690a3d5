//! `loom-snapshot list`, `show`, `prune` and `rm`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libloom_testkit::{Leftovers, Repo, Sandbox, assert_same_list, tree_list, wait_until};
use predicates::prelude::*;
use predicates::str::contains;

use crate::snapshot::snapshot;

const LIMIT: Duration = Duration::from_secs(20);

fn with_repo(test: impl FnOnce(&Repo<'_>)) {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("a", "a").commit("a");
    test(&repo);
}

fn run(repo: &Repo<'_>, arguments: &[&str]) -> assert_cmd::assert::Assert {
    repo.command("loom-snapshot").args(arguments).assert()
}

fn id(workspace: &Path) -> &str {
    workspace.file_name().unwrap().to_str().unwrap()
}

fn partials(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(".loom-partial")).collect()
}

/// Files below `.loom/.runtime/snapshots`.
fn documents(repo: &Repo<'_>) -> usize {
    fs::read_dir(repo.runtime().join("snapshots")).unwrap().count()
}

#[test]
fn list_and_show_know_what_was_made() {
    with_repo(|repo| {
        run(repo, &["list"]).success().stdout("").stderr("no snapshots\n");
        let (first, second) = (snapshot(repo, &[]), snapshot(repo, &["--run-id", "run-7"]));
        let both = contains(id(&first)).and(contains(id(&second))).and(contains("kept"));
        run(repo, &["list"]).success().stdout(both);
        run(repo, &["show", "latest"])
            .success()
            .stdout(contains(id(&second)).and(contains("run-7")));
        run(repo, &["show", id(&first), "--json"])
            .success()
            .stdout(contains("\"loom.snapshot.v1\""));
        run(repo, &["show", "nothing"]).code(3).stderr(contains("`nothing`"));
    });
}

#[test]
fn prune_keeps_the_newest_and_says_before_what_it_would_do() {
    with_repo(|repo| {
        let made = [snapshot(repo, &[]), snapshot(repo, &[]), snapshot(repo, &[])];
        run(repo, &["prune"]).success().stdout("");
        run(repo, &["prune", "--older-than", "1h"]).success().stdout("");
        let first_two = format!("{}\n{}\n", made[0].display(), made[1].display());
        run(repo, &["prune", "--keep", "1", "--dry-run"]).success().stdout(first_two.clone());
        assert!(made.iter().all(|path| path.exists()));
        run(repo, &["prune", "--keep", "1"]).success().stdout(first_two);
        assert_eq!(made.map(|path| path.exists()), [false, false, true]);
        assert_eq!(documents(repo), 2, "a record and its baseline");
        run(repo, &["prune", "--all"]).success();
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
    });
}

#[test]
fn the_oldest_go_until_the_rest_is_small_enough() {
    with_repo(|repo| {
        let made = [snapshot(repo, &[]), snapshot(repo, &[]), snapshot(repo, &[])];
        // What a job wrote counts.
        fs::write(made[1].join("output"), vec![1; 3 << 20]).unwrap();
        run(repo, &["prune", "--max-size", "1G"]).success().stdout("");
        let first_two = format!("{}\n{}\n", made[0].display(), made[1].display());
        run(repo, &["prune", "--max-size", "1M", "--dry-run"]).success().stdout(first_two.clone());
        run(repo, &["prune", "--max-size", "1M", "--keep", "3"])
            .success()
            .stdout("")
            .stderr(contains("more than 1.0 MiB"));
        run(repo, &["prune", "--max-size", "1M"]).success().stdout(first_two);
        assert_eq!(made.map(|path| path.exists()), [false, false, true]);
        run(repo, &["prune", "--max-size", "many"]).code(2).stderr(contains("10G"));
    });
}

#[test]
fn the_place_is_configured_and_the_environment_stands_above() {
    with_repo(|repo| {
        let place = |name: &str| repo.sandbox().root().join(name);
        let lies_in = |folder: PathBuf, made: &Path| {
            assert_eq!(made.parent().unwrap(), folder);
        };
        let user = repo.sandbox().root().join("home/.config/loom/config.yml");
        fs::create_dir_all(user.parent().unwrap()).unwrap();
        fs::write(&user, format!("snapshot:\n  dir: {}\n", place("of-user").display())).unwrap();
        lies_in(place("of-user"), &snapshot(repo, &[]));
        repo.write(".gitignore", "/work/\n")
            .write(".loom/config.yml", "snapshot: {dir: ../work}\n");
        let made = snapshot(repo, &[]);
        lies_in(repo.path("work"), &made);
        let mut command = repo.command("loom-snapshot");
        let assert = command.env("LOOM_SNAPSHOT_DIR", place("of-env")).arg("create").assert();
        assert.success().stdout(contains(place("of-env").to_str().unwrap()));
        // Found there even if the record is lost.
        fs::remove_dir_all(repo.runtime()).unwrap();
        run(repo, &["list"]).success().stdout(contains(id(&made)));
        repo.write(".loom/config.yml", "snapshot: {dri: x}\n");
        run(repo, &["create"]).code(3).stderr(contains("did you mean `dir`?"));
    });
}

#[test]
fn a_snapshot_in_use_by_a_run_is_never_removed() {
    with_repo(|repo| {
        let workspace = snapshot(repo, &["--run-id", "run-1"]);
        let logs = repo.runtime().join("logs/run-1");
        fs::create_dir_all(&logs).unwrap();
        let lock = File::open(&logs).unwrap();
        lock.lock().unwrap();
        run(repo, &["list"]).success().stdout(contains("in use"));
        run(repo, &["prune", "--all"]).success().stdout("");
        run(repo, &["rm", "latest"]).code(3).stderr(contains("in use by the run `run-1`"));
        assert!(workspace.exists());
        drop(lock);
        run(repo, &["rm", "latest"]).success();
        assert!(!workspace.exists());
    });
}

#[test]
fn only_what_loom_made_is_removed() {
    with_repo(|repo| {
        let workspace = snapshot(repo, &[]);
        fs::remove_dir_all(&workspace).unwrap();
        fs::create_dir(&workspace).unwrap();
        fs::write(workspace.join("mine"), "not a snapshot").unwrap();
        run(repo, &["prune", "--all"]).success().stdout("");
        assert!(workspace.join("mine").exists(), "another folder has taken the place");
        assert_eq!(documents(repo), 0);
        repo.sandbox().allow(Leftovers::AnyFile);
    });
}

#[test]
fn a_job_cannot_send_prune_elsewhere() {
    with_repo(|repo| {
        let workspace = snapshot(repo, &[]);
        fs::remove_dir_all(repo.runtime()).unwrap();
        let inside = workspace.join(".git/loom-snapshot.json");
        let record = fs::read_to_string(&inside).unwrap();
        let precious = repo.path("precious.json");
        fs::write(&precious, "{}").unwrap();
        let forged = record.replace(id(&workspace), "../../../precious");
        assert_ne!(forged, record);
        fs::write(&inside, forged).unwrap();
        run(repo, &["prune", "--all"]).success();
        assert!(precious.exists() && workspace.exists());
        repo.sandbox().allow(Leftovers::AnyFile);
    });
}

#[test]
fn folders_that_a_job_made_read_only_are_removed() {
    with_repo(|repo| {
        let workspace = snapshot(repo, &[]);
        let folder = workspace.join("cache/mod");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x"), "x").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        run(repo, &["rm", "latest"]).success();
        assert!(!workspace.exists());
    });
}

#[test]
fn a_record_that_a_killed_command_was_writing_is_removed_and_a_living_ones_is_not() {
    with_repo(|repo| {
        snapshot(repo, &[]);
        let folder = repo.path(".loom/.runtime/snapshots");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let orphan = folder.join("loom-snapshot-1-3.index");
        fs::write(&orphan, "").unwrap();
        let cut = folder.join(format!(".tmp-{}-0-loom-snapshot-1-2.json", ended.id()));
        let alive = folder.join(format!(".tmp-{}-0-loom-snapshot-1-2.json", std::process::id()));
        for path in [&cut, &alive] {
            fs::write(path, "").unwrap();
        }
        run(repo, &["list"]).success().stderr(contains("left out").not());
        run(repo, &["prune"]).success();
        assert!(!cut.exists() && alive.exists() && !orphan.exists());
        fs::remove_file(alive).unwrap();
    });
}

#[test]
fn repositories_whose_names_are_not_utf_8_are_told_apart() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let make = |name: &[u8]| {
        let folder = sandbox.root().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        let mut git = sandbox.program("git".as_ref());
        assert!(git.args(["init", "-q"]).current_dir(&folder).status().unwrap().success());
        fs::write(folder.join("file"), "f").unwrap();
        let mut create = sandbox.command("loom-snapshot");
        let assert = create.arg("create").current_dir(&folder).assert().success();
        let made = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        fs::remove_dir_all(folder.join(".loom")).unwrap();
        (folder, made.trim().to_owned())
    };
    let (first, second) = (make(b"name-\xff"), make(b"name-\xfe"));
    for ((folder, own), (_, other)) in [(&first, &second), (&second, &first)] {
        let mut list = sandbox.command("loom-snapshot");
        let assert = list.arg("list").current_dir(folder).assert().success();
        assert.stdout(contains(own.as_str()).and(contains(other.as_str()).not()));
    }
    sandbox.allow(Leftovers::AnyFile);
}

#[test]
fn a_snapshot_whose_record_was_lost_is_found() {
    with_repo(|repo| {
        let workspace = snapshot(repo, &[]);
        fs::remove_dir_all(repo.runtime()).unwrap();
        run(repo, &["list"]).success().stdout(contains(id(&workspace)));
        run(repo, &["rm", "latest"]).success();
        assert!(!workspace.exists());
    });
}

/// A repository that takes long enough to copy to be interrupted.
fn slow(repo: &Repo<'_>) {
    for number in 0..6 {
        let file = File::create(repo.path(format!("large-{number}"))).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b'x'), 64 << 20), &mut &file)
            .unwrap();
    }
}

#[test]
fn a_signal_leaves_nothing_behind() {
    with_repo(|repo| {
        slow(repo);
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut child = quiet(repo).spawn().unwrap();
            wait_until("it has begun", LIMIT, || !partials(&repo.sandbox().temp()).is_empty());
            let pid = child.id().to_string();
            assert!(repo.program("kill").args([signal, &pid]).status().unwrap().success());
            assert_eq!(child.wait().unwrap().code(), Some(code));
            assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_signal_does_not_wait_for_a_large_file() {
    with_repo(|repo| {
        let file = File::create(repo.path("large")).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b'x'), 512 << 20), &mut &file)
            .unwrap();
        let mut child = quiet(repo).spawn().unwrap();
        let copy = || {
            partials(&repo.sandbox().temp()).iter().find_map(|p| p.join("large").metadata().ok())
        };
        wait_until("it has begun", LIMIT, || copy().is_some_and(|copy| copy.len() > 0));
        let pid = child.id().to_string();
        assert!(repo.program("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(fs::read_dir(repo.sandbox().temp()).unwrap().count(), 0);
    });
}

#[test]
fn what_a_killed_command_left_is_removed_by_prune_and_what_a_living_one_makes_is_not() {
    with_repo(|repo| {
        slow(repo);
        let temp = repo.sandbox().temp();
        let start = || {
            let before = partials(&temp).len();
            let child = quiet(repo).spawn().unwrap();
            wait_until("it has begun", LIMIT, || partials(&temp).len() > before);
            child
        };
        let mut dead = start();
        dead.kill().unwrap();
        dead.wait().unwrap();
        assert_eq!(partials(&temp).len(), 1);
        let mut alive = start();
        run(repo, &["prune"]).success().stderr(contains("1 unfinished"));
        assert!(alive.wait().unwrap().success(), "the living one was not disturbed");
        assert_eq!(partials(&temp), Vec::<PathBuf>::new());
    });
}

fn quiet(repo: &Repo<'_>) -> std::process::Command {
    let mut command = repo.process("loom-snapshot");
    command.arg("create").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

#[test]
fn creations_at_the_same_time_do_not_disturb_each_other() {
    with_repo(|repo| {
        for number in 0..200 {
            repo.write(format!("file-{number}"), format!("{number}\n"));
        }
        let expected = tree_list(repo.sandbox(), repo.root());
        let children: Vec<_> = (0..6).map(|_| quiet(repo).spawn().unwrap()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let made: Vec<_> =
            fs::read_dir(repo.sandbox().temp()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(made.len(), 6);
        for path in made {
            assert_same_list(&expected, &tree_list(repo.sandbox(), &path));
        }
    });
}
