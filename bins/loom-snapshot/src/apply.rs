//! `loom snapshot apply`: brings what changed in a snapshot back into the repository.
//!
//! Each change is a patch from what the path was when the snapshot was made. Where the repository's
//! path is still as it was, it becomes as in the snapshot; where both changed, text is merged as
//! git merges it, and anything else is a conflict. Only when there is none is anything written.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::AsFd;

use clap::Args;
use libloom_contract::exit;
use libloom_entry::{Context, Failure, Kind, OrFail};

use crate::chosen::Chosen;
use crate::compare::{Change, Compare, Side, Source, cannot_read, side};
use crate::diff::{letter, shown};
use crate::git::Git;
use crate::list::warn_of;
use crate::listing::tree;
use crate::patch::{self, Printable};
use crate::put::{Put, put_all};
use crate::records::Records;
use crate::repository::Repository;
use crate::seen::{Content, SYMLINK, Seen};

/// Bring what changed in a snapshot back into the repository
///
/// All changes since the snapshot was made, or those of the paths named. Files of the work tree are
/// written, the index and the history are not. Text that changed in both is merged; what cannot be
/// merged is named, and then nothing is written (exit 1). Files that git ignores are left out.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// Its id, a unique part of it, or `latest`
    #[arg(value_name = "ID")]
    id: String,
    /// Only these files and folders, relative to the current folder
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Also files that git ignores
    #[arg(long)]
    include_ignored: bool,
    /// List what would be written, and write nothing
    #[arg(long, group = "instead")]
    dry_run: bool,
    /// Only find out whether it can be done: exit 0 or 1
    #[arg(long, group = "instead")]
    check: bool,
    /// Print a patch for the repository as it is now, for `git apply`, and write nothing
    #[arg(long, group = "instead")]
    patch: bool,
}

/// What becomes of one path.
enum Step {
    /// It is already so.
    Nothing,
    /// It is taken from the snapshot, or removed.
    Take,
    /// It gets this content and mode.
    Merge(Vec<u8>, u32),
    /// It changed in both.
    Conflict,
}

/// Brings the changes back.
pub(crate) fn run(args: &ApplyArgs, context: &Context) -> Result<u8, Failure> {
    let repository = Repository::discover(&Git::new(&context.env, &context.cwd), &context.cwd)?;
    let records = Records::read(context, &repository.root)?;
    warn_of(&records, context);
    let known = records.find(&args.id)?;
    if known.in_use {
        context.console.warn("a run is using the snapshot: its files may still change");
    }
    let chosen = Chosen::of(&args.paths, &repository.root, &context.cwd)?;
    let compare = Compare::open(context, repository, known, args.include_ignored)?;
    let changes = compare.since_creation()?;
    let changed: Vec<&[u8]> = changes.iter().map(|change| &change.path[..]).collect();
    if let Some(word) = chosen.without(&changed) {
        let what = format!("nothing changed in the snapshot at `{}`", word.to_string_lossy());
        let hint = "`loom snapshot diff` lists what did; with --include-ignored also ignored files";
        return Err(Failure::could_not(what).hint(hint));
    }
    let changes = changes.into_iter().filter(|change| chosen.holds(&change.path));
    let (mut puts, mut conflicts) = (Vec::new(), Vec::new());
    for change in changes {
        let there = compare.source.walk().look(&change.path)?;
        match step(&compare, &change, there)? {
            Step::Nothing => {}
            Step::Conflict => conflicts.push(change),
            Step::Take => puts.push(Put { merged: None, there, change }),
            Step::Merge(content, mode) => {
                puts.push(Put { merged: Some((content, mode)), there, change });
            }
        }
    }
    let removed: BTreeSet<&[u8]> = puts
        .iter()
        .filter(|put| put.change.new.is_none())
        .map(|put| &put.change.path[..])
        .collect();
    for put in puts.iter().filter(|put| put.change.new.is_some()) {
        if is_blocked(&compare, &put.change.path, &removed)? {
            conflicts.push(put.change.clone());
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }
    if args.patch {
        return print_patch(&compare, &puts, context);
    }
    if !args.check && !args.dry_run {
        put_all(&compare, &puts)?;
    }
    report(args, context, &puts)
}

fn report(args: &ApplyArgs, context: &Context, puts: &[Put]) -> Result<u8, Failure> {
    if !args.check {
        for put in puts {
            let merged = if put.merged.is_some() { " (merged)" } else { "" };
            let line = format!("{} {}{merged}", letter(&put.change), shown(&put.change.path));
            context.console.out(&line)?;
        }
    }
    let verb = if args.check || args.dry_run { "can be applied" } else { "applied" };
    let count = puts.len();
    let changes = if count == 1 { "change" } else { "changes" };
    context.console.status(format_args!("{count} {changes} {verb}"));
    Ok(exit::DONE)
}

fn conflict(conflicts: &[Change]) -> Failure {
    let names: Vec<String> =
        conflicts.iter().map(|change| format!("`{}`", shown(&change.path))).collect();
    let what = format!(
        "changed in the snapshot and, in another way, in the repository since: {}",
        names.join(", ")
    );
    Failure::new(Kind::No, what)
        .hint("nothing was written; name the paths that you want, or compare with `loom snapshot diff ID --repository --patch PATH`")
}

/// What becomes of the path of `change`, where the repository has `there` now.
fn step(compare: &Compare, change: &Change, there: Option<Seen>) -> Result<Step, Failure> {
    let path = &change.path[..];
    let now = there.map(|seen| side(&seen, Source::Repository));
    if now.is_none() && compare.source.walk().is_folder(path)? {
        // A folder of the user's: only empty it may go, which is seen when it is written.
        return Ok(if change.new.is_some() { Step::Take } else { Step::Nothing });
    }
    if is_same(compare, path, now.as_ref(), change.new.as_ref())? {
        return Ok(Step::Nothing);
    }
    if is_same(compare, path, now.as_ref(), change.old.as_ref())? {
        return Ok(Step::Take);
    }
    match (&change.old, &now, &change.new) {
        (Some(old), Some(now), Some(new)) => merge(compare, path, [old, now, new]),
        _ => Ok(Step::Conflict),
    }
}

/// Whether something stands where `path` or a folder above it is to be, and stays.
fn is_blocked(compare: &Compare, path: &[u8], removed: &BTreeSet<&[u8]>) -> Result<bool, Failure> {
    let mut walk = compare.source.walk();
    for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end) {
        let above = &path[..end];
        if walk.look(above)?.is_some() && !removed.contains(above) {
            return Ok(true);
        }
    }
    if !walk.is_folder(path)? {
        return Ok(false);
    }
    let held = tree(compare.source.root().as_fd(), path).or_could_not(cannot_read(path))?;
    Ok(held.iter().any(|path| !removed.contains(&path[..])))
}

