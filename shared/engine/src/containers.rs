//! Containers: create, attach, start, wait, look, signal, run something more in, copy, remove.

use std::{
    collections::HashMap,
    io,
    pin::{Pin, pin},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{
    body_stream,
    container::LogOutput,
    exec::StartExecResults,
    models::{
        ContainerCreateBody, EndpointSettings, ExecConfig, HealthConfig, HealthStatusEnum,
        HostConfig, HostConfigLogConfig, Mount as ApiMount, MountType, NetworkingConfig,
    },
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder,
        DownloadFromContainerOptionsBuilder, EventsOptionsBuilder, KillContainerOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

use crate::{Engine, EngineError, engine::gone_is_fine};

/// By how much an engine's clock may differ from ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

/// What is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder or file of the engine's host.
    Host(String),
    /// A volume by name.
    Volume(String),
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Where, absolute.
    pub target: String,
    /// Nobody in the container can write to it.
    pub read_only: bool,
}

/// Limits of a container; absent: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processors, in thousandths.
    pub cpus_milli: Option<u64>,
    /// Memory in bytes, swap included.
    pub memory_bytes: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
    /// `/dev/shm` in bytes.
    pub shm_size_bytes: Option<u64>,
}

/// A container to create. Its logs are not kept by the engine unless [`ContainerSpec::keep_logs`].
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image, by reference or id.
    pub image: String,
    /// Platform such as `linux/arm64`; absent: the image's.
    pub platform: Option<String>,
    /// In place of the image's entrypoint; absent: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments; absent: the image's.
    pub command: Option<Vec<String>>,
    /// `NAME=value`, above the image's own.
    pub environment: Vec<String>,
    /// Folder it begins in; absent: the image's.
    pub working_dir: Option<String>,
    /// User and group; absent: the image's.
    pub user: Option<String>,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// `none`, `host`, `container:ID` or the name of a network; absent: the engine's default.
    pub network: Option<String>,
    /// Further names in that network, which must be one of ours.
    pub aliases: Vec<String>,
    /// Further lines of `/etc/hosts`, as `NAME:ADDRESS`.
    pub hosts: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// How often the image's healthcheck is run, in milliseconds; absent: as the image says.
    pub health_interval_ms: Option<u64>,
    /// The engine keeps what the container writes, for [`Engine::logs`].
    pub keep_logs: bool,
}

/// Which of a container's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a container writes, as it comes.
pub type Output = Pin<Box<dyn Stream<Item = Result<(Channel, Bytes), EngineError>> + Send>>;

/// Health as the engine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The image has no healthcheck.
    None,
    /// Not known yet.
    Starting,
    /// It is.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// It runs.
    pub is_running: bool,
    /// Exit code of its first process; 128 + n where signal n ended it.
    pub exit_code: i64,
    /// The kernel ended a process of it for want of memory. It may live on.
    pub was_out_of_memory: bool,
    /// Why it could not be started; empty if it could.
    pub error: String,
    /// Health.
    pub health: Health,
    /// The healthcheck's command, as the image says; empty: none.
    pub health_command: Vec<String>,
}

impl State {
    fn ended(exit_code: i64) -> Self {
        State {
            is_running: false,
            exit_code,
            was_out_of_memory: false,
            error: String::new(),
            health: Health::None,
            health_command: Vec::new(),
        }
    }
}

/// A command to run in a running container.
#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// User and group; absent: the container's.
    pub user: Option<String>,
}

