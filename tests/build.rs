//! Which programs the tests compare Loom with are installed: `has_<program>`. Whether they may
//! mount something where nobody else sees it: `can_mount`; an image of a file system that shares
//! blocks, which only root may: `can_mount_xfs`, `can_mount_btrfs`.
//!
//! Whether a container engine answers: `has_docker` (at `LOOM_TEST_DOCKER`, else at Docker's own
//! socket) and `has_podman` (at `LOOM_TEST_PODMAN`); the addresses are handed on to the tests.
//!
//! A test that needs what is missing is reported as ignored, with the reason. `.ci/run` installs
//! the programs. Of several gits the first that knows reftable (2.45) is `REFTABLE_GIT`.

use std::{
    env,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

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
    look_for_engine("docker", "unix:///var/run/docker.sock");
    look_for_engine("podman", "");
}

/// Tells the tests where an engine is. A file that is not there is not watched: cargo would build
/// the tests anew each time.
fn look_for_engine(name: &str, usual: &str) {
    let variable = format!("LOOM_TEST_{}", name.to_uppercase());
    #[expect(clippy::disallowed_methods, reason = "a build script has no other way")]
    let address = env::var(&variable).unwrap_or_else(|_| usual.to_owned());
    println!("cargo::rerun-if-env-changed={variable}");
    println!("cargo::rustc-env={variable}={address}");
    println!("cargo::rustc-check-cfg=cfg(has_{name})");
    let socket = Path::new(address.strip_prefix("unix://").unwrap_or_default());
    if socket.exists() {
        println!("cargo::rerun-if-changed={}", socket.display());
    }
    if answers(socket).unwrap_or(false) {
        println!("cargo::rustc-cfg=has_{name}");
    }
}

/// Whether an engine answers on a socket.
fn answers(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.ends_with("OK"))
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
