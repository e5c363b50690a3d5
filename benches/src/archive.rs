//! How fast artifacts are taken: copied, hashed and archived, beside `tar | gzip -6`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    bench::Bench,
    measure::{Contender, Samples, compare},
    repository::{Repository, workflow},
    table::{Row, Target},
};

/// Bytes of mixed data.
const MIXED_BYTES: u64 = 1_000_000_000;
const FILE_BYTES: u64 = 8_000_000;
const SMALL_FILES: usize = 10_000;
const SMALL_BYTES: u64 = 4096;

/// 1 GB of mixed data; 10,000 small files.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let mixed = bench.folder().join("mixed");
    write_mixed(bench, &mixed)?;
    let mut rows = rows(bench, &mixed, "1 GB", (0.5, 1.05))?;
    fs::remove_dir_all(&mixed)?;
    let small = bench.folder().join("small");
    write_small(&small)?;
    rows.extend(self::rows(bench, &small, "10,000 small files", (1.5, 1.05))?);
    fs::remove_dir_all(&small)?;
    Ok(rows)
}

/// Compares what taking `data` adds to a run with what `tar | gzip` takes; `(time, size)` are the
/// targets of the ratios.
fn rows(bench: &Bench, data: &Path, name: &str, (time, size): (f64, f64)) -> io::Result<Vec<Row>> {
    // Links cost no copy, and what is taken has one name among what is wanted.
    let script = format!("cp -al {} data", data.display());
    let of = data.file_name().unwrap_or_default().to_string_lossy();
    let idle = Job::create(bench, &format!("archive-idle-{of}"), &script, false)?;
    let job = Job::create(bench, &format!("archive-job-{of}"), &script, true)?;
    let contenders = [
        Contender::new(format!("tar | gzip -6, {name}"), |fresh| {
            let mut command = bench.command("sh");
            let out = fresh.join("out.tar.gz");
            let text = format!("tar -C {} -c . | gzip -6 >{}", data.display(), out.display());
            command.args(["-c", &text]);
            command
        }),
        idle.contender(bench, "loom run without artifacts"),
        job.contender(bench, "loom run with them"),
    ];
    let samples = compare(bench.folder(), bench.rounds(3), &contenders)?;
    let [gzip, idle, with] = &samples[..] else { unreachable!("three contenders") };
    let ratio = ratio_net(gzip, idle, with);
    let bytes = job.archive_bytes(bench)? as f64 / gzip_bytes(bench, data)? as f64;
    let peak = with.peak_bytes() as f64 / f64::from(1 << 20);
    Ok(vec![
        Row::time(gzip),
        Row::time(idle),
        Row::figure(
            &format!("artifacts net of a run / tar | gzip -6, {name}"),
            ratio,
            "",
            Some(Target::AtMost(time)),
        )
        .timed(with),
        Row::figure("  archive / gzip's", bytes, "", Some(Target::AtMost(size))),
        Row::figure("  largest process of it", peak, "MiB", Some(Target::AtMost(64.0))),
    ])
}

fn ratio_net(gzip: &Samples, idle: &Samples, with: &Samples) -> f64 {
    let net = with.seconds() - idle.seconds();
    net / gzip.seconds()
}

fn gzip_bytes(bench: &Bench, data: &Path) -> io::Result<u64> {
    let text = format!("tar -C {} -c . | gzip -6 | wc -c", data.display());
    let mut command = bench.command("sh");
    command.args(["-c", &text]).stdout(Stdio::piped());
    let text = String::from_utf8_lossy(&command.output()?.stdout).trim().to_owned();
    text.parse().map_err(io::Error::other)
}

/// A quarter each: words, source text, executables, bytes without order.
fn write_mixed(bench: &Bench, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let source = concatenated(&sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))))?;
    let programs = ["loom-run", "loom-compile", "loom"];
    let programs = programs.map(|name| PathBuf::from(bench.loom(name).get_program()));
    let programs = concatenated(&programs)?;
    let mut random = Random(88_172_645_463_325_252);
    for number in 0..MIXED_BYTES / FILE_BYTES {
        let mut file = BufWriter::new(File::create_new(folder.join(format!("file-{number:03}")))?);
        let mut written = 0;
        while written < FILE_BYTES {
            let chunk = match number % 4 {
                0 => random.words(),
                1 => random.part_of(&source).to_owned(),
                2 => random.part_of(&programs).to_owned(),
                _ => random.bytes(),
            };
            file.write_all(&chunk)?;
            written += chunk.len() as u64;
        }
        file.flush()?;
    }
    Ok(())
}

fn write_small(folder: &Path) -> io::Result<()> {
    let mut random = Random(1);
    for number in 0..SMALL_FILES {
        let folder = folder.join(format!("folder-{:03}", number / 100));
        fs::create_dir_all(&folder)?;
        let text = random.words();
        let length = text.len().min(SMALL_BYTES as usize);
        fs::write(folder.join(format!("file-{number:05}.txt")), &text[..length])?;
    }
    Ok(())
}

/// Text files of the source tree, without what was built.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn concatenated(paths: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for path in paths {
        File::open(path)?.read_to_end(&mut all)?;
    }
    Ok(all)
}

/// Numbers without order, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..8192).flat_map(|_| self.next().to_le_bytes()).collect()
    }

    /// 64 KiB from anywhere in `of`.
    fn part_of<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let start = self.below(of.len().saturating_sub(65_536));
        &of[start..of.len().min(start + 65_536)]
    }

    /// Lines of words, short ones more often, with a number in each.
    fn words(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < 65_536 {
            for _ in 0..8 {
                let rank = self.below(60) * self.below(60);
                text.extend_from_slice(format!("w{:x}rd ", rank * 2_654_435).as_bytes());
            }
            text.extend_from_slice(format!("{}\n", self.below(100_000)).as_bytes());
        }
        text
    }
}

/// A repository with one job.
struct Job {
    repository: Repository,
}

impl Job {
    fn create(bench: &Bench, name: &str, script: &str, with_artifacts: bool) -> io::Result<Self> {
        let mut text = workflow(1, &[script]);
        if with_artifacts {
            text.push_str("  artifacts: {paths: [data]}\n");
        }
        Ok(Job { repository: Repository::create(bench, name, 20, &text)? })
    }

    fn contender<'a>(&'a self, bench: &'a Bench, name: &str) -> Contender<'a> {
        let run = |fresh: &Path| bench.run(self.repository.root(), fresh);
        Contender::new(name, run).leaving(self.repository.runtime())
    }

    /// Runs it once, and tells the size of the archive.
    fn archive_bytes(&self, bench: &Bench) -> io::Result<u64> {
        let fresh = bench.folder().join("size");
        fs::create_dir(&fresh)?;
        crate::measure::run(&mut bench.run(self.repository.root(), &fresh))?;
        let runs = fs::read_dir(self.repository.runtime().join("logs"))?;
        let run = runs.flatten().next().map(|entry| entry.path()).unwrap_or_default();
        let jobs = fs::read_dir(run.join("jobs"))?;
        let job = jobs.flatten().next().map(|entry| entry.path()).unwrap_or_default();
        let bytes = job.join("artifacts/artifacts.tar.gz").metadata()?.len();
        fs::remove_dir_all(&fresh)?;
        fs::remove_dir_all(self.repository.runtime())?;
        Ok(bytes)
    }
}
