//! Content on its way: its checksum is made while it is written, and zeros become holes.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
};

use sha2::{Digest as _, Sha256};

/// Zeros shorter than a block of a file system gain nothing as a hole.
const HOLE_BYTES_MIN: usize = 4096;

/// Content that passes by; written to a file where there is one.
#[derive(Debug)]
pub struct Content {
    hash: Sha256,
    size: u64,
    file: Option<File>,
    /// The file ends in a hole that nothing was written behind yet.
    in_hole: bool,
}

/// Content that has passed.
#[derive(Debug)]
pub struct Copied {
    /// Its bytes.
    pub size: u64,
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    /// The file it was written to.
    pub file: Option<File>,
}

impl Content {
    /// Content of which only the checksum is wanted.
    pub fn checked() -> Self {
        Content { hash: Sha256::new(), size: 0, file: None, in_hole: false }
    }

    /// Content for a new file.
    pub fn written_to(file: File) -> Self {
        Content { file: Some(file), ..Content::checked() }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        let Some(file) = &mut self.file else { return Ok(()) };
        self.in_hole = bytes.len() >= HOLE_BYTES_MIN && is_zero(bytes);
        match i64::try_from(bytes.len()) {
            Ok(length) if self.in_hole => file.seek(SeekFrom::Current(length)).map(drop),
            _ => file.write_all(bytes),
        }
    }

    /// All has passed.
    ///
    /// # Errors
    /// The file's length cannot be set.
    pub fn finish(self) -> io::Result<Copied> {
        if let (Some(file), true) = (&self.file, self.in_hole) {
            file.set_len(self.size)?;
        }
        Ok(Copied { size: self.size, sha256: hex(&self.hash.finalize()), file: self.file })
    }
}

/// Whether all bytes are zero.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// Lowercase hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn zeros_become_holes_and_the_length_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let mut content = Content::written_to(File::create(&path).unwrap());
        content.push(b"head").unwrap();
        content.push(&vec![0; 8 << 20]).unwrap();
        let copied = content.finish().unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!((copied.size, metadata.len()), (4 + (8 << 20), 4 + (8 << 20)));
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
        let mut plain = Content::checked();
        plain.push(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(plain.finish().unwrap().sha256, copied.sha256);
    }
}
