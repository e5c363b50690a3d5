//! Which programs the tests compare Loom with are installed: `has_<program>`.
//!
//! A test that needs one that is missing is reported as ignored, with the reason. `.ci/run`
//! installs them all.

use std::{env, path::PathBuf};

const PROGRAMS: [&str; 5] = ["bash", "busybox", "dash", "perl", "strace"];

fn main() {
    #[expect(clippy::disallowed_methods, reason = "a build script has no other way")]
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    println!("cargo::rerun-if-env-changed=PATH");
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    for program in PROGRAMS {
        println!("cargo::rustc-check-cfg=cfg(has_{program})");
        if folders.iter().any(|folder| folder.join(program).is_file()) {
            println!("cargo::rustc-cfg=has_{program}");
        }
    }
}
