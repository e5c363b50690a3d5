//! The executables under test, built once for each test process.
//!
//! `cargo test` builds no executables of other packages, so the first test that asks builds them
//! all, into the target folder and with the profile of the running test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder that holds freshly built `loom` and `loom-*`.
pub fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build)
}

/// The cargo that built the tests, in Loom's source folder.
pub fn cargo() -> Command {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.current_dir(crate::source_root());
    command
}

fn build() -> PathBuf {
    let folder = profile_folder();
    let target = folder.parent().expect("a profile folder lies in the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("cannot tell the cargo profile from `{}`", folder.display()),
    };
    let output = cargo()
        .args(["build", "--workspace", "--bins", "--quiet", "--profile", profile])
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap_or_else(|error| panic!("cannot start cargo: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the executables do not build:\n{said}");
    folder
}

/// `<target>/<profile>`, from the place of the running test: `<target>/<profile>/deps/suite-<hash>`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the system tells where a test runs from");
    let deps = test.parent().expect("an executable lies in a folder");
    assert!(deps.ends_with("deps"), "`{}` was not started by cargo", test.display());
    deps.parent().expect("`deps` lies in the profile folder").to_owned()
}
