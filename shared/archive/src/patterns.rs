//! Globs that choose paths: `*` stops at `/`, `**` does not, a folder stands for all below it.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// A pattern that is no glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a glob: {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Globs against paths relative to a workspace.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: GlobSet,
    /// What each pattern has before its first wildcard: nothing outside of that can match.
    bases: Vec<PathBuf>,
    count: usize,
}

impl Patterns {
    /// Prepares patterns. `./dist/` is `dist`, which is `dist` itself and everything below it; `.`
    /// is everything.
    ///
    /// # Errors
    /// One of them is no glob.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let mut set = GlobSetBuilder::new();
        let mut bases = Vec::with_capacity(patterns.len());
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let plain = normalized(pattern);
            // Each pattern is two globs: the path itself, and everything below it.
            set.add(glob(&plain, pattern)?);
            set.add(glob(&below(&plain), pattern)?);
            bases.push(base(&plain));
        }
        let failed = |error: globset::Error| PatternError {
            pattern: error.glob().unwrap_or_default().to_owned(),
            reason: error.kind().to_string(),
        };
        Ok(Patterns { set: set.build().map_err(failed)?, bases, count: patterns.len() })
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a pattern matches.
    pub fn matches(&self, path: &Path) -> bool {
        self.set.is_match(path)
    }

    /// Indices of the patterns that match.
    pub fn matching(&self, path: &Path) -> Vec<usize> {
        let mut found: Vec<usize> = self.set.matches(path).iter().map(|glob| glob / 2).collect();
        found.dedup();
        found
    }

    /// Whether something in `folder` or below it may match: where not, it need not be listed.
    pub fn may_match_below(&self, folder: &Path) -> bool {
        self.bases.iter().any(|base| base.starts_with(folder) || folder.starts_with(base))
    }
}

fn glob(text: &str, pattern: &str) -> Result<Glob, PatternError> {
    GlobBuilder::new(text).literal_separator(true).build().map_err(|error| PatternError {
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    })
}

/// `./dist/` as `dist`: globs are matched against paths without either.
fn normalized(pattern: &str) -> String {
    let parts = Path::new(pattern).components();
    let path: PathBuf = parts.filter(|part| !matches!(part, Component::CurDir)).collect();
    path.to_string_lossy().into_owned()
}

/// The glob for everything below what `glob` matches.
fn below(glob: &str) -> String {
    if glob.is_empty() { "**".into() } else { format!("{glob}/**") }
}

/// The folders before the first part with a wildcard or an escape.
fn base(glob: &str) -> PathBuf {
    let is_plain = |part: &&str| !part.contains(['*', '?', '[', ']', '{', '}', '\\']);
    // A brace may span slashes, as in `{a/b,c}`; nothing is known from there on either.
    glob.split('/').take_while(is_plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_for_what_is_below_and_stars_stop_at_slashes() {
        let patterns = Patterns::new(&["./dist/", "*.txt", "a/**/x"]).unwrap();
        let yes = ["dist", "dist/a/b", "b.txt", "b.txt/in", "a/x", "a/b/c/x", "a/b/x/y"];
        let no = ["distx", "src/b.txt", "x", "a/y"];
        assert!(yes.iter().all(|path| patterns.matches(Path::new(path))));
        assert!(!no.iter().any(|path| patterns.matches(Path::new(path))));
        assert_eq!(patterns.matching(Path::new("dist/x.txt")), [0]);
        assert!(Patterns::new(&["."]).unwrap().matches(Path::new("any/thing")));
        assert_eq!(Patterns::new(&["a["]).unwrap_err().pattern, "a[");
    }

    #[test]
    fn only_folders_that_may_hold_a_match_are_listed() {
        let patterns = Patterns::new(&["out/bin/*.so", "{a/b,c}/x"]).unwrap();
        assert!(patterns.may_match_below(Path::new("")));
        let one = Patterns::new(&["out/bin/*.so"]).unwrap();
        for (folder, may) in [("", true), ("out", true), ("out/bin/sub", true), ("src", false)] {
            assert_eq!(one.may_match_below(Path::new(folder)), may, "{folder}");
        }
    }
}
