//! The content of one open file into another: shared blocks where the file system can, else bytes.
//!
//! Holes stay holes. Whether blocks can be shared is tried once and remembered for all threads.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, Stat, ftruncate, seek};
use rustix::io::Errno;

use crate::pool::size;
use crate::progress::Progress;

/// Copies contents between one pair of file systems.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    cannot_share: AtomicBool,
    shared_any: AtomicBool,
}

/// Bytes moved at once.
const CHUNK: usize = 256 * 1024;

impl Transfer {
    /// Whether at least one file shares its blocks with its source.
    pub(crate) fn shared_any(&self) -> bool {
        self.shared_any.load(Ordering::Relaxed)
    }

    /// Fills the empty file `to` with what `from`, described by `stat`, holds; the error
    /// `Interrupted` means that `progress` says to stop.
    pub(crate) fn content(
        &self,
        from: &File,
        to: &File,
        stat: &Stat,
        progress: &Progress,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        if stat.st_size == 0 || self.share(from, to)? {
            progress.add_bytes(size(stat));
            return Ok(());
        }
        // No larger than files need: clearing what is not used costs more than copying small ones.
        let wanted = usize::try_from(stat.st_size).map_or(CHUNK, |size| size.min(CHUNK));
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        // `st_blocks` counts 512 bytes whatever the block size; fewer than the size means holes.
        if stat.st_size > 1 << 20 && stat.st_blocks.saturating_mul(512) < stat.st_size {
            return copy_with_holes(from, to, stat, progress, buffer);
        }
        copy_bytes(from, to, size(stat), progress, buffer)
    }

    #[cfg(target_os = "linux")]
    fn share(&self, from: &File, to: &File) -> io::Result<bool> {
        if self.cannot_share.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => {
                self.shared_any.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(error.into()),
            Err(_) => {
                self.cannot_share.store(true, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the Linux form needs both")]
    fn share(&self, _: &File, _: &File) -> io::Result<bool> {
        Ok(false)
    }
}

/// Copies `length` bytes, fewer if the file ends earlier (the caller finds it torn).
fn copy_bytes(
    mut from: &File,
    mut to: &File,
    length: u64,
    progress: &Progress,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = match from.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..count])?;
        left -= count as u64;
        progress.add_bytes(count as u64);
        if left > 0 && progress.is_stopping() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok(())
}

fn copy_with_holes(
    from: &File,
    to: &File,
    stat: &Stat,
    progress: &Progress,
    buffer: &mut [u8],
) -> io::Result<()> {
    let size = size(stat);
    let mut position = 0;
    while position < size {
        let start = match seek(from.as_fd(), SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from.as_fd(), SeekFrom::Hole(start))?.min(size);
        seek(from.as_fd(), SeekFrom::Start(start))?;
        seek(to.as_fd(), SeekFrom::Start(start))?;
        copy_bytes(from, to, end.saturating_sub(start), progress, buffer)?;
        position = end.max(position + 1);
    }
    ftruncate(to, size)?;
    Ok(())
}
