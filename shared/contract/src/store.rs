//! Documents on disk: written whole or not at all, read with their version checked.
//!
//! A document is one JSON object with `schema_version` and `kind`. It is written to a temporary
//! name beside its place and renamed, so a reader never sees half of one. There is no fsync: a
//! run's documents can be made again, and 1.6 ms each is more than everything else they cost.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::version::{Format, VersionError};

/// A kind of document: what its `kind` and `schema_version` say.
pub trait Document: Serialize + DeserializeOwned + JsonSchema {
    /// The value of `kind`.
    const KIND: &'static str;
    /// The format whose text `schema_version` holds.
    const FORMAT: Format;
}

/// Why a document could not be read or written. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file, or the folder it should lie in, cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the JSON it should be.
    #[error("`{}` is damaged: not a `{kind}` document", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The kind that was expected.
        kind: &'static str,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// The file holds another kind of document.
    #[error("`{}` is a `{found}` document, not a `{expected}`", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind it says it is.
        found: String,
        /// The kind that was expected.
        expected: &'static str,
    },
    /// The document's format is not one this build reads.
    #[error("cannot read `{}`", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Newer, or of another family.
        source: VersionError,
    },
}

impl StoreError {
    /// Whether the file was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StoreError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Deserialize)]
struct Header {
    schema_version: String,
    kind: String,
}

/// Reads a document, checking `kind` and `schema_version` before the rest.
///
/// # Errors
/// Unreadable, not JSON, another kind, or a version this build does not read.
pub fn read<D: Document>(path: &Path) -> Result<D, StoreError> {
    let bytes =
        fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    parse(&bytes, path)
}

/// Parses the bytes of a document; `path` only names it in errors.
///
/// # Errors
/// As [`read`], but for reading.
pub fn parse<D: Document>(bytes: &[u8], path: &Path) -> Result<D, StoreError> {
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), kind: D::KIND, source };
    let header: Header = serde_json::from_slice(bytes).map_err(damaged)?;
    if header.kind != D::KIND {
        return Err(StoreError::Kind {
            path: path.to_owned(),
            found: header.kind,
            expected: D::KIND,
        });
    }
    D::FORMAT
        .check(&header.schema_version)
        .map_err(|source| StoreError::Version { path: path.to_owned(), source })?;
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Writes a document as one line of JSON, whole or not at all. Missing folders are made.
///
/// # Errors
/// The file or its folder cannot be written; an older document of the name is then still there.
pub fn write<D: Document>(path: &Path, document: &D) -> Result<(), StoreError> {
    let mut bytes = serde_json::to_vec(document).expect("documents have string keys only");
    bytes.push(b'\n');
    write_bytes(path, &bytes).map_err(|source| StoreError::Write { path: path.to_owned(), source })
}

/// Writes a file whole or not at all, as [`write()`] does.
///
/// # Errors
/// What the system says; nothing is left behind.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match replace(path, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            replace(path, bytes)
        }
        result => result,
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a leftover that cannot be removed adds nothing.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Prefix of the names documents have while they are being written.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

fn temporary_beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY_PREFIX}{}-{number}-{name}", std::process::id()))
}
