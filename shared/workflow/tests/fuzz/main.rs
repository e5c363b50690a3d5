//! Fuzzes the whole front end: no input makes it panic, hang, or take more than 256 MiB.
//!
//! Without coverage feedback, so that it runs on the stable toolchain as a test: inputs are made
//! from the fixtures by structured mutation ([`mutate`]) and from shapes that grow to 1 MB
//! ([`huge`]). Each is made from a seed and a number alone, and run in a child process whose
//! address space is limited, so that overflowing the stack, running out of memory and hanging are
//! seen for what they are. `LOOM_FUZZ_SECONDS` says for how long (5), `LOOM_FUZZ_SEED` repeats a
//! run, `LOOM_FUZZ_CASE=SEED:NUMBER` one input.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "the environment is how a person steers a test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test without a harness")]

mod huge;
mod mutate;
mod oracle;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Most that a child may map, everything included.
const MEMORY: u64 = 256 << 20;
/// Most processor seconds for one input, without optimization and with all that is looked at; the
/// system ends the child that needs more.
const CPU: u64 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["worker", seed, first, seconds] => {
            work(number(seed), number(first), number(seconds));
            ExitCode::SUCCESS
        }
        // What a test runner asks: this is one test, called fuzz.
        _ if words.contains(&"--list") => {
            println!("fuzz: test");
            ExitCode::SUCCESS
        }
        _ if words.iter().any(|word| is_filter(word) && !"fuzz".contains(word)) => {
            ExitCode::SUCCESS
        }
        _ => lead(),
    }
}

/// Neither an option nor the number behind one.
fn is_filter(word: &str) -> bool {
    !word.starts_with('-') && word.parse::<u64>().is_err()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// Runs a worker, watches it, and says how to repeat what went wrong.
fn lead() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(case) = variable("LOOM_FUZZ_CASE") {
        let (seed, case) = case.split_once(':').expect("LOOM_FUZZ_CASE is SEED:NUMBER");
        return watch(number(seed), number(case), 0);
    }
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    let seed = variable("LOOM_FUZZ_SEED").map_or_else(now, |seed| number(&seed));
    let seconds = variable("LOOM_FUZZ_SECONDS").map_or(5, |seconds| number(&seconds));
    watch(seed, 0, seconds)
}

fn watch(seed: u64, first: u64, seconds: u64) -> ExitCode {
    println!("fuzz: LOOM_FUZZ_SEED={seed}, from case {first}, for {seconds} s");
    let [seed_text, first_text, seconds] = [seed, first, seconds].map(|number| number.to_string());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["worker", &seed_text, &first_text, &seconds])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (last, fault) = follow(&mut child, first);
    match fault {
        None => {
            println!("fuzz: {last}");
            ExitCode::SUCCESS
        }
        Some(fault) => {
            let case = last.parse().unwrap_or(first);
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{seed}-{case}"));
            std::fs::write(&file, mutate::input(seed, case).workflow).unwrap();
            eprintln!("fuzz: case {case}: {fault}\nits workflow is in {}", file.display());
            let repeat = "cargo test -p libloom-workflow --test fuzz";
            eprintln!("to repeat it: LOOM_FUZZ_CASE={seed}:{case} {repeat}");
            ExitCode::FAILURE
        }
    }
}

/// The last line of the worker, and what is wrong if it did not come to its end.
fn follow(child: &mut Child, first: u64) -> (String, Option<String>) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let last = lines.map_while(Result::ok).last();
    let status = child.wait().unwrap();
    let fault = (!status.success()).then(|| format!("the worker ended with {status}"));
    (last.unwrap_or_else(|| first.to_string()), fault)
}

/// Runs one input after another, each announced before; for no time at all, just the first.
fn work(seed: u64, first: u64, seconds: u64) {
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    setrlimit(Resource::As, limit).unwrap();
    let start = Instant::now();
    let mut out = std::io::stdout();
    let mut slowest = Duration::ZERO;
    let mut case = first;
    loop {
        writeln!(out, "{case}").unwrap();
        let input = mutate::input(seed, case);
        let before = cpu_time();
        let limit = Rlimit { current: Some(before.as_secs() + CPU), maximum: None };
        setrlimit(Resource::Cpu, limit).unwrap();
        oracle::run(&input);
        slowest = slowest.max(cpu_time() - before);
        case += 1;
        if start.elapsed().as_secs() >= seconds {
            break;
        }
    }
    let peak = peak_kib() >> 10;
    writeln!(out, "{} inputs, slowest {slowest:?}, {peak} MiB at most", case - first).unwrap();
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    number(line.trim().trim_end_matches(" kB"))
}
