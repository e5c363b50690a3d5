//! Git's index: read for its paths, written again with the snapshot's own stat data.
//!
//! Versions 2 to 4 with SHA-1 or SHA-256 names, as described in git's `gitformat-index(5)`. The
//! `TREE` and `REUC` extensions are kept as they are; other optional ones are caches and dropped.
//! A split index (`link`) cannot be read alone: [`Index::parse`] says so and `scratch_index`
//! lets git unite it. An unknown required extension is an error, never ignored.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::stat::StatData;

/// How objects are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectFormat {
    Sha1,
    Sha256,
}

impl ObjectFormat {
    /// The format of the word that git prints.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// A hash to be fed piece by piece.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::Sha1 => Hash::Sha1(Sha1::new()),
            Self::Sha256 => Hash::Sha256(Sha256::new()),
        }
    }

    /// Hash of `bytes`.
    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }
}

/// A hash under way.
pub(crate) enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hash {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    /// The hash, padded with zeros.
    pub(crate) fn finish(self) -> [u8; 32] {
        let mut name = [0; 32];
        match self {
            Self::Sha1(hash) => name[..20].copy_from_slice(&hash.finalize()),
            Self::Sha256(hash) => name.copy_from_slice(&hash.finalize()),
        }
        name
    }
}

/// Why an index cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("its version {0} is not one of 2, 3 and 4")]
    Version(u32),
    #[error("it needs the extension `{0}`, which this loom does not know")]
    Extension(String),
    #[error("it holds the path `{0}`, which git itself would not write to a work tree")]
    Path(String),
}

/// All of an index that the snapshot needs.
#[derive(Debug)]
pub(crate) struct Index {
    format: ObjectFormat,
    pub(crate) entries: Vec<Entry>,
    paths: Vec<u8>,
    extensions: Vec<u8>,
    /// Whether the entries of a shared index are missing here.
    pub(crate) is_split: bool,
}

/// One entry; its path is in the index that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) stat: StatData,
    pub(crate) mode: u32,
    object: [u8; 32],
    flags: u16,
    extended: u16,
    path_start: u32,
    path_end: u32,
}

const ASSUME_VALID: u16 = 0x8000;
const EXTENDED: u16 = 0x4000;
const STAGE: u16 = 0x3000;
const NAME_LENGTH: u16 = 0x0fff;
const SKIP_WORKTREE: u16 = 0x4000;
const TYPE: u32 = 0o170_000;

impl Entry {
    /// A commit of another repository rather than content.
    pub(crate) fn is_gitlink(&self) -> bool {
        self.mode & TYPE == 0o160_000
    }

    /// A symlink.
    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & TYPE == 0o120_000
    }

    /// A whole folder that a sparse checkout leaves out.
    pub(crate) fn is_sparse_folder(&self) -> bool {
        self.mode & TYPE == 0o040_000
    }

    /// Name of its object, padded with zeros; all zeros where it is not known.
    pub(crate) fn object(&self) -> &[u8; 32] {
        &self.object
    }

    /// Whether git leaves the path out of the work tree on purpose.
    pub(crate) fn is_skipped(&self) -> bool {
        self.extended & SKIP_WORKTREE != 0
    }
}

impl Index {
    /// The index of a repository that has none yet.
    pub(crate) fn empty(format: ObjectFormat) -> Self {
        let (entries, paths, extensions) = (Vec::new(), Vec::new(), Vec::new());
        Self { format, entries, paths, extensions, is_split: false }
    }

    /// Reads the bytes of an index file.
    pub(crate) fn parse(bytes: &[u8], format: ObjectFormat) -> Result<Self, IndexError> {
        let end = bytes.len().checked_sub(format.size());
        let end = end.ok_or(IndexError::Damaged("it is too short"))?;
        let mut reader = Reader { rest: &bytes[..end] };
        if reader.take(4)? != b"DIRC" {
            return Err(IndexError::Damaged("it does not begin with `DIRC`"));
        }
        let version = reader.u32()?;
        if !(2..=4).contains(&version) {
            return Err(IndexError::Version(version));
        }
        let count = reader.u32()? as usize;
        let mut index = Self::empty(format);
        index.entries.reserve(count.min(bytes.len() / 62));
        let mut previous = 0..0;
        for _ in 0..count {
            let entry = index.read_entry(&mut reader, version, previous)?;
            previous = entry.path_start as usize..entry.path_end as usize;
            index.entries.push(entry);
        }
        index.read_extensions(reader)?;
        // In a split index the paths are elsewhere; it is read again once it is united.
        if !index.is_split {
            index.check_paths()?;
        }
        Ok(index)
    }

    /// The path of an entry of this index.
    pub(crate) fn path(&self, entry: &Entry) -> &[u8] {
        &self.paths[entry.path_start as usize..entry.path_end as usize]
    }

