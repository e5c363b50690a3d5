//! Jobs in containers: what they find, what they leave, and how their end is told.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use libloom_testkit::{Engine, Repo, Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::docker_job::{IMAGE, jobs, provider_events, run, said, stages, told, with_repo};
use crate::ran::Ran;

/// For what takes no time but on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

on_engines!(a_job_finds_its_variables_and_the_images_but_not_the_hosts);
fn a_job_finds_its_variables_and_the_images_but_not_the_hosts(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "variables: {MINE: 'a $HOME', OWN_PATH: '/opt/bin:$PATH'}";
        let entries = [
            "pwd; stat -c %u:%g .",
            "echo $LOOM_PROVIDER $CI",
            "echo $MINE; echo $OWN_PATH",
            "env",
        ];
        repo.workflow(&jobs(&[("box", keys, &entries)])).commit("a job");
        let mut command = repo.command("loom-run");
        let ran = Ran::by(command.env("OF_THE_HOST", "secret")).expect_code(0);
        let owner = fs::metadata(repo.root()).unwrap();
        assert_eq!(said(&ran, 1), format!("/workspace\n{}:{}\n", owner.uid(), owner.gid()));
        assert_eq!(said(&ran, 2), "docker true\n");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(said(&ran, 3), format!("a $HOME\n/opt/bin:{path}\n"));
        let environment = said(&ran, 4);
        assert!(!environment.contains("OF_THE_HOST"), "{environment}");
        assert!(!environment.contains(repo.root().to_str().unwrap()), "{environment}");
        assert!(environment.lines().any(|line| line.starts_with("LOOM_RUN_ID=")), "{environment}");
    });
}

on_engines!(a_path_of_the_job_survives_the_login_shell);
fn a_path_of_the_job_survives_the_login_shell(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "image: {name: 'debian:bookworm-slim', network: none}\nvariables: {PATH: '/opt/own:$PATH'}";
        let ran = run(repo, keys, &["echo $PATH", "command -v bash"]).expect_code(0);
        assert!(said(&ran, 1).starts_with("/opt/own:"), "{}", said(&ran, 1));
        assert_eq!(said(&ran, 2), "/usr/bin/bash\n");
    });
}

on_engines!(one_shell_runs_all_entries_and_another_what_comes_after);
fn one_shell_runs_all_entries_and_another_what_comes_after(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "before_script: ['mkdir a; cd a; X=1']\nafter_script: ['pwd; echo [$X]; cat /tmp/kept']";
        let ran = run(repo, keys, &["pwd; echo $X >/tmp/kept", "exit 3", "echo never"]);
        let ran = ran.expect_code(1);
        assert_eq!(said(&ran, 1), "/workspace/a\n");
        assert_eq!(ran.output_text("box", "after_script/01", "stdout"), "/workspace\n[]\n1\n");
        assert_eq!(ran.step("box", "script/02")["exit_code"], 3);
        assert_eq!(ran.step("box", "script/03")["status"], "skipped");
        let manifest = ran.job("box");
        assert_eq!(
            (&manifest["status"], &manifest["reason"]),
            (&"failure".into(), &"step_failed".into())
        );
    });
}

on_engines!(streams_are_recorded_byte_by_byte_and_apart);
fn streams_are_recorded_byte_by_byte_and_apart(engine: &Engine) {
    with_repo(engine, |repo| {
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000_001).collect();
        repo.write("bytes", &bytes).commit("bytes");
        let entries =
            ["cat bytes; printf 'no end' >&2", "cat bytes >&2; printf x; printf '\\377\\n'"];
        let ran = run(repo, "", &entries).expect_code(0);
        assert!(ran.output("box", "script/01", "stdout") == bytes);
        assert_eq!(ran.output("box", "script/01", "stderr"), b"no end");
        assert!(ran.output("box", "script/02", "stderr") == bytes);
        assert_eq!(ran.output("box", "script/02", "stdout"), b"x\xff\n");
    });
}

