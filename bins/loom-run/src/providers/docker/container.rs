//! The container of one attempt at a job: made before its time, started when it is due.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use libloom_contract::{
    Reason,
    graph::{Graph, Image, Node},
};
use libloom_engine::{
    Engine, EngineError,
    containers::{ContainerSpec, Limits, Mount as EngineMount, Source},
    images::PullProgress,
    owner::Labels,
    reaper::HELPER_IMAGE,
};

use super::{
    Trouble, WORKSPACE,
    images::{Found, Wish},
    layers::Layers,
    made::Made,
    options::{Mount, Seed},
    services::Joined,
    taken::{send, send_file},
    text_of,
    workspace::{Provided, TOO_LONG, is_written_beside, provide},
};
use crate::run::Run;

/// What a container is made for.
pub struct Making<'a> {
    /// The run.
    pub run: &'a Run,
    /// The jobs around it.
    pub graph: &'a Graph,
    /// The job.
    pub node: &'a Node,
    /// The workspace on the host.
    pub workspace: &'a Path,
    /// What is part of the name of everything that is made.
    pub suffix: String,
    /// What everything that is made is labelled with.
    pub labels: Labels,
}

impl Making<'_> {
    /// What lies below the workspaces of the run's jobs.
    pub fn layers(&self) -> &Layers {
        &self.run.docker.begun().expect("an engine is there").layers
    }

    /// An image, pulled where it is missing.
    ///
    /// # Errors
    /// It is missing and cannot be pulled.
    pub async fn image(&self, engine: &Engine, wish: &Wish) -> Result<Found, Trouble> {
        let tell = |now: &PullProgress| {
            self.run.display.pulling(&self.node.id, &wish.reference, now.bytes, now.bytes_total);
        };
        self.run.docker.image(engine, wish, tell).await
    }

    /// How the volume gets its files, as far as that can be told before it is tried.
    fn first_seed(&self, engine: &Engine) -> Seed {
        let docker = &self.run.docker;
        match docker.options.seed {
            Seed::Auto if !engine.is_local() || docker.is_elsewhere.load(Ordering::Relaxed) => {
                Seed::Upload
            }
            Seed::Auto if docker.refuses_overlays.load(Ordering::Relaxed) => Seed::Copy,
            Seed::Auto if !self.run.isolate && is_written_beside(self.graph, self.node) => {
                Seed::Copy
            }
            Seed::Auto => Seed::Overlay,
            wanted => wanted,
        }
    }
}

/// A file of the host that the container sees, read-only.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it is.
    pub from: PathBuf,
    /// Where the container sees it.
    pub to: String,
}

/// What a job's container is like, apart from its workspace.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The image.
    pub image: &'a Found,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Files that it sees.
    pub inputs: Vec<Input>,
    /// How it reaches the job's services, if there are any.
    pub joined: Option<Joined>,
}

/// A container that was made for a job.
#[derive(Debug)]
pub struct Container {
    /// Where it is.
    pub engine: Engine,
    /// Its id.
    pub id: String,
    /// How it got the workspace.
    pub provided: Provided,
    /// What is part of the name of everything that was made for the job.
    pub suffix: String,
    spec: ContainerSpec,
    inputs: Vec<Input>,
}

impl Container {
    /// Makes the workspace and the container.
    ///
    /// # Errors
    /// Something cannot be made; what was made is in `made` all the same.
    pub async fn make(
        job: &Making<'_>,
        engine: &Engine,
        wanted: Wanted<'_>,
        made: &mut Made,
    ) -> Result<Self, Trouble> {
        let image = job.node.image.as_ref().cloned().unwrap_or_default();
        let name = format!("loom-job-{}", job.suffix);
        let (entrypoint, command) = match image.entrypoint.clone() {
            Some(entrypoint) => (entrypoint, wanted.command),
            // Without one the image's own would run in place of the shell.
            None => (vec![wanted.command[0].clone()], wanted.command[1..].to_vec()),
        };
        let (network, hosts) = match wanted.joined {
            Some(Joined { network, hosts }) => (Some(network), hosts),
            None => (image.network.clone(), Vec::new()),
        };
        let spec = ContainerSpec {
            name,
            image: wanted.image.info.id.clone(),
            platform: image.platform.clone(),
            entrypoint: Some(entrypoint),
            command: Some(command),
            environment: wanted.environment,
            working_dir: Some(WORKSPACE.into()),
            user: user(&image, job.workspace).map_err(|error| no_workspace(&error))?,
            labels: job.labels.to_map(),
            network,
            hosts,
            limits: limits(job.node),
            ..ContainerSpec::default()
        };
        let mut container = Container {
            engine: engine.clone(),
            id: String::new(),
            provided: Provided::default(),
            suffix: job.suffix.clone(),
            spec,
            inputs: wanted.inputs,
        };
        container.seed(job, job.first_seed(engine), made).await?;
        Ok(container)
    }

    /// Makes workspace and container, in this way and, if nobody insists on it, in the next ones.
    async fn seed(
        &mut self,
        job: &Making<'_>,
        mut seed: Seed,
        made: &mut Made,
    ) -> Result<(), Trouble> {
        loop {
            let tried = self.seed_once(job, seed, made).await;
            let Err(trouble) = tried else { return Ok(()) };
            let next = Some(()).filter(|()| is_about_files(&trouble));
            let Some(next) = next.and_then(|()| self.next_seed(job, seed)) else {
                return Err(trouble);
            };
            self.remove_workspace(job, made).await?;
            seed = next;
        }
    }

