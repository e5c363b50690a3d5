//! Every fixture workflow says what it should: `good` nothing, `warn` and `bad` the short-form
//! diagnostics beside them, which are written by hand from the language's reference.
//!
//! In the crate, not beside it: [`crate::coverage`] looks at what these runs trip, and one test
//! executable is what a run of `cargo mutants` can build a thousand times.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libloom_contract::diagnostic::{Diagnostic, Edit};

use crate::{Compiled, Files, Located, code, compile, human, short};

/// Where every fixture is taken to lie.
const WORKFLOW: &str = ".loom/workflow.yml";

/// Files that builds of the fixtures find.
const DOCKERFILES: &[&str] = &["Dockerfile.ci", "nix/Dockerfile", ".loom/docker/Dockerfile"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/workflows")
}

/// A file that is there and cannot be read; nothing that git keeps is so for everybody.
const UNREADABLE: &str = ".loom/templates/unreadable.yml";

/// A file of 3 MiB.
const LARGE: &str = ".loom/templates/large.yml";

/// Files that include the next one without end.
fn deep(path: &str) -> Option<u32> {
    path.strip_prefix(".loom/templates/deep-")?.strip_suffix(".yml")?.parse().ok()
}

fn compile_fixture(file: &Path) -> Compiled {
    compile_bytes(fs::read(file).unwrap())
}

fn compile_bytes(bytes: Vec<u8>) -> Compiled {
    let exists = |path: &str| DOCKERFILES.contains(&path);
    compile(WORKFLOW, bytes, &Files { read: &read_fixture, exists: &exists })
}

fn read_fixture(path: &str) -> io::Result<Vec<u8>> {
    if path == UNREADABLE {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "permission denied"));
    }
    if path == LARGE {
        return Ok([&b"variables: {}\n"[..], &vec![b'#'; 3 << 20]].concat());
    }
    if let Some(depth) = deep(path) {
        let next = format!("include: [{{local: .loom/templates/deep-{}.yml}}]\n", depth + 1);
        return Ok(next.into());
    }
    fs::read(folder().join(path.strip_prefix(".loom/").unwrap_or(path)))
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(kind)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    files
}

fn shown(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().map(|diagnostic| short(diagnostic) + "\n").collect()
}

/// All that any fixture makes the compiler say.
pub(crate) fn all_diagnostics() -> &'static [Diagnostic] {
    static TOLD: LazyLock<Vec<Diagnostic>> = LazyLock::new(|| {
        let files =
            ["bad", "warn"].into_iter().flat_map(fixtures).map(|file| compile_fixture(&file));
        let files = files.flat_map(|compiled| compiled.diagnostics);
        files.chain(MADE.iter().flat_map(|(_, told, _)| told.clone())).collect()
    });
    &TOLD
}

/// Compares with `<name>.expected`; answers what differs.
fn difference(file: &Path, found: &str) -> Option<String> {
    let expected = fs::read_to_string(file.with_extension("expected")).unwrap_or_default();
    (expected != found).then(|| format!("{}\nexpected:\n{expected}found:\n{found}", file.display()))
}

#[test]
fn good_workflows_compile_without_a_word() {
    for file in fixtures("good") {
        let compiled = compile_fixture(&file);
        assert_eq!(shown(&compiled), "", "{}", file.display());
        assert!(compiled.is_valid() && compiled.graph.is_some(), "{}", file.display());
    }
}

#[test]
fn warnings_are_the_expected_ones_and_do_not_fail() {
    for file in fixtures("warn") {
        let compiled = compile_fixture(&file);
        assert!(compiled.graph.is_some() && compiled.warnings().count() > 0, "{}", file.display());
        assert_eq!(difference(&file, &shown(&compiled)), None);
    }
}

