//! How a container gets the workspace: the folder itself, or a volume that holds what it holds.
//!
//! A volume is an overlay over the workspace wherever engine and workspace share a machine and
//! nobody writes to the workspace meanwhile: that costs nothing, whatever the size. Otherwise a
//! helper container copies, or, where the engine is elsewhere, the files are sent.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use libloom_contract::graph::{Graph, Node, Provider, PullPolicy};
use libloom_engine::{
    Engine, EngineError,
    containers::{ContainerSpec, Mount as EngineMount, Source},
    owner::Labels,
    reaper::{HELPER_IMAGE, OVERLAY_FOLDER_PREFIX},
    volumes::Overlay,
};

use super::{
    Trouble, WORKSPACE,
    container::Making,
    images::Wish,
    layers::Below,
    made::Made,
    options::{Mount, Seed, Sync},
    text_of,
};
use crate::run::Run;

/// Why there is no overlay where its options do not fit.
pub const TOO_LONG: &str = "the paths are too long for an overlay";

/// How a job's container gets the workspace.
#[derive(Debug, Default)]
pub struct Provided {
    /// What is mounted.
    pub mounts: Vec<EngineMount>,
    /// In one word, for the record.
    pub seed: &'static str,
    /// Folders to be sent into the container once it is made, in order.
    pub to_send: Vec<PathBuf>,
    /// Where changes go, and what lies below.
    pub overlay: Option<Laid>,
}

/// An overlay over the workspace.
#[derive(Debug)]
pub struct Laid {
    /// Holds `upper` and `work`.
    pub folder: PathBuf,
    /// What lies below.
    pub below: Below,
}

impl Laid {
    /// Where changes go.
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }
}

/// Makes what the container mounts, in the way that was chosen.
///
/// # Errors
/// It cannot be made; what was made is in `made` all the same.
pub async fn provide(
    job: &Making<'_>,
    seed: Seed,
    engine: &Engine,
    made: &mut Made,
) -> Result<Provided, Trouble> {
    if job.run.docker.options.mount == Mount::BindMount {
        return bind(job, engine);
    }
    if seed != Seed::Overlay && job.run.docker.options.sync == Sync::Full {
        return Err(Trouble::section(
            "all changes can be brought back only out of an overlay volume, which is not possible \
             here: use `declared`, or `bind_mount`",
        ));
    }
    match seed {
        Seed::Auto => unreachable!("`Making::first_seed` has chosen"),
        Seed::Overlay => overlay(job, engine, made).await,
        Seed::Copy => copy(job, engine, made).await,
        Seed::Upload => upload(job, engine, made).await,
    }
}

fn bind(job: &Making<'_>, engine: &Engine) -> Result<Provided, Trouble> {
    if !engine.is_local() {
        return Err(Trouble::section(format!(
            "`bind_mount` needs an engine on this machine, and {} is not: use `ephemeral_volume`",
            engine.address()
        )));
    }
    job.layers().settle(job.workspace).map_err(|error| cannot_prepare(&error))?;
    Ok(Provided {
        mounts: vec![mount_of(Source::Host(text_of(job.workspace)?))],
        ..Provided::default()
    })
}

fn cannot_prepare(error: &io::Error) -> Trouble {
    Trouble::section(format!("cannot prepare the workspace: {error}"))
}

fn mount_of(source: Source) -> EngineMount {
    EngineMount { source, target: WORKSPACE.into(), read_only: false }
}

async fn create_volume(
    job: &Making<'_>,
    engine: &Engine,
    overlay: Option<(&Path, &str)>,
    made: &mut Made,
) -> Result<EngineMount, Trouble> {
    let name = format!("loom-job-workspace-{}", job.suffix);
    let overlay_folder = overlay.map(|(folder, _)| folder.to_owned());
    let labels = Labels { overlay: overlay_folder, ..job.labels.clone() }.to_map();
    made.volume = Some(name.clone());
    let created = engine.create_volume(&name, labels, overlay.map(|(_, options)| options)).await;
    created.map_err(|error| Trouble::new("docker workspace volume create failed", &error))?;
    Ok(mount_of(Source::Volume(name)))
}

/// Lays an empty folder over the workspace.
async fn overlay(job: &Making<'_>, engine: &Engine, made: &mut Made) -> Result<Provided, Trouble> {
    let folder = overlay_folder(job.run, job.workspace, &job.suffix);
    let [upper, work] = ["upper", "work"].map(|name| folder.join(name));
    made.overlay = Some(folder.clone());
    let make = || {
        make_private(&folder)?;
        fs::create_dir(&work)?;
        fs::create_dir(&upper)?;
        // The root of the volume; whoever the image runs as must be able to write there.
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o777))
    };
    make().map_err(|error| cannot_prepare(&error))?;
    let below = job.layers().mount(job.workspace).map_err(|error| cannot_prepare(&error))?;
    made.is_laid = true;
    let lower: Vec<&Path> = below.lower.iter().map(PathBuf::as_path).collect();
    let options = Overlay { lower: &lower, upper: &upper, work: &work }.options();
    let options = options.ok_or_else(|| Trouble::section(TOO_LONG))?;
    let mount = create_volume(job, engine, Some((&folder, &options)), made).await?;
    made.is_brought_back = job.run.docker.options.sync == Sync::Full;
    let overlay = Some(Laid { folder, below });
    Ok(Provided { mounts: vec![mount], seed: "overlay", overlay, ..Provided::default() })
}

