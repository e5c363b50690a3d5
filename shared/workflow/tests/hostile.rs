//! No input makes the compiler panic, hang or fill the memory; every frame can be drawn.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io;
use std::time::Duration;

use libloom_workflow::{Compiled, Files, compile, human, short};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

fn run(text: &str) -> Compiled {
    let read = |path: &str| match path {
        ".loom/templates/a.yml" => Ok(text.as_bytes().to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let files = Files { read: &read, exists: &|path| path.len() % 2 == 0 };
    let compiled = compile(".loom/workflow.yml", text.as_bytes().to_vec(), &files);
    assert_eq!(compiled.graph.is_none(), compiled.errors().count() > 0, "{text}");
    for diagnostic in compiled.diagnostics.iter().take(20) {
        let span = diagnostic.span.as_ref().unwrap();
        let source = compiled.sources.by_path(&span.file).unwrap();
        assert!(source.text.get(span.start..span.end).is_some(), "{diagnostic:?}\n{text}");
        let before = source.text[..span.start].matches('\n').count();
        assert_eq!(span.line as usize, before + 1, "{diagnostic:?}\n{text}");
        short(diagnostic);
        human(diagnostic, &compiled.sources, true);
    }
    compiled
}

/// Pieces that workflows are made of, so that arbitrary text gets past the YAML parser.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "version: v1\n",
        "stages: [ci]\n",
        "stages:\n",
        "- ci\n",
        "include:\n",
        "  - local: .loom/templates/a.yml\n",
        "default:\n",
        "variables:\n",
        "  A: $B\n",
        "  B: $A\n",
        "  A: x$A\n",
        "a:\n",
        ".t:\n",
        "  extends: .t\n",
        "  extends: [a, .t]\n",
        "  stage: ci\n",
        "  script: [x]\n",
        "  script:\n",
        "    - |\n      x\n",
        "    - >-\n      x\n",
        "  needs: [a]\n",
        "  image: {build: {context: ., dockerfile: D}}\n",
        "  cache: []\n",
        "  cache: {paths: [a]}\n",
        "  parallel: 3\n",
        "  parallel: {matrix: [{A: [a, b]}]}\n",
        "  rules: [{if: $A}]\n",
        "    - if: '$A =~ /x(/'\n",
        "  secrets: {A: {ref: env://A}}\n",
        "  services: [x]\n",
        "é: 日本\n",
        "&a ",
        "*a ",
        "!t ",
        "<<: ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "#",
        "|\n",
        ">\n",
        "\r\n",
        "\u{feff}",
        "\0",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "? ",
        "~",
        "null",
        "😀",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn text_made_of_pieces_never_panics(pieces in proptest::collection::vec(piece(), 0..40)) {
        run(&pieces.concat());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        run(&text);
    }
}

const HEAD: &str = "version: v1\nstages: [ci]\n";

/// What this thread has worked, however busy the machine is.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

#[test]
fn hostile_documents_end_soon_in_a_diagnostic() {
    let many =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let doubling = many(60, &|i| format!("  A: {}\n", "$A".repeat(i % 2 + 1)));
    let documents = [
        ("keys that are no keys", many(20_000, &|i| format!("K{i}: x\n"))),
        ("jobs that lack all", format!("{HEAD}{}", many(5_000, &|i| format!("j{i}: {{}}\n")))),
        ("one template, many jobs", {
            let variables = many(1500, &|i| format!("  V{i}: x\n"));
            let jobs = many(1500, &|i| format!("j{i}: {{extends: .t, stage: ci, script: [x]}}\n"));
            format!("{HEAD}.t:\n variables:\n{variables}{jobs}")
        }),
        ("unknown names", {
            format!("{HEAD}{}", many(4_000, &|i| format!("j{i}: {{extends: .unknown{i}}}\n")))
        }),
        ("a chain of variables", {
            let chain = many(10_000, &|i| format!("  V{i}: $V{}\n", i + 1));
            format!("{HEAD}variables:\n{chain}  V10000: $V0\na: {{stage: ci, script: [x]}}\n")
        }),
        ("one long line", format!("a: [{}]\n", "{a: b}, ".repeat(20_000))),
        ("a chain of needs", {
            let chain = many(5_000, &|i| {
                format!("j{i}: {{stage: ci, script: [x], needs: [j{}]}}\n", (i + 1) % 5_000)
            });
            format!("{HEAD}{chain}")
        }),
        ("duplicates", doubling),
        (
            "itself included",
            format!("{HEAD}include:\n{}", "- local: .loom/templates/a.yml\n".repeat(2000)),
        ),
    ];
    for (what, text) in documents {
        let start = cpu_time();
        let compiled = run(&text);
        let taken = cpu_time() - start;
        assert!(compiled.errors().count() > 0, "{what}");
        assert!(taken < Duration::from_secs(20), "{what}: {taken:?}");
    }
}

#[test]
fn variables_that_refer_to_each_other_again_and_again_are_looked_at_once() {
    let double = (0..200).map(|i| format!("  V{}: $V{i}$V{i}\n", i + 1)).collect::<String>();
    let job = "a: {stage: ci, script: [x]}\n";
    let compiled = run(&format!("{HEAD}variables:\n  V0: ''\n{double}{job}"));
    assert!(compiled.graph.is_some());
    assert_eq!(compiled.warnings().filter(|warning| warning.code == "WF_NO_VALUE").count(), 200);
}

#[test]
fn very_long_names_are_not_compared() {
    let name = "a".repeat(400_000);
    let text = format!("version: v1\nstages: [{name}]\na: {{stage: b{name}, script: [x]}}\n");
    assert_eq!(run(&text).errors().count(), 2);
}

#[test]
fn folded_values_cannot_explode() {
    let mut text = format!("{HEAD}variables: {{A: '{}'}}\n", "x".repeat(1000));
    for i in 0..10 {
        let next = if i < 9 { format!("extends: .t{}, ", i + 1) } else { String::new() };
        text += &format!(".t{i}: {{{next}variables: {{A: '{}'}}}}\n", "$A".repeat(20));
    }
    text += "a: {extends: .t0, stage: ci, script: [x]}\n";
    let compiled = run(&text);
    assert!(compiled.errors().any(|error| error.code == "WF_LIMIT"));
}
