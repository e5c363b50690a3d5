//! `--isolate-jobs`: every job works in a copy of its own of the run's workspace, which stays as
//! it was made, with the artifacts of the jobs it depends on.
//!
//! A copy lies beside the workspace and is a snapshot like it, with a record, so that
//! `loom snapshot` lists and removes it. That of a job that succeeded goes with the job.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use libloom_archive::{RestoreError, restore};
use libloom_contract::{
    StoreError,
    graph::{Graph, Node},
    layout::{SNAPSHOT_RECORD_IN_GIT, WORKSPACE_PARTIAL},
    snapshot::Snapshot,
    store,
};
use libloom_record::lock;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::run::Run;

/// Why a job got no workspace of its own.
#[derive(Debug, thiserror::Error)]
pub enum IsolateError {
    /// Something cannot be copied.
    #[error("cannot copy the workspace for the job: `{}`: {source}", path.display())]
    Copy {
        /// What was being copied.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An artifact cannot be put into it.
    #[error("job `{job}`: {source}")]
    Artifacts {
        /// The job whose artifact it is.
        job: String,
        /// What is wrong.
        source: RestoreError,
    },
    /// Its record cannot be written.
    #[error(transparent)]
    Record(#[from] StoreError),
}

/// The workspace of a job, and the record that says so.
fn record(run: &Run, node: &Node) -> Option<(PathBuf, Snapshot)> {
    let snapshot = run.snapshot.get()?;
    let id = format!("{}-{}", snapshot.id, node.id);
    let path = Path::new(&snapshot.path).with_file_name(&id);
    let text = path.to_string_lossy().into_owned();
    Some((path, Snapshot { id, path: text, run_id: Some(run.id.clone()), ..snapshot.clone() }))
}

/// Makes the job's workspace anew.
///
/// # Errors
/// It cannot be copied, or an artifact cannot be put into it.
pub fn make(run: &Run, graph: &Graph, node: &Node) -> Result<PathBuf, IsolateError> {
    let Some((path, snapshot)) = record(run, node) else { return Ok(run.workspace().to_owned()) };
    let failed = |source| IsolateError::Copy { path: path.clone(), source };
    remove(run, node).map_err(failed)?;
    let partial = partial(&path);
    fs::create_dir(&partial).map_err(failed)?;
    let _being_made = lock::take(&partial).map_err(failed)?;
    copy_tree(run.workspace(), &partial)
        .map_err(|(path, source)| IsolateError::Copy { path, source })?;
    store::write(&partial.join(".git").join(SNAPSHOT_RECORD_IN_GIT), &snapshot)?;
    fs::rename(&partial, &path).map_err(failed)?;
    store::write(&run.layout.snapshot(&snapshot.id), &snapshot)?;
    for needed in depends_on(graph, node) {
        let earlier = run.earlier.as_ref().and_then(|earlier| earlier.finished_in(&needed.id));
        let folders = earlier.map_or_else(|| run.logs.clone(), |run_id| run.layout.run(run_id));
        restore(&folders.job(&needed.id), &path)
            .map_err(|source| IsolateError::Artifacts { job: needed.id.clone(), source })?;
    }
    Ok(path)
}

/// Removes the job's workspace and its record, where there are any.
///
/// # Errors
/// They cannot be removed.
pub fn remove(run: &Run, node: &Node) -> io::Result<()> {
    let Some((path, snapshot)) = record(run, node) else { return Ok(()) };
    let partial = partial(&path);
    absent_is_fine(fs::rename(&path, &partial))?;
    absent_is_fine(make_removable(&partial).and_then(|()| fs::remove_dir_all(&partial)))?;
    absent_is_fine(fs::remove_file(run.layout.snapshot(&snapshot.id)))
}

/// What is cut short, made or removed, has a name by which `loom snapshot prune` removes it.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{WORKSPACE_PARTIAL}"))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Jobs leave folders that their owner cannot write (Go's module cache).
fn make_removable(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o700 != 0o700 {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o700))?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_removable(&entry.path())?;
        }
    }
    Ok(())
}

/// The jobs whose artifacts a job gets: those it needs, or all of the stages before it.
fn depends_on<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = &'a Node> {
    let stage_of = |node: &Node| graph.stages.iter().position(|stage| *stage == node.stage);
    let own = stage_of(node);
    graph.nodes.iter().filter(move |other| match &node.needs {
        Some(needs) => needs.iter().any(|need| need.job == other.id && need.artifacts),
        None => stage_of(other) < own,
    })
}

type Failed = (PathBuf, io::Error);

/// Copies what a folder holds into another, with permissions and times. Symlinks are copied as they are; what is neither
/// file, folder nor symlink is left out, as in every snapshot.
fn copy_tree(from: &Path, to: &Path) -> Result<(), Failed> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let metadata = fs::symlink_metadata(from).map_err(at(from))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(at(&from))?;
        if kind.is_dir() {
            fs::create_dir(&to).map_err(at(&to))?;
            copy_tree(&from, &to)?;
        } else if kind.is_file() || kind.is_symlink() {
            copy_leaf(&from, &to).map_err(at(&from))?;
        }
    }
    fs::set_permissions(to, metadata.permissions()).map_err(at(to))?;
    keep_times(&metadata, to).map_err(at(to))
}

fn copy_leaf(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else {
        // `copy_file_range` behind it shares the blocks where the file system can.
        fs::copy(from, to)?;
    }
    keep_times(&metadata, to)
}

fn keep_times(metadata: &fs::Metadata, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let times = Timestamps {
        last_access: Timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() },
        last_modification: Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() },
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_has_modes_times_and_links_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::create_dir_all(from.join("closed")).unwrap();
        fs::write(from.join("closed/tool"), "tool").unwrap();
        symlink("closed/tool", from.join("link")).unwrap();
        let set = |path: &str, mode| {
            fs::set_permissions(from.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        let file = fs::File::options().append(true).open(from.join("closed/tool")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        set("closed/tool", 0o555);
        set("closed", 0o555);
        fs::create_dir(&to).unwrap();
        copy_tree(&from, &to).unwrap();
        let tool = fs::metadata(to.join("link")).unwrap();
        assert_eq!(tool.modified().unwrap(), std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(tool.permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::metadata(to.join("closed")).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("closed/tool"));
        for tree in [from, to] {
            make_removable(&tree).unwrap();
            fs::remove_dir_all(&tree).unwrap();
        }
    }
}
