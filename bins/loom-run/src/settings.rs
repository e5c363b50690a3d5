//! What the command line and the environment make of a run, before it begins.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use libloom_contract::{
    Timestamp,
    layout::{self, DEFAULT_WORKFLOW, Layout},
};
use libloom_engine::Surroundings;
use libloom_entry::{Context, Failure, OrFail as _, is_executable, normalized};
use libloom_record::phases::PhaseLedger;
use libloom_variables::{Handed, Override};

use crate::{
    Args,
    again::Earlier,
    cancel::Cancel,
    display::Display,
    processes::Registry,
    providers::docker::{Docker, options::Options},
    run::Run,
    slots::Slots,
    steps::JOB_OUTPUT_BYTES_MAX,
};

/// What a run is made of.
#[derive(Debug)]
pub struct Settings {
    /// The command line.
    pub args: Args,
    /// Top folder of the repository.
    pub root: PathBuf,
    /// Workflow file, relative to it.
    workflow: String,
    configured: libloom_config::Settings,
    overrides: Vec<Override>,
    docker: Options,
    earlier: Option<Earlier>,
}

impl Settings {
    /// Reads what the arguments point to.
    ///
    /// # Errors
    /// No repository, a workflow outside of it, a file of variables or an earlier run that cannot
    /// be read.
    pub fn of(args: Args, context: &Context) -> Result<Self, Failure> {
        let root = context.repository_root()?;
        let earlier = Earlier::find(&args.again, &Layout::of_repository(&root))?;
        let known = earlier.as_ref().map(|run| run.workflow.as_path());
        let workflow = workflow_in(&root, &context.cwd, args.workflow.as_deref().or(known))?;
        let configured = configured(&root, context)?;
        let overrides = overrides(&args, &context.cwd)?;
        let docker = Options::of(args.docker, &configured, context)?;
        Ok(Settings { args, root, workflow, configured, overrides, docker, earlier })
    }

    /// The run that begins at this time.
    pub fn into_run(self, started_at: Timestamp, cancel: Cancel, context: &Context) -> Run {
        let args = self.args;
        let layout = Layout::of_repository(&self.root);
        let id = layout::run_id(started_at);
        let jobs = args.jobs.map_or_else(processors, usize::from);
        Run {
            pipeline_id: layout::pipeline_id(started_at),
            started_at,
            started: Instant::now(),
            workflow: self.workflow,
            command: context.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            inherited: context.env.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            temp: context.env.temp_folder(),
            overrides: self.overrides,
            shell: find_shell(context),
            grace: Duration::from_secs(args.grace.into()),
            jobs,
            slots: Slots::new(jobs),
            output_bytes_max: self.configured.output_max_bytes.unwrap_or(JOB_OUTPUT_BYTES_MAX),
            logs: layout.run(&id),
            layout,
            display: Display::new(context.console.clone(), args.stream),
            docker: Docker::new(self.docker, surroundings(context), cancel.clone()),
            cancel,
            registry: Registry::default(),
            ledger: Mutex::new(PhaseLedger::new()),
            snapshot_options: snapshot_options(&args),
            changes_base: args.changes_base,
            wanted: args.selection,
            earlier: self.earlier,
            fail_fast: args.fail_fast,
            isolate: args.isolate_jobs,
            snapshot: OnceLock::new(),
            facts: OnceLock::new(),
            redactor: OnceLock::new(),
            handed: Handed::default(),
            repo_root: self.root,
            id,
        }
    }
}

/// The workflow file, relative to the repository root.
fn workflow_in(root: &Path, cwd: &Path, wanted: Option<&Path>) -> Result<String, Failure> {
    let Some(wanted) = wanted else { return Ok(DEFAULT_WORKFLOW.into()) };
    let written = normalized(&cwd.join(wanted));
    // Through a symlink the path may be written otherwise than the root's.
    let real = written.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let real = real.zip(written.file_name()).map(|(folder, name)| folder.join(name));
    let within = |path: &PathBuf| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let inside = within(&written).or_else(|| within(&real?));
    inside.ok_or_else(|| {
        let error = format!(
            "workflow `{}` is outside the repository `{}`",
            wanted.display(),
            root.display()
        );
        Failure::could_not(error).hint("a workflow must lie in the repository it is run for")
    })
}

/// What the configuration files of the repository and of the user say.
fn configured(root: &Path, context: &Context) -> Result<libloom_config::Settings, Failure> {
    let files = libloom_config::files(Some(root), context.env.config_home().as_deref());
    libloom_config::Settings::read(&files, context.env.home().as_deref())
        .map_err(|error| Failure::could_not(error).hint("mend the configuration file"))
}

/// What the command line says of variables, the lowest first.
fn overrides(args: &Args, cwd: &Path) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::new();
    for file in &args.env_file {
        let shown = file.display().to_string();
        let what = format!("cannot read the variables of `{shown}`");
        let text = fs::read_to_string(cwd.join(file)).or_could_not(&what)?;
        let found = libloom_variables::dotenv(&text, &shown)
            .map_err(|error| Failure::could_not(format!("{shown}:{error}")).context(&what))?;
        overrides.extend(found);
    }
    overrides.extend(args.vars.iter().cloned());
    Ok(overrides)
}

/// What of the options is for `loom-snapshot create`.
fn snapshot_options(args: &Args) -> Vec<OsString> {
    let globs = args.include_ignored.iter().map(|glob| format!("--include-ignored={glob}").into());
    globs.chain(args.no_untracked.then(|| "--no-untracked".into())).collect()
}

/// What of the environment says where an engine is, and how to talk to it.
fn surroundings(context: &Context) -> Surroundings {
    Surroundings::of(|name| context.env.get(name))
}

fn find_shell(context: &Context) -> PathBuf {
    let candidates = context.env.path_folders().into_iter().map(|folder| folder.join("sh"));
    candidates.into_iter().find(|path| is_executable(path)).unwrap_or_default()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
