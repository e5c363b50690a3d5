//! Paths named on the command line, as paths of the repository.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libloom_entry::{Failure, normalized};

/// Files and folders; all, if none is named.
pub(crate) struct Chosen {
    named: Vec<(OsString, Vec<u8>)>,
}

impl Chosen {
    /// What `words`, relative to `cwd`, name in the repository at `root`.
    pub(crate) fn of(words: &[OsString], root: &Path, cwd: &Path) -> Result<Self, Failure> {
        let named = words.iter().map(|word| {
            let path = normalized(&cwd.join(word));
            let inside = path.strip_prefix(root).map_err(|_| {
                let what = format!("`{}` is outside the repository", Path::new(word).display());
                Failure::usage(what)
            })?;
            Ok((word.clone(), inside.as_os_str().as_bytes().to_vec()))
        });
        Ok(Self { named: named.collect::<Result<_, Failure>>()? })
    }

    /// Whether `path` is one of them or lies in one.
    pub(crate) fn holds(&self, path: &[u8]) -> bool {
        self.named.is_empty() || self.named.iter().any(|(_, named)| is_in(path, named))
    }

    /// The first word that holds none of `paths`.
    pub(crate) fn without(&self, paths: &[&[u8]]) -> Option<&OsString> {
        let has_none = |(_, named): &&(OsString, Vec<u8>)| !paths.iter().any(|p| is_in(p, named));
        self.named.iter().find(has_none).map(|(word, _)| word)
    }
}

fn is_in(path: &[u8], named: &[u8]) -> bool {
    let rest = path.strip_prefix(named);
    named.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_relative_to_the_present_folder_and_may_name_folders() {
        let chosen = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            Chosen::of(&words, Path::new("/r"), Path::new("/r/sub"))
        };
        let some = chosen(&["a", "../b/", "./c/../d"]).unwrap();
        for (path, expected) in
            [("sub/a", true), ("sub/ab", false), ("b/x/y", true), ("a", false), ("sub/d", true)]
        {
            assert_eq!(some.holds(path.as_bytes()), expected, "{path}");
        }
        assert!(chosen(&[]).unwrap().holds(b"x") && chosen(&[".."]).unwrap().holds(b"x"));
        assert!(chosen(&["../../etc"]).is_err());
        assert_eq!(some.without(&[b"sub/a", b"b/x"]).unwrap(), "./c/../d");
    }
}
