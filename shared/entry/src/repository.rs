//! Where the repository is, found by looking at folders only (no git library, no process).

use std::path::{Component, Path, PathBuf};

use crate::Failure;

/// The nearest of `start` and its parents that holds `.git`, as a folder or (in worktrees and
/// submodules) as a file.
///
/// Fails with exit 3 when there is none.
pub fn repository_root(start: &Path) -> Result<PathBuf, Failure> {
    let holds_git = |folder: &&Path| folder.join(".git").exists();
    start.ancestors().find(holds_git).map(Path::to_owned).ok_or_else(|| not_a_repository(start))
}

/// `path` without `.` and `..`; symlinks are taken as they are written.
pub fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn not_a_repository(start: &Path) -> Failure {
    let what =
        format!("not a git repository: `{}` and its parents hold no `.git`", start.display());
    Failure::could_not(what).hint("go to a repository, pass `loom -C DIR`, or run `git init`")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn finds_the_nearest_parent_with_git_folder_or_file() {
        let temp = tempfile::tempdir().unwrap();
        let inner = temp.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(temp.path().join(".git")).unwrap();
        assert_eq!(repository_root(&inner).unwrap(), temp.path());
        fs::write(temp.path().join("a/.git"), "gitdir: elsewhere\n").unwrap();
        assert_eq!(repository_root(&inner).unwrap(), temp.path().join("a"));
    }

    #[test]
    fn no_repository_is_exit_3_with_a_hint() {
        let failure = repository_root(Path::new("/")).unwrap_err();
        assert_eq!(failure.kind.exit_code(), 3);
        assert!(failure.error.to_string().starts_with("not a git repository"));
        assert_eq!(failure.hints.len(), 1);
    }
}
