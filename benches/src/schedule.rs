//! What it takes to decide which of very many jobs runs when.

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    process::Stdio,
    time::Instant,
};

use crate::{
    bench::Bench,
    repository::Repository,
    table::{Row, Target},
};

const JOBS: usize = 10_000;
const STAGES: usize = 20;
/// What `loom run --dry-run -v` says of it.
const SAYS: &str = "scheduled 10000 jobs in ";

/// 10,000 jobs in 20 stages; every other one waits for its stage, the others need three jobs.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let repository = Repository::create(bench, "schedule", 20, &workflow())?;
    let mut best = f64::INFINITY;
    let mut whole = f64::INFINITY;
    for _ in 0..bench.rounds(3) {
        let started = Instant::now();
        best = best.min(scheduling(bench, &repository)?);
        whole = whole.min(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(vec![
        Row::figure("10,000 jobs scheduled", best, "ms", Some(Target::AtMost(200.0))),
        Row::figure("  whole `loom run --dry-run` around it", whole, "ms", None),
    ])
}

/// Milliseconds, as the command itself tells.
fn scheduling(bench: &Bench, repository: &Repository) -> io::Result<f64> {
    let mut command = bench.loom("loom");
    command.args(["run", "--dry-run", "-v"]).current_dir(repository.root());
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut said = String::new();
    child.stderr.take().expect("stderr is piped").read_to_string(&mut said)?;
    child.wait()?;
    let line = said.lines().find_map(|line| line.split_once(SAYS));
    let time = line.and_then(|(_, time)| time.strip_suffix(" ms")?.parse().ok());
    time.ok_or_else(|| io::Error::other(format!("the dry run did not say `{SAYS}`: {said}")))
}

fn workflow() -> String {
    let stages: Vec<String> = (0..STAGES).map(|stage| format!("s{stage}")).collect();
    let mut text = format!("version: v1\nstages: [{}]\n", stages.join(", "));
    let each = JOBS / STAGES;
    for job in 0..JOBS {
        let stage = job / each;
        write!(text, "j{job}: {{stage: s{stage}, script: ['true']").expect("strings take all");
        if stage > 0 && job % 2 == 0 {
            let before = (stage - 1) * each;
            let needs = [0, 1, 7].map(|step| before + (job + step) % each);
            let [a, b, c] = needs;
            write!(text, ", needs: [j{a}, j{b}, j{c}]").expect("strings take all");
        }
        text.push_str("}\n");
    }
    text
}
