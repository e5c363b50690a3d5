//! What copying many paths came to: counts, and the stat data of copies that are clean.

use libloom_contract::snapshot::Counts;
use libloom_entry::Failure;
use rustix::fs::FileType;

use crate::baseline::Present;
use crate::copy::Copied;
use crate::pool::{Tally, size};
use crate::source_index::SourceIndex;
use crate::stat::{StatData, git_mode, kind};

/// What became of the files of one repository.
pub(crate) struct Files {
    pub(crate) counts: Counts,
    pub(crate) clean: Vec<(usize, StatData)>,
    /// Copies whose content git does not know, for the baseline.
    pub(crate) others: Vec<Present>,
    pub(crate) notes: Vec<String>,
}

/// Sums over paths, of the index or of a listing.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) files: u64,
    pub(crate) missing: u64,
    pub(crate) symlinks: u64,
    pub(crate) bytes: u64,
    /// Numbers of the paths where the work tree has a folder.
    pub(crate) folders: Vec<usize>,
    /// Stat data of the copies that git may take for unchanged.
    pub(crate) clean: Vec<(usize, StatData)>,
    /// Stat data and mode of the other copies.
    pub(crate) others: Vec<(usize, StatData, u32)>,
}

impl Sums {
    pub(crate) fn count(&mut self, at: usize, copied: &Copied) {
        match copied {
            Copied::Missing => self.missing += 1,
            Copied::Folder => self.folders.push(at),
            Copied::File { copy, .. } => {
                self.files += 1;
                self.bytes += size(copy);
                self.symlinks += u64::from(kind(copy) == FileType::Symlink);
            }
        }
    }

    pub(crate) fn join(all: Vec<Sums>) -> Sums {
        let mut sums = all.into_iter().fold(Sums::default(), |mut sum, one| {
            sum.files += one.files;
            sum.missing += one.missing;
            sum.symlinks += one.symlinks;
            sum.bytes += one.bytes;
            sum.folders.extend(one.folders);
            sum.clean.extend(one.clean);
            sum.others.extend(one.others);
            sum
        });
        // Each thread took runs of numbers; in order they are paths in order.
        sums.clean.sort_by_key(|(at, _)| *at);
        sums.others.sort_by_key(|(at, ..)| *at);
        sums
    }
}

impl Tally for Sums {
    fn add(&mut self, at: usize, copied: Copied) -> Result<(), Failure> {
        self.count(at, &copied);
        if let Copied::File { copy, .. } = &copied {
            self.others.push((at, StatData::of_file(copy), git_mode(copy)));
        }
        Ok(())
    }
}

/// Sums over the index, which also learn what is clean.
pub(crate) struct Tracked<'a> {
    pub(crate) source: &'a SourceIndex,
    pub(crate) sums: Sums,
}

impl Tally for Tracked<'_> {
    fn add(&mut self, at: usize, copied: Copied) -> Result<(), Failure> {
        let entry = &self.source.index.entries[at];
        if let Copied::File { source, copy } = &copied {
            let stat = StatData::of_file(copy);
            match entry.stat.proves_clean(&StatData::of_file(source), self.source.second) {
                true => self.sums.clean.push((at, stat)),
                false => self.sums.others.push((at, stat, git_mode(copy))),
            }
        }
        if matches!(copied, Copied::Missing) && entry.is_skipped() {
            return Ok(());
        }
        self.sums.count(at, &copied);
        Ok(())
    }
}

/// Adds what a submodule's snapshot came to.
pub(crate) fn add_repository(counts: &mut Counts, more: &Counts) {
    counts.tracked += more.tracked;
    counts.deleted += more.deleted;
    counts.untracked += more.untracked;
    counts.symlinks += more.symlinks;
    counts.repositories += more.repositories + 1;
    counts.bytes += more.bytes;
    counts.git_bytes += more.git_bytes;
}
