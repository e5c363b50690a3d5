//! How a volume gets the workspace, and gives back what a job changed: each way must look the same.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use libloom_testkit::{Engine, Fault, Proxy, Repo, Sandbox, assert_same_list, tree_list};

use crate::docker_job::{IMAGE, jobs, run, said, stages, told, with_proxy, with_repo};
use crate::ran::Ran;

const SEEDS: [&str; 3] = ["overlay", "copy", "upload"];

/// A run whose volumes are seeded in this way, or as Loom chooses.
fn run_seeded(repo: &Repo<'_>, seed: &str, arguments: &[&str]) -> Ran {
    let mut command = repo.command("loom-run");
    Ran::by(command.env("LOOM_DOCKER_VOLUME_SEED", seed).args(arguments))
}

/// A workspace with everything that git keeps, and names that are hard to pass on.
fn hard_files(repo: &Repo<'_>) {
    repo.write("plain", "text\n")
        .write("deep/er/file", vec![7_u8; 100_000])
        .write("run", "#!/bin/sh\n");
    repo.mode("run", 0o755);
    for name in ["with space", "a,b:c", "back\\slash", "ä €", "-dash", "'q\"uote"] {
        repo.write(name, name);
    }
    repo.symlink("plain", "link").symlink("/nowhere", "broken");
}

/// Type, mode, owner, size, link and name of everything in the workspace, git's own apart.
const LIST: &str = "stat -c %u:%g .; find . -path ./.git -prune -o -path ./.loom -prune -o ! -type d -print | sort | \
    while IFS= read -r f; do stat -c '%F %a %u:%g %s %N' \"./$f\"; done; cat plain deep/er/file | md5sum";

on_engines!(each_way_gives_the_same_workspace);
fn each_way_gives_the_same_workspace(engine: &Engine) {
    with_repo(engine, |repo| {
        hard_files(repo);
        repo.workflow(&jobs(&[(
            "box",
            "",
            &[LIST, "touch new deep/new && mkdir x && rm -r deep"],
        )]));
        repo.commit("files");
        let seen = SEEDS.map(|seed| {
            let ran = run_seeded(repo, seed, &[]).expect_code(0);
            assert_eq!(told(&ran, "box", "seed"), seed);
            assert!(ran.workspace().join("deep/er/file").exists(), "{seed} leaves the workspace");
            said(&ran, 1)
        });
        assert_eq!(seen[0].lines().count(), 13, "{}", seen[0]);
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    });
}

/// Every kind of change: of content, mode, name and type; deletions, and folders made anew.
const CHANGES: &[&str] = &[
    "echo more >>plain; chmod 700 run; rm link; mkdir link; echo x >link/in",
    "rm -r deep; mkdir -p deep/fresh; echo y >deep/fresh/z",
    "mv 'with space' moved; ln plain hard; ln -s moved soft; rm broken; rm -r gone; echo f >folder-to-file.tmp",
    "rm -r tree; mv folder-to-file.tmp tree; mkfifo pipe; mkdir empty; chmod 750 empty",
];

on_engines!(all_changes_of_an_overlay_come_back_as_a_bind_mount_has_them);
fn all_changes_of_an_overlay_come_back_as_a_bind_mount_has_them(engine: &Engine) {
    with_repo(engine, |repo| {
        hard_files(repo);
        repo.write("gone/a/b", "").write("tree/c", "").commit("files");
        repo.workflow(&stages(&[
            ("box", "", CHANGES),
            ("look", "", &["cat plain link/in deep/fresh/z tree; test ! -e deep/er -a ! -e gone"]),
        ]));
        repo.commit("jobs");
        let changed = |arguments: &[&str]| {
            let ran = Ran::of(repo, arguments).expect_code(0);
            let look = ran.output_text("look", "script/01", "stdout");
            assert_eq!(look, "text\nmore\nx\ny\nf\n", "a later job sees it: {arguments:?}");
            let workspace = ran.workspace();
            let mode = |path: &str| fs::metadata(workspace.join(path)).unwrap().mode() & 0o777;
            assert_eq!((mode("run"), mode("empty")), (0o700, 0o750), "{arguments:?}");
            assert_eq!(fs::read_link(workspace.join("soft")).unwrap(), Path::new("moved"));
            assert!(!workspace.join("gone").exists() && !workspace.join("deep/er").exists());
            tree_list(repo.sandbox(), &workspace)
        };
        let bound = changed(&["--docker-workspace-mount", "bind_mount"]);
        assert_same_list(&bound, &changed(&["--docker-workspace-sync", "full"]));
    });
}

