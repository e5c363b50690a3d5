//! A folder in which paths are walked part by part, and no symbolic link is ever followed.
//!
//! A link that a job put in the way leads nowhere, whatever it points to and whenever it appeared:
//! every step is an `openat` relative to the folder before it.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timestamps},
    io::Errno,
};

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// With its article, for sentences.
    pub fn words(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Folder => "a folder",
            Kind::Symlink => "a symbolic link",
            Kind::Special => "a pipe, a socket or a device",
        }
    }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
}

/// A folder, and the one below it that was used last: consecutive paths mostly share it.
#[derive(Debug)]
pub struct Folder {
    root: OwnedFd,
    last: Option<(PathBuf, OwnedFd)>,
}

const STEP: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder; in its own path links are followed.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Folder { root, last: None })
    }

    /// Makes a folder, where it is missing, and opens it.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Folder::open(path)
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or a link is in its path.
    pub fn open_file(&mut self, path: &Path) -> io::Result<File> {
        let (parent, name) = self.parent(path, false)?;
        // Not to wait for a writer, should it be a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty());
        let file = File::from(file.map_err(|error| described(parent, name, error))?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no regular file")),
        }
    }

    /// Makes a file that is not there yet; the folders before it are made.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be made.
    pub fn create_file(&mut self, path: &Path, mode: u32) -> io::Result<File> {
        let (parent, name) = self.parent(path, true)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Makes a symbolic link; the folders before it are made.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be made.
    pub fn create_link(&mut self, path: &Path, target: &OsStr) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        Ok(rustix::fs::symlinkat(target, parent, name)?)
    }

    /// Makes a second name of a file; the folders before it are made.
    ///
    /// # Errors
    /// There is something of that name, or the file system has no such links.
    pub fn create_hard_link(&mut self, path: &Path, existing: &Path) -> io::Result<()> {
        let from = {
            let (parent, name) = self.parent(existing, false)?;
            (rustix::io::fcntl_dupfd_cloexec(parent, 0)?, name.to_owned())
        };
        let (parent, name) = self.parent(path, true)?;
        Ok(rustix::fs::linkat(from.0, &from.1, parent, name, AtFlags::empty())?)
    }

    /// Makes a folder, where it is missing, and those before it.
    ///
    /// # Errors
    /// Something else is in the way, or it cannot be made.
    pub fn create_folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        let folder = step(parent, name, true)?;
        // A descriptor of the kind that only stands for a place cannot change modes.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&folder, ".", flags, Mode::empty())?;
        Ok(rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?)
    }

    /// Renames within one folder of this one; `replace`: what has the new name goes.
    ///
    /// # Errors
    /// The new name is taken and must stay, or is a folder's.
    pub fn rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let old = from.file_name().unwrap_or_default();
        let (parent, name) = self.parent(to, true)?;
        if replace {
            return Ok(rustix::fs::renameat(parent, old, parent, name)?);
        }
        // Not every file system can rename without replacing; a second name does the same.
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(parent, old, parent, name, flags) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(parent, old, parent, name, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(parent, old, AtFlags::empty())?)
            }
            result => Ok(result?),
        }
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// It is a folder, or cannot be removed.
    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    /// What has this path; `None` where nothing has. A link before its last part is an error.
    ///
    /// # Errors
    /// A part of the path is no folder, or cannot be searched.
    pub fn kind(&mut self, path: &Path) -> io::Result<Option<Kind>> {
        Ok(self.stat(path)?.map(|stat| Kind::of(FileType::from_raw_mode(stat.st_mode))))
    }

    /// The same with everything the system knows of it.
    ///
    /// # Errors
    /// As [`Folder::kind`].
    pub fn stat(&mut self, path: &Path) -> io::Result<Option<Stat>> {
        let stat = self.parent(path, false).and_then(|(parent, name)| {
            Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
        });
        match stat {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            stat => stat.map(Some),
        }
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// It is none.
    pub fn read_link(&mut self, path: &Path) -> io::Result<OsString> {
        let (parent, name) = self.parent(path, false)?;
        let target: CString = rustix::fs::readlinkat(parent, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Sets the time of a symbolic link or a file.
    ///
    /// # Errors
    /// The file system cannot.
    pub fn set_times(&mut self, path: &Path, times: &Timestamps) -> io::Result<()> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::utimensat(parent, name, times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What a folder holds, sorted by name; the folder itself with an empty path.
    ///
    /// # Errors
    /// It is no folder, or cannot be listed.
    pub fn list(&mut self, path: &Path) -> io::Result<Vec<Listed>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match path.as_os_str().is_empty() {
            true => rustix::fs::openat(&self.root, ".", flags, Mode::empty())?,
            false => {
                let (parent, name) = self.parent(path, false)?;
                rustix::fs::openat(parent, name, flags, Mode::empty())
                    .map_err(|error| described(parent, name, error))?
            }
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let kind = kind_of(folder.as_fd(), name, entry.file_type())?;
                found.extend(kind.map(|kind| Listed { name: name.to_owned(), kind }));
            }
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The folder that holds the last part of `path`, and that part; `make`: folders that are
    /// missing are made.
    fn parent<'a>(
        &'a mut self,
        path: &'a Path,
        make: bool,
    ) -> io::Result<(BorrowedFd<'a>, &'a OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder.as_os_str().is_empty() {
            return Ok((self.root.as_fd(), name));
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            let mut place: Option<OwnedFd> = None;
            for part in folder {
                let from = place.as_ref().map_or(self.root.as_fd(), |folder| folder.as_fd());
                place = Some(step(from, part, make)?);
            }
            self.last = place.map(|place| (folder.to_owned(), place));
        }
        let (_, place) = self.last.as_ref().ok_or(Errno::INVAL)?;
        Ok((place.as_fd(), name))
    }
}

/// Enters a folder; `make`: where there is nothing, one is made.
fn step(from: BorrowedFd<'_>, name: &OsStr, make: bool) -> io::Result<OwnedFd> {
    match rustix::fs::openat(from, name, STEP, Mode::empty()) {
        Err(Errno::NOENT) if make => {
            match rustix::fs::mkdirat(from, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(rustix::fs::openat(from, name, STEP, Mode::empty())?)
        }
        entered => entered.map_err(|error| described(from, name, error)),
    }
}

/// What the system says of a link in the way ("not a directory") helps nobody.
fn described(parent: BorrowedFd<'_>, name: &OsStr, error: Errno) -> io::Error {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = stat.map(|stat| Kind::of(FileType::from_raw_mode(stat.st_mode)));
    match (error, kind) {
        (Errno::NOTDIR | Errno::LOOP, Ok(kind @ (Kind::Symlink | Kind::File | Kind::Special))) => {
            let text = format!("`{}` is {}", name.to_string_lossy(), kind.words());
            io::Error::new(io::ErrorKind::NotADirectory, text)
        }
        _ => error.into(),
    }
}

/// `None` where it vanished meanwhile.
fn kind_of(folder: BorrowedFd<'_>, name: &OsStr, known: FileType) -> io::Result<Option<Kind>> {
    if known != FileType::Unknown {
        return Ok(Some(Kind::of(known)));
    }
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Kind::of(FileType::from_raw_mode(stat.st_mode)))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        let temporary = tempfile::tempdir().unwrap();
        let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(&inside).unwrap();
        fs::write(outside.join("secret"), "s").unwrap();
        symlink(&outside, inside.join("dir")).unwrap();
        symlink(outside.join("secret"), inside.join("file")).unwrap();

        let mut folder = Folder::open(&inside).unwrap();
        let error = folder.open_file(Path::new("dir/secret")).unwrap_err();
        assert_eq!(error.to_string(), "`dir` is a symbolic link");
        assert!(folder.open_file(Path::new("file")).is_err());
        assert!(folder.create_file(Path::new("dir/new"), 0o644).is_err());
        assert!(folder.create_file(Path::new("file"), 0o644).is_err());
        assert!(folder.list(Path::new("dir")).is_err());
        assert_eq!(folder.kind(Path::new("file")).unwrap(), Some(Kind::Symlink));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn files_are_made_with_their_folders_and_listed_sorted() {
        let temporary = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(&temporary.path().join("new")).unwrap();
        folder.create_file(Path::new("b/c/d"), 0o600).unwrap();
        folder.create_folder(Path::new("a"), 0o700).unwrap();
        folder.create_link(Path::new("z"), OsStr::new("nowhere")).unwrap();
        let listed = folder.list(Path::new("")).unwrap();
        let names: Vec<_> = listed.iter().map(|l| (l.name.to_str().unwrap(), l.kind)).collect();
        assert_eq!(names, [("a", Kind::Folder), ("b", Kind::Folder), ("z", Kind::Symlink)]);
        assert_eq!(folder.read_link(Path::new("z")).unwrap(), "nowhere");
        assert!(folder.rename(Path::new("b/c/d"), Path::new("b/c/e"), false).is_ok());
        assert_eq!(folder.kind(Path::new("b/c/d")).unwrap(), None);
    }
}
