//! How containers get their workspace, from flags, environment and configuration.

use clap::{Args, ValueEnum};
use libloom_contract::env;
use libloom_entry::{Context, Failure};

/// How a job's container gets the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Mount {
    /// The workspace itself is mounted: what the job writes is there at once
    BindMount,
    /// A volume that holds what the workspace holds, removed after the job
    #[default]
    EphemeralVolume,
}

/// What of an ephemeral volume comes back into the run's workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Sync {
    /// Nothing; artifacts still reach the logs tree
    None,
    /// Declared artifacts
    #[default]
    Declared,
    /// Every change
    Full,
}

/// How an ephemeral volume gets its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Seed {
    /// The quickest way that works here.
    #[default]
    Auto,
    /// The volume lies over the workspace, which stays as it is.
    Overlay,
    /// A helper container copies the workspace.
    Copy,
    /// The workspace is sent to the engine.
    Upload,
}

/// The flags.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DockerArgs {
    /// How Docker jobs get their workspace [default: ephemeral_volume]
    #[arg(long, value_name = "MODE")]
    docker_workspace_mount: Option<Mount>,

    /// What of an ephemeral volume comes back into the run's workspace [default: declared]
    #[arg(long, value_name = "WHAT")]
    docker_workspace_sync: Option<Sync>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How a container gets the workspace.
    pub mount: Mount,
    /// What comes back.
    pub sync: Sync,
    /// How a volume gets its files.
    pub seed: Seed,
}

impl Options {
    /// Flag, then environment, then configuration, then default.
    ///
    /// # Errors
    /// A value that means nothing.
    pub fn of(
        args: DockerArgs,
        configured: &libloom_config::Settings,
        context: &Context,
    ) -> Result<Self, Failure> {
        let mount = in_environment(env::DOCKER_WORKSPACE_MOUNT, context)?;
        let sync = in_environment(env::DOCKER_WORKSPACE_SYNC, context)?;
        let configured_mount = in_config(
            "runtime.docker.workspaceMount",
            configured.docker_workspace_mount.as_deref(),
        )?;
        let configured_sync =
            in_config("runtime.docker.workspaceSync", configured.docker_workspace_sync.as_deref())?;
        Ok(Options {
            mount: args.docker_workspace_mount.or(mount).or(configured_mount).unwrap_or_default(),
            sync: args.docker_workspace_sync.or(sync).or(configured_sync).unwrap_or_default(),
            seed: in_environment(env::DOCKER_VOLUME_SEED, context)?.unwrap_or_default(),
        })
    }
}

fn in_environment<T: ValueEnum>(name: &str, context: &Context) -> Result<Option<T>, Failure> {
    let value = context.env.get(name).map(|value| value.to_string_lossy().into_owned());
    meant(name, value.as_deref().filter(|value| !value.is_empty()))
}

fn in_config<T: ValueEnum>(key: &str, value: Option<&str>) -> Result<Option<T>, Failure> {
    meant(key, value)
}

fn meant<T: ValueEnum>(name: &str, value: Option<&str>) -> Result<Option<T>, Failure> {
    let Some(value) = value else { return Ok(None) };
    T::from_str(value, false).map(Some).map_err(|_| {
        let known: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
            .collect();
        Failure::could_not(format!("`{name}` is `{value}`, which means nothing"))
            .hint(format!("it may be {}", known.join(", ")))
    })
}
