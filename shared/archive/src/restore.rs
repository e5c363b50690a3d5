//! Puts a job's artifacts into a folder: all of them, or those that are asked for.
//!
//! Content comes from the extracted copies; what is missing or damaged there comes from the
//! archive. Either way it counts only if its checksum is the manifest's, and a file appears under
//! its name only once it is whole.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use libloom_contract::{
    StoreError, Timestamp,
    artifacts::{ArtifactEntry, ArtifactManifest, EntryKind},
    layout::JobLayout,
    store,
};

use crate::{
    archived::{ArchivedKind, read_archive},
    content::Content,
    folder::{Folder, Kind},
    names::{NameError, entry_path, link_target},
};

/// Why artifacts were not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] StoreError),
    /// The manifest holds a name that must not be used; nothing was written.
    #[error(transparent)]
    Name(#[from] NameError),
    /// They were removed.
    #[error("the artifacts of job `{job_id}` were pruned at {at}")]
    Pruned {
        /// The job.
        job_id: String,
        /// When.
        at: Timestamp,
    },
    /// Something has the name of a file and must stay; nothing was written.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The first such path.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// A path cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither the copy nor the archive has what the manifest promises.
    #[error("the artifact `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What is wrong, with the archive or the copy.
        reason: String,
    },
}

/// What is done where something has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is written at all.
    Refuse,
    /// It goes; also a file or a link where a folder must be. A folder never goes.
    Replace,
}

/// What is to be restored, and how.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Folder that gets the files; links in its own path are followed, links in it never.
    pub into: &'a Path,
    /// What is done where something is there already.
    pub existing: Existing,
    /// Which paths are wanted.
    pub wants: &'a dyn Fn(&Path) -> bool,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Paths, in the manifest's order.
    pub paths: Vec<PathBuf>,
    /// Bytes of the files.
    pub bytes: u64,
    /// Those that came from the archive because their copy was missing or damaged.
    pub from_archive: usize,
}

/// Permissions of an extracted copy: the owner must be able to read and remove the evidence.
pub fn kept_mode(mode: u32) -> u32 {
    mode & 0o777 | 0o400
}

/// Puts all artifacts of a job into a folder, in place of what is there. A job without artifacts
/// has none to restore, which is no error.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(job: &JobLayout, into: &Path) -> Result<Restored, RestoreError> {
    let manifest: ArtifactManifest = match store::read(&job.artifacts_manifest()) {
        Err(error) if error.is_not_found() => return Ok(Restored::default()),
        manifest => manifest?,
    };
    let request = Request { into, existing: Existing::Replace, wants: &|_| true };
    restore_some(job, &manifest, &request)
}

/// Puts the wanted artifacts of a job into a folder.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore_some(
    job: &JobLayout,
    manifest: &ArtifactManifest,
    request: &Request<'_>,
) -> Result<Restored, RestoreError> {
    if let Some(at) = manifest.pruned_at {
        return Err(RestoreError::Pruned { job_id: manifest.job_id.clone(), at });
    }
    let mut items = Vec::with_capacity(manifest.entries.len());
    for entry in &manifest.entries {
        let path = entry_path(entry)?;
        if (request.wants)(&path) {
            items.push(Item { path, entry });
        }
    }
    let failed = |source| RestoreError::Write { path: request.into.to_owned(), source };
    let folder = Folder::create(request.into).map_err(failed)?;
    let mut target = Target { folder, existing: request.existing };
    target.refuse_existing(&items)?;
    let left = target.take_copies(job, &items)?;
    target.take_archived(job, &left)?;
    // The one path that never has a copy: it would have the archive's name.
    let namesake = job.artifacts_archive();
    let missed = left.iter().filter(|item| job.artifacts().join(&item.path) != namesake).count();
    Ok(Restored {
        bytes: items.iter().map(|item| item.entry.size).sum(),
        from_archive: missed,
        paths: items.into_iter().map(|item| item.path).collect(),
    })
}

/// One wanted entry under its checked name.
struct Item<'a> {
    path: PathBuf,
    entry: &'a ArtifactEntry,
}

