//! Writes changes into the repository's work tree: all of them, or none.
//!
//! New contents are made whole beside the runtime directory first. Then everything is moved into
//! place by renames, each relative to the open folder above it and through no symlink; what stood
//! there is moved aside. If one step fails, those before it are undone.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use libloom_contract::layout::Layout;
use libloom_entry::{Failure, OrFail};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::compare::{Change, Compare};
use crate::diff::shown;
use crate::folders::READ;
use crate::listing::open_root;
use crate::remove::remove_tree;
use crate::seen::{SYMLINK, Seen, os};

/// A change to be written.
pub(crate) struct Put {
    pub(crate) change: Change,
    /// What stands there; it is left alone if that is no longer so.
    pub(crate) there: Option<Seen>,
    /// Content and mode, where they are not the snapshot's.
    pub(crate) merged: Option<(Vec<u8>, u32)>,
}

/// One step that was taken, to be undone in reverse order.
enum Done {
    /// What stood at the path was moved aside under the number.
    Aside(Vec<u8>, usize),
    /// The path was written.
    Placed(Vec<u8>),
    MadeFolder(Vec<u8>),
    RemovedFolder(Vec<u8>, u32),
}

struct Staging<'a> {
    compare: &'a Compare,
    path: PathBuf,
    folder: OwnedFd,
    done: Vec<Done>,
}

/// Writes all of `puts`.
pub(crate) fn put_all(compare: &Compare, puts: &[Put]) -> Result<(), Failure> {
    if puts.is_empty() {
        return Ok(());
    }
    let layout = Layout::of_repository(&compare.repository.root);
    let path = layout.runtime().join(format!("apply-{}", std::process::id()));
    let made = layout.create().and_then(|()| fs::DirBuilder::new().mode(0o700).create(&path));
    made.or_could_not(format_args!("cannot make `{}`", path.display()))?;
    let folder = open_root(&path).or_could_not("cannot open the folder for new files")?;
    let mut staging = Staging { compare, path: path.clone(), folder, done: Vec::new() };
    let result = staging.put_all(puts);
    if result.is_err() {
        // What cannot be put back stays where it was moved to.
        staging.undo_all()?;
    }
    let removed = remove_tree(&path);
    result.and(removed.or_could_not(format_args!("cannot remove `{}`", path.display())))
}

