//! `loom compile`: the graph document, its record, events, exit codes.

use std::fs;

use libloom_contract::graph::Graph;
use libloom_contract::message::Message;
use libloom_contract::store;
use libloom_testkit::Sandbox;
use predicates::prelude::*;
use predicates::str::contains;

const GOOD: &str = "version: v1
stages: [build, test]
build: {stage: build, script: [make], variables: {LEVEL: high}}
test: {stage: test, image: 'alpine:3.20', script: [make test], needs: [build]}
";

#[test]
fn the_graph_goes_to_stdout_and_is_recorded_by_its_digest() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD);
    let assert = repo.command("loom-compile").assert().success().stderr("");
    let graph: Graph = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(graph.schema_version, "loom.graph.v1");
    let ids: Vec<&str> = graph.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(ids, ["build", "test"]);
    let recorded = repo.runtime().join("graphs").join(format!("{}.json", graph.digest));
    assert_eq!(store::read::<Graph>(&recorded).unwrap(), graph);
}

#[test]
fn the_digest_is_the_same_in_another_place_and_environment() {
    let sandbox = Sandbox::new();
    let digest = |name: &str, text: &str| {
        let repo = sandbox.repo_named(name);
        repo.workflow(text);
        let mut command = repo.command("loom-compile");
        command.env("HOME", "/nowhere").env("LC_ALL", "tr_TR.UTF-8").env("TZ", "Asia/Tokyo");
        let output = command.assert().success().get_output().stdout.clone();
        let graph: Graph = serde_json::from_slice(&output).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(!text.contains(&*repo.root().to_string_lossy()), "a machine's path is in it");
        graph.digest
    };
    let one = digest("one", GOOD);
    assert_eq!(digest("two", &format!("# comment\n{GOOD}\n")), one);
    assert_ne!(digest("three", &GOOD.replace("high", "low")), one);
}

#[test]
fn an_invalid_workflow_says_why_on_stderr_and_prints_no_graph() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(&GOOD.replace("[build]", "[biuld]"));
    let told = contains("unknown job \"biuld\" in needs")
        .and(contains("error: workflow `.loom/workflow.yml` is invalid: 1 error"));
    repo.command("loom-compile").assert().code(1).stdout("").stderr(told);
    assert!(!repo.runtime().join("graphs").exists());
}

#[test]
fn events_end_with_the_graph_or_with_what_is_wrong() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let lines = |code: i32| -> Vec<String> {
        let mut command = repo.command("loom-compile");
        let assert = command.arg("--events").assert().code(code).stderr("");
        String::from_utf8(assert.get_output().stdout.clone())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let missing = lines(3);
    let Message::Error { message, hints, exit_code, .. } =
        serde_json::from_str(&missing[0]).unwrap()
    else {
        panic!("{missing:?}")
    };
    assert!(message.starts_with("no workflow at") && hints.len() == 1 && exit_code == 3);

    repo.workflow(&GOOD.replace("stage: build", "stage: biuld"));
    let invalid = lines(1);
    let Message::Diagnostic { diagnostic, rendered, .. } =
        serde_json::from_str(&invalid[0]).unwrap()
    else {
        panic!("{invalid:?}")
    };
    assert_eq!(diagnostic.suggestion.as_deref(), Some("build"));
    assert!(rendered.contains("^^^^^"), "{rendered}");

    repo.workflow(&format!("{GOOD}.unused: {{image: x}}\n"));
    let valid = lines(0);
    assert_eq!(valid.len(), 2);
    assert!(valid[0].contains("WF_UNUSED_TEMPLATE"));
    assert_eq!(serde_json::from_str::<Graph>(&valid[1]).unwrap().nodes.len(), 2);
}

#[test]
fn out_writes_a_file_and_a_graph_that_cannot_be_recorded_is_no_error() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD).write(".loom/.runtime", "a file where the folder should be");
    let mut command = repo.command("loom-compile");
    command.args(["--out", "graph.json"]).assert().success().stdout("").stderr("");
    let graph: Graph = store::read(&repo.path("graph.json")).unwrap();
    assert_eq!(graph.nodes.len(), 2);
    let mut command = repo.command("loom-compile");
    let told = contains("error: cannot write to").and(contains("caused by:"));
    command.args(["--out", ".loom/workflow.yml/x"]).assert().code(3).stderr(told);
}

#[test]
fn a_hostile_file_is_refused_in_words() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow("");
    let says = |bytes: &[u8], word: &str| {
        fs::write(repo.path(".loom/workflow.yml"), bytes).unwrap();
        repo.command("loom-compile").assert().code(1).stdout("").stderr(contains(word));
    };
    says(b"", "the workflow is empty");
    says(b"version: \xff", "byte 9 is not UTF-8");
    says(&b"[".repeat(1_000_000), "nested more than 64 levels deep");
    says(&vec![b' '; 5 << 20], "larger than 4 MiB");
}

#[test]
fn drawings_show_stages_and_jobs() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD);
    let form = |name: &str| {
        let mut command = repo.command("loom-compile");
        let assert = command.args(["--format", name]).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let text = "2 stages, 2 jobs

build
└─ build  host, 1 step

test
└─ test   alpine:3.20, 1 step, needs build
";
    assert_eq!(form("text"), text);
    let dot = form("dot");
    assert!(
        dot.starts_with("digraph workflow {") && dot.contains("\"build\" -> \"test\";"),
        "{dot}"
    );
    let mermaid = form("mermaid");
    assert!(mermaid.starts_with("flowchart LR\n  subgraph s0[\"build\"]"), "{mermaid}");
    assert!(mermaid.contains("  j0 --> j1\n  s0 -.-> s1\n"), "{mermaid}");
}

#[test]
fn explain_says_where_values_come_from_and_what_they_overrode() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: v1
stages: [ci]
default: {image: golang, variables: {A: low}}
include: [{local: .loom/templates/t.yml}]
job: {extends: .t, stage: ci, script: [make], variables: {A: high}}
many: {stage: ci, script: [make], parallel: {matrix: [{A: [x, 'y-$A']}]}}
",
    )
    .write(".loom/templates/t.yml", ".t: {image: alpine}\n");
    let explain = |what: &str| {
        let mut command = repo.command("loom-compile");
        command.args(["--explain", what]).assert()
    };
    let image = "image: alpine
    from .loom/templates/t.yml:1:13 (template .t)
    overrides golang from .loom/workflow.yml:3:18 (default)
";
    explain("job.image").success().stdout(image);
    explain("job").success().stdout(contains(image).and(contains("variables.A: high")));
    explain("jbo").code(3).stderr(contains("no job `jbo`").and(contains("its jobs are job")));
    let copy = "variables.A: y-low
    from .loom/workflow.yml:6:63 (the matrix)
    overrides low from .loom/workflow.yml:3:41 (default)
";
    explain("many-2.variables.A").success().stdout(copy);
    explain("job.cache").code(3).stderr(contains("no value at `cache`"));
}
