//! The job that is meant, as its run decided it: rules and values from the command line applied
//! again to the recorded graph.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libloom_contract::{
    graph::{Graph, Node, Provider},
    layout::{self, RunLayout},
    logs::JobManifest,
    reports::DotenvDocument,
    store,
};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_rules::{Globs, Setting};
use libloom_variables::{Handed, JobEnvironment, Override, Predefined, job_environment};

use crate::place::Place;

/// Jobs that an error names.
const NAMED_MAX: usize = 20;

/// A job and what its steps found around themselves.
#[derive(Debug)]
pub struct Job {
    /// What the graph says of it.
    pub node: Node,
    /// Folder its steps began in.
    pub workspace: PathBuf,
    /// Its variables.
    pub environment: JobEnvironment,
}

/// Finds the job by its id or by what people see of it.
///
/// # Errors
/// There is no such job, it does not run on the host, or its graph cannot be read or decided.
pub fn find(place: &Place, name: &str, context: &Context) -> Result<Job, Failure> {
    let mut graph = graph(place)?;
    let is_meant = |node: &Node| node.id == name || node.label == name;
    let Some(number) = graph.nodes.iter().position(is_meant) else {
        return Err(no_such_job(&graph, name, &place.receipt.run_id));
    };
    if graph.nodes[number].provider == Provider::Docker {
        let error = format!("job `{name}` runs in a container, and this shell is on the host only");
        let hint = format!("its workspace is `{}`", place.workspace.display());
        return Err(Failure::could_not(error).hint(hint));
    }
    let workspace = workspace_of(place, &graph.nodes[number]);
    let overrides = overrides(place, context);
    apply(place, &mut graph, &overrides, context)?;
    let handed = handed(place, &graph, context);
    let node = graph.nodes.swap_remove(number);
    let node = handed.give(&node, &graph.stages, &overrides).unwrap_or(node);
    let predefined = Facts::of(place).predefined(&workspace).of_job(&node);
    let environment = job_environment(context.env.iter(), &predefined, &node);
    Ok(Job { node, workspace, environment })
}

fn graph(place: &Place) -> Result<Graph, Failure> {
    let run_id = &place.receipt.run_id;
    let path = place.receipt.graph_ir.as_ref().and_then(|graph| graph.path.as_ref());
    let path = path.ok_or_else(|| {
        Failure::could_not(format!("run `{run_id}` left no graph"))
            .hint("start a new run: `loom run`")
    })?;
    store::read(Path::new(path)).or_could_not(format_args!("cannot read the graph of `{run_id}`"))
}

fn no_such_job(graph: &Graph, name: &str, run_id: &str) -> Failure {
    let names: Vec<&str> =
        graph.nodes.iter().take(NAMED_MAX).map(|node| node.id.as_str()).collect();
    let more = if graph.nodes.len() > NAMED_MAX { ", …" } else { "" };
    Failure::could_not(format!("no job `{name}` in run `{run_id}`"))
        .hint(format!("its jobs are {}{more}", names.join(", ")))
}

/// With `--isolate-jobs` a job that failed has a copy of its own.
fn workspace_of(place: &Place, node: &Node) -> PathBuf {
    let own = place.workspace.with_file_name(format!("{}-{}", place.snapshot.id, node.id));
    if own.is_dir() { own } else { place.workspace.clone() }
}

/// What predefined variables are made of.
struct Facts<'a> {
    place: &'a Place,
    workflow: String,
}

impl<'a> Facts<'a> {
    fn of(place: &'a Place) -> Self {
        let receipt = &place.receipt;
        let workflow = Path::new(&receipt.workflow_path);
        let workflow = workflow.strip_prefix(&receipt.repo_root).unwrap_or(workflow);
        Facts { place, workflow: workflow.to_string_lossy().into_owned() }
    }

    fn predefined(&'a self, workspace: &'a Path) -> Predefined<'a> {
        let root = Path::new(&self.place.receipt.repo_root);
        Predefined {
            run_id: &self.place.receipt.run_id,
            pipeline_id: &self.place.pipeline_id,
            workflow_path: &self.workflow,
            project_name: root.file_name().unwrap_or_default().to_string_lossy(),
            workspace,
            facts: &self.place.snapshot.facts,
        }
    }
}