impl Staging<'_> {
    fn put_all(&mut self, puts: &[Put]) -> Result<(), Failure> {
        for (at, put) in puts.iter().enumerate() {
            self.prepare(at, put).map_err(|failure| failure.context(cannot_write(put)))?;
        }
        self.move_into_place(puts)
    }

    fn undo_all(&mut self) -> Result<(), Failure> {
        while let Some(done) = self.done.pop() {
            let what =
                format!("cannot put back what was replaced; it is in `{}`", self.path.display());
            self.undo(&done).or_could_not(what)?;
        }
        Ok(())
    }

    /// Makes the new file or symlink of a change beside its place.
    fn prepare(&self, at: usize, put: &Put) -> Result<(), Failure> {
        let Some(new) = &put.change.new else { return Ok(()) };
        let name = format!("new-{at}");
        let content = match &put.merged {
            Some((bytes, _)) => crate::seen::Content::Bytes(bytes.clone()),
            None => self
                .compare
                .content(&put.change.path, new)?
                .ok_or_else(|| Failure::could_not("its content is not kept"))?,
        };
        let mode = put.merged.as_ref().map_or(new.mode, |(_, mode)| *mode);
        let what = "cannot write the new file";
        if mode == SYMLINK {
            let target = content.bytes().or_could_not(what)?;
            return symlinkat(os(&target), &self.folder, name.as_str()).or_could_not(what);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let created = if mode & 0o100 == 0 { 0o666 } else { 0o777 };
        let file = openat(&self.folder, name.as_str(), flags, Mode::from_raw_mode(created))
            .or_could_not(what)?;
        let mut file = fs::File::from(file);
        content.pieces(|piece| std::io::Write::write_all(&mut file, piece)).or_could_not(what)?;
        if let Some(there) = put.there.filter(|there| !there.is_symlink() && there.mode == mode) {
            // The user's own choice of who may read it stays.
            let permissions = Mode::from_raw_mode(there.permissions);
            rustix::fs::fchmod(&file, permissions).or_could_not(what)?;
        }
        Ok(())
    }

    /// Removals first: a file may take a folder's place and the other way round.
    fn move_into_place(&mut self, puts: &[Put]) -> Result<(), Failure> {
        let all = || puts.iter().enumerate();
        for (at, put) in all().rev().filter(|(_, put)| put.change.new.is_none()) {
            self.aside(at, put)?;
            self.remove_empty_folders(&put.change.path).or_could_not(cannot_write(put))?;
        }
        for (at, put) in all().filter(|(_, put)| put.change.new.is_some()) {
            self.aside(at, put)?;
            self.place(at, &put.change.path).map_err(|error| cannot_move(error, put))?;
        }
        Ok(())
    }

    /// Moves what stands at the path aside, if it is still what was seen there.
    fn aside(&mut self, at: usize, put: &Put) -> Result<(), Failure> {
        let path = &put.change.path[..];
        let there = self.compare.source.walk().look(path)?;
        if there != put.there {
            let what = format!("`{}` was changed just now", shown(path));
            return Err(Failure::could_not(what).hint("nothing was written; try again"));
        }
        if there.is_none() {
            return Ok(());
        }
        let (parent, name) = self.parent(path, false).or_could_not(cannot_write(put))?;
        let old = format!("old-{at}");
        let flags = RenameFlags::NOREPLACE;
        renameat_with(&parent, os(name), &self.folder, old.as_str(), flags)
            .map_err(|error| cannot_move(error, put))?;
        self.done.push(Done::Aside(path.to_vec(), at));
        Ok(())
    }

    fn place(&mut self, at: usize, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path, true)?;
        let new = format!("new-{at}");
        let flags = RenameFlags::NOREPLACE;
        renameat_with(&self.folder, new.as_str(), &parent, os(name), flags)?;
        self.done.push(Done::Placed(path.to_vec()));
        Ok(())
    }

    /// The open folder that holds `path`, and the path's last name; missing folders are made if
    /// `make`.
    fn parent<'p>(&mut self, path: &'p [u8], make: bool) -> Result<(OwnedFd, &'p [u8]), Errno> {
        let mut folder = openat(self.root(), ".", READ, Mode::empty())?;
        let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |end| end + 1);
        let mut from = 0;
        while from < end {
            let length = path[from..].iter().position(|byte| *byte == b'/').unwrap_or(0);
            let name = os(&path[from..from + length]);
            folder = match openat(&folder, name, READ, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    mkdirat(&folder, name, Mode::from_raw_mode(0o777))?;
                    self.done.push(Done::MadeFolder(path[..from + length].to_vec()));
                    openat(&folder, name, READ, Mode::empty())?
                }
                opened => opened?,
            };
            from += length + 1;
        }
        Ok((folder, &path[end..]))
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.compare.source.root().as_fd()
    }

    /// As git does when the last file of a folder goes.
    fn remove_empty_folders(&mut self, path: &[u8]) -> Result<(), Errno> {
        let mut rest = path;
        while let Some(end) = rest.iter().rposition(|byte| *byte == b'/') {
            rest = &rest[..end];
            let (parent, name) = match self.parent(rest, false) {
                Ok(found) => found,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            };
            let stat = rustix::fs::statat(&parent, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
            match unlinkat(&parent, os(name), AtFlags::REMOVEDIR) {
                Ok(()) => {
                    let mode = crate::stat::permissions(&stat);
                    self.done.push(Done::RemovedFolder(rest.to_vec(), mode));
                }
                // It is not empty, or a place that cannot go (a mount, the present folder).
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn undo(&mut self, done: &Done) -> Result<(), Errno> {
        match done {
            Done::Placed(path) => {
                let (parent, name) = self.parent(path, false)?;
                unlinkat(&parent, os(name), AtFlags::empty())
            }
            Done::Aside(path, at) => {
                let (parent, name) = self.parent(path, false)?;
                let (old, flags) = (format!("old-{at}"), RenameFlags::NOREPLACE);
                renameat_with(&self.folder, old.as_str(), &parent, os(name), flags)
            }
            Done::MadeFolder(path) => {
                let (parent, name) = self.parent(path, false)?;
                unlinkat(&parent, os(name), AtFlags::REMOVEDIR)
            }
            Done::RemovedFolder(path, mode) => {
                let (parent, name) = self.parent(path, false)?;
                mkdirat(&parent, os(name), Mode::from_raw_mode(*mode))
            }
        }
    }
}

fn cannot_move(error: Errno, put: &Put) -> Failure {
    let failure = Failure::could_not(error).context(cannot_write(put));
    match error {
        Errno::LOOP | Errno::NOTDIR => {
            failure.hint("a symlink or a file stands where a folder is needed")
        }
        Errno::EXIST | Errno::ISDIR => failure.hint("something else stands there now"),
        Errno::XDEV => failure
            .hint("it is on another file system than `.loom`: `loom snapshot apply --patch` prints a patch for `git apply`"),
        _ => failure,
    }
}

fn cannot_write(put: &Put) -> String {
    format!("cannot apply the change of `{}`", shown(&put.change.path))
}
