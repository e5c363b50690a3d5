//! `loom snapshot diff`: what changed in a snapshot, and how it differs from the repository now.

use std::collections::BTreeMap;

use clap::Args;
use libloom_console::{Label, printable};
use libloom_contract::snapshot_diff::{ChangeKind, PathChange, SnapshotDiff};
use libloom_contract::{Document, exit, version};
use libloom_entry::{Context, Failure};

use crate::changed::path_text;
use crate::chosen::Chosen;
use crate::compare::{Change, Compare, Source};
use crate::git::Git;
use crate::list::warn_of;
use crate::patch::{self, Printable};
use crate::records::Records;
use crate::repository::Repository;
use crate::seen::quoted;

/// Show what changed in a snapshot since it was made, and how it differs from the repository now
///
/// Without a format both are listed, one line a path: A added, D deleted, M modified, T another type.
/// A format shows what changed since the snapshot was made; with --repository what must change in
/// the repository to be like the snapshot. Files that git ignores, such as build outputs, are left
/// out unless the snapshot was made with them.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// Its id, a unique part of it, or `latest`
    #[arg(value_name = "ID")]
    id: String,
    /// Only these files and folders, relative to the current folder
    #[arg(value_name = "PATH")]
    paths: Vec<std::ffi::OsString>,
    /// Compare with the repository as it is now
    #[arg(long)]
    repository: bool,
    /// Also files that git ignores
    #[arg(long)]
    include_ignored: bool,
    /// Print a patch
    #[arg(short, long, group = "format")]
    patch: bool,
    /// Print lines changed in each file
    #[arg(long, group = "format")]
    stat: bool,
    /// Print paths alone
    #[arg(long, group = "format")]
    name_only: bool,
    /// Print letters and paths
    #[arg(long, group = "format")]
    name_status: bool,
    /// Print both comparisons as a JSON document
    #[arg(long, group = "format")]
    json: bool,
    /// End paths with NUL, and print them as they are
    #[arg(short = 'z')]
    nul: bool,
    /// Exit with 1 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// Prints the differences.
pub(crate) fn run(args: &DiffArgs, context: &Context) -> Result<u8, Failure> {
    let repository = Repository::discover(&Git::new(&context.env, &context.cwd), &context.cwd)?;
    let records = Records::read(context, &repository.root)?;
    warn_of(&records, context);
    let known = records.find(&args.id)?;
    let chosen = Chosen::of(&args.paths, &repository.root, &context.cwd)?;
    let compare = Compare::open(context, repository, known, args.include_ignored)?;
    let is_list = !(args.patch || args.stat || args.name_only || args.name_status);
    let lists = [is_list || !args.repository, is_list || args.repository];
    let pick = |changes: Vec<Change>| {
        changes.into_iter().filter(|change| chosen.holds(&change.path)).collect::<Vec<_>>()
    };
    let since = if lists[0] { pick(compare.since_creation()?) } else { Vec::new() };
    let now = if lists[1] { pick(compare.with_repository()?) } else { Vec::new() };
    let is_same = match is_list && args.repository {
        true => now.is_empty(),
        false => since.is_empty() && now.is_empty(),
    };
    if args.json {
        context.console.json(&document(&compare, known, &since, &now)?)?;
    } else if is_list {
        print_lists(args, context, &since, &now)?;
    } else {
        print_with_git(args, context, &compare, if args.repository { &now } else { &since })?;
    }
    Ok(if args.exit_code && !is_same { exit::NO } else { exit::DONE })
}

fn print_lists(
    args: &DiffArgs,
    context: &Context,
    since: &[Change],
    now: &[Change],
) -> Result<(), Failure> {
    let mut text = String::new();
    let paint = context.console.out_paint();
    let mut list = |[one, many]: [&str; 2], place: &str, changes: &[Change]| {
        let paths = match changes.len() {
            1 => format!("path {one}"),
            _ => format!("paths {many}"),
        };
        text.push_str(&format!("{} {paths} {place}\n", changes.len()));
        for change in changes {
            let letter = letter(change);
            let label = match letter {
                'A' => Label::Success,
                'D' => Label::Failure,
                _ => Label::Name,
            };
            let ignored = if change.is_ignored { " (ignored by git)" } else { "" };
            let path = shown(&change.path);
            text.push_str(&format!(
                " {} {path}{}{ignored}\n",
                paint.paint(label, letter),
                modes(change)
            ));
        }
    };
    if !args.repository {
        list(["changed", "changed"], "in the snapshot since it was made", since);
    }
    list(["differs", "differ"], "between the repository now and the snapshot", now);
    Ok(context.console.out(&text)?)
}

