//! `artifacts.tar.gz` as it is: every entry in order, whatever somebody put into it.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

/// One entry of an archive. Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its name, without the slash that ends a folder's.
    pub path: PathBuf,
    /// What it is.
    pub kind: ArchivedKind,
    /// Permission bits.
    pub mode: u32,
    /// Bytes of content.
    pub size: u64,
    /// Time of its last change, in seconds since 1970.
    pub modified: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivedKind {
    /// A regular file.
    File,
    /// A symbolic link to this.
    Symlink(OsString),
    /// Another name of an earlier entry.
    HardLink(PathBuf),
    /// A folder.
    Folder,
    /// What no archive of ours holds: a device, a pipe …
    Other,
}

/// Shows every entry of the archive with its content to `visit`.
///
/// # Errors
/// The archive cannot be read or is damaged, its last checksum included; or what `visit` says.
pub fn read_archive(
    archive: &Path,
    mut visit: impl FnMut(Archived, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let gzip = MultiGzDecoder::new(io::BufReader::with_capacity(1 << 17, File::open(archive)?));
    let mut tar = tar::Archive::new(gzip);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let archived = archived(&entry)?;
        visit(archived, &mut entry)?;
    }
    // The archive's own checksum stands at the end of the stream, behind the last entry.
    rest_is_zero(&mut tar.into_inner())
}

fn archived(entry: &tar::Entry<'_, impl Read>) -> io::Result<Archived> {
    let header = entry.header();
    let link = || entry.link_name_bytes().unwrap_or_default().into_owned();
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => ArchivedKind::File,
        EntryType::Symlink => ArchivedKind::Symlink(OsString::from_vec(link())),
        EntryType::Link => ArchivedKind::HardLink(OsString::from_vec(link()).into()),
        EntryType::Directory => ArchivedKind::Folder,
        _ => ArchivedKind::Other,
    };
    let mut name = entry.path_bytes().into_owned();
    while name.len() > 1 && name.ends_with(b"/") {
        name.pop();
    }
    Ok(Archived {
        path: OsString::from_vec(name).into(),
        kind,
        mode: header.mode()? & 0o7777,
        size: entry.size(),
        modified: header.mtime()?,
    })
}

fn rest_is_zero(rest: &mut impl Read) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let length = rest.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if buffer[..length].iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "data follows its last entry"));
        }
    }
}