on_engines!(all_changes_come_back_out_of_an_overlay_alone);
fn all_changes_come_back_out_of_an_overlay_alone(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.workflow(&jobs(&[("box", "", &["echo never"])])).commit("a job");
        for seed in ["copy", "upload"] {
            let ran = run_seeded(repo, seed, &["--docker-workspace-sync", "full"]).expect_code(1);
            let ran = ran.expect_said(&["out of an overlay volume", "`declared`", "`bind_mount`"]);
            assert_eq!(said(&ran, 1), "", "{seed}");
        }
    });
}

on_engines!(an_image_without_root_writes_to_the_volume_in_each_way);
fn an_image_without_root_writes_to_the_volume_in_each_way(engine: &Engine) {
    with_repo(engine, |repo| {
        let image = format!("image: {{name: '{IMAGE}', network: none, user: '65534'}}");
        let keys = format!("{image}\nartifacts: {{paths: [made]}}");
        repo.workflow(&jobs(&[("box", &keys, &["echo x >made"])])).commit("a job");
        for seed in SEEDS {
            let ran = run_seeded(repo, seed, &[]).expect_code(0);
            assert!(ran.logs().join("jobs/box/artifacts/made").exists(), "{seed}");
        }
    });
}

on_engines!(a_host_job_beside_it_keeps_the_workspace_from_being_laid_under);
fn a_host_job_beside_it_keeps_the_workspace_from_being_laid_under(engine: &Engine) {
    with_repo(engine, |repo| {
        let text = jobs(&[("box", "", &["true"]), ("host", "image: ''", &["echo x >made"])])
            .replace("stages: [ci]", "stages: [ci, later]");
        let later = jobs(&[("later", "", &["cat made"])]).replace("stage: ci", "stage: later");
        let later = later.split_once("later:").unwrap().1;
        repo.workflow(&format!("{text}later:{later}")).commit("jobs");
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(told(&ran, "box", "seed"), "copy");
        assert_eq!(told(&ran, "later", "seed"), "overlay");
        assert_eq!(ran.output_text("later", "script/01", "stdout"), "x\n");
    });
}

on_engines!(an_engine_elsewhere_is_sent_the_workspace);
fn an_engine_elsewhere_is_sent_the_workspace(engine: &Engine) {
    with_repo(engine, |repo| {
        let proxy = Proxy::new("tcp://127.0.0.1:0", engine.address());
        repo.sandbox().use_address(proxy.address());
        hard_files(repo);
        let keys = "artifacts: {paths: [made]}\nsecrets: {KEY: {ref: 'env://KEY_IN'}}";
        let entries = ["cat plain; cat $KEY", "echo x >made"];
        repo.workflow(&jobs(&[("box", keys, &entries)])).commit("a job");
        let mut command = repo.command("loom-run");
        let ran = Ran::by(command.env("KEY_IN", "key-4711")).expect_code(0);
        assert_eq!(told(&ran, "box", "seed"), "upload");
        assert_eq!(said(&ran, 1), "text\n[REDACTED:SECRET_KEY]");
        assert_eq!(fs::read_to_string(ran.logs().join("jobs/box/artifacts/made")).unwrap(), "x\n");
        assert!(proxy.count("PUT", "/containers/*/archive") > 0);
        let ran = Ran::of(repo, &["--docker-workspace-mount", "bind_mount"]).expect_code(1);
        ran.expect_said(&["bind_mount", "ephemeral_volume"]);
    });
}

on_engines!(a_refused_overlay_is_replaced_by_a_copy);
fn a_refused_overlay_is_replaced_by_a_copy(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let refusal = "error while mounting volume: failed to mount local volume: invalid argument";
        proxy.disturb("POST", "/containers/*/start", 1, Fault::Answer(500, refusal));
        let ran = run(repo, "", &["pwd; ls -a .loom"]).expect_code(0);
        assert_eq!(proxy.disturbed().len(), 1);
        assert!(said(&ran, 1).starts_with("/workspace\n"));
        assert_eq!(proxy.count("POST", "/volumes/create"), 2);
        proxy.leave_alone();
        proxy.disturb("POST", "/containers/*/start", 1, Fault::Answer(500, refusal));
        let ran = run_seeded(repo, "overlay", &[]).expect_code(1);
        ran.expect_said(&["docker container start failed", refusal]);
    });
}

