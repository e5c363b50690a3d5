//! Gets the source's index, with git's help where it cannot be read alone.
//!
//! A split index, and a sparse one whose left-out folders are in the work tree after all, are
//! united by git in a scratch repository that holds a copy of the index: the source is not touched.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libloom_entry::{Failure, OrFail};

use crate::dot_git::write;
use crate::git::path_of;
use crate::index::{Index, IndexError};
use crate::repository::Repository;

/// An index with the time it was written.
pub(crate) struct SourceIndex {
    pub(crate) index: Index,
    /// Second of the index file's modification; files modified then or later may be dirty.
    pub(crate) second: i64,
    /// Whether the repository has an index at all.
    pub(crate) exists: bool,
}

/// Reads the index of `repository`; `scratch` is a path nobody uses yet, and is gone afterwards.
pub(crate) fn read(repository: &Repository, scratch: &Path) -> Result<SourceIndex, Failure> {
    let path = repository.index_file();
    let cannot_read =
        |error| Failure::could_not(error).context(format_args!("cannot read `{}`", path.display()));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let index = Index::empty(repository.format);
            return Ok(SourceIndex { index, second: 0, exists: false });
        }
        Err(error) => return Err(cannot_read(error)),
    };
    // Of the open file: git may put a new index in its place at any time.
    let second = file.metadata().map_err(cannot_read)?.mtime();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(cannot_read)?;
    let mut index = parse(&bytes, repository, &path)?;
    if index.is_split || has_present_sparse_folder(&index, repository) {
        index = united(&bytes, repository, scratch)?;
    }
    Ok(SourceIndex { index, second, exists: true })
}

fn parse(bytes: &[u8], repository: &Repository, path: &Path) -> Result<Index, Failure> {
    Index::parse(bytes, repository.format).map_err(|error| {
        let hint = match error {
            IndexError::Damaged(_) => "make it anew: `rm .git/index && git reset`",
            IndexError::Path(_) => "this repository may be hostile; look at `git ls-files`",
            _ => "update loom",
        };
        let what = format!("cannot use the index `{}`", path.display());
        Failure::could_not(error).context(what).hint(hint)
    })
}

/// Git takes files in a left-out folder for tracked ones once it sees the folder.
fn has_present_sparse_folder(index: &Index, repository: &Repository) -> bool {
    let mut folders = index.entries.iter().filter(|entry| entry.is_sparse_folder());
    folders.any(|entry| repository.root.join(path_of(index.path(entry))).symlink_metadata().is_ok())
}

fn united(bytes: &[u8], repository: &Repository, scratch: &Path) -> Result<Index, Failure> {
    let made = unite(bytes, repository, scratch);
    let removed = fs::remove_dir_all(scratch).or_could_not("cannot remove a scratch folder");
    let index = made.map_err(|f| f.context("cannot unite the split or sparse index"))?;
    removed.map(|()| index)
}

fn unite(bytes: &[u8], repository: &Repository, scratch: &Path) -> Result<Index, Failure> {
    for folder in ["objects", "refs"] {
        fs::create_dir_all(scratch.join(folder)).or_could_not("cannot make a scratch folder")?;
    }
    let version = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = ";
    write(&scratch.join("config"), format!("{version}{}\n", repository.format.word()).as_bytes())?;
    write(&scratch.join("HEAD"), b"ref: refs/heads/scratch\n")?;
    write(&scratch.join("index"), bytes)?;
    copy_shared_indexes(&repository.git_dir, scratch)?;
    let git =
        repository.git.clone().with("GIT_DIR", scratch).with("GIT_WORK_TREE", &repository.root);
    let git = git.with("GIT_OBJECT_DIRECTORY", repository.objects());
    git.run(&[
        "-c",
        "index.sparse=false",
        "-c",
        "core.splitIndex=false",
        "-c",
        "core.untrackedCache=false",
        "update-index",
        "--no-split-index",
        "--force-write-index",
    ])?;
    let path = scratch.join("index");
    let bytes = fs::read(&path).or_could_not("cannot read the united index")?;
    let index = parse(&bytes, repository, &path)?;
    if index.is_split {
        return Err(Failure::could_not("git left the index split"));
    }
    Ok(index)
}

fn copy_shared_indexes(git_dir: &Path, scratch: &Path) -> Result<(), Failure> {
    let what = "cannot copy the shared index";
    for entry in fs::read_dir(git_dir).or_could_not(what)? {
        let name = entry.or_could_not(what)?.file_name();
        if name.to_string_lossy().starts_with("sharedindex.") {
            fs::copy(git_dir.join(&name), scratch.join(&name)).or_could_not(what)?;
        }
    }
    Ok(())
}
