//! `loom logs list`: every run, newest first, each a fault domain of its own.

use libloom_console::{Label, Table, printable};
use libloom_contract::{Reason, Status, Timestamp, exit, layout::Layout, logs::JobCounts};
use libloom_entry::{Context, Failure, OrFail};
use libloom_record::read::{self, RunState};
use serde::Serialize;

use crate::{filter::Filter, words};

/// List runs, newest first
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
    /// At most N runs; 0 is all
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    number: usize,
}

/// How a run can stand, as `--status` names it.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// It did what it should
    Success,
    /// It failed
    Failure,
    /// Rules decided against it
    Skipped,
    /// It was ended from outside
    Cancelled,
    /// It is in progress
    Running,
    /// Its process was killed
    Interrupted,
    /// Its receipt cannot be read
    Damaged,
}

/// One run as the JSON form shows it.
#[derive(Serialize)]
pub(crate) struct Row {
    run_id: String,
    /// A status, `running`, `interrupted` (not completed yet) or `damaged`.
    pub(crate) state: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<JobCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) branch: Option<String>,
    receipt_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let ids = read::run_ids(layout).or_could_not("cannot list the runs")?;
    let all = ids.len();
    let filter = &arguments.filter;
    let most = if arguments.number == 0 { usize::MAX } else { arguments.number };
    let in_time = ids.into_iter().filter(|id| filter.in_time(read::began_at(id)));
    let wanted = in_time.map(|id| row(layout, id)).filter(|row| filter.passes(row));
    let rows: Vec<Row> = wanted.take(most).collect();
    if arguments.json {
        context.console.json(&rows)?;
        return Ok(exit::DONE);
    }
    match rows.is_empty() {
        true => context.console.note(nothing(all, layout)),
        false => context.console.out(&table(&rows).render(context.console.out_paint()))?,
    }
    if filter.is_open() && rows.len() < all && !rows.is_empty() {
        let left = all - rows.len();
        context.console.note(format_args!("{left} older runs; `-n 0` shows them all"));
    }
    Ok(exit::DONE)
}

fn nothing(all: usize, layout: &Layout) -> String {
    match all {
        0 => format!(
            "there are no runs in `{}` yet; start one with `loom run --local`",
            layout.logs().display()
        ),
        _ => format!("none of the {all} runs is like that"),
    }
}

impl Row {
    fn of(layout: &Layout, run_id: String, state: Standing) -> Self {
        let receipt_path = layout.run_receipt(&run_id).display().to_string();
        let began = read::began_at(&run_id);
        Row {
            run_id,
            state,
            reason: None,
            exit_code: None,
            started_at: began,
            duration_ms: None,
            counts: None,
            workflow_path: None,
            branch: None,
            receipt_path,
            error: None,
        }
    }
}

fn row(layout: &Layout, run_id: String) -> Row {
    let state = read::state(layout, &run_id);
    let row = |standing| Row::of(layout, run_id, standing);
    match state {
        RunState::Running => row(Standing::Running),
        RunState::Interrupted => row(Standing::Interrupted),
        RunState::Damaged(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            Row { error: Some(format!("{error}{cause}")), ..row(Standing::Damaged) }
        }
        RunState::Finished(receipt) => Row {
            reason: receipt.reason,
            exit_code: Some(receipt.exit_code),
            started_at: Some(receipt.started_at),
            duration_ms: Some(receipt.duration_ms),
            counts: Some(receipt.counts),
            workflow_path: Some(receipt.workflow_path),
            branch: receipt.branch,
            error: receipt.error,
            ..row(standing(receipt.status))
        },
    }
}

fn standing(status: Status) -> Standing {
    match status {
        Status::Success => Standing::Success,
        Status::Failure => Standing::Failure,
        Status::Skipped => Standing::Skipped,
        Status::Cancelled => Standing::Cancelled,
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table =
        Table::with_heading(&["RUN", "STATUS", "STARTED (UTC)", "TIME", "BRANCH", "JOBS"]);
    for row in rows {
        let jobs = match (&row.counts, &row.error) {
            (Some(counts), _) => words::counts(counts),
            (None, Some(error)) => printable(error).into_owned(),
            (None, None) => String::new(),
        };
        table.labelled_row([
            (None, printable(&row.run_id).into_owned()),
            (Some(label(row.state)), word(row)),
            (None, row.started_at.map(words::time).unwrap_or_default()),
            (None, row.duration_ms.map(words::duration).unwrap_or_default()),
            (None, row.branch.as_deref().map(printable).unwrap_or_default().into_owned()),
            (None, jobs),
        ]);
    }
    table
}

fn word(row: &Row) -> String {
    match row.state {
        Standing::Success => words::outcome(Status::Success, row.reason),
        Standing::Failure => words::outcome(Status::Failure, row.reason),
        Standing::Skipped => words::outcome(Status::Skipped, row.reason),
        Standing::Cancelled => words::outcome(Status::Cancelled, row.reason),
        Standing::Running => "running".into(),
        Standing::Interrupted => "interrupted".into(),
        Standing::Damaged => "damaged".into(),
    }
}

fn label(standing: Standing) -> Label {
    match standing {
        Standing::Success => Label::Success,
        Standing::Failure | Standing::Damaged => Label::Failure,
        Standing::Skipped => Label::Skipped,
        Standing::Cancelled | Standing::Interrupted => Label::Cancelled,
        Standing::Running => Label::Running,
    }
}
