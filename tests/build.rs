//! Which programs the tests compare Loom with are installed: `has_<program>`. Whether they may
//! mount something where nobody else sees it: `can_mount`; an image of a file system that shares
//! blocks, which only root may: `can_mount_xfs`, `can_mount_btrfs`.
//!
//! A test that needs what is missing is reported as ignored, with the reason. `.ci/run` installs
//! the programs. Of several gits the first that knows reftable (2.45) is `REFTABLE_GIT`.

use std::{env, path::PathBuf, process::Command};

const PROGRAMS: [&str; 8] =
    ["bash", "busybox", "chromium", "dash", "perl", "strace", "tmux", "xmllint"];

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
    println!("cargo::rustc-check-cfg=cfg(has_reftable)");
    let mut gits = folders.iter().map(|folder| folder.join("git")).filter(|git| git.is_file());
    let knows_reftable = |git: &PathBuf| {
        let help = Command::new(git).args(["init", "-h"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--ref-format"))
    };
    let git = gits.find(knows_reftable);
    if git.is_some() {
        println!("cargo::rustc-cfg=has_reftable");
    }
    println!("cargo::rustc-env=REFTABLE_GIT={}", git.unwrap_or_default().display());
    println!("cargo::rustc-check-cfg=cfg(can_mount)");
    if can_mount() {
        println!("cargo::rustc-cfg=can_mount");
    }
    for kind in ["xfs", "btrfs"] {
        println!("cargo::rustc-check-cfg=cfg(can_mount_{kind})");
        if can_mount_image(kind) {
            println!("cargo::rustc-cfg=can_mount_{kind}");
        }
    }
}

/// Whether an image of this kind can be made and mounted through a loop device.
fn can_mount_image(kind: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a build script has no other way")]
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    let script = format!(
        "truncate -s 512M image.{kind} && mkfs.{kind} -q image.{kind} && \
         mount -o loop image.{kind} /mnt; code=$?; rm -f image.{kind}; exit $code"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).current_dir(folder);
    command.output().is_ok_and(|output| output.status.success())
}

/// Whether namespaces are allowed; many containers forbid them.
fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}
