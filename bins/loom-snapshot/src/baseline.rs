//! What a snapshot held when it was made, kept so that what changed since can be told.
//!
//! A file in git's index format beside the record, out of reach of the jobs that run in the
//! snapshot: every file with the stat data of its copy, and with its object where that was known
//! without reading it. The file of a repository that cannot be written to lies in the snapshot.

use std::fs;
use std::path::{Path, PathBuf};

use libloom_contract::layout::{Layout, SNAPSHOT_BASELINE_IN_GIT};
use libloom_contract::store;
use libloom_entry::{Failure, OrFail};

use crate::index::{Index, Line, ObjectFormat, file_of};
use crate::stat::StatData;

/// A file of the snapshot whose content is not known by an object.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) path: Vec<u8>,
    pub(crate) stat: StatData,
    pub(crate) mode: u32,
}

const UNKNOWN: [u8; 32] = [0; 32];

/// The baseline of a repository's copy: what is clean in `index`, and all `others`.
pub(crate) fn bytes(
    index: &Index,
    clean: &[(usize, StatData)],
    others: &[Present],
    format: ObjectFormat,
) -> Vec<u8> {
    let clean = clean.iter().map(|(at, stat)| {
        let entry = &index.entries[*at];
        let (path, object) = (index.path(entry), entry.object());
        Line { path, mode: entry.mode, object, stat: *stat }
    });
    let others = others.iter().map(|Present { path, stat, mode }| Line {
        path,
        mode: *mode,
        object: &UNKNOWN,
        stat: *stat,
    });
    let mut lines: Vec<Line<'_>> = clean.chain(others).collect();
    // Stable, because that is quick where nearly all is sorted.
    lines.sort_by_key(|line| line.path);
    file_of(format, &lines)
}

/// The files of a submodule's baseline as files of the repository around it.
pub(crate) fn below(bytes: &[u8], path: &[u8], format: ObjectFormat) -> Vec<Present> {
    let index = Index::parse(bytes, format).expect("it was just written");
    let entries = index.entries.iter();
    let present = entries.map(|entry| Present {
        path: [path, b"/", index.path(entry)].concat(),
        stat: entry.stat,
        mode: entry.mode,
    });
    present.collect()
}

/// Writes the baseline of the snapshot `id` of the repository at `root`, whose `.git` is `dot_git`.
pub(crate) fn write(root: &Path, id: &str, dot_git: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let [outside, inside] = places(root, id, dot_git);
    // Made first: nothing is written through a symlink that the repository has in its place.
    let made = Layout::of_repository(root).create();
    if made.and_then(|()| store::write_bytes(&outside, bytes)).is_ok() {
        return Ok(());
    }
    store::write_bytes(&inside, bytes).or_could_not("cannot write the snapshot's baseline")
}

/// The baseline of the snapshot `id`.
pub(crate) fn read(root: &Path, id: &str, dot_git: &Path) -> Result<Vec<u8>, Failure> {
    let [outside, inside] = places(root, id, dot_git);
    fs::read(&outside).or_else(|_| fs::read(inside)).map_err(|error| {
        Failure::could_not(error)
            .context(format_args!("cannot read `{}`", outside.display()))
            .hint("it was written when the snapshot was made; without it nothing can be compared")
    })
}

fn places(root: &Path, id: &str, dot_git: &Path) -> [PathBuf; 2] {
    [Layout::of_repository(root).snapshot_baseline(id), dot_git.join(SNAPSHOT_BASELINE_IN_GIT)]
}
