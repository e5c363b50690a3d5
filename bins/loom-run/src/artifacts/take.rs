//! Takes files out of a workspace in one pass: each is read once, for its copy, its checksum and
//! the archive.
//!
//! A job's processes are gone by now, but other jobs of the run share the workspace: a file may
//! vanish, grow or shrink while it is read, and a link may appear where a folder was. None of that
//! is followed or passed over in silence.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{File, Metadata, Permissions},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use libloom_archive::{Content, Copied, Folder, Kind, encoded, kept_mode};
use libloom_contract::artifacts::{ArtifactEntry, EntryKind};
use libloom_redact::Redactor;
use tar::EntryType;

use super::{
    gzip::Gzip,
    select::{Chosen, shown},
};

/// Bytes that are read at a time; a file that fits is known whole before it is announced.
const BUFFER_BYTES: usize = 128 * 1024;

/// Where files are taken to.
pub struct Taker<'r> {
    redactor: &'r Redactor,
    copies: Folder,
    /// Name of the archive among the copies: the one path that has no copy.
    archive: PathBuf,
    tar: tar::Builder<Gzip<File>>,
    /// First name of every file that has several, and its place in `taken.entries`.
    first_names: HashMap<(u64, u64), usize>,
    buffer: Vec<u8>,
    taken: Taken,
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order in which they were given.
    pub entries: Vec<ArtifactEntry>,
    /// Bytes of all files.
    pub bytes: u64,
    /// What is unusual, in words.
    pub notes: Vec<String>,
    /// What could not be taken, in words.
    pub errors: Vec<String>,
}

/// Why a file was not taken.
enum Trouble {
    /// It cannot be read; the others can.
    Source(io::Error),
    /// Nothing more can be written.
    Target(io::Error),
}

impl<'r> Taker<'r> {
    /// Copies go to `copies`, the archive to the file `archive` in it; what `redactor` hides is in
    /// no name of theirs.
    pub fn new(
        mut copies: Folder,
        archive: &Path,
        threads: usize,
        redactor: &'r Redactor,
    ) -> io::Result<Self> {
        let file = copies.create_file(archive, 0o666)?;
        Ok(Taker {
            redactor,
            copies,
            archive: archive.to_owned(),
            tar: tar::Builder::new(Gzip::new(file, threads)?),
            first_names: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            taken: Taken::default(),
        })
    }

    /// Takes one path.
    ///
    /// # Errors
    /// Copy or archive cannot be written; what is wrong with the path itself is kept in words.
    pub fn take(&mut self, workspace: &mut Folder, chosen: &Chosen) -> io::Result<()> {
        let path = &chosen.path;
        let name = &self.hidden(path.as_os_str());
        let taken = match chosen.kind {
            Kind::Symlink => self.take_link(workspace, path, name),
            Kind::Folder => self.take_folder(workspace, path, name),
            Kind::File | Kind::Special => self.take_file(workspace, path, name),
        };
        match taken {
            Ok(entry) => {
                self.taken.bytes += entry.size;
                self.taken.entries.push(entry);
            }
            Err(Trouble::Source(error)) if error.kind() == io::ErrorKind::NotFound => {
                let note = format!("{} vanished before it was taken", shown(path));
                self.taken.notes.push(note);
            }
            Err(Trouble::Source(error)) => {
                self.taken.errors.push(format!("cannot take artifact {}: {error}", shown(path)));
            }
            Err(Trouble::Target(error)) => return Err(error),
        }
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(self) -> io::Result<Taken> {
        self.tar.into_inner()?.finish()?;
        Ok(self.taken)
    }

    fn hidden(&self, name: &OsStr) -> PathBuf {
        OsString::from_vec(self.redactor.bytes(name.as_bytes()).into_owned()).into()
    }

    fn take_link(
        &mut self,
        workspace: &mut Folder,
        path: &Path,
        name: &Path,
    ) -> Result<ArtifactEntry, Trouble> {
        let target = workspace.read_link(path).map_err(Trouble::Source)?;
        let target = self.hidden(target.as_ref()).into_os_string();
        // A link's own time is the time it was made: it would make every archive differ.
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, name, &target).map_err(Trouble::Target)?;
        self.copies.create_link(name, &target).map_err(Trouble::Target)?;
        let (link_target, link_target_bytes) = encoded(&target);
        let entry = entry(name, EntryKind::Symlink, 0o777);
        Ok(ArtifactEntry { link_target: Some(link_target), link_target_bytes, ..entry })
    }

    fn take_folder(
        &mut self,
        workspace: &mut Folder,
        path: &Path,
        name: &Path,
    ) -> Result<ArtifactEntry, Trouble> {
        let stat = workspace.stat(path).map_err(Trouble::Source)?;
        let stat = stat.ok_or_else(|| Trouble::Source(io::ErrorKind::NotFound.into()))?;
        let mode = stat.st_mode & 0o7777;
        let mut header = header(EntryType::Directory, mode, 0);
        self.tar.append_data(&mut header, name.join(""), io::empty()).map_err(Trouble::Target)?;
        self.copies.create_folder(name, kept_mode(mode) | 0o300).map_err(Trouble::Target)?;
        Ok(entry(name, EntryKind::Folder, mode))
    }

