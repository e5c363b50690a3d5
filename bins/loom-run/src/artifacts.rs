//! Taking artifacts out of a workspace: a copy of each file, an archive of all, a manifest.
//!
//! Symlinks are taken as symlinks and never followed, so nothing outside the workspace is read.
//! The archive is the same for the same files: sorted names, no owner, times of the files.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Component, Path, PathBuf},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use libloom_contract::{
    artifacts::{ArtifactEntry, ArtifactManifest, EntryKind},
    graph::Artifacts,
    layout::{JobLayout, RunLayout},
    logs::ArtifactsEntry,
    store, version,
};
use sha2::{Digest as _, Sha256};

use crate::tree;

/// What could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A pattern that is no glob.
    #[error("`{pattern}` is not a glob: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path or an archive that cannot be read or written.
    #[error("cannot take artifact `{}`: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The workspace cannot be read.
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// What was taken.
#[derive(Debug)]
pub struct Extracted {
    /// For the job's manifest.
    pub entry: ArtifactsEntry,
    /// Patterns that nothing matched.
    pub unmatched: Vec<String>,
}

/// Takes what `wanted` names out of `workspace` into the job's folder.
///
/// # Errors
/// A pattern that is no glob, or a file that cannot be read or written.
pub fn extract(
    workspace: &Path,
    wanted: &Artifacts,
    job_id: &str,
    layout: &JobLayout,
    run: &RunLayout,
) -> Result<Extracted, ArtifactError> {
    let mut selection = Selection::new(wanted)?;
    let paths = selection.select(workspace)?;
    let entries = copy(workspace, &paths, layout)?;
    let bytes = entries.iter().map(|entry| entry.size).sum();
    let manifest = ArtifactManifest {
        schema_version: version::ARTIFACTS.to_string(),
        kind: "loom-artifacts".into(),
        job_id: job_id.into(),
        name: wanted.name.clone(),
        created_at: None,
        expires_at: None,
        pruned_at: None,
        entries,
    };
    store::write(&layout.artifacts_manifest(), &manifest)?;
    let archive = (!paths.is_empty()).then(|| layout.artifacts_archive());
    if let Some(archive) = &archive {
        let written = write_archive(archive, &layout.artifacts(), &paths);
        written.map_err(|source| ArtifactError::Io { path: archive.clone(), source })?;
    }
    let entry = ArtifactsEntry {
        count: manifest.entries.len() as u64,
        bytes,
        path: run.relative(&layout.artifacts()),
        archive_path: archive.map(|archive| run.relative(&archive)),
        manifest_path: run.relative(&layout.artifacts_manifest()),
    };
    Ok(Extracted { entry, unmatched: selection.unmatched() })
}

/// Which paths are wanted.
struct Selection {
    patterns: Vec<String>,
    include: GlobSet,
    exclude: GlobSet,
    /// Patterns, by index, that something matched.
    matched: BTreeSet<usize>,
}

impl Selection {
    fn new(wanted: &Artifacts) -> Result<Self, ArtifactError> {
        // Each pattern is two globs: the path itself, and everything below it.
        Ok(Selection {
            include: globs(&wanted.paths)?,
            exclude: globs(&wanted.exclude)?,
            patterns: wanted.paths.clone(),
            matched: BTreeSet::new(),
        })
    }

    /// Files and symlinks that are wanted, relative to the workspace, sorted.
    fn select(&mut self, workspace: &Path) -> Result<BTreeSet<PathBuf>, ArtifactError> {
        let files = tree::files(workspace)?;
        Ok(files.into_iter().filter(|path| self.wants(path)).collect())
    }

    fn wants(&mut self, path: &Path) -> bool {
        let matches = self.include.matches(path);
        if matches.is_empty() || self.exclude.is_match(path) {
            return false;
        }
        self.matched.extend(matches.iter().map(|index| index / 2));
        true
    }

    fn unmatched(&self) -> Vec<String> {
        let all = self.patterns.iter().enumerate();
        let without = all.filter(|(index, _)| !self.matched.contains(index));
        without.map(|(_, pattern)| pattern.clone()).collect()
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, ArtifactError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let failed = |error: globset::Error| ArtifactError::Pattern {
            pattern: pattern.clone(),
            reason: error.kind().to_string(),
        };
        let plain = normalized(pattern);
        for glob in [plain.clone(), below(&plain)] {
            set.add(GlobBuilder::new(&glob).literal_separator(true).build().map_err(failed)?);
        }
    }
    let failed = |error: globset::Error| ArtifactError::Pattern {
        pattern: patterns.join(", "),
        reason: error.to_string(),
    };
    set.build().map_err(failed)
}

/// `./dist/` as `dist`: globs are matched against paths without either.
fn normalized(pattern: &str) -> String {
    let parts = Path::new(pattern).components();
    let parts = parts.filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    let path: PathBuf = parts.collect();
    path.to_string_lossy().into_owned()
}

