//! From a repository to what can be executed: the graph and the workspace.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Reason,
    diagnostic::Diagnostic,
    graph::{Graph, Node, Provider, Rule},
    reports::DotenvDocument,
    snapshot::{Facts, Snapshot},
    store,
};
use libloom_entry::Siblings;
use sha2::{Digest as _, Sha256};

use crate::{
    again::{self, Earlier},
    child::{self, Call, ChildError},
    rules::{self, Decided},
    run::Run,
    schedule::Start,
    secrets,
    selection::Selection,
};

/// Why there is no pipeline.
#[derive(Debug)]
pub struct Trouble {
    /// What kind of trouble.
    pub reason: Reason,
    /// The error and its causes, one a line.
    pub error: String,
    /// How to mend it.
    pub hints: Vec<String>,
    /// Exit code of the run.
    pub exit_code: u8,
    /// What is wrong with the workflow, each with its rendering for people.
    pub diagnostics: Vec<(Diagnostic, String)>,
}

impl Trouble {
    fn new(reason: Reason, error: impl Into<String>) -> Self {
        Trouble {
            reason,
            error: error.into(),
            hints: Vec::new(),
            exit_code: libloom_contract::exit::COULD_NOT,
            diagnostics: Vec::new(),
        }
    }

    fn of_child(run: &Run, reason: Reason, error: ChildError) -> Self {
        let text = in_lines(&error);
        match error {
            ChildError::Invalid { diagnostics } => Trouble {
                exit_code: libloom_contract::exit::NO,
                diagnostics,
                ..Trouble::new(Reason::WorkflowInvalid, text)
            },
            ChildError::Refused { hints, exit_code, .. } => {
                let exit_code =
                    u8::try_from(exit_code).unwrap_or(libloom_contract::exit::COULD_NOT);
                Trouble { hints, exit_code, ..Trouble::new(reason, text) }
            }
            ChildError::Cancelled => Trouble {
                exit_code: run.cancel.cause().map_or(1, crate::cancel::Cause::exit_code),
                ..Trouble::new(run.cancel_reason(), run.cancel_message())
            },
            ChildError::Start { .. } | ChildError::Silent { .. } | ChildError::Strange { .. } => {
                Trouble::new(reason, text)
            }
        }
    }
}

