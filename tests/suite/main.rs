//! End-to-end tests: one module for each area, one executable for all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[macro_use]
mod engines;

mod alias;
mod artifacts;
mod check;
mod check_many;
mod clean;
mod compile;
mod compile_evaluate;
mod completions;
mod contract;
mod dispatch;
mod docker_build;
mod docker_job;
mod docker_proxy;
mod docker_pull;
mod docker_run;
mod docker_services;
mod docs;
mod examples;
mod foreign;
mod layering;
mod logs;
mod logs_export;
mod logs_follow;
mod logs_validate;
mod ran;
mod run;
mod run_again;
mod run_artifacts;
mod run_bad_input;
mod run_crash;
mod run_evidence;
mod run_guard;
mod run_inherit;
mod run_live;
mod run_order;
mod run_output;
mod run_retry;
mod run_secrets;
mod run_selection;
mod run_shell;
mod run_steps;
mod run_variables;
mod run_workspace;
mod shell;
mod snapshot;
mod snapshot_at;
mod snapshot_corners;
mod snapshot_diff;
mod snapshot_hostile;
mod snapshot_kills;
mod snapshot_manage;
mod snapshot_places;
mod snapshot_property;

use std::fs;

/// A file that is not declared above would never be compiled, and its tests never run.
#[test]
fn no_file_of_the_suite_is_forgotten() {
    let folder = libloom_testkit::source_root().join("tests/suite");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        let declared = main.lines().any(|line| line == format!("mod {module};"));
        assert!(module == "main" || declared, "`mod {module};` is missing in tests/suite/main.rs");
    }
}
