//! What is at a path of a work tree, looked at without following a symlink anywhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libloom_entry::{Failure, OrFail};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::copy::CopyError;
use crate::errors::cannot_copy;
use crate::folders::Folders;
use crate::git::path_of;
use crate::index::ObjectFormat;
use crate::listing::open_root;
use crate::pool::size;
use crate::stat::{StatData, git_mode, kind};

/// Name of a blob, padded with zeros.
pub(crate) type ObjectId = [u8; 32];

/// A file or symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// As git would record it.
    pub(crate) mode: u32,
    pub(crate) stat: StatData,
    pub(crate) size: u64,
    pub(crate) permissions: u32,
}

impl Seen {
    pub(crate) fn is_symlink(&self) -> bool {
        self.mode == SYMLINK
    }
}

/// Git's mode of a symlink.
pub(crate) const SYMLINK: u32 = 0o120_000;

/// A work tree to look at.
pub(crate) struct Tree {
    root: OwnedFd,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let root =
            open_root(root).or_could_not(format_args!("cannot open `{}`", root.display()))?;
        Ok(Self { root })
    }

    /// The top folder.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// A walk through it; paths are best asked for in order.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { folders: Folders::new(self.root.as_fd(), self.root.as_fd()) }
    }
}

/// A way through a work tree.
pub(crate) struct Walk<'a> {
    folders: Folders<'a>,
}

impl Walk<'_> {
    /// What is at `path`; `None` if there is nothing, a folder, or what git does not see.
    pub(crate) fn look(&mut self, path: &[u8]) -> Result<Option<Seen>, Failure> {
        let name = self.go_to(path)?;
        let Some(folder) = self.folders.source() else { return Ok(None) };
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(None),
            Err(error) => return Err(cannot_read(path, error)),
        };
        let is_seen = matches!(kind(&stat), FileType::RegularFile | FileType::Symlink);
        Ok(is_seen.then(|| Seen {
            mode: git_mode(&stat),
            stat: StatData::of_file(&stat),
            size: size(&stat),
            permissions: crate::stat::permissions(&stat),
        }))
    }

    /// Whether there is a folder at `path`.
    pub(crate) fn is_folder(&mut self, path: &[u8]) -> Result<bool, Failure> {
        self.go_to(&[path, b"/"].concat()).map(|_| self.folders.source().is_some())
    }

    /// The content of a file, with its size, or the target of a symlink.
    pub(crate) fn read(&mut self, path: &[u8], seen: &Seen) -> Result<Content, Failure> {
        let name = self.go_to(path)?;
        let gone =
            || Failure::could_not(format!("`{}` changed meanwhile", path_of(path).display()));
        let folder = self.folders.source().ok_or_else(gone)?;
        if seen.is_symlink() {
            let target = readlinkat(folder, name, Vec::new()).map_err(|e| cannot_read(path, e))?;
            return Ok(Content::Bytes(target.into_bytes()));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty()).map_err(|e| cannot_read(path, e))?;
        let stat = fstat(&file).map_err(|e| cannot_read(path, e))?;
        if kind(&stat) != FileType::RegularFile {
            return Err(gone());
        }
        Ok(Content::File(File::from(file), size(&stat)))
    }

    fn go_to<'p>(&mut self, path: &'p [u8]) -> Result<&'p OsStr, Failure> {
        self.folders.go_to(path).map_err(|error| cannot_read(path, error))
    }
}

fn cannot_read(path: &[u8], error: Errno) -> Failure {
    let failure = cannot_copy(path, CopyError::read(error));
    failure.context("cannot compare the snapshot")
}

/// What a blob is made of.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// An open file and its size.
    File(File, u64),
}

impl Content {
    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// All the bytes, handed to `take` in pieces.
    pub(crate) fn pieces(
        self,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let (file, size) = match self {
            Self::Bytes(bytes) => return take(&bytes),
            Self::File(file, size) => (file, size),
        };
        let (mut file, mut left) = (file.take(size), size);
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            match file.read(&mut buffer)? {
                0 => return Err(std::io::Error::other("the file was cut off while it was read")),
                count => {
                    take(&buffer[..count])?;
                    left -= count as u64;
                }
            }
        }
        Ok(())
    }

    /// All the bytes at once.
    pub(crate) fn bytes(self) -> std::io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.pieces(|piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    /// Name of the blob that holds it.
    pub(crate) fn id(self, format: ObjectFormat) -> std::io::Result<ObjectId> {
        let mut hash = format.hash();
        hash.update(format!("blob {}\0", self.size()).as_bytes());
        self.pieces(|piece| {
            hash.update(piece);
            Ok(())
        })?;
        Ok(hash.finish())
    }
}

/// A name as text.
pub(crate) fn hex(id: &ObjectId, format: ObjectFormat) -> String {
    id[..format.size()].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as git's `fast-import` reads it, whatever bytes it has.
pub(crate) fn quoted(path: &[u8]) -> Vec<u8> {
    let mut out = b"\"".to_vec();
    for byte in path {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

/// `path` as the system takes it.
pub(crate) fn os(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(path)
}
