//! What workflows mean: layers, merging, copies, conditions, the digest.

use std::collections::BTreeMap;
use std::io;

use crate::{Compiled, Files, compile, short};
use libloom_contract::graph::{Edge, Graph, Layer, Node, Provider, ScriptSection};

/// Compiles files by path; the workflow is `.loom/workflow.yml`.
fn compile_files(files: &[(&str, &str)]) -> Compiled {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let read = |path: &str| {
        let text = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.as_bytes().to_vec())
    };
    let exists = |path: &str| files.contains_key(path);
    let workflow = files[".loom/workflow.yml"].as_bytes().to_vec();
    compile(".loom/workflow.yml", workflow, &Files { read: &read, exists: &exists })
}

fn graph_of(files: &[(&str, &str)]) -> Graph {
    let compiled = compile_files(files);
    let told: Vec<String> = compiled.errors().map(short).collect();
    compiled.graph.unwrap_or_else(|| panic!("{told:#?}"))
}

fn graph(text: &str) -> Graph {
    graph_of(&[(".loom/workflow.yml", text)])
}

fn node<'g>(graph: &'g Graph, id: &str) -> &'g Node {
    graph.nodes.iter().find(|node| node.id == id).unwrap()
}

fn value<'n>(node: &'n Node, name: &str) -> &'n str {
    &node.variables.iter().find(|variable| variable.name == name).unwrap().value
}

fn image(node: &Node) -> Option<&str> {
    node.image.as_ref().and_then(|image| image.name.as_deref())
}

#[test]
fn a_template_beats_default_and_the_job_beats_both() {
    let graph = graph(
        "version: v1
stages: [ci]
default: {image: from-default, timeout: 1h, variables: {A: default, B: default, C: default}}
.t: {image: from-template, variables: {B: template, C: template}}
a: {stage: ci, extends: .t, script: [x], variables: {C: job}}
b: {stage: ci, script: [x]}
c: {stage: ci, script: [x], image: ''}
",
    );
    let a = node(&graph, "a");
    assert_eq!(image(a), Some("from-template"));
    assert_eq!([value(a, "A"), value(a, "B"), value(a, "C")], ["default", "template", "job"]);
    assert_eq!(a.policy.timeout_ms, Some(3_600_000));
    let origin = a.variables[1].origin.as_ref().unwrap();
    assert_eq!((origin.layer, origin.template.as_deref()), (Layer::Template, Some(".t")));
    assert_eq!(origin.position.as_ref().unwrap().line, 4);
    assert_eq!(image(node(&graph, "b")), Some("from-default"));
    assert_eq!(node(&graph, "c").provider, Provider::Host);
}

#[test]
fn own_names_fold_the_layers_below_and_end_in_the_environment() {
    let graph = graph(
        "version: v1
stages: [ci]
variables: {PATH: '/root:$PATH', X: '$$X'}
default: {variables: {PATH: '/default:$PATH', X: 'a$X'}}
.t: {variables: {PATH: '/template:${PATH}'}}
.u: {variables: {PATH: '/other:${PATH}'}}
a: {stage: ci, extends: .t, script: [x], variables: {PATH: '/job:$PATH'}}
b: {stage: ci, extends: [.t, .u], script: [x], variables: {PATH: '/job:$PATH'}}
",
    );
    let a = node(&graph, "a");
    assert_eq!(value(a, "PATH"), "/job:/template:/default:/root:$PATH");
    let b = node(&graph, "b");
    assert_eq!(value(b, "PATH"), "/job:/other:/template:/default:/root:$PATH");
    assert_eq!(value(a, "X"), "a$$X");
}

#[test]
fn mappings_merge_deeply_sequences_and_scalars_replace() {
    let graph = graph(
        "version: v1
stages: [ci]
.a: {cache: {paths: [a, b], policy: pull}, before_script: [a]}
.b: {cache: {paths: [c]}, before_script: [b]}
x: {stage: ci, extends: [.a, .b], script: [x], cache: {when: always}}
",
    );
    let x = node(&graph, "x");
    assert_eq!(x.cache[0].paths, ["c"]);
    assert_eq!(serde_json::to_value(x.cache[0].policy).unwrap(), "pull");
    assert_eq!(serde_json::to_value(x.cache[0].when).unwrap(), "always");
    let commands: Vec<&str> = x.steps.iter().map(|step| &*step.command).collect();
    assert_eq!(commands, ["b", "x"]);
    assert_eq!(x.steps[0].section, ScriptSection::BeforeScript);
}

