//! Git's object files: shared blocks, copies, or hard links of packs.
//!
//! Git never changes an object file, it only adds and removes; so a copy taken in the right order
//! is whole: loose objects before packs, because an object moves from loose to packed, never
//! back. Packs are hard-linked only where bytes would be many ([`COPY_AT_MOST`]) and only if we
//! own them. Alternates are united, so that the snapshot stands alone. A symlink among object
//! files is refused (CVE-2022-39253).

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use libloom_contract::snapshot::Method;
use libloom_entry::{Failure, OrFail};
use rustix::fs::{AtFlags, FileType, linkat, statat};
use rustix::io::Errno;

use crate::copy::Copied;
use crate::errors::{cannot_copy, cannot_write};
use crate::git::path_of;
use crate::listing::{names, open_root};
use crate::pool::{Pool, Tally, size};
use crate::progress::Progress;
use crate::stat::kind;
use crate::transfer::Transfer;

/// Object files are copied up to this many bytes in all; above it packs are hard-linked.
const COPY_AT_MOST: u64 = 64 << 20;
/// How often packs are listed anew because `git repack` replaced them while we copied.
const LISTINGS: usize = 5;
/// How far alternates of alternates are followed, as in git.
const DEPTH: usize = 5;

/// What copying the objects came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objects {
    pub(crate) method: Method,
    pub(crate) bytes: u64,
}

/// Copies all object files of `objects` and its alternates into the empty folder `copy`.
pub(crate) fn copy_objects(
    objects: &Path,
    copy: &Path,
    progress: &Progress,
) -> Result<Objects, Failure> {
    let transfer = Transfer::default();
    let to = open_root(copy).or_could_not(format_args!("cannot open `{}`", copy.display()))?;
    let mut total = Objects { method: Method::None, bytes: 0 };
    let mut done = HashSet::new();
    for folder in with_alternates(objects)? {
        let from =
            open_root(&folder).or_could_not(format_args!("cannot open `{}`", folder.display()))?;
        let (source, copy) = (from.as_fd(), to.as_fd());
        let pool = Pool { source, copy, transfer: &transfer, progress, specials: None };
        let mut store =
            Store { pool, is_main: folder == objects, done: &mut done, total: &mut total };
        store.copy().map_err(|f| {
            f.context(format_args!("cannot copy the objects in `{}`", folder.display()))
        })?;
    }
    if total.method == Method::Copy && transfer.shared_any() {
        total.method = Method::Reflink;
    }
    Ok(total)
}

/// `objects` and what its `info/alternates` name, each once.
fn with_alternates(objects: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = vec![objects.to_owned()];
    let mut level = found.clone();
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for folder in &level {
            for alternate in alternates_of(folder)? {
                if !found.contains(&alternate) {
                    found.push(alternate.clone());
                    next.push(alternate);
                }
            }
        }
        level = next;
    }
    Ok(found)
}

fn alternates_of(objects: &Path) -> Result<Vec<PathBuf>, Failure> {
    let path = objects.join("info/alternates");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(
                Failure::could_not(error).context(format_args!("cannot read `{}`", path.display()))
            );
        }
    };
    let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty() && l[0] != b'#');
    let resolve = |line: &[u8]| {
        if line[0] == b'"' {
            let what = format!("`{}` holds a quoted path, which is not supported", path.display());
            return Err(Failure::could_not(what).hint("write the path without quotes"));
        }
        let folder = objects.join(path_of(line));
        folder.canonicalize().or_could_not(format_args!(
            "cannot find `{}`, which `{}` names",
            folder.display(),
            path.display()
        ))
    };
    lines.map(resolve).collect()
}

/// One folder of object files on its way into the copy.
struct Store<'a> {
    pool: Pool<'a>,
    is_main: bool,
    done: &'a mut HashSet<Vec<u8>>,
    total: &'a mut Objects,
}

#[derive(Default)]
struct ObjectTally {
    bytes: u64,
    missing: Vec<usize>,
    symlink: Option<usize>,
}

impl Tally for ObjectTally {
    fn add(&mut self, at: usize, copied: Copied) -> Result<(), Failure> {
        match copied {
            Copied::File { source, copy } if kind(&source) == FileType::RegularFile => {
                self.bytes += size(&copy);
            }
            Copied::File { .. } | Copied::Folder => self.symlink = Some(at),
            Copied::Missing => self.missing.push(at),
        }
        Ok(())
    }
}

