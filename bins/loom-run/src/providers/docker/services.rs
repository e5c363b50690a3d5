//! Sidecar containers: on a network of their job's own, ready before the job begins.

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use libloom_contract::{
    event::{Event, EventKind},
    graph::{PullPolicy, Service},
    variables,
};
use libloom_engine::{
    Engine, Flavour,
    containers::{ContainerSpec, ExecSpec, Health, State},
};
use libloom_record::events::EventLog;
use serde_json::json;

use super::{
    Trouble,
    container::{Making, cannot},
    images::Wish,
    made::Made,
};

/// How long services may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(35);
/// How often they are looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// Lines of a service that failed which its error shows.
const LINES: usize = 20;
/// Lines of a service that are kept.
pub const LINES_KEPT: usize = 100_000;

/// How a job reaches its services.
#[derive(Debug, Default)]
pub struct Joined {
    /// The network of all of them.
    pub network: String,
    /// Names that the network does not resolve, as `NAME:ADDRESS`.
    pub hosts: Vec<String>,
}

/// A service that was started.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// What the record calls it.
    pub name: String,
    /// Its container.
    pub id: String,
    /// Names by which it is reached.
    pub aliases: Vec<String>,
}

/// Starts the services of a job and waits until they are ready.
///
/// # Errors
/// One cannot be started or does not become ready; what was made is in `made` all the same.
pub async fn start(
    job: &Making<'_>,
    engine: &Engine,
    values: &HashMap<String, String>,
    events: &mut EventLog,
    made: &mut Made,
) -> Result<Joined, Trouble> {
    if job.node.image.as_ref().is_some_and(|image| image.network.is_some()) {
        let message = "a job with `services` has a network of its own: remove `image.network`";
        return Err(Trouble::section(message));
    }
    let network = format!("loom-job-net-{}", job.suffix);
    let specs = specs(job, values, &network);
    made.network = Some(network.clone());
    made.containers.extend(specs.iter().map(|spec| spec.name.clone()));
    let created = engine.create_network(&network, job.labels.to_map());
    created.await.map_err(|error| Trouble::new("docker network create failed", &error))?;
    let starts = specs.into_iter().zip(&job.node.services);
    let sidecars =
        try_join_all(starts.map(|(spec, service)| launch(job, engine, spec, service))).await?;
    made.sidecars.clone_from(&sidecars);
    let began = Instant::now();
    let ready = sidecars.iter().zip(&job.node.services);
    let ready =
        join_all(ready.map(|(sidecar, service)| wait_until_ready(engine, sidecar, service)));
    for (result, sidecar) in ready.await.into_iter().zip(&sidecars) {
        result?;
        let text = format!("service `{}` is ready", sidecar.name);
        let data = json!({"service": sidecar.name, "container_id": sidecar.id});
        let duration_ms = crate::steps::milliseconds(began.elapsed());
        let note = events.subject().say(EventKind::Note, text);
        let note =
            Event { data: data.as_object().cloned(), duration_ms: Some(duration_ms), ..note };
        events.append(note).map_err(|error| unrecorded(&error))?;
    }
    let hosts = hosts(engine, &sidecars, &network).await?;
    Ok(Joined { network, hosts })
}

/// Podman resolves names only where a plugin for that is installed, so the job gets to know them.
async fn hosts(
    engine: &Engine,
    sidecars: &[Sidecar],
    network: &str,
) -> Result<Vec<String>, Trouble> {
    let mut hosts = Vec::new();
    for Sidecar { name, id, aliases } in
        sidecars.iter().filter(|_| engine.flavour == Flavour::Podman)
    {
        let address = engine.address_in(id, network).await;
        let address =
            address.map_err(|error| Trouble::new(format_args!("service `{name}`"), &error))?;
        hosts.extend(
            address
                .iter()
                .flat_map(|address| aliases.iter().map(move |alias| format!("{alias}:{address}"))),
        );
    }
    Ok(hosts)
}

fn unrecorded(error: &io::Error) -> Trouble {
    Trouble::section(format!("cannot record the services: {error}"))
}