/// The glob for everything below what `glob` matches.
fn below(glob: &str) -> String {
    if glob.is_empty() { "**".into() } else { format!("{glob}/**") }
}

/// Copies the paths into the job's folder.
fn copy(
    workspace: &Path,
    paths: &BTreeSet<PathBuf>,
    layout: &JobLayout,
) -> Result<Vec<ArtifactEntry>, ArtifactError> {
    let mut entries = Vec::with_capacity(paths.len());
    for path in paths {
        let (from, to) = (workspace.join(path), layout.artifacts().join(path));
        let copied = copy_one(&from, &to, path);
        entries.push(copied.map_err(|source| ArtifactError::Io { path: path.clone(), source })?);
    }
    Ok(entries)
}

fn copy_one(from: &Path, to: &Path, path: &Path) -> io::Result<ArtifactEntry> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    let metadata = fs::symlink_metadata(from)?;
    let (text, path_bytes) = encoded(path.as_os_str());
    let mut entry = ArtifactEntry {
        path: text,
        path_bytes,
        entry: EntryKind::File,
        size: 0,
        mode: metadata.mode() & 0o7777,
        sha256: None,
        link_target: None,
        link_target_bytes: None,
    };
    if metadata.is_symlink() {
        let target = fs::read_link(from)?;
        std::os::unix::fs::symlink(&target, to)?;
        entry.entry = EntryKind::Symlink;
        entry.link_target = Some(target.to_string_lossy().into_owned());
        return Ok(entry);
    }
    let (size, sha256) = copy_file(from, to, &metadata)?;
    (entry.size, entry.sha256) = (size, Some(sha256));
    Ok(entry)
}

/// Copies content, permissions and time; returns size and checksum of what was copied.
fn copy_file(from: &Path, to: &Path, metadata: &fs::Metadata) -> io::Result<(u64, String)> {
    let mut source = File::open(from)?;
    let mut copy = File::create_new(to)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        copy.write_all(&buffer[..length])?;
        size += length as u64;
    }
    // The owner must be able to remove the evidence later.
    copy.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o777 | 0o400))?;
    copy.set_modified(metadata.modified()?)?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, sha256))
}

/// A path as documents hold it.
fn encoded(path: &OsStr) -> (String, Option<String>) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let bytes = path.to_str().is_none().then(|| BASE64_STANDARD.encode(path.as_bytes()));
    (path.to_string_lossy().into_owned(), bytes)
}

/// Writes the archive of what lies in `folder`.
fn write_archive(archive: &Path, folder: &Path, paths: &BTreeSet<PathBuf>) -> io::Result<()> {
    let file = File::create_new(archive)?;
    let gzip: GzEncoder<File> = GzBuilder::new().mtime(0).write(file, Compression::new(6));
    let mut tar = tar::Builder::new(gzip);
    for path in paths {
        append(&mut tar, folder, path)?;
    }
    tar.into_inner()?.finish()?.flush()
}

fn append(tar: &mut tar::Builder<impl Write>, folder: &Path, path: &Path) -> io::Result<()> {
    let full = folder.join(path);
    let metadata = fs::symlink_metadata(&full)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(&metadata, tar::HeaderMode::Complete);
    header.set_uid(0);
    header.set_gid(0);
    if metadata.is_symlink() {
        header.set_size(0);
        // A link's own time is the time it was copied: it would make every archive differ.
        header.set_mtime(0);
        return tar.append_link(&mut header, path, fs::read_link(&full)?);
    }
    tar.append_data(&mut header, path, File::open(&full)?)
}

#[cfg(test)]
mod tests {
    use libloom_contract::graph::Outcome;

    use super::*;

    fn wanted(paths: &[&str], exclude: &[&str]) -> Artifacts {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Artifacts {
            paths: owned(paths),
            exclude: owned(exclude),
            when: Outcome::OnSuccess,
            name: None,
            expire_in_s: None,
            reports: None,
        }
    }

    fn selected(paths: &[&str], exclude: &[&str]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for path in ["dist/a.js", "dist/maps/a.map", "b.txt", "src/b.txt", ".git/config"] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("/etc", folder.path().join("dist/link")).unwrap();
        let mut selection = Selection::new(&wanted(paths, exclude)).unwrap();
        let found = selection.select(folder.path()).unwrap();
        let found = found.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        (found, selection.unmatched())
    }

    #[test]
    fn folders_globs_and_excludes_select_files_and_links() {
        let (found, unmatched) = selected(&["./dist/", "none/*"], &["dist/**/*.map"]);
        assert_eq!(found, ["dist/a.js", "dist/link"]);
        assert_eq!(unmatched, ["none/*"]);
        assert_eq!(selected(&["*.txt"], &[]).0, ["b.txt"]);
        assert_eq!(selected(&["**/*.txt"], &[]).0, ["b.txt", "src/b.txt"]);
        assert_eq!(selected(&["."], &["dist"]).0, ["b.txt", "src/b.txt"]);
    }
}
