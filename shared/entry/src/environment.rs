//! The process environment, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// An immutable copy of the environment; names are in `libloom_contract::env`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name` as it is; an empty value is a value.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The value of `name` if it is not empty.
    pub fn get_non_empty(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether `name` is a switch that is on: not empty and not `0`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get_non_empty(name).is_some_and(|value| value != "0")
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The folders of `PATH`; an empty entry means the current folder, as shells read it, but an
    /// empty or missing `PATH` means no folder.
    pub fn path_folders(&self) -> Vec<PathBuf> {
        let Some(path) = self.get_non_empty("PATH") else { return Vec::new() };
        let folders = std::env::split_paths(path);
        folders.map(|f| if f.as_os_str().is_empty() { PathBuf::from(".") } else { f }).collect()
    }

    /// `$HOME`, if set and not empty.
    pub fn home(&self) -> Option<PathBuf> {
        self.get_non_empty("HOME").map(PathBuf::from)
    }

    /// `$XDG_CONFIG_HOME` if it is an absolute path, else `~/.config` (XDG base directories).
    pub fn config_home(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_CACHE_HOME` if it is an absolute path, else `~/.cache` (XDG base directories).
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.xdg("XDG_CACHE_HOME", ".cache")
    }

    /// `$TMPDIR` if set and not empty, else `/tmp`.
    pub fn temp_folder(&self) -> PathBuf {
        self.get_non_empty("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let set = self.get_non_empty(name).map(PathBuf::from).filter(|path| path.is_absolute());
        set.or_else(|| self.home().map(|home| home.join(below_home)))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let variables = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self { variables }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_off_when_empty_or_zero() {
        let env: Environment = [("A", ""), ("B", "0"), ("C", "1")].into_iter().collect();
        assert_eq!(["A", "B", "C", "D"].map(|name| env.is_on(name)), [false, false, true, false]);
    }

    #[test]
    fn relative_xdg_folder_is_ignored() {
        let env: Environment =
            [("HOME", "/h"), ("XDG_CONFIG_HOME", "rel"), ("XDG_CACHE_HOME", "/c")]
                .into_iter()
                .collect();
        assert_eq!(env.config_home(), Some(PathBuf::from("/h/.config")));
        assert_eq!(env.cache_home(), Some(PathBuf::from("/c")));
    }

    #[test]
    fn empty_path_entry_is_the_current_folder() {
        let env: Environment = [("PATH", "/a::/b")].into_iter().collect();
        assert_eq!(env.path_folders(), ["/a", ".", "/b"].map(PathBuf::from));
        assert!(Environment::default().path_folders().is_empty());
    }
}
