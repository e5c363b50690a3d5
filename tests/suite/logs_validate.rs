//! `loom logs validate`: silent about what runs write, loud about anything else.

use std::fs;
use std::path::{Path, PathBuf};

use libloom_testkit::{Leftovers, Repo, Sandbox, document_faults};
use serde_json::{Value, json};

use crate::ran::{Ran, document, workflow};

/// A run with all that a host run can leave: a retry, artifacts, every list of entries, a
/// failure that is allowed, a job that is skipped.
const RICH: &str = "\
version: v1
stages: [one, two, three]
good:
  stage: one
  before_script: [echo prepare]
  script: [\"mkdir out; echo a > out/a; printf unfinished\", \"echo err >&2\"]
  after_script: [echo after]
  artifacts: {paths: [out]}
again:
  stage: one
  retry: 1
  script: [\"test -e tried || { touch tried; exit 1; }\", \"echo second time\"]
allowed:
  stage: two
  allow_failure: true
  script: [exit 4, echo never]
bad:
  stage: two
  script: [echo x, exit 3]
never:
  stage: three
  script: [echo y]
";

fn rich_run<'a>(sandbox: &'a Sandbox) -> (Repo<'a>, Ran) {
    let repo = sandbox.repo();
    repo.workflow(RICH).commit("workflow");
    let ran = Ran::of(&repo, &["--local"]).expect_code(1);
    (repo, ran)
}

fn validate(repo: &Repo<'_>) -> Value {
    let output = repo.command("loom-logs").args(["validate", "--json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(if value["valid"] == true { 0 } else { 1 }));
    value
}

#[track_caller]
fn assert_valid(repo: &Repo<'_>) -> Value {
    let value = validate(repo);
    assert_eq!(value["violations"], json!([]));
    value
}

#[test]
fn runs_of_all_kinds_are_valid() {
    let sandbox = Sandbox::new();
    let (repo, _) = rich_run(&sandbox);
    let value = assert_valid(&repo);
    assert!(
        value["documents"].as_u64() > Some(30) && value["records"].as_u64() > Some(80),
        "{value}"
    );
    let said = repo.command("loom-logs").arg("validate").assert().success();
    let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    assert!(said.contains(": valid; ") && said.lines().count() == 1, "{said}");
    let show = ["show", "--raw", "--job", "again"];
    repo.command("loom-logs").args(show).assert().success().stdout("second time\n");
    let first = repo.command("loom-logs").args(show).args(["--attempt", "1"]).assert();
    first.success().stdout("");
    repo.command("loom-logs").args(show).args(["--attempt", "3"]).assert().code(3);
    repo.workflow("version: v1\nstages: [a]\njob: {stage: b}\n");
    Ran::of(&repo, &["--local"]).expect_code(1);
    assert_valid(&repo);
    repo.workflow("version: v1\nstages: [a]\nworkflow: {rules: [{if: '$NO == \"x\"'}]}\njob: {stage: a, script: [x]}\n");
    Ran::of(&repo, &["--local"]).expect_code(0);
    assert_valid(&repo);
}

#[test]
fn run_stays_valid_where_its_repository_was_moved() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::AnyFile);
    let (repo, _) = rich_run(&sandbox);
    let elsewhere = sandbox.root().join("moved");
    fs::rename(repo.root(), &elsewhere).unwrap();
    sandbox.command("loom-logs").arg("validate").current_dir(&elsewhere).assert().success();
}

/// Every document of the run.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && entry.file_name() != "artifacts" {
            found.extend(documents(&path));
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "json") {
            found.push(path);
        }
    }
    found
}

#[test]
fn whatever_breaks_a_schema_is_a_violation_of_that_file() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::AnyFile);
    let repo = sandbox.repo();
    repo.workflow(&workflow([("only", vec!["echo a", "exit 2"])])).commit("workflow");
    let ran = Ran::of(&repo, &["--local"]).expect_code(1);
    let mut paths = documents(&ran.logs());
    paths.push(repo.runtime().join(format!("receipts/{}.json", ran.text("run_id"))));
    let whole: Vec<Value> = paths.iter().map(|path| document(path)).collect();
    let most = whole.iter().map(|one| one.as_object().unwrap().len()).max().unwrap();
    let mut broken = 0;
    // One field of every document at a time: first of a wrong type, then missing.
    for (place, is_missing) in (0..most).flat_map(|place| [(place, false), (place, true)]) {
        for (path, whole) in paths.iter().zip(&whole) {
            fs::write(path, damaged(whole, place, is_missing).to_string()).unwrap();
        }
        let faulty = paths.iter().filter(|path| !document_faults(path).is_empty());
        let faulty: Vec<&PathBuf> = faulty.collect();
        let found = validate(&repo);
        for path in &faulty {
            let name = path.strip_prefix(repo.runtime()).unwrap().to_str().unwrap();
            let of_file = found["violations"].as_array().unwrap().iter();
            let mut of_file = of_file.filter(|violation| violation["file"] == name);
            assert!(of_file.any(|one| one["rule"] == "schema"), "{name} {place}: {found:#}");
        }
        broken += faulty.len();
    }
    for (path, whole) in paths.iter().zip(&whole) {
        fs::write(path, whole.to_string()).unwrap();
    }
    assert!(broken > 100, "{broken}");
    assert_valid(&repo);
}