on_engines!(much_output_before_the_end_is_not_lost);
fn much_output_before_the_end_is_not_lost(engine: &Engine) {
    with_repo(engine, |repo| {
        let entry = "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n 400000";
        let ran = run(repo, "", &[entry, "seq 100000; exit 5"]).expect_code(1);
        let step = ran.output("box", "script/01", "stdout");
        assert_eq!(step.len(), 400_000 * 71);
        let last = said(&ran, 2);
        assert!(last.ends_with("99999\n100000\n") && last.lines().count() == 100_000);
        assert_eq!(ran.step("box", "script/02")["exit_code"], 5);
    });
}

on_engines!(a_trace_is_written_when_asked_for);
fn a_trace_is_written_when_asked_for(engine: &Engine) {
    with_repo(engine, |repo| {
        let ran = run(repo, "variables: {LOOM_DEBUG_TRACE: 'yes'}", &["A=1; echo said $A"]);
        let ran = ran.expect_code(0);
        let trace = ran.output_text("box", "script/01", "stderr");
        assert!(trace.contains("+ echo said 1\n"), "{trace}");
        assert_eq!(said(&ran, 1), "said 1\n");
    });
}

on_engines!(changes_stay_in_the_volume_and_reach_the_workspace_of_a_bind_mount);
fn changes_stay_in_the_volume_and_reach_the_workspace_of_a_bind_mount(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.write("kept", "old").write("gone", "").commit("files");
        let entries = ["cat kept; ls gone", "echo new >made; echo changed >kept; rm gone"];
        repo.workflow(&jobs(&[("box", "", &entries)])).commit("a job");
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(said(&ran, 1), "oldgone\n");
        assert_eq!(told(&ran, "box", "workspace_mount"), "ephemeral_volume");
        let workspace = ran.workspace();
        assert_eq!(fs::read_to_string(workspace.join("kept")).unwrap(), "old");
        assert!(workspace.join("gone").exists() && !workspace.join("made").exists());

        let ran = Ran::of(repo, &["--docker-workspace-mount", "bind_mount"]).expect_code(0);
        assert_eq!(told(&ran, "box", "workspace_mount"), "bind_mount");
        let workspace = ran.workspace();
        assert_eq!(fs::read_to_string(workspace.join("kept")).unwrap(), "changed\n");
        assert_eq!(fs::read_to_string(workspace.join("made")).unwrap(), "new\n");
        assert!(!workspace.join("gone").exists());
        assert_eq!(fs::read_to_string(repo.path("kept")).unwrap(), "old", "the repository's own");
    });
}

on_engines!(a_flag_beats_the_environment_beats_the_configuration);
fn a_flag_beats_the_environment_beats_the_configuration(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.workflow(&jobs(&[("box", "", &["true"])]));
        let user = repo.sandbox().home().join(".config/loom/config.yml");
        fs::create_dir_all(user.parent().unwrap()).unwrap();
        let mount = |environment: &str, arguments: &[&str]| {
            let mut command = repo.command("loom-run");
            command.args(arguments);
            if !environment.is_empty() {
                command.env("LOOM_DOCKER_WORKSPACE_MOUNT", environment);
            }
            let ran = Ran::by(&mut command).expect_code(0);
            told(&ran, "box", "workspace_mount").as_str().unwrap().to_owned()
        };
        assert_eq!(mount("", &[]), "ephemeral_volume");
        fs::write(&user, "runtime: {docker: {workspaceMount: bind_mount}}\n").unwrap();
        assert_eq!(mount("", &[]), "bind_mount", "the user's configuration");
        repo.write(".loom/config.yml", "runtime: {docker: {workspaceMount: ephemeral_volume}}\n");
        assert_eq!(mount("", &[]), "ephemeral_volume", "the repository's");
        assert_eq!(mount("bind_mount", &[]), "bind_mount", "the environment's");
        let flag = ["--docker-workspace-mount", "ephemeral_volume"];
        assert_eq!(mount("bind_mount", &flag), "ephemeral_volume", "the flag's");
    });
}

