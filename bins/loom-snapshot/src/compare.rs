//! What changed in a snapshot since it was made, and how it differs from the repository now.
//!
//! What a file was when the snapshot was made is not kept a second time. It is what the baseline
//! says: its object, or else the repository's file, if that has not changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::Path;

use libloom_contract::layout;
use libloom_entry::{Context, Failure, OrFail};

use crate::baseline;
use crate::git::{Git, failed, path_of, pieces};
use crate::index::{Index, is_safe};
use crate::listing::tree;
use crate::records::Known;
use crate::repository::{Repository, is_below};
use crate::scratch::Scratch;
use crate::seen::{Content, ObjectId, Seen, Tree, hex, os};
use crate::stat::StatData;

/// Where a content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the snapshot's file.
    Snapshot,
    /// In the repository's file.
    Repository,
    /// In an object of the repository.
    Object(String),
    /// In an object, with line ends or encoding converted.
    Converted(String),
    /// Here.
    Bytes(Vec<u8>),
    /// It is not kept.
    Unknown,
}

/// One side of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) source: Source,
}

/// A path that differs.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) path: Vec<u8>,
    pub(crate) old: Option<Side>,
    pub(crate) new: Option<Side>,
    /// Git ignores it.
    pub(crate) is_ignored: bool,
}

/// A snapshot, its repository, and what it was.
pub(crate) struct Compare {
    pub(crate) repository: Repository,
    pub(crate) scratch: Scratch,
    pub(crate) snapshot: Tree,
    pub(crate) source: Tree,
    baseline: BTreeMap<Vec<u8>, Was>,
    /// Paths in the snapshot that git does not ignore, beside the baseline's.
    new: Vec<Vec<u8>>,
    /// The ignored ones, if they are wanted.
    ignored: BTreeSet<Vec<u8>>,
}

/// What a path was.
#[derive(Clone, Debug)]
struct Was {
    mode: u32,
    stat: StatData,
    object: Option<ObjectId>,
}

impl Compare {
    pub(crate) fn open(
        context: &Context,
        repository: Repository,
        known: &Known,
        with_ignored: bool,
    ) -> Result<Self, Failure> {
        let place = Path::new(&known.record.path);
        if !known.is_present {
            let what = format!("the snapshot `{}` is gone", known.record.id);
            return Err(Failure::could_not(what).hint("`loom snapshot list` shows what is there"));
        }
        let bytes = baseline::read(&repository.root, &known.record.id, &place.join(".git"))?;
        let index = Index::parse(&bytes, repository.format)
            .or_could_not("cannot read what the snapshot was when it was made")?;
        let scratch = Scratch::make(context, &repository, place, &bytes)?;
        let (snapshot, source) = (Tree::open(place)?, Tree::open(&repository.root)?);
        let baseline: BTreeMap<_, _> = index
            .entries
            .iter()
            .map(|entry| {
                let object = Some(*entry.object()).filter(|object| *object != [0; 32]);
                (index.path(entry).to_vec(), Was { mode: entry.mode, stat: entry.stat, object })
            })
            .collect();
        let nested = |folder: &[u8]| files_in(&snapshot, folder);
        let new = listed(&scratch.git, &["--others"], nested)?;
        let ignored = match with_ignored {
            true => listed(&scratch.git, &["--others", "--ignored"], nested)?,
            false => Vec::new(),
        };
        let ignored = ignored.into_iter().collect();
        Ok(Self { repository, scratch, snapshot, source, baseline, new, ignored })
    }