#[test]
fn later_includes_beat_earlier_ones_and_the_file_itself_beats_all() {
    let include = "version: v1
stages: [ci]
include: [{local: .loom/templates/a.yml}, {local: .loom/templates/b.yml}]
variables: {W: main}
x: {stage: ci, script: [x]}
";
    let graph = graph_of(&[
        (".loom/workflow.yml", include),
        (
            ".loom/templates/a.yml",
            "include: [{local: .loom/templates/c.yml}]\nvariables: {V: a, W: a, U: a}\n",
        ),
        (".loom/templates/b.yml", "variables: {V: b, W: b}\n"),
        (".loom/templates/c.yml", "variables: {V: c, U: c, T: c}\n"),
    ]);
    let x = node(&graph, "x");
    let values: Vec<&str> = ["T", "U", "V", "W"].map(|name| value(x, name)).to_vec();
    assert_eq!(values, ["c", "a", "b", "main"]);
    let sources: Vec<&str> = graph.sources.iter().map(|source| &*source.path).collect();
    let expected = [
        ".loom/workflow.yml",
        ".loom/templates/a.yml",
        ".loom/templates/c.yml",
        ".loom/templates/b.yml",
    ];
    assert_eq!(sources, expected);
}

#[test]
fn a_build_context_is_looked_for_beside_the_workflow_then_at_the_root() {
    let text = "version: v1
stages: [ci]
a: {stage: ci, image: {build: {context: ., dockerfile: nix/Dockerfile}}}
b: {stage: ci, image: {build: {context: docker, dockerfile: Dockerfile}}, script: []}
";
    let graph = graph_of(&[
        (".loom/workflow.yml", text),
        ("nix/Dockerfile", ""),
        ("docker/Dockerfile", ""),
        (".loom/docker/Dockerfile", ""),
    ]);
    let context = |id| node(&graph, id).image.clone().unwrap().build.unwrap().context;
    assert_eq!([context("a"), context("b")], [".", ".loom/docker"]);
}

#[test]
fn parallel_jobs_become_copies_and_needs_name_all_of_them() {
    let graph = graph(
        "version: v1
stages: [build, test]
a: {stage: build, script: [x], parallel: 2, variables: {OS: none}}
a-1: {stage: build, script: [x]}
b:
  stage: test
  script: [x]
  needs: [a]
  variables: {OS: unix}
  parallel: {matrix: [{OS: ['big-$OS', small], V: '1'}]}
",
    );
    let labels: Vec<(&str, &str)> =
        graph.nodes.iter().map(|node| (&*node.id, &*node.label)).collect();
    let expected = [
        ("a-1", "a-1"),
        ("a-1-x", "a 1/2"),
        ("a-2", "a 2/2"),
        ("b-1", "b: [big-$OS, 1]"),
        ("b-2", "b: [small, 1]"),
    ];
    assert_eq!(labels, expected);
    let b = node(&graph, "b-1");
    let needs: Vec<&str> = b.needs.as_ref().unwrap().iter().map(|need| &*need.job).collect();
    assert_eq!(needs, ["a-1-x", "a-2"]);
    assert_eq!(value(b, "OS"), "big-unix");
    assert_eq!([value(b, "CI_NODE_INDEX"), value(b, "CI_NODE_TOTAL")], ["1", "2"]);
    assert!(graph.edges.contains(&Edge::Stage { from: "build".into(), to: "test".into() }));
    assert!(graph.edges.contains(&Edge::Needs { from: "a-2".into(), to: "b-2".into() }));
}

#[test]
fn nodes_stand_in_order_of_stage_and_id_and_steps_know_their_place() {
    let graph = graph(
        "version: v1
stages: [z, a]
y: {stage: a, script: [x]}
x: {stage: a, script: [x]}
w:
  stage: z
  script:
  - >-
    echo one
    line
  - |
    echo two
",
    );
    let ids: Vec<&str> = graph.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(ids, ["w", "x", "y"]);
    let steps = &graph.nodes[0].steps;
    assert_eq!(steps[0].command, "echo one line");
    assert_eq!((steps[1].number, &*steps[1].command), (2, "echo two"));
    let position = steps[1].position.as_ref().unwrap();
    assert_eq!((position.line, position.column), (12, 5));
}

