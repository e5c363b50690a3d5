//! Questions to git that run while files are copied, started as early as can be.
//!
//! Where `.git` lies beside us, they start before git has said where the repository is: git tells
//! the same of that folder as of the repository's top, unless that turns out to be elsewhere
//! (`core.worktree`); then they are ended and asked anew.

use std::path::PathBuf;

use globset::GlobSet;
use libloom_console::printable;
use libloom_contract::layout;
use libloom_entry::Failure;

use crate::git::{Git, Running, path_of, pieces};
use crate::index::is_safe;
use crate::repository::{Asked, ask_commit, is_below};
use crate::work_tree::Request;

/// Git processes that answer what the index does not tell.
pub(crate) struct Questions {
    pub(crate) asked: Asked,
    pub(crate) listings: Listings,
}

/// Listings of paths that git does not track.
pub(crate) struct Listings {
    untracked: Option<Running>,
    ignored: Option<Running>,
}

/// Questions asked in a folder that may not be the top of the repository.
pub(crate) struct Early {
    folder: PathBuf,
    questions: Questions,
}

impl Questions {
    /// Asks git about the repository whose top it runs in.
    pub(crate) fn ask(git: &Git, request: &Request<'_>) -> Result<Self, Failure> {
        let list = |more: &[&str]| {
            let args = [&["ls-files", "--others", "--exclude-standard", "-z"], more].concat();
            git.start(&args)
        };
        let untracked = request.untracked.then(|| list(&[])).transpose()?;
        let ignored = request.ignored.map(|_| list(&["--ignored"])).transpose()?;
        let asked = Asked { head: ask_commit(git, "HEAD")? };
        Ok(Self { asked, listings: Listings { untracked, ignored } })
    }

    /// Asks in the present folder if it looks like the top of a repository.
    pub(crate) fn ask_early(git: &Git, request: &Request<'_>) -> Result<Option<Early>, Failure> {
        let folder = git.folder().to_owned();
        if folder.join(".git").symlink_metadata().is_err() {
            return Ok(None);
        }
        Self::ask(git, request).map(|questions| Some(Early { folder, questions }))
    }

    /// The early questions if they were asked where `git` runs, else the same ones asked there.
    pub(crate) fn of(
        git: &Git,
        request: &Request<'_>,
        early: Option<Early>,
    ) -> Result<Self, Failure> {
        match early {
            Some(early) if early.folder == git.folder() => Ok(early.questions),
            _ => Self::ask(git, request),
        }
    }
}

impl Listings {
    /// The untracked paths, and those ignored ones that were asked for, sorted.
    pub(crate) fn paths(self, wanted: Option<&GlobSet>) -> Result<Vec<Vec<u8>>, Failure> {
        let mut paths = Vec::new();
        if let Some(untracked) = self.untracked {
            paths.extend(pieces(&untracked.finish()?).map(<[u8]>::to_vec));
        }
        if let (Some(ignored), Some(wanted)) = (self.ignored, wanted) {
            let listing = ignored.finish()?;
            let matching = pieces(&listing).filter(|path| wanted.is_match(path_of(path)));
            paths.extend(matching.map(<[u8]>::to_vec));
        }
        paths.retain(|path| !is_below(path, layout::RUNTIME.as_ref()));
        paths.sort();
        paths.dedup();
        paths.into_iter().map(checked).collect()
    }
}

/// `path` if it stays within the work tree.
pub(crate) fn checked(path: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if is_safe(path.strip_suffix(b"/").unwrap_or(&path)) {
        return Ok(path);
    }
    let text = String::from_utf8_lossy(&path).into_owned();
    Err(Failure::could_not(format!(
        "git lists the path `{}`, which leads out of the work tree",
        printable(&text)
    )))
}
