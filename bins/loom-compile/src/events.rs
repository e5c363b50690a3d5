//! `--events`: what a parent command reads from stdout.

use std::error::Error;
use std::path::Path;

use libloom_contract::message::Message;
use libloom_contract::{exit, version};
use libloom_entry::{Context, Failure};

use crate::{locate, record};

/// Compiles and tells of it; a failure is told too, and then only the exit code is left.
pub(crate) fn run(workflow: Option<&Path>, context: &Context) -> Result<u8, Failure> {
    let located = match locate(workflow, context) {
        Ok(located) => located,
        Err(failure) => {
            context.console.json(&failed(&failure))?;
            return Ok(failure.kind.exit_code());
        }
    };
    let compiled = located.compile();
    for diagnostic in &compiled.diagnostics {
        context.console.json(&Message::Diagnostic {
            schema_version: version::MESSAGE.to_string(),
            rendered: libloom_workflow::human(diagnostic, &compiled.sources, false),
            diagnostic: Box::new(diagnostic.clone()),
        })?;
    }
    let Some(graph) = &compiled.graph else { return Ok(exit::NO) };
    record::record(&located.root, graph, &context.console);
    context.console.json(graph)?;
    Ok(exit::DONE)
}

fn failed(failure: &Failure) -> Message {
    let mut message = failure.error.to_string();
    let mut cause: Option<&dyn Error> = failure.error.source();
    while let Some(error) = cause {
        message.push_str(&format!("\n{error}"));
        cause = error.source();
    }
    Message::Error {
        schema_version: version::MESSAGE.to_string(),
        message,
        hints: failure.hints.clone(),
        exit_code: failure.kind.exit_code().into(),
    }
}