/// The change of a mode, where the path alone does not tell it.
fn modes(change: &Change) -> String {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if old.mode != new.mode => {
            format!(" (mode {:o} -> {:o})", old.mode, new.mode)
        }
        _ => String::new(),
    }
}

fn print_with_git(
    args: &DiffArgs,
    context: &Context,
    compare: &Compare,
    changes: &[Change],
) -> Result<(), Failure> {
    if args.name_only || args.name_status {
        let mut out = Vec::new();
        for change in changes {
            let end = if args.nul { b'\0' } else { b'\n' };
            let between = if args.nul { b'\0' } else { b'\t' };
            if args.name_status {
                out.extend_from_slice(&[u8::try_from(letter(change)).unwrap_or(b'M'), between]);
            }
            match args.nul {
                true => out.extend_from_slice(&change.path),
                false => out.extend_from_slice(shown(&change.path).as_bytes()),
            }
            out.push(end);
        }
        return Ok(context.console.out_bytes(&out)?);
    }
    let printable: Vec<Printable<'_>> = changes.iter().filter_map(Printable::of).collect();
    for change in changes.iter().filter(|change| Printable::of(change).is_none()) {
        context.console.warn(format_args!(
            "`{}` left out: what it was is not kept, and the repository's changed too",
            shown(&change.path)
        ));
    }
    patch::write(compare, &printable)?;
    let color = match context.console.out_paint().is_colored() {
        true => "--color=always",
        false => "--color=never",
    };
    let options: &[&str] = match args.stat {
        true => &["--stat", "-M", color],
        false => &["-p", "--binary", "-M", color],
    };
    Ok(context.console.out_bytes(&patch::diff(compare, options)?)?)
}

fn document(
    compare: &Compare,
    known: &crate::records::Known,
    since: &[Change],
    now: &[Change],
) -> Result<SnapshotDiff, Failure> {
    let list = |changes: &[Change]| -> Result<Vec<PathChange>, Failure> {
        let printable: Vec<_> = changes.iter().filter_map(Printable::of).collect();
        patch::write(compare, &printable)?;
        let counts: BTreeMap<_, _> = patch::line_counts(compare)?.into_iter().collect();
        let one = |change: &Change| path_change(change, counts.get(&change.path).copied());
        Ok(changes.iter().map(one).collect())
    };
    let (changed, differs) = (list(since)?, list(now)?);
    Ok(SnapshotDiff {
        schema_version: version::SNAPSHOT_DIFF.to_string(),
        kind: SnapshotDiff::KIND.to_owned(),
        id: known.record.id.clone(),
        path: known.record.path.clone(),
        repo_root: known.record.repo_root.clone(),
        changed,
        differs,
    })
}

fn path_change(change: &Change, counts: Option<patch::LineCounts>) -> PathChange {
    let mode = |side: &Option<crate::compare::Side>| side.as_ref().map(|s| format!("{:o}", s.mode));
    let size = |side: &Option<crate::compare::Side>| side.as_ref().map(|side| side.size);
    let lines = counts.flatten();
    PathChange {
        path: path_text(&change.path),
        change: match letter(change) {
            'A' => ChangeKind::Added,
            'D' => ChangeKind::Deleted,
            'T' => ChangeKind::TypeChanged,
            _ => ChangeKind::Modified,
        },
        old_mode: mode(&change.old),
        new_mode: mode(&change.new),
        old_size: size(&change.old),
        new_size: size(&change.new),
        added_lines: lines.map(|(added, _)| added),
        deleted_lines: lines.map(|(_, deleted)| deleted),
        is_binary: counts == Some(None),
        is_ignored: change.is_ignored,
        is_old_kept: change.old.as_ref().is_none_or(|side| side.source != Source::Unknown),
    }
}

/// Git's letter for a change.
pub(crate) fn letter(change: &Change) -> char {
    match (&change.old, &change.new) {
        (None, _) => 'A',
        (_, None) => 'D',
        (Some(old), Some(new)) if (old.mode ^ new.mode) & 0o170_000 != 0 => 'T',
        _ => 'M',
    }
}

/// A path as git prints it: as it is, or quoted where that could be misread.
pub(crate) fn shown(path: &[u8]) -> String {
    let is_plain = |text: &&str| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\'));
    match std::str::from_utf8(path).ok().filter(is_plain) {
        Some(text) => printable(text).into_owned(),
        None => String::from_utf8_lossy(&quoted(path)).into_owned(),
    }
}