on_engines!(an_unknown_mount_is_refused_before_anything_is_made);
fn an_unknown_mount_is_refused_before_anything_is_made(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.workflow(&jobs(&[("box", "", &["true"])]));
        let ran = Ran::of(repo, &["--docker-workspace-mount", "somehow"]).expect_code(2);
        ran.expect_said(&["somehow", "bind_mount", "ephemeral_volume"]);
        let mut command = repo.command("loom-run");
        let ran = Ran::by(command.env("LOOM_DOCKER_WORKSPACE_MOUNT", "somehow"));
        assert_ne!(ran.code, Some(0));
        ran.expect_said(&["LOOM_DOCKER_WORKSPACE_MOUNT", "somehow"]);
    });
}

on_engines!(an_image_is_run_as_its_keys_say);
fn an_image_is_run_as_its_keys_say(engine: &Engine) {
    with_repo(engine, |repo| {
        let image = |keys: &str| format!("image: {{name: '{IMAGE}', network: none, {keys}}}");
        let own = format!(
            "{}:{}",
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw()
        );
        repo.workflow(&jobs(&[
            ("nobody", &image("user: '65534:65534'"), &["id -u; id -g; echo x >made && rm made"]),
            ("me", &image("user: host"), &["echo $(id -u):$(id -g)"]),
            ("entered", &image("entrypoint: [env, ENTERED=1]"), &["echo $ENTERED"]),
            ("alone", &image("user: '0'"), &["ls /sys/class/net"]),
        ]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        let said = |job: &str| ran.output_text(job, "script/01", "stdout");
        assert_eq!(said("nobody"), "65534\n65534\n");
        assert_eq!(said("me"), format!("{own}\n"));
        assert_eq!(said("entered"), "1\n");
        assert_eq!(said("alone"), "lo\n");
    });
}

on_engines!(the_images_own_entrypoint_does_not_run);
fn the_images_own_entrypoint_does_not_run(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "image: {name: 'redis:7', network: none}";
        let ran = run(repo, keys, &["redis-server --version | cut -c 1-12; id -u"]).expect_code(0);
        assert_eq!(said(&ran, 1), "Redis server\n0\n");
    });
}

on_engines!(a_network_is_there_unless_the_job_says_none);
fn a_network_is_there_unless_the_job_says_none(engine: &Engine) {
    with_repo(engine, |repo| {
        let ran = run(repo, &format!("image: {IMAGE}"), &["ls /sys/class/net"]).expect_code(0);
        assert!(said(&ran, 1).lines().any(|name| name.starts_with("eth")), "{}", said(&ran, 1));
        assert_ne!(told(&ran, "box", "network"), "none");
        let ran = run(repo, "", &["ls /sys/class/net"]).expect_code(0);
        assert_eq!(said(&ran, 1), "lo\n");
        assert_eq!(told(&ran, "box", "network"), "none");
    });
}

on_engines!(limits_hold_in_the_container);
fn limits_hold_in_the_container(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "resources: {cpus: '0.5', memory: 64m, pids: 50, shm_size: 8m}";
        let entries = [
            "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes || cat memory.max",
            "cd /sys/fs/cgroup; cat pids/pids.max || cat pids.max",
            "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us || cat cpu.max",
            "df -k /dev/shm | awk 'NR == 2 {print $2}'",
        ];
        let ran = run(repo, keys, &entries).expect_code(0);
        assert_eq!(said(&ran, 1), "67108864\n");
        assert_eq!(said(&ran, 2), "50\n");
        let cpu: Vec<f64> = said(&ran, 3).split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!(cpu[0] / cpu[1], 0.5);
        assert_eq!(said(&ran, 4), "8192\n");
    });
}