    /// What changed in the snapshot since it was made.
    pub(crate) fn since_creation(&self) -> Result<Vec<Change>, Failure> {
        let mut walk = self.snapshot.walk();
        let mut suspects = Vec::new();
        for (path, was) in &self.baseline {
            let seen = walk.look(path)?;
            if seen.is_none_or(|seen| !seen.stat.is_same_file(&was.stat)) {
                suspects.push((path, was, seen));
            }
        }
        let olds = self.olds(&suspects)?;
        let mut changes = Vec::new();
        for ((path, _, seen), old) in suspects.into_iter().zip(olds) {
            let new = seen.map(|seen| side(&seen, Source::Snapshot));
            let is_same = match &new {
                Some(new) => new.mode == old.mode && self.is_same_content(path, &old, new)?,
                None => false,
            };
            if !is_same {
                changes.push(Change { path: path.clone(), old: Some(old), new, is_ignored: false });
            }
        }
        for path in self.new.iter().chain(&self.ignored) {
            if let (Some(seen), false) = (walk.look(path)?, self.baseline.contains_key(path)) {
                let (path, new) = (path.clone(), Some(side(&seen, Source::Snapshot)));
                let is_ignored = self.ignored.contains(&path);
                changes.push(Change { path, old: None, new, is_ignored });
            }
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// How the snapshot differs from the repository now; old is the repository's side.
    pub(crate) fn with_repository(&self) -> Result<Vec<Change>, Failure> {
        let theirs = repository_paths(&self.repository.git, &self.source, 0)?;
        let paths: BTreeSet<&Vec<u8>> =
            self.baseline.keys().chain(&self.new).chain(&self.ignored).chain(&theirs).collect();
        let (mut ours, mut others) = (self.snapshot.walk(), self.source.walk());
        let mut changes = Vec::new();
        for path in paths {
            let (new, old) = (ours.look(path)?, others.look(path)?);
            let is_untouched = |new: &Seen, old: &Seen| {
                self.baseline.get(path).is_some_and(|was| {
                    new.stat.is_same_file(&was.stat) && old.stat.is_copy_of(&was.stat)
                })
            };
            let is_same = match (&new, &old) {
                (None, None) => true,
                (Some(new), Some(old)) if new.mode == old.mode && new.size == old.size => {
                    is_untouched(new, old) || {
                        let (old, new) =
                            (side(old, Source::Repository), side(new, Source::Snapshot));
                        self.is_same_content(path, &old, &new)?
                    }
                }
                _ => false,
            };
            if !is_same {
                changes.push(Change {
                    path: path.clone(),
                    old: old.map(|seen| side(&seen, Source::Repository)),
                    new: new.map(|seen| side(&seen, Source::Snapshot)),
                    is_ignored: self.ignored.contains(path),
                });
            }
        }
        Ok(changes)
    }

    /// What the suspects were when the snapshot was made.
    fn olds(&self, suspects: &[(&Vec<u8>, &Was, Option<Seen>)]) -> Result<Vec<Side>, Failure> {
        let mut walk = self.source.walk();
        let mut olds = Vec::new();
        let mut asked = Vec::new();
        for (at, (path, was, _)) in suspects.iter().enumerate() {
            let there = walk.look(path)?;
            let kept = there.is_some_and(|there| {
                there.stat.is_copy_of(&was.stat) && there.is_symlink() == (was.mode == 0o120_000)
            });
            let source = if kept { Source::Repository } else { Source::Unknown };
            let size = there.filter(|_| kept).map_or(was.stat.size(), |there| there.size);
            olds.push(Side { mode: was.mode, size, source });
            if let (false, Some(object)) = (kept, &was.object) {
                asked.push((at, path.as_slice(), hex(object, self.repository.format)));
            }
        }
        if asked.is_empty() {
            return Ok(olds);
        }
        let filtered = self.filtered(asked.iter().map(|(_, path, _)| *path))?;
        let sizes = self.sizes(asked.iter().map(|(.., object)| object.as_str()))?;
        for ((at, path, object), size) in asked.into_iter().zip(sizes) {
            olds[at].source = match size {
                // What a filter made of it is not kept.
                None => Source::Unknown,
                Some(_) if filtered.contains(path) => Source::Unknown,
                Some(size) if size == olds[at].size => Source::Object(object),
                Some(_) => Source::Converted(object),
            };
        }
        Ok(olds)
    }

    /// Those of `paths` that a filter of the repository applies to.
    fn filtered<'p>(
        &self,
        paths: impl Iterator<Item = &'p [u8]>,
    ) -> Result<BTreeSet<Vec<u8>>, Failure> {
        let paths: Vec<&[u8]> = paths.collect();
        let args = ["check-attr", "-z", "--stdin", "filter"];
        let told = self.repository.git.ask(&args, &paths.join(&0))?;
        if !told.status.success() {
            return Err(failed("git check-attr", &told));
        }
        let fields: Vec<&[u8]> = told.stdout.split(|byte| *byte == 0).collect();
        let has_filter = |field: &&[&[u8]]| !matches!(field[2], b"unspecified" | b"unset");
        Ok(fields.chunks_exact(3).filter(has_filter).map(|field| field[0].to_vec()).collect())
    }

    /// The sizes of objects; `None` for one that is gone.
    fn sizes<'o>(
        &self,
        objects: impl Iterator<Item = &'o str>,
    ) -> Result<Vec<Option<u64>>, Failure> {
        let names: Vec<&str> = objects.collect();
        let args = ["cat-file", "--batch-check=%(objectsize)"];
        let told = self.scratch.git.ask(&args, format!("{}\n", names.join("\n")).as_bytes())?;
        if !told.status.success() {
            return Err(failed("git cat-file", &told));
        }
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        Ok(text.lines().map(|line| line.parse().ok()).collect())
    }

