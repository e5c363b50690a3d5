//! What the file system says about a file, and the part of it that git's index remembers.

use rustix::fs::{FileType, Stat};

/// The stat data of one index entry, cut to 32 bits as git cuts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatData {
    changed: (u32, u32),
    modified: (u32, u32),
    device: u32,
    inode: u32,
    owner: u32,
    group: u32,
    size: u32,
}

impl StatData {
    /// From the ten words of an index entry, with its mode beside it.
    pub(crate) fn of_index(words: [u32; 10]) -> (Self, u32) {
        let [cs, cn, ms, mn, device, inode, mode, owner, group, size] = words;
        let stat =
            Self { changed: (cs, cn), modified: (ms, mn), device, inode, owner, group, size };
        (stat, mode)
    }

    /// The ten words of an index entry.
    pub(crate) fn to_index(self, mode: u32) -> [u32; 10] {
        let Self { changed, modified, device, inode, owner, group, size } = self;
        let (cs, cn) = changed;
        let (ms, mn) = modified;
        [cs, cn, ms, mn, device, inode, mode, owner, group, size]
    }

    /// From what the system says.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "git keeps the low 32 bits; the field types differ between systems"
    )]
    pub(crate) fn of_file(stat: &Stat) -> Self {
        Self {
            changed: (stat.st_ctime as u32, stat.st_ctime_nsec as u32),
            modified: (stat.st_mtime as u32, stat.st_mtime_nsec as u32),
            device: stat.st_dev as u32,
            inode: stat.st_ino as u32,
            owner: stat.st_uid as u32,
            group: stat.st_gid as u32,
            size: stat.st_size as u32,
        }
    }

    /// Whether git would call a file with the data `file` unchanged without reading it.
    ///
    /// `index_second` is when the index was written: a file modified in that second or later may
    /// have been modified after it was added (git's "racy" entries; a git built without
    /// nanoseconds decides by seconds, and we are not less careful).
    pub(crate) fn proves_clean(&self, file: &StatData, index_second: i64) -> bool {
        // The device is not compared: git does not either, because it changes with each mount.
        let same = StatData { device: file.device, ..*self } == *file;
        same && i64::from(self.modified.0) < index_second
    }

    /// Whether a file with this data was not touched since it had `other`, not even given a new
    /// mode.
    pub(crate) fn is_same_file(&self, other: &StatData) -> bool {
        StatData { device: other.device, ..*self } == *other
    }

    /// Whether a file with this data is as the one was that was copied to a file with the data
    /// `copy`: a copy has size and time of modification of what it was made of.
    pub(crate) fn is_copy_of(&self, copy: &StatData) -> bool {
        self.size == copy.size && self.modified == copy.modified
    }

    /// Size that the index remembers, for estimates.
    pub(crate) fn size(&self) -> u64 {
        self.size.into()
    }
}

/// What kind of thing a path is.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The mode git would give the file: executable or not, or a symlink.
pub(crate) fn git_mode(stat: &Stat) -> u32 {
    match kind(stat) {
        FileType::Symlink => 0o120_000,
        _ if permissions(stat) & 0o100 != 0 => 0o100_755,
        _ => 0o100_644,
    }
}

/// Permission bits that the copy gets: neither set-user-id nor sticky.
#[expect(clippy::useless_conversion, reason = "the field's type differs between systems")]
pub(crate) fn permissions(stat: &Stat) -> u32 {
    u32::from(stat.st_mode) & 0o777
}

/// Whether a file was written to between two looks at it.
pub(crate) fn is_torn(before: &Stat, after: &Stat) -> bool {
    let key = |s: &Stat| (s.st_ino, s.st_dev, s.st_size, s.st_mtime, s.st_mtime_nsec);
    key(before) != key(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racy_and_changed_files_are_not_clean() {
        let (entry, _) = StatData::of_index([1, 2, 100, 4, 5, 6, 7, 8, 9, 10]);
        assert!(entry.proves_clean(&entry, 101));
        assert!(!entry.proves_clean(&entry, 100), "modified in the second the index was written");
        assert!(entry.proves_clean(&StatData { device: 55, ..entry }, 101));
        for other in [
            StatData { size: 11, ..entry },
            StatData { inode: 1, ..entry },
            StatData { changed: (1, 3), ..entry },
            StatData { modified: (100, 5), ..entry },
        ] {
            assert!(!entry.proves_clean(&other, 101), "{other:?}");
        }
    }
}