on_engines!(
    memory_that_ran_out_is_told,
    "podman cannot: `State.OOMKilled` of `GET /containers/ID/json` is false after an OOM kill (4.3, cgroup v1)"
);
fn memory_that_ran_out_is_told(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "resources: {memory: 16m}";
        let ran = run(repo, keys, &["x=$(head -c 100m /dev/zero | tr '\\0' x); echo $?"]);
        let ran = ran.expect_code(1).expect_said(&["memory"]);
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "failure");
        assert_eq!(manifest["reason"], "out_of_memory", "{manifest:#}");
    });
}

on_engines!(a_container_that_is_killed_from_outside_fails_its_job);
fn a_container_that_is_killed_from_outside_fails_its_job(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.workflow(&jobs(&[("box", "", &["echo here; sleep 1000"])]));
        let mut process = repo.process("loom-run");
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = process.spawn().unwrap();
        let id = running_container(engine, repo);
        let (status, _) = engine.ask("POST", &format!("/containers/{id}/kill?signal=KILL"), b"");
        assert_eq!(status, 204);
        let ran = Ran::from_output(&child.wait_with_output().unwrap()).expect_code(1);
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "failure");
        assert_eq!(ran.step("box", "script/01")["exit_code"], 137, "{manifest:#}");
        assert_eq!(said(&ran, 1), "here\n");
    });
}

/// The id of the one container of the repository's runs, once it runs and has said something.
fn running_container(engine: &Engine, repo: &Repo<'_>) -> String {
    let label = format!("loom.repo={}", repo.root().display());
    let mut id = String::new();
    wait_until("a container of the job runs", LIMIT, || {
        let objects = engine.labelled(&label);
        let containers = objects.iter().filter(|object| object.kind == "containers");
        let is_running =
            |id: &str| engine.get(&format!("/containers/{id}/json"))["State"]["Running"] == true;
        id = containers
            .map(|object| object.id.clone())
            .find(|id| is_running(id))
            .unwrap_or_default();
        !id.is_empty() && wrote_something(repo)
    });
    id
}

/// Whether an entry of a job of a run in this repository has written something.
fn wrote_something(repo: &Repo<'_>) -> bool {
    let mut command = repo.program("grep");
    command.args(["-rqs", "--include=events.jsonl", "\"event\":\"output\"", "--"]);
    command.arg(repo.runtime().join("logs")).status().unwrap().success()
}

on_engines!(a_job_whose_time_is_up_ends_with_all_its_processes);
fn a_job_whose_time_is_up_ends_with_all_its_processes(engine: &Engine) {
    with_repo(engine, |repo| {
        let tidy = "trap 'sleep 0.5; echo told; exit' TERM; while :; do sleep 0.1; done";
        let entry = format!("({tidy}) & sh -c \"{tidy}\"");
        let ran = run(repo, "timeout: 2s", &[&entry]).expect_code(1);
        let manifest = ran.job("box");
        assert_eq!(
            (&manifest["status"], &manifest["reason"]),
            (&"failure".into(), &"timeout".into())
        );
        assert_eq!(
            said(&ran, 1),
            "told\ntold\n",
            "TERM reaches every process, and each has its time"
        );
    });
}

on_engines!(ctrl_c_ends_a_job_gently);
fn ctrl_c_ends_a_job_gently(engine: &Engine) {
    with_repo(engine, |repo| {
        let entry = "trap 'echo told; exit 0' TERM; echo here; sleep 1000 & wait; wait";
        let ran = interrupted(engine, repo, entry, &[], Signal::INT);
        let ran = ran.expect_code(130);
        assert_eq!(said(&ran, 1), "here\ntold\n");
        let manifest = ran.job("box");
        assert_eq!(manifest["status"], "cancelled", "{manifest:#}");
    });
}

/// A run of one job `box` that gets this signal once it has written something.
fn interrupted(
    engine: &Engine,
    repo: &Repo<'_>,
    entry: &str,
    arguments: &[&str],
    signal: Signal,
) -> Ran {
    repo.workflow(&jobs(&[("box", "", &[entry])]));
    let mut process = repo.process("loom-run");
    process.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = process.spawn().unwrap();
    running_container(engine, repo);
    kill_process(Pid::from_child(&child), signal).unwrap();
    Ran::from_output(&child.wait_with_output().unwrap())
}

