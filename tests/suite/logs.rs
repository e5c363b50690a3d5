//! `loom logs` on runs that really happened, or were really killed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use libloom_contract::{
    layout::{Layout, RunLayout},
    receipt::RunReceipt,
    schema, store,
};
use libloom_testkit::{Leftovers, Repo, Sandbox, check_documents, source_root, wait_until};
use predicates::prelude::{Predicate as _, PredicateBooleanExt as _};
use predicates::str::{contains, starts_with};
use serde_json::Value;

const FAILING: &str = "\
version: v1
stages: [build, test, deploy]
build:
  stage: build
  script: [echo compiling]
test:
  stage: test
  script:
    - echo preparing
    - echo expected 1; echo found 2 >&2; exit 3
    - echo never
deploy:
  stage: deploy
  script: [echo deploying]
";

/// The second step of `slow` writes `going` and then waits.
const SLOW: &str = "\
version: v1
stages: [build, later]
slow:
  stage: build
  script: [echo one, echo going; sleep 600]
after:
  stage: later
  script: [echo two]
";

fn repo_with<'a>(sandbox: &'a Sandbox, workflow: &str) -> Repo<'a> {
    let repo = sandbox.repo();
    repo.workflow(workflow).commit("workflow");
    repo
}

fn failed_run(sandbox: &Sandbox) -> (Repo<'_>, RunReceipt) {
    let repo = repo_with(sandbox, FAILING);
    repo.loom().args(["run", "--local"]).assert().code(1);
    let receipt = only_receipt(&repo);
    (repo, receipt)
}

fn only_receipt(repo: &Repo<'_>) -> RunReceipt {
    let receipts = Layout::of_repository(repo.root()).receipts();
    let paths: Vec<PathBuf> =
        fs::read_dir(receipts).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    store::read(&paths[0]).unwrap()
}

fn run_of(repo: &Repo<'_>, receipt: &RunReceipt) -> RunLayout {
    Layout::of_repository(repo.root()).run(&receipt.run_id)
}

#[test]
fn bare_logs_explain_the_failing_step_with_its_evidence() {
    let sandbox = Sandbox::new();
    let (repo, receipt) = failed_run(&sandbox);
    let expected = contains("job test (stage test): failure (step failed)")
        .and(contains("step script/02: failure (exit code), exit code 3"))
        .and(contains("  $ echo expected 1; echo found 2 >&2; exit 3\n"))
        .and(contains("| expected 1\n").and(contains("| found 2\n")))
        .and(contains(format!("  cd {}\n", receipt.snapshot_path.as_ref().unwrap())));
    repo.loom().arg("logs").assert().success().stdout(expected).stderr("");
    let show = ["logs", "show", "latest", "--job", "test", "--step", "script/02", "--raw"];
    repo.loom().args(show).assert().success().stdout("expected 1\n");
    repo.loom().args(show).arg("--stderr").assert().success().stdout("found 2\n");
}

#[test]
fn explanation_walks_where_the_fields_of_the_documents_lead() {
    let sandbox = Sandbox::new();
    let (repo, receipt) = failed_run(&sandbox);
    let output = repo.loom().args(["logs", "explain", "--json"]).assert().success();
    let json = &output.get_output().stdout;
    assert!(json.len() <= 2048);
    let explained: Value = serde_json::from_slice(json).unwrap();
    let folder = Path::new(&receipt.logs_dir);
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let pipeline = read(Path::new(receipt.pipeline_manifest_path.as_ref().unwrap()));
    let job_path = pipeline["failing_job_manifest_path"].as_str().unwrap();
    let events_path = read(&folder.join(job_path))["failing_step_events_path"].clone();
    let walked = &explained["walked"];
    assert_eq!((&walked[1], &walked[2]), (&"pipeline/manifest.json".into(), &job_path.into()));
    assert_eq!(walked[3], events_path);
    assert!(folder.join(events_path.as_str().unwrap()).is_file());
    assert_eq!(explained["job"]["step"]["exit_code"], 3);
}

#[test]
fn logs_work_in_a_subfolder_and_in_the_workspace() {
    let sandbox = Sandbox::new();
    let (repo, receipt) = failed_run(&sandbox);
    repo.write("deep/down/file", "");
    let workspace = PathBuf::from(receipt.snapshot_path.as_ref().unwrap());
    for folder in [repo.path("deep/down"), workspace.join(".loom")] {
        let list = repo.loom().args(["logs", "list"]).current_dir(&folder).assert();
        list.success().stdout(contains(receipt.run_id.as_str()).and(contains("1 skipped")));
        let part = &receipt.run_id[receipt.run_id.len() - 6..];
        let explain = repo.loom().args(["logs", "explain", part]).current_dir(&folder).assert();
        explain.success().stdout(contains("| found 2"));
    }
}

