//! What a job in a container costs beside the bare calls of the engine's API.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use libloom_engine::{Address, Engine, EngineError, Surroundings, containers::ContainerSpec};
use serde_json::Value;

use crate::{
    bench::Bench,
    measure,
    repository::Repository,
    table::{Row, Target},
};

/// An image with a shell that the engine has.
const IMAGE: &str = "alpine:3.20";
const JOBS: usize = 40;
const AT_ONCE: usize = 4;
const FILES: usize = 20_000;
const OUTPUT_BYTES: usize = 100_000_000;

/// One job, 40 jobs, 20,000 files, 100 MB of output.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let engine = runtime.block_on(async {
        let address = Address::find(&Surroundings::of(|_| None))?;
        let engine = Engine::connect(&address).await?;
        engine.image(IMAGE, None).await.map(|image| image.map(|_| engine))
    });
    let engine = match engine {
        Ok(Some(engine)) => engine,
        Ok(None) => return Ok(vec![Row::skipped(&format!("the engine has no `{IMAGE}`"))]),
        Err(error) => return Ok(vec![Row::skipped(&error.to_string())]),
    };
    let raw = Raw { engine, runtime };
    let mut rows = one_job(bench, &raw)?;
    rows.extend(many_jobs(bench, &raw)?);
    rows.extend(many_files(bench)?);
    rows.extend(output(bench, &raw)?);
    Ok(rows)
}

/// The engine without Loom.
struct Raw {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

impl Raw {
    /// Milliseconds from the first call to the last answer of `count` containers.
    fn milliseconds(&self, count: usize, script: &str) -> io::Result<f64> {
        let began = Instant::now();
        let all = stream::iter(0..count).map(|number| container(&self.engine, number, script));
        let done = all.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
        self.runtime.block_on(done).map_err(io::Error::other)?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }
}

async fn container(engine: &Engine, number: usize, script: &str) -> Result<(), EngineError> {
    let spec = ContainerSpec {
        name: format!("loom-bench-{}-{number}", std::process::id()),
        image: IMAGE.into(),
        entrypoint: Some(vec!["sh".into()]),
        command: Some(vec!["-lc".into(), script.into()]),
        labels: HashMap::new(),
        ..ContainerSpec::default()
    };
    let id = engine.create_container(&spec).await?;
    let mut output = engine.attach(&id).await?;
    engine.start(&id).await?;
    while output.try_next().await?.is_some() {}
    engine.wait(&id).await?;
    engine.remove_container(&id).await
}

/// What `loom run` itself recorded, so that its start does not count.
struct Recorded {
    repository: Repository,
    fresh: PathBuf,
    options: Vec<String>,
}

impl Recorded {
    fn new(bench: &Bench, name: &str, files: usize, workflow: &str) -> io::Result<Self> {
        let repository = Repository::create(bench, name, files, workflow)?;
        let fresh = bench.folder().join(format!("{name}-workspaces"));
        fs::create_dir(&fresh)?;
        Ok(Recorded { repository, fresh, options: vec!["--jobs".into(), AT_ONCE.to_string()] })
    }

    fn with(mut self, option: &str) -> Self {
        self.options.push(option.into());
        self
    }

