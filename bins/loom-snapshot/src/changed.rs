//! Which paths differ from a base commit, dirty state included: what `changes` rules ask.
//!
//! `git diff` refreshes the index it reads, so it gets a copy. It would also run the repository's
//! `clean` filters on files whose stat data changed; they are switched off, and such a file then
//! counts as changed, which is the safe answer.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use libloom_contract::layout;
use libloom_contract::snapshot::{Facts, PathText};
use libloom_entry::{Failure, OrFail};

use crate::git::{Git, failed, path_of, pieces};
use crate::repository::{Repository, is_below};
use crate::work_tree::DEPTH;

/// Names by which git learns values that no command line can hold safely.
const EMPTY: &str = "LOOM_EMPTY";
const FALSE: &str = "LOOM_FALSE";

/// Whether to compute the changed paths, and against what.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChangedArgs {
    /// Also find the paths that differ from where the default branch was left
    #[arg(long)]
    changed: bool,
    /// Find the paths that differ from this commit instead
    #[arg(long, value_name = "REV")]
    changes_base: Option<String>,
}

impl ChangedArgs {
    /// Whether anything is to be computed.
    pub(crate) fn is_wanted(&self) -> bool {
        self.changed || self.changes_base.is_some()
    }

    /// Fills `base_sha` and `changed` of `facts`, if that is wanted and a base is known; `scratch`
    /// is an existing folder of ours.
    pub(crate) fn fill(
        &self,
        facts: &mut Facts,
        repository: &Repository,
        scratch: &Path,
    ) -> Result<(), Failure> {
        if !self.is_wanted() {
            return Ok(());
        }
        (facts.base_sha, facts.changed) = (None, None);
        if let Some(base) = self.base(facts, repository)? {
            facts.changed = Some(changed_since(&base, repository, scratch)?);
            facts.base_sha = Some(base);
        }
        Ok(())
    }

    fn base(&self, facts: &Facts, repository: &Repository) -> Result<Option<String>, Failure> {
        if let Some(rev) = &self.changes_base {
            let commit = format!("{rev}^{{commit}}");
            let found = repository.git.output(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ])?;
            let what = format!("`{rev}` names no commit of this repository");
            return line(&found.stdout).map(Some).ok_or_else(|| {
                Failure::could_not(what).hint("fetch it, or name another with `--changes-base`")
            });
        }
        let Some(name) = facts.default_branch.as_deref() else { return Ok(None) };
        let candidates = [format!("refs/remotes/origin/{name}"), format!("refs/heads/{name}")];
        for candidate in candidates {
            let found = repository.git.output(&["merge-base", "HEAD", &candidate])?;
            if let Some(base) = line(&found.stdout) {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }
}

fn line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

fn changed_since(
    base: &str,
    repository: &Repository,
    scratch: &Path,
) -> Result<Vec<PathText>, Failure> {
    let index = scratch.join("loom-index");
    match fs::copy(repository.index_file(), &index) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::could_not(error).context("cannot copy the index"));
        }
        _ => {}
    }
    let mut args = filters_off(&repository.git)?;
    let git = repository.git.clone().with("GIT_INDEX_FILE", &index);
    let git = git.with(EMPTY, "").with(FALSE, "false");
    args.extend(
        ["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", base, "--"]
            .map(OsString::from),
    );
    let output = git.output(&args)?;
    if !output.status.success() {
        return Err(failed("git diff", &output));
    }
    let untracked = repository.git.run(&["ls-files", "--others", "--exclude-standard", "-z"])?;
    let mut paths: Vec<&[u8]> = pieces(&output.stdout).chain(pieces(&untracked)).collect();
    paths.retain(|path| !is_below(path, layout::RUNTIME.as_ref()));
    paths.sort_unstable();
    paths.dedup();
    match fs::remove_file(&index) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).or_could_not("cannot remove a copy of the index")
        }
        _ => Ok(paths.into_iter().map(path_text).collect()),
    }
}

/// Arguments that empty every configured filter, of submodules too: git looks into those, with
/// the settings it was given itself.
fn filters_off(git: &Git) -> Result<Vec<OsString>, Failure> {
    let mut names = BTreeSet::new();
    find_filters(git, DEPTH, &mut names)?;
    let off = |name: &Vec<u8>| {
        let value = if name.ends_with(b".required") { FALSE } else { EMPTY };
        // Unlike `-c NAME=VALUE` this allows `=` in the name.
        OsString::from_vec([b"--config-env=", &name[..], b"=", value.as_bytes()].concat())
    };
    Ok(names.iter().map(off).collect())
}

fn find_filters(git: &Git, depth: usize, names: &mut BTreeSet<Vec<u8>>) -> Result<(), Failure> {
    let pattern = r"^filter\..*\.(clean|process|required)$";
    let output = git.output(&["config", "--name-only", "-z", "--get-regexp", pattern])?;
    names.extend(pieces(&output.stdout).map(<[u8]>::to_vec));
    if depth == 0 {
        return Ok(());
    }
    for entry in pieces(&git.run(&["ls-files", "--stage", "-z"])?) {
        let path = entry.splitn(2, |byte| *byte == b'\t').nth(1).unwrap_or_default();
        let folder = git.folder().join(path_of(path));
        if entry.starts_with(b"160000 ") && folder.join(".git").symlink_metadata().is_ok() {
            find_filters(&git.at(&folder), depth - 1, names)?;
        }
    }
    Ok(())
}

/// A path as documents hold it.
pub(crate) fn path_text(path: &[u8]) -> PathText {
    let text = String::from_utf8_lossy(path);
    let bytes = std::str::from_utf8(path).is_err().then(|| STANDARD.encode(path));
    PathText { path: text.into_owned(), bytes }
}