    /// The bytes of an index file whose entries have the stat data that `stats` holds for them.
    ///
    /// An entry without stat data gets zeros: git will look at the file itself.
    pub(crate) fn to_bytes(&self, stats: &[Option<StatData>]) -> Vec<u8> {
        let is_extended = self.entries.iter().any(|entry| entry.extended != 0);
        let mut out = Vec::with_capacity(self.paths.len() + self.entries.len() * 72 + 64);
        out.extend_from_slice(b"DIRC");
        push(&mut out, if is_extended { 3 } else { 2 });
        push(&mut out, u32::try_from(self.entries.len()).expect("counted by 32 bits on reading"));
        for (entry, stat) in self.entries.iter().zip(stats) {
            self.write_entry(&mut out, entry, stat.as_ref());
        }
        out.extend_from_slice(&self.extensions);
        let digest = self.format.digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    fn read_entry(
        &mut self,
        reader: &mut Reader<'_>,
        version: u32,
        previous: std::ops::Range<usize>,
    ) -> Result<Entry, IndexError> {
        let before = reader.rest.len();
        let mut words = [0; 10];
        for word in &mut words {
            *word = reader.u32()?;
        }
        let mut object = [0; 32];
        object[..self.format.size()].copy_from_slice(reader.take(self.format.size())?);
        let flags = reader.u16()?;
        let extended = if flags & EXTENDED != 0 { reader.u16()? } else { 0 };
        let start = self.paths.len();
        if version == 4 {
            let keep = previous.len().checked_sub(reader.varint()?);
            let keep = keep.ok_or(IndexError::Damaged("a path takes too much off the last one"))?;
            self.paths.extend_from_within(previous.start..previous.start + keep);
            let suffix = reader.until_nul()?;
            self.paths.extend_from_slice(suffix);
        } else {
            self.read_padded_path(reader, flags, before)?;
        }
        let offset =
            |value| u32::try_from(value).map_err(|_| IndexError::Damaged("it is too long"));
        let (path_start, path_end) = (offset(start)?, offset(self.paths.len())?);
        let (stat, mode) = StatData::of_index(words);
        Ok(Entry { stat, mode, object, flags, extended, path_start, path_end })
    }

    fn read_padded_path(
        &mut self,
        reader: &mut Reader<'_>,
        flags: u16,
        before: usize,
    ) -> Result<(), IndexError> {
        let path = match flags & NAME_LENGTH {
            NAME_LENGTH => reader.until_nul()?,
            length => {
                let path = reader.take(length.into())?;
                reader.take(1)?;
                path
            }
        };
        self.paths.extend_from_slice(path);
        let used = before - reader.rest.len();
        reader.take(used.next_multiple_of(8) - used)?;
        Ok(())
    }

    fn read_extensions(&mut self, mut reader: Reader<'_>) -> Result<(), IndexError> {
        while !reader.rest.is_empty() {
            let whole = reader.rest;
            let signature = reader.take(4)?;
            let size = reader.u32()? as usize;
            reader.take(size)?;
            match signature {
                b"TREE" | b"REUC" | b"sdir" => {
                    self.extensions.extend_from_slice(&whole[..8 + size]);
                }
                b"link" => self.is_split = true,
                [b'A'..=b'Z', ..] => {}
                other => {
                    let name = String::from_utf8_lossy(other).into_owned();
                    return Err(IndexError::Extension(name));
                }
            }
        }
        Ok(())
    }

    fn check_paths(&self) -> Result<(), IndexError> {
        for entry in &self.entries {
            let path = self.path(entry);
            let folder = entry.is_sparse_folder().then(|| path.strip_suffix(b"/")).flatten();
            if !is_safe(folder.unwrap_or(path)) {
                return Err(IndexError::Path(String::from_utf8_lossy(path).into_owned()));
            }
        }
        Ok(())
    }

    fn write_entry(&self, out: &mut Vec<u8>, entry: &Entry, stat: Option<&StatData>) {
        let start = out.len();
        for word in stat.copied().unwrap_or_default().to_index(entry.mode) {
            push(out, word);
        }
        out.extend_from_slice(&entry.object[..self.format.size()]);
        let path = self.path(entry);
        let length = u16::try_from(path.len()).unwrap_or(NAME_LENGTH).min(NAME_LENGTH);
        let is_extended = if entry.extended == 0 { 0 } else { EXTENDED };
        let flags = (entry.flags & STAGE & !ASSUME_VALID) | is_extended | length;
        out.extend_from_slice(&flags.to_be_bytes());
        if entry.extended != 0 {
            out.extend_from_slice(&entry.extended.to_be_bytes());
        }
        out.extend_from_slice(path);
        let used = out.len() - start;
        out.resize(start + (used + 1).next_multiple_of(8), 0);
    }
}

/// One entry of an index that is made anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) mode: u32,
    /// All zeros: not known.
    pub(crate) object: &'a [u8; 32],
    pub(crate) stat: StatData,
}

