//! Every environment variable that Loom reads or sets, declared once.
//!
//! Constants only: reading happens in `libloom-entry`, setting where a process is started.

// --- set by the dispatcher for the command it starts ---

/// Absolute path of the `loom` dispatcher that started this command.
pub const LOOM: &str = "LOOM";
/// Version of the dispatcher that started this command.
pub const VERSION: &str = "LOOM_VERSION";
/// Absolute path of the repository's top folder; set for foreign commands where there is one.
pub const REPO_ROOT: &str = "LOOM_REPO_ROOT";
/// Absolute path of `.loom/.runtime`; set for foreign commands where there is a repository.
pub const RUNTIME_DIR: &str = "LOOM_RUNTIME_DIR";

// --- defaults of the options that every command shares ---

/// `auto`, `always` or `never`: default of `--color`.
pub const COLOR: &str = "LOOM_COLOR";
/// Not empty and not `0`: as if `-q` were given.
pub const QUIET: &str = "LOOM_QUIET";
/// Not empty and not `0`: as if `-v` were given.
pub const VERBOSE: &str = "LOOM_VERBOSE";
/// Not empty: no colour, whatever the terminal can do (see no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";
/// Not empty and not `0`: colour even without a terminal (see bixense.com/clicolors).
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";

// --- read as settings ---

/// Folder in which workspaces are made, in place of the OS temp folder.
pub const SNAPSHOT_DIR: &str = "LOOM_SNAPSHOT_DIR";
/// `bind_mount` or `ephemeral_volume`: how a Docker job gets its workspace.
pub const DOCKER_WORKSPACE_MOUNT: &str = "LOOM_DOCKER_WORKSPACE_MOUNT";
/// `none`, `declared` or `full`: what of an ephemeral volume comes back.
pub const DOCKER_WORKSPACE_SYNC: &str = "LOOM_DOCKER_WORKSPACE_SYNC";
/// `auto`, `overlay`, `copy` or `upload`: how an ephemeral volume gets its files.
pub const DOCKER_VOLUME_SEED: &str = "LOOM_DOCKER_VOLUME_SEED";
/// `1|true|yes|on`: run job shells as `sh -x -c`.
pub const DEBUG_TRACE: &str = "LOOM_DEBUG_TRACE";
/// The same as [`DEBUG_TRACE`], under the name other CI systems use.
pub const CI_DEBUG_TRACE: &str = "CI_DEBUG_TRACE";

// --- read to find the Docker engine, as the docker CLI reads them ---

/// Address of the engine, such as `unix:///var/run/docker.sock` or `ssh://me@host`.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Name of the Docker context in use; [`DOCKER_HOST`] wins.
pub const DOCKER_CONTEXT: &str = "DOCKER_CONTEXT";
/// Folder of Docker's configuration, in place of `~/.docker`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Not empty: an engine at a TCP address is talked to in TLS.
pub const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// Folder of `ca.pem`, `cert.pem` and `key.pem`, in place of [`DOCKER_CONFIG`].
pub const DOCKER_CERT_PATH: &str = "DOCKER_CERT_PATH";

// --- set in every job ---

/// Always `true` in a job.
pub const CI: &str = "CI";
/// Always `true` in a job.
pub const LOOM_CI: &str = "LOOM_CI";
/// Id of the run a job belongs to; also how survivors of a killed run are recognised.
pub const RUN_ID: &str = "LOOM_RUN_ID";
/// Id of the pipeline a job belongs to.
pub const PIPELINE_ID: &str = "LOOM_PIPELINE_ID";
/// Path of the workflow file, relative to the repository root.
pub const WORKFLOW_PATH: &str = "LOOM_WORKFLOW_PATH";
/// Id of the job.
pub const JOB_ID: &str = "LOOM_JOB_ID";
/// The same as [`JOB_ID`].
pub const JOB_NAME: &str = "LOOM_JOB_NAME";
/// Stage of the job.
pub const JOB_STAGE: &str = "LOOM_JOB_STAGE";
/// Target platform of the job.
pub const JOB_TARGET: &str = "LOOM_JOB_TARGET";
/// Image of the job; absent for host jobs.
pub const JOB_IMAGE: &str = "LOOM_JOB_IMAGE";
/// `host` or `docker`.
pub const PROVIDER: &str = "LOOM_PROVIDER";
/// Top folder of the isolated workspace as the job sees it.
pub const PROJECT_DIR: &str = "LOOM_PROJECT_DIR";
