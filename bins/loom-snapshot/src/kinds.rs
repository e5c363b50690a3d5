//! What the entries of one folder are, read at once: asking about each would search for each.
//!
//! This is what was true when the folder was listed; whoever opens a file looks again. A name
//! that is not here may still exist, on file systems where several names mean one file.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// How many bytes of names are read at a time.
const CHUNK: usize = 32 * 1024;

/// The kinds of a folder's entries, by name.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    names: Vec<u8>,
    /// Where each name is in `names`; sorted by name.
    entries: Vec<(usize, usize, FileType)>,
}

impl Kinds {
    /// Lists `folder`, which was just opened for reading.
    pub(crate) fn list(folder: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut kinds = Self::default();
        let mut buffer = Vec::<u8>::with_capacity(CHUNK);
        let mut found = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = found.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                let start = kinds.names.len();
                kinds.names.extend_from_slice(name);
                kinds.entries.push((start, kinds.names.len(), entry.file_type()));
            }
        }
        let Self { names, entries } = &mut kinds;
        entries.sort_unstable_by(|a, b| names[a.0..a.1].cmp(&names[b.0..b.1]));
        Ok(kinds)
    }

    /// What `name` was; `None` where only a look at it can tell.
    pub(crate) fn of(&self, name: &[u8]) -> Option<FileType> {
        let found = self.entries.binary_search_by(|entry| self.names[entry.0..entry.1].cmp(name));
        let kind = self.entries[found.ok()?].2;
        (kind != FileType::Unknown).then_some(kind)
    }

    /// Names of the folders, but for `.git`.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &[u8]> {
        let folders = self.entries.iter().filter(|entry| entry.2 == FileType::Directory);
        folders.map(|entry| &self.names[entry.0..entry.1]).filter(|name| *name != b".git")
    }

    /// Whether there is a file or a symlink, or what may be one.
    pub(crate) fn has_file(&self) -> bool {
        use FileType::{RegularFile, Symlink, Unknown};
        self.entries.iter().any(|entry| matches!(entry.2, RegularFile | Symlink | Unknown))
    }

    /// Names of what is neither file, folder nor symlink.
    pub(crate) fn special(&self) -> impl Iterator<Item = &[u8]> {
        let is_special = |entry: &&(usize, usize, FileType)| {
            use FileType::{Directory, RegularFile, Symlink, Unknown};
            !matches!(entry.2, RegularFile | Directory | Symlink | Unknown)
        };
        self.entries.iter().filter(is_special).map(|entry| &self.names[entry.0..entry.1])
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::listing::open_root;

    #[test]
    fn every_name_has_its_kind_and_what_is_special_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for number in 0..3000 {
            std::fs::write(path(&format!("file-{number}")), "").unwrap();
        }
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        let kinds = Kinds::list(open_root(folder.path()).unwrap().as_fd()).unwrap();
        for name in ["file-0", "file-2999"] {
            assert_eq!(kinds.of(name.as_bytes()), Some(FileType::RegularFile));
        }
        assert_eq!(kinds.of(b"folder"), Some(FileType::Directory));
        assert_eq!(kinds.of(b"link"), Some(FileType::Symlink));
        assert_eq!([kinds.of(b"file-3000"), kinds.of(b"."), kinds.of(b"")], [None; 3]);
        assert_eq!(kinds.special().collect::<Vec<_>>(), [b"socket"]);
    }
}
