//! `loom check`: verdict, diagnostics, receipt, exit codes.

use std::fs;
use std::path::PathBuf;

use libloom_contract::receipt::CheckReceipt;
use libloom_contract::{Status, store};
use libloom_testkit::{Repo, Sandbox};
use predicates::prelude::*;
use predicates::str::{contains, is_match};

const GOOD: &str = "version: v1\nstages: [ci]\na: {stage: ci, script: [make]}\n";
const BAD: &str = "version: v1\nstages: [ci]\nbuild:\n  script: make\n";

/// The only receipt of the repository.
fn receipt(repo: &Repo<'_>) -> (PathBuf, CheckReceipt) {
    let entries = fs::read_dir(repo.runtime().join("receipts")).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let receipt = store::read(&files[0]).unwrap();
    (files[0].clone(), receipt)
}

#[test]
fn a_valid_workflow_passes_with_a_receipt() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD);
    let assert = repo.command("loom-check").assert().success().stdout("");
    let (path, receipt) = receipt(&repo);
    assert.stderr(format!("loom check passed\nreceipt: {}\n", path.display()));
    assert_eq!((receipt.exit_code, receipt.status), (0, Status::Success));
    assert_eq!(receipt.loom_version, env!("CARGO_PKG_VERSION"));
    let verdict = receipt.workflow_schema_v1;
    assert!(verdict.valid && verdict.errors.is_empty() && verdict.warnings.is_empty());
    assert_eq!(verdict.workflow_path, repo.path(".loom/workflow.yml").display().to_string());
    assert_eq!(fs::read_to_string(repo.runtime().join(".gitignore")).unwrap(), "*\n");
    assert_eq!(repo.git(["status", "--porcelain", "--", ".loom/.runtime"]), "");
}

#[test]
fn an_invalid_workflow_fails_in_the_documented_form() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(BAD);
    let assert = repo.command("loom-check").args(["--format", "short"]).assert().code(1).stdout("");
    let (path, receipt) = receipt(&repo);
    let expected = format!(
        ".loom/workflow.yml:3:1: WF_SCHEMA_V1 /build: missing required key \"stage\" in job \"build\"; add \"stage\"
.loom/workflow.yml:4:11: WF_SCHEMA_V1 /build/script: expected sequence for \"script\", got string; write it as a list: [make]

receipt: {}
loom check failed (exit code 1)
",
        path.display()
    );
    assert.stderr(expected);
    assert_eq!((receipt.exit_code, receipt.status), (1, Status::Failure));
    let errors = receipt.workflow_schema_v1.errors;
    assert_eq!(errors[1].pointer, "/build/script");
    assert_eq!(errors[1].edit.as_ref().unwrap().replacement, "[make]");
}

#[test]
fn the_human_form_underlines_the_source() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(BAD);
    let frame = "
error[WF_SCHEMA_V1]: expected sequence for \"script\", got string
 --> .loom/workflow.yml:4:11
  |
4 |   script: make
  |           ^^^^
  |
  = help: write it as a list: [make]
";
    let mut command = repo.command("loom-check");
    command.assert().code(1).stderr(contains(frame).and(contains("\u{1b}").not()));
    let mut colored = repo.command("loom-check");
    colored.args(["--color", "always"]).assert().code(1).stderr(contains("\u{1b}["));
}

#[test]
fn json_is_a_list_of_diagnostics_on_stdout() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(BAD);
    let assert = repo.command("loom-check").args(["--format", "json"]).assert().code(1);
    let list: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["code"], "WF_SCHEMA_V1");
    assert_eq!(list[0]["span"]["line"], 3);
    assert.stderr(is_match("^receipt: .*\nloom check failed \\(exit code 1\\)\n$").unwrap());
}

#[test]
fn works_from_a_subfolder_and_with_another_file() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD).write("deep/down/other.yml", BAD);
    let in_folder = |arguments: &[&str]| {
        let mut command = repo.command("loom-check");
        command.current_dir(repo.path("deep/down")).args(arguments).assert()
    };
    in_folder(&[]).success();
    in_folder(&["--workflow", "other.yml"])
        .code(1)
        .stderr(contains(" --> deep/down/other.yml:3:1"));
    in_folder(&["--workflow", ".loom/workflow.yml"]).success();
}

