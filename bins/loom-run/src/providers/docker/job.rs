//! A job from its image to its end, as the rest of the run sees it.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use libloom_contract::{
    event::{Event, EventKind, Section},
    graph::Node,
    layout::JobLayout,
};
use libloom_engine::Engine;
use libloom_record::events::EventLog;
use libloom_variables::{JobEnvironment, job_environment};
use serde_json::{Map, Value, json};

use super::{
    Trouble, WORKSPACE,
    container::{Container, Input, Making, Wanted},
    image_build,
    images::{Found, Wish},
    labels,
    made::Made,
    options::{Mount, Sync},
    services::{self, Joined, LINES_KEPT, Sidecar},
    shell::{self, Limits, Start},
    suffix, taken, unless_cancelled,
    workspace::{make_private, overlay_folder},
};
use crate::{
    execution::{Script, arguments},
    job::Attempt,
    joblog::JobLog,
    providers::host::{End, Reader},
    run::Run,
    secrets::{self, Ready},
    shell::script::ARGUMENT_BYTES_MAX,
    verdict::Verdict,
};

/// Where a container sees a script that is too long for an argument.
const SCRIPT: &str = "/tmp/loom-script.sh";
/// Its presence tells the container's shell that it is the second one.
const AFTER: &str = "/.loom-after";

/// Makes a job ready to run in its container.
///
/// # Errors
/// The record cannot be written.
pub fn prepare(
    attempt: &Attempt<'_>,
    workspace: &Path,
    log: &mut JobLog<'_>,
    events: &mut EventLog,
) -> io::Result<Result<Ready, Verdict>> {
    let Attempt { run, node, .. } = *attempt;
    let mut made = Made { labels: labels(run, &node.id), ..Made::default() };
    let making = making(attempt, workspace);
    let image = match image(&making, log)? {
        Ok(image) => image,
        Err(verdict) => return Ok(Err(verdict)),
    };
    events.append(found(events, &image))?;
    let environment = environment(run, node, &image);
    // A job without a script only builds its image: there is no container.
    let only_builds = node.steps.is_empty();
    let seen = if only_builds { workspace } else { Path::new(WORKSPACE) };
    let mut ready = match secrets::prepare(run, node, seen.to_owned(), environment, events)? {
        Ok(ready) => ready,
        Err(verdict) => return Ok(Err(verdict)),
    };
    if only_builds {
        workspace.clone_into(&mut ready.host_workspace);
        return Ok(Ok(ready));
    }
    ready.scripts = crate::execution::scripts(node, &ready)?;
    let command = command(&mut ready, log)?;
    let joined = match services(&making, &ready, &mut made, log)? {
        Ok(joined) => joined,
        Err(verdict) => {
            give_up(run, workspace, made, log, events)?;
            return Ok(Err(verdict));
        }
    };
    let wanted = Wanted {
        image: &image,
        environment: in_pairs(&ready.environment, run.docker.proxies()),
        command,
        inputs: ready.inputs.clone(),
        joined,
    };
    let made_for = &mut made;
    let container = run.docker.with(|engine| async move {
        unless_cancelled(run, Container::make(&making, &engine, wanted, made_for)).await
    });
    match container {
        Ok(container) => {
            events.append(described(events, run, &image, &container))?;
            ready.container = Some(container);
            (ready.made, ready.host_workspace) = (made, workspace.to_owned());
            Ok(Ok(ready))
        }
        Err(trouble) => {
            let event = events.subject().say(EventKind::Error, &trouble.message);
            events.append(Event { reason: Some(trouble.reason), ..event })?;
            give_up(run, workspace, made, log, events)?;
            Ok(Err(trouble.verdict()))
        }
    }
}

/// Nothing is left of a job that could not be made ready.
fn give_up(
    run: &Run,
    workspace: &Path,
    made: Made,
    log: &JobLog<'_>,
    events: &mut EventLog,
) -> io::Result<()> {
    for error in remove(run, &log.layout, workspace, made) {
        let event = events.subject().say(EventKind::Error, error);
        events.append(event)?;
    }
    Ok(())
}

/// Starts the job's services, in a section of their own.
fn services(
    making: &Making<'_>,
    ready: &Ready,
    made: &mut Made,
    log: &mut JobLog<'_>,
) -> io::Result<Result<Option<Joined>, Verdict>> {
    if making.node.services.is_empty() {
        return Ok(Ok(None));
    }
    let values: HashMap<String, String> = ready.environment.all.iter().map(in_text).collect();
    let started = log.section(Section::Services, |_, events| {
        let started = making.run.docker.with(|engine| async move {
            let started = services::start(making, &engine, &values, events, made);
            unless_cancelled(making.run, started).await
        });
        Ok(started.map_err(|trouble| trouble.verdict()))
    })?;
    Ok(started.map(Some))
}

