//! A repository of our own in the temp folder, with which git judges a snapshot.
//!
//! Jobs ran in the snapshot and may have written what they liked into its `.git`: settings that
//! start programs, a forged index. So git never runs with that; it runs with settings built from
//! the source repository, the kept baseline as index, and the source's objects.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libloom_entry::{Context, Failure, OrFail};

use crate::config;
use crate::destination::Destination;
use crate::dot_git;
use crate::git::Git;
use crate::repository::Repository;

/// The scratch repository; removed when dropped.
pub(crate) struct Scratch {
    folder: Destination,
    /// Git with this repository, on the files of the snapshot.
    pub(crate) git: Git,
}

impl Scratch {
    /// A repository that reads `work_tree` as `repository` would, with the index `baseline`.
    pub(crate) fn make(
        context: &Context,
        repository: &Repository,
        work_tree: &Path,
        baseline: &[u8],
    ) -> Result<Self, Failure> {
        let temp = context.cwd.join(context.env.temp_folder());
        let folder = Destination::make(&temp, &format!("loom-diff-{}", std::process::id()))?;
        let place = folder.folder();
        dot_git::make_folders(place)?;
        dot_git::write(&place.join("HEAD"), b"ref: refs/heads/now\n")?;
        dot_git::copy_shared(repository, place)?;
        let config = config::build(&config::listing(repository, &context.env)?, &context.env);
        dot_git::write(&place.join("config"), &config)?;
        let attributes = place.join(dot_git::ATTRIBUTES);
        let users = fs::read(&attributes).unwrap_or_default();
        dot_git::write(&attributes, &[&users[..], dot_git::WITHOUT_FILTERS].concat())?;
        let alternates = [repository.objects().as_os_str().as_bytes(), b"\n"].concat();
        dot_git::write(&place.join("objects/info/alternates"), &alternates)?;
        dot_git::write(&place.join("index"), baseline)?;
        let git = repository.git.at(work_tree).with("GIT_DIR", place);
        let git = git.with("GIT_WORK_TREE", work_tree);
        Ok(Self { folder, git })
    }

    /// Writes a file of ours that git does not look for.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.folder.folder().join(format!("loom-{name}"));
        fs::write(&path, bytes).or_could_not("cannot write to the temp folder")?;
        Ok(path)
    }
}