impl Store<'_> {
    fn copy(&mut self) -> Result<(), Failure> {
        let loose = self.new_names(loose_files(self.pool.source).or_could_not("cannot list them")?);
        self.copy_files(&loose)?;
        for _ in 0..LISTINGS {
            let listed =
                pack_files(self.pool.source, self.is_main).or_could_not("cannot list packs")?;
            let packs = self.new_names(listed);
            let missing = self.copy_packs(packs)?;
            if missing.is_empty() {
                return Ok(());
            }
            for name in missing {
                self.done.remove(&name);
            }
        }
        Err(Failure::could_not("packs kept being replaced")
            .hint("wait for `git repack` to end, then try again"))
    }

    fn new_names(&mut self, names: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        names.into_iter().filter(|name| self.done.insert(name.clone())).collect()
    }

    /// Copies packs, or links them where they are large; returns those that were gone.
    fn copy_packs(&mut self, packs: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
        let mut sized = Vec::with_capacity(packs.len());
        for name in packs {
            match statat(self.pool.source, path_of(&name), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => sized.push((size(&stat), name)),
                Err(_) => return Ok(vec![name]),
            }
        }
        sized.sort();
        let bytes: u64 = sized.iter().map(|(size, _)| size).sum();
        let names: Vec<_> = sized.into_iter().map(|(_, name)| name).collect();
        if self.total.bytes + bytes <= COPY_AT_MOST || names.is_empty() {
            return self.copy_files(&names);
        }
        // The smallest shows whether blocks can be shared before a large one is copied in vain.
        let mut missing = self.copy_files(&names[..1])?;
        if self.pool.transfer.shared_any() {
            missing.extend(self.copy_files(&names[1..])?);
            return Ok(missing);
        }
        for name in &names[1..] {
            missing.extend(self.link(name)?);
        }
        Ok(missing)
    }

    fn copy_files(&mut self, names: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Failure> {
        let tallies: Vec<ObjectTally> =
            self.pool.copy(names.len(), |at| Some(&names[at][..]), ObjectTally::default)?;
        let mut missing = Vec::new();
        for tally in tallies {
            if let Some(at) = tally.symlink {
                return Err(not_a_file(&names[at]));
            }
            self.total.bytes += tally.bytes;
            missing.extend(tally.missing.into_iter().map(|at| names[at].clone()));
        }
        if !names.is_empty() && self.total.method == Method::None {
            self.total.method = Method::Copy;
        }
        Ok(missing)
    }

    /// Links one pack file, or copies it where that cannot be; returns its name if it was gone.
    fn link(&mut self, name: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let Pool { source, copy, .. } = self.pool;
        let path = path_of(name);
        let stat = match statat(source, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(vec![name.to_vec()]),
            Err(error) => {
                return Err(cannot_copy(name, crate::copy::CopyError::Read(error.into())));
            }
        };
        if kind(&stat) != FileType::RegularFile {
            return Err(not_a_file(name));
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return self.copy_files(std::slice::from_ref(&name.to_vec()));
        }
        match linkat(source, path, copy, path, AtFlags::empty()) {
            Ok(()) => {
                self.total.bytes += size(&stat);
                self.total.method = Method::HardLink;
                Ok(Vec::new())
            }
            Err(Errno::NOENT) => Ok(vec![name.to_vec()]),
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => {
                self.copy_files(std::slice::from_ref(&name.to_vec()))
            }
            Err(error) => {
                Err(cannot_write(format_args!("cannot link `{}`", path.display()), error))
            }
        }
    }
}

fn not_a_file(name: &[u8]) -> Failure {
    let what = format!("`{}` is not a file, as objects of git must be", path_of(name).display());
    Failure::could_not(what).hint("replace it by the file it points to")
}

/// Paths of the loose objects.
fn loose_files(objects: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let is_hex = |name: &[u8]| name.iter().all(u8::is_ascii_hexdigit);
    let mut found = Vec::new();
    for (folder, kind) in names(objects, ".")? {
        if folder.len() != 2 || !is_hex(&folder) || kind == FileType::RegularFile {
            continue;
        }
        let text = String::from_utf8_lossy(&folder).into_owned();
        if kind != FileType::Directory {
            found.push(folder);
            continue;
        }
        for (name, _) in names(objects, &text)? {
            if is_hex(&name) && matches!(name.len(), 38 | 62) {
                found.push([&folder[..], b"/", &name].concat());
            }
        }
    }
    Ok(found)
}

/// Paths of packs and what belongs to them; commit graphs and the index over all packs only of
/// the main folder, because they speak of that folder alone.
fn pack_files(objects: BorrowedFd<'_>, is_main: bool) -> Result<Vec<Vec<u8>>, Errno> {
    let endings: [&[u8]; 6] = [b".pack", b".idx", b".rev", b".bitmap", b".mtimes", b".promisor"];
    let mut found = Vec::new();
    for (name, _) in names(objects, "pack")? {
        let of_pack = name.starts_with(b"pack-") && endings.iter().any(|end| name.ends_with(end));
        let of_all = is_main && name.starts_with(b"multi-pack-index") && !name.ends_with(b".lock");
        if of_pack || of_all {
            found.push([b"pack/", &name[..]].concat());
        }
    }
    if is_main {
        let graphs = names(objects, "info/commit-graphs")?;
        let graphs = graphs.into_iter().filter(|(name, _)| !name.ends_with(b".lock"));
        found.extend(graphs.map(|(name, _)| [b"info/commit-graphs/", &name[..]].concat()));
        let single = names(objects, "info")?.into_iter().any(|(name, _)| name == b"commit-graph");
        found.extend(single.then(|| b"info/commit-graph".to_vec()));
    }
    Ok(found)
}
