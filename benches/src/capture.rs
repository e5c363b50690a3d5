//! How fast the output of a job is recorded, how large the record is, what memory it takes.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{
    bench::Bench,
    measure::{self, Contender, Samples, compare},
    redact,
    repository::{Repository, workflow},
    table::{Row, Target},
};

/// Bytes of output that the job writes.
const OUTPUT_BYTES: u64 = 200_000_000;
/// Length of its lines, line end included.
const LINE_BYTES: u64 = 100;
/// Bytes that are not text, on the other stream.
const BINARY_BYTES: u64 = 10_000_000;
const LONG_LINE_BYTES: u64 = 5_000_000;

/// 200 MB of 100-byte lines; beside bytes that are not text; and with secrets to hide.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let folder = bench.folder().join("output");
    fs::create_dir(&folder)?;
    let (lines, mixed) = (folder.join("lines"), folder.join("mixed"));
    written(&lines, write_lines)?;
    written(&mixed, write_mixed)?;
    let print = format!("cat {}", lines.display());
    let print_both = format!("cat {} >&2 & cat {}; wait", mixed.display(), lines.display());

    let idle = Job::create(bench, "capture-idle", "true")?;
    let plain = Job::create(bench, "capture-lines", &print)?;
    let both = Job::create(bench, "capture-both", &print_both)?;
    let hiding = Job::with_secrets(bench, "capture-secrets", &print)?;
    let log_bytes = plain.log_bytes(bench)?;
    let contenders = [
        Contender::new("cat | cat >/dev/null", |_| {
            let mut command = bench.command("sh");
            command.args(["-c", &format!("{print} | cat >/dev/null")]);
            command
        }),
        idle.contender(bench, "loom run, true"),
        plain.contender(bench, "loom run, 200 MB of lines"),
        both.contender(bench, "loom run, 10 MB binary on stderr too"),
        hiding.contender(bench, "loom run, 200 MB of lines, 20 secrets"),
    ];
    let samples = compare(bench.folder(), bench.rounds(7), &contenders)?;
    fs::remove_dir_all(&folder)?;
    Ok(rows(&samples, log_bytes))
}

fn rows(samples: &[Samples], log_bytes: u64) -> Vec<Row> {
    let [pipe, idle, plain, both, hiding] = samples else { unreachable!("five contenders") };
    let megabytes = OUTPUT_BYTES as f64 / 1e6;
    let net = |samples: &Samples| samples.median_beside(idle, |own, idle| megabytes / (own - idle));
    let of_pipe = plain.median_beside(pipe, |own, pipe| own / pipe);
    let mebibytes = |samples: &Samples| samples.peak_bytes() as f64 / f64::from(1 << 20);
    let memory = Some(Target::AtMost(64.0));
    vec![
        Row::time(pipe),
        Row::time(idle),
        Row::figure("loom run, 200 MB of lines / the pipe", of_pipe, "", None).timed(plain),
        Row::figure("  net of a run of true", net(plain), "MB/s", Some(Target::AtLeast(300.0))),
        Row::figure(
            "  record / output",
            log_bytes as f64 / OUTPUT_BYTES as f64,
            "",
            Some(Target::AtMost(1.2)),
        ),
        Row::figure("  largest process of it", mebibytes(plain), "MiB", memory),
        Row::ratio(both, plain, None),
        Row::figure("  largest process of it", mebibytes(both), "MiB", memory),
        Row::ratio(hiding, plain, None),
        Row::figure("  net of a run of true", net(hiding), "MB/s", Some(Target::AtLeast(200.0))),
        Row::figure("  largest process of it", mebibytes(hiding), "MiB", memory),
    ]
}

fn written(path: &Path, write: fn(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(path)?);
    write(&mut file)?;
    file.flush()
}

/// What compilers and test runners print: words, numbers, now and then a quote or a tab.
fn write_lines(out: &mut dyn Write) -> io::Result<()> {
    const WORDS: &str = "compiled unit of the project \"main\" in module core with flags -O2 -Wall";
    for number in 0..OUTPUT_BYTES / LINE_BYTES {
        let width = usize::try_from(LINE_BYTES).expect("a line is short") - 17;
        writeln!(out, "{number:>10}\t[ok] {WORDS:.<width$}")?;
    }
    Ok(())
}

/// Bytes of every value, then one long line.
fn write_mixed(out: &mut dyn Write) -> io::Result<()> {
    let mut state = 88_172_645_463_325_252u64;
    for _ in 0..(BINARY_BYTES - LONG_LINE_BYTES) / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes())?;
    }
    for _ in 0..LONG_LINE_BYTES / 10 {
        out.write_all(b"0123456789")?;
    }
    Ok(())
}

/// A repository with one job.
struct Job {
    repository: Repository,
}

impl Job {
    fn create(bench: &Bench, name: &str, command: &str) -> io::Result<Self> {
        let workflow = workflow(1, &[command]);
        Ok(Job { repository: Repository::create(bench, name, 20, &workflow)? })
    }

    fn with_secrets(bench: &Bench, name: &str, command: &str) -> io::Result<Self> {
        let reference = |(name, _)| format!("    {name}: {{ref: 'env://{name}'}}\n");
        let secrets: String = redact::secrets().into_iter().map(reference).collect();
        let workflow = format!("{}  secrets:\n{secrets}", workflow(1, &[command]));
        Ok(Job { repository: Repository::create(bench, name, 20, &workflow)? })
    }

    fn contender<'a>(&'a self, bench: &'a Bench, name: &str) -> Contender<'a> {
        let run = |fresh: &Path| {
            let mut command = bench.run(self.repository.root(), fresh);
            command.envs(redact::secrets());
            command
        };
        Contender::new(name, run).leaving(self.repository.runtime())
    }

    /// Runs it once, and adds up what it recorded.
    fn log_bytes(&self, bench: &Bench) -> io::Result<u64> {
        let fresh = bench.folder().join("size");
        fs::create_dir(&fresh)?;
        measure::run(&mut bench.run(self.repository.root(), &fresh))?;
        let bytes = size(&self.repository.runtime())?;
        fs::remove_dir_all(&fresh)?;
        fs::remove_dir_all(self.repository.runtime())?;
        Ok(bytes)
    }
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let metadata = path.symlink_metadata()?;
        total += if metadata.is_dir() { size(&path)? } else { metadata.len() };
    }
    Ok(total)
}