/// Gives the jobs what rules and command line gave them.
fn apply(
    place: &Place,
    graph: &mut Graph,
    overrides: &[Override],
    context: &Context,
) -> Result<(), Failure> {
    let facts = Facts::of(place);
    let changed = place.snapshot.facts.changed.as_ref();
    let changed: Option<Vec<String>> =
        changed.map(|paths| paths.iter().map(|path| path.path.clone()).collect());
    let setting = Setting {
        predefined: facts.predefined(&place.workspace),
        overrides,
        host: &|name| context.env.get(name).map(|value| value.to_string_lossy().into_owned()),
        changed: changed.as_deref(),
        exists: &|globs| first_match(&place.workspace, globs),
    };
    libloom_rules::apply(graph, &setting).map(drop).map_err(Failure::could_not)
}

/// Variables that jobs of the run, or of one that it went on from, left for later ones.
fn handed(place: &Place, graph: &Graph, context: &Context) -> Handed {
    let handed = Handed::default();
    let run = RunLayout::at(PathBuf::from(&place.receipt.logs_dir));
    for node in &graph.nodes {
        let own = run.job(&node.id);
        let manifest = store::read::<JobManifest>(&own.manifest()).ok();
        let earlier = manifest
            .and_then(|manifest| manifest.finished_in)
            .map(|run_id| RunLayout::at(run.folder().with_file_name(run_id)).job(&node.id));
        let left = store::read::<DotenvDocument>(&earlier.unwrap_or(own).dotenv());
        let hidden = left.map(|left| handed.take_over(node, left.variables)).unwrap_or_default();
        for name in hidden {
            context.console.note(format_args!(
                "left out: `{name}` of job `{}` held a secret and was not recorded",
                node.id
            ));
        }
    }
    handed
}

/// The values of `--env-file` and `--var` of the recorded command line, the lowest first.
fn overrides(place: &Place, context: &Context) -> Vec<Override> {
    let command = &place.receipt.command;
    let mut found = Vec::new();
    for file in values_of(command, "--env-file") {
        // Where the run was started is not recorded; most start at the top.
        let folders = [Path::new(&place.receipt.repo_root), &context.cwd];
        let texts = folders.iter().map(|folder| fs::read_to_string(folder.join(file)));
        let read = texts
            .filter_map(Result::ok)
            .find_map(|text| libloom_variables::dotenv(&text, file).ok());
        match read {
            Some(variables) => found.extend(variables),
            None => context.console.warn(format_args!(
                "the variables of `{file}` are missing: the file is not there or cannot be read"
            )),
        }
    }
    let assigned = values_of(command, "--var");
    found.extend(assigned.filter_map(|text| libloom_variables::assignment(text).ok()));
    found
}

/// What follows `option` in a command line, each time it is there.
fn values_of<'a>(command: &'a [String], option: &'a str) -> impl Iterator<Item = &'a str> {
    let own = command.iter().position(|word| word == "--").map_or(command, |end| &command[..end]);
    own.iter().enumerate().filter_map(move |(at, word)| match word.strip_prefix(option)? {
        "" => own.get(at + 1).map(String::as_str),
        value => value.strip_prefix('='),
    })
}

/// A file of the workspace, as it is now, that matches.
fn first_match(workspace: &Path, globs: &Globs) -> Option<String> {
    let mut folders = vec![workspace.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(workspace).ok()?.to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let own = relative == ".git" || relative == layout::RUNTIME;
                folders.extend((!own).then_some(path));
            } else if globs.matches(&relative) {
                return Some(relative);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_an_option_are_found_in_both_forms() {
        let words = ["loom-run", "--var", "A=1", "--var=B=2", "--variant", "--", "--var=C=3"];
        let command = words.map(str::to_owned);
        assert_eq!(values_of(&command, "--var").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(values_of(&command, "--env-file").count(), 0);
    }
}
