//! Fifteen mistakes in three files: all are told in one run, and what is certain is mended, by the
//! edits of the JSON as by `--fix`.

use std::fs;

use libloom_contract::diagnostic::{Diagnostic, Edit};
use libloom_testkit::{Repo, Sandbox};

const WORKFLOW: &str = "version: v2
stages: [build, test]
include:
  - local: .loom/templates/base.yml
  - local: .loom/templates/jobs.yml
varaibles:
  MODE: fast
build:
  extends: .bsae
  stage: buidl
  scirpt: [make]
test:
  stage: test
  script: make test
  needs: [nothing-like-it]
  timeout: 90
";

const BASE: &str = ".base:
  imgae: alpine
  variables:
    lower: x
    PORT: 8080
.retried:
  retry: {max: 20}
";

const JOBS: &str = "lint:
  extends: .base
  stage: test
  script:
    - make lint
    - true
docs:
  extends: .retried
  stage: test
  script: [make docs]
  when: on_sucess
  secrets:
    TOKEN: {ref: plain}
";

/// Code, file, line, column, pointer and replacement, in order.
type Told = (&'static str, &'static str, u32, u32, &'static str, Option<&'static str>);

const TOLD: &[Told] = &[
    ("WF_SCHEMA_V1", "workflow.yml", 1, 10, "/version", Some("v1")),
    ("WF_SCHEMA_V1", "workflow.yml", 6, 1, "/varaibles", Some("variables")),
    ("WF_SCHEMA_V1", "workflow.yml", 9, 12, "/build/extends", Some(".base")),
    ("WF_SCHEMA_V1", "workflow.yml", 10, 10, "/build/stage", Some("build")),
    ("WF_SCHEMA_V1", "workflow.yml", 11, 3, "/build/scirpt", Some("script")),
    ("WF_SCHEMA_V1", "workflow.yml", 14, 11, "/test/script", Some("[make test]")),
    ("WF_SCHEMA_V1", "workflow.yml", 15, 11, "/test/needs/0", None),
    ("WF_SCHEMA_V1", "workflow.yml", 16, 12, "/test/timeout", None),
    ("WF_SCHEMA_V1", "templates/base.yml", 2, 3, "/.base/imgae", Some("image")),
    ("WF_SCHEMA_V1", "templates/base.yml", 4, 5, "/.base/variables/lower", None),
    ("WF_SCHEMA_V1", "templates/base.yml", 5, 11, "/.base/variables/PORT", Some("\"8080\"")),
    ("WF_SCHEMA_V1", "templates/base.yml", 7, 16, "/.retried/retry/max", None),
    ("WF_SCHEMA_V1", "templates/jobs.yml", 6, 7, "/lint/script/1", Some("\"true\"")),
    ("WF_SCHEMA_V1", "templates/jobs.yml", 11, 9, "/docs/when", Some("on_success")),
    ("SECRETS_REF_INVALID", "templates/jobs.yml", 13, 18, "/docs/secrets/TOKEN/ref", None),
];

const FILES: [(&str, &str); 3] = [
    (".loom/workflow.yml", WORKFLOW),
    (".loom/templates/base.yml", BASE),
    (".loom/templates/jobs.yml", JOBS),
];

fn with_mistakes<'s>(sandbox: &'s Sandbox, name: &str) -> Repo<'s> {
    let repo = sandbox.repo_named(name);
    for (path, text) in FILES {
        repo.write(path, text);
    }
    repo
}

fn diagnostics(repo: &Repo<'_>) -> Vec<Diagnostic> {
    let mut command = repo.command("loom-check");
    let assert = command.args(["--format", "json"]).assert().code(1);
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

fn told(diagnostics: &[Diagnostic]) -> Vec<(String, String)> {
    let message = |told: &Diagnostic| (told.pointer.clone(), told.message.clone());
    diagnostics.iter().map(message).collect()
}

fn texts(repo: &Repo<'_>) -> Vec<String> {
    FILES.iter().map(|(path, _)| fs::read_to_string(repo.path(path)).unwrap()).collect()
}

#[test]
fn all_mistakes_of_three_files_are_told_at_once_and_the_certain_ones_mended() {
    let sandbox = Sandbox::new();
    let by_hand = with_mistakes(&sandbox, "by-hand");
    let found = diagnostics(&by_hand);
    let shown: Vec<_> = found
        .iter()
        .map(|told| {
            let span = told.span.as_ref().unwrap();
            let file = span.file.strip_prefix(".loom/").unwrap();
            let replacement = told.edit.as_ref().map(|edit| &*edit.replacement);
            (&*told.code, file, span.line, span.column, &*told.pointer, replacement)
        })
        .collect();
    assert_eq!(shown, TOLD);

    apply(&by_hand, found.iter().filter_map(|told| told.edit.as_ref()).collect());
    let uncertain: Vec<Diagnostic> =
        found.iter().filter(|told| told.edit.is_none()).cloned().collect();
    assert_eq!(uncertain.len(), 5);
    assert_eq!(told(&diagnostics(&by_hand)), told(&uncertain));

    let by_fix = with_mistakes(&sandbox, "by-fix");
    by_fix.command("loom-check").arg("--fix").assert().code(1);
    assert_eq!(texts(&by_fix), texts(&by_hand));
    assert_eq!(told(&diagnostics(&by_fix)), told(&uncertain));
    // Nothing is left that is certain.
    by_fix.command("loom-check").arg("--fix").assert().code(1);
    assert_eq!(texts(&by_fix), texts(&by_hand));
}

/// As an editor would: byte ranges of each file, the last first.
fn apply(repo: &Repo<'_>, mut edits: Vec<&Edit>) {
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.start));
    for edit in edits {
        let mut text = fs::read_to_string(repo.path(&edit.file)).unwrap();
        text.replace_range(edit.start..edit.end, &edit.replacement);
        repo.write(&edit.file, text);
    }
}