on_engines!(artifacts_come_out_of_either_mount_and_reach_later_jobs);
fn artifacts_come_out_of_either_mount_and_reach_later_jobs(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.write("dist/old", "old").commit("files");
        let make = "mkdir -p dist/deep; echo a >dist/a; echo b >dist/deep/b.map; chmod 750 dist/a; ln -s a dist/link";
        let artifacts = "artifacts: {paths: [dist/], exclude: ['dist/**/*.map']}";
        let entries = [make, "rm dist/old; echo no >undeclared"];
        let look = ["cat dist/a; readlink dist/link; ls undeclared || echo none"];
        repo.workflow(&stages(&[
            ("make", artifacts, &entries),
            ("box", "", &look),
            ("host", "image: ''", &look),
        ]))
        .commit("jobs");
        for mount in ["ephemeral_volume", "bind_mount"] {
            let ran = Ran::of(repo, &["--docker-workspace-mount", mount]).expect_code(0);
            let files = ran.logs().join("jobs/make/artifacts");
            assert_eq!(fs::read_to_string(files.join("dist/a")).unwrap(), "a\n");
            let mode = fs::metadata(files.join("dist/a")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o750);
            assert_eq!(fs::read_link(files.join("dist/link")).unwrap(), Path::new("a"));
            assert!(!files.join("dist/deep/b.map").exists() && !files.join("dist/old").exists());
            assert!(files.join("artifacts.tar.gz").exists());
            let others = if mount == "bind_mount" { "undeclared\n" } else { "none\n" };
            for job in ["box", "host"] {
                let said = ran.output_text(job, "script/01", "stdout");
                assert_eq!(said, format!("a\na\n{others}"), "{job} after {mount}");
            }
        }
    });
}

on_engines!(all_changes_come_back_when_asked_for_and_none_else);
fn all_changes_come_back_when_asked_for_and_none_else(engine: &Engine) {
    with_repo(engine, |repo| {
        repo.write("gone", "").write("folder/in", "").write("kept", "old").commit("files");
        let change = "echo new >kept; rm gone; rm -r folder; mkdir folder; echo x >folder/made";
        repo.workflow(&stages(&[
            ("make", "artifacts: {paths: [kept]}", &[change]),
            ("host", "image: ''", &["cat kept; echo $(ls . folder)"]),
        ]))
        .commit("jobs");
        for (sync, expected) in [
            ("full", "new\n.: folder kept folder: made\n"),
            ("declared", "new\n.: folder gone kept folder: in\n"),
            ("none", "old.: folder gone kept folder: in\n"),
        ] {
            let ran = Ran::of(repo, &["--docker-workspace-sync", sync]).expect_code(0);
            assert_eq!(ran.output_text("host", "script/01", "stdout"), expected, "{sync}");
            let artifact = ran.logs().join("jobs/make/artifacts/kept");
            assert_eq!(fs::read_to_string(artifact).unwrap(), "new\n", "{sync}");
        }
    });
}

on_engines!(what_the_container_makes_belongs_to_the_caller_in_the_logs);
fn what_the_container_makes_belongs_to_the_caller_in_the_logs(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "artifacts: {paths: [out]}";
        let entry = "mkdir out; echo x >out/x; chown 12345:12345 out/x out";
        let ran = run(repo, keys, &[entry]).expect_code(0);
        let me = rustix::process::getuid().as_raw();
        for path in ["out", "out/x"] {
            let file = fs::metadata(ran.logs().join("jobs/box/artifacts").join(path)).unwrap();
            assert_eq!(file.uid(), me, "{path}");
        }
    });
}

