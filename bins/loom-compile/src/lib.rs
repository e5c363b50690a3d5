//! `loom compile`: resolves a workflow into the Graph IR and prints it.
//!
//! The graph goes to stdout (or `--out`) and is recorded under `.loom/.runtime/graphs`; what is
//! wrong with the workflow goes to stderr. With `--events` everything is told on stdout, one JSON
//! record a line, for the command that started this one.

mod draw;
mod evaluate;
mod events;
mod explain;
mod reasons;
mod record;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use libloom_contract::exit;
use libloom_contract::graph::Graph;
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_workflow::{Compiled, Located};
use serde::Serialize;

/// Resolves a workflow into its graph and prints it
#[derive(Parser, Debug)]
#[command(name = "loom-compile", about = "Resolves a workflow into its graph and prints it")]
pub struct Arguments {
    /// Workflow file, relative to the current folder or the repository [default: .loom/workflow.yml]
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Write the graph to a file instead of stdout
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    out: Option<PathBuf>,
    /// Form of what is printed [default: json; with --evaluate: text]
    #[arg(long, value_name = "FORM", conflicts_with = "events")]
    format: Option<Format>,
    /// Say for each value of a job (or of one KEY of it) where it comes from and what it overrode
    #[arg(long, value_name = "JOB[.KEY]", conflicts_with_all = ["events", "out", "format"])]
    explain: Option<String>,
    /// Say what the rules of the workflow and of its jobs would decide here, and why (text or json)
    #[arg(long, conflicts_with_all = ["events", "explain"])]
    evaluate: bool,
    #[command(flatten)]
    setting: evaluate::SettingArgs,
    /// Tell everything on stdout, one JSON record a line, the graph last (for other commands)
    #[arg(long)]
    events: bool,
}

/// Forms of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The graph document
    Json,
    /// Stages and jobs, for people
    Text,
    /// For Graphviz
    Dot,
    /// For Mermaid
    Mermaid,
}

/// Runs the command.
///
/// # Errors
/// No repository, no workflow, or the graph cannot be written.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let Arguments { workflow, out, format, explain, evaluate, setting, events } = arguments;
    if let (true, Some(form @ (Format::Dot | Format::Mermaid))) = (evaluate, format) {
        return Err(evaluate::no_such_form(form));
    }
    let overrides = setting.overrides(&context.cwd)?;
    if events {
        return events::run(workflow.as_deref(), context);
    }
    let located = locate(workflow.as_deref(), context)?;
    let compiled = located.compile();
    let colored = context.console.err_paint().is_colored();
    for diagnostic in &compiled.diagnostics {
        context.console.line(libloom_workflow::human(diagnostic, &compiled.sources, colored));
        context.console.line("");
    }
    let Some(graph) = &compiled.graph else { return Err(invalid(&compiled, &located)) };
    if let Some(wanted) = explain {
        return explain::print(&wanted, &located, graph, context);
    }
    if evaluate {
        let asked = evaluate::Asked { located: &located, graph, overrides, setting: &setting };
        let evaluation = match evaluate::evaluate(&asked, context)? {
            Ok(evaluation) => evaluation,
            Err(code) => return Ok(code),
        };
        let text = match format {
            Some(Format::Json) => pretty(&evaluation)?,
            _ => reasons::text(&evaluation),
        };
        write(&text, out.as_deref(), context)?;
        return Ok(exit::DONE);
    }
    record::record(&located.root, graph, &context.console);
    write(&text(format.unwrap_or(Format::Json), graph)?, out.as_deref(), context)?;
    Ok(exit::DONE)
}

/// Finds the repository and the workflow.
fn locate(workflow: Option<&Path>, context: &Context) -> Result<Located, Failure> {
    let root = context.repository_root()?;
    Located::find(&root, &context.cwd, workflow).map_err(|error| {
        let hint = error.hint();
        Failure::could_not(error).hint(hint)
    })
}

fn invalid(compiled: &Compiled, located: &Located) -> Failure {
    let count = compiled.errors().count();
    let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    Failure::no(format!("workflow `{}` is invalid: {errors}", located.path))
}

fn text(format: Format, graph: &Graph) -> Result<String, Failure> {
    match format {
        Format::Json => pretty(graph),
        Format::Text => Ok(draw::text(graph)),
        Format::Dot => Ok(draw::dot(graph)),
        Format::Mermaid => Ok(draw::mermaid(graph)),
    }
}

fn pretty(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(Failure::bug)
}

/// To stdout, or to a file relative to the current folder.
fn write(text: &str, out: Option<&Path>, context: &Context) -> Result<(), Failure> {
    let Some(file) = out else { return Ok(context.console.out(text)?) };
    let file = context.cwd.join(file);
    let what = format!("cannot write to `{}`", file.display());
    libloom_contract::store::write_bytes(&file, format!("{}\n", text.trim_end()).as_bytes())
        .or_could_not(what)
}
