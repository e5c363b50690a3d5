//! A real git repository inside a sandbox.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Sandbox;

/// Made by [`Sandbox::repo`]; removed with its sandbox.
#[derive(Debug)]
pub struct Repo<'a> {
    sandbox: &'a Sandbox,
    root: PathBuf,
}

impl<'a> Repo<'a> {
    pub(crate) fn init(sandbox: &'a Sandbox, root: PathBuf) -> Self {
        fs::create_dir_all(&root).expect("the sandbox is writable");
        let repo = Self { sandbox, root };
        repo.git(["init", "--quiet"]);
        repo
    }

    /// The top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `.loom/.runtime`, whether or not it exists yet.
    pub fn runtime(&self) -> PathBuf {
        self.root.join(".loom/.runtime")
    }

    /// A path inside the repository.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// Writes a file, with the folders it needs.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("own folder");
        fs::write(&path, content)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        self
    }

    /// Writes `.loom/workflow.yml`.
    pub fn workflow(&self, text: &str) -> &Self {
        self.write(".loom/workflow.yml", text)
    }

    /// Sets the permission bits of a file.
    pub fn mode(&self, path: impl AsRef<Path>, mode: u32) -> &Self {
        let path = self.path(path);
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("own file");
        self
    }

    /// Makes a symbolic link at `path` that says `target`.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> &Self {
        symlink(target, self.path(path)).expect("the repository is writable");
        self
    }

    /// Removes a file.
    pub fn remove(&self, path: impl AsRef<Path>) -> &Self {
        fs::remove_file(self.path(path)).expect("the file exists");
        self
    }

    /// Adds everything and commits it.
    pub fn commit(&self, message: &str) -> &Self {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self
    }

    /// What `git` prints; panics with its error if it fails.
    pub fn git<const N: usize>(&self, arguments: [&str; N]) -> String {
        let output = self.program("git").args(arguments).output().expect("git is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?} failed:\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A built executable to be run in the top folder, with assertions.
    pub fn command(&self, name: &str) -> assert_cmd::Command {
        let mut command = self.sandbox.command(name);
        command.current_dir(&self.root);
        command
    }

    /// The dispatcher in the top folder, with assertions.
    pub fn loom(&self) -> assert_cmd::Command {
        self.command("loom")
    }

    /// A built executable as a plain process in the top folder.
    pub fn process(&self, name: &str) -> Command {
        let mut command = self.sandbox.process(name);
        command.current_dir(&self.root);
        command
    }

    /// Any program, found on the `PATH` of the test itself, in the top folder.
    pub fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.sandbox.program(program.as_ref());
        command.current_dir(&self.root);
        command
    }

    /// The sandbox it lies in.
    pub fn sandbox(&self) -> &'a Sandbox {
        self.sandbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_the_same_everywhere() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repo();
        repo.write("a/b.txt", "text\n").commit("first");
        assert_eq!(repo.git(["status", "--porcelain"]), "");
        assert_eq!(repo.git(["log", "--format=%an %at"]), "Test 1767225600\n");
    }
}