fn damaged(whole: &Value, place: usize, is_missing: bool) -> Value {
    let mut fields = whole.as_object().unwrap().clone();
    let Some(name) = fields.keys().nth(place).cloned() else { return whole.clone() };
    match is_missing {
        true => drop(fields.remove(&name)),
        false => {
            let wrong = if fields[&name].is_object() { json!(7) } else { json!({"no": 1}) };
            fields.insert(name, wrong);
        }
    }
    Value::Object(fields)
}

/// A change of one file of the run: its path, what stands there, what is to stand there, and the
/// rule and line of the violation that must be found in it.
struct Damage(&'static str, fn(String) -> String, &'static str, Option<u64>);

const STEP: &str = "jobs/bad/user/execution/script/02/events.jsonl";

const DAMAGES: &[Damage] = &[
    Damage(STEP, |text| text.replace("\"seq\":2", "\"seq\":3"), "seq", Some(2)),
    Damage(STEP, |text| text.replace("\"finish\"", "\"note\""), "coverage", Some(2)),
    Damage(STEP, |text| text + "{\"seq\":", "schema", Some(3)),
    Damage(STEP, |text| text.replace("step.execute", "step.think"), "schema", Some(1)),
    Damage(STEP, |text| text.replace("\"scope\":\"step\"", "\"scope\":\"job\""), "schema", Some(1)),
    Damage(
        STEP,
        |text| text.replace("\"job_id\":\"bad\"", "\"job_id\":\"good\""),
        "agreement",
        Some(1),
    ),
    Damage(STEP, |_| String::new(), "coverage", None),
    Damage(
        "jobs/bad/user/execution/events.jsonl",
        |text| text.replace("script/02", "script/01"),
        "coverage",
        None,
    ),
    Damage("jobs/bad/events.jsonl", |text| swap(&text, 0, 2), "order", None),
    Damage(
        "jobs/never/events.jsonl",
        |text| text.replace("job.cleanup", "job.execution"),
        "order",
        None,
    ),
    Damage(
        "jobs/good/user/execution/script/01/events.jsonl",
        |text| text.replace("unfinished", "finished"),
        "",
        None,
    ),
    Damage(
        "jobs/good/user/execution/script/01/summary.json",
        |text| text.replace("\"stdout_bytes\":10", "\"stdout_bytes\":11"),
        "agreement",
        None,
    ),
    Damage("jobs/bad/summary.json", |text| text.replace("step_failed", "timeout"), "", None),
    Damage(
        "jobs/bad/manifest.json",
        |text| text.replace("script/02/events", "script/03/events"),
        "pointer",
        None,
    ),
    Damage(
        "pipeline/manifest.json",
        |text| text.replace("\"failing_job_id\":\"bad\"", "\"failing_job_id\":\"good\""),
        "agreement",
        None,
    ),
    Damage(
        "pipeline/summary.json",
        |text| text.replace("\"total\":5", "\"total\":6"),
        "agreement",
        None,
    ),
    Damage(
        "phase-report.json",
        |text| text.replace("\"started\":5", "\"started\":4"),
        "agreement",
        None,
    ),
    Damage(
        "summary.json",
        |text| text.replace("\"exit_code\":1", "\"exit_code\":0"),
        "agreement",
        None,
    ),
];

fn swap(text: &str, a: usize, b: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(a, b);
    lines.join("\n") + "\n"
}

#[test]
fn every_kind_of_damage_is_found_with_its_file_and_line() {
    let sandbox = Sandbox::new();
    sandbox.allow(Leftovers::AnyFile);
    let (repo, ran) = rich_run(&sandbox);
    for Damage(path, change, rule, line) in DAMAGES {
        let place = ran.logs().join(path);
        let whole = fs::read_to_string(&place).unwrap();
        let changed = change(whole.clone());
        assert_ne!(changed, whole, "{path}: the damage does nothing");
        fs::write(&place, changed).unwrap();
        let found = validate(&repo);
        fs::write(&place, whole).unwrap();
        let violations = found["violations"].as_array().unwrap();
        assert!(!violations.is_empty(), "{path}");
        if !rule.is_empty() {
            let file = format!("logs/{}/{path}", ran.text("run_id"));
            let is = |one: &&Value| one["file"] == *file && one["rule"] == *rule;
            let hit = violations
                .iter()
                .filter(is)
                .any(|one| line.is_none() || one["line"].as_u64() == *line);
            assert!(hit, "{path} {rule} {line:?}: {found:#}");
        }
    }
    for path in [
        "jobs/good/artifacts/out/a",
        "jobs/again/attempts/1/manifest.json",
        "pipeline/events.jsonl",
        "phase-report.json",
    ] {
        let place = ran.logs().join(path);
        let whole = fs::read(&place).unwrap();
        fs::remove_file(&place).unwrap();
        assert_eq!(validate(&repo)["valid"], false, "{path} is missing");
        fs::write(&place, whole).unwrap();
    }
    assert_valid(&repo);
}
