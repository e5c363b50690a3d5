//! `loom snapshot prune` and `rm`: removes what Loom made, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use libloom_console::size;
use libloom_contract::{Timestamp, exit};
use libloom_entry::{Context, Failure, OrFail, parse_age};

use crate::destination::{PARTIAL, is_being_made, usual_places};
use crate::list::records;
use crate::records::{Known, Records, entries};
use crate::remove::remove_tree;

/// Remove old snapshots, and what killed commands left unfinished
///
/// Without an option nothing whole is removed: only unfinished snapshots whose maker is dead, and
/// records of snapshots that are gone. A snapshot that a run is using always stays.
#[derive(Args, Debug)]
pub(crate) struct PruneArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only what is older, such as 12h, 7d or 2w
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Remove all
    #[arg(long, conflicts_with_all = ["keep", "older_than"])]
    all: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Remove snapshots
#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// Their ids, unique parts of them, or `latest`
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Removes what the options choose; prints the paths to stdout.
pub(crate) fn prune(args: &PruneArgs, context: &Context) -> Result<u8, Failure> {
    let records = records(context)?;
    let chosen: Vec<&Known> = choose(args, &records.all, Timestamp::now());
    let leftovers = leftovers(context, &records);
    let mut bytes = 0;
    for known in &chosen {
        if !args.dry_run {
            records
                .remove(known)
                .or_could_not(format_args!("cannot remove `{}`", known.record.path))?;
        }
        if known.is_present {
            bytes += known.bytes();
            context.console.out(&known.record.path)?;
        }
    }
    if !args.dry_run {
        records.remove_cut_short().or_could_not("cannot remove a half-written record")?;
    }
    for leftover in &leftovers {
        if !args.dry_run {
            remove_tree(leftover)
                .or_could_not(format_args!("cannot remove `{}`", leftover.display()))?;
        }
        context.console.out(&leftover.to_string_lossy())?;
    }
    let whole = chosen.iter().filter(|known| known.is_present).count();
    let verb = if args.dry_run { "would remove" } else { "removed" };
    context.console.status(format_args!(
        "{verb} {whole} of {} snapshots ({}), {} unfinished",
        records.all.iter().filter(|known| known.is_present).count(),
        size(bytes),
        leftovers.len()
    ));
    Ok(exit::DONE)
}

/// Which snapshots go; records of vanished ones always do.
fn choose<'a>(args: &PruneArgs, all: &'a [Known], now: Timestamp) -> Vec<&'a Known> {
    let present = all.iter().filter(|known| known.is_present).count();
    let spare = present.saturating_sub(args.keep.unwrap_or(0));
    let is_wanted = args.all || args.keep.is_some() || args.older_than.is_some();
    let is_old =
        |known: &Known| args.older_than.is_none_or(|age| now.since(known.record.created_at) > age);
    let mut older = 0;
    let mut chosen = Vec::new();
    for known in all {
        older += usize::from(known.is_present);
        let goes = is_wanted && older <= spare && is_old(known) && !known.in_use;
        if goes || !known.is_present {
            chosen.push(known);
        }
    }
    chosen
}

/// Unfinished snapshots of dead makers, in the usual places and beside recorded snapshots.
fn leftovers(context: &Context, records: &Records) -> Vec<PathBuf> {
    let recorded = records.all.iter().filter_map(|known| Path::new(&known.record.path).parent());
    let places: BTreeSet<PathBuf> =
        usual_places(context).into_iter().chain(recorded.map(Path::to_owned)).collect();
    let candidates = places.iter().flat_map(|place| entries(place));
    candidates.filter(|path| is_leftover(path)).collect()
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let own = rustix::process::geteuid().as_raw();
    let is_own_folder = || fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == own);
    name.starts_with('.') && name.ends_with(PARTIAL) && is_own_folder() && !is_being_made(path)
}

/// Removes the named snapshots, or none if one of them cannot go.
pub(crate) fn rm(args: &RmArgs, context: &Context) -> Result<u8, Failure> {
    let records = records(context)?;
    let chosen: Vec<&Known> =
        args.ids.iter().map(|id| records.find(id)).collect::<Result<_, _>>()?;
    if let Some(used) = chosen.iter().find(|known| known.in_use) {
        let run = used.record.run_id.as_deref().unwrap_or_default();
        let what = format!("`{}` is in use by the run `{run}`", used.record.id);
        return Err(Failure::could_not(what).hint("wait for the run to end, or stop it"));
    }
    for known in chosen {
        records
            .remove(known)
            .or_could_not(format_args!("cannot remove `{}`", known.record.path))?;
        context.console.status(format_args!("removed `{}`", known.record.path));
    }
    Ok(exit::DONE)
}
