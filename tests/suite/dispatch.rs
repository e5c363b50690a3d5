//! The dispatcher: finding, starting, listing, suggesting. Aliases are in `alias.rs`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use libloom_testkit::{Sandbox, binaries};
use predicates::prelude::*;
use predicates::str::{contains, ends_with, starts_with};

/// A sandbox with an installation of its own in `opt`, so that "own folder" and PATH differ.
struct Installed {
    sandbox: Sandbox,
    folder: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.root().join("opt/bin");
        sandbox.install(&folder, &["loom"]);
        Self { sandbox, folder }
    }

    /// The installed dispatcher, with only `bin` of the sandbox on PATH.
    fn loom(&self) -> assert_cmd::Command {
        let mut command = self.sandbox.program(&self.folder.join("loom"));
        command.env("PATH", self.sandbox.bin());
        assert_cmd::Command::from_std(command)
    }

    fn in_own_folder(&self, name: &str, body: &str) -> PathBuf {
        self.sandbox.script(&self.folder, name, body)
    }

    fn on_path(&self, name: &str, body: &str) -> PathBuf {
        self.sandbox.script(&self.sandbox.bin(), name, body)
    }
}

const SHOW_ARGUMENTS: &str = r#"for a in "$@"; do printf '[%s]' "$a"; done"#;

#[test]
fn arguments_after_the_name_go_on_untouched() {
    let here = Installed::new();
    here.on_path("loom-foo", SHOW_ARGUMENTS);
    let line = ["foo", "-q", "--color", "pink", "", "--", "a b", "--help", "-C"];
    here.loom().args(line).assert().success().stdout("[-q][--color][pink][][--][a b][--help][-C]");
}

#[test]
fn arguments_that_are_not_utf8_go_on_untouched() {
    let here = Installed::new();
    here.on_path("loom-foo", SHOW_ARGUMENTS);
    let assert = here.loom().arg("foo").arg(OsStr::from_bytes(b"a\xff\xfe")).assert().success();
    assert_eq!(assert.get_output().stdout, b"[a\xff\xfe]");
}

#[test]
fn a_shipped_command_comes_from_the_own_folder_first() {
    let here = Installed::new();
    here.on_path("loom-check", "echo path");
    here.loom().arg("check").assert().success().stdout("path\n");
    here.in_own_folder("loom-check", "echo own");
    here.loom().arg("check").assert().success().stdout("own\n");
}

#[test]
fn a_foreign_command_comes_from_path_first_in_order() {
    let here = Installed::new();
    here.in_own_folder("loom-foo", "echo own");
    here.loom().arg("foo").assert().success().stdout("own\n");
    here.on_path("loom-foo", "echo first");
    let later = here.sandbox.root().join("later");
    here.sandbox.script(&later, "loom-foo", "echo later");
    let path = std::env::join_paths([here.sandbox.bin(), later]).unwrap();
    here.loom().env("PATH", path).arg("foo").assert().success().stdout("first\n");
}

#[test]
fn the_process_is_replaced_and_its_exit_code_is_the_command_s() {
    let here = Installed::new();
    here.on_path("loom-foo", "echo $$; exit 42");
    let mut command = here.sandbox.program(&here.folder.join("loom"));
    command.env("PATH", here.sandbox.bin()).arg("foo").stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"));
}

#[test]
fn a_signal_that_ends_the_command_is_seen_by_the_caller() {
    let here = Installed::new();
    here.on_path("loom-foo", "kill -TERM $$");
    let output = here.loom().arg("foo").output().unwrap();
    assert_eq!(output.status.signal(), Some(15));
}

const SHOW_OPTIONS: &str =
    r#"echo "color=${LOOM_COLOR-} quiet=${LOOM_QUIET-} verbose=${LOOM_VERBOSE-} $PWD""#;

