//! `loom logs validate`: whether the tree of a run keeps everything that is promised of it.
//!
//! Every document is read as its type, which is what its JSON Schema is made from; every event
//! stream is read line by line; what two documents say of the same thing is compared; every
//! pointer must lead somewhere. The phase report is made anew from the streams and must agree.
//! Nothing is mended here, but runs that died are completed before, as by every `loom logs`.

mod documents;
mod job;
mod outcome;
mod run;
mod stream;

use std::path::{Path, PathBuf};

use libloom_console::{Label, printable};
use libloom_contract::{exit, layout::Layout};
use libloom_entry::{Context, Failure};
use libloom_record::read::{self, RunState};
use serde::Serialize;

use crate::resolve;

/// Check the documents and event streams of a run: order, coverage, numbering, pointers, schemas
///
/// Prints every violation with its file and line; the exit code is 1 if there is one. A run in
/// progress cannot be checked.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Id of the run, a part of one, or `latest`
    #[arg(default_value = read::LATEST, hide_default_value = true)]
    run: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Relative to the runtime directory.
    pub(crate) file: String,
    /// From 1; absent where it is about the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// What kind of violation it is.
    pub(crate) rule: Rule,
    pub(crate) message: String,
}

/// What a run must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// A document or record obeys its schema.
    Schema,
    /// Records are numbered from 1 without gaps.
    Seq,
    /// Phases begin and end in their order.
    Order,
    /// Everything that must be there is.
    Coverage,
    /// What a field points to exists.
    Pointer,
    /// Documents agree with each other and with the streams.
    Agreement,
}

impl Rule {
    fn word(self) -> &'static str {
        match self {
            Rule::Schema => "schema",
            Rule::Seq => "seq",
            Rule::Order => "order",
            Rule::Coverage => "coverage",
            Rule::Pointer => "pointer",
            Rule::Agreement => "agreement",
        }
    }
}

/// What was looked at and what was found.
#[derive(Debug)]
pub(crate) struct Findings {
    runtime: PathBuf,
    documents: u64,
    records: u64,
    violations: Vec<Violation>,
}

impl Findings {
    fn new(layout: &Layout) -> Self {
        let runtime = layout.runtime().to_owned();
        Findings { runtime, documents: 0, records: 0, violations: Vec::new() }
    }

    /// Notes a violation about a whole file.
    fn add(&mut self, file: &Path, rule: Rule, message: impl Into<String>) {
        self.add_at(file, None, rule, message);
    }

    fn add_at(&mut self, file: &Path, line: Option<u64>, rule: Rule, message: impl Into<String>) {
        let file = file.strip_prefix(&self.runtime).unwrap_or(file).display().to_string();
        self.violations.push(Violation { file, line, rule, message: message.into() });
    }

    /// Notes that two documents tell of the same thing differently.
    fn compare<T: PartialEq + Serialize>(
        &mut self,
        file: &Path,
        what: &str,
        (found, expected): (T, T),
        source: &str,
    ) {
        if found != expected {
            let [found, expected] = [found, expected].map(|value| words(&value));
            let message = format!("{what} is {found}, {source} says {expected}");
            self.add(file, Rule::Agreement, message);
        }
    }
}

/// A value as documents write it.
fn words(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

/// The JSON form.
#[derive(Serialize)]
struct Validation<'a> {
    kind: &'static str,
    run_id: &'a str,
    valid: bool,
    documents: u64,
    records: u64,
    violations: &'a [Violation],
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let run_id = resolve(layout, Some(&arguments.run))?;
    if matches!(read::state(layout, &run_id), RunState::Running) {
        let failure = Failure::could_not(format!("run `{run_id}` is still running"));
        return Err(failure.hint("its documents are whole once it has ended"));
    }
    let mut findings = Findings::new(layout);
    run::check(layout, &run_id, &mut findings);
    let valid = findings.violations.is_empty();
    if arguments.json {
        context.console.json(&Validation {
            kind: "loom-validation",
            run_id: &run_id,
            valid,
            documents: findings.documents,
            records: findings.records,
            violations: &findings.violations,
        })?;
    } else {
        print(&findings, &run_id, context)?;
    }
    Ok(if valid { exit::DONE } else { exit::NO })
}

fn print(findings: &Findings, run_id: &str, context: &Context) -> Result<(), Failure> {
    let paint = context.console.out_paint();
    let mut text = String::new();
    for Violation { file, line, rule, message } in &findings.violations {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = paint.paint(Label::Dim, format!("[{}]", rule.word()));
        text += &format!("{}{line}: {} {rule}\n", printable(file), printable(message));
    }
    let verdict = match findings.violations.len() {
        0 => paint.paint(Label::Success, "valid".to_owned()),
        1 => paint.paint(Label::Failure, "1 violation".to_owned()),
        count => paint.paint(Label::Failure, format!("{count} violations")),
    };
    let (documents, records) = (findings.documents, findings.records);
    text += &format!("run {run_id}: {verdict}; {documents} documents, {records} events\n");
    Ok(context.console.out(&text)?)
}