fn is_same(
    compare: &Compare,
    path: &[u8],
    a: Option<&Side>,
    b: Option<&Side>,
) -> Result<bool, Failure> {
    match (a, b) {
        (None, None) => Ok(true),
        (Some(a), Some(b)) if a.mode == b.mode => compare.is_same_content(path, a, b),
        _ => Ok(false),
    }
}

/// Merges a file that changed in both.
fn merge(compare: &Compare, path: &[u8], sides: [&Side; 3]) -> Result<Step, Failure> {
    let [old, now, new] = sides;
    if sides.iter().any(|side| side.mode == SYMLINK || side.source == Source::Unknown) {
        return Ok(Step::Conflict);
    }
    let mode = if new.mode == old.mode { now.mode } else { new.mode };
    let is_mode_there = mode == now.mode;
    let bytes = |side: &Side| -> Result<Vec<u8>, Failure> {
        let content = compare.content(path, side)?.unwrap_or(Content::Bytes(Vec::new()));
        content.bytes().or_could_not(cannot_read(path))
    };
    let [old, now, new] = [bytes(old)?, bytes(now)?, bytes(new)?];
    let merged = match merged(compare, [&old, &now, &new])? {
        None => return Ok(Step::Conflict),
        Some(merged) => merged,
    };
    Ok(match is_mode_there && merged == now {
        true => Step::Nothing,
        false => Step::Merge(merged, mode),
    })
}

/// What git makes of a text that changed in both; `None` if that cannot be.
fn merged(compare: &Compare, [old, now, new]: [&Vec<u8>; 3]) -> Result<Option<Vec<u8>>, Failure> {
    if old == new || now == new {
        return Ok(Some(now.clone()));
    }
    if old == now {
        return Ok(Some(new.clone()));
    }
    let scratch = &compare.scratch;
    let mut args: Vec<OsString> = vec!["merge-file".into(), "-p".into(), "-q".into()];
    for (name, bytes) in [("now", now), ("old", old), ("new", new)] {
        args.push(scratch.write(name, bytes)?.into());
    }
    let output = scratch.git.output(&args)?;
    Ok(output.status.success().then_some(output.stdout))
}

/// Prints a patch from the repository's files to what they would become.
fn print_patch(compare: &Compare, puts: &[Put], context: &Context) -> Result<u8, Failure> {
    let sides: Vec<_> = puts
        .iter()
        .map(|put| {
            let old = put.there.map(|seen| side(&seen, Source::Repository));
            let new = match &put.merged {
                Some((content, mode)) => Some(Side {
                    mode: *mode,
                    size: content.len() as u64,
                    source: Source::Bytes(content.clone()),
                }),
                None => put.change.new.clone(),
            };
            (&put.change.path, old, new)
        })
        .collect();
    let printable: Vec<_> = sides
        .iter()
        .map(|(path, old, new)| Printable { path, old: old.as_ref(), new: new.as_ref() })
        .collect();
    patch::write(compare, &printable)?;
    // Without renames, so that every change can be taken out by itself.
    let text = patch::diff(compare, &["-p", "--binary", "--no-renames", "--color=never"])?;
    context.console.out_bytes(&text)?;
    Ok(exit::DONE)
}
