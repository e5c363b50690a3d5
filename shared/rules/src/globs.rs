//! Globs of `changes`, `exists`, artifacts: relative to the workspace, `*` stops at `/`.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A glob that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the glob `{glob}`: {reason}")]
pub struct GlobError {
    /// The glob.
    pub glob: String,
    /// Why.
    pub reason: String,
}

/// A set of globs.
#[derive(Clone, Debug)]
pub struct Globs(GlobSet);

impl Globs {
    /// Prepares globs. A leading `./` is dropped, and a glob that ends in `/` also matches
    /// everything below that folder, as does one without any wildcard.
    ///
    /// # Errors
    /// A malformed glob.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self, GlobError> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            for form in forms(glob.as_ref()) {
                set.add(build(&form, glob.as_ref())?);
            }
        }
        let reason = |error: globset::Error| GlobError {
            glob: error.glob().unwrap_or_default().to_owned(),
            reason: error.kind().to_string(),
        };
        set.build().map(Globs).map_err(reason)
    }

    /// Checks one glob without preparing it for matching.
    ///
    /// # Errors
    /// It is malformed.
    pub fn check(glob: &str) -> Result<(), GlobError> {
        build(glob, glob).map(|_| ())
    }

    /// Whether one of the globs matches `path`, relative and with `/`.
    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

fn build(form: &str, written: &str) -> Result<globset::Glob, GlobError> {
    GlobBuilder::new(form)
        .literal_separator(true)
        .build()
        .map_err(|error| GlobError { glob: written.to_owned(), reason: error.kind().to_string() })
}

fn forms(glob: &str) -> Vec<String> {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let folder = glob.trim_end_matches('/');
    let plain = !glob.contains(['*', '?', '[', '{']);
    match (glob.ends_with('/'), plain) {
        (true, _) => vec![format!("{folder}/**")],
        (false, true) => vec![glob.to_owned(), format!("{glob}/**")],
        (false, false) => vec![glob.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_folders_hold_what_is_below() {
        let globs = Globs::new(&["*.rs", "docs/", "a/**/x", "LICENSE", "./b"]).unwrap();
        let yes = ["m.rs", "docs/a/b", "a/x", "a/b/c/x", "LICENSE", "b", "b/c"];
        let no = ["src/m.rs", "docs", "ax", "LICENSE2", "x/LICENSE"];
        assert!(yes.iter().all(|path| globs.matches(path)));
        assert!(!no.iter().any(|path| globs.matches(path)));
    }

    #[test]
    fn malformed_glob_is_named() {
        let error = Globs::check("a[").unwrap_err().to_string();
        assert!(error.starts_with("cannot use the glob `a[`"), "{error}");
    }
}