#[test]
fn global_options_travel_as_variables() {
    let here = Installed::new();
    here.on_path("loom-foo", SHOW_OPTIONS);
    let root = here.sandbox.root().display().to_string();
    let shows = |line: &[&str], expected: &str| {
        let expected = format!("{expected} {root}\n");
        here.loom().args(line).arg("foo").assert().success().stdout(expected);
    };
    shows(&[], "color= quiet= verbose=");
    shows(&["-q", "--color", "always"], "color=always quiet=1 verbose=");
    shows(&["--color=never", "--verbose"], "color=never quiet= verbose=1");
}

#[test]
fn an_option_replaces_the_opposite_that_was_inherited() {
    let here = Installed::new();
    here.on_path("loom-foo", SHOW_OPTIONS);
    let mut loom = here.loom();
    loom.env("LOOM_VERBOSE", "1").args(["-q", "foo"]);
    loom.assert().success().stdout(starts_with("color= quiet=1 verbose= "));
}

#[test]
fn changing_folder_comes_before_everything_else() {
    let here = Installed::new();
    here.on_path("loom-foo", "pwd; echo $PWD");
    let inner = here.sandbox.root().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let expected = format!("{0}\n{0}\n", inner.display());
    here.loom().args(["-C", "a", "-C", "b", "foo"]).assert().success().stdout(expected);
    let assert = here.loom().args(["-C", "missing", "foo"]).assert().code(3);
    assert.stderr(contains("error: cannot change to folder `missing`\n  caused by: "));
}

const SHOW_CONTEXT: &str =
    r#"echo "$LOOM|$LOOM_VERSION|${LOOM_REPO_ROOT-none}|${LOOM_RUNTIME_DIR-none}""#;

#[test]
fn a_foreign_command_is_told_about_loom_and_the_repository() {
    let here = Installed::new();
    here.on_path("loom-foo", SHOW_CONTEXT);
    let repo = here.sandbox.repo();
    repo.write("deep/er/file", "");
    let loom = here.folder.join("loom").display().to_string();
    let root = repo.root().display();
    let version = env!("CARGO_PKG_VERSION");
    here.loom()
        .current_dir(repo.path("deep/er"))
        .arg("foo")
        .assert()
        .success()
        .stdout(format!("{loom}|{version}|{root}|{root}/.loom/.runtime\n"));
    // Outside a repository, what an outer command was told must not mislead an inner one.
    let mut outside = here.loom();
    outside.env("LOOM_REPO_ROOT", "/old").env("LOOM_RUNTIME_DIR", "/old").arg("foo");
    outside.assert().success().stdout(format!("{loom}|{version}|none|none\n"));
}

#[test]
fn a_shipped_command_finds_the_repository_by_itself() {
    let here = Installed::new();
    here.in_own_folder("loom-check", SHOW_CONTEXT);
    let repo = here.sandbox.repo();
    let assert = here.loom().current_dir(repo.root()).arg("check").assert().success();
    assert.stdout(ends_with("|none|none\n"));
}

#[test]
fn unknown_command_suggests_nearest() {
    let here = Installed::new();
    here.in_own_folder("loom-check", "true");
    here.on_path("loom-deploy", "true");
    for (typed, near) in [("chekc", "check"), ("deplyo", "deploy"), ("verson", "version")] {
        let assert = here.loom().arg(typed).assert().code(127).stdout("");
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], format!("error: no such command: `{typed}`"));
        assert_eq!(lines[1], format!("hint: did you mean `{near}`?"));
        let (bin, own) = (here.sandbox.bin(), &here.folder);
        let searched = format!("`loom-{typed}` in {}, {}", bin.display(), own.display());
        assert_eq!(lines[2], format!("hint: searched for {searched}"));
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
}

#[test]
fn unknown_command_far_from_all_suggests_nothing() {
    let here = Installed::new();
    let assert = here.loom().arg("xyzzy").assert().code(127);
    assert.stderr(contains("no such command: `xyzzy`").and(contains("did you mean").not()));
}

#[test]
fn a_name_cannot_lead_out_of_the_folder_or_onto_the_terminal() {
    let here = Installed::new();
    here.sandbox.script(&here.sandbox.bin().join("loom-x"), "run", "echo out");
    for name in ["x/run", "", "../x", "\u{1b}[31m"] {
        let assert = here.loom().arg(name).assert().code(127);
        assert.stderr(contains('\u{1b}').not());
    }
}

