//! The content of one open file into another: shared blocks where the file system can, else bytes.
//!
//! Holes stay holes. Whether blocks can be shared is tried once and remembered for all threads.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, Stat, ftruncate, seek};
use rustix::io::{Errno, read, write};

use crate::copy::CopyError;
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

    /// Fills the empty file `to` with what `from`, described by `stat`, holds.
    pub(crate) fn content(
        &self,
        from: &File,
        to: &File,
        stat: &Stat,
        progress: &Progress,
        buffer: &mut Vec<u8>,
    ) -> Result<(), CopyError> {
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
    fn share(&self, from: &File, to: &File) -> Result<bool, CopyError> {
        if self.cannot_share.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => {
                self.shared_any.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(CopyError::write(error)),
            Err(_) => {
                self.cannot_share.store(true, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the Linux form needs both")]
    fn share(&self, _: &File, _: &File) -> Result<bool, CopyError> {
        Ok(false)
    }
}

/// Copies `length` bytes, fewer if the file ends earlier (the caller finds it torn).
fn copy_bytes(
    from: &File,
    to: &File,
    length: u64,
    progress: &Progress,
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = match read(from, &mut buffer[..most]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(CopyError::read(error)),
        };
        write_all(to, &buffer[..count]).map_err(CopyError::write)?;
        left -= count as u64;
        progress.add_bytes(count as u64);
        if left > 0 && progress.is_stopping() {
            return Err(CopyError::Stopped);
        }
    }
    Ok(())
}

fn write_all(to: &File, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
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
) -> Result<(), CopyError> {
    let size = size(stat);
    let mut position = 0;
    while position < size {
        let start = match seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(CopyError::read(error)),
        };
        let end = seek(from, SeekFrom::Hole(start)).map_err(CopyError::read)?.min(size);
        seek(from, SeekFrom::Start(start)).map_err(CopyError::read)?;
        seek(to, SeekFrom::Start(start)).map_err(CopyError::write)?;
        copy_bytes(from, to, end.saturating_sub(start), progress, buffer)?;
        position = end.max(position + 1);
    }
    ftruncate(to, size).map_err(CopyError::write)
}