#[test]
fn errors_of_an_included_file_name_it_and_its_chain() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let include = "include: [{local: .loom/templates/a.yml}]\n";
    repo.workflow(&format!("{GOOD}{include}")).write(".loom/templates/a.yml", ".t: {imag: x}\n");
    let chain = "note: included by .loom/workflow.yml -> .loom/templates/a.yml";
    let told = contains(" --> .loom/templates/a.yml:1:6").and(contains(chain));
    repo.command("loom-check")
        .assert()
        .code(1)
        .stderr(told.and(contains("did you mean \"image\"?")));
}

#[test]
fn what_cannot_be_checked_is_exit_3_with_a_hint() {
    let sandbox = Sandbox::new();
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut command = sandbox.command("loom-check");
    command.current_dir(&outside).assert().code(3).stderr(contains("not a git repository"));

    let repo = sandbox.repo();
    let fails = |arguments: &[&str], words: &[&str]| {
        let mut command = repo.command("loom-check");
        let assert = command.args(arguments).assert().code(3).stdout("");
        let told = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        for word in words.iter().chain(&["error: ", "hint: "]) {
            assert!(told.contains(word), "{word:?} is missing in:\n{told}");
        }
    };
    fails(&[], &["no workflow at", "create `.loom/workflow.yml`"]);
    repo.write(".loom/workflow.yaml", GOOD);
    fails(&[], &["no workflow at", "did you mean `.loom/workflow.yaml`?"]);
    fs::write(outside.join("w.yml"), GOOD).unwrap();
    fails(&["--workflow", "../outside/w.yml"], &["is outside the repository"]);
    fails(&["--workflow", ".loom"], &["is not a file"]);
    assert!(!repo.runtime().exists());
}

#[test]
fn a_receipt_that_cannot_be_written_is_exit_3() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(GOOD).write(".loom/.runtime", "a file where the folder should be");
    let told = contains("error: cannot make").and(contains("caused by:")).and(contains("hint:"));
    repo.command("loom-check").assert().code(3).stderr(told);
}

#[test]
fn fix_applies_what_is_certain_and_tells_the_rest() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let text =
        "version: 1\nstages: ci\na:\n  stage: ci\n  scirpt: [make]\n  variables: {A: 1, b: x}\n";
    repo.workflow(text).mode(".loom/workflow.yml", 0o640);
    let mut command = repo.command("loom-check");
    let told = contains("fixed .loom/workflow.yml:5:3").and(contains("variable name \"b\""));
    command.arg("--fix").assert().code(1).stderr(told);
    let fixed = "version: v1\nstages: [ci]\na:\n  stage: ci\n  script: [make]\n  variables: {A: \"1\", b: x}\n";
    let file = repo.path(".loom/workflow.yml");
    assert_eq!(fs::read_to_string(&file).unwrap(), fixed);
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions())
            & 0o777,
        0o640
    );
    let (_, receipt) = receipt(&repo);
    assert_eq!(receipt.workflow_schema_v1.errors.len(), 1);
}

#[test]
fn warnings_fail_only_when_denied() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(&format!("{GOOD}.t: {{image: x}}\n"));
    let told = contains("warning[WF_UNUSED_TEMPLATE]");
    repo.command("loom-check").assert().success().stderr(told.and(contains("loom check passed")));
    let mut command = repo.command("loom-check");
    command.args(["--deny", "warnings"]).assert().code(1).stderr(contains("loom check failed"));
}

#[test]
fn sarif_and_github_forms_name_file_and_line() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(BAD);
    let form = |name: &str| {
        let mut command = repo.command("loom-check");
        let assert = command.args(["--format", name]).assert().code(1);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let sarif: serde_json::Value = serde_json::from_str(&form("sarif")).unwrap();
    let region = &sarif["runs"][0]["results"][1]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&sarif["version"], &region["startLine"]), (&"2.1.0".into(), &4.into()));
    let github = form("github");
    let start =
        "::error file=.loom/workflow.yml,line=3,col=1,title=WF_SCHEMA_V1::missing required key";
    assert!(github.starts_with(start), "{github}");
}

