//! Comparisons of Loom with the physical limit and with plain tools: ratios from one run.
//!
//! `cargo bench -p loom-benches [-- [--rounds N] NAME…]` builds the release executables and
//! prints a table. A machine's absolute figures change with whatever else it does, so contenders
//! take turns (A B A B …) and what counts is the median of each round's own ratio to the first of
//! them, the yardstick. Nothing here is a test and nothing fails because it was slow: a column
//! says whether the target was met.
//!
//! Everything is done in a folder below `TMPDIR`, or `/dev/shm` where that is not set: some disk
//! file systems are slow at making files where others were just removed. Each sample works in a
//! folder that was never used before, and the making and removing of it is not timed.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is a program of its own, without `entry`"
)]

mod archive;
mod bench;
mod capture;
mod check;
mod docker;
mod explain;
mod jobs;
mod measure;
mod peer;
mod programs;
mod redact;
mod repository;
mod schedule;
mod snapshot;
mod start;
mod table;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{bench::Bench, programs::Programs, table::Row};

/// A benchmark: its name on the command line, and what it does.
type Named = (&'static str, fn(&Bench) -> io::Result<Vec<Row>>);

const ALL: [Named; 13] = [
    ("start", start::run),
    ("check", check::run),
    ("jobs", jobs::run),
    ("peer", peer::run),
    ("schedule", schedule::run),
    ("explain", explain::run),
    ("capture", capture::run),
    ("redact", redact::run),
    ("snapshot", snapshot::run),
    ("archive", archive::run),
    ("docker", docker::run),
    ("reflink", snapshot::reflink),
    ("million", snapshot::million),
];

/// Those that run only when they are named, because they take long.
const ON_DEMAND: [&str; 1] = ["million"];

/// What is asked for.
#[derive(Debug, Default)]
struct Wanted {
    names: Vec<String>,
    rounds: Option<usize>,
}

/// The benchmarks that the command line names, or all that do not take long.
pub fn main() -> ExitCode {
    let result = wanted(std::env::args().skip(1)).and_then(|wanted| run(&wanted));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no console here to say it through, and nobody to tell if this fails too.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line; cargo adds `--bench` of its own.
fn wanted(arguments: impl Iterator<Item = String>) -> io::Result<Wanted> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            let number = arguments.next().and_then(|number| number.parse().ok());
            let number = number.filter(|&number| number > 0);
            wanted.rounds = Some(number.ok_or_else(|| refused("`--rounds` wants a number"))?);
        } else if ALL.iter().any(|(name, _)| *name == argument) {
            wanted.names.push(argument);
        } else {
            let names = ALL.map(|(name, _)| name).join(", ");
            return Err(refused(format!("no benchmark `{argument}`; there are {names}")));
        }
    }
    Ok(wanted)
}

fn refused(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

fn run(wanted: &Wanted) -> io::Result<()> {
    let programs = Programs::build()?;
    let folder = tempfile::Builder::new().prefix("loom-benches-").tempdir_in(place())?;
    let bench = Bench::new(programs, folder.path(), wanted.rounds)?;
    let mut out = io::stdout();
    writeln!(out, "{}", machine(folder.path()))?;
    let is_wanted = |name: &str| match wanted.names.is_empty() {
        true => !ON_DEMAND.contains(&name),
        false => wanted.names.iter().any(|wanted| wanted == name),
    };
    for (name, run) in ALL.into_iter().filter(|(name, _)| is_wanted(name)) {
        let rows = run(&bench)?;
        writeln!(out, "\n{name}\n{}", table::render(&rows))?;
    }
    folder.close()
}

fn place() -> PathBuf {
    let given = std::env::var_os("TMPDIR").map(PathBuf::from);
    let memory = Path::new("/dev/shm");
    given.unwrap_or_else(|| if memory.is_dir() { memory.into() } else { std::env::temp_dir() })
}

/// What the figures were measured on, for whoever reads them later.
fn machine(folder: &Path) -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cpus = bench::processors();
    format!("{cpus} processors, load {} before, in {}", load.join(" "), folder.display())
}
