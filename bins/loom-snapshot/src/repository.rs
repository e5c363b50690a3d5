//! The repository that is copied: where its parts lie, and the facts that rules need.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libloom_contract::{layout, snapshot::Facts, snapshot::Snapshot, store};
use libloom_entry::{Failure, OrFail};

use crate::git::{Git, Running, failed, path_of};
use crate::index::ObjectFormat;
use crate::ref_files;

/// Where a repository's parts lie.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) git: Git,
    /// Top folder of the work tree.
    pub(crate) root: PathBuf,
    /// What belongs to this work tree: HEAD, index, operations in progress.
    pub(crate) git_dir: PathBuf,
    /// What all its work trees share: objects, refs, configuration.
    pub(crate) common_dir: PathBuf,
    pub(crate) format: ObjectFormat,
    pub(crate) has_ref_files: bool,
}

/// One ref, as `git for-each-ref` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) name: String,
    pub(crate) object: String,
    /// The ref it stands for.
    pub(crate) target: Option<String>,
}

/// Where HEAD points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Branch(String),
    Detached,
}

impl Repository {
    /// Asks git about the repository around `folder`.
    pub(crate) fn discover(git: &Git, folder: &Path) -> Result<Self, Failure> {
        Self::found(git, folder, ask_where(git)?)
    }

    /// The repository around `folder`, by the answer to [`ask_where`].
    pub(crate) fn found(git: &Git, folder: &Path, answer: Running) -> Result<Self, Failure> {
        let output = answer.output()?;
        let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').collect();
        match (output.status.success(), lines.as_slice()) {
            (true, [b"false", b"true", git_dir, common, format, refs, root, b""]) => {
                let word = String::from_utf8_lossy(format);
                let format = ObjectFormat::of_word(&word).ok_or_else(|| {
                    Failure::could_not(format!("objects named by `{word}` are not supported"))
                })?;
                let root = path_of(root).to_owned();
                let (git_dir, common_dir) =
                    (path_of(git_dir).to_owned(), folder.join(path_of(common)));
                // A git too old to know the option prints it back; it knows no other kind of refs.
                let has_ref_files = matches!(*refs, b"files" | b"--show-ref-format");
                let git = git.at(&root);
                Ok(Self { git, root, git_dir, common_dir, format, has_ref_files })
            }
            (false, [b"true", ..]) => Err(bare(folder)),
            (_, [b"false", b"false", ..]) => Err(Failure::could_not(format!(
                "`{}` is not in the work tree of its repository",
                folder.display()
            ))
            .hint("go to the work tree")),
            (true, _) => Err(Failure::could_not("a path of the repository holds a line break")
                .hint("move the repository to a folder without one")),
            (false, _) if is_no_repository(&output.stderr) => Err(no_repository(folder)),
            (false, _) => Err(failed("git rev-parse", &output)),
        }
    }

    /// An error if the work tree of this submodule is not at `folder`, where it was found.
    pub(crate) fn is_at(&self, folder: &Path) -> Result<(), Failure> {
        if self.root == folder {
            return Ok(());
        }
        let root = self.root.display();
        let what = format!("its work tree is `{root}`, which is not where it lies");
        Err(Failure::could_not(what).hint("look at its `core.worktree`"))
    }

    /// The index file; it need not exist.
    pub(crate) fn index_file(&self) -> PathBuf {
        self.git_dir.join("index")
    }

    /// About how large the tracked files are, by what the index remembers of them.
    pub(crate) fn estimated_bytes(&self) -> u64 {
        let bytes = fs::read(self.index_file()).unwrap_or_default();
        let index = crate::index::Index::parse(&bytes, self.format).ok();
        index.map_or(0, |index| index.entries.iter().map(|entry| entry.stat.size()).sum())
    }

    /// The folder of the object files.
    pub(crate) fn objects(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// Where HEAD points.
    pub(crate) fn head(&self) -> Result<Head, Failure> {
        let path = self.git_dir.join("HEAD");
        let text = if self.has_ref_files {
            fs::read(&path).or_could_not(format_args!("cannot read `{}`", path.display()))?
        } else {
            // With reftable the file HEAD is a dummy.
            let output = self.git.output(&["symbolic-ref", "-q", "HEAD"])?;
            if output.stdout.is_empty() {
                Vec::new()
            } else {
                [b"ref: ", &output.stdout[..]].concat()
            }
        };
        let text = String::from_utf8_lossy(&text);
        let target = text.trim().strip_prefix("ref:").map(str::trim);
        Ok(target.map_or(Head::Detached, |target| Head::Branch(target.to_owned())))
    }

    /// Starts the questions whose answers [`Asked::answer`] puts together.
    pub(crate) fn ask(&self) -> Result<Asked, Failure> {
        ask_commit(&self.git, "HEAD").map(|head| Asked { head })
    }

    /// All refs; git is asked only where reading their files is not enough.
    pub(crate) fn refs(&self) -> Result<Vec<Ref>, Failure> {
        if let Some(refs) = ref_files::read(self) {
            return Ok(refs);
        }
        let format = "--format=%(objectname)%00%(refname)%00%(symref)";
        self.git.run(&["for-each-ref", format]).map(|listing| parse_refs(&listing))
    }

    /// The record of the snapshot that this repository is, if it is one.
    pub(crate) fn own_record(&self) -> Option<Snapshot> {
        store::read(&self.git_dir.join(layout::SNAPSHOT_RECORD_IN_GIT)).ok()
    }
}

/// Starts the question where the repository's parts lie.
pub(crate) fn ask_where(git: &Git) -> Result<Running, Failure> {
    git.start(&[
        "rev-parse",
        "--is-bare-repository",
        "--is-inside-work-tree",
        "--absolute-git-dir",
        "--git-common-dir",
        "--show-object-format",
        "--show-ref-format",
        "--show-toplevel",
    ])
}

/// Starts the question for hash, title and tags of a commit.
pub(crate) fn ask_commit(git: &Git, commit: &str) -> Result<Running, Failure> {
    git.start(&[
        "log",
        "-1",
        "--encoding=UTF-8",
        "--no-show-signature",
        "--decorate=full",
        "--decorate-refs=refs/tags/",
        "--format=%H%x00%s%x00%D",
        commit,
        "--",
    ])
}

/// The question of [`ask_commit`] for HEAD under way.
pub(crate) struct Asked {
    pub(crate) head: Running,
}

/// What HEAD and the refs say.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) head: Head,
    pub(crate) refs: Vec<Ref>,
    pub(crate) facts: Facts,
}