    fn take_file(
        &mut self,
        workspace: &mut Folder,
        path: &Path,
        name: &Path,
    ) -> Result<ArtifactEntry, Trouble> {
        let source = workspace.open_file(path).map_err(Trouble::Source)?;
        let metadata = source.metadata().map_err(Trouble::Source)?;
        let has_copy = name != self.archive;
        let id = (metadata.dev(), metadata.ino());
        if let Some(&first) = self.first_names.get(&id).filter(|_| has_copy) {
            return self.take_second_name(name, first);
        }
        let copied = self.take_content(source, &metadata, name, has_copy)?;
        if metadata.nlink() > 1 && has_copy {
            self.first_names.insert(id, self.taken.entries.len());
        }
        let entry = entry(name, EntryKind::File, metadata.mode() & 0o7777);
        Ok(ArtifactEntry { size: copied.size, sha256: Some(copied.sha256), ..entry })
    }

    /// Another name of a file that was taken: a hard link in the archive and among the copies.
    fn take_second_name(&mut self, name: &Path, first: usize) -> Result<ArtifactEntry, Trouble> {
        let first = self.taken.entries[first].clone();
        let first_path = libloom_archive::entry_path(&first)
            .map_err(|error| Trouble::Source(io::Error::other(error)))?;
        let mut header = header(EntryType::Link, first.mode, 0);
        self.tar.append_link(&mut header, name, &first_path).map_err(Trouble::Target)?;
        self.link_or_copy(name, &first_path, first.mode).map_err(Trouble::Target)?;
        let (text, path_bytes) = encoded(name.as_os_str());
        Ok(ArtifactEntry { path: text, path_bytes, ..first })
    }

    /// Not every file system has hard links, nor any number of them.
    fn link_or_copy(&mut self, name: &Path, first: &Path, mode: u32) -> io::Result<()> {
        if self.copies.create_hard_link(name, first).is_ok() {
            return Ok(());
        }
        let mut source = self.copies.open_file(first)?;
        let mut copy = self.copies.create_file(name, 0o600)?;
        io::copy(&mut source, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(kept_mode(mode)))?;
        copy.set_modified(source.metadata()?.modified()?)
    }

    fn take_content(
        &mut self,
        source: File,
        metadata: &Metadata,
        name: &Path,
        has_copy: bool,
    ) -> Result<Copied, Trouble> {
        let content = match has_copy {
            true => {
                Content::written_to(self.copies.create_file(name, 0o600).map_err(Trouble::Target)?)
            }
            false => Content::checked(),
        };
        let begun = Reading::begin(source, metadata, content, &mut self.buffer);
        let mut reading = begun.map_err(|error| {
            // Nothing of it is in the archive, so nothing may be among the copies.
            if has_copy {
                let _ = self.copies.remove(name);
            }
            Trouble::Source(error)
        })?;
        let mut header = header(EntryType::Regular, metadata.mode() & 0o7777, metadata.mtime());
        header.set_size(reading.size);
        if metadata.mtime() < 0 {
            let time = metadata.mtime().to_string();
            let extension = [("mtime", time.as_bytes())];
            self.tar.append_pax_extensions(extension).map_err(Trouble::Target)?;
        }
        self.tar.append_data(&mut header, name, &mut reading).map_err(Trouble::Target)?;
        let (copied, changed) = reading.end().map_err(Trouble::Target)?;
        match changed {
            Some(Changed::Badly(how)) => {
                self.taken.errors.push(format!("cannot take artifact {}: {how}", shown(name)));
            }
            Some(Changed::Meanwhile) => {
                self.taken.notes.push(format!("{} changed while it was read", shown(name)));
            }
            None => {}
        }
        if let Some(file) = &copied.file {
            let mode = Permissions::from_mode(kept_mode(metadata.mode()));
            let kept = file.set_permissions(mode).and_then(|()| metadata.modified());
            kept.and_then(|time| file.set_modified(time)).map_err(Trouble::Target)?;
        }
        Ok(copied)
    }
}

fn header(kind: EntryType, mode: u32, modified: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(modified).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn entry(path: &Path, kind: EntryKind, mode: u32) -> ArtifactEntry {
    let (path, path_bytes) = encoded(path.as_os_str());
    ArtifactEntry {
        path,
        path_bytes,
        entry: kind,
        size: 0,
        mode,
        sha256: None,
        link_target: None,
        link_target_bytes: None,
    }
}

/// How a file changed while it was read.
enum Changed {
    /// Not all of what was announced was there; the rest is zeros.
    Badly(String),
    /// It was written to; what was read may be some of the old and some of the new.
    Meanwhile,
}

/// A file on its way into the archive, exactly as long as announced.
struct Reading<'a> {
    source: File,
    before: (u64, i64, i64),
    content: Content,
    buffer: &'a mut [u8],
    /// What of the buffer was not handed on yet.
    waiting: std::ops::Range<usize>,
    /// Bytes that are announced.
    size: u64,
    /// Bytes of these that were not read yet.
    left: u64,
    changed: Option<Changed>,
}