impl Item<'_> {
    fn damaged(&self, reason: impl Into<String>) -> RestoreError {
        RestoreError::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    fn cannot_write(&self, source: io::Error) -> RestoreError {
        RestoreError::Write { path: self.path.clone(), source }
    }
}

/// Why a file was not taken from where it was looked for.
enum Missed {
    /// What is there is not what the manifest promises.
    Source(String),
    /// It cannot be written.
    Target(io::Error),
}

struct Target {
    folder: Folder,
    existing: Existing,
}

impl Target {
    fn refuse_existing(&mut self, items: &[Item<'_>]) -> Result<(), RestoreError> {
        if self.existing == Existing::Replace {
            return Ok(());
        }
        let mut found = Vec::new();
        for item in items {
            let kind = self.folder.kind(&item.path).map_err(|error| item.cannot_write(error))?;
            let is_fine = matches!((kind, item.entry.entry), (None, _))
                || (kind == Some(Kind::Folder) && item.entry.entry == EntryKind::Folder);
            found.extend((!is_fine).then_some(&item.path));
        }
        match found.first() {
            Some(&path) => Err(RestoreError::Exists { path: path.clone(), count: found.len() }),
            None => Ok(()),
        }
    }

    /// Restores what the copies have; returns the files that they do not.
    fn take_copies<'i, 'a>(
        &mut self,
        job: &JobLayout,
        items: &'i [Item<'a>],
    ) -> Result<Vec<&'i Item<'a>>, RestoreError> {
        let mut copies = Folder::open(&job.artifacts()).ok();
        let mut left = Vec::new();
        for item in items {
            self.clear_way(item)?;
            let written = match item.entry.entry {
                EntryKind::Folder => {
                    let mode = item.entry.mode & 0o777;
                    self.folder.create_folder(&item.path, mode).map_err(Missed::Target)
                }
                EntryKind::Symlink => self.write_link(item).map_err(Missed::Target),
                EntryKind::File => self.take_copy(copies.as_mut(), item),
            };
            match written {
                Ok(()) => {}
                Err(Missed::Target(error)) => return Err(item.cannot_write(error)),
                Err(Missed::Source(_)) => left.push(item),
            }
        }
        Ok(left)
    }

    fn take_copy(&mut self, copies: Option<&mut Folder>, item: &Item<'_>) -> Result<(), Missed> {
        let copies = copies.ok_or_else(|| Missed::Source("the copies are gone".into()))?;
        let source = |error: io::Error| Missed::Source(error.to_string());
        let mut file = copies.open_file(&item.path).map_err(source)?;
        let modified = file.metadata().and_then(|found| found.modified()).map_err(source)?;
        self.write_file(item, modified, &mut file)
    }