#[test]
fn raw_output_is_byte_for_byte_what_the_steps_wrote() {
    let sandbox = Sandbox::new();
    let repo = repo_with(
        &sandbox,
        "version: v1\nstages: [a]\nbytes:\n  stage: a\n  script:\n    - cat data\n    - cat data\n",
    );
    let mut data = Vec::new();
    let random = File::open("/dev/urandom").unwrap();
    random.take(300_000).read_to_end(&mut data).unwrap();
    data.extend_from_slice(&b"\r10%\r20%\n".repeat(1_000));
    data.extend_from_slice(&[b'x'; 200_000]);
    repo.write("data", &data);
    repo.loom().args(["run", "--local"]).assert().success();
    let raw = repo.loom().args(["logs", "show", "--raw"]).assert().success();
    assert!(raw.get_output().stdout == data.repeat(2), "bytes differ");
    let shown = repo.loom().args(["logs", "show", "--step", "2"]).assert().success();
    let shown = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
}

/// Starts a run and comes back once its second step has written something.
fn start_slow_run(repo: &Repo<'_>) -> (Child, RunLayout) {
    let mut command = repo.process("loom-run");
    command.arg("--local").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let layout = Layout::of_repository(repo.root());
    let mut run = None;
    wait_until("the second step writes", Duration::from_secs(60), || {
        let folders = fs::read_dir(layout.logs()).into_iter().flatten().flatten();
        run = folders.map(|folder| RunLayout::at(folder.path())).next();
        let step = "jobs/slow/user/execution/script/02/events.jsonl";
        let events = run.as_ref().map(|run| fs::read_to_string(run.folder().join(step)));
        matches!(events, Some(Ok(text)) if text.contains("going"))
    });
    (child, run.unwrap())
}

/// Kills guard and worker at once; explains the run as soon as the last thread of both is gone.
fn explain_killed(repo: &Repo<'_>, mut guard: Child) -> (String, String) {
    let children = format!("/proc/{0}/task/{0}/children", guard.id());
    let workers = fs::read_to_string(children).unwrap();
    let all = format!("kill -9 {} {workers}", guard.id());
    assert!(repo.program("/bin/sh").args(["-c", &all]).status().unwrap().success());
    guard.wait().unwrap();
    let mut said = (String::new(), String::new());
    wait_until("the run is dead", Duration::from_secs(60), || {
        let output = repo.process("loom-logs").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        said = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{}", said.1);
        !said.0.contains("still running")
    });
    said
}

#[test]
fn run_in_progress_can_be_read_and_a_killed_one_is_completed() {
    let sandbox = Sandbox::new();
    // Ending what both left behind is the business of `loom run`, not of `loom logs`.
    sandbox.allow(Leftovers::Anything);
    let repo = repo_with(&sandbox, SLOW);
    let (guard, run) = start_slow_run(&repo);
    repo.loom().args(["logs", "list"]).assert().success().stdout(contains("  running"));
    repo.loom().arg("logs").assert().success().stdout(contains("still running"));
    let shown = contains("--- script/02 (running)\ngoing\n");
    repo.loom().args(["logs", "show"]).assert().success().stdout(shown);
    assert!(!run.summary().exists());
    let (stdout, stderr) = explain_killed(&repo, guard);
    let explained = || {
        contains("cancelled (interrupted), exit code 3")
            .and(contains("2 jobs: 2 cancelled"))
            .and(contains("step script/02: cancelled (interrupted)"))
            .and(contains("| going\n"))
    };
    assert!(explained().eval(&stdout), "{stdout}");
    assert!(stderr.contains("had been interrupted; its documents were completed"), "{stderr}");
    repo.loom().arg("logs").assert().success().stdout(explained()).stderr("");
    let list = ["logs", "list", "--status", "interrupted", "--json"];
    repo.loom().args(list).assert().success().stdout(starts_with("[{\"run_id\":"));
    check_documents(&repo.runtime());
}

/// Eight jobs of two steps each, two stages; the last job waits to be killed.
fn busy_workflow() -> String {
    let job = |number: usize| {
        let stage = if number < 4 { "one" } else { "two" };
        let last = if number == 7 { "sleep 600" } else { "echo b" };
        format!("job{number}:\n  stage: {stage}\n  script: [echo a, {last}]\n")
    };
    let jobs: String = (0..8).map(job).collect();
    format!("version: v1\nstages: [one, two]\n{jobs}")
}

