//! The build context: a folder of the workspace, sent to the engine as a tar archive.
//!
//! The archive depends on nothing but the files: sorted names, no owners, whole seconds. Links
//! are sent as links and never followed, so nothing outside of the context gets in. Sockets and
//! devices are left out.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Component, Path, PathBuf},
};

use rustix::fs::OFlags;
use tar::{Builder as Tar, EntryType, Header};

use super::{
    Builder,
    dockerignore::{BadPattern, Ignore, Matched},
};

const IGNORE_FILE: &str = ".dockerignore";

/// Why a build context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// It is not there.
    #[error("cannot use the build context {}: {source}", .path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It leads out of the workspace.
    #[error(
        "the build context {} is not inside of the workspace {}",
        .path.display(),
        .workspace.display()
    )]
    OutsideWorkspace {
        /// The folder, links resolved.
        path: PathBuf,
        /// The workspace.
        workspace: PathBuf,
    },
    /// There is no such Dockerfile.
    #[error(
        "cannot read the Dockerfile {} of the build context {}: {source}",
        .path.display(),
        .context.display()
    )]
    NoDockerfile {
        /// The file.
        path: PathBuf,
        /// The context.
        context: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The Dockerfile is elsewhere.
    #[error(
        "the Dockerfile {} is not inside of the build context {}",
        .path.display(),
        .context.display()
    )]
    DockerfileOutside {
        /// The file, links resolved.
        path: PathBuf,
        /// The context.
        context: PathBuf,
    },
    /// A pattern of the ignore file is none.
    #[error("{}: {source}", .path.display())]
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// Which, and why.
        source: BadPattern,
    },
    /// A file cannot be read.
    #[error("cannot read {} of the build context: {source}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine no longer wants it.
    #[error("the build context was not taken: {0}")]
    NotTaken(io::Error),
}

/// A folder that can be sent.
#[derive(Clone, Debug)]
pub struct Context {
    /// The folder, links resolved.
    root: PathBuf,
    /// Relative to it, links resolved.
    dockerfile: PathBuf,
    ignore: Ignore,
}

impl Context {
    /// Looks for a context in a workspace, and for the Dockerfile (relative to it) in that.
    ///
    /// # Errors
    /// Either is missing or outside of where it must be, be it by a link; or the ignore file is
    /// wrong.
    pub fn find(workspace: &Path, folder: &str, dockerfile: &str) -> Result<Self, ContextError> {
        let workspace = folder_at(workspace)?;
        let root = folder_at(&workspace.join(folder))?;
        if !root.starts_with(&workspace) {
            return Err(ContextError::OutsideWorkspace { path: root, workspace });
        }
        let written = normal(&root.join(dockerfile));
        let dockerfile = dockerfile_at(&written, &root)?;
        let ignore = ignore(&root, &written)?;
        Ok(Context { root, dockerfile, ignore })
    }

    /// The folder, links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Dockerfile, relative to the folder, links resolved.
    pub fn dockerfile(&self) -> &Path {
        &self.dockerfile
    }

