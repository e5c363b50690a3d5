//! The snapshot of a commit: `.git` as for any snapshot, the work tree as git checks it out.
//!
//! Git writes the files and the index, so that line ends, encodings and `$Id$` are as attributes
//! say. No program of the repository's or the user's choice runs: filters are switched off by the
//! attributes file that stands above all others, whatever is configured; hooks and monitors by
//! [`Git`]. What a filter would have made of a file is said in a note.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use libloom_console::printable;
use libloom_contract::snapshot::Counts;
use libloom_entry::{Failure, OrFail};

use crate::baseline::{self, Present};
use crate::config;
use crate::dot_git;
use crate::git::{Git, failed, path_of, pieces};
use crate::index::{Entry, Index};
use crate::listing::is_real_folder;
use crate::objects::copy_objects;
use crate::repository::{Answers, Head, Repository, ask_commit, facts, inherit};
use crate::sums::add_repository;
use crate::work_tree::{Clock, DEPTH, Hear, Made, News, Request};

/// A commit, and what it was called.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    commit: String,
    branch: Option<String>,
    tag: Option<String>,
}

impl Revision {
    /// The commit that `text` names in `repository`.
    pub(crate) fn find(repository: &Repository, text: &str) -> Result<Self, Failure> {
        let commit = format!("{text}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
        let found = repository.git.output(&args)?;
        let commit = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if !found.status.success() || commit.is_empty() {
            let what = format!("`{text}` names no commit of this repository");
            return Err(Failure::could_not(what).hint("`git log --all` shows what there is"));
        }
        let args = ["rev-parse", "--symbolic-full-name", "--end-of-options", text];
        let name = repository.git.output(&args)?;
        let name = String::from_utf8_lossy(&name.stdout);
        let name = name.lines().rfind(|line| line.starts_with("refs/"));
        let below = |folder: &str| name.and_then(|name| name.strip_prefix(folder));
        let remote = || below("refs/remotes/")?.split_once('/').map(|(_, branch)| branch);
        let branch = below("refs/heads/").or_else(remote).map(str::to_owned);
        Ok(Self { commit, branch, tag: below("refs/tags/").map(str::to_owned) })
    }

    fn of_commit(commit: String) -> Self {
        Self { commit, branch: None, tag: None }
    }

    fn answers(&self, repository: &Repository) -> Result<Answers, Failure> {
        let log = ask_commit(&repository.git, &self.commit)?;
        let refs = repository.refs()?;
        let log = log.output()?;
        if !log.status.success() {
            return Err(failed("git log", &log).context("cannot read the commit"));
        }
        let mut facts = facts(&Head::Detached, &refs, &log.stdout);
        facts.object_format = repository.format.word().to_owned();
        facts.branch = self.branch.clone();
        facts.tag = self.tag.clone().or(facts.tag);
        if let Some(record) = repository.own_record() {
            inherit(&mut facts, record.facts);
        }
        Ok(Answers { head: Head::Detached, refs, facts })
    }
}

/// Writes `revision` of `repository` into the empty folder `copy`.
pub(crate) fn copy_commit(
    request: &Request<'_>,
    repository: &Repository,
    revision: &Revision,
    copy: &Path,
    hear: Hear<'_>,
) -> Result<Made, Failure> {
    Job { request, repository, revision, copy, depth: 0 }.run(hear)
}

struct Job<'a> {
    request: &'a Request<'a>,
    repository: &'a Repository,
    revision: &'a Revision,
    copy: &'a Path,
    depth: usize,
}

impl Job<'_> {
    fn run(&self, hear: Hear<'_>) -> Result<Made, Failure> {
        let Job { request, repository, copy, .. } = *self;
        let mut clock = Clock::default();
        let dot_git = copy.join(".git");
        dot_git::make_folders(&dot_git)?;
        let answers = self.revision.answers(repository)?;
        hear(News::Facts(&answers.facts));
        dot_git::write_refs(&dot_git, &answers)?;
        dot_git::copy_shared(repository, &dot_git)?;
        let config = config::build(&config::listing(repository, request.env)?, request.env);
        dot_git::write(&dot_git.join("config"), &config)?;
        let (from, to) = (repository.objects(), dot_git.join("objects"));
        let objects = copy_objects(&from, &to, &request.progress.uncounted())?;
        clock.lap("git");
        hear(News::Phase("checkout"));
        let git = repository.git.at(copy);
        check_out(&git, &dot_git, &self.revision.commit, request)?;
        let index = fs::read(dot_git.join("index")).or_could_not("cannot read the new index")?;
        let index = Index::parse(&index, repository.format)
            .or_could_not("cannot read the index that git wrote")?;
        clock.lap("checkout");
        let mut made = Made {
            facts: answers.facts,
            counts: counts(&index, request),
            objects: objects.method,
            phases: Vec::new(),
            notes: filter_notes(&git)?,
            baseline: Vec::new(),
        };
        made.counts.git_bytes += objects.bytes;
        let others = self.submodules(&index, &mut made)?;
        clock.lap("submodules");
        let clean: Vec<_> = files(&index).map(|(at, entry)| (at, entry.stat)).collect();
        made.baseline = baseline::bytes(&index, &clean, &others, repository.format);
        made.phases = clock.phases;
        Ok(made)
    }

    /// Fills the folders of submodules whose repositories are here and hold the commit.
    fn submodules(&self, index: &Index, made: &mut Made) -> Result<Vec<Present>, Failure> {
        let mut others = Vec::new();
        for entry in index.entries.iter().filter(|entry| entry.is_gitlink()) {
            let path = index.path(entry);
            let from = self.repository.root.join(path_of(path));
            let to = self.copy.join(path_of(path));
            let is_here = is_real_folder(&self.repository.root, path)
                && from.join(".git").symlink_metadata().is_ok();
            if !is_here || entry.is_skipped() {
                continue;
            }
            let within = |failure: Failure| {
                failure.context(format_args!("cannot copy the submodule `{}`", from.display()))
            };
            if self.depth >= DEPTH {
                let what = format!("submodules lie more than {DEPTH} deep");
                return Err(within(Failure::could_not(what)));
            }
            let repository =
                Repository::discover(&self.repository.git.at(&from), &from).map_err(within)?;
            repository.is_at(&from).map_err(within)?;
            let commit = hex(&entry.object()[..self.repository.format.size()]);
            let args = ["cat-file", "-e", &format!("{commit}^{{commit}}")];
            if !repository.git.output(&args)?.status.success() {
                let path = String::from_utf8_lossy(path).into_owned();
                let path = printable(&path);
                made.notes.push(format!(
                    "submodule `{path}` is empty: its repository has no commit {commit}"
                ));
                continue;
            }
            let revision = Revision::of_commit(commit);
            let (request, depth) = (self.request, self.depth + 1);
            let job =
                Job { request, repository: &repository, revision: &revision, copy: &to, depth };
            let of_it = job.run(&|_| {}).map_err(within)?;
            add_repository(&mut made.counts, &of_it.counts);
            made.notes.extend(of_it.notes);
            others.extend(baseline::below(&of_it.baseline, path, repository.format));
        }
        Ok(others)
    }
}

