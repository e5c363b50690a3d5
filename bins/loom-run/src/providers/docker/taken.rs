//! What goes into a container and comes out of it by way of the engine, as archives.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use libloom_archive::{Patterns, is_own};
use libloom_engine::Engine;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    Trouble, WORKSPACE,
    container::{Container, Input},
    layers::{is_opaque, is_whiteout},
    workspace::Laid,
};

/// Bytes that wait between the engine and the disk.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES: usize = 4;

/// Sends what a folder of the host holds into a folder of a container.
///
/// # Errors
/// It cannot be read, or the engine refuses it.
pub async fn send(engine: &Engine, id: &str, from: &Path, to: &str) -> Result<(), Trouble> {
    let folder = from.to_owned();
    let write = move |pipe: Pipe| {
        let mut archive = tar::Builder::new(pipe);
        archive.follow_symlinks(false);
        archive.append_dir_all(".", &folder)?;
        archive.into_inner()?.flush()
    };
    send_archive(engine, id, to, write).await
}

/// Sends one file to the very path where the container is to see it.
///
/// # Errors
/// It cannot be read, or the engine refuses it.
pub async fn send_file(engine: &Engine, id: &str, input: &Input) -> Result<(), Trouble> {
    let Input { from, to } = input.clone();
    let write = move |pipe: Pipe| {
        let mut archive = tar::Builder::new(pipe);
        let mut file = File::open(&from)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o444);
        let name = to.trim_start_matches('/').to_owned();
        archive.append_data(&mut header, name, &mut file)?;
        archive.into_inner()?.flush()
    };
    send_archive(engine, id, "/", write).await
}

/// Leaves an empty file in a container that has ended.
///
/// # Errors
/// The engine refuses it.
pub async fn mark(engine: &Engine, id: &str, name: &str) -> Result<(), Trouble> {
    let name = name.trim_start_matches('/').to_owned();
    let write = move |pipe: Pipe| {
        let mut archive = tar::Builder::new(pipe);
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o444);
        archive.append_data(&mut header, name, io::empty())?;
        archive.into_inner()?.flush()
    };
    send_archive(engine, id, "/", write).await
}

async fn send_archive(
    engine: &Engine,
    id: &str,
    to: &str,
    write: impl FnOnce(Pipe) -> io::Result<()> + Send + 'static,
) -> Result<(), Trouble> {
    let (sender, receiver) = channel(PIECES);
    let writer = tokio::task::spawn_blocking(move || write(Pipe::new(sender)));
    let sent = engine.upload(id, to, pieces(receiver)).await;
    let written = writer.await.map_err(|error| Trouble::section(error.to_string()))?;
    // A receiver that is gone makes the writer fail, too: the engine knows why.
    sent.map_err(|error| Trouble::new("cannot send files into the container", &error))?;
    written
        .map_err(|error| Trouble::section(format!("cannot send files into the container: {error}")))
}

fn pieces(receiver: Receiver<Bytes>) -> impl Stream<Item = Bytes> {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}

/// Written to on a thread, read from by the engine's connection.
struct Pipe {
    sender: Sender<Bytes>,
    piece: Vec<u8>,
}

