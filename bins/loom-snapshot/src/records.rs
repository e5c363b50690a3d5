//! The snapshots of a repository that are known: recorded in it, or found where snapshots lie.
//!
//! A snapshot is only ever taken for ours if the record inside its `.git` bears its id; so a
//! folder that took its path since is never removed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libloom_contract::layout::{Layout, SNAPSHOT_RECORD_IN_GIT};
use libloom_contract::snapshot::Snapshot;
use libloom_contract::store;
use libloom_entry::{Context, Failure};
use libloom_record::lock;

use crate::destination::{PARTIAL, Places};
use crate::git::path_of;

/// How the name of an announcement ends.
const ANNOUNCED: &str = "place";

/// Says where a snapshot is being made that will lie in none of the usual places, so that `prune`
/// finds what a killed command leaves there. Taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Announcement(PathBuf);

impl Announcement {
    /// `None` in a repository that cannot be written to, which holds no records either.
    pub(crate) fn make(root: &Path, id: &str, place: &Path) -> Option<Self> {
        let layout = Layout::of_repository(root);
        // Named like a file that is being written, whose writer's death shows.
        let name = format!("{}{}-{id}.{ANNOUNCED}", store::TEMPORARY_PREFIX, std::process::id());
        let path = layout.snapshots().join(name);
        let bytes = place.as_os_str().as_bytes();
        layout.create().and_then(|()| store::write_bytes(&path, bytes)).ok()?;
        Some(Self(path))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Left where it cannot be removed, it only makes `prune` look there.
        let _ = fs::remove_file(&self.0);
    }
}

/// How the folders of snapshots begin that lie in the usual places.
const NAMES: [&str; 2] = ["loom-snapshot-", "loom-run-local-"];

/// All that is known of a repository's snapshots.
pub(crate) struct Records {
    layout: Layout,
    /// Where snapshots come to lie by themselves.
    pub(crate) places: Places,
    /// Oldest first.
    pub(crate) all: Vec<Known>,
    /// What could not be read.
    pub(crate) notes: Vec<String>,
}

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) record: Snapshot,
    /// Whether the workspace is still there.
    pub(crate) is_present: bool,
    /// Whether the run it was made for is still going on.
    pub(crate) in_use: bool,
}

impl Known {
    /// Bytes it took when it was made.
    pub(crate) fn bytes(&self) -> u64 {
        self.record.counts.bytes + self.record.counts.git_bytes
    }
}

impl Records {
    /// Reads the records of the repository at `root` and looks into the usual places.
    pub(crate) fn read(context: &Context, root: &Path) -> Result<Self, Failure> {
        let (layout, places) = (Layout::of_repository(root), Places::of(context, root)?);
        let mut records = Self { layout, places, all: Vec::new(), notes: Vec::new() };
        for path in entries(&records.layout.snapshots()) {
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            if is_record && writer(&path).is_none() {
                match store::read::<Snapshot>(&path) {
                    Ok(record) if path.file_stem() == Some(record.id.as_ref()) => {
                        records.add(record);
                    }
                    Ok(_) => records.notes.push(format!("`{}` has another's name", path.display())),
                    Err(error) => records.notes.push(format!("record left out: {error}")),
                }
            }
        }
        for (id, place) in records.announced() {
            let is_it = |record: &Snapshot| {
                record.id == id && Path::new(&record.path) == place && root_of(record) == root
            };
            if let Some(record) = inside(&place).filter(is_it) {
                records.add(record);
            }
        }
        for folder in records.places.all().iter().flat_map(|place| entries(place)) {
            if let Some(record) = unrecorded(&folder).filter(|record| root_of(record) == root) {
                records.add(record);
            }
        }
        records.all.sort_by_key(|known| known.record.created_at);
        Ok(records)
    }

    fn add(&mut self, record: Snapshot) {
        if self.all.iter().any(|known| known.record.id == record.id) {
            return;
        }
        let is_present = is_the_one(&record);
        let run = record.run_id.as_deref().map(|run_id| self.layout.run(run_id));
        let in_use = is_present && run.is_some_and(|run| lock::is_held(run.folder()));
        self.all.push(Known { record, is_present, in_use });
    }

    /// The snapshot that `word` names: its id, a part of the id that only one has, or `latest`.
    pub(crate) fn find(&self, word: &str) -> Result<&Known, Failure> {
        if word == "latest" {
            return self.all.last().ok_or_else(|| Failure::could_not("there is no snapshot yet"));
        }
        let exact = self.all.iter().find(|known| known.record.id == word);
        let having: Vec<_> =
            self.all.iter().filter(|known| known.record.id.contains(word)).collect();
        match (exact, having.as_slice()) {
            (Some(known), _) => Ok(known),
            (None, [known]) => Ok(*known),
            (None, []) => Err(Failure::could_not(format!("no snapshot has the id `{word}`"))),
            (None, several) => {
                let what = format!("`{word}` is part of the ids of {} snapshots", several.len());
                Err(Failure::could_not(what))
            }
        }
        .map_err(|failure| failure.hint("`loom snapshot list` shows the ids"))
    }