on_engines!(a_place_that_is_hard_to_name_is_laid_under);
fn a_place_that_is_hard_to_name_is_laid_under(engine: &Engine) {
    with_repo(engine, |repo| {
        let seed_at = |folder: &str| {
            let place = repo.sandbox().temp().join(folder);
            fs::create_dir_all(&place).unwrap();
            repo.workflow(&jobs(&[(
                "box",
                "artifacts: {paths: [made]}",
                &["cat kept; echo x >made"],
            )]));
            repo.write("kept", "kept\n").commit("files");
            let mut command = repo.command("loom-run");
            let ran = Ran::by(command.env("LOOM_SNAPSHOT_DIR", &place)).expect_code(0);
            assert_eq!(said(&ran, 1), "kept\n", "{folder}");
            assert!(ran.logs().join("jobs/box/artifacts/made").exists(), "{folder}");
            fs::remove_dir_all(&place).unwrap();
            told(&ran, "box", "seed")
        };
        repo.sandbox().allow(libloom_testkit::Leftovers::AnyFile);
        assert_eq!(seed_at("a,b:c\\d e=$f'g"), "overlay");
        let long = vec!["x".repeat(200); 8].join("/");
        assert_eq!(seed_at(&long), "copy", "options of a mount end at 4,096 bytes");
    });
}

// Only root can be somebody else; `.ci/run` is root where it can.
on_engines!(what_root_made_in_the_container_is_no_trouble_to_a_caller_who_is_not);
fn what_root_made_in_the_container_is_no_trouble_to_a_caller_who_is_not(engine: &Engine) {
    with_proxy(engine, |repo, proxy| {
        let sandbox = repo.sandbox();
        let names = ["loom-run", "loom-compile", "loom-snapshot", "loom-clean", "loom-logs"];
        sandbox.install(&sandbox.bin(), &names);
        let make =
            "umask 077; mkdir -p out/deep left; echo x >out/deep/file; id -u; stat -c %u:%g .";
        let keys = "artifacts: {paths: [out]}";
        repo.workflow(&stages(&[
            ("box", keys, &[make]),
            ("host", "image: ''", &["cat out/deep/file"]),
        ]));
        repo.commit("a job");
        let socket = proxy.address().strip_prefix("unix://").unwrap();
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
        give_away(sandbox);
        let mut command = repo.program("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        let output = command.arg(sandbox.bin().join("loom-run")).output().unwrap();
        let ran = Ran::from_output(&output).expect_code(0);
        assert_eq!(said(&ran, 1), "0\n65534:65534\n", "root in the caller's workspace");
        assert_eq!(ran.output_text("host", "script/01", "stdout"), "x\n");
        for folder in [ran.logs(), ran.workspace()] {
            let mut find = Command::new("find");
            let found = find.arg(&folder).args(["!", "-user", "65534"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&found.stdout), "", "of others in {folder:?}");
        }
    });
}

/// Makes a caller without rights the owner of the sandbox.
fn give_away(sandbox: &Sandbox) {
    let status = Command::new("chown").args(["-Rh", "65534:65534"]).arg(sandbox.root()).status();
    assert!(status.unwrap().success());
}

on_engines!(a_link_out_of_the_workspace_is_not_followed_in_any_way);
fn a_link_out_of_the_workspace_is_not_followed_in_any_way(engine: &Engine) {
    with_repo(engine, |repo| {
        let outside = repo.sandbox().root().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        symlink(&outside, repo.path("way-out")).unwrap();
        let entry = format!(
            "rm way-out; mkdir way-out; echo evil >way-out/kept; ln -s {} other; echo evil >made",
            outside.display()
        );
        let keys = "artifacts: {paths: [way-out, other, made]}";
        repo.workflow(&stages(&[("box", keys, &[&entry]), ("host", "image: ''", &["cat made"])]));
        repo.commit("a job");
        for seed in SEEDS {
            run_seeded(repo, seed, &[]).expect_code(0);
            assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept", "{seed}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{seed}");
        }
    });
}
