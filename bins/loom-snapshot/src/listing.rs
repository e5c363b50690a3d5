//! Names in folders, read through open folders so that no symlink is followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

use crate::folders::READ;

/// Opens a folder that the user or git named; symlinks on the way are theirs.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether `path` below `root` is a folder that no symlink leads to.
pub(crate) fn is_real_folder(root: &Path, path: &[u8]) -> bool {
    let Ok(mut folder) = open_root(root) else { return false };
    for name in path.split(|byte| *byte == b'/') {
        match openat(&folder, OsStr::from_bytes(name), READ, Mode::empty()) {
            Ok(below) => folder = below,
            Err(_) => return false,
        }
    }
    true
}

/// Names and kinds of what the folder `name` of `above` holds; nothing if there is no such folder.
pub(crate) fn names(above: BorrowedFd<'_>, name: &str) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let folder = match openat(above, name, READ, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => kind_of(folder.as_fd(), name)?,
            known => known,
        };
        found.push((name.to_vec(), kind));
    }
    Ok(found)
}

/// All files and symlinks below `folder` of `above`, as sorted paths relative to `above`.
///
/// Folders called `.git`, and files of that name, are left out.
pub(crate) fn tree(above: BorrowedFd<'_>, folder: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_vec()];
    while let Some(folder) = folders.pop() {
        let text = OsStr::from_bytes(&folder);
        let opened = openat(above, text, READ, Mode::empty())?;
        for (name, kind) in names(opened.as_fd(), ".")? {
            if name == b".git" {
                continue;
            }
            let path = [&folder[..], b"/", &name].concat();
            match kind {
                FileType::Directory => folders.push(path),
                FileType::RegularFile | FileType::Symlink => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn kind_of(folder: BorrowedFd<'_>, name: &[u8]) -> Result<FileType, Errno> {
    let stat = statat(folder, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}
