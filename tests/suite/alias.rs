//! Aliases of the dispatcher: where they are from, what they may not do.

use std::fs;

use libloom_testkit::{Repo, Sandbox};
use predicates::prelude::*;
use predicates::str::{contains, starts_with};

const SHOW_ARGUMENTS: &str = r#"for a in "$@"; do printf '[%s]' "$a"; done"#;

fn repo_with_config<'a>(sandbox: &'a Sandbox, text: &str) -> Repo<'a> {
    sandbox.script(&sandbox.bin(), "loom-show", SHOW_ARGUMENTS);
    let repo = sandbox.repo();
    repo.write(".loom/config.yml", text);
    repo
}

fn user_config(sandbox: &Sandbox, text: &str) {
    let folder = sandbox.home().join(".config/loom");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yml"), text).unwrap();
}

#[test]
fn an_alias_is_split_like_a_shell_does_and_takes_further_arguments() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias:\n  s: show --local 'a b'\n  l: [show, c d]\n");
    repo.loom().args(["s", "-x"]).assert().success().stdout("[--local][a b][-x]");
    repo.loom().arg("l").assert().success().stdout("[c d]");
}

#[test]
fn the_repository_outranks_the_user() {
    let sandbox = Sandbox::new();
    user_config(&sandbox, "alias: {s: show user, mine: show mine}\n");
    let repo = repo_with_config(&sandbox, "alias: {s: show repository}\n");
    repo.loom().arg("s").assert().success().stdout("[repository]");
    repo.loom().arg("mine").assert().success().stdout("[mine]");
    sandbox.loom().arg("s").assert().success().stdout("[user]");
}

#[test]
fn the_user_s_file_follows_xdg() {
    let sandbox = Sandbox::new();
    sandbox.script(&sandbox.bin(), "loom-show", SHOW_ARGUMENTS);
    let folder = sandbox.root().join("xdg/loom");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yml"), "alias: {s: show xdg}\n").unwrap();
    let mut loom = sandbox.loom();
    loom.env("XDG_CONFIG_HOME", sandbox.root().join("xdg")).arg("s");
    loom.assert().success().stdout("[xdg]");
}

#[test]
fn the_repository_s_file_follows_a_changed_folder() {
    let sandbox = Sandbox::new();
    repo_with_config(&sandbox, "alias: {s: show here}\n").write("deep/file", "");
    sandbox.loom().args(["-C", "repo/deep", "s"]).assert().success().stdout("[here]");
}

#[test]
fn a_real_command_is_never_shadowed() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias: {show: show alias, version: show me, s: show}\n");
    repo.loom().args(["show", "real"]).assert().success().stdout("[real]").stderr("");
    repo.loom().arg("version").assert().success().stdout(starts_with("loom "));
    let assert = repo.loom().arg("--list").assert().success();
    for name in ["show", "version"] {
        let warning = format!("warning: alias `{name}` in `");
        assert!(contains(warning).eval(&String::from_utf8_lossy(&assert.get_output().stderr)));
    }
}

#[test]
fn a_loop_is_refused_with_its_chain() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias: {a: b, b: c x, c: a}\n");
    let assert = repo.loom().arg("b").assert().code(3);
    assert.stderr(starts_with("error: alias loop: b -> c -> a -> b\nhint: "));
}

#[test]
fn an_alias_of_nothing_is_an_unknown_command() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias: {a: nothing x}\n");
    repo.loom().arg("a").assert().code(127).stderr(contains("no such command: `nothing`"));
}

#[test]
fn aliases_are_suggested_listed_and_explained() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias: {nightly: show --all}\n");
    repo.loom().arg("nigthly").assert().code(127).stderr(contains("did you mean `nightly`?"));
    repo.loom().arg("--list").assert().success().stdout(contains("alias: show --all\n"));
    let assert = repo.loom().args(["help", "nightly"]).assert().success();
    assert.stdout(starts_with("`nightly` is an alias for `show --all` (from "));
}

#[test]
fn a_damaged_file_is_named_and_matters_only_when_it_is_needed() {
    let sandbox = Sandbox::new();
    let repo = repo_with_config(&sandbox, "alias: [a]\n");
    repo.loom().args(["show", "x"]).assert().success().stdout("[x]").stderr("");
    let file = repo.path(".loom/config.yml");
    let expected = format!("error: cannot use `alias` in `{}`, line 1: ", file.display());
    repo.loom().arg("a").assert().code(3).stderr(starts_with(expected));
}
