//! What is checked in is what the executables generate; what texts promise exists.
//!
//! `LOOM_REGENERATE=1 cargo test -p loom-tests docs` writes man pages and completions anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libloom_testkit::{Sandbox, source_root};

const COMMANDS: &[&str] = &[
    "loom",
    "loom-check",
    "loom-compile",
    "loom-snapshot",
    "loom-run",
    "loom-logs",
    "loom-artifacts",
    "loom-clean",
    "loom-shell",
];

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

/// Commands in texts that are examples of somebody else's.
const FOREIGN: &[&str] = &["foo", "receipts"];

#[test]
fn commands_in_the_texts_exist_and_take_the_options_shown() {
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for text in ["README.md", "CONTRIBUTING.md"] {
        for line in fenced_lines(text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(arguments) = loom_arguments(&words) else { continue };
            check_command_line(&sandbox, text, &arguments);
            seen += 1;
        }
    }
    assert!(seen > 0, "README.md shows no command of loom");
}

/// The lines inside code fences; of a session only what is typed.
fn fenced_lines(name: &str) -> Vec<String> {
    let path = source_root().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let blocks = text.split("```").skip(1).step_by(2);
    let typed = |block: &str| {
        let session = block.lines().any(|line| line.starts_with("$ "));
        let lines = block.lines().filter(|line| !session || line.starts_with("$ "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    blocks.flat_map(typed).collect()
}

/// What follows `loom` in a line such as `$ target/debug/loom run -q | less`, up to what is the
/// shell's; `loom-run` counts as `loom run`.
fn loom_arguments<'w>(words: &[&'w str]) -> Option<Vec<&'w str>> {
    let words = words.strip_prefix(&["$"]).unwrap_or(words);
    let (program, rest) = words.split_first()?;
    let program = program.rsplit('/').next()?;
    let own = match program {
        "loom" => None,
        _ => Some(program.strip_prefix("loom-")?),
    };
    let of_shell =
        |word: &&&str| !matches!(word.chars().next(), Some('|' | '>' | '<' | '&' | ';' | '#'));
    Some(own.into_iter().chain(rest.iter().take_while(of_shell).copied()).collect())
}

fn check_command_line(sandbox: &Sandbox, text: &str, arguments: &[&str]) {
    let named = arguments.iter().position(|word| !word.starts_with('-'));
    let name = named.map(|at| arguments[at]).unwrap_or_default();
    if FOREIGN.contains(&name) {
        return;
    }
    let mut help = help_of(sandbox, "loom", &[]);
    if !matches!(name, "" | "help" | "version") {
        let command = format!("loom-{name}");
        assert!(COMMANDS.contains(&command.as_str()), "{text} shows `loom {name}`");
        help += &help_of(sandbox, &command, &[]);
        let sub = arguments.get(named.unwrap_or_default() + 1).filter(|s| !s.starts_with('-'));
        help += &sub.map(|sub| help_of(sandbox, &command, &[sub])).unwrap_or_default();
    }
    for option in arguments.iter().filter(|word| word.starts_with('-')) {
        let option = option.split('=').next().unwrap();
        assert!(help.contains(option), "{text} shows `{option}` of `loom {name}`");
    }
}

/// What `--help` prints; nothing where `sub` turns out to be no subcommand but an argument.
fn help_of(sandbox: &Sandbox, command: &str, sub: &[&str]) -> String {
    let output = sandbox.command(command).args(sub).arg("--help").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
