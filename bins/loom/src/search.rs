//! Where commands are: one's own folder and `PATH`, in an order that depends on the name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use libloom_entry::{Context, is_executable};

use crate::{executable_name, shipped};

/// The folders searched. A shipped command is taken from the dispatcher's own folder first, so
/// that versions never mix silently; any other from `PATH` first, so that users have the say.
#[derive(Debug)]
pub(crate) struct Search {
    own: Option<PathBuf>,
    path: Vec<PathBuf>,
}

impl Search {
    pub(crate) fn new(context: &Context) -> Self {
        let path = context.siblings.path_folders().iter().map(|folder| context.cwd.join(folder));
        Self { own: context.siblings.own_folder().map(Path::to_owned), path: path.collect() }
    }

    /// The program that `loom name` starts.
    pub(crate) fn find(&self, name: &OsStr) -> Option<PathBuf> {
        self.candidates(name).into_iter().find(|path| is_executable(path))
    }

    /// Every program of that name, the one that is started first; the same folder reached by two
    /// names (`/bin` and `/usr/bin`) counts once.
    pub(crate) fn copies(&self, name: &OsStr) -> Vec<PathBuf> {
        let mut folders = BTreeSet::new();
        let programs = self.candidates(name).into_iter().filter(|path| is_executable(path));
        programs.filter(|path| folders.insert(real_folder(path))).collect()
    }

    /// A file that would be the command if it were executable.
    pub(crate) fn not_executable(&self, name: &OsStr) -> Option<PathBuf> {
        self.candidates(name).into_iter().find(|path| path.is_file())
    }

    /// All commands: name to copies, the one that is started first. Names that are not UTF-8 can
    /// be started but are not listed.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let names: BTreeSet<String> = self.folders().flat_map(names_in).collect();
        let with_copies = names.into_iter().map(|name| {
            let copies = self.copies(OsStr::new(&name));
            (name, copies)
        });
        with_copies.filter(|(_, copies)| !copies.is_empty()).collect()
    }

    /// The folders searched for `name`, as text for a message.
    pub(crate) fn described(&self, name: &OsStr) -> String {
        let mut seen = BTreeSet::new();
        let folders = self.folders_for(name).filter(|folder| seen.insert(folder.to_path_buf()));
        let shown: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        if shown.is_empty() { "no folder (PATH is empty)".to_owned() } else { shown.join(", ") }
    }

    fn candidates(&self, name: &OsStr) -> Vec<PathBuf> {
        let Some(file) = executable_name(name) else { return Vec::new() };
        self.folders_for(name).map(|folder| folder.join(&file)).collect()
    }

    fn folders_for(&self, name: &OsStr) -> impl Iterator<Item = &Path> {
        let shipped = shipped::is_shipped(name);
        let own = |wanted: bool| self.own.as_deref().filter(|_| wanted).into_iter();
        own(shipped).chain(self.path.iter().map(PathBuf::as_path)).chain(own(!shipped))
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.own).map(PathBuf::as_path)
    }
}

fn real_folder(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(program);
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// What follows `loom-` in the file names of a folder; a folder that cannot be read has none.
fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    files.filter_map(|file| file.strip_prefix("loom-").map(str::to_owned)).collect()
}
