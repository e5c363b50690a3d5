//! `loom logs prune`: removes old runs whole, and nothing of a run in progress.
//!
//! A run's folder is renamed first, under the run's lock: from then on no command sees the run,
//! and a prune that is killed half way leaves a name that the next one removes. Then its receipt
//! goes, the links to both in its workspace, and last the folder's content.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use libloom_console::size;
use libloom_contract::{Timestamp, exit, layout::Layout, receipt::RunReceipt, store};
use libloom_entry::{Context, Failure, OrFail, parse_age};
use libloom_record::{
    lock,
    read::{self, RUN_PREFIX},
};

/// How a folder is called while it is being removed; no run id begins like that.
const GOING: &str = ".pruned-";

/// Remove old runs: their logs, receipts and the links to them
///
/// With both options a run goes only if it is neither among the newest N nor younger than AGE.
/// A run in progress always stays. Receipts of checks go by the same rules. Prints the ids of the
/// runs, one a line.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct Arguments {
    /// Keep the newest N
    #[arg(long, value_name = "N", group = "which")]
    keep: Option<usize>,
    /// Remove only what is older, such as 12h, 7d or 2w
    #[arg(long, value_name = "AGE", value_parser = parse_age, group = "which")]
    older_than: Option<Duration>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// What was, or would be, removed.
#[derive(Default)]
struct Freed {
    runs: usize,
    checks: usize,
    bytes: u64,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let ids = read::run_ids(layout).or_could_not("cannot list the runs")?;
    let all = ids.len();
    let mut freed = Freed::default();
    for id in arguments.choose(ids, |id| read::began_at(id)) {
        if let Some(bytes) = remove_run(layout, &id, arguments.dry_run)? {
            freed.runs += 1;
            freed.bytes += bytes;
            context.console.out(&id)?;
        }
    }
    remove_checks(arguments, layout, &mut freed)?;
    if !arguments.dry_run {
        remove_leftovers(layout)?;
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let checks = match freed.checks {
        0 => String::new(),
        count => format!(" and {count} receipts of checks"),
    };
    context.console.status(format_args!(
        "{verb} {} of {all} runs{checks}, {} freed ({} bytes)",
        freed.runs,
        size(freed.bytes),
        freed.bytes
    ));
    Ok(exit::DONE)
}

impl Arguments {
    /// Of what is sorted, the newest first, that which the options do not keep.
    fn choose<T>(&self, all: Vec<T>, began: impl Fn(&T) -> Option<Timestamp>) -> Vec<T> {
        let now = Timestamp::now();
        let is_old = |item: &T| {
            let age = began(item).map(|began| now.since(began));
            self.older_than.is_none_or(|limit| age.is_none_or(|age| age > limit))
        };
        all.into_iter().skip(self.keep.unwrap_or(0)).filter(is_old).collect()
    }
}

/// The bytes it freed; `None` where the run lives, or only links lead to it.
fn remove_run(layout: &Layout, run_id: &str, dry_run: bool) -> Result<Option<u64>, Failure> {
    let folder = layout.run(run_id).folder().to_owned();
    let receipt = layout.run_receipt(run_id);
    // In a workspace they are links; a run is removed where it lies, unless that is gone.
    if is_living_link(&folder) || is_living_link(&receipt) {
        return Ok(None);
    }
    let cannot = || format!("cannot remove the run `{run_id}`");
    let _lock = match lock::take(&folder) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Ok(None),
        Err(error) if is_gone(&error) => None,
        Err(error) => return Err(error).or_could_not(cannot()),
    };
    let bytes = used(&folder) + used(&receipt);
    if dry_run {
        return Ok(Some(bytes));
    }
    let workspace =
        store::read::<RunReceipt>(&receipt).ok().and_then(|receipt| receipt.snapshot_path);
    let going = folder.with_file_name(format!("{GOING}{run_id}"));
    if_there(fs::rename(&folder, &going)).or_could_not(cannot())?;
    if_there(fs::remove_file(&receipt)).or_could_not(cannot())?;
    if let Some(workspace) = workspace {
        let there = Layout::of_repository(Path::new(&workspace));
        for link in [there.run(run_id).folder().to_owned(), there.run_receipt(run_id)] {
            remove_dangling(&link).or_could_not(cannot())?;
        }
    }
    remove_whatever(&going).or_could_not(cannot())?;
    Ok(Some(bytes))
}

/// Receipts of checks have no folder; they are as old as their files.
fn remove_checks(arguments: &Arguments, layout: &Layout, freed: &mut Freed) -> Result<(), Failure> {
    let mut checks: Vec<(Timestamp, PathBuf)> = Vec::new();
    for path in entries(&layout.receipts()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains("-check-") && name.ends_with(".json") {
            let written = fs::symlink_metadata(&path).and_then(|data| data.modified());
            let Ok(written) = written else { continue };
            checks.push((Timestamp::from(written), path));
        }
    }
    checks.sort_unstable_by(|a, b| b.cmp(a));
    for (_, path) in arguments.choose(checks, |(written, _)| Some(*written)) {
        freed.checks += 1;
        freed.bytes += used(&path);
        if !arguments.dry_run {
            let cannot = || format!("cannot remove `{}`", path.display());
            if_there(fs::remove_file(&path)).or_could_not(cannot())?;
        }
    }
    Ok(())
}

/// What an earlier prune did not come to, and links of a workspace that lead nowhere any more.
fn remove_leftovers(layout: &Layout) -> Result<(), Failure> {
    for path in entries(&layout.logs()).into_iter().chain(entries(&layout.receipts())) {
        let cannot = || format!("cannot remove `{}`", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A run that was killed before its folder had its name is empty, and nobody's.
        let nameless = name.strip_prefix('.').is_some_and(|name| name.starts_with(RUN_PREFIX));
        if nameless && !lock::is_held(&path) {
            // One that is not empty is left alone.
            let _ = fs::remove_dir(&path);
            continue;
        }
        match name.starts_with(GOING) {
            true => remove_whatever(&path).or_could_not(cannot())?,
            false => remove_dangling(&path).or_could_not(cannot())?,
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn is_living_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink()) && path.exists()
}

fn remove_dangling(link: &Path) -> io::Result<()> {
    let is_link = fs::symlink_metadata(link).is_ok_and(|data| data.is_symlink());
    match is_link && !link.exists() {
        true => if_there(fs::remove_file(link)),
        false => Ok(()),
    }
}

/// A folder with all it holds, or a link in its place. Jobs may have left folders in their
/// artifacts that nobody may write to.
fn remove_whatever(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                make_writable(path)?;
                if_there(fs::remove_dir_all(path))
            }
            result => if_there(result),
        },
        Ok(_) => if_there(fs::remove_file(path)),
        Err(error) => if_there(Err(error)),
    }
}

fn make_writable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Bytes of all files below a path; links are not followed.
fn used(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => entries(path).iter().map(|path| used(path)).sum(),
        Ok(data) => data.len(),
        Err(_) => 0,
    }
}

fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        result => result,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