/// Has git write the work tree and the index of `commit`.
fn check_out(
    git: &Git,
    dot_git: &Path,
    commit: &str,
    request: &Request<'_>,
) -> Result<(), Failure> {
    let attributes = dot_git.join(dot_git::ATTRIBUTES);
    let users = match fs::read(&attributes) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).or_could_not("cannot read the attributes"),
    };
    let without = [users.as_deref().unwrap_or_default(), dot_git::WITHOUT_FILTERS].concat();
    dot_git::write(&attributes, &without)?;
    let args = [
        "-c",
        "submodule.recurse=false",
        "-c",
        "core.splitIndex=false",
        "-c",
        "index.sparse=false",
        "-c",
        "checkout.workers=0",
        "read-tree",
        "-v",
        "--reset",
        "-u",
        "--no-recurse-submodules",
        commit,
    ];
    let git = git.clone().with("GIT_PROGRESS_DELAY", "0");
    let done = git.start(&args)?.finish_telling(request.progress);
    request.progress.check()?;
    done.map_err(|failure| {
        failure.context("cannot check the commit out").hint(
            "in a partial clone, `git checkout` the commit once: missing objects are not fetched",
        )
    })?;
    match users {
        Some(bytes) => dot_git::write(&attributes, &bytes),
        None => fs::remove_file(&attributes).or_could_not("cannot remove the attributes"),
    }
}

/// The entries whose files are in the work tree, with their numbers.
fn files(index: &Index) -> impl Iterator<Item = (usize, &Entry)> {
    let is_file = |entry: &Entry| !entry.is_gitlink() && !entry.is_skipped();
    index.entries.iter().enumerate().filter(move |(_, entry)| is_file(entry))
}

fn counts(index: &Index, request: &Request<'_>) -> Counts {
    let mut counts = Counts::default();
    for (_, entry) in files(index) {
        counts.tracked += 1;
        counts.symlinks += u64::from(entry.is_symlink());
        counts.bytes += entry.stat.size();
    }
    request.progress.set_files(counts.tracked, counts.tracked);
    request.progress.add_bytes(counts.bytes);
    counts
}

/// What configured filters would have made of files, had they been run: a note for each filter.
fn filter_notes(git: &Git) -> Result<Vec<String>, Failure> {
    let configured = git.output(&[
        "config",
        "--name-only",
        "-z",
        "--get-regexp",
        r"^filter\..*\.(smudge|process)$",
    ])?;
    let names: BTreeSet<&[u8]> = pieces(&configured.stdout).filter_map(driver).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let listing = git.run(&["ls-files", "-z"])?;
    let told = git.ask(&["check-attr", "-z", "--stdin", "filter"], &listing)?;
    if !told.status.success() {
        return Err(failed("git check-attr", &told));
    }
    let fields: Vec<&[u8]> = told.stdout.split(|byte| *byte == 0).collect();
    let mut files: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for field in fields.chunks_exact(3).filter(|field| names.contains(field[2])) {
        files.entry(field[2]).or_default().push(field[0]);
    }
    let note = |(name, paths): (&[u8], Vec<&[u8]>)| {
        let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes)).into_owned();
        let (name, first, count) = (text(name), text(paths[0]), paths.len());
        let more = match count {
            1 => String::new(),
            _ => format!(" and {} more", count - 1),
        };
        format!("`{first}`{more}: what git stores, because the filter `{name}` is not run")
    };
    Ok(files.into_iter().map(note).collect())
}

/// The name in `filter.<name>.smudge`.
fn driver(key: &[u8]) -> Option<&[u8]> {
    let rest = key.strip_prefix(b"filter.")?;
    rest.iter().rposition(|byte| *byte == b'.').map(|end| &rest[..end])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