/// The containers of the job's services. A name that several would get by their image is the first
/// one's.
fn specs(job: &Making<'_>, values: &HashMap<String, String>, network: &str) -> Vec<ContainerSpec> {
    let mut taken: Vec<String> = Vec::new();
    let services = job.node.services.iter().enumerate();
    let spec = |(number, service): (usize, &Service)| {
        let names = service.alias.iter().cloned().chain(names_of_image(&service.name));
        let aliases: Vec<String> = names.filter(|name| !taken.contains(name)).collect();
        taken.extend(aliases.iter().cloned());
        let expand = |text: &str| variables::expand(text, |name| values.get(name).cloned());
        let environment =
            service.variables.iter().map(|(name, value)| format!("{name}={}", expand(value)));
        ContainerSpec {
            name: format!("loom-job-service-{}-{}", job.suffix, number + 1),
            image: service.name.clone(),
            entrypoint: service.entrypoint.clone(),
            command: service.command.clone(),
            environment: environment.collect(),
            labels: job.labels.to_map(),
            network: Some(network.to_owned()),
            aliases,
            keep_logs: true,
            ..ContainerSpec::default()
        }
    };
    services.map(spec).collect()
}

/// The names by which a service answers that has no alias: the last part of its image's name and,
/// where that has several, all of them joined, as GitLab does.
fn names_of_image(image: &str) -> Vec<String> {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name[last..].find(':').map_or(name.len(), |colon| last + colon);
    let name = &name[..end];
    let mut names = vec![name[last..].to_owned()];
    if last > 0 {
        let plain = name.replace(':', "-");
        names.extend([plain.replace('/', "-"), plain.replace('/', "__")]);
    }
    names
}

async fn launch(
    job: &Making<'_>,
    engine: &Engine,
    spec: ContainerSpec,
    service: &Service,
) -> Result<Sidecar, Trouble> {
    let wish = Wish {
        reference: service.name.clone(),
        platform: None,
        policy: service.pull_policy.unwrap_or(PullPolicy::IfNotPresent),
    };
    let image = job.image(engine, &wish).await?;
    let name = spec.aliases.first().unwrap_or(&service.name).clone();
    let of_service = |trouble: Trouble| Trouble {
        message: format!("service `{name}`: {}", trouble.message),
        ..trouble
    };
    let spec = ContainerSpec { image: image.info.id.clone(), ..spec };
    let id = engine.create_container(&spec).await;
    let id = id.map_err(|error| of_service(cannot("create", &error)))?;
    engine.start(&id).await.map_err(|error| of_service(cannot("start", &error)))?;
    Ok(Sidecar { name, id, aliases: spec.aliases })
}

async fn wait_until_ready(
    engine: &Engine,
    sidecar: &Sidecar,
    service: &Service,
) -> Result<(), Trouble> {
    let began = Instant::now();
    let Sidecar { name, id, .. } = sidecar;
    loop {
        let failed = |error| Trouble::new(format_args!("service `{name}`"), &error);
        let state = engine.inspect(id).await.map_err(failed)?;
        if !state.is_running {
            let how = format!("ended with exit code {} before it was ready", state.exit_code);
            return Err(gave_up(engine, sidecar, service, &how).await);
        }
        if is_ready(engine, id, &state).await {
            return Ok(());
        }
        if began.elapsed() >= READY_WITHIN {
            let how = format!("was not ready within {} s", READY_WITHIN.as_secs());
            return Err(gave_up(engine, sidecar, service, &how).await);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A container that runs is ready, unless its image has a healthcheck. That is run here: an
/// engine looks only at the intervals that the image says, and Podman's service never.
async fn is_ready(engine: &Engine, id: &str, state: &State) -> bool {
    if state.health == Health::Healthy {
        return true;
    }
    let command = match state.health_command.split_first() {
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
        Some((kind, rest)) if kind == "CMD-SHELL" && !rest.is_empty() => {
            ["/bin/sh".into(), "-c".into()].into_iter().chain(rest.iter().cloned()).collect()
        }
        _ => return true,
    };
    let check = engine.exec(id, &ExecSpec { command, user: None }).await;
    check.is_ok_and(|(code, _)| code == 0)
}

/// Why a service is not there, with the last lines that it wrote.
async fn gave_up(engine: &Engine, sidecar: &Sidecar, service: &Service, how: &str) -> Trouble {
    let logs = engine.logs(&sidecar.id, LINES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&logs);
    let said = match text.trim() {
        "" => "it wrote nothing".to_owned(),
        text => format!("its last lines:\n{text}"),
    };
    Trouble::section(format!("service `{}` ({}) {how}; {said}", sidecar.name, service.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_answer_to_the_names_of_their_images() {
        assert_eq!(names_of_image("postgres:16"), ["postgres"]);
        assert_eq!(names_of_image("redis@sha256:abc"), ["redis"]);
        assert_eq!(
            names_of_image("registry.example:5000/a/db:1"),
            ["db", "registry.example-5000-a-db", "registry.example-5000__a__db"]
        );
    }
}