impl<'a> Reading<'a> {
    /// Reads the beginning, and decides how long the file is.
    fn begin(
        source: File,
        metadata: &Metadata,
        content: Content,
        buffer: &'a mut [u8],
    ) -> io::Result<Self> {
        let mut reading = Reading {
            source,
            before: stamp(metadata),
            content,
            buffer,
            waiting: 0..0,
            size: 0,
            left: 0,
            changed: None,
        };
        let length = reading.read_up_to(reading.buffer.len())?;
        let is_whole = length < reading.buffer.len();
        let length = length as u64;
        reading.size = if is_whole { length } else { metadata.len().max(length) };
        reading.left = reading.size - length;
        Ok(reading)
    }

    /// Fills the buffer from its start; less than `length` means that the file ends.
    fn read_up_to(&mut self, length: usize) -> io::Result<usize> {
        let mut filled = 0;
        while filled < length {
            match self.source.read(&mut self.buffer[filled..length]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.content.push(&self.buffer[..filled])?;
        self.waiting = 0..filled;
        Ok(filled)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        let filled = match self.changed {
            None => self.read_up_to(wanted)?,
            // The archive has announced more than there is.
            Some(_) => 0,
        };
        if filled < wanted {
            let missing = self.left - filled as u64;
            let text = format!("it lost {missing} bytes while it was read");
            self.changed.get_or_insert(Changed::Badly(text));
            self.buffer[filled..wanted].fill(0);
            self.content.push(&self.buffer[filled..wanted])?;
            self.waiting = 0..wanted;
        }
        self.left -= wanted as u64;
        Ok(())
    }

    fn end(self) -> io::Result<(Copied, Option<Changed>)> {
        let after = self.source.metadata().map(|metadata| stamp(&metadata)).ok();
        let meanwhile = (after != Some(self.before)).then_some(Changed::Meanwhile);
        Ok((self.content.finish()?, self.changed.or(meanwhile)))
    }
}

/// What changes when a file is written to.
fn stamp(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

impl Read for Reading<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.waiting.is_empty() && self.left > 0 {
            self.read_more()?;
        }
        let count = self.waiting.len().min(out.len());
        let from = self.waiting.start;
        out[..count].copy_from_slice(&self.buffer[from..from + count]);
        self.waiting.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        temporary: tempfile::TempDir,
        workspace: Folder,
        taker: Taker<'static>,
    }

    fn place() -> Place {
        let temporary = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| temporary.path().join(name));
        let workspace = Folder::create(&from).unwrap();
        let taker = Taker::new(
            Folder::create(&to).unwrap(),
            Path::new("a.tar.gz"),
            2,
            Box::leak(Box::default()),
        )
        .unwrap();
        Place { temporary, workspace, taker }
    }

    fn file(path: &str) -> Chosen {
        Chosen { path: path.into(), kind: Kind::File }
    }

    #[test]
    fn what_vanishes_is_a_note_and_what_became_a_link_an_error() {
        let Place { temporary, mut workspace, mut taker } = place();
        fs::write(temporary.path().join("from/fine"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", temporary.path().join("from/link")).unwrap();
        for name in ["gone", "link", "fine"] {
            taker.take(&mut workspace, &file(name)).unwrap();
        }
        let taken = taker.finish().unwrap();
        assert_eq!(taken.notes, ["`gone` vanished before it was taken"]);
        assert_eq!(taken.errors, ["cannot take artifact `link`: `link` is a symbolic link"]);
        assert_eq!(taken.entries.len(), 1);
        assert!(!temporary.path().join("to/link").exists());
    }

    #[test]
    fn file_that_shrinks_or_grows_meanwhile_keeps_its_announced_length() {
        let Place { temporary, mut workspace, .. } = place();
        let path = temporary.path().join("from/file");
        for (length, ends) in [(BUFFER_BYTES as u64 + 10, "it lost"), (1 << 20, "meanwhile")] {
            fs::write(&path, vec![b'x'; 4 * BUFFER_BYTES]).unwrap();
            let source = workspace.open_file(Path::new("file")).unwrap();
            let metadata = source.metadata().unwrap();
            let mut buffer = vec![0; BUFFER_BYTES];
            let content = Content::checked();
            let mut reading = Reading::begin(source, &metadata, content, &mut buffer).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            let mut read = Vec::new();
            reading.read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), 4 * BUFFER_BYTES);
            let (copied, changed) = reading.end().unwrap();
            assert_eq!(copied.size, 4 * BUFFER_BYTES as u64);
            let words = match changed {
                Some(Changed::Badly(words)) => words,
                Some(Changed::Meanwhile) => "meanwhile".into(),
                None => "unchanged".into(),
            };
            assert!(words.starts_with(ends), "{words}");
        }
    }
}