fn in_text((name, value): &(OsString, OsString)) -> (String, String) {
    (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
}

fn making<'a>(attempt: &'a Attempt<'_>, workspace: &'a Path) -> Making<'a> {
    let Attempt { run, graph, node, number, .. } = *attempt;
    let suffix = suffix(run, &node.id, number);
    Making { run, graph, node, workspace, suffix, labels: labels(run, &node.id) }
}

/// The job's image: built in a section of its own, or looked for and pulled.
fn image(making: &Making<'_>, log: &mut JobLog<'_>) -> io::Result<Result<Found, Verdict>> {
    let Some(wish) = Wish::of_job(making.node) else {
        return log.section(Section::ImageBuild, |_, events| image_build::build(making, events));
    };
    let found = making.run.docker.with(|engine| async move {
        unless_cancelled(making.run, making.image(&engine, &wish)).await
    });
    Ok(found.map_err(|trouble| trouble.verdict()))
}

/// What the image sets is around the job's own variables; nothing of the host is.
fn environment(run: &Run, node: &Node, image: &Found) -> JobEnvironment {
    let around = image.info.environment.iter().filter_map(|pair| pair.split_once('='));
    let around = around.map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
    let predefined: BTreeMap<String, String> = run.predefined_in(Path::new(WORKSPACE)).of_job(node);
    let mut environment = job_environment(around, &predefined, node);
    if environment.path.is_empty() {
        environment.path = DEFAULT_PATH.into();
    }
    environment
}

/// What engines set where an image has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=value` of a container; the job's own variables count more than proxies.
fn in_pairs(environment: &JobEnvironment, proxies: Vec<(String, String)>) -> Vec<String> {
    let is_new = |name: &str| !environment.all.iter().any(|(other, _)| other == name);
    let proxies = proxies.into_iter().filter(|(name, _)| is_new(name));
    let pairs = environment.all.iter().map(in_text).chain(proxies);
    let mut pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort();
    pairs
}

/// Program and arguments of the container: the job's first shell, or, once there is the mark, the
/// second one. A container's command cannot be changed, and what the first shell installed is in
/// this container.
fn command(ready: &mut Ready, log: &JobLog<'_>) -> io::Result<Vec<String>> {
    let text = match &ready.scripts[..] {
        [Script { text, .. }] => text.clone(),
        [Script { text: main, .. }, Script { text: after, .. }] => {
            format!("[ ! -e {AFTER} ] || {after}; {main}")
        }
        _ => String::new(),
    };
    let text = if text.len() <= ARGUMENT_BYTES_MAX {
        text
    } else {
        let from = log.layout.execution().join("script.sh");
        std::fs::create_dir_all(log.layout.execution())?;
        std::fs::write(&from, text)?;
        ready.inputs.push(Input { from, to: SCRIPT.into() });
        format!(". {SCRIPT}")
    };
    let arguments = arguments(ready.is_traced, text);
    Ok(["sh".to_owned()].into_iter().chain(arguments).collect())
}

fn found(events: &EventLog, image: &Found) -> Event {
    let how = if image.was_pulled { "was pulled" } else { "is there" };
    let note = events.subject().say(EventKind::Note, format!("image `{}` {how}", image.reference));
    let data = json!({"image": image.reference, "image_id": image.info.id});
    Event { data: data.as_object().cloned(), ..note }
}

fn described(events: &EventLog, run: &Run, image: &Found, container: &Container) -> Event {
    let mount = match run.docker.options.mount {
        Mount::BindMount => "bind_mount",
        Mount::EphemeralVolume => "ephemeral_volume",
    };
    let seed = container.provided.seed;
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.into(), value);
    put("provider", json!("docker"));
    put("image", json!(image.reference));
    put("image_id", json!(image.info.id));
    put("container_id", json!(container.id));
    put("workspace_mount", json!(mount));
    if !seed.is_empty() {
        put("seed", json!(seed));
    }
    put("network", json!(container.network()));
    let short = container.id.get(..12).unwrap_or(&container.id);
    let note = events.subject().say(EventKind::Note, format!("container {short} is ready"));
    Event { data: Some(data), ..note }
}