#[test]
fn policies_are_compiled() {
    let graph = graph(
        "version: v1
stages: [ci]
a:
  stage: ci
  script: [x]
  retry: {max: 2, when: [script_failure, timeout, exit_code], backoff: 5s}
  allow_failure: {exit_codes: [77, 3, 77]}
  artifacts: {reports: {dotenv: a.env}, expire_in: 1 week}
  image: alpine
  resources: {cpus: 1.5, memory: 1g}
b: {stage: ci, script: [x], retry: {max: 1, when: always}, allow_failure: false, artifacts: null}
c: {stage: ci, script: [x], retry: {max: 1, when: [timeout, always, signal]}}
",
    );
    let a = node(&graph, "a");
    let retry = a.policy.retry.as_ref().unwrap();
    assert_eq!((retry.max, retry.backoff_ms), (2, Some(5000)));
    assert_eq!(retry.when, ["exit_code", "signal", "timeout"]);
    assert_eq!(a.policy.allow_failure.as_ref().unwrap().exit_codes, [3, 77]);
    let artifacts = a.artifacts.as_ref().unwrap();
    assert_eq!(artifacts.expire_in_s, Some(604_800));
    assert_eq!(artifacts.reports.as_ref().unwrap().dotenv, ["a.env"]);
    let resources = a.resources.as_ref().unwrap();
    assert_eq!((resources.cpus_milli, resources.memory_bytes), (Some(1500), Some(1 << 30)));
    let b = node(&graph, "b");
    assert!(b.policy.retry.as_ref().unwrap().when.is_empty());
    assert!(node(&graph, "c").policy.retry.as_ref().unwrap().when.is_empty());
    assert!(b.policy.allow_failure.is_none() && b.artifacts.is_none());
}

const DIGESTED: &str = "version: v1
stages: [ci]
variables: {A: x, B: y}
a: {stage: ci, script: [make], rules: [{if: '$A == \"x\"'}], timeout: 90s}
b: {stage: ci, script: [x], parallel: {matrix: [{OS: [l, m], ARCH: [x, y]}]}, invariant: {z: 1, y: 1.50}}
";

#[test]
fn the_digest_is_of_the_meaning_alone() {
    let original = graph(DIGESTED);
    assert_eq!(original.digest.len(), 64);
    assert_eq!(original.digest, crate::digest(&original));
    let same = "# a comment
stages: [ci]
b:
  invariant: {y: 1.5, z: 1}
  parallel: {matrix: [{ARCH: [x, y], OS: [l, m]}]}
  script: [x]
  stage: ci
a:
  timeout: 1m30s
  rules:
    - if: ( $A == 'x' )
  script:
    - make
  stage: ci
variables:
  B: 'y'
  A: \"x\"
version: v1
";
    assert_eq!(graph(same).digest, original.digest);
    let other = DIGESTED.replace("make", "make all");
    assert_ne!(graph(&other).digest, original.digest);
}

