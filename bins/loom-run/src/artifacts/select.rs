//! Which paths of a workspace are wanted: only folders that may hold some are looked into.

use std::{
    collections::BTreeSet,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use libloom_archive::{Folder, Kind, PatternError, Patterns, is_own};

/// A wanted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// File, symbolic link or empty folder.
    pub kind: Kind,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Selection {
    /// Sorted by the bytes of the path, so that the order is the same everywhere.
    pub chosen: Vec<Chosen>,
    /// What was left out, in words.
    pub notes: Vec<String>,
    /// What could not be looked into, in words.
    pub errors: Vec<String>,
    /// Patterns, by index, that something matched.
    matched: BTreeSet<usize>,
}

impl Selection {
    /// Patterns of `all` that nothing matched.
    pub fn unmatched<'a>(&self, all: &'a [String]) -> Vec<&'a String> {
        let all = all.iter().enumerate();
        all.filter(|(index, _)| !self.matched.contains(index)).map(|(_, text)| text).collect()
    }
}

/// Looks for what `include` wants and `exclude` does not.
///
/// # Errors
/// A pattern that is no glob.
pub fn select(
    workspace: &mut Folder,
    include: &[String],
    exclude: &[String],
) -> Result<Selection, PatternError> {
    let mut search = Search {
        include: Patterns::new(include)?,
        exclude: Patterns::new(exclude)?,
        found: Selection::default(),
    };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        search.look_into(workspace, &folder, &mut folders);
    }
    let mut found = search.found;
    let bytes = |chosen: &Chosen| chosen.path.as_os_str().as_bytes().to_owned();
    found.chosen.sort_by_cached_key(bytes);
    Ok(found)
}

struct Search {
    include: Patterns,
    exclude: Patterns,
    found: Selection,
}

impl Search {
    fn look_into(&mut self, workspace: &mut Folder, folder: &Path, more: &mut Vec<PathBuf>) {
        let listed = match workspace.list(folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                return self.found.errors.push(format!("cannot list {}: {error}", shown(folder)));
            }
        };
        if listed.is_empty() && self.wants(folder) {
            self.found.chosen.push(Chosen { path: folder.to_owned(), kind: Kind::Folder });
        }
        for entry in listed {
            let path = folder.join(&entry.name);
            match entry.kind {
                _ if is_own(&path) => {}
                Kind::Folder if !self.may_hold_some(&path) => {}
                Kind::Folder => more.push(path),
                Kind::Special if self.wants(&path) => {
                    let what = entry.kind.words();
                    self.found.notes.push(format!("{} is {what}: left out", shown(&path)));
                }
                Kind::Special => {}
                kind if self.wants(&path) => self.found.chosen.push(Chosen { path, kind }),
                _ => {}
            }
        }
    }

    fn may_hold_some(&self, folder: &Path) -> bool {
        self.include.may_match_below(folder) && !self.exclude.matches(folder)
    }

    fn wants(&mut self, path: &Path) -> bool {
        let matching = self.include.matching(path);
        let wanted = !matching.is_empty() && !self.exclude.matches(path);
        self.found.matched.extend(matching.into_iter().filter(|_| wanted));
        wanted
    }
}

/// A path in a sentence.
pub fn shown(path: &Path) -> String {
    format!("`{}`", path.to_string_lossy().escape_debug())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn selected(include: &[&str], exclude: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let paths =
            ["dist/a.js", "dist/a/b", "dist/maps/a.map", "b.txt", "src/b.txt", ".git/config"];
        for path in paths {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), path).unwrap();
        }
        fs::create_dir(folder.path().join("dist/empty")).unwrap();
        symlink("/etc", folder.path().join("dist/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("dist/s")).unwrap();
        let (include, exclude) = (texts(include), texts(exclude));
        let mut workspace = Folder::open(folder.path()).unwrap();
        let found = select(&mut workspace, &include, &exclude).unwrap();
        let unmatched = found.unmatched(&include).into_iter().cloned().collect();
        let chosen = found.chosen.into_iter().map(|c| c.path.to_str().unwrap().to_owned());
        (chosen.collect(), unmatched, found.notes)
    }

    #[test]
    fn files_links_and_empty_folders_are_chosen_in_the_order_of_bytes() {
        let (found, unmatched, notes) = selected(&["./dist/", "none/*"], &["dist/**/*.map"]);
        assert_eq!(found, ["dist/a.js", "dist/a/b", "dist/empty", "dist/link"]);
        assert_eq!(unmatched, ["none/*"]);
        assert_eq!(notes, ["`dist/s` is a pipe, a socket or a device: left out"]);
        assert_eq!(selected(&["*.txt"], &[]).0, ["b.txt"]);
        assert_eq!(selected(&["**/*.txt"], &[]).0, ["b.txt", "src/b.txt"]);
        assert_eq!(selected(&["."], &["dist"]).0, ["b.txt", "src/b.txt"]);
        assert_eq!(selected(&["src/../b.txt", "dist"], &["dist/**"]).1.len(), 2);
    }
}
