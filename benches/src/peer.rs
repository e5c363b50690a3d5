//! The same jobs in the nearest relative: `gitlab-ci-local` (npm), where it is installed.

use std::{fs, io};

use crate::{
    bench::{Bench, processors},
    measure::{self, Contender, compare},
    repository::{Repository, workflow},
    table::{Row, Target},
};

const PROGRAM: &str = "gitlab-ci-local";
const JOBS: usize = 500;

/// 500 jobs of `true`.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let repository = Repository::create(bench, "peer", 20, &workflow(JOBS, &["true"]))?;
    fs::write(repository.root().join(".gitlab-ci.yml"), pipeline())?;
    let workers = processors().to_string();
    // It may be missing, too old a Node may run it, or it may lack `rsync`.
    let mut first = bench.command(PROGRAM);
    let first = first.args(["--concurrency", &workers]).current_dir(repository.root());
    if let Err(error) =
        measure::run(first.arg("--state-dir").arg(bench.folder().join("peer-state")))
    {
        let why = error.to_string();
        let why = why.lines().next().unwrap_or_default();
        return Ok(vec![Row::skipped(&format!("{PROGRAM} does not run here: {why}"))]);
    }
    let contenders = [
        Contender::new(format!("{PROGRAM}, {JOBS} jobs"), |fresh| {
            let mut command = bench.command(PROGRAM);
            command.args(["--concurrency", &workers]).current_dir(repository.root());
            command.arg("--state-dir").arg(fresh.join("state"));
            command
        }),
        Contender::new(format!("loom run, {JOBS} jobs"), |fresh| {
            bench.run(repository.root(), fresh)
        })
        .leaving(repository.runtime()),
    ];
    let samples = compare(bench.folder(), bench.rounds(3), &contenders)?;
    let [peer, loom] = &samples[..] else { unreachable!("two contenders") };
    let times = peer.median_beside(loom, |peer, loom| peer / loom);
    Ok(vec![
        Row::time(peer),
        Row::time(loom),
        Row::figure("  times as fast", times, "x", Some(Target::AtLeast(5.0))),
    ])
}

fn pipeline() -> String {
    let jobs = (0..JOBS).map(|job| format!("job-{job}:\n  stage: all\n  script: [\"true\"]\n"));
    format!("stages: [all]\n{}", jobs.collect::<String>())
}