/// An error and its causes, one a line.
fn in_lines(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a run is going to execute.
#[derive(Debug)]
pub struct Plan {
    /// The jobs, with what rules gave them.
    pub graph: Graph,
    /// How each of them starts.
    pub starts: Vec<Start>,
}

/// Compiles the workflow, makes the workspace (compiling again what changed in between), applies
/// the rules to it, and chooses the jobs.
///
/// # Errors
/// The workflow is invalid, the shell is missing, the workspace cannot be made; then none is left.
pub fn plan(run: &Run, siblings: &Siblings) -> Result<Plan, Trouble> {
    let graph = compile(run, siblings, &run.repo_root)?;
    run.display.graph(&graph);
    // What cannot be meant is refused before anything is copied.
    select(run, &graph)?;
    require_shell(run, &graph)?;
    prepare_engine(run, &graph)?;
    make_workspace(run, siblings, rules_ask_for_changes(&graph))?;
    let graph = compile_again_if_changed(run, siblings, graph)?;
    let selection = select(run, &graph)?;
    secrets::hide_all(run, &graph);
    let plan = decide(run, graph, selection, || rules::files_of(run))?;
    restore_finished(run, &plan.graph)?;
    hand_on_variables(run, &plan.graph);
    Ok(plan)
}

/// Pulls images while the workspace is made.
fn prepare_engine(run: &Run, graph: &Graph) -> Result<(), Trouble> {
    let nodes: Vec<&Node> =
        graph.nodes.iter().filter(|node| node.provider == Provider::Docker).collect();
    if nodes.is_empty() {
        return Ok(());
    }
    run.docker.announce(run).map_err(|error| Trouble::new(Reason::LoomError, in_lines(&error)))?;
    run.docker.begin(&nodes).map_err(|error| Trouble::new(Reason::LoomError, error.to_string()))
}

/// What [`plan`] would come to, of the repository as it is: nothing is copied.
///
/// # Errors
/// The workflow is invalid, or the state of the repository is unknown.
pub fn plan_without_copy(run: &Run, siblings: &Siblings) -> Result<Plan, Trouble> {
    let graph = compile(run, siblings, &run.repo_root)?;
    let selection = select(run, &graph)?;
    let facts = facts(run, siblings, &graph)?;
    let facts = run.facts.get_or_init(|| facts);
    let files = || facts.files.iter().flatten().map(|file| file.path.clone()).collect();
    decide(run, graph, selection, files)
}

/// Has rules and names decide.
fn decide(
    run: &Run,
    graph: Graph,
    selection: Selection,
    files: impl Fn() -> Vec<String>,
) -> Result<Plan, Trouble> {
    let decided = rules::apply(run, graph, files);
    let Decided { graph, left } =
        decided.map_err(|error| Trouble::new(Reason::Rules, in_lines(&error)))?;
    let starts = selection.starts(&graph, left);
    Ok(Plan { graph, starts })
}

fn select(run: &Run, graph: &Graph) -> Result<Selection, Trouble> {
    Selection::of(graph, &run.wanted, run.earlier.as_ref()).map_err(|error| Trouble {
        exit_code: libloom_contract::exit::USAGE,
        hints: vec![error.hint()],
        ..Trouble::new(Reason::NotSelected, error.to_string())
    })
}

/// Puts the artifacts of jobs that an earlier run has finished into the workspace. Its own
/// workspace has what they left; where every job has one of its own, they go there.
fn restore_finished(run: &Run, graph: &Graph) -> Result<(), Trouble> {
    let Some(earlier) = run.earlier.as_ref().filter(|earlier| earlier.snapshot().is_none()) else {
        return Ok(());
    };
    let finished =
        graph.nodes.iter().filter_map(|node| Some((node, earlier.finished_in(&node.id)?)));
    for (node, run_id) in finished.filter(|_| !run.isolate) {
        let job = run.layout.run(run_id).job(&node.id);
        let trouble = |what: String| Trouble {
            hints: vec!["start a new run: `loom run`".into()],
            ..Trouble::new(Reason::SnapshotFailed, what)
        };
        let of = format!("job `{}`, which succeeded in run `{run_id}`", node.id);
        if !job.folder().is_dir() {
            return Err(trouble(format!("the record of {of}, is not there any more")));
        }
        libloom_archive::restore(&job, run.workspace()).map_err(|error| {
            trouble(format!("cannot restore the artifacts of {of}\n{}", in_lines(&error)))
        })?;
    }
    Ok(())
}

/// Jobs that an earlier run has finished have left variables for those that follow.
fn hand_on_variables(run: &Run, graph: &Graph) {
    let Some(earlier) = &run.earlier else { return };
    for node in &graph.nodes {
        let Some(run_id) = earlier.finished_in(&node.id) else { continue };
        let path = run.layout.run(run_id).job(&node.id).dotenv();
        let Ok(left) = store::read::<DotenvDocument>(&path) else { continue };
        let hidden = run.handed.take_over(node, left.variables);
        if !hidden.is_empty() {
            let names = hidden.join("`, `");
            run.display.note(format_args!(
                "`{names}` of job `{}` held a secret and was not recorded: jobs run without it",
                node.id
            ));
        }
    }
}

fn compile_again_if_changed(
    run: &Run,
    siblings: &Siblings,
    graph: Graph,
) -> Result<Graph, Trouble> {
    if sources_are_unchanged(&graph, run.workspace()) {
        return Ok(graph);
    }
    run.display.note("the workflow changed while it was being copied: compiled again");
    let graph = compile(run, siblings, run.workspace())?;
    require_shell(run, &graph)?;
    Ok(graph)
}

fn rules_ask_for_changes(graph: &Graph) -> bool {
    rules_of(graph).any(|rule| rule.changes.is_some())
}

fn rules_of(graph: &Graph) -> impl Iterator<Item = &Rule> {
    graph.workflow_rules.iter().chain(graph.nodes.iter().flat_map(|node| &node.rules))
}

/// The state of the repository, as far as rules ask for it.
fn facts(run: &Run, siblings: &Siblings, graph: &Graph) -> Result<Facts, Trouble> {
    let mut arguments: Vec<OsString> = vec!["facts".into(), "--json".into()];
    arguments.extend(changes(run, graph));
    let of_files = rules_of(graph).any(|rule| rule.exists.is_some());
    arguments.extend(of_files.then(|| "--files".into()));
    let call =
        Call { program: find(siblings, "loom-snapshot")?, arguments, folder: &run.repo_root };
    child::output(&call)
        .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other))
        .map_err(|error| {
            let text = format!("cannot learn the state of the repository\n{error}");
            Trouble::new(Reason::SnapshotFailed, text)
        })
}

