//! Outputs of a build: written beside their place, and put there when they are whole.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use bollard::query_parameters::ImageBuildOutput;
use futures_util::StreamExt as _;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tar::{Archive, EntryType};
use tempfile::{NamedTempFile, TempDir};

use super::{BuildError, BuildEvent, BuildSpec, OnBuildEvent, OutputError, OutputKind};
use crate::{Engine, EngineError};

/// Beginning of names of files in the making.
const TEMPORARY: &str = ".loom-output-";

impl Engine {
    /// Writes what is asked for of a build whose image is `id`.
    pub(super) async fn write_output(
        &self,
        spec: &BuildSpec,
        id: &str,
        (kind, path): (OutputKind, &Path),
        on_event: OnBuildEvent<'_>,
    ) -> Result<(), BuildError> {
        match kind {
            OutputKind::Docker | OutputKind::Oci => {
                self.save_image(spec.name.as_deref().unwrap_or(id), path).await
            }
            OutputKind::Tar | OutputKind::Local => {
                self.export_files(spec, (kind, path.to_owned()), on_event).await
            }
        }
    }

    async fn save_image(&self, image: &str, path: &Path) -> Result<(), BuildError> {
        let unwritable = |source| OutputError::Unwritable { path: path.to_owned(), source };
        let mut file = beside(path).map_err(unwritable)?;
        let mut archive = std::pin::pin!(self.docker.export_image(image));
        while let Some(part) = archive.next().await {
            let part = part.map_err(|error| self.error(error, "saved an image"))?;
            file.write_all(&part).map_err(unwritable)?;
        }
        file.persist(path).map_err(|error| unwritable(error.error))?;
        Ok(())
    }

    /// Has BuildKit give the files of the last stage, from its cache.
    async fn export_files(
        &self,
        spec: &BuildSpec,
        (kind, path): (OutputKind, PathBuf),
        on_event: OnBuildEvent<'_>,
    ) -> Result<(), BuildError> {
        let unwritable = |source| OutputError::Unwritable { path: path.clone(), source };
        // A pipe, because whoever writes to it on BuildKit's behalf does not tell when the last
        // byte is on disk, or could not be written.
        let pipe = Pipe::new().map_err(|source| EngineError::Local {
            what: "make a pipe for the output".into(),
            source,
        })?;
        let from = pipe.path.clone();
        let to = path.clone();
        let writing = tokio::task::spawn_blocking(move || match kind {
            OutputKind::Local => unpack(&from, &to),
            _ => copy(&from, &to),
        });
        let output = ImageBuildOutput::Tar(pipe.path.to_string_lossy().into_owned());
        // Its steps were told of when the image was built.
        let mut quiet = |event: BuildEvent| match event {
            BuildEvent::StepStarted { name, .. } if name.starts_with('[') => {}
            BuildEvent::StepFinished { name, .. } if name.starts_with('[') => {}
            BuildEvent::Output { .. } | BuildEvent::Warning { .. } => {}
            event => on_event(event),
        };
        let solved = self.solve(spec, Some(output), &mut quiet).await;
        drop(pipe);
        let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match (solved, written) {
            // It broke off here because it did there.
            (Err(error), Err(cause)) if cause.kind() == io::ErrorKind::UnexpectedEof => Err(error),
            (_, Err(cause)) => Err(unwritable(cause).into()),
            (solved, Ok(())) => solved.map(drop),
        }
    }
}

/// A named pipe. When it goes, whoever reads from it sees its end, and whoever has not opened it
/// yet finds nothing.
struct Pipe {
    path: PathBuf,
    _folder: TempDir,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let folder = TempDir::with_prefix("loom-output-")?;
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Pipe { path, _folder: folder })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Open for both, it never blocks; closed after the name is gone, nobody waits.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let both = File::options().read(true).write(true).custom_flags(flags).open(&self.path);
        drop(fs::remove_file(&self.path));
        drop(both);
    }
}

/// A file in the making, of the mode that a new file has.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

fn copy(pipe: &Path, to: &Path) -> io::Result<()> {
    let mut pipe = File::open(pipe)?;
    let mut file = beside(to)?;
    if io::copy(&mut pipe, &mut file)? == 0 {
        return Err(nothing_came());
    }
    file.persist(to).map_err(|error| error.error)?;
    Ok(())
}

fn nothing_came() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the builder gave nothing")
}

/// Unpacks beside `to`, then moves it there, entry by entry where `to` exists.
fn unpack(pipe: &Path, to: &Path) -> io::Result<()> {
    let mut pipe = File::open(pipe)?;
    let parent = to.parent().unwrap_or(to);
    let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent)?;
    unpack_files(&mut pipe, folder.path())?;
    // The sender must be able to finish.
    io::copy(&mut pipe, &mut io::sink())?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    if fs::symlink_metadata(to).is_err() {
        return fs::rename(folder.keep(), to);
    }
    merge(folder.path(), to)
}

/// Unpacks files, folders and links; devices are not for a workspace. Folders get their modes
/// last, so that those without write permission can be filled.
fn unpack_files(pipe: &mut File, to: &Path) -> io::Result<()> {
    let mut archive = Archive::new(pipe);
    archive.set_preserve_permissions(false);
    let mut folders = Vec::new();
    let mut is_empty = true;
    for entry in archive.entries()? {
        let mut entry = entry?;
        is_empty = false;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Block | EntryType::Char | EntryType::Fifo) {
            continue;
        }
        let path = to.join(entry.path()?);
        let mode = entry.header().mode()? & 0o777;
        if entry.unpack_in(to)? && kind == EntryType::Directory {
            fs::set_permissions(&path, Permissions::from_mode(mode | 0o700))?;
            folders.push((path, mode));
        }
    }
    for (path, mode) in folders.into_iter().rev() {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    if is_empty { Err(nothing_came()) } else { Ok(()) }
}

/// Moves what is in `from` into `to`: folders are merged, all else replaced.
fn merge(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let there = fs::symlink_metadata(&target).ok();
        let is_folder = entry.file_type()?.is_dir();
        match there {
            Some(there) if is_folder && there.is_dir() => merge(&entry.path(), &target)?,
            _ => fs::rename(entry.path(), &target)?,
        }
    }
    Ok(())
}
