//! The example of a command that is not ours, taken out of CONTRIBUTING.md and run.

use std::fs;

use libloom_testkit::{Sandbox, source_root};
use predicates::str::{contains, is_match};

/// The example, installed as `loom-receipts` on the sandbox's PATH.
fn sandbox_with_example() -> Sandbox {
    let text = fs::read_to_string(source_root().join("CONTRIBUTING.md")).unwrap();
    let (_, after) = text.split_once("```sh\n#!/bin/sh\n").expect("the example is there");
    let (example, _) = after.split_once("```\n").expect("the example ends");
    let sandbox = Sandbox::new();
    let path = sandbox.bin().join("loom-receipts");
    sandbox.executable(&path, &format!("#!/bin/sh\n{example}"));
    sandbox
}

#[test]
fn the_documented_example_is_found_and_lists_receipts() {
    let sandbox = sandbox_with_example();
    let repo = sandbox.repo();
    repo.loom().arg("receipts").assert().success().stdout("");
    // No documents of Loom's: only their names matter here.
    repo.write(".loom/.runtime/receipts/a.json.txt", "").write(".loom/.runtime/receipts/b.txt", "");
    let said = format!("receipts of {}, loom ", repo.root().display());
    repo.loom().arg("receipts").assert().success().stdout("a.json.txt\n").stderr(contains(said));
    repo.loom().args(["-q", "receipts", "b"]).assert().success().stdout("b.txt\n").stderr("");
    repo.loom().args(["receipts", "no-such"]).assert().code(1);
    let listed = is_match("(?m)^ *receipts +\\(external command\\)$").unwrap();
    repo.loom().arg("--list").assert().success().stdout(listed);
}

#[test]
fn the_documented_example_obeys_the_exit_codes() {
    let sandbox = sandbox_with_example();
    sandbox.loom().arg("receipts").assert().code(3).stderr(contains("not a git repository"));
    sandbox.loom().args(["receipts", "--pink"]).assert().code(2);
    sandbox.loom().args(["help", "receipts"]).assert().success().stdout(contains("Usage:"));
}
