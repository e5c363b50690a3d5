//! `loom check`: validates a workflow and leaves a receipt.
//!
//! People read stderr: diagnostics, the receipt's path, the verdict. `--format json`, `sarif` and
//! `github` put the diagnostics on stdout, for programs.

mod fix;
mod formats;
mod receipt;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use libloom_contract::diagnostic::Diagnostic;
use libloom_contract::exit;
use libloom_entry::{Context, Failure};
use libloom_workflow::{Compiled, Located};

/// Validates a workflow and leaves a receipt
#[derive(Parser, Debug)]
#[command(name = "loom-check", about = "Validates a workflow and leaves a receipt")]
pub struct Arguments {
    /// Workflow file, relative to the current folder or the repository [default: .loom/workflow.yml]
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Form of the diagnostics
    #[arg(long, value_name = "FORM", default_value = "human")]
    format: Format,
    /// Apply the mends that are certain, then check
    #[arg(long)]
    fix: bool,
    /// Fail on what else is only told
    #[arg(long, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Print the JSON Schema of workflows, for editors
    #[arg(long, exclusive = true)]
    print_schema: bool,
}

/// What can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Everything that is wrong, though the workflow is valid
    Warnings,
}

/// Forms of the diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Frames of the source, on stderr
    Human,
    /// `file:line:col: CODE /pointer: fix`, on stderr
    Short,
    /// The list of diagnostics, on stdout
    Json,
    /// A SARIF 2.1.0 log, on stdout
    Sarif,
    /// Workflow commands of GitHub Actions, on stdout
    Github,
}

/// Runs the command.
///
/// # Errors
/// No repository, no workflow, or the receipt cannot be written.
pub fn run(arguments: Arguments, context: &Context) -> Result<u8, Failure> {
    let Arguments { workflow, format, fix, deny, print_schema } = arguments;
    if print_schema {
        context.console.out(libloom_workflow::WORKFLOW_SCHEMA)?;
        return Ok(exit::DONE);
    }
    let root = context.repository_root()?;
    let located = Located::find(&root, &context.cwd, workflow.as_deref()).map_err(|error| {
        let hint = error.hint();
        Failure::could_not(error).hint(hint)
    })?;
    let (located, compiled) = if fix {
        fix::fix(context, located)?
    } else {
        let compiled = located.check();
        (located, compiled)
    };
    show(format, context, &compiled)?;
    let denied = deny.is_some() && compiled.warnings().count() > 0;
    let passed = compiled.is_valid() && !denied;
    let receipt = receipt::write(context, &located, &compiled, passed)?;
    Ok(conclude(context, passed, &receipt))
}

fn show(format: Format, context: &Context, compiled: &Compiled) -> Result<(), Failure> {
    let console = &context.console;
    let colored = console.err_paint().is_colored();
    match format {
        Format::Json => console.json::<[Diagnostic]>(&compiled.diagnostics)?,
        Format::Sarif => console.json(&formats::sarif(&compiled.diagnostics))?,
        Format::Github => {
            for diagnostic in &compiled.diagnostics {
                console.out(&formats::github(diagnostic))?;
            }
        }
        Format::Human => {
            for diagnostic in &compiled.diagnostics {
                console.line(libloom_workflow::human(diagnostic, &compiled.sources, colored));
                console.line("");
            }
        }
        Format::Short => {
            for diagnostic in &compiled.diagnostics {
                console.line(libloom_workflow::short(diagnostic));
            }
        }
    }
    if format == Format::Short && !compiled.diagnostics.is_empty() {
        console.line("");
    }
    Ok(())
}

/// The last two lines and the exit code; the receipt comes before a failure's verdict and after a
/// success's, as the reference has it.
fn conclude(context: &Context, passed: bool, receipt: &str) -> u8 {
    let console = &context.console;
    if passed {
        console.line("loom check passed");
        console.line(format_args!("receipt: {receipt}"));
        return exit::DONE;
    }
    console.line(format_args!("receipt: {receipt}"));
    console.line(format_args!("loom check failed (exit code {})", exit::NO));
    exit::NO
}
