//! Copies one repository, work tree and `.git`, into an empty folder; submodules the same way.
//!
//! One pass: every path of the index is copied as it is in the work tree, without asking whether
//! it changed; then what git lists as untracked; meanwhile `.git` is built. The index comes last,
//! because it holds the stat data of the copies.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Instant;

use globset::GlobSet;
use libloom_console::printable;
use libloom_contract::snapshot::{Counts, Facts, Method, Phase};
use libloom_entry::{Environment, Failure, OrFail};

use crate::baseline::{self, Present};
use crate::config;
use crate::dot_git;
use crate::errors::cannot_write;
use crate::folders::Folders;
use crate::git::{path_of, pieces};
use crate::index::Index;
use crate::listing::{open_root, tree};
use crate::objects::{Objects, copy_objects};
use crate::pool::Pool;
use crate::progress::Progress;
use crate::questions::{Questions, checked};
use crate::repository::{Answers, Asked, Repository};
use crate::source_index::{self, SourceIndex};
use crate::special::Specials;
use crate::stat::StatData;
use crate::sums::{Files, Sums, Tracked, add_repository};
use crate::transfer::Transfer;

/// With more entries than this, the snapshot's index and what it held at first are not built at
/// the same time: that would take 100 bytes a file more.
const AT_ONCE: usize = 200_000;
/// How deep submodules may lie in submodules.
pub(crate) const DEPTH: usize = 16;

/// What is wanted, and what all repositories of one snapshot share.
pub(crate) struct Request<'a> {
    pub(crate) env: &'a Environment,
    pub(crate) transfer: &'a Transfer,
    pub(crate) progress: &'a Progress,
    pub(crate) untracked: bool,
    pub(crate) ignored: Option<&'a GlobSet>,
}

/// What was made of one repository.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) facts: Facts,
    pub(crate) counts: Counts,
    pub(crate) objects: Method,
    pub(crate) phases: Vec<Phase>,
    pub(crate) notes: Vec<String>,
    /// What there is, in git's index format.
    pub(crate) baseline: Vec<u8>,
}

