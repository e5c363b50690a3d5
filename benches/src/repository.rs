//! Git repositories to measure in.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{bench::Bench, measure};

/// Files of a folder that is meant to look like one of a project.
const FILES_A_FOLDER: usize = 50;

/// A repository that the benchmarks may use.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
}

/// How large a repository is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tracked files.
    pub files: usize,
    /// Lines of each, of about 50 bytes.
    pub lines: usize,
}

impl Repository {
    /// A committed repository of `files` files of about 4 KiB in the benchmarks' folder.
    pub fn create(bench: &Bench, name: &str, files: usize, workflow: &str) -> io::Result<Self> {
        let shape = Shape { files, lines: 80 };
        Self::create_at(bench, bench.folder().join(name), shape, workflow)
    }

    /// A committed and packed repository at `root`, one of its files changed since, one untracked;
    /// with a workflow. The others are old, as nearly all are in practice: git then knows without
    /// reading that they did not change.
    pub fn create_at(
        bench: &Bench,
        root: PathBuf,
        shape: Shape,
        workflow: &str,
    ) -> io::Result<Self> {
        let repository = Repository { root };
        repository.write(".loom/workflow.yml", workflow)?;
        repository.write(".gitignore", "*.log\n")?;
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        for number in 0..shape.files {
            let path = path(number);
            repository.write(&path, &text(number, shape.lines))?;
            File::options().write(true).open(repository.root.join(path))?.set_modified(old)?;
        }
        repository.git(bench, &["init", "-q"])?;
        // Git would tidy up by itself, in the background, while others are measured.
        repository.git(bench, &["config", "gc.auto", "0"])?;
        repository.git(bench, &["add", "-A"])?;
        let who = ["-c", "user.name=Bench", "-c", "user.email=bench@loom.invalid"];
        repository.git(bench, &[&who[..], &["commit", "-q", "-m", "all"]].concat())?;
        repository.git(bench, &["-c", "pack.window=0", "gc", "-q"])?;
        repository.write(&path(0), "changed\n")?;
        repository.write("untracked.txt", "untracked\n")?;
        Ok(repository)
    }

    /// Its top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where Loom records what it does in it.
    pub fn runtime(&self) -> PathBuf {
        self.root.join(".loom/.runtime")
    }

    /// Writes a file of it.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        fs::write(path, text)
    }

    fn git(&self, bench: &Bench, arguments: &[&str]) -> io::Result<()> {
        measure::run(bench.command("git").args(arguments).current_dir(&self.root)).map(drop)
    }
}

fn path(number: usize) -> String {
    let folder = number / FILES_A_FOLDER;
    format!("src/part-{:02}/folder-{folder:03}/file-{number:05}.txt", folder % 20)
}

/// Lines that compress as source text does and are the same in no two files.
fn text(number: usize, lines: usize) -> String {
    let mut text = String::new();
    for line in 0..lines {
        let value = (number * 80 + line).wrapping_mul(2_654_435_761) % 1_000_003;
        writeln!(text, "let value_{line} = compute({value}, \"file {number}\");")
            .expect("a string takes everything");
    }
    text
}

/// A workflow of `jobs` jobs in one stage, each with this list of commands.
pub fn workflow(jobs: usize, script: &[&str]) -> String {
    let quoted = |command: &&str| format!("'{}'", command.replace('\'', "''"));
    let script = script.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let mut text = String::from("version: v1\nstages: [all]\n");
    for number in 0..jobs {
        writeln!(text, "job-{number}:\n  stage: all\n  script: [{script}]")
            .expect("a string takes everything");
    }
    text
}