#[test]
fn mistakes_of_three_files_are_all_told_in_order_with_their_chain() {
    let compiled = compile_files(&[
        (
            ".loom/workflow.yml",
            "version: v1\nstages: [ci]\ninclude: [{local: .loom/templates/a.yml}]\nx: {stage: c, script: [x]}\n",
        ),
        (
            ".loom/templates/a.yml",
            "include: [{local: .loom/templates/b.yml}]\n.a: {imag: x}\ny: {stage: ci, script: x}\n",
        ),
        (".loom/templates/b.yml", "variables: {a: b, C: 1}\n"),
    ]);
    let told: Vec<String> = compiled.errors().map(short).collect();
    let starts = [
        ".loom/workflow.yml:4:12: WF_SCHEMA_V1 /x/stage: ",
        ".loom/templates/a.yml:2:6: WF_SCHEMA_V1 /.a/imag: ",
        ".loom/templates/a.yml:3:24: WF_SCHEMA_V1 /y/script: ",
        ".loom/templates/b.yml:1:13: WF_SCHEMA_V1 /variables/a: ",
        ".loom/templates/b.yml:1:22: WF_SCHEMA_V1 /variables/C: ",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (line, start) in told.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    let last = compiled.errors().last().unwrap();
    let chain = [".loom/workflow.yml", ".loom/templates/a.yml", ".loom/templates/b.yml"];
    assert_eq!(last.include_chain, chain);
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let files = Files { read: &|_| Err(io::ErrorKind::NotFound.into()), exists: &|_| false };
    let told = |bytes: &[u8]| {
        let compiled = compile(".loom/workflow.yml", bytes.to_vec(), &files);
        assert!(compiled.graph.is_none());
        short(&compiled.diagnostics[0])
    };
    assert!(
        told(b"a: b\nc: \xff\n")
            .starts_with(".loom/workflow.yml:2:4: WF_YAML_SYNTAX : byte 8 is not UTF-8")
    );
    assert!(told(b"a: \0b\n").contains(":1:4: WF_YAML_SYNTAX /a: a NUL character"));
    assert!(told("a: \u{feff}b\n".as_bytes()).contains("byte order mark"));
    assert!(told(&vec![b'#'; crate::MAX_BYTES + 1]).contains("larger than 4 MiB"));
    assert!(told(&b"[".repeat(100)).contains("WF_LIMIT : nested more than 64 levels deep"));
}

fn told(files: &[(&str, &str)]) -> Vec<String> {
    compile_files(files).diagnostics.iter().map(short).collect()
}

#[test]
fn a_syntax_error_hides_its_own_root_key_alone() {
    let workflow = "version: v1
stages: [ci]
include: [{local: .loom/templates/a.yml}]
one:
  stage: ci
  extends: .lost
  needs: [two, broken]
  timeout: 5
broken:
  stage: ci
\tscript: [x]
two: {stage: c, script: [x]}
";
    let template = ".lost:\n  script: [a: b: c]\n.found: {imag: x}\nvariables: {A: \"x}\n";
    let found = told(&[(".loom/workflow.yml", workflow), (".loom/templates/a.yml", template)]);
    let expected = [
        ".loom/workflow.yml:8:12: WF_SCHEMA_V1 /one/timeout: ",
        ".loom/workflow.yml:11:1: WF_YAML_SYNTAX /broken: ",
        ".loom/workflow.yml:12:14: WF_SCHEMA_V1 /two/stage: ",
        ".loom/templates/a.yml:2:16: WF_YAML_SYNTAX /.lost: ",
        ".loom/templates/a.yml:3:10: WF_SCHEMA_V1 /.found/imag: ",
        ".loom/templates/a.yml:4:16: WF_YAML_SYNTAX /variables: ",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, start) in found.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn what_may_stand_in_a_file_that_cannot_be_read_is_not_missed() {
    let workflow = "include: [{local: .loom/templates/no.yml}, {local: elsewhere.yml}]
a: {stage: ci, extends: .unknown, needs: [unknown], when: nevr}
b: {extends: .bas, image: 5}
.base: {script: [x]}
";
    let found = told(&[(".loom/workflow.yml", workflow)]);
    let expected = [
        "1:19: WF_SCHEMA_V1 /include/0/local: included file",
        "1:52: WF_SCHEMA_V1 /include/1/local: set include.local to",
        "2:59: WF_SCHEMA_V1 /a/when: unknown value",
        "3:14: WF_SCHEMA_V1 /b/extends: unknown template \".bas\"; did you mean",
        "3:27: WF_SCHEMA_V1 /b/image: expected string or mapping",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, part) in found.iter().zip(expected) {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn what_is_refused_by_yaml_has_the_pointer_of_its_value() {
    let workflow = "version: v1
stages: &s [ci]
a:
  stage: !!str ci
  script:
    - &x make
    - !t b
  image: &i
    name: x
  variables: {A: &a x, B: *a}
";
    let found = compile_files(&[(".loom/workflow.yml", workflow)]);
    let pointers: Vec<&str> =
        found.diagnostics.iter().map(|diagnostic| &*diagnostic.pointer).collect();
    let expected = [
        "/stages",
        "/a/stage",
        "/a/script/0",
        "/a/script/1",
        "/a/image",
        "/a/variables/A",
        "/a/variables/B",
    ];
    assert_eq!(pointers, expected);
}