/// The bytes of an index file of `lines`, which come sorted by path.
pub(crate) fn file_of(format: ObjectFormat, lines: &[Line<'_>]) -> Vec<u8> {
    let paths: usize = lines.iter().map(|line| line.path.len()).sum();
    let mut out = Vec::with_capacity(paths + lines.len() * 72 + 64);
    out.extend_from_slice(b"DIRC");
    push(&mut out, 2);
    push(&mut out, u32::try_from(lines.len()).expect("no more than 32 bits count"));
    for Line { path, mode, object, stat } in lines {
        let start = out.len();
        stat.to_index(*mode).into_iter().for_each(|word| push(&mut out, word));
        out.extend_from_slice(&object[..format.size()]);
        let length = u16::try_from(path.len()).unwrap_or(NAME_LENGTH).min(NAME_LENGTH);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(path);
        let used = out.len() - start;
        out.resize(start + (used + 1).next_multiple_of(8), 0);
    }
    let digest = format.digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// Whether a path stays below its root and out of `.git`; anything else may come only from a
/// hostile or damaged repository.
pub(crate) fn is_safe(path: &[u8]) -> bool {
    let is_name = |part: &[u8]| {
        !matches!(part, b"" | b"." | b"..")
            && !part.eq_ignore_ascii_case(b".git")
            && !part.contains(&0)
    };
    path.split(|byte| *byte == b'/').all(is_name)
}

fn push(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let split = self.rest.split_at_checked(count);
        let (taken, rest) =
            split.ok_or(IndexError::Damaged("it ends in the middle of an entry"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    fn u16(&mut self) -> Result<u16, IndexError> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    fn until_nul(&mut self) -> Result<&'a [u8], IndexError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let taken = self.take(end.ok_or(IndexError::Damaged("a path does not end"))?)?;
        self.take(1)?;
        Ok(taken)
    }

    /// Git's offset encoding: seven bits a byte, each continuation adding one.
    fn varint(&mut self) -> Result<usize, IndexError> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            let next = value.checked_add(1).and_then(|value| value.checked_mul(128));
            let next = next.ok_or(IndexError::Damaged("a number is too large"))?;
            value = next | usize::from(byte & 0x7f);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of one entry, as git writes it.
    fn index(version: u32, path: &[u8], extension: &[u8]) -> Vec<u8> {
        let mut bytes = b"DIRC".to_vec();
        [version, 1].into_iter().for_each(|word| push(&mut bytes, word));
        (1..=10).for_each(|word| push(&mut bytes, word));
        bytes.extend_from_slice(&[7; 20]);
        bytes.extend_from_slice(&(ASSUME_VALID | u16::try_from(path.len()).unwrap()).to_be_bytes());
        if version == 4 {
            bytes.push(0);
        }
        bytes.extend_from_slice(path);
        let used = bytes.len() - 12;
        bytes.resize(12 + if version == 4 { used + 1 } else { (used + 1).next_multiple_of(8) }, 0);
        bytes.extend_from_slice(extension);
        let digest = Sha1::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Index, IndexError> {
        Index::parse(bytes, ObjectFormat::Sha1)
    }

    #[test]
    fn stat_data_is_replaced_and_the_assumption_dropped() {
        for version in [2, 4] {
            let read = parse(&index(version, b"a/b", b"TREE\0\0\0\x02xxUNTR\0\0\0\x01x")).unwrap();
            assert_eq!(read.path(&read.entries[0]), b"a/b");
            let again = read.to_bytes(&[Some(read.entries[0].stat)]);
            let mut expected = index(2, b"a/b", b"TREE\0\0\0\x02xx");
            expected[12 + 60] &= 0x7f;
            let end = expected.len() - 20;
            assert_eq!(again[..end], expected[..end], "version {version}");
            assert_eq!(again[end..], Sha1::digest(&again[..end])[..]);
            let unknown = parse(&read.to_bytes(&[None])).unwrap();
            assert_eq!(unknown.entries[0].stat, StatData::default());
            assert_eq!(unknown.entries[0].mode, 7);
        }
    }

    #[test]
    fn every_prefix_of_an_index_is_an_error_and_none_panics() {
        for version in [2, 4] {
            let whole = index(version, b"some/path", b"TREE\0\0\0\x02xx");
            for end in 0..whole.len() {
                // Cut at the end of an entry or an extension it may look whole.
                let _ = parse(&whole[..end]);
            }
            assert!(parse(&whole[..60]).is_err());
        }
    }

    #[test]
    fn unknown_required_extension_and_version_are_refused() {
        let required = parse(&index(2, b"a", b"abcd\0\0\0\0")).unwrap_err();
        assert_eq!(required, IndexError::Extension("abcd".into()));
        assert_eq!(parse(&index(5, b"a", b"")).unwrap_err(), IndexError::Version(5));
        assert!(parse(&index(2, b"a", b"link\0\0\0\0")).unwrap().is_split);
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["../a", "a/../b", "/a", "a//b", ".git/config", "a/.GIT/x", ".", ""] {
            assert!(!is_safe(path.as_bytes()), "{path}");
        }
        assert!(
            ["a", "..a", ".gitignore", "a/.github"].iter().all(|path| is_safe(path.as_bytes()))
        );
        assert!(matches!(parse(&index(2, b"../a", b"")), Err(IndexError::Path(_))));
    }
}
