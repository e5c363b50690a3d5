//! `loom snapshot list` and `show`.

use std::fmt::Write as _;

use clap::Args;
use libloom_console::{Label, Table, printable, size};
use libloom_contract::snapshot::Snapshot;
use libloom_contract::{Timestamp, exit};
use libloom_entry::{Context, Failure};
use serde::Serialize;

use crate::git::Git;
use crate::records::{Known, Records};
use crate::repository::Repository;

/// List the snapshots of the repository around the current folder
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Print one JSON object a snapshot
    #[arg(long)]
    json: bool,
}

/// Show one snapshot
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Its id, a unique part of it, or `latest`
    #[arg(value_name = "ID")]
    id: String,
    /// Print its record
    #[arg(long)]
    json: bool,
}

/// One line of `list --json`.
#[derive(Serialize)]
struct Listed<'a> {
    snapshot: &'a Snapshot,
    is_present: bool,
    in_use: bool,
}

/// The snapshots of the repository around the current folder.
pub(crate) fn records(context: &Context) -> Result<Records, Failure> {
    let repository = Repository::discover(&Git::new(&context.env, &context.cwd), &context.cwd)?;
    let records = Records::read(context, &repository.root)?;
    warn_of(&records, context);
    Ok(records)
}

/// Says which records could not be read.
pub(crate) fn warn_of(records: &Records, context: &Context) {
    for note in &records.notes {
        context.console.warn(printable(note));
    }
}

/// Prints all snapshots, oldest first.
pub(crate) fn list(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let records = records(context)?;
    if args.json {
        for Known { record: snapshot, is_present, in_use } in &records.all {
            let (is_present, in_use) = (*is_present, *in_use);
            context.console.json(&Listed { snapshot, is_present, in_use })?;
        }
        return Ok(exit::DONE);
    }
    if records.all.is_empty() {
        context.console.status("no snapshots");
        return Ok(exit::DONE);
    }
    let mut table = Table::with_heading(&["ID", "AGE", "SIZE", "STATE", "PATH"]);
    for known in &records.all {
        table.labelled_row([
            (Some(Label::Name), known.record.id.clone()),
            (None, age(known.record.created_at)),
            (None, size(known.bytes())),
            state(known),
            (None, printable(&known.record.path).into_owned()),
        ]);
    }
    context.console.out(&table.render(context.console.out_paint()))?;
    Ok(exit::DONE)
}

/// Prints one snapshot.
pub(crate) fn show(args: &ShowArgs, context: &Context) -> Result<u8, Failure> {
    let records = records(context)?;
    let known = records.find(&args.id)?;
    match args.json {
        true => context.console.json(&known.record)?,
        false => context.console.out(&description(known))?,
    }
    Ok(exit::DONE)
}

fn description(known: &Known) -> String {
    let Known { record, .. } = known;
    let (counts, facts) = (&record.counts, &record.facts);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {}", printable(value));
    };
    line("id", &record.id);
    line("path", &record.path);
    line("repository", &record.repo_root);
    line("created", &format!("{} ({} ago)", record.created_at, age(record.created_at)));
    line("state", &state(known).1);
    let optional = [
        ("run", &record.run_id),
        ("commit", &facts.head_sha),
        ("title", &facts.head_title),
        ("branch", &facts.branch),
        ("tag", &facts.tag),
    ];
    for (name, value) in optional {
        value.iter().for_each(|value| line(name, value));
    }
    line("tracked", &format!("{} ({} deleted)", counts.tracked, counts.deleted));
    line("untracked", &counts.untracked.to_string());
    line("size", &format!("{} and {} of git", size(counts.bytes), size(counts.git_bytes)));
    line("made in", &format!("{} ms", record.duration_ms));
    record.notes.iter().for_each(|note| line("note", note));
    text
}

fn state(known: &Known) -> (Option<Label>, String) {
    match (known.is_present, known.in_use) {
        (_, true) => (Some(Label::Running), "in use".into()),
        (true, false) => (None, "kept".into()),
        (false, false) => (Some(Label::Dim), "gone".into()),
    }
}

fn age(time: Timestamp) -> String {
    let seconds = Timestamp::now().since(time).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}