/// Runs the job's shell of this number in its container.
///
/// # Errors
/// What it wrote cannot be recorded.
pub fn run(
    attempt: &Attempt<'_>,
    ready: &mut Ready,
    limits: Limits,
    number: usize,
    reader: &mut impl Reader,
) -> io::Result<End> {
    let Attempt { run, .. } = *attempt;
    let workspace = ready.host_workspace.clone();
    let making = making(attempt, &workspace);
    let (container, made) = (ready.container.as_mut().expect("it was made"), &mut ready.made);
    let wishes = run.docker.begun().expect("it was made").wishes.clone();
    let outcome = run.docker.with(|engine| async move {
        if number > 0 {
            taken::mark(&engine, &container.id, AFTER).await?;
        }
        let mut started = shell::run(container, limits, wishes.clone(), reader).await;
        if let Err(Start::Refused(error)) = &started
            && container.mend(&making, error, made).await?
        {
            started = shell::run(container, limits, wishes, reader).await;
        }
        match started {
            Err(Start::Refused(error)) => Err(Start::trouble(&error)),
            Err(Start::Record(error)) => Ok(Err(error)),
            Ok(end) => Ok(Ok(end)),
        }
    });
    outcome.unwrap_or_else(|trouble| Ok(End::refused(trouble.verdict())))
}

/// Where a shell could not even begin, the likely cause.
pub fn hint_at_user(run: &Run, node: &Node) -> &'static str {
    let user = node.image.as_ref().map(|image| image.user.as_deref());
    match user {
        Some(user) if run.docker.options.mount == Mount::BindMount && user != Some("host") => {
            "; with `bind_mount` an image that is not run as root needs `image.user: host`"
        }
        _ => "",
    }
}

/// Folder of the host that holds what these patterns want of the job's workspace.
///
/// # Errors
/// The files cannot be taken out of the container.
pub fn view(run: &Run, ready: &mut Ready, patterns: &[String]) -> Result<PathBuf, Trouble> {
    let Some(container) = ready.container.as_ref() else { return Ok(ready.workspace.clone()) };
    if run.docker.options.mount == Mount::BindMount {
        return Ok(ready.host_workspace.clone());
    }
    let folder =
        scratch(run, &ready.host_workspace, &mut ready.made, &container.suffix)?.join("view");
    run.docker.with(|_| async { taken::view(container, patterns, &folder).await })?;
    Ok(folder)
}

/// A folder for what belongs to the job alone, removed with everything else of it.
fn scratch(run: &Run, workspace: &Path, made: &mut Made, suffix: &str) -> Result<PathBuf, Trouble> {
    if let Some(folder) = &made.overlay {
        return Ok(folder.clone());
    }
    let folder = overlay_folder(run, workspace, suffix);
    made.overlay = Some(folder.clone());
    make_private(&folder).map_err(|error| Trouble::section(error.to_string()))?;
    Ok(folder)
}

/// Brings what the job left into the run's workspace, for later jobs.
///
/// # Errors
/// It cannot be brought there.
pub fn land(run: &Run, ready: &Ready, job: &JobLayout) -> Result<(), Trouble> {
    let options = run.docker.options;
    let (Some(container), Some(begun)) = (&ready.container, run.docker.begun()) else {
        return Ok(());
    };
    if options.mount == Mount::BindMount || options.sync != Sync::Declared {
        return Ok(());
    }
    let failed = |error: String| {
        Trouble::section(format!("what the job left does not reach the workspace: {error}"))
    };
    let workspace = &ready.host_workspace;
    let layer = overlay_folder(run, workspace, &format!("{}-left", container.suffix));
    make_private(&layer).map_err(|error| failed(error.to_string()))?;
    libloom_archive::restore(job, &layer).map_err(|error| failed(error.to_string()))?;
    begun.layers.add(layer, workspace).map_err(|error| failed(error.to_string()))
}

/// Removes everything that was made for the job, once its services' logs are kept; what went wrong,
/// in words.
pub fn remove(run: &Run, job: &JobLayout, workspace: &Path, made: Made) -> Vec<String> {
    if made.is_empty() {
        return Vec::new();
    }
    let Some(begun) = run.docker.begun() else { return Vec::new() };
    let removed = run.docker.with(|engine| async move {
        let mut errors = keep_logs(run, job, &engine, &made.sidecars).await;
        errors.extend(made.remove(&engine, &begun.layers, workspace).await);
        Ok(errors)
    });
    let errors = removed.unwrap_or_else(|trouble| vec![trouble.message]);
    run.docker.note_left(&errors);
    errors
}

/// What services wrote, in the job's folder.
async fn keep_logs(
    run: &Run,
    job: &JobLayout,
    engine: &Engine,
    sidecars: &[Sidecar],
) -> Vec<String> {
    let mut errors = Vec::new();
    for Sidecar { name, id, .. } in sidecars {
        let path = job.section(Section::Services).service_log(name);
        let written = match engine.logs(id, LINES_KEPT).await {
            Ok(text) => {
                std::fs::write(path, run.redactor().bytes(&text)).map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let failed = |error| format!("the logs of service `{name}` are lost: {error}");
        errors.extend(written.err().map(failed));
    }
    errors
}
