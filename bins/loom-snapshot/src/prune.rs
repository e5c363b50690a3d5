//! `loom snapshot prune` and `rm`: removes what Loom made, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use libloom_console::size;
use libloom_contract::quantity::size_bytes;
use libloom_contract::{Timestamp, exit};
use libloom_entry::{Context, Failure, OrFail, parse_age};

use crate::destination::{PARTIAL, is_being_made};
use crate::list::records;
use crate::records::{Known, Records, entries};
use crate::remove::{disk_usage, remove_tree};

/// Remove old snapshots, and what killed commands left unfinished
///
/// Without an option nothing whole is removed: only unfinished snapshots whose maker is dead, and
/// records of snapshots that are gone. A snapshot that a run is using always stays. With several
/// options only what all of them let go is removed.
#[derive(Args, Debug)]
pub(crate) struct PruneArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only what is older, such as 12h, 7d or 2w
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Remove the oldest until all together take no more than SIZE on disk, such as 500M or 10G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Remove all
    #[arg(long, conflicts_with_all = ["keep", "older_than", "max_size"])]
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
    // What jobs wrote counts too, so the trees are looked at; only where sizes matter.
    let measure = |known: &Known| match (args.max_size, known.is_present) {
        (Some(_), true) => disk_usage(Path::new(&known.record.path)),
        _ => 0,
    };
    let sizes: Vec<u64> = records.all.iter().map(measure).collect();
    let (chosen, rest) = choose(args, &records.all, &sizes, Timestamp::now());
    let leftovers = leftovers(&records);
    // Before the records: what a container has to remove must be named by one.
    for leftover in &leftovers {
        if !args.dry_run {
            remove_folder(leftover, context)
                .or_could_not(format_args!("cannot remove `{}`", leftover.display()))?;
        }
        context.console.out(&leftover.to_string_lossy())?;
    }
    let mut bytes = 0;
    for known in &chosen {
        if !args.dry_run {
            records
                .remove(known, |folder| remove_folder(folder, context))
                .or_could_not(format_args!("cannot remove `{}`", known.record.path))?;
        }
        if known.is_present {
            let measured =
                records.all.iter().zip(&sizes).find(|(one, _)| one.record.id == known.record.id);
            bytes += measured.map_or(0, |(_, size)| *size).max(known.bytes());
            context.console.out(&known.record.path)?;
        }
    }
    if !args.dry_run {
        records.remove_cut_short().or_could_not("cannot remove a half-written record")?;
    }
    let whole = chosen.iter().filter(|known| known.is_present).count();
    let verb = if args.dry_run { "would remove" } else { "removed" };
    context.console.status(format_args!(
        "{verb} {whole} of {} snapshots ({}), {} unfinished",
        records.all.iter().filter(|known| known.is_present).count(),
        size(bytes),
        leftovers.len()
    ));
    if let Some(most) = args.max_size.filter(|most| rest > *most) {
        context.console.note(format_args!(
            "those that stay take {}, more than {}: they are in use, or another option keeps them",
            size(rest),
            size(most)
        ));
    }
    Ok(exit::DONE)
}

/// Which snapshots go, and how many bytes of `sizes` stay; records of vanished ones always go.
fn choose<'a>(
    args: &PruneArgs,
    all: &'a [Known],
    sizes: &[u64],
    now: Timestamp,
) -> (Vec<&'a Known>, u64) {
    let present = all.iter().filter(|known| known.is_present).count();
    let spare = present.saturating_sub(args.keep.unwrap_or(0));
    let is_wanted =
        args.all || args.keep.is_some() || args.older_than.is_some() || args.max_size.is_some();
    let is_old =
        |known: &Known| args.older_than.is_none_or(|age| now.since(known.record.created_at) > age);
    let mut older = 0;
    let mut rest: u64 = sizes.iter().sum();
    let mut chosen = Vec::new();
    for (known, size) in all.iter().zip(sizes) {
        older += usize::from(known.is_present);
        let is_too_much = args.max_size.is_none_or(|most| rest > most);
        let goes = is_wanted && is_too_much && older <= spare && is_old(known) && !known.in_use;
        if goes || !known.is_present {
            rest -= size;
            chosen.push(known);
        }
    }
    (chosen, rest)
}

