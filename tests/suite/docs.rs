//! What is checked in is what the executables generate; what texts promise exists.
//!
//! `LOOM_REGENERATE=1 cargo test -p loom-tests docs` writes man pages and completions anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libloom_testkit::{Sandbox, source_root};

const COMMANDS: &[&str] =
    &["loom", "loom-check", "loom-compile", "loom-snapshot", "loom-run", "loom-logs"];

/// Word of `--generate`, and the file it fills, as each shell expects it to be called.
fn generated_files(command: &str) -> [(&'static str, PathBuf); 4] {
    [
        ("man", format!("man/{command}.1")),
        ("bash", format!("completions/{command}.bash")),
        ("zsh", format!("completions/_{command}")),
        ("fish", format!("completions/{command}.fish")),
    ]
    .map(|(word, path)| (word, source_root().join(path)))
}

#[test]
fn man_pages_and_completions_are_what_the_executables_generate() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        for (word, path) in generated_files(command) {
            let assert = sandbox.command(command).args(["--generate", word]).assert().success();
            compare_or_write(&path, &assert.get_output().stdout);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch for developers, not for Loom")]
fn compare_or_write(path: &Path, generated: &[u8]) {
    assert!(!generated.is_empty(), "nothing was generated for {}", path.display());
    if std::env::var_os("LOOM_REGENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, generated).unwrap();
    }
    let checked_in = fs::read(path).unwrap_or_default();
    let hint = "run `LOOM_REGENERATE=1 cargo test -p loom-tests docs`";
    assert!(checked_in == generated, "{} is out of date: {hint}", path.display());
}

#[test]
fn no_page_or_completion_is_left_of_a_command_that_is_gone() {
    let generated: BTreeSet<PathBuf> =
        COMMANDS.iter().flat_map(|command| generated_files(command)).map(|(_, p)| p).collect();
    for folder in ["man", "completions"] {
        for entry in fs::read_dir(source_root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let by_hand = path.extension().is_some_and(|extension| extension == "5");
            assert!(by_hand || generated.contains(&path), "{} is of no command", path.display());
        }
    }
}

#[test]
fn every_executable_is_documented() {
    let table = fs::read_to_string(source_root().join("bins/README.md")).unwrap();
    for entry in fs::read_dir(source_root().join("bins")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            assert!(COMMANDS.contains(&name), "`{name}` is missing in tests/suite/docs.rs");
            assert!(table.contains(&format!("| `{name}` |")), "`{name}` in bins/README.md");
        }
    }
}

#[test]
fn every_library_is_documented() {
    let table = fs::read_to_string(source_root().join("shared/README.md")).unwrap();
    for entry in fs::read_dir(source_root().join("shared")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!path.is_dir() || table.contains(&format!("| `{name}` |")), "`{name}` is missing");
    }
}

#[test]
fn man_pages_are_clean_roff() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let page = source_root().join(format!("man/{command}.1"));
        let groff = Path::new("/usr/bin/groff");
        if !groff.exists() {
            // A bare machine has no formatter; the comparison above still guards the pages.
            return;
        }
        let arguments = ["-man", "-Tutf8", "-ww", "-z"];
        let output = sandbox.program(groff).args(arguments).arg(&page).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
    }
}