#[test]
fn bad_workflows_say_all_that_is_expected() {
    let mut differences = Vec::new();
    for file in fixtures("bad") {
        let compiled = compile_fixture(&file);
        assert!(compiled.graph.is_none() && !compiled.is_valid(), "{}", file.display());
        differences.extend(difference(&file, &shown(&compiled)));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Workflows too large, or too little text, to lie in a file: the rule, the bytes, and the start
/// of the only error.
fn made() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let many = |count: usize, line: &dyn Fn(usize) -> String| -> Vec<u8> {
        let lines: String = (0..count).map(line).collect();
        format!("version: v1\nstages: [ci]\n{lines}").into_bytes()
    };
    let variables = |count: usize| (0..count).map(|i| format!("V{i}: x, ")).collect::<String>();
    let job = "build: {stage: ci, script: [make]}\n";
    let head = |rest: String| format!("version: v1\nstages: [ci]\n{job}{rest}").into_bytes();
    vec![
        (
            "a file has at most 4 MiB",
            vec![b'#'; crate::MAX_BYTES + 1],
            ".loom/workflow.yml:1:1: WF_LIMIT : the file is larger than 4 MiB; split it into includes",
        ),
        (
            "a file is UTF-8",
            b"version: v1\nstages: [\xff]\n".to_vec(),
            ".loom/workflow.yml:2:10: WF_YAML_SYNTAX /stages: byte 21 is not UTF-8; save the file as UTF-8",
        ),
        (
            "a file holds no NUL",
            b"version: v1\nstages: [\0]\n".to_vec(),
            ".loom/workflow.yml:2:10: WF_YAML_SYNTAX /stages: a NUL character is not allowed; remove it",
        ),
        (
            "a byte order mark stands at the start",
            "version: v1\nstages: [\u{feff}]\n".into(),
            ".loom/workflow.yml:2:10: WF_YAML_SYNTAX /stages: a byte order mark inside the file is not allowed; remove it",
        ),
        (
            "at most 1000 includes",
            head(format!("include:\n{}", "- local: .loom/templates/base.yml\n".repeat(1001))),
            ".loom/workflow.yml:1005:10: WF_LIMIT /include/1000/local: more than 1000 includes; include each file once",
        ),
        (
            "includes are at most 50 files deep",
            head("include: [{local: .loom/templates/deep-2.yml}]\n".to_owned()),
            ".loom/templates/deep-51.yml:1:19: WF_LIMIT /include/0/local: includes are more than 50 files deep; flatten them",
        ),
        (
            "included files hold at most 16 MiB together",
            head(format!("include:\n{}", format!("- local: {LARGE}\n").repeat(7))),
            ".loom/workflow.yml:11:10: WF_LIMIT /include/6/local: includes hold more than 16 MiB together; include each file once",
        ),
        (
            "at most 500,000 values with copies resolved",
            many(60, &|i| {
                let steps = "make, ".repeat(50);
                format!("j{i}: {{stage: ci, parallel: 200, script: [{steps}]}}\n")
            }),
            ".loom/workflow.yml:49:1: WF_LIMIT /j46: with templates and matrices resolved, the workflow holds more than 500000 values; split it into several workflows",
        ),
        (
            "a file has at most 250,000 values",
            head(format!(
                "lint: {{stage: ci, script: [x], invariant: [{}]}}\n",
                format!("[{}],", "x,".repeat(9_999)).repeat(30)
            )),
            ".loom/workflow.yml:4:500031: WF_LIMIT : the file holds more than 250000 values; split it into includes",
        ),
        (
            "a list has at most 10,000 entries",
            head(format!("lint: {{stage: ci, script: [{}]}}\n", "x,".repeat(10_002))),
            ".loom/workflow.yml:4:20028: WF_LIMIT /lint/script: a list has more than 10000 entries; split it",
        ),
        (
            "conditions have at most 500 regular expressions",
            many(501, &|i| {
                let same = "$A =~ /x0/";
                format!(
                    "j{i}: {{stage: ci, script: [x], rules: [{{if: {same}}}, {{if: $A =~ /x{i}/}}]}}\n"
                )
            }),
            ".loom/workflow.yml:503:63: WF_LIMIT /j500/rules/1/if: the conditions hold more than 500 regular expressions; use fewer",
        ),
        (
            "a key has at most 1024 bytes",
            head(format!("? {}\n: {{stage: ci}}\n", "x".repeat(1025))),
            ".loom/workflow.yml:4:3: WF_LIMIT : a key is longer than 1024 bytes; shorten it",
        ),
        (
            "an entry of a matrix has at most 100 variables",
            head(format!(
                "lint: {{stage: ci, script: [x], parallel: {{matrix: [{{{}}}]}}}}\n",
                variables(101)
            )),
            ".loom/workflow.yml:4:52: WF_LIMIT /lint/parallel/matrix/0: a matrix entry has more than 100 variables; put those with one value into variables",
        ),
        (
            "the variables of a job have at most 4 MiB together",
            head(format!(
                ".a:\n  variables:\n{}.b:\n  extends: .a\n  variables:\n{}lint: {{extends: .b, stage: ci, script: [x]}}\n",
                (0..33).map(|i| format!("    V{i}: {}\n", "x".repeat(4096))).collect::<String>(),
                (0..33)
                    .map(|i| format!("    V{i}: {}\n", format!("$V{i}").repeat(32)))
                    .collect::<String>(),
            )),
            ".loom/workflow.yml:74:10: WF_LIMIT /.b/variables/V32: the variables hold more than 4 MiB; put large values into files",
        ),
        (
            "templates that are merged on the way to jobs count too",
            many(100, &|i| match i {
                0 => format!(".t: {{variables: {{{}}}}}\n", variables(5_000)),
                _ => format!(
                    ".t{i}: {{extends: .t}}\nj{i}: {{extends: .t{i}, stage: ci, script: [x]}}\n"
                ),
            }),
            ".loom/workflow.yml:103:1: WF_LIMIT /j50: with templates and matrices resolved, the workflow holds more than 500000 values; split it into several workflows",
        ),
        (
            "a variable has at most 128 KiB",
            head(format!("variables: {{A: {}}}\n", "x".repeat((128 << 10) + 1))),
            ".loom/workflow.yml:4:16: WF_LIMIT /variables/A: variable \"A\" is longer than 131072 bytes; shorten it",
        ),
    ]
}

/// Rule, what is said, and what should be; large as they are, compiled once for all tests.
static MADE: LazyLock<Vec<(&str, Vec<Diagnostic>, &str)>> = LazyLock::new(|| {
    let told = |(rule, bytes, expected)| (rule, compile_bytes(bytes).diagnostics, expected);
    made().into_iter().map(told).collect()
});

#[test]
fn what_no_file_can_show_is_told_alike() {
    for (rule, told, expected) in MADE.iter() {
        let told: Vec<String> = told.iter().map(short).collect();
        assert_eq!(told, [*expected], "{rule}");
    }
}

#[test]
fn every_fixture_names_what_it_shows_and_no_two_show_the_same() {
    let mut seen = std::collections::HashMap::new();
    for (kind, start) in [("good", "# "), ("bad", "# rule: "), ("warn", "# warns: ")] {
        for file in fixtures(kind) {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            let line = text.lines().next().unwrap_or_default();
            let first = line.find(start).map_or("", |at| &line[at..]);
            assert!(first.len() > start.len() + 3, "{}: {line}", file.display());
            let other = seen.insert(first.to_owned(), file.clone());
            assert_eq!(other, None, "{}: {first}", file.display());
        }
    }
    assert!(fixtures("good").len() >= 80 && fixtures("bad").len() >= 200);
}

#[test]
fn every_diagnostic_can_be_drawn() {
    for file in fixtures("bad").into_iter().chain(fixtures("warn")) {
        let compiled = compile_fixture(&file);
        for diagnostic in &compiled.diagnostics {
            let frame = human(diagnostic, &compiled.sources, false);
            assert!(frame.contains(&diagnostic.code), "{frame}");
        }
    }
}

#[test]
fn every_code_has_a_fixture() {
    let told = all_diagnostics();
    for code in code::ALL {
        assert!(told.iter().any(|diagnostic| diagnostic.code == *code), "no fixture has {code}");
    }
}

/// The texts of a workflow's files with some edits applied, the last place first.
fn edited(compiled: &Compiled, edits: &[&Edit]) -> BTreeMap<String, String> {
    let files = compiled.sources.files().iter();
    let mut texts: BTreeMap<String, String> =
        files.map(|file| (file.path.clone(), file.text.clone())).collect();
    let mut edits = edits.to_vec();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.start));
    for edit in edits {
        let text = texts.get_mut(&edit.file).unwrap();
        text.replace_range(edit.start..edit.end, &edit.replacement);
    }
    texts
}