    async fn seed_once(
        &mut self,
        job: &Making<'_>,
        seed: Seed,
        made: &mut Made,
    ) -> Result<(), Trouble> {
        self.provided = provide(job, seed, &self.engine, made).await?;
        let spec = ContainerSpec {
            mounts: self.provided.mounts.iter().cloned().chain(self.input_mounts()?).collect(),
            ..self.spec.clone()
        };
        made.containers.push(spec.name.clone());
        let created = self.engine.create_container(&spec).await;
        self.id = created.map_err(|error| cannot("create", &error))?;
        for folder in &self.provided.to_send {
            send(&self.engine, &self.id, folder, WORKSPACE).await?;
        }
        if seed == Seed::Upload {
            for input in &self.inputs {
                send_file(&self.engine, &self.id, input).await?;
            }
        }
        Ok(())
    }

    /// Files are mounted where the engine can see them.
    fn input_mounts(&self) -> Result<Vec<EngineMount>, Trouble> {
        if self.provided.seed == "upload" {
            return Ok(Vec::new());
        }
        let mount = |input: &Input| {
            Ok(EngineMount {
                source: Source::Host(text_of(&input.from)?),
                target: input.to.clone(),
                read_only: true,
            })
        };
        self.inputs.iter().map(mount).collect()
    }

    /// The way after one that did not work, and the memory of it for later jobs.
    fn next_seed(&self, job: &Making<'_>, seed: Seed) -> Option<Seed> {
        let docker = &job.run.docker;
        if docker.options.seed != Seed::Auto || docker.options.mount == Mount::BindMount {
            return None;
        }
        match seed {
            Seed::Overlay => {
                docker.refuses_overlays.store(true, Ordering::Relaxed);
                Some(Seed::Copy)
            }
            Seed::Copy => {
                docker.is_elsewhere.store(true, Ordering::Relaxed);
                Some(Seed::Upload)
            }
            Seed::Upload | Seed::Auto => None,
        }
    }

    async fn remove_workspace(&self, job: &Making<'_>, made: &mut Made) -> Result<(), Trouble> {
        let part = Made {
            containers: std::mem::take(&mut made.containers),
            volume: made.volume.take(),
            overlay: made.overlay.take(),
            is_laid: std::mem::take(&mut made.is_laid),
            labels: job.labels.clone(),
            is_brought_back: false,
            ..Made::default()
        };
        let (services, own): (Vec<_>, Vec<_>) =
            part.containers.iter().cloned().partition(|name| name.contains("-service-"));
        made.containers = services;
        let part = Made { containers: own, ..part };
        match part.remove(&self.engine, job.layers(), job.workspace).await.first() {
            Some(error) => Err(Trouble::section(error.clone())),
            None => Ok(()),
        }
    }

    /// The network it is in.
    pub fn network(&self) -> &str {
        self.spec.network.as_deref().unwrap_or("bridge")
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(&self) -> Result<(), EngineError> {
        self.engine.start(&self.id).await
    }

    /// Whether a container that the engine refuses to start might with a workspace of another kind,
    /// which it then gets: what an overlay is mounted with is looked at no earlier.
    ///
    /// # Errors
    /// It cannot be made anew.
    pub async fn mend(
        &mut self,
        job: &Making<'_>,
        error: &EngineError,
        made: &mut Made,
    ) -> Result<bool, Trouble> {
        let is_mount = self.provided.overlay.is_some() && error.to_string().contains("mount");
        let Some(next) = is_mount.then(|| self.next_seed(job, Seed::Overlay)).flatten() else {
            return Ok(false);
        };
        self.remove_workspace(job, made).await?;
        self.seed(job, next, made).await?;
        Ok(true)
    }
}

/// Whether an engine that sees other files than this machine, or mounts less than others, may be
/// the reason: then another way to the workspace may do.
fn is_about_files(trouble: &Trouble) -> bool {
    let words = ["mount", "bind source path", "no such file or directory", HELPER_IMAGE, TOO_LONG];
    trouble.reason != Reason::ProviderUnavailable
        && words.iter().any(|word| trouble.message.contains(word))
}

/// The container cannot be made or started, in words that tell the common causes.
pub fn cannot(what: &str, error: &EngineError) -> Trouble {
    let text = error.to_string();
    let hint = match () {
        () if text.contains("exec format error") => {
            ": the image is for another kind of processor than this machine has"
        }
        () if text.contains("executable file not found")
            || text.contains("no such file or directory") =>
        {
            ": the image has no shell `sh`, which every job needs"
        }
        () => "",
    };
    let Trouble { reason, message } =
        Trouble::new(format_args!("docker container {what} failed"), error);
    Trouble { reason, message: message + hint }
}

fn no_workspace(error: &io::Error) -> Trouble {
    Trouble::section(format!("cannot look at the workspace: {error}"))
}

/// `host` is whoever the workspace belongs to.
fn user(image: &Image, workspace: &Path) -> io::Result<Option<String>> {
    match image.user.as_deref() {
        Some("host") => {
            let owner = fs::metadata(workspace)?;
            Ok(Some(format!("{}:{}", owner.uid(), owner.gid())))
        }
        user => Ok(user.map(str::to_owned)),
    }
}

fn limits(node: &Node) -> Limits {
    let Some(resources) = &node.resources else { return Limits::default() };
    Limits {
        cpus_milli: resources.cpus_milli,
        memory_bytes: resources.memory_bytes,
        pids: resources.pids,
        shm_size_bytes: resources.shm_size_bytes,
    }
}
