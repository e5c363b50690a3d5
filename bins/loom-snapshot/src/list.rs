//! `loom snapshot list` and `show`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use libloom_console::{Label, Table, printable};
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
    for note in &records.notes {
        context.console.warn(printable(note));
    }
    Ok(records)
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

/// Bytes for people, in powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = bytes;
    let mut tenths = 0;
    let mut unit = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

/// Reads `90s`, `30m`, `12h`, `7d`, `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 90s, 30m, 12h, 7d or 2w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_write_them() {
        assert_eq!([size(1023), size(1536), size(5 << 30)], ["1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(parse_duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
        assert!(
            ["", "7", "d", "1y", "-1d", "99999999999999999w"]
                .iter()
                .all(|t| parse_duration(t).is_err())
        );
    }
}
