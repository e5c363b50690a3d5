//! What every benchmark needs: the programs, a folder, commands with a known environment.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use crate::programs::Programs;

/// One run of the benchmarks.
#[derive(Debug)]
pub struct Bench {
    programs: Programs,
    folder: PathBuf,
    rounds: Option<usize>,
}

impl Bench {
    /// `rounds` replaces what each benchmark would choose.
    pub fn new(programs: Programs, folder: &Path, rounds: Option<usize>) -> io::Result<Self> {
        let bench = Bench { programs, folder: folder.to_owned(), rounds };
        fs::create_dir_all(bench.home())?;
        Ok(bench)
    }

    /// Folder of all that is made.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Rounds to run where a benchmark would choose `usual`.
    pub fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// `program` with nothing in its environment that could change what it costs.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("TMPDIR", &self.folder).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::null());
        command
    }

    /// One of our executables.
    pub fn loom(&self, name: &str) -> Command {
        self.command(self.programs.path(name))
    }

    /// `loom run` in the repository at `root`, its workspace in `fresh`.
    pub fn run(&self, root: &Path, fresh: &Path) -> Command {
        let mut command = self.loom("loom");
        command.args(["run", "--local"]).current_dir(root).env("TMPDIR", fresh);
        command
    }

    /// The yardstick of everything that is short: a login shell that does nothing.
    pub fn login_shell(&self) -> Command {
        let mut command = self.command("sh");
        command.args(["-lc", "true"]);
        command
    }
}

/// Processors that this process may use.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
