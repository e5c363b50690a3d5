//! Who may depend on whom: the arrows of the code base, as a table, against the manifests.
//!
//! Arrows go down only. Binaries never link each other: they start each other and read documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use libloom_testkit::{cargo, source_root};
use serde_json::Value;

/// Package and the members of this workspace that it may link.
const ALLOWED: &[(&str, &[&str])] = &[
    ("libloom-contract", &[]),
    ("libloom-archive", &["libloom-contract"]),
    ("libloom-console", &["libloom-contract"]),
    ("libloom-entry", &["libloom-console", "libloom-contract"]),
    ("libloom-processes", &[]),
    ("libloom-config", &["libloom-contract", "libloom-entry"]),
    ("libloom-engine", &["libloom-contract"]),
    ("libloom-record", &["libloom-contract"]),
    ("libloom-redact", &[]),
    ("libloom-secrets", &["libloom-contract"]),
    ("libloom-variables", &["libloom-contract"]),
    ("libloom-rules", &["libloom-contract", "libloom-variables"]),
    ("libloom-workflow", &["libloom-contract", "libloom-rules", "libloom-variables"]),
    ("libloom-testkit", &["libloom-contract"]),
    ("loom", &["libloom-config", "libloom-console", "libloom-contract", "libloom-entry"]),
    ("loom-check", &["libloom-console", "libloom-contract", "libloom-entry", "libloom-workflow"]),
    (
        "loom-compile",
        &[
            "libloom-console",
            "libloom-contract",
            "libloom-entry",
            "libloom-rules",
            "libloom-variables",
            "libloom-workflow",
        ],
    ),
    (
        "loom-snapshot",
        &[
            "libloom-config",
            "libloom-console",
            "libloom-contract",
            "libloom-entry",
            "libloom-record",
        ],
    ),
    (
        "loom-run",
        &[
            "libloom-archive",
            "libloom-config",
            "libloom-console",
            "libloom-contract",
            "libloom-engine",
            "libloom-entry",
            "libloom-processes",
            "libloom-record",
            "libloom-redact",
            "libloom-rules",
            "libloom-secrets",
            "libloom-variables",
        ],
    ),
    (
        "loom-shell",
        &[
            "libloom-console",
            "libloom-contract",
            "libloom-entry",
            "libloom-record",
            "libloom-rules",
            "libloom-secrets",
            "libloom-variables",
        ],
    ),
    (
        "loom-clean",
        &[
            "libloom-console",
            "libloom-contract",
            "libloom-engine",
            "libloom-entry",
            "libloom-processes",
            "libloom-record",
            "libloom-secrets",
        ],
    ),
    ("loom-logs", &["libloom-console", "libloom-contract", "libloom-entry", "libloom-record"]),
    (
        "loom-artifacts",
        &[
            "libloom-archive",
            "libloom-console",
            "libloom-contract",
            "libloom-entry",
            "libloom-record",
        ],
    ),
    ("loom-tests", &[]),
    ("loom-benches", &["libloom-contract", "libloom-engine", "libloom-redact", "libloom-testkit"]),
];

/// What a test of any package may use besides: nothing that a user ever gets.
const FOR_TESTS: &[&str] = &["libloom-contract", "libloom-testkit"];

/// Command and the packages it must never link: what they cost belongs to few executables.
const LIGHT: &[(&str, &[&str])] = &[
    ("loom", &["tokio", "bollard", "git2", "jsonschema", "regex"]),
    ("loom-check", &["tokio", "bollard", "git2"]),
    ("loom-compile", &["tokio", "bollard", "git2"]),
    ("loom-snapshot", &["tokio", "bollard"]),
    ("loom-shell", &["tokio", "bollard", "git2", "libgit2-sys"]),
    ("loom-logs", &["tokio", "bollard", "git2", "libgit2-sys"]),
    ("loom-artifacts", &["tokio", "bollard", "git2", "libgit2-sys"]),
];

#[test]
fn every_arrow_is_in_the_table() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let packages = packages();
    let members: BTreeSet<&str> = packages.iter().map(name).collect();
    for package in &packages {
        let table = allowed.get(name(package));
        let table = table.unwrap_or_else(|| panic!("`{}` is missing in ALLOWED", name(package)));
        for dependency in dependencies(package) {
            let target = name(dependency);
            let fine =
                table.contains(&target) || (is_dev(dependency) && FOR_TESTS.contains(&target));
            let arrow = format!("{} -> {target}", name(package));
            assert!(!members.contains(target) || fine, "the arrow {arrow} is not allowed");
        }
    }
}

#[test]
fn the_table_names_only_what_exists() {
    let packages = packages();
    let members: BTreeSet<&str> = packages.iter().map(name).collect();
    for (package, arrows) in ALLOWED {
        for named in arrows.iter().chain([package]) {
            assert!(members.contains(named), "`{named}` is in ALLOWED but not in the workspace");
        }
    }
}

#[test]
fn light_commands_build_without_heavy_crates() {
    for (command, heavy) in LIGHT {
        let linked = linked(command);
        assert!(linked.contains("libloom-entry"), "cargo tree said nothing about {command}");
        for name in *heavy {
            assert!(!linked.contains(*name), "`{command}` links `{name}`");
        }
    }
}

#[test]
fn only_the_engine_names_bollard() {
    for package in packages() {
        let names = dependencies(&package).iter().any(|dependency| name(dependency) == "bollard");
        assert!(!names || name(&package) == "libloom-engine", "{} names bollard", name(&package));
    }
}

#[test]
fn folders_are_named_after_their_packages() {
    for package in packages() {
        let manifest = package["manifest_path"].as_str().unwrap();
        let folder = Path::new(manifest).parent().unwrap().strip_prefix(source_root()).unwrap();
        let expected = match name(&package).strip_prefix("libloom-") {
            Some(noun) => format!("shared/{noun}"),
            None if matches!(name(&package), "loom-tests" | "loom-benches") => continue,
            None => format!("bins/{}", name(&package)),
        };
        assert_eq!(folder, Path::new(&expected));
    }
}

#[test]
fn every_package_obeys_the_shared_lints() {
    for package in packages() {
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} lacks lints", name(&package));
    }
}

#[test]
fn every_main_only_calls_its_library() {
    for folder in fs::read_dir(source_root().join("bins")).unwrap() {
        let main = folder.unwrap().path().join("src/main.rs");
        let Ok(text) = fs::read_to_string(&main) else { continue };
        let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
        let lines: Vec<&str> = code.collect();
        let calls_entry = lines.get(1).is_some_and(|line| line.contains("libloom_entry::main"));
        assert!(lines.len() == 3 && calls_entry, "{} is not three lines", main.display());
    }
}

fn packages() -> Vec<Value> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn dependencies(package: &Value) -> &Vec<Value> {
    package["dependencies"].as_array().unwrap()
}

fn is_dev(dependency: &Value) -> bool {
    dependency["kind"] == "dev"
}

/// Every package that ends up in an executable.
fn linked(command: &str) -> BTreeSet<String> {
    let arguments = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = cargo().args(arguments).args(["--package", command]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