impl Engine {
    /// Creates a container and returns its id.
    ///
    /// # Errors
    /// See [`EngineError`]: a conflict where the name is taken, not found where the image is missing.
    pub async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::default().name(&spec.name);
        let options = match &spec.platform {
            Some(platform) => options.platform(platform),
            None => options,
        };
        let call = self.docker.create_container(Some(options.build()), body(spec));
        Ok(self.ask("created a container", call).await?.id)
    }

    /// Opens the streams of a container that was not started yet. What comes must be read: a
    /// container whose output nobody takes hangs.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn attach(&self, id: &str) -> Result<Output, EngineError> {
        let options = AttachContainerOptionsBuilder::default();
        let options = options.stream(true).stdout(true).stderr(true).build();
        let call = self.docker.attach_container(id, Some(options));
        let attached = self.ask("attached to a container", call).await?;
        Ok(self.output(attached.output, "read a container's output"))
    }

    fn output(
        &self,
        stream: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
        what: &'static str,
    ) -> Output {
        let engine = self.clone();
        Box::pin(stream.map(move |item| match item {
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => {
                Ok((Channel::Stdout, message))
            }
            Ok(LogOutput::StdErr { message }) => Ok((Channel::Stderr, message)),
            Ok(LogOutput::StdIn { .. }) => Ok((Channel::Stdout, Bytes::new())),
            Err(error) => Err(engine.error(error, what)),
        }))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// See [`EngineError`]; the engine's words say why the command or a mount was refused.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        self.ask("started a container", self.docker.start_container(id, None)).await
    }

    /// Waits until a started container has ended, however long that takes; returns its exit code.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut answers = std::pin::pin!(self.docker.wait_container(id, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            // bollard takes every code but 0 for an error.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(self.error(error, "waited for a container")),
            None => Err(EngineError::Died {
                address: self.address.clone(),
                what: "waited for a container".into(),
                cause: "the connection was closed".into(),
            }),
        }
    }

    /// How a container is.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn inspect(&self, id: &str) -> Result<State, EngineError> {
        let call = self.docker.inspect_container(id, None);
        let found = match self.ask("inspected a container", call).await {
            // Podman's word for one that has ended and is not cleaned up yet.
            Err(EngineError::Strange { message, .. }) if message.contains("`stopped`") => {
                return Ok(State::ended(self.wait(id).await?));
            }
            found => found?,
        };
        let state = found.state.unwrap_or_default();
        let health = match state.health.and_then(|health| health.status) {
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
            _ => Health::None,
        };
        let check = found.config.and_then(|config| config.healthcheck).and_then(|check| check.test);
        Ok(State {
            is_running: state.running.unwrap_or_default(),
            exit_code: state.exit_code.unwrap_or_default(),
            was_out_of_memory: state.oom_killed.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            health,
            health_command: check.unwrap_or_default(),
        })
    }

    /// The container's address in a network, such as `10.88.0.2`.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn address_in(&self, id: &str, network: &str) -> Result<Option<String>, EngineError> {
        let call = self.docker.inspect_container(id, None);
        let found = self.ask("inspected a container", call).await?;
        let networks = found.network_settings.and_then(|settings| settings.networks);
        let endpoint = networks.and_then(|mut networks| networks.remove(network));
        let address = endpoint.and_then(|endpoint| endpoint.ip_address);
        Ok(address.filter(|address| !address.is_empty()))
    }

    /// Sends a signal, such as `KILL`, to a container's first process; fine if it has ended.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn kill(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let call = self.docker.kill_container(id, Some(options));
        match self.ask("signalled a container", call).await {
            Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => Ok(()),
            // Podman's word for one that has ended.
            Err(EngineError::Refused { message, .. }) if message.contains("not running") => Ok(()),
            result => result,
        }
    }

    /// Whether somebody had the engine send a signal to the container, not longer ago than `within`.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn was_signalled(&self, id: &str, within: Duration) -> Result<bool, EngineError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The engine looks at whole seconds, and its clock may be another one.
        let since = now.saturating_sub(within + CLOCKS_DIFFER).as_secs().to_string();
        let filters = HashMap::from([("container", vec![id]), ("event", vec!["kill"])]);
        let options = EventsOptionsBuilder::default().since(&since);
        let options = options.until(&now.as_secs().to_string()).filters(&filters).build();
        let mut events = pin!(self.docker.events(Some(options)));
        self.ask("looked for signals", async { events.next().await.transpose() })
            .await
            .map(|event| event.is_some())
    }

    /// Removes a container, running or not, with its anonymous volumes; fine if it is gone.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let call = self.docker.remove_container(id, Some(options));
        match gone_is_fine(self.ask("removed a container", call).await) {
            // Somebody else is at it.
            Err(EngineError::Conflict { message }) if message.contains("already in progress") => {
                Ok(())
            }
            result => result,
        }
    }

    /// Runs a command in a running container to its end; returns exit code and both streams.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn exec(&self, id: &str, spec: &ExecSpec) -> Result<(i64, Vec<u8>), EngineError> {
        let config = ExecConfig {
            cmd: Some(spec.command.clone()),
            user: spec.user.clone(),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let what = "ran a command in a container";
        let created = self.ask(what, self.docker.create_exec(id, config)).await?;
        let started = self.ask(what, self.docker.start_exec(&created.id, None)).await?;
        let mut text = Vec::new();
        if let StartExecResults::Attached { output, .. } = started {
            let mut output = self.output(output, what);
            while let Some((_, bytes)) = output.try_next().await? {
                text.extend_from_slice(&bytes);
            }
        }
        let ended = self.ask(what, self.docker.inspect_exec(&created.id)).await?;
        Ok((ended.exit_code.unwrap_or_default(), text))
    }

    /// The last `lines` lines that a container wrote whose logs are kept.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn logs(&self, id: &str, lines: usize) -> Result<Vec<u8>, EngineError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true);
        let options = options.tail(&lines.to_string()).build();
        let stream = self.docker.logs(id, Some(options));
        let mut text = Vec::new();
        let mut output = std::pin::pin!(stream);
        while let Some(part) = output.next().await {
            let part = part.map_err(|error| self.error(error, "read a container's logs"))?;
            text.extend_from_slice(&part.into_bytes());
        }
        Ok(text)
    }

    /// Unpacks a tar archive in a folder of a container, running or not.
    ///
    /// # Errors
    /// See [`EngineError`]; not found where the folder is missing.
    pub async fn upload(
        &self,
        id: &str,
        folder: &str,
        archive: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let call = self.docker.upload_to_container(id, Some(options), body_stream(archive));
        call.await.map_err(|error| self.error(error, "copied files into a container"))
    }

    /// A file or folder of a container, running or not, as a tar archive whose names begin with
    /// the last part of `path`.
    ///
    /// # Errors
    /// The stream's items: not found where there is no such file.
    pub fn download(
        &self,
        id: &str,
        path: &str,
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + use<> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let engine = self.clone();
        let stream = self.docker.download_from_container(id, Some(options));
        stream.map_err(move |error| match engine.error(error, "copied files out of a container") {
            error @ EngineError::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            error => io::Error::other(error),
        })
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let logs = if spec.keep_logs { None } else { Some("none") };
    let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    let Limits { cpus_milli, memory_bytes, pids, shm_size_bytes } = spec.limits;
    let host_config = HostConfig {
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        network_mode: spec.network.clone(),
        log_config: logs.map(|driver| HostConfigLogConfig {
            typ: Some(driver.into()),
            config: Some(HashMap::new()),
        }),
        nano_cpus: signed(cpus_milli).map(|milli| milli.saturating_mul(1_000_000)),
        memory: signed(memory_bytes),
        // Equal to `memory`: no swap on top of it.
        memory_swap: signed(memory_bytes),
        pids_limit: signed(pids),
        extra_hosts: Some(spec.hosts.clone()).filter(|hosts| !hosts.is_empty()),
        shm_size: signed(shm_size_bytes),
        ..HostConfig::default()
    };
    let endpoint =
        EndpointSettings { aliases: Some(spec.aliases.clone()), ..EndpointSettings::default() };
    let networking = spec.network.clone().filter(|_| !spec.aliases.is_empty());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(spec.environment.clone()),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        labels: Some(spec.labels.clone()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: spec.health_interval_ms.map(|ms| HealthConfig {
            interval: Some(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)),
            ..HealthConfig::default()
        }),
        networking_config: networking.map(|network| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint)])),
        }),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn mount(mount: &Mount) -> ApiMount {
    let (typ, source) = match &mount.source {
        Source::Host(path) => (MountType::BIND, path),
        Source::Volume(name) => (MountType::VOLUME, name),
    };
    ApiMount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..ApiMount::default()
    }
}