on_engines!(the_provider_tells_what_it_did);
fn the_provider_tells_what_it_did(engine: &Engine) {
    with_repo(engine, |repo| {
        let ran = run(repo, "", &["cat /etc/hostname"]).expect_code(0);
        assert_eq!(told(&ran, "box", "provider"), "docker");
        assert_eq!(told(&ran, "box", "image"), IMAGE);
        let id = told(&ran, "box", "image_id");
        assert!(id.as_str().unwrap().trim_start_matches("sha256:").len() == 64, "{id}");
        let id = told(&ran, "box", "container_id");
        assert_eq!(id.as_str().unwrap().len(), 64, "{id}");
        assert!(!told(&ran, "box", "seed").as_str().unwrap().is_empty());
        let phases: Vec<_> =
            provider_events(&ran, "box").iter().map(|event| event["phase_code"].clone()).collect();
        assert!(phases.contains(&"job.provider_prepare".into()), "{phases:?}");
    });
}

on_engines!(jobs_run_beside_each_other_each_in_a_container_of_its_own);
fn jobs_run_beside_each_other_each_in_a_container_of_its_own(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys = "parallel: 6";
        repo.workflow(&jobs(&[(
            "box",
            keys,
            &["cat /etc/hostname; echo x >mine; sleep 0.5; cat mine"],
        )]));
        let ran = Ran::of(repo, &["--jobs", "6"]).expect_code(0);
        let mut names: Vec<String> = (1..=6)
            .map(|k| ran.output_text(&format!("box-{k}"), "script/01", "stdout"))
            .map(|said| said.lines().next().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6, "{names:?}");
    });
}

on_engines!(a_script_of_any_length_runs);
fn a_script_of_any_length_runs(engine: &Engine) {
    with_repo(engine, |repo| {
        let long = format!("printf %s '{}' | wc -c", "x".repeat(200_000));
        let ran = run(repo, "", &[&long, "echo after"]).expect_code(0);
        assert_eq!(said(&ran, 1).trim(), "200000");
        assert_eq!(said(&ran, 2), "after\n");
    });
}

on_engines!(what_cannot_be_started_says_why);
fn what_cannot_be_started_says_why(engine: &Engine) {
    with_repo(engine, |repo| {
        let keys =
            format!("image: {{name: '{IMAGE}', network: none, entrypoint: [/no/such/program]}}");
        let ran = run(repo, &keys, &["true"]).expect_code(1).expect_said(&["/no/such/program"]);
        let manifest = ran.job("box");
        assert_eq!(manifest["reason"], "section_failed", "{manifest:#}");
        let keys = format!("image: {{name: '{IMAGE}', network: none, user: nosuchuser}}");
        run(repo, &keys, &["true"]).expect_code(1).expect_said(&["nosuchuser"]);
    });
}

#[test]
fn no_engine_is_said_in_the_documented_words() {
    let sandbox = Sandbox::new();
    let address = format!("unix://{}", sandbox.root().join("none.sock").display());
    sandbox.use_address(&address);
    let repo = sandbox.repo();
    repo.workflow(&jobs(&[("box", "", &["true"]), ("host", "image: ''", &["echo ran"])]));
    let ran = Ran::of(&repo, &[]);
    let words = "docker daemon unavailable: cannot connect to the Docker daemon at ";
    let ran = ran.expect_said(&[&format!("{words}{address}")]);
    assert_ne!(ran.code, Some(0));
    let manifest = ran.job("box");
    assert_eq!(manifest["status"], "failure");
    assert_eq!(manifest["reason"], "provider_unavailable");
    assert_eq!(ran.output_text("host", "script/01", "stdout"), "ran\n", "another job still runs");
}

on_engines!(a_run_without_container_jobs_does_not_ask_the_engine);
fn a_run_without_container_jobs_does_not_ask_the_engine(engine: &Engine) {
    crate::docker_job::with_proxy(engine, |repo, proxy| {
        repo.workflow(&jobs(&[("host", "image: ''", &["echo $LOOM_PROVIDER"])]));
        let ran = Ran::of(repo, &[]).expect_code(0);
        assert_eq!(ran.output_text("host", "script/01", "stdout"), "host\n");
        assert_eq!(proxy.requests(), [""; 0]);
    });
}
