//! Where a snapshot comes to lie, and the temporary name it has until it is whole.
//!
//! It is built beside its place as `.<name>.loom-partial`, locked (`flock`) by its maker, and
//! renamed at the end. So `kill -9` leaves either nothing or a folder of that name whose lock is
//! free, which `prune` removes.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use libloom_config::Settings;
use libloom_contract::env;
use libloom_entry::{Context, Failure};
use rustix::fs::{FlockOperation, flock, fstat};

use crate::errors::cannot_write;
use crate::listing::open_root;
use crate::records::Announcement;
use crate::remove::remove_tree;

/// How the name of an unfinished snapshot ends; it begins with a dot.
pub(crate) use libloom_contract::layout::WORKSPACE_PARTIAL as PARTIAL;
/// A tree of more bytes than this does not go to another file system without need.
const LARGE: u64 = 1 << 30;

/// The folders in which snapshots are made when no place is named.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// What `LOOM_SNAPSHOT_DIR` or `snapshot.dir` of a configuration file names.
    set: Option<PathBuf>,
    temp: PathBuf,
    cache: Option<PathBuf>,
}

impl Places {
    /// The folders for snapshots of the repository at `root`.
    pub(crate) fn of(context: &Context, root: &Path) -> Result<Self, Failure> {
        let env = &context.env;
        let set = match env.get_non_empty(env::SNAPSHOT_DIR) {
            Some(set) => Some(context.cwd.join(set)),
            None => {
                let files = libloom_config::files(Some(root), env.config_home().as_deref());
                let settings = Settings::read(&files, env.home().as_deref()).map_err(|error| {
                    Failure::could_not(error).hint("mend the configuration file")
                })?;
                settings.snapshot_dir
            }
        };
        let temp = context.cwd.join(env.temp_folder());
        let cache = env.cache_home().map(|cache| cache.join("loom/workspaces"));
        Ok(Self { set, temp, cache })
    }

    /// All of them that exist, as records name them.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        let all = self.set.iter().chain([&self.temp]).chain(&self.cache);
        all.filter_map(|place| place.canonicalize().ok()).collect()
    }

    /// Chooses the folder for a snapshot of the repository at `root`, which takes about as many
    /// bytes as `bytes` says if it is asked; the second answer is a note where the choice is unusual.
    pub(crate) fn choose(
        &self,
        root: &Path,
        bytes: impl FnOnce() -> u64,
    ) -> Result<(PathBuf, Option<String>), Failure> {
        if let Some(set) = &self.set {
            make_private(set)?;
            return Ok((canonical(set)?, None));
        }
        let temp = canonical(&self.temp)?;
        if let (true, Some(cache)) = (is_too_much_for(&temp, root, bytes), &self.cache) {
            make_private(cache)?;
            let note = format!(
                "the tree is large and `{}` is another file system: the snapshot is in `{}`",
                temp.display(),
                cache.display()
            );
            return Ok((canonical(cache)?, Some(note)));
        }
        Ok((temp, None))
    }
}

fn is_too_much_for(temp: &Path, root: &Path, bytes: impl FnOnce() -> u64) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    if device(temp) == device(root) {
        return false;
    }
    let free =
        rustix::fs::statvfs(temp).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize));
    is_large(bytes(), free)
}

fn is_large(bytes: u64, free: u64) -> bool {
    bytes > LARGE || bytes > free / 2
}

fn make_private(folder: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        cannot_write(format_args!("cannot make the folder `{}`", folder.display()), error)
    })
}

fn canonical(folder: &Path) -> Result<PathBuf, Failure> {
    folder.canonicalize().map_err(|error| {
        cannot_write(
            format_args!("cannot use `{}` as the place for snapshots", folder.display()),
            error,
        )
        .hint("make the folder, or set TMPDIR, LOOM_SNAPSHOT_DIR or `snapshot.dir` to one that exists")
    })
}