fn parse_size(text: &str) -> Result<u64, String> {
    size_bytes(text).ok_or_else(|| format!("`{text}` is not a size such as 500M, 10G or 1048576"))
}

/// Unfinished snapshots of dead makers, in the usual places and beside recorded snapshots.
fn leftovers(records: &Records) -> Vec<PathBuf> {
    let recorded = records.all.iter().filter_map(|known| Path::new(&known.record.path).parent());
    let announced = records.announced();
    let announced = announced.iter().filter_map(|(_, place)| place.parent());
    let others = recorded.chain(announced).map(Path::to_owned);
    let places: BTreeSet<PathBuf> = records.places.all().into_iter().chain(others).collect();
    let candidates = places.iter().flat_map(|place| entries(place));
    candidates.filter(|path| is_leftover(path)).collect()
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let own = rustix::process::geteuid().as_raw();
    let is_own_folder = || fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == own);
    name.starts_with('.') && name.ends_with(PARTIAL) && is_own_folder() && !is_being_made(path)
}

/// Removes a workspace; where containers left files in it that we may not remove, `loom-clean` has
/// a container do it.
fn remove_folder(folder: &Path, context: &Context) -> io::Result<()> {
    let error = match remove_tree(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        result => return result,
    };
    let Ok(clean) = context.siblings.find("loom-clean") else { return Err(error) };
    let mut command = Command::new(clean);
    command.arg("--workspace").arg(folder).current_dir(&context.cwd);
    // It says itself why it could not, on stderr.
    match command.stdin(Stdio::null()).stdout(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err(error),
    }
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
            .remove(known, |folder| remove_folder(folder, context))
            .or_could_not(format_args!("cannot remove `{}`", known.record.path))?;
        context.console.status(format_args!("removed `{}`", known.record.path));
    }
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use libloom_contract::snapshot::{Counts, Facts, Method, Methods, Snapshot};

    use super::*;

    fn known(id: &str, in_use: bool) -> Known {
        let record = Snapshot {
            schema_version: String::new(),
            kind: String::new(),
            id: id.into(),
            path: String::new(),
            repo_root: String::new(),
            repo_root_bytes: None,
            run_id: None,
            rev: None,
            created_at: Timestamp::now(),
            duration_ms: 0,
            loom_version: String::new(),
            facts: Facts::default(),
            counts: Counts::default(),
            methods: Methods { files: Method::Copy, objects: Method::Copy },
            phases: Vec::new(),
            notes: Vec::new(),
        };
        Known { record, is_present: true, in_use }
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits_and_what_is_in_use_stays() {
        let all = [known("a", true), known("b", false), known("c", false), known("d", false)];
        let sizes = [10, 20, 30, 40];
        let chosen = |max_size, keep| {
            let none = (None, false, false);
            let (older_than, all_of_them, dry_run) = none;
            let args = PruneArgs { keep, older_than, max_size, all: all_of_them, dry_run };
            let (chosen, rest) = choose(&args, &all, &sizes, Timestamp::now());
            let ids: String = chosen.iter().map(|known| known.record.id.as_str()).collect();
            (ids, rest)
        };
        assert_eq!(chosen(Some(100), None), (String::new(), 100));
        assert_eq!(chosen(Some(99), None), ("b".into(), 80));
        assert_eq!(chosen(Some(50), None), ("bc".into(), 50));
        assert_eq!(chosen(Some(0), None), ("bcd".into(), 10), "`a` is in use");
        assert_eq!(chosen(Some(0), Some(2)), ("b".into(), 80), "the newest two are kept");
        assert_eq!(chosen(None, Some(1)), ("bc".into(), 50));
        assert_eq!(chosen(None, None), (String::new(), 100));
    }
}