    /// Whether both sides are kept and hold the same bytes.
    pub(crate) fn is_same_content(
        &self,
        path: &[u8],
        old: &Side,
        new: &Side,
    ) -> Result<bool, Failure> {
        if old.source == Source::Unknown || new.source == Source::Unknown || old.size != new.size {
            return Ok(false);
        }
        Ok(self.id(path, old)? == self.id(path, new)?)
    }

    /// Name of the blob that a side of a change is; `None` where its content is not kept.
    pub(crate) fn id(&self, path: &[u8], side: &Side) -> Result<Option<String>, Failure> {
        if let Source::Object(object) = &side.source {
            return Ok(Some(object.clone()));
        }
        let Some(content) = self.content(path, side)? else { return Ok(None) };
        let format = self.repository.format;
        let id = content.id(format).or_could_not(cannot_read(path))?;
        Ok(Some(hex(&id, format)))
    }

    /// The content of a side of a change; `None` where it is not kept.
    pub(crate) fn content(&self, path: &[u8], side: &Side) -> Result<Option<Content>, Failure> {
        let tree = match &side.source {
            Source::Snapshot => &self.snapshot,
            Source::Repository => &self.source,
            Source::Object(object) => {
                let bytes = self.scratch.git.run(&["cat-file", "blob", object])?;
                return Ok(Some(Content::Bytes(bytes)));
            }
            Source::Converted(object) => {
                let option = [b"--path=", path].concat();
                let option = os(&option);
                let args = ["cat-file".as_ref(), "--filters".as_ref(), option, object.as_ref()];
                let bytes = self.scratch.git.run(&args)?;
                return Ok(Some(Content::Bytes(bytes)));
            }
            Source::Bytes(bytes) => return Ok(Some(Content::Bytes(bytes.clone()))),
            Source::Unknown => return Ok(None),
        };
        let mut walk = tree.walk();
        let gone = || {
            let path = path_of(path).display();
            Failure::could_not(format!("`{path}` was removed meanwhile")).hint("try again")
        };
        let seen = walk.look(path)?.ok_or_else(gone)?;
        walk.read(path, &seen).map(Some)
    }
}

/// The words for a file that cannot be read.
pub(crate) fn cannot_read(path: &[u8]) -> String {
    format!("cannot read `{}`", path_of(path).display())
}

pub(crate) fn side(seen: &Seen, source: Source) -> Side {
    Side { mode: seen.mode, size: seen.size, source }
}

/// What `git ls-files` lists of the work tree `tree`, sorted. For a nested repository, which it
/// lists as a folder, stands what `nested` finds in it.
fn listed(
    git: &Git,
    kinds: &[&str],
    nested: impl Fn(&[u8]) -> Result<Vec<Vec<u8>>, Failure>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let args = [&["ls-files", "--exclude-standard", "-z"], kinds].concat();
    let listing = git.run(&args)?;
    let mut paths = Vec::new();
    for path in pieces(&listing) {
        match path.strip_suffix(b"/") {
            Some(folder) => paths.extend(nested(folder)?),
            None => paths.push(path.to_vec()),
        }
    }
    paths.retain(|path| !is_below(path, layout::RUNTIME.as_ref()) && is_safe(path));
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// All files in a folder, but for those of git.
fn files_in(place: &Tree, folder: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    tree(place.root().as_fd(), folder).or_could_not(cannot_read(folder))
}

/// How deep repositories may lie in repositories.
const DEPTH: usize = 16;

/// Tracked and untracked paths of the repository in which `git` runs, those of its submodules and
/// of nested repositories among them.
fn repository_paths(git: &Git, place: &Tree, depth: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let inside = |folder: &[u8]| {
        let path = git.folder().join(path_of(folder));
        let is_repository = path.join(".git").symlink_metadata().is_ok();
        if !is_repository || depth >= DEPTH {
            return files_in(place, folder);
        }
        let inner = repository_paths(&git.at(&path), &Tree::open(&path)?, depth + 1)?;
        Ok(inner.into_iter().map(|inner| [folder, b"/", &inner].concat()).collect())
    };
    let mut paths = listed(git, &["--cached", "--others", "--deduplicate"], inside)?;
    let mut walk = place.walk();
    let mut below = Vec::new();
    for path in &paths {
        let is_submodule = walk.look(path)?.is_none()
            && walk.is_folder(path)?
            && git.folder().join(path_of(path)).join(".git").symlink_metadata().is_ok();
        if is_submodule {
            below.extend(inside(path)?);
        }
    }
    paths.extend(below);
    Ok(paths)
}