    /// A number that changes when a file that is sent does: by its name, kind, mode, size and
    /// times, not its contents.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn fingerprint(&self) -> Result<u64, ContextError> {
        let mut hasher = DefaultHasher::new();
        self.dockerfile.hash(&mut hasher);
        self.walk(Builder::Classic, &mut |path, metadata| {
            path.as_os_str().hash(&mut hasher);
            (metadata.mode(), metadata.ino()).hash(&mut hasher);
            if !metadata.is_dir() {
                (metadata.len(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
                (metadata.ctime(), metadata.ctime_nsec()).hash(&mut hasher);
            }
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// Writes the archive for a builder.
    ///
    /// # Errors
    /// A file cannot be read, or `to` fails.
    pub fn write(&self, builder: Builder, to: impl Write) -> Result<(), ContextError> {
        let mut archive = Tar::new(to);
        self.walk(builder, &mut |path, metadata| append(&mut archive, &self.root, path, metadata))?;
        archive.into_inner().and_then(|mut to| to.flush()).map_err(ContextError::NotTaken)
    }

    /// Visits what is sent: a folder before what is in it, all in the order of names.
    fn walk(&self, builder: Builder, visit: Visit<'_>) -> Result<(), ContextError> {
        let mut forced = vec![self.dockerfile.clone()];
        // The classic builder takes files that it reads only for itself out again where the
        // ignore file names them, and needs the ignore file for that. BuildKit does not.
        if builder == Builder::Classic {
            forced.push(IGNORE_FILE.into());
        }
        let mut walk = Walk { context: self, forced, waiting: Vec::new(), visit };
        walk.folder(Path::new(""), &Matched::default(), false)
    }
}

/// An existing folder, links resolved.
fn folder_at(path: &Path) -> Result<PathBuf, ContextError> {
    let error = |source| ContextError::NoFolder { path: path.to_owned(), source };
    let real = fs::canonicalize(path).map_err(error)?;
    match real.is_dir() {
        true => Ok(real),
        false => Err(error(io::ErrorKind::NotADirectory.into())),
    }
}

/// An existing Dockerfile, relative to the context, links resolved.
fn dockerfile_at(path: &Path, context: &Path) -> Result<PathBuf, ContextError> {
    let outside = |path| ContextError::DockerfileOutside { path, context: context.to_owned() };
    let error = |source| ContextError::NoDockerfile {
        path: path.to_owned(),
        context: context.to_owned(),
        source,
    };
    if !path.starts_with(context) {
        return Err(outside(path.to_owned()));
    }
    let real = fs::canonicalize(path).map_err(error)?;
    let Ok(relative) = real.strip_prefix(context) else { return Err(outside(real)) };
    match real.is_file() {
        true => Ok(relative.to_owned()),
        false => Err(error(io::Error::other("it is no file"))),
    }
}

type Visit<'a> = &'a mut dyn FnMut(&Path, &Metadata) -> Result<(), ContextError>;

/// A walk through a context.
struct Walk<'a> {
    context: &'a Context,
    /// What is sent whatever the ignore file says.
    forced: Vec<PathBuf>,
    /// Excluded folders on the way here, not sent yet: only if something in them is.
    waiting: Vec<(PathBuf, Metadata)>,
    visit: Visit<'a>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        matched: &Matched,
        excluded: bool,
    ) -> Result<(), ContextError> {
        let path = self.context.root.join(folder);
        match names(&path) {
            Ok(names) => names.iter().try_for_each(|name| self.entry(&folder.join(name), matched)),
            Err(error) if excluded && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(source) => Err(ContextError::Unreadable { path, source }),
        }
    }

    fn entry(&mut self, relative: &Path, parent: &Matched) -> Result<(), ContextError> {
        let path = self.context.root.join(relative);
        let metadata = fs::symlink_metadata(&path)
            .map_err(|source| ContextError::Unreadable { path, source })?;
        let (excluded, matched) = self.context.ignore.excludes(relative, parent);
        if !metadata.is_dir() {
            if excluded && !self.forced.iter().any(|forced| forced == relative) {
                return Ok(());
            }
            return self.send(relative, &metadata);
        }
        if !excluded {
            self.send(relative, &metadata)?;
            return self.folder(relative, &matched, excluded);
        }
        let holds_forced = self.forced.iter().any(|forced| forced.starts_with(relative));
        if !holds_forced && !self.context.ignore.may_let_in(relative) {
            return Ok(());
        }
        let before = self.waiting.len();
        self.waiting.push((relative.to_owned(), metadata));
        self.folder(relative, &matched, excluded)?;
        self.waiting.truncate(before);
        Ok(())
    }

    fn send(&mut self, relative: &Path, metadata: &Metadata) -> Result<(), ContextError> {
        let kind = metadata.file_type();
        if kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            return Ok(());
        }
        for (folder, metadata) in self.waiting.drain(..) {
            (self.visit)(&folder, &metadata)?;
        }
        (self.visit)(relative, metadata)
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let mut names = entries.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// The ignore file: the Dockerfile's own, where there is one.
fn ignore(root: &Path, dockerfile: &Path) -> Result<Ignore, ContextError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(IGNORE_FILE);
    for path in [PathBuf::from(own), root.join(IGNORE_FILE)] {
        match fs::read(&path) {
            Ok(text) => {
                let bad = |source| ContextError::Ignore { path, source };
                return Ignore::parse(&text).map_err(bad);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ContextError::Unreadable { path, source }),
        }
    }
    Ok(Ignore::default())
}

/// An absolute path without `.` and `..`, links unresolved.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

fn append(
    archive: &mut Tar<impl Write>,
    root: &Path,
    relative: &Path,
    metadata: &Metadata,
) -> Result<(), ContextError> {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
    header.set_size(0);
    let kind = metadata.file_type();
    if kind.is_file() {
        return append_file(archive, header, root, relative);
    }
    let result = if kind.is_symlink() {
        let path = root.join(relative);
        let target =
            fs::read_link(&path).map_err(|source| ContextError::Unreadable { path, source })?;
        header.set_entry_type(EntryType::Symlink);
        // As it is written: `append_link` would tidy a short one.
        match header.set_link_name_literal(target.as_os_str().as_bytes()) {
            Ok(()) => archive.append_data(&mut header, relative, io::empty()),
            Err(_) => archive.append_link(&mut header, relative, &target),
        }
    } else {
        header.set_entry_type(if kind.is_dir() { EntryType::Directory } else { EntryType::Fifo });
        archive.append_data(&mut header, relative, io::empty())
    };
    result.map_err(ContextError::NotTaken)
}

fn append_file(
    archive: &mut Tar<impl Write>,
    mut header: Header,
    root: &Path,
    relative: &Path,
) -> Result<(), ContextError> {
    let path = root.join(relative);
    let unreadable = |source| ContextError::Unreadable { path: path.clone(), source };
    // It may have become something else since it was looked at.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(&path).map_err(unreadable)?;
    let left = file.metadata().map_err(unreadable)?.len();
    header.set_size(left);
    let mut exactly = Exactly { file, left, failure: None };
    let result = archive.append_data(&mut header, relative, &mut exactly);
    match exactly.failure {
        Some(source) => Err(unreadable(source)),
        None => result.map_err(ContextError::NotTaken),
    }
}

/// As many bytes as were promised: an archive cannot take fewer or more.
struct Exactly {
    file: File,
    left: u64,
    /// Why reading failed, to tell it from writing.
    failure: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let error = match self.file.read(&mut buffer[..most]) {
            Ok(0) => io::Error::other("it became shorter while it was read"),
            Ok(count) => {
                self.left -= count as u64;
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        self.failure = Some(error);
        Err(io::ErrorKind::Other.into())
    }
}

#[cfg(test)]
mod tests;