/// Written by hand from the manual, as the expected diagnostics are.
#[test]
fn every_keyword_reaches_the_graph_with_its_meaning() {
    let file = folder().join("good/every-keyword.yml");
    let graph = compile_fixture(&file).graph.unwrap().without_provenance();
    let expected = fs::read_to_string(file.with_extension("graph.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    assert_eq!(serde_json::to_value(&graph).unwrap(), expected);
}

/// What is wrong, without the places: an edit moves what stands behind it.
fn told(compiled: &Compiled) -> Vec<(String, String)> {
    let told = compiled.diagnostics.iter();
    told.map(|diagnostic| (diagnostic.code.clone(), diagnostic.message.clone())).collect()
}

fn compile_texts(texts: &BTreeMap<String, String>) -> Compiled {
    let read = |path: &str| match texts.get(path) {
        Some(text) => Ok(text.clone().into_bytes()),
        None => read_fixture(path),
    };
    let exists = |path: &str| DOCKERFILES.contains(&path);
    let workflow = texts[WORKFLOW].clone().into_bytes();
    compile(WORKFLOW, workflow, &Files { read: &read, exists: &exists })
}

#[test]
fn an_edit_mends_what_it_belongs_to_and_makes_no_new_mistake() {
    for file in fixtures("bad") {
        let compiled = compile_fixture(&file);
        let before = told(&compiled);
        for diagnostic in &compiled.diagnostics {
            let Some(edit) = &diagnostic.edit else { continue };
            let after = told(&compile_texts(&edited(&compiled, &[edit])));
            let name = file.file_stem().unwrap().to_string_lossy();
            let fewer = after.len() < before.len();
            let new = after.iter().any(|told| !before.contains(told));
            assert!(fewer && !new, "{name}: {edit:?} leaves {after:#?}");
        }
    }
}

#[test]
fn all_edits_together_leave_exactly_what_has_none() {
    for file in fixtures("bad") {
        let name = file.file_stem().unwrap().to_string_lossy();
        let compiled = compile_fixture(&file);
        let edits: Vec<&Edit> =
            compiled.diagnostics.iter().filter_map(|diagnostic| diagnostic.edit.as_ref()).collect();
        let without = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.edit.is_none());
        let expected: Vec<(String, String)> = without
            .map(|diagnostic| (diagnostic.code.clone(), diagnostic.message.clone()))
            .collect();
        assert_eq!(told(&compile_texts(&edited(&compiled, &edits))), expected, "{name}");
    }
}

#[test]
fn the_example_repository_compiles_without_a_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello");
    let compiled = Located::find(&root, &root, None).unwrap().compile();
    assert_eq!(shown(&compiled), "");
    assert_eq!(compiled.graph.unwrap().nodes.len(), 5);
}

#[test]
fn graphs_of_good_workflows_fit_the_schema_of_the_contract() {
    let schema = libloom_contract::schema::of_kind("loom-graph").unwrap();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for file in fixtures("good") {
        let graph = serde_json::to_value(compile_fixture(&file).graph.unwrap()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&graph).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }
}