/// Beside the workspace, so that both are on one file system.
pub fn overlay_folder(run: &Run, workspace: &Path, suffix: &str) -> PathBuf {
    workspace.with_file_name(format!("{OVERLAY_FOLDER_PREFIX}{}-{suffix}", run.id))
}

/// Makes a folder that nobody else can look into.
///
/// # Errors
/// What the system says, with the path.
pub fn make_private(folder: &Path) -> io::Result<()> {
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", folder.display())))
}

/// A helper container copies the workspace, and what has not landed in it yet.
async fn copy(job: &Making<'_>, engine: &Engine, made: &mut Made) -> Result<Provided, Trouble> {
    let waiting = job.layers().settle(job.workspace).map_err(|error| cannot_prepare(&error))?;
    let volume = create_volume(job, engine, None, made).await?;
    let wish =
        Wish { reference: HELPER_IMAGE.into(), platform: None, policy: PullPolicy::IfNotPresent };
    let image = job.image(engine, &wish).await?;
    let mut mounts = vec![volume.clone()];
    let mut script = String::new();
    for (number, folder) in [job.workspace.to_owned()].iter().chain(&waiting).enumerate() {
        let target = format!("/from/{number}");
        script.push_str(&format!("cp -a {target}/. {WORKSPACE}/ && "));
        mounts.push(EngineMount {
            source: Source::Host(text_of(folder)?),
            target,
            read_only: true,
        });
    }
    script.push_str(&format!("chmod 0777 {WORKSPACE}"));
    let name = format!("loom-job-seed-{}", job.suffix);
    made.containers.push(name.clone());
    let spec = ContainerSpec {
        name,
        image: image.info.id.clone(),
        entrypoint: Some(vec!["sh".into()]),
        command: Some(vec!["-c".into(), script]),
        user: Some("0:0".into()),
        labels: job.labels.to_map(),
        mounts,
        network: Some("none".into()),
        ..ContainerSpec::default()
    };
    let said =
        run_helper(engine, &spec).await.map_err(|error| Trouble::new(SEED_FAILED, &error))?;
    if let Some(said) = said {
        return Err(Trouble::section(format!("{SEED_FAILED}: {said}")));
    }
    Ok(Provided { mounts: vec![volume], seed: "copy", ..Provided::default() })
}

const SEED_FAILED: &str = "docker workspace volume seed failed";

/// Runs a helper to its end; what it said if it failed.
async fn run_helper(engine: &Engine, spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
    use futures_util::TryStreamExt as _;
    let id = engine.create_container(spec).await?;
    let mut output = engine.attach(&id).await?;
    engine.start(&id).await?;
    let mut said = Vec::new();
    while let Some((_, bytes)) = output.try_next().await? {
        said.extend_from_slice(&bytes);
    }
    let code = engine.wait(&id).await?;
    engine.remove_container(&id).await?;
    let said = String::from_utf8_lossy(&said);
    Ok((code != 0).then(|| format!("exit code {code}: {}", said.trim())))
}

/// The workspace is sent to the engine once there is a container to receive it.
async fn upload(job: &Making<'_>, engine: &Engine, made: &mut Made) -> Result<Provided, Trouble> {
    let waiting = job.layers().settle(job.workspace).map_err(|error| cannot_prepare(&error))?;
    let volume = create_volume(job, engine, None, made).await?;
    let to_send = [job.workspace.to_owned()].into_iter().chain(waiting).collect();
    Ok(Provided { mounts: vec![volume], seed: "upload", to_send, ..Provided::default() })
}

/// Whether a job that writes to the workspace itself may run while this one does.
pub fn is_written_beside(graph: &Graph, node: &Node) -> bool {
    let hosts = graph.nodes.iter().filter(|other| other.provider == Provider::Host);
    let own = Waits::of(graph, node);
    hosts
        .into_iter()
        .any(|host| !own.covers(graph, host) && !Waits::of(graph, host).covers(graph, node))
}

/// Jobs that must be over before a job starts.
#[derive(Debug, Default)]
struct Waits<'a> {
    /// All of the stages before this one.
    stages: usize,
    /// Those that are named, directly or through others.
    named: Vec<&'a str>,
}

impl<'a> Waits<'a> {
    fn of(graph: &'a Graph, node: &'a Node) -> Self {
        let mut waits = Waits::default();
        waits.add(graph, node);
        waits
    }

    fn add(&mut self, graph: &'a Graph, node: &'a Node) {
        let Some(needs) = &node.needs else {
            self.stages = self.stages.max(stage(graph, node));
            return;
        };
        for need in needs {
            if self.named.contains(&&*need.job) {
                continue;
            }
            self.named.push(&need.job);
            if let Some(needed) = graph.nodes.iter().find(|node| node.id == need.job) {
                self.add(graph, needed);
            }
        }
    }

    fn covers(&self, graph: &Graph, node: &Node) -> bool {
        stage(graph, node) < self.stages || self.named.contains(&&*node.id)
    }
}

fn stage(graph: &Graph, node: &Node) -> usize {
    graph.stages.iter().position(|stage| *stage == node.stage).unwrap_or_default()
}