#[test]
fn a_file_that_is_not_executable_is_named() {
    let here = Installed::new();
    let path = here.on_path("loom-foo", "true");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let expected = format!("error: `{}` is not executable\nhint: ", path.display());
    here.loom().arg("foo").assert().code(3).stderr(starts_with(expected));
}

#[test]
fn a_command_that_cannot_be_started_is_named() {
    let here = Installed::new();
    let path = here.sandbox.bin().join("loom-foo");
    here.sandbox.executable(&path, "#!/no/such/interpreter\n");
    let expected = format!("error: cannot start `{}`\n  caused by: ", path.display());
    here.loom().arg("foo").assert().code(3).stderr(starts_with(expected));
}

#[test]
fn list_names_every_command_and_runs_none() {
    let here = Installed::new();
    let ran = here.sandbox.root().join("ran");
    let body = format!("touch {}", ran.display());
    here.in_own_folder("loom-check", &body);
    here.on_path("loom-zeta", &body);
    let list = "help     Shows the manual of a command\n\
                version  Shows version, commit and contract versions\n\
                check    Validates a workflow and leaves a receipt\n\
                zeta     (external command)\n";
    here.loom().arg("--list").assert().success().stdout(list).stderr("");
    assert!(!ran.exists());
}

#[test]
fn verbose_list_shows_paths_and_marks_shadowed_copies() {
    let here = Installed::new();
    let own = here.in_own_folder("loom-check", "true").display().to_string();
    let other = here.on_path("loom-check", "true").display().to_string();
    let assert = here.loom().args(["--list", "--verbose"]).assert().success();
    let rows: Vec<String> = String::from_utf8_lossy(&assert.get_output().stdout)
        .lines()
        .filter(|line| line.starts_with("check"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        format!("check Validates a workflow and leaves a receipt {own}"),
        format!("check (shadowed by {own}) {other}"),
    ];
    assert_eq!(rows, expected);
    let marked = format!("check    Validates a workflow and leaves a receipt (shadows {other})\n");
    here.loom().arg("--list").assert().success().stdout(contains(marked));
}

#[test]
fn the_same_folder_by_two_names_is_one_copy() {
    let here = Installed::new();
    here.on_path("loom-foo", "true");
    let alias = here.sandbox.root().join("link");
    std::os::unix::fs::symlink(here.sandbox.bin(), &alias).unwrap();
    let path = std::env::join_paths([here.sandbox.bin(), alias]).unwrap();
    let assert = here.loom().env("PATH", path).args(["--list", "-v"]).assert().success();
    assert.stdout(contains("shadowed").not());
}

#[test]
fn listed_summaries_are_what_the_commands_say_of_themselves() {
    let sandbox = Sandbox::new();
    let assert = sandbox.loom().arg("--list").assert().success();
    let list = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for name in ["check", "compile", "snapshot", "run", "logs", "shell"] {
        let assert = sandbox.command(&format!("loom-{name}")).arg("-h").assert().success();
        let help = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        let row = list.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        let summary = row.trim_start_matches(name).trim();
        assert_eq!(help.lines().next(), Some(summary), "loom-{name}");
    }
}

#[test]
fn version_names_contract_formats() {
    let sandbox = Sandbox::new();
    let first = format!("loom {}", env!("CARGO_PKG_VERSION"));
    for arguments in ["--version", "version"] {
        let assert = sandbox.loom().arg(arguments).assert().success().stderr("");
        assert
            .stdout(starts_with(first.clone()))
            .stdout(contains("\ngraph: loom.graph.v1\n"))
            .stdout(contains("\nlogs: loom.runtime.logs.v2\n"));
    }
}

#[test]
fn every_command_tells_its_version() {
    let sandbox = Sandbox::new();
    for name in
        ["loom-check", "loom-compile", "loom-snapshot", "loom-run", "loom-logs", "loom-shell"]
    {
        let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        sandbox.command(name).arg("--version").assert().success().stdout(expected);
    }
}

#[test]
fn help_opens_the_man_page_beside_the_installation() {
    let here = Installed::new();
    here.in_own_folder("loom-check", r#"echo "ran with $*""#);
    let pages = here.sandbox.root().join("opt/share/man/man1");
    fs::create_dir_all(&pages).unwrap();
    fs::write(pages.join("loom-check.1"), "").unwrap();
    // Without `man` the page is of no use.
    here.loom().args(["help", "check"]).assert().success().stdout("ran with --help\n");
    here.on_path("man", r#"echo "man $*""#);
    let expected = format!("man {}\n", pages.join("loom-check.1").display());
    here.loom().args(["help", "check"]).assert().success().stdout(expected);
}

#[test]
fn help_of_a_command_without_a_page_is_its_own_help() {
    let here = Installed::new();
    here.on_path("man", "echo man");
    here.on_path("loom-foo", r#"echo "ran with $*""#);
    here.loom().args(["help", "foo"]).assert().success().stdout("ran with --help\n");
    let pages = here.sandbox.root().join("pages");
    fs::create_dir_all(pages.join("man1")).unwrap();
    fs::write(pages.join("man1/loom-foo.1.gz"), "").unwrap();
    here.loom().env("MANPATH", pages).args(["help", "foo"]).assert().success().stdout("man\n");
}

#[test]
fn help_of_the_unknown_is_127_and_of_loom_its_own() {
    let here = Installed::new();
    here.loom().args(["help", "xyzzy"]).assert().code(127);
    let own = here.loom().arg("--help").output().unwrap().stdout;
    for line in [vec!["help"], vec!["help", "loom"], vec!["help", "version"]] {
        here.loom().args(line).assert().success().stdout(own.clone());
    }
}

#[test]
fn usage_errors_are_exit_2_on_stderr() {
    let sandbox = Sandbox::new();
    sandbox.loom().assert().code(2).stdout("").stderr(contains("Usage: loom"));
    sandbox.loom().arg("--no-such-option").assert().code(2).stdout("");
    sandbox.loom().args(["-q", "-v", "check"]).assert().code(2).stdout("");
    let mut pink = sandbox.loom();
    pink.env("LOOM_COLOR", "pink").arg("--list");
    pink.assert().code(2).stderr(starts_with("error: cannot use the variable LOOM_COLOR\n"));
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = sandbox.process("loom").arg("--list").stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = sandbox.process("loom").arg("--list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.starts_with(b"error: cannot write to stdout\n  caused by: "));
}

#[test]
fn a_folder_that_is_gone_is_an_error_with_a_hint() {
    let sandbox = Sandbox::new();
    let gone = sandbox.root().join("gone");
    fs::create_dir(&gone).unwrap();
    let script = format!("rmdir {} && exec loom --list", gone.display());
    let mut shell: Command = sandbox.program("/bin/sh".as_ref());
    let output = shell.args(["-c", &script]).current_dir(&gone).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: cannot find the current folder\n"), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
}

#[test]
fn colour_follows_option_variable_and_terminal() {
    let sandbox = Sandbox::new();
    let colored = |line: &[&str], variables: &[(&str, &str)]| {
        let mut loom = sandbox.loom();
        loom.envs(variables.iter().copied()).args(line).arg("--list");
        loom.output().unwrap().stdout.contains(&b'\x1b')
    };
    assert!(!colored(&[], &[]));
    assert!(colored(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(colored(&[], &[("LOOM_COLOR", "always"), ("NO_COLOR", "1")]));
    assert!(!colored(&["--color", "never"], &[("LOOM_COLOR", "always")]));
}

#[test]
fn built_executables_are_one_installation() {
    for name in [
        "loom",
        "loom-check",
        "loom-compile",
        "loom-snapshot",
        "loom-run",
        "loom-logs",
        "loom-shell",
    ] {
        assert!(binaries().join(name).is_file(), "{name}");
    }
}