    /// Restores files from the archive, in one pass; names that are links to what an archive has
    /// under another name take a second one.
    fn take_archived(&mut self, job: &JobLayout, left: &[&Item<'_>]) -> Result<(), RestoreError> {
        let mut sought: BTreeMap<PathBuf, Vec<&Item<'_>>> =
            left.iter().map(|item| (item.path.clone(), vec![*item])).collect();
        for _ in 0..2 {
            if sought.is_empty() {
                return Ok(());
            }
            sought = self.pass(job, sought)?;
        }
        match sought.values().flatten().next() {
            Some(item) => Err(item.damaged("the archive does not hold it")),
            None => Ok(()),
        }
    }

    /// Restores what the archive has under the sought names; returns what is to be sought next.
    fn pass<'i, 'a>(
        &mut self,
        job: &JobLayout,
        mut sought: BTreeMap<PathBuf, Vec<&'i Item<'a>>>,
    ) -> Result<BTreeMap<PathBuf, Vec<&'i Item<'a>>>, RestoreError> {
        let mut links: BTreeMap<PathBuf, Vec<&Item<'_>>> = BTreeMap::new();
        let mut failure = None;
        let read = read_archive(&job.artifacts_archive(), |archived, content| {
            let Some(items) = sought.remove(&archived.path) else { return Ok(()) };
            match archived.kind {
                ArchivedKind::HardLink(target) => links.entry(target).or_default().extend(items),
                ArchivedKind::File => {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(archived.modified);
                    if let Err(error) = self.write_archived(&items, time, content) {
                        failure = Some(error);
                        return Err(io::Error::other("stopped"));
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some(item) = sought.values().flatten().next() {
            let reason = read.err().map_or_else(
                || "neither the folder of copies nor the archive holds it".to_owned(),
                |error| format!("its copy cannot be used, nor can the archive: {error}"),
            );
            return Err(item.damaged(reason));
        }
        Ok(links)
    }

    /// The first of the items from the archive's content, the others from the first.
    fn write_archived(
        &mut self,
        items: &[&Item<'_>],
        modified: SystemTime,
        content: &mut dyn Read,
    ) -> Result<(), RestoreError> {
        let mut written: Option<&Item<'_>> = None;
        for item in items {
            let result = match written {
                None => self.write_file(item, modified, content),
                Some(first) => self
                    .folder
                    .open_file(&first.path)
                    .map_err(Missed::Target)
                    .and_then(|mut file| self.write_file(item, modified, &mut file)),
            };
            match result {
                Ok(()) => written = Some(item),
                Err(Missed::Source(reason)) => return Err(item.damaged(reason)),
                Err(Missed::Target(error)) => return Err(item.cannot_write(error)),
            }
        }
        Ok(())
    }

    /// Removes what is no folder where one must be, and what a link must replace.
    fn clear_way(&mut self, item: &Item<'_>) -> Result<(), RestoreError> {
        if self.existing == Existing::Refuse {
            return Ok(());
        }
        let mut before = item.path.ancestors().skip(1).collect::<Vec<_>>();
        before.pop();
        for folder in before.into_iter().rev() {
            let kind = self.folder.kind(folder).map_err(|error| item.cannot_write(error))?;
            match kind {
                None => return Ok(()),
                Some(Kind::Folder) => {}
                Some(_) => {
                    let removed = self.folder.remove(folder);
                    return removed.map_err(|error| item.cannot_write(error));
                }
            }
        }
        Ok(())
    }

    fn write_link(&mut self, item: &Item<'_>) -> io::Result<()> {
        let temporary = temporary_beside(&item.path);
        self.folder.create_link(&temporary, &link_target(item.entry))?;
        self.publish(&temporary, &item.path)
    }

    fn write_file(
        &mut self,
        item: &Item<'_>,
        modified: SystemTime,
        content: &mut dyn Read,
    ) -> Result<(), Missed> {
        let temporary = temporary_beside(&item.path);
        let file = self.folder.create_file(&temporary, 0o600).map_err(Missed::Target)?;
        let written = fill(file, item.entry, content).and_then(|file| {
            let mode = std::fs::Permissions::from_mode(item.entry.mode & 0o777);
            file.set_permissions(mode).map_err(Missed::Target)?;
            file.set_modified(modified).map_err(Missed::Target)?;
            self.publish(&temporary, &item.path).map_err(Missed::Target)
        });
        if written.is_err() {
            // The first error is the one to report.
            let _ = self.folder.remove(&temporary);
        }
        written
    }

    fn publish(&mut self, temporary: &Path, path: &Path) -> io::Result<()> {
        let result = self.folder.rename(temporary, path, self.existing == Existing::Replace);
        result.inspect_err(|_| {
            let _ = self.folder.remove(temporary);
        })
    }
}

/// Writes content that must be what the entry says.
fn fill(file: File, entry: &ArtifactEntry, content: &mut dyn Read) -> Result<File, Missed> {
    let mut copy = Content::written_to(file);
    // One byte more than promised is enough to know.
    let mut content = content.take(entry.size.saturating_add(1));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Missed::Source(error.to_string())),
        };
        copy.push(&buffer[..length]).map_err(Missed::Target)?;
    }
    let copied = copy.finish().map_err(Missed::Target)?;
    if copied.size != entry.size || Some(&copied.sha256) != entry.sha256.as_ref() {
        return Err(Missed::Source("its content is not what the manifest says".into()));
    }
    Ok(copied.file.expect("the content was written to a file"))
}

/// A name in the same folder that no artifact has.
fn temporary_beside(path: &Path) -> PathBuf {
    let name = format!("{}artifact-{}", store::TEMPORARY_PREFIX, std::process::id());
    path.with_file_name(name)
}