/// How `loom-snapshot` is asked for changed paths, where rules want them.
fn changes(run: &Run, graph: &Graph) -> Vec<OsString> {
    match (&run.changes_base, rules_ask_for_changes(graph)) {
        (Some(base), _) => vec!["--changes-base".into(), base.into()],
        (None, true) => vec!["--changed".into()],
        (None, false) => Vec::new(),
    }
}

/// Makes the workspace, unless there is one already; `changed`: finds out which paths changed
/// since the default branch was left, too.
///
/// # Errors
/// It cannot be made; then nothing of it is left.
pub fn make_workspace(run: &Run, siblings: &Siblings, changed: bool) -> Result<(), Trouble> {
    if run.snapshot.get().is_some() {
        return Ok(());
    }
    let snapshot = match run.earlier.as_ref().and_then(Earlier::snapshot) {
        Some(snapshot) => in_place(run, snapshot)?,
        None => snapshot(run, siblings, changed)?,
    };
    for note in &snapshot.notes {
        run.display.note(note);
    }
    run.display.workspace(&snapshot);
    // Nobody else sets it: jobs have not begun.
    let _ = run.snapshot.set(snapshot);
    Ok(())
}

/// The workspace of an earlier run becomes this one's too.
fn in_place(run: &Run, snapshot: &Snapshot) -> Result<Snapshot, Trouble> {
    let linked = again::link_run(&run.layout, &run.id, Path::new(&snapshot.path));
    linked.map_err(|error| {
        let text = format!("cannot link the run into `{}`\n{error}", snapshot.path);
        Trouble::new(Reason::SnapshotFailed, text)
    })?;
    Ok(Snapshot { notes: Vec::new(), ..snapshot.clone() })
}

fn compile(run: &Run, siblings: &Siblings, folder: &Path) -> Result<Graph, Trouble> {
    let arguments = ["--events", "--workflow", &run.workflow].map(Into::into).to_vec();
    let call = Call { program: find(siblings, "loom-compile")?, arguments, folder };
    run.display.work("compiling the workflow");
    child::document(&call, &run.cancel, |_| {})
        .map_err(|error| Trouble::of_child(run, Reason::WorkflowInvalid, error))
}

fn snapshot(run: &Run, siblings: &Siblings, changed: bool) -> Result<Snapshot, Trouble> {
    let mut arguments = ["create", "--events", "--run-id", &run.id].map(Into::into).to_vec();
    match &run.changes_base {
        Some(base) => arguments.extend(["--changes-base".into(), base.into()]),
        None => arguments.extend(changed.then(|| "--changed".into())),
    }
    arguments.extend(run.snapshot_options.iter().cloned());
    let call =
        Call { program: find(siblings, "loom-snapshot")?, arguments, folder: &run.repo_root };
    run.display.work("copying the repository");
    child::document(&call, &run.cancel, |message| run.display.heard(message))
        .map_err(|error| Trouble::of_child(run, Reason::SnapshotFailed, error))
}

fn find(siblings: &Siblings, name: &str) -> Result<PathBuf, Trouble> {
    siblings.find(name).map_err(|error| {
        let hint = format!("install `{name}` beside `loom-run`: the commands belong together");
        Trouble { hints: vec![hint], ..Trouble::new(Reason::LoomError, in_lines(&error)) }
    })
}

fn require_shell(run: &Run, graph: &Graph) -> Result<(), Trouble> {
    let wants_shell = graph.nodes.iter().any(|node| node.provider == Provider::Host);
    if !wants_shell || !run.shell.as_os_str().is_empty() {
        return Ok(());
    }
    let mut trouble = Trouble::new(Reason::ProviderUnavailable, "shell \"sh\" not found in PATH");
    trouble.hints.push("install a POSIX shell, or add the folder that holds `sh` to PATH".into());
    Err(trouble)
}

/// Whether the workspace holds the very files the graph was compiled from. One that git ignores
/// is not in the workspace at all; then what was compiled stands.
fn sources_are_unchanged(graph: &Graph, workspace: &Path) -> bool {
    graph.sources.iter().all(|source| match fs::read(workspace.join(&source.path)) {
        Ok(bytes) => sha256(&bytes) == source.sha256,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
