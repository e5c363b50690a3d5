//! Where the other commands of this installation are.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::{Environment, Failure};

/// Finds commands of Loom: the folder of the running executable first, then `PATH`, so that
/// versions never mix silently.
#[derive(Clone, Debug)]
pub struct Siblings {
    executable: Option<PathBuf>,
    path_folders: Vec<PathBuf>,
}

/// A command of Loom that is in none of the folders.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot find `{name}` beside this command or on PATH")]
pub struct NoSuchSibling {
    /// The executable looked for.
    pub name: String,
    /// The folders looked into, in order.
    pub searched: Vec<PathBuf>,
}

impl Siblings {
    pub(crate) fn of_process(environment: &Environment) -> Self {
        let executable = std::env::current_exe().ok();
        Self { executable, path_folders: environment.path_folders() }
    }

    /// The folder that holds the running executable, if the system tells.
    pub fn own_folder(&self) -> Option<&Path> {
        self.executable.as_deref().and_then(Path::parent)
    }

    /// The running executable, symbolic links resolved, if the system tells.
    pub fn own_executable(&self) -> Option<&Path> {
        self.executable.as_deref()
    }

    /// The folders of `PATH`, in order.
    pub fn path_folders(&self) -> &[PathBuf] {
        &self.path_folders
    }

    /// The path of the executable `name` (`loom-compile`).
    pub fn find(&self, name: &str) -> Result<PathBuf, NoSuchSibling> {
        let on_path = self.path_folders.iter().map(PathBuf::as_path);
        let folders = || self.own_folder().into_iter().chain(on_path.clone());
        let found = folders().map(|folder| folder.join(name)).find(|path| is_executable(path));
        found.ok_or_else(|| NoSuchSibling {
            name: name.to_owned(),
            searched: folders().map(Path::to_owned).collect(),
        })
    }
}

impl From<NoSuchSibling> for Failure {
    fn from(error: NoSuchSibling) -> Self {
        let hint = format!("install `{}` in the folder that holds `loom`", error.name);
        Failure::could_not(error).hint(hint)
    }
}

/// Whether `path` is a file that this process may execute.
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn own_folder_comes_before_path() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let siblings = Siblings {
            executable: Some(own.path().join("loom-run")),
            path_folders: vec![other.path().to_owned()],
        };
        let far = place(other.path(), "loom-foo", 0o755);
        place(own.path(), "loom-foo", 0o644);
        assert_eq!(siblings.find("loom-foo").unwrap(), far, "a plain file is no command");
        let near = place(own.path(), "loom-foo", 0o755);
        assert_eq!(siblings.find("loom-foo").unwrap(), near);
    }

    #[test]
    fn missing_sibling_names_itself_and_where_it_looked() {
        let siblings = Siblings { executable: None, path_folders: vec!["/nowhere".into()] };
        let error = siblings.find("loom-foo").unwrap_err();
        assert_eq!(error.searched, [PathBuf::from("/nowhere")]);
        let failure = Failure::from(error);
        assert!(failure.error.to_string().contains("`loom-foo`"));
        assert_eq!(failure.kind.exit_code(), 3);
    }
}
