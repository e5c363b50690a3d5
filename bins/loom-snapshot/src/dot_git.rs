//! Builds the snapshot's `.git`: a repository of its own with a detached HEAD.
//!
//! Left out: hooks, reflogs, the stash, other work trees, locks. Refs are written packed whatever
//! the source keeps them in, so that a reftable repository becomes one that every git reads.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

use libloom_entry::{Failure, OrFail};
use rustix::fs::FileType;

use crate::copy::Copied;
use crate::errors::cannot_write;
use crate::listing::{names, open_root, tree};
use crate::pool::{Pool, Tally};
use crate::progress::Progress;
use crate::repository::{Answers, Head, Ref, Repository};
use crate::transfer::Transfer;

/// What an operation in progress keeps beside HEAD, so that `git status` says the same.
const STATE: [&str; 14] = [
    "AUTO_MERGE",
    "BISECT_ANCESTORS_OK",
    "BISECT_EXPECTED_REV",
    "BISECT_LOG",
    "BISECT_NAMES",
    "BISECT_START",
    "BISECT_TERMS",
    "CHERRY_PICK_HEAD",
    "MERGE_HEAD",
    "MERGE_MODE",
    "MERGE_MSG",
    "ORIG_HEAD",
    "REBASE_HEAD",
    "REVERT_HEAD",
];
const STATE_FOLDERS: [&str; 3] = ["rebase-apply", "rebase-merge", "sequencer"];
const SPARSE: &str = "info/sparse-checkout";
/// The last line of this file stands above all other attributes: no filter is run.
pub(crate) const WITHOUT_FILTERS: &[u8] = b"\n* -filter\n";
pub(crate) const ATTRIBUTES: &str = "info/attributes";
const SHARED: [&str; 4] = [ATTRIBUTES, "info/exclude", "info/grafts", "shallow"];

/// Makes the folders that git wants to see in every repository.
pub(crate) fn make_folders(dot_git: &Path) -> Result<(), Failure> {
    let make = |name: &str| {
        let path = dot_git.join(name);
        fs::create_dir_all(&path)
            .map_err(|error| cannot_write(format_args!("cannot make `{}`", path.display()), error))
    };
    ["info", "refs/heads", "refs/tags", "objects/info", "objects/pack"]
        .into_iter()
        .try_for_each(make)
}

/// Writes HEAD and all refs but the stash.
pub(crate) fn write_refs(dot_git: &Path, answers: &Answers) -> Result<(), Failure> {
    let head = match (&answers.facts.head_sha, &answers.head) {
        (Some(sha), _) => format!("{sha}\n"),
        (None, Head::Branch(name)) => format!("ref: {name}\n"),
        (None, Head::Detached) => return Err(Failure::could_not("HEAD names no commit")),
    };
    write(&dot_git.join("HEAD"), head.as_bytes())?;
    let kept = answers.refs.iter().filter(|r| r.name != "refs/stash");
    let (symbolic, direct): (Vec<&Ref>, Vec<&Ref>) = kept.partition(|r| r.target.is_some());
    write(&dot_git.join("packed-refs"), packed(direct).as_bytes())?;
    for Ref { name, target, .. } in symbolic {
        let path = dot_git.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| {
                cannot_write(format_args!("cannot make `{}`", folder.display()), error)
            })?;
        }
        write(&path, format!("ref: {}\n", target.as_deref().unwrap_or_default()).as_bytes())?;
    }
    Ok(())
}

fn packed(mut refs: Vec<&Ref>) -> String {
    refs.sort_by(|a, b| a.name.cmp(&b.name));
    let lines = refs.into_iter().map(|r| format!("{} {}\n", r.object, r.name));
    // Not `peeled`: telling what tags point at would read every tag now; git does it on demand.
    std::iter::once("# pack-refs with: sorted \n".to_owned()).chain(lines).collect()
}

/// Copies the small files that say how git reads trees and history.
pub(crate) fn copy_shared(repository: &Repository, dot_git: &Path) -> Result<(), Failure> {
    for name in SHARED {
        copy_content(&repository.common_dir, name, dot_git)?;
    }
    copy_content(&repository.git_dir, SPARSE, dot_git)
}

/// Copies the files that say what operation is in progress.
pub(crate) fn copy_state(
    repository: &Repository,
    dot_git: &Path,
    progress: &Progress,
) -> Result<(), Failure> {
    let own = open_root(&repository.git_dir)
        .or_could_not(format_args!("cannot open `{}`", repository.git_dir.display()))?;
    let mut state: Vec<Vec<u8>> = STATE.map(|name| name.as_bytes().to_vec()).into();
    let present = names(own.as_fd(), ".").or_could_not("cannot list the `.git` folder")?;
    for folder in STATE_FOLDERS {
        let is_there = |(name, kind): &(Vec<u8>, FileType)| {
            name == folder.as_bytes() && *kind == FileType::Directory
        };
        if present.iter().any(is_there) {
            let files = tree(own.as_fd(), folder.as_bytes());
            state.extend(files.or_could_not(format_args!("cannot list `{folder}`"))?);
        }
    }
    copy_names(&repository.git_dir, dot_git, &state, progress)
}

/// Copies what a file says; users like to make symlinks of these, which would not hold here. One
/// that leads elsewhere could bring any file of the user into the snapshot.
fn copy_content(above: &Path, name: &str, to: &Path) -> Result<(), Failure> {
    let (from, to) = (above.join(name), to.join(name));
    if let (Ok(target), Ok(above)) = (from.canonicalize(), above.canonicalize())
        && !target.starts_with(above.parent().unwrap_or(&above))
    {
        let what = format!("`{}` is a symlink to a file outside", from.display());
        return Err(Failure::could_not(what).hint("replace it by the file it points to"));
    }
    match fs::read(&from) {
        Ok(bytes) => write(&to, &bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Failure::could_not(error).context(format_args!("cannot read `{}`", from.display())))
        }
    }
}

struct Unread;

impl Tally for Unread {
    fn add(&mut self, _: usize, _: Copied) -> Result<(), Failure> {
        Ok(())
    }
}

fn copy_names(
    from: &Path,
    to: &Path,
    names: &[Vec<u8>],
    progress: &Progress,
) -> Result<(), Failure> {
    let source = open_root(from).or_could_not(format_args!("cannot open `{}`", from.display()))?;
    let copy = open_root(to).or_could_not(format_args!("cannot open `{}`", to.display()))?;
    let transfer = Transfer::default();
    let (source, copy) = (source.as_fd(), copy.as_fd());
    let pool = Pool { source, copy, transfer: &transfer, progress, specials: None };
    pool.copy(names.len(), |at| Some(&names[at][..]), || Unread).map(drop)
}

/// Writes a new file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes)
        .map_err(|error| cannot_write(format_args!("cannot write `{}`", path.display()), error))
}
