//! Git repositories to measure in.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{bench::Bench, measure};

/// Files of a folder that is meant to look like one of a project.
const FILES_A_FOLDER: usize = 50;

/// A repository that the benchmarks may use.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// A committed repository of `files` files of about 4 KiB, one of them changed since, one
    /// untracked; with a workflow.
    pub fn create(bench: &Bench, name: &str, files: usize, workflow: &str) -> io::Result<Self> {
        let root = bench.folder().join(name);
        let repository = Repository { root };
        repository.write(".loom/workflow.yml", workflow)?;
        repository.write(".gitignore", "*.log\n")?;
        for number in 0..files {
            repository.write(&path(number), &text(number))?;
        }
        repository.git(bench, &["init", "-q"])?;
        repository.git(bench, &["add", "-A"])?;
        let who = ["-c", "user.name=Bench", "-c", "user.email=bench@loom.invalid"];
        repository.git(bench, &[&who[..], &["commit", "-q", "-m", "all"]].concat())?;
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

/// About 4 KiB that compress as source text does and are the same in no two files.
fn text(number: usize) -> String {
    let mut text = String::new();
    for line in 0..80 {
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
