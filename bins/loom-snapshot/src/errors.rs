//! Failures in words: what, where and how to mend it.

use std::error::Error;
use std::io;

use libloom_console::printable;
use libloom_entry::Failure;

use crate::copy::CopyError;

/// `path` of the repository could not be copied.
pub(crate) fn cannot_copy(path: &[u8], error: CopyError) -> Failure {
    let text = String::from_utf8_lossy(path);
    let hint = match &error {
        CopyError::Read(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("make it readable, or have git ignore it".to_owned())
        }
        CopyError::Special(_) => Some("remove it, or `git rm --cached` its path".to_owned()),
        CopyError::Torn => Some("stop what writes to it, then try again".to_owned()),
        CopyError::Write(source) => write_hint(source),
        CopyError::Read(_) | CopyError::Stopped => None,
    };
    let failure =
        Failure::could_not(error).context(format_args!("cannot copy `{}`", printable(&text)));
    hint.into_iter().fold(failure, Failure::hint)
}

/// `what` could not be written to the place where snapshots are made.
pub(crate) fn cannot_write(what: impl std::fmt::Display, error: impl Into<io::Error>) -> Failure {
    let error = error.into();
    let hint = write_hint(&error);
    let failure = Failure::could_not(Box::<dyn Error + Send + Sync>::from(error)).context(what);
    hint.into_iter().fold(failure, Failure::hint)
}

fn write_hint(error: &io::Error) -> Option<String> {
    let place = "set TMPDIR or LOOM_SNAPSHOT_DIR to a folder";
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("make room (`loom snapshot prune`), or {place} on a larger file system"))
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some(format!("{place} that you can write to"))
        }
        _ => None,
    }
}
