//! What it takes to say why a large run failed: pointers are read, logs are not.

use std::{fs, io};

use crate::{
    bench::Bench,
    measure::{Contender, compare},
    repository::Repository,
    table::{Row, Target},
};

const JOBS: usize = 1000;
/// Bytes that each job writes: 1 GB in all.
const JOB_BYTES: usize = 1_000_000;

/// `loom logs explain` of a run of 1,000 jobs, one of which failed, with 1 GB of logs.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let repository = Repository::create(bench, "explain", 20, &workflow())?;
    let fresh = bench.folder().join("explain-workspaces");
    fs::create_dir(&fresh)?;
    let mut command = bench.run(repository.root(), &fresh);
    if command.arg("-q").status()?.code() != Some(1) {
        return Err(io::Error::other("one of the 1,000 jobs should have failed"));
    }
    let contenders = [
        Contender::new("sh -lc true", |_| bench.login_shell()),
        Contender::new("loom logs explain, 1,000 jobs, 1 GB", |_| {
            let mut command = bench.loom("loom");
            command.args(["logs", "explain"]).current_dir(repository.root());
            command
        }),
    ];
    let samples = compare(bench.folder(), bench.rounds(15), &contenders)?;
    let [shell, explain] = &samples[..] else { unreachable!("two contenders") };
    let milliseconds = explain.median_beside(shell, |own, _| own * 1000.0);
    Ok(vec![
        Row::time(shell),
        Row::figure(
            "loom logs explain, 1,000 jobs, 1 GB",
            milliseconds,
            "ms",
            Some(Target::AtMost(20.0)),
        ),
    ])
}

fn workflow() -> String {
    let line = "yes 'compiled unit of the project in module core with flags -O2 -Wall'";
    let jobs = (0..JOBS).map(|job| {
        let code = usize::from(job == JOBS / 2);
        format!("j{job}: {{stage: ci, script: [\"{line} | head -c {JOB_BYTES}; exit {code}\"]}}\n")
    });
    ["version: v1\nstages: [ci]\n".to_owned()].into_iter().chain(jobs).collect()
}