impl Pipe {
    fn new(sender: Sender<Bytes>) -> Self {
        Pipe { sender, piece: Vec::with_capacity(PIECE_BYTES) }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Read from on a thread, written to by the engine's connection.
struct Arriving {
    receiver: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// Makes a folder of the host that holds what these patterns want of the container's workspace, and
/// maybe more. Where the changes lie on this machine and can be read, files are
/// linked; otherwise the engine sends them.
///
/// # Errors
/// Something cannot be read or written.
pub async fn view(
    container: &Container,
    patterns: &[String],
    folder: &Path,
) -> Result<(), Trouble> {
    let wanted = Patterns::new(patterns).map_err(|error| Trouble::section(error.to_string()))?;
    let paths = literal_parts(patterns);
    let failed = |error: &io::Error| {
        Trouble::section(format!("cannot take files out of the container: {error}"))
    };
    fs::create_dir(folder).map_err(|error| failed(&error))?;
    if let Some(laid) = &container.provided.overlay {
        let linked = paths.iter().try_for_each(|path| link_merged(laid, path, &wanted, folder));
        match linked {
            Ok(()) => return Ok(()),
            // Made by another user in the container: the engine can read it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::remove_dir_all(folder).map_err(|error| failed(&error))?;
                fs::create_dir(folder).map_err(|error| failed(&error))?;
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    for path in &paths {
        fetch(&container.engine, &container.id, path, folder)
            .await
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The deepest paths below which everything lies that the patterns may match, none within another.
fn literal_parts(patterns: &[String]) -> Vec<PathBuf> {
    let literal = |pattern: &String| -> PathBuf {
        let parts = Path::new(pattern.as_str()).components();
        let plain = parts.filter(|part| !matches!(part, Component::CurDir));
        plain
            .take_while(|part| {
                !part.as_os_str().as_encoded_bytes().iter().any(|b| b"*?[{\\".contains(b))
            })
            .collect()
    };
    let leads_out =
        |path: &PathBuf| path.components().any(|part| !matches!(part, Component::Normal(_)));
    let mut paths: Vec<PathBuf> =
        patterns.iter().map(literal).filter(|path| !leads_out(path)).collect();
    paths.sort();
    paths.dedup_by(|path, above| path.starts_with(above));
    paths
}

/// Unpacks what a path of the container's workspace holds into the same path below `folder`.
async fn fetch(engine: &Engine, id: &str, path: &Path, folder: &Path) -> io::Result<()> {
    let from = Path::new(WORKSPACE).join(path);
    let Some(from) = from.to_str() else {
        return Err(io::Error::other(format!("`{}` is not UTF-8", path.display())));
    };
    let (sender, receiver) = channel(PIECES);
    let into = folder.join(path);
    let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, &into));
    let mut stream = std::pin::pin!(engine.download(id, from.trim_end_matches('/')));
    while let Some(piece) = stream.next().await {
        let is_end = piece.is_err();
        if sender.send(piece).await.is_err() || is_end {
            break;
        }
    }
    drop(sender);
    match unpacking.await.map_err(io::Error::other)? {
        // Nothing is there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Unpacks an archive whose names begin with one that stands for `into`.
fn unpack(receiver: Receiver<io::Result<Bytes>>, into: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(Arriving { receiver, piece: Bytes::new() });
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let below: PathBuf = name.components().skip(1).collect();
        if below.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("`{}` leads elsewhere", name.display())));
        }
        let to = into.join(&below);
        let to = if below.as_os_str().is_empty() { into.to_owned() } else { to };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = entry.header().mode()?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                fs::create_dir_all(&to)?;
                folders.push((to, mode));
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                symlink(target, &to)?;
            }
            tar::EntryType::Link => {
                let first = entry.link_name()?.unwrap_or_default().into_owned();
                let first: PathBuf = first.components().skip(1).collect();
                fs::hard_link(into.join(first), &to)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mut file = File::create_new(&to)?;
                io::copy(&mut entry, &mut file)?;
                file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
                let time =
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(entry.header().mtime()?);
                file.set_modified(time)?;
            }
            // Pipes, sockets and devices are no artifacts.
            _ => {}
        }
    }
    // Last, so that a folder that cannot be written to can be filled.
    for (folder, mode) in folders.into_iter().rev() {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o7777 | 0o700))?;
    }
    Ok(())
}

/// Links what is at `path` in the overlay into the same path below `folder`.
fn link_merged(laid: &Laid, path: &Path, wanted: &Patterns, folder: &Path) -> io::Result<()> {
    let upper = laid.upper();
    let layers: Vec<&Path> = [upper.as_path()]
        .into_iter()
        .chain(laid.below.lower.iter().map(PathBuf::as_path))
        .collect();
    // Which layers still count below the folders that lead to the path.
    let (mut seen, mut at) = (layers, PathBuf::new());
    for part in path.components() {
        at.push(part);
        seen = visible(&seen, &at)?;
    }
    merge(&seen, path, wanted, folder)
}

/// The layers, uppermost first, that show something at `path`, which they all may hold.
fn visible<'l>(layers: &[&'l Path], path: &Path) -> io::Result<Vec<&'l Path>> {
    let mut seen = Vec::new();
    for layer in layers {
        let at = layer.join(path);
        let metadata = match fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if is_whiteout(&metadata) || (!metadata.is_dir() && !seen.is_empty()) {
            break;
        }
        seen.push(*layer);
        if !metadata.is_dir() || is_opaque(&at) {
            break;
        }
    }
    Ok(seen)
}

/// Links what the layers show at `path`.
fn merge(layers: &[&Path], path: &Path, wanted: &Patterns, folder: &Path) -> io::Result<()> {
    let Some(first) = layers.first().filter(|_| !is_own(path)) else { return Ok(()) };
    let (from, to) = (first.join(path), folder.join(path));
    let metadata = fs::symlink_metadata(&from)?;
    let is_wanted = match metadata.is_dir() {
        true => wanted.may_match_below(path) || wanted.matches(path),
        false => wanted.matches(path),
    };
    if !is_wanted {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if !metadata.is_dir() {
        return link(&from, &to, &metadata);
    }
    fs::create_dir_all(&to)?;
    let mut names: Vec<OsString> = Vec::new();
    for layer in layers {
        for entry in fs::read_dir(layer.join(path))? {
            names.push(entry?.file_name());
        }
    }
    names.sort();
    names.dedup();
    for name in names {
        let path = path.join(name);
        merge(&visible(layers, &path)?, &path, wanted, folder)?;
    }
    Ok(())
}

fn link(from: &Path, to: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !metadata.is_file() {
        return Ok(());
    }
    // What the caller may not read must not be linked to either.
    File::open(from)?;
    match fs::hard_link(from, to) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::CrossesDevices | io::ErrorKind::PermissionDenied
            ) =>
        {
            let copied = fs::copy(from, to).map(drop);
            let modified = metadata.modified();
            copied.and_then(|()| File::options().append(true).open(to)?.set_modified(modified?))
        }
        result => result,
    }
}