    /// `duration_ms` of a document of a new run, named by its path in the run's folder.
    fn milliseconds(&self, bench: &Bench, document: &str) -> io::Result<f64> {
        let runtime = self.repository.runtime();
        if runtime.exists() {
            fs::remove_dir_all(&runtime)?;
        }
        measure::run(bench.run(self.repository.root(), &self.fresh).args(&self.options))?;
        let run = fs::read_dir(runtime.join("logs"))?.next();
        let run = run.ok_or_else(|| io::Error::other("the run left no record"))??.path();
        duration(&run.join(document))
    }
}

fn duration(document: &Path) -> io::Result<f64> {
    let text = fs::read(document)?;
    let document: Value = serde_json::from_slice(&text)?;
    document["duration_ms"].as_f64().ok_or_else(|| io::Error::other("no `duration_ms`"))
}

const JOB: &str = "jobs/job-0/summary.json";
const PIPELINE: &str = "pipeline/summary.json";

/// Jobs of one stage, each with this script.
fn workflow(jobs: usize, script: &str) -> String {
    let job = |number| {
        format!(
            "job-{number}: {{stage: all, target: linux, image: '{IMAGE}', script: ['{script}']}}\n"
        )
    };
    format!("version: v1\nstages: [all]\n{}", (0..jobs).map(job).collect::<String>())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The median over rounds of `own` beside `other`, both measured in each round.
fn beside(
    rounds: usize,
    mut own: impl FnMut() -> io::Result<f64>,
    mut other: impl FnMut() -> io::Result<f64>,
    figure: impl Fn(f64, f64) -> f64,
) -> io::Result<f64> {
    let mut figures = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let other = other()?;
        figures.push(figure(own()?, other));
    }
    Ok(median(figures))
}

fn one_job(bench: &Bench, raw: &Raw) -> io::Result<Vec<Row>> {
    let job = Recorded::new(bench, "docker-one", 20, &workflow(1, "true"))?;
    let own = || job.milliseconds(bench, JOB);
    let ratio = beside(bench.rounds(9), own, || raw.milliseconds(1, "true"), |own, raw| own / raw)?;
    let target = Some(Target::AtMost(1.15));
    Ok(vec![Row::figure("one job in a container / bare calls", ratio, "", target)])
}

fn many_jobs(bench: &Bench, raw: &Raw) -> io::Result<Vec<Row>> {
    let jobs = Recorded::new(bench, "docker-many", 20, &workflow(JOBS, "true"))?;
    let own = || jobs.milliseconds(bench, PIPELINE);
    let ratio =
        beside(bench.rounds(3), own, || raw.milliseconds(JOBS, "true"), |own, raw| own / raw)?;
    let target = Some(Target::AtMost(1.15));
    Ok(vec![Row::figure("40 jobs, 4 at a time / bare calls", ratio, "", target)])
}

fn many_files(bench: &Bench) -> io::Result<Vec<Row>> {
    let workflow = workflow(1, "true");
    let volume = Recorded::new(bench, "docker-volume", FILES, &workflow)?;
    let bind = Recorded::new(bench, "docker-bind", FILES, &workflow)?
        .with("--docker-workspace-mount=bind_mount");
    let more = beside(
        bench.rounds(5),
        || volume.milliseconds(bench, JOB),
        || bind.milliseconds(bench, JOB),
        |volume, bind| volume - bind,
    )?;
    let target = Some(Target::AtMost(100.0));
    Ok(vec![Row::figure("20,000 files: ephemeral_volume - bind_mount", more, "ms", target)])
}

fn output(bench: &Bench, raw: &Raw) -> io::Result<Vec<Row>> {
    let script = format!("yes {} | head -c {OUTPUT_BYTES}", "x".repeat(99));
    let [job, idle] = [("docker-output", script.as_str()), ("docker-idle", "true")]
        .map(|(name, script)| Recorded::new(bench, name, 20, &workflow(1, script)));
    let (job, idle) = (job?, idle?);
    let megabytes = OUTPUT_BYTES as f64 / 1e6;
    let net = |whole: f64, idle: f64| megabytes / ((whole - idle) / 1000.0);
    let own = || Ok(net(job.milliseconds(bench, JOB)?, idle.milliseconds(bench, JOB)?));
    let other = || Ok(net(raw.milliseconds(1, &script)?, raw.milliseconds(1, "true")?));
    let ratio = beside(bench.rounds(5), own, other, |own, raw| own / raw)?;
    let target = Some(Target::AtLeast(0.9));
    Ok(vec![Row::figure("100 MB of output: speed / that of bare attach", ratio, "", target)])
}