/// A snapshot's place while it is being made; removed again unless [`Destination::keep`] is called.
pub(crate) struct Destination {
    place: PathBuf,
    partial: PathBuf,
    announcement: Option<Announcement>,
    _lock: OwnedFd,
    is_kept: bool,
}

impl Destination {
    /// Makes the temporary folder for `parent/name`, private and locked.
    pub(crate) fn make(parent: &Path, name: &str) -> Result<Self, Failure> {
        let place = parent.join(name);
        if place.to_str().is_none() {
            let what = format!("`{}` is not UTF-8, as paths in records must be", place.display());
            return Err(Failure::could_not(what).hint("choose another folder"));
        }
        let is_free = match fs::read_dir(&place) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if !is_free {
            let what = format!("`{}` exists and is not an empty folder", place.display());
            return Err(Failure::could_not(what).hint("name a folder that does not exist yet"));
        }
        let partial = parent.join(format!(".{name}{PARTIAL}"));
        let what = || format!("cannot make a snapshot in `{}`", parent.display());
        for _ in 0..3 {
            if partial.symlink_metadata().is_ok_and(|m| m.is_dir()) && !is_being_made(&partial) {
                remove_tree(&partial).map_err(|e| cannot_write(what(), e))?;
            }
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&partial)
                .map_err(|e| cannot_write(what(), e))?;
            if let Some(lock) = lock_made(&partial).map_err(|e| cannot_write(what(), e))? {
                let announcement = None;
                return Ok(Self { place, partial, announcement, _lock: lock, is_kept: false });
            }
        }
        Err(Failure::could_not("another process kept removing it").context(what()))
    }

    /// The same with what tells `prune` where it is.
    pub(crate) fn announced(mut self, announcement: Option<Announcement>) -> Self {
        self.announcement = announcement;
        self
    }

    /// Where to build.
    pub(crate) fn folder(&self) -> &Path {
        &self.partial
    }

    /// Where it will be.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Gives the whole snapshot its name; its announcement holds until it is recorded.
    pub(crate) fn keep(mut self) -> Result<Option<Announcement>, Failure> {
        fs::rename(&self.partial, &self.place).map_err(|error| {
            cannot_write(format_args!("cannot make `{}`", self.place.display()), error)
        })?;
        self.is_kept = true;
        Ok(self.announcement.take())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if !self.is_kept {
            // The failure that brought us here is the one to report; `prune` finds what stays.
            let _ = remove_tree(&self.partial);
        }
    }
}

/// Locks a folder just made; `None` if a `prune` took it for a leftover in between.
fn lock_made(folder: &Path) -> std::io::Result<Option<OwnedFd>> {
    let Ok(lock) = open_root(folder) else { return Ok(None) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let locked = fstat(&lock)?;
    Ok(fs::metadata(folder).ok().filter(|m| m.ino() == locked.st_ino).map(|_| lock))
}

/// Whether the maker of an unfinished snapshot still lives.
pub(crate) fn is_being_made(partial: &Path) -> bool {
    let Ok(folder) = open_root(partial) else { return false };
    flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_large_by_itself_or_for_what_is_free() {
        assert!(is_large(LARGE + 1, u64::MAX) && is_large(501, 1000));
        assert!(!is_large(LARGE, u64::MAX) && !is_large(500, 1000));
    }

    #[test]
    fn what_is_not_kept_is_removed_and_what_is_kept_has_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let destination = Destination::make(temp.path(), "a").unwrap();
        let partial = destination.folder().to_owned();
        assert!(partial.is_dir() && is_being_made(&partial));
        drop(destination);
        assert!(!partial.exists() && !temp.path().join("a").exists());
        Destination::make(temp.path(), "a").unwrap().keep().unwrap();
        assert!(temp.path().join("a").is_dir() && !partial.exists());
        fs::write(temp.path().join("a/file"), "").unwrap();
        assert!(Destination::make(temp.path(), "a").is_err(), "a folder with something in it");
    }
}