#[test]
fn run_killed_at_any_moment_leaves_a_tree_that_is_completed() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::Anything);
    let workflow = busy_workflow();
    for files_before in [1, 2, 3, 4, 6, 9, 14, 20, 30, 45, 60, 75] {
        let repo = sandbox.repo_named(&format!("repo-{files_before}"));
        repo.workflow(&workflow).commit("workflow");
        let mut command = repo.process("loom-run");
        command.arg("--local").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = command.spawn().unwrap();
        let logs = Layout::of_repository(repo.root()).logs();
        wait_until("the run has written enough", Duration::from_secs(60), || {
            logs.is_dir() && files(&logs).len() >= files_before
        });
        let (stdout, _) = explain_killed(&repo, guard);
        assert!(stdout.contains("cancelled (interrupted), exit code 3"), "{stdout}");
        check_documents(&repo.runtime());
        let receipt = only_receipt(&repo);
        assert!(receipt.counts.total == 8 || receipt.graph_ir.is_none(), "{receipt:?}");
        assert!(run_of(&repo, &receipt).phase_report().is_file());
    }
}

#[test]
fn run_cut_short_anywhere_is_completed_and_readable() {
    let sandbox = Sandbox::new();
    let (repo, receipt) = failed_run(&sandbox);
    let run = run_of(&repo, &receipt);
    let backup = sandbox.root().join("backup");
    copy(&repo, run.folder(), &backup);
    for path in files(run.folder()) {
        let length = fs::metadata(&path).unwrap().len();
        for length in [0, 1, length / 2, length - 1] {
            copy(&repo, &backup, run.folder());
            fs::remove_file(Layout::of_repository(repo.root()).run_receipt(&receipt.run_id))
                .unwrap();
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            repo.command("loom-logs").assert().success().stdout(contains("job test"));
            check_documents(&repo.runtime());
        }
    }
}

/// Makes `to` a copy of `from`.
fn copy(repo: &Repo<'_>, from: &Path, to: &Path) {
    let command = "rm -rf \"$2\" && cp -a \"$1\" \"$2\"";
    let mut shell = repo.program("/bin/sh");
    let status = shell.args(["-c", command, "sh"]).arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // While a run goes on, temporary names come and go.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn invalid_workflow_is_explained_with_its_diagnostics() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, "version: v1\nstages: [a]\njob:\n  stage: b\n  script: [x]\n");
    repo.loom().args(["run", "--local"]).assert().code(1);
    let expected = contains("failure (workflow invalid)")
        .and(contains("| .loom/workflow.yml:4:"))
        .and(contains("\n  loom check\n"));
    repo.loom().arg("logs").assert().success().stdout(expected);
}

#[test]
fn without_a_run_or_a_repository_it_says_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.loom().arg("logs").assert().code(3).stderr(contains("not a git repository"));
    let repo = sandbox.repo();
    repo.loom().args(["logs", "list"]).assert().success().stdout("");
    for arguments in [&["logs"][..], &["logs", "show"], &["logs", "explain", "latest"]] {
        let said = contains("there are no runs").and(contains("hint: start one with"));
        repo.loom().args(arguments).assert().code(3).stdout("").stderr(said);
    }
}

/// Schemas of what loom-runtime(5) does not describe field by field: the graph is described
/// elsewhere, records between processes and what commands print are not on disk.
const ELSEWHERE: &[&str] = &[
    "loom-graph",
    "loom-evaluation",
    "loom-message",
    "loom-snapshot-diff",
    "loom-artifacts-diff",
    "loom-artifacts-list",
    "loom-artifacts-verification",
];

#[test]
fn man_page_names_every_field_and_word_of_the_documents() {
    let page = fs::read_to_string(source_root().join("man/loom-runtime.5")).unwrap();
    let schemas = schema::all().into_iter().filter(|(kind, _)| !ELSEWHERE.contains(kind));
    let mut missing = Vec::new();
    for (kind, schema) in schemas {
        let value = schema.as_value();
        assert!(kind == schema::EVENT || page.contains(&bold(kind)), "{kind}");
        let definitions = value["$defs"].as_object().into_iter().flatten();
        for (name, part) in
            definitions.map(|(name, part)| (name.as_str(), part)).chain([("", value)])
        {
            let fields = part["properties"].as_object().into_iter().flatten();
            let words = part["oneOf"].as_array().into_iter().flatten();
            let words = words.filter_map(|word| word["const"].as_str());
            let named = fields.map(|(field, _)| field.as_str()).chain(words);
            let unnamed = named.filter(|word| !page.contains(&bold(word)));
            missing.extend(unnamed.map(|word| format!("{kind} {name} {word}")));
        }
    }
    assert!(missing.is_empty(), "not in man/loom-runtime.5:\n{}", missing.join("\n"));
}

fn bold(word: &str) -> String {
    format!("\\fB{}\\fR", word.replace('-', "\\-"))
}