#[test]
fn the_schema_of_workflows_is_printed_without_a_repository() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("loom-check");
    let assert = command.arg("--print-schema").assert().success().stderr("");
    let schema: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(schema["title"], "Loom workflow, version v1");
}

/// Fifteen mistakes in three files, two of them syntax errors; the second of each pair says whether
/// its mend is certain.
const MISTAKES: [(&str, bool); 15] = [
    ("workflow.yml:1:10: WF_SCHEMA_V1 /version: unknown version \"1\"", true),
    ("workflow.yml:2:23: WF_SCHEMA_V1 /stages/2: duplicate stage \"build\"", false),
    (
        "workflow.yml:6:20: WF_SCHEMA_V1 /variables/LEVEL: expected string for \"LEVEL\", got number",
        true,
    ),
    ("workflow.yml:8:10: WF_SCHEMA_V1 /lint/stage: unknown stage \"biuld\"", true),
    ("workflow.yml:9:3: WF_SCHEMA_V1 /lint/scirpt: unknown key \"scirpt\" in job \"lint\"", true),
    ("workflow.yml:12:12: WF_SCHEMA_V1 /test/extends: unknown template \".bas\"", true),
    ("workflow.yml:13:11: WF_SCHEMA_V1 /test/needs/0: unknown job \"lnt\" in needs", true),
    ("workflow.yml:14:12: WF_SCHEMA_V1 /test/timeout: \"timeout\" has no unit", false),
    ("workflow.yml:17:10: WF_YAML_SYNTAX /broken: a mapping cannot start here", false),
    ("a.yml:1:17: WF_SCHEMA_V1 /.base/script: expected sequence for \"script\", got string", true),
    ("a.yml:1:23: WF_SCHEMA_V1 /.base/imag: unknown key \"imag\" in template \".base\"", true),
    ("a.yml:2:41: WF_SCHEMA_V1 /other/when: unknown value \"alway\" for \"when\"", true),
    ("b.yml:2:12: WF_YAML_SYNTAX /.quote: a quoted string is not closed", false),
    ("b.yml:3:5: WF_YAML_UNSUPPORTED /.k: YAML anchors are not allowed (\"&a\")", false),
    ("b.yml:4:53: WF_RULE_SYNTAX /deploy/rules/0/if: invalid condition: unexpected `=`", false),
];

#[test]
fn mistakes_of_three_files_are_told_in_one_run_and_fix_leaves_those_without_a_certain_mend() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: 1
stages: [build, test, build]
include:
  - local: .loom/templates/a.yml
  - local: .loom/templates/b.yml
variables: {LEVEL: 3}
lint:
  stage: biuld
  scirpt: [make lint]
test:
  stage: test
  extends: .bas
  needs: [lnt]
  timeout: 90
broken:
  stage: test
   script: [x]
",
    );
    repo.write(
        ".loom/templates/a.yml",
        ".base: {script: make, imag: alpine}\nother: {stage: test, script: [x], when: alway}\n",
    );
    repo.write(
        ".loom/templates/b.yml",
        ".quote:\n  script: [\"x]\n.k: &a {image: x}\ndeploy: {stage: test, script: [x], rules: [{if: '$A = \"b\"'}]}\n",
    );
    let told = |fix: &[&str]| {
        let mut command = repo.command("loom-check");
        let assert = command.args(["--format", "short"]).args(fix).assert().code(1);
        let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(".loom/"));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    let expect = |told: &[String], expected: &[&str]| {
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (line, part) in told.iter().zip(expected) {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    };
    expect(&told(&[]), &MISTAKES.map(|(mistake, _)| mistake));
    let uncertain = MISTAKES.iter().filter(|(_, certain)| !certain);
    // Only the text up to the fix: what was mended may have moved them.
    let uncertain: Vec<&str> =
        uncertain.map(|(mistake, _)| mistake.split_once(' ').unwrap().1).collect();
    expect(&told(&["--fix"]), &uncertain);
}