    /// Ids and places of snapshots that are being made, or were when their maker was killed, and
    /// lie in none of the usual places.
    pub(crate) fn announced(&self) -> Vec<(String, PathBuf)> {
        let announced = |path: PathBuf| {
            let name = path.file_stem()?.to_str()?.strip_prefix(store::TEMPORARY_PREFIX)?;
            let (_, id) = name.split_once('-')?;
            let bytes = fs::read(&path).ok()?;
            Some((id.to_owned(), PathBuf::from(OsString::from_vec(bytes))))
        };
        let is_one = |path: &PathBuf| path.extension() == Some(ANNOUNCED.as_ref());
        entries(&self.layout.snapshots()).into_iter().filter(is_one).filter_map(announced).collect()
    }

    /// Removes records that a killed command was just writing, and baselines without a record.
    pub(crate) fn remove_cut_short(&self) -> io::Result<()> {
        use rustix::process::{Pid, test_kill_process};
        self.record_announced()?;
        for path in entries(&self.layout.snapshots()) {
            // The record is written first and removed last.
            let is_baseline = path.extension().is_some_and(|ending| ending == "index");
            if is_baseline && writer(&path).is_none() && !path.with_extension("json").exists() {
                remove_file(&path)?;
            }
            let Some(writer) = writer(&path) else { continue };
            let is_dead =
                Pid::from_raw(writer).map(test_kill_process) == Some(Err(rustix::io::Errno::SRCH));
            if is_dead {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Records whole snapshots whose maker was killed just before it did.
    fn record_announced(&self) -> io::Result<()> {
        let announced = self.announced();
        let is_one = |record: &&Snapshot| announced.iter().any(|(id, _)| *id == record.id);
        for record in self.all.iter().map(|known| &known.record).filter(is_one) {
            let path = self.layout.snapshot(&record.id);
            if is_the_one(record) && !path.exists() {
                store::write(&path, record).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Removes a snapshot's workspace, if it is there, by `remove_folder`, and its record.
    pub(crate) fn remove(
        &self,
        known: &Known,
        remove_folder: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = Path::new(&known.record.path);
        if is_the_one(&known.record) {
            // Under the name of a leftover, so that a removal cut short is finished by `prune`.
            let leftover = leftover_name(place);
            fs::rename(place, &leftover)?;
            remove_folder(&leftover)?;
        }
        let id = &known.record.id;
        remove_file(&self.layout.snapshot_baseline(id))?;
        remove_file(&self.layout.snapshot(id))
    }
}

/// The work tree that a record is about.
pub(crate) fn root_of(record: &Snapshot) -> PathBuf {
    let bytes = record.repo_root_bytes.as_ref().and_then(|bytes| STANDARD.decode(bytes).ok());
    match bytes {
        Some(bytes) => path_of(&bytes).to_owned(),
        None => PathBuf::from(&record.repo_root),
    }
}

/// Removes a file; one that is gone is removed already.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The process that writes the record at `path`, if the record is not whole yet.
fn writer(path: &Path) -> Option<i32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(store::TEMPORARY_PREFIX)?;
    rest.split('-').next()?.parse().ok()
}

fn leftover_name(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}{PARTIAL}"))
}

/// The record inside a folder that has a snapshot's name.
///
/// A job can write to it: what it says of its own place is not believed.
fn unrecorded(folder: &Path) -> Option<Snapshot> {
    let name = folder.file_name()?.to_str()?;
    let is_name = NAMES.iter().any(|prefix| name.starts_with(prefix));
    let record = is_name.then(|| inside(folder)).flatten()?;
    (record.id == name && Path::new(&record.path) == folder).then_some(record)
}

/// Whether what lies at the record's path is the snapshot it speaks of.
fn is_the_one(record: &Snapshot) -> bool {
    inside(Path::new(&record.path)).is_some_and(|found| found.id == record.id)
}

/// The record inside a workspace.
fn inside(workspace: &Path) -> Option<Snapshot> {
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let dot_git = workspace.join(".git");
    let is_workspace = is_folder(workspace) && is_folder(&dot_git);
    is_workspace.then(|| store::read(&dot_git.join(SNAPSHOT_RECORD_IN_GIT)).ok()).flatten()
}

/// What a folder holds; nothing if it cannot be read.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
