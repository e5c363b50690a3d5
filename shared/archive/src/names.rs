//! Names of extracted paths: how documents hold them, and which of them are safe to use.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use libloom_contract::{artifacts::ArtifactEntry, layout};

/// A name in a manifest or an archive that must not be used as a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no path of an artifact: {reason}")]
pub struct NameError {
    /// The name, as text.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A path as documents hold it: text, and the exact bytes in base64 where those are not UTF-8.
pub fn encoded(path: &OsStr) -> (String, Option<String>) {
    let bytes = path.to_str().is_none().then(|| BASE64_STANDARD.encode(path.as_bytes()));
    (path.to_string_lossy().into_owned(), bytes)
}

fn decoded(text: &str, bytes: Option<&str>) -> Option<OsString> {
    match bytes {
        None => Some(text.into()),
        Some(bytes) => BASE64_STANDARD.decode(bytes).ok().map(OsString::from_vec),
    }
}

/// The path of an entry, checked by [`check_path`].
///
/// # Errors
/// The name is none that a job's workspace can hold.
pub fn entry_path(entry: &ArtifactEntry) -> Result<PathBuf, NameError> {
    let reason = "`path_bytes` is not base64";
    let path = decoded(&entry.path, entry.path_bytes.as_deref())
        .ok_or_else(|| NameError { name: entry.path.clone(), reason })?;
    check_path(path.as_bytes())?;
    Ok(path.into())
}

/// Where the link of an entry points; empty where the manifest does not say.
pub fn link_target(entry: &ArtifactEntry) -> OsString {
    let text = entry.link_target.as_deref().unwrap_or_default();
    decoded(text, entry.link_target_bytes.as_deref()).unwrap_or_default()
}

/// Checks that a name stays below the folder it is joined to, and out of what is git's and Loom's.
///
/// # Errors
/// Empty, absolute, with `.`, `..` or empty parts, with a NUL, or below `.git`.
pub fn check_path(name: &[u8]) -> Result<(), NameError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.starts_with(b"/") {
        "it is absolute"
    } else if name.contains(&0) {
        "it holds a NUL byte"
    } else if name.split(|&byte| byte == b'/').any(|part| part == b"..") {
        "it leads out of the folder"
    } else if name.split(|&byte| byte == b'/').any(|part| part.is_empty() || part == b".") {
        "it has an empty part"
    } else if is_own(Path::new(OsStr::from_bytes(name))) {
        "it belongs to git or to Loom"
    } else {
        return Ok(());
    };
    Err(NameError { name: String::from_utf8_lossy(name).into_owned(), reason })
}

/// Whether a path of a workspace is git's or Loom's own: never extracted, never restored.
pub fn is_own(path: &Path) -> bool {
    path.starts_with(".git") || path.starts_with(layout::RUNTIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/.", "a\0b"] {
            assert!(check_path(name.as_bytes()).is_err(), "{name:?}");
        }
        for name in [".git", ".git/hooks/pre-commit", ".loom/.runtime/receipts/x.json"] {
            assert!(check_path(name.as_bytes()).is_err(), "{name:?}");
        }
        for name in ["a", "..a/b..", ".gitignore", "sub/.git/config", ".loom/workflow.yml", "a\nb"]
        {
            assert_eq!(check_path(name.as_bytes()), Ok(()), "{name:?}");
        }
        assert_eq!(check_path(b"d/\xff\xfe"), Ok(()));
    }

    #[test]
    fn names_that_are_no_text_survive_a_document() {
        let path = OsStr::from_bytes(b"d/\xff\n");
        let (text, bytes) = encoded(path);
        assert_eq!(text, "d/\u{fffd}\n");
        assert_eq!(decoded(&text, bytes.as_deref()).unwrap(), path);
        assert_eq!(encoded(OsStr::new("é\n")), ("é\n".into(), None));
    }
}