/// What is told while the work goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News<'a> {
    /// The facts, which are known early.
    Facts(&'a Facts),
    /// The phase that begins; whoever is told slowly holds it up.
    Phase(&'static str),
}

/// Who is told.
pub(crate) type Hear<'a> = &'a (dyn Fn(News<'_>) + Sync);

/// Copies `repository` into the empty folder `copy`.
pub(crate) fn copy_repository(
    request: &Request<'_>,
    repository: &Repository,
    questions: Questions,
    copy: &Path,
    hear: Hear<'_>,
) -> Result<Made, Failure> {
    Job { request, repository, copy, hear, depth: 0 }.run(questions)
}

struct Job<'a> {
    request: &'a Request<'a>,
    repository: &'a Repository,
    copy: &'a Path,
    hear: Hear<'a>,
    depth: usize,
}

impl Job<'_> {
    fn run(&self, questions: Questions) -> Result<Made, Failure> {
        let mut clock = Clock::default();
        (self.hear)(News::Phase("plan"));
        let dot_git = self.copy.join(".git");
        dot_git::make_folders(&dot_git)?;
        let source = source_index::read(self.repository, &dot_git.join("loom-scratch"))?;
        clock.lap("plan");
        let Questions { asked, listings } = questions;
        let (parts, work) = thread::scope(|scope| {
            let git = scope.spawn(|| self.guard(|| self.build_dot_git(&dot_git, asked)));
            let listed = scope.spawn(|| listings.paths(self.request.ignored));
            let work = self.guard(|| {
                self.copy_work_tree(&source, &mut clock, || {
                    listed.join().expect("no thread panics")
                })
            });
            (git.join().expect("no thread panics"), work)
        });
        // The work tree's failure names a path of the user's; `.git` may only have been told to stop.
        let mut files = work?;
        let (objects, answers, git_ms) = parts?;
        clock.phases.push(Phase { name: "git".into(), ms: git_ms });
        (self.hear)(News::Phase("index"));
        let (index, format) = (&source.index, self.repository.format);
        let (clean, others) = (&files.clean, &files.others);
        let list = || baseline::bytes(index, clean, others, format);
        let write = || source.exists.then(|| write_index(index, clean, &dot_git)).transpose();
        let baseline = if index.entries.len() > AT_ONCE {
            write()?;
            list()
        } else {
            thread::scope(|scope| {
                let listed = scope.spawn(list);
                write().map(|_| listed.join().expect("no thread panics"))
            })?
        };
        clock.lap("index");
        files.counts.git_bytes += objects.bytes;
        Ok(Made {
            facts: answers.facts,
            counts: files.counts,
            objects: objects.method,
            phases: clock.phases,
            notes: files.notes,
            baseline,
        })
    }

    /// Tells the other threads when `work` failed.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let result = work();
        if result.is_err() {
            self.request.progress.fail();
        }
        result
    }

    fn build_dot_git(
        &self,
        dot_git: &Path,
        asked: Asked,
    ) -> Result<(Objects, Answers, u64), Failure> {
        let start = Instant::now();
        // Refs before objects: what they name now is among the objects copied afterwards.
        let answers = asked.answer(self.repository)?;
        (self.hear)(News::Facts(&answers.facts));
        dot_git::write_refs(dot_git, &answers)?;
        let progress = self.request.progress.uncounted();
        dot_git::copy_shared(self.repository, dot_git)?;
        dot_git::copy_state(self.repository, dot_git, &progress)?;
        let env = self.request.env;
        let config = config::build(&config::listing(self.repository, env)?, env);
        dot_git::write(&dot_git.join("config"), &config)?;
        let (from, to) = (self.repository.objects(), dot_git.join("objects"));
        let objects = copy_objects(&from, &to, &progress)?;
        Ok((objects, answers, milliseconds(start)))
    }

    fn copy_work_tree(
        &self,
        source: &SourceIndex,
        clock: &mut Clock,
        listed: impl FnOnce() -> Result<Vec<Vec<u8>>, Failure>,
    ) -> Result<Files, Failure> {
        let root = self.repository.root.as_path();
        let from =
            open_root(root).or_could_not(format_args!("cannot open `{}`", root.display()))?;
        let to = open_root(self.copy)
            .map_err(|e| cannot_write(format_args!("cannot open `{}`", self.copy.display()), e))?;
        let Request { transfer, progress, .. } = *self.request;
        let (from, to) = (from.as_fd(), to.as_fd());
        let pool = Pool { source: from, copy: to, transfer, progress, specials: None };
        let index = &source.index;
        let path = |at: usize| {
            let path = index.path(&index.entries[at]);
            let is_again = at > 0 && index.path(&index.entries[at - 1]) == path;
            (!is_again && !index.entries[at].is_sparse_folder()).then_some(path)
        };
        let tally = || Tracked { source, sums: Sums::default() };
        (self.hear)(News::Phase("copy"));
        progress.expect(index.entries.len());
        let specials = Specials::beside(index);
        let listing = Pool { specials: Some(&specials), ..pool };
        let tracked = listing.copy(index.entries.len(), path, tally)?;
        let tracked = Sums::join(tracked.into_iter().map(|tally| tally.sums).collect());
        let notes = specials.finish(&pool, &self.repository.git, self.request.untracked)?;
        let present = |&(at, stat, mode): &(usize, StatData, u32)| Present {
            path: index.path(&index.entries[at]).to_vec(),
            stat,
            mode,
        };
        let others = tracked.others.iter().map(present).collect();
        let counts = Counts::default();
        let mut files = Files { notes, clean: tracked.clean, others, counts };
        files.counts.tracked = tracked.files;
        files.counts.deleted = tracked.missing;
        files.counts.symlinks = tracked.symlinks;
        files.counts.bytes = tracked.bytes;
        clock.lap("copy");
        (self.hear)(News::Phase("untracked"));
        self.copy_untracked(&pool, listed()?, &mut files)?;
        clock.lap("untracked");
        for at in tracked.folders {
            let entry = &index.entries[at];
            let path = index.path(entry);
            if !self.copy_submodule(&pool, path, entry.is_gitlink(), &mut files)? {
                files.counts.deleted += 1;
            }
        }
        Ok(files)
    }

    fn copy_untracked(
        &self,
        pool: &Pool<'_>,
        mut paths: Vec<Vec<u8>>,
        copied: &mut Files,
    ) -> Result<(), Failure> {
        let mut repositories: Vec<Vec<u8>> = Vec::new();
        while !paths.is_empty() {
            let (nested, files): (Vec<_>, Vec<_>) =
                paths.into_iter().partition(|p| p.ends_with(b"/"));
            pool.progress.expect(files.len());
            let sums = pool.copy(files.len(), |at| Some(&files[at][..]), Sums::default)?;
            let sums = Sums::join(sums);
            copied.counts.untracked += sums.files;
            copied.counts.symlinks += sums.symlinks;
            copied.counts.bytes += sums.bytes;
            copied.others.extend(sums.others.into_iter().map(|(at, stat, mode)| Present {
                path: files[at].clone(),
                stat,
                mode,
            }));
            // A nested repository's own submodules are listed as folders without a slash.
            let deeper = sums.folders.into_iter().map(|at| [&files[at][..], b"/"].concat());
            let deeper = deeper.filter(|folder| self.has_repository(folder));
            paths = Vec::new();
            for folder in nested.into_iter().chain(deeper) {
                paths.extend(self.list_nested(pool, &folder)?);
                repositories.push(folder);
            }
        }
        copied.counts.repositories += repositories.len() as u64;
        copied.notes.extend(repositories.iter().map(|path| {
            let path = String::from_utf8_lossy(path).into_owned();
            format!(
                "nested repository `{}` copied as plain files, without its .git",
                printable(&path)
            )
        }));
        Ok(())
    }

    /// What a nested repository holds, ignored files left out as everywhere.
    fn list_nested(&self, pool: &Pool<'_>, folder: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let path = self.repository.root.join(path_of(folder));
        let bare = folder.strip_suffix(b"/").unwrap_or(folder);
        let args =
            ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"];
        let output = self.repository.git.at(&path).output(&args)?;
        if !output.status.success() {
            return tree(pool.source, bare)
                .or_could_not(format_args!("cannot list `{}`", path.display()));
        }
        let paths = pieces(&output.stdout).map(|piece| [bare, b"/", piece].concat());
        paths.map(checked).collect()
    }

    /// Copies the repository in a folder where the index has an entry; false if there is none and
    /// the entry is no submodule, that is, git calls the path deleted.
    fn copy_submodule(
        &self,
        pool: &Pool<'_>,
        path: &[u8],
        is_gitlink: bool,
        copied: &mut Files,
    ) -> Result<bool, Failure> {
        let (from, to) = (self.repository.root.join(path_of(path)), self.copy.join(path_of(path)));
        let has_repository = self.has_repository(path);
        let mut folders = Folders::new(pool.source, pool.copy);
        let made = folders.go_to(&[path, b"/."].concat()).and_then(|_| folders.copy().map(drop));
        made.map_err(|error| cannot_write(format_args!("cannot make `{}`", to.display()), error))?;
        if !has_repository {
            // An empty folder in a file's place stays one; git calls the file deleted.
            return Ok(is_gitlink);
        }
        let within = |failure: Failure| {
            failure.context(format_args!("cannot copy the submodule `{}`", from.display()))
        };
        if self.depth >= DEPTH {
            return Err(within(Failure::could_not(format!(
                "submodules lie more than {DEPTH} deep"
            ))));
        }
        let repository =
            Repository::discover(&self.repository.git.at(&from), &from).map_err(within)?;
        repository.is_at(&from).map_err(within)?;
        let job = Job {
            request: self.request,
            repository: &repository,
            copy: &to,
            hear: &|_| {},
            depth: self.depth + 1,
        };
        let questions = Questions::ask(&repository.git, self.request).map_err(within)?;
        let made = job.run(questions).map_err(within)?;
        add_repository(&mut copied.counts, &made.counts);
        copied.notes.extend(made.notes);
        copied.others.extend(baseline::below(&made.baseline, path, repository.format));
        Ok(true)
    }

    fn has_repository(&self, folder: &[u8]) -> bool {
        self.repository.root.join(path_of(folder)).join(".git").symlink_metadata().is_ok()
    }
}

fn write_index(index: &Index, clean: &[(usize, StatData)], dot_git: &Path) -> Result<(), Failure> {
    let mut stats = vec![None; index.entries.len()];
    for (at, stat) in clean {
        stats[*at] = Some(*stat);
    }
    dot_git::write(&dot_git.join("index"), &index.to_bytes(&stats))
}

/// Splits the time into phases.
pub(crate) struct Clock {
    last: Instant,
    pub(crate) phases: Vec<Phase>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { last: Instant::now(), phases: Vec::new() }
    }
}

impl Clock {
    pub(crate) fn lap(&mut self, name: &str) {
        self.phases.push(Phase { name: name.to_owned(), ms: milliseconds(self.last) });
        self.last = Instant::now();
    }
}

/// Whole milliseconds since `start`.
pub(crate) fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
