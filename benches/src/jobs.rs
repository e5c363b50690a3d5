//! What a run costs beside the bare shells that it starts.

use std::io;

use crate::{
    bench::{Bench, processors},
    measure::{Contender, compare},
    repository::{Repository, workflow},
    table::{Row, Target},
};

/// One job, 100 jobs and 500 jobs of `true`.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut rows = one(bench)?;
    for (jobs, rounds) in [(100, 7), (500, 3)] {
        rows.extend(many(bench, jobs, rounds)?);
    }
    Ok(rows)
}

/// The whole command, snapshot and all, for a job that does nothing.
fn one(bench: &Bench) -> io::Result<Vec<Row>> {
    let repository = Repository::create(bench, "one", 20, &workflow(1, &["true"]))?;
    let contenders =
        [Contender::new("sh -lc true", |_| bench.login_shell()), loom(bench, &repository, 1)];
    let samples = compare(bench.folder(), bench.rounds(21), &contenders)?;
    let [shell, run] = &samples[..] else { unreachable!("two contenders") };
    let milliseconds = run.seconds() * 1000.0;
    let target = Some(Target::AtMost(25.0));
    Ok(vec![
        Row::time(shell),
        Row::ratio(run, shell, None),
        Row::figure("loom run, 1 job, in 20 files", milliseconds, "ms", target),
    ])
}

fn many(bench: &Bench, jobs: usize, rounds: usize) -> io::Result<Vec<Row>> {
    let name = format!("jobs-{jobs}");
    let repository = Repository::create(bench, &name, 20, &workflow(jobs, &["true"]))?;
    let workers = processors();
    let contenders = [
        Contender::new(format!("{jobs} sh -lc true, xargs -P{workers}"), move |_| {
            let mut command = bench.command("sh");
            let line = format!("seq {jobs} | xargs -P{workers} -n1 sh -lc true");
            command.args(["-c", &line]);
            command
        }),
        loom(bench, &repository, jobs),
    ];
    let samples = compare(bench.folder(), bench.rounds(rounds), &contenders)?;
    let [shells, run] = &samples[..] else { unreachable!("two contenders") };
    let peak = run.peak_bytes() as f64 / f64::from(1 << 20);
    Ok(vec![
        Row::time(shells),
        Row::ratio(run, shells, Some(Target::AtMost(1.5))),
        Row::figure("  largest process of it", peak, "MiB", Some(Target::AtMost(30.0))),
    ])
}

fn loom<'a>(bench: &'a Bench, repository: &'a Repository, jobs: usize) -> Contender<'a> {
    let name = format!("loom run, {jobs} {}", if jobs == 1 { "job" } else { "jobs" });
    Contender::new(name, |fresh| bench.run(repository.root(), fresh)).leaving(repository.runtime())
}