impl Asked {
    pub(crate) fn answer(self, repository: &Repository) -> Result<Answers, Failure> {
        let head = repository.head()?;
        let refs = repository.refs()?;
        let log = self.head.output()?;
        let is_born = match &head {
            Head::Branch(name) => refs.iter().any(|r| r.name == *name),
            Head::Detached => true,
        };
        if is_born && !log.status.success() {
            return Err(failed("git log", &log).context("cannot read the commit of HEAD"));
        }
        let mut facts = facts(&head, &refs, &log.stdout);
        facts.object_format = repository.format.word().to_owned();
        if let Some(record) = repository.own_record() {
            inherit(&mut facts, record.facts);
        }
        Ok(Answers { head, refs, facts })
    }
}

/// A snapshot's HEAD is detached: what it was made from tells branch and tag, as long as no
/// other commit was checked out in it.
pub(crate) fn inherit(facts: &mut Facts, origin: Facts) {
    if facts.head_sha == origin.head_sha && facts.branch.is_none() {
        facts.branch = origin.branch;
        facts.tag = origin.tag;
        facts.default_branch = origin.default_branch;
        facts.base_sha = origin.base_sha;
        facts.changed = origin.changed;
    }
}

pub(crate) fn facts(head: &Head, refs: &[Ref], log: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(log);
    let mut fields = text.trim_end_matches('\n').splitn(3, '\0').map(str::to_owned);
    let head_sha = fields.next().filter(|sha| !sha.is_empty());
    let head_title = fields.next();
    let decoration = fields.next().unwrap_or_default();
    let tags = decoration.split(", ").filter_map(|name| name.strip_prefix("tag: refs/tags/"));
    let tag = tags.min().map(str::to_owned);
    let branch = match head {
        Head::Branch(name) => Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()),
        Head::Detached => None,
    };
    Facts {
        head_sha,
        head_title,
        branch,
        tag,
        default_branch: default_branch(refs),
        ..Facts::default()
    }
}

/// `origin/HEAD`, else `main`, else `master`, whichever exists here or at `origin`.
fn default_branch(refs: &[Ref]) -> Option<String> {
    let find = |name: &str| refs.iter().find(|r| r.name == name);
    let remote = find("refs/remotes/origin/HEAD").and_then(|r| r.target.as_deref());
    if let Some(name) = remote.and_then(|target| target.strip_prefix("refs/remotes/origin/")) {
        return Some(name.to_owned());
    }
    let exists = |name: &&str| {
        find(&format!("refs/heads/{name}")).is_some()
            || find(&format!("refs/remotes/origin/{name}")).is_some()
    };
    ["main", "master"].iter().find(|name| exists(name)).map(ToString::to_string)
}

fn parse_refs(listing: &[u8]) -> Vec<Ref> {
    let lines = listing.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let parse = |line: &[u8]| {
        let text = String::from_utf8_lossy(line).into_owned();
        let mut fields = text.split('\0').map(str::to_owned);
        let (object, name) = (fields.next()?, fields.next()?);
        Some(Ref { name, object, target: fields.next().filter(|target| !target.is_empty()) })
    };
    lines.filter_map(parse).collect()
}

fn is_no_repository(said: &[u8]) -> bool {
    String::from_utf8_lossy(said).contains("not a git repository")
}

fn no_repository(folder: &Path) -> Failure {
    let what = format!(
        "not a git repository: `{}` and its parents hold no usable `.git`",
        folder.display()
    );
    Failure::could_not(what).hint("go to a repository, pass `loom -C DIR`, or run `git init`")
}

fn bare(folder: &Path) -> Failure {
    let what = format!("`{}` is a bare repository: it has no work tree to copy", folder.display());
    Failure::could_not(what).hint("clone it, or add a work tree with `git worktree add`")
}

/// Whether `path` lies in `folder`, by names alone.
pub(crate) fn is_below(path: &[u8], folder: &OsStr) -> bool {
    path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}
