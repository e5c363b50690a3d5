//! Restoring artifacts that a job, or somebody else, left behind: plain ones and hostile ones.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use libloom_archive::{Content, Existing, Request, RestoreError, Restored, restore, restore_some};
use libloom_contract::{
    Timestamp,
    artifacts::{ArtifactEntry, ArtifactManifest, EntryKind},
    layout::{JobLayout, RunLayout},
    store, version,
};

/// A job with artifacts, and a folder to restore them into.
struct Job {
    _temporary: tempfile::TempDir,
    layout: JobLayout,
    into: PathBuf,
    manifest: ArtifactManifest,
}

impl Job {
    fn new(entries: Vec<ArtifactEntry>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let layout = RunLayout::at(temporary.path().join("run")).job("build");
        fs::create_dir_all(layout.artifacts()).unwrap();
        let manifest = ArtifactManifest {
            schema_version: version::ARTIFACTS.to_string(),
            kind: "loom-artifacts".into(),
            job_id: "build".into(),
            name: None,
            created_at: None,
            expires_at: None,
            pruned_at: None,
            entries,
        };
        store::write(&layout.artifacts_manifest(), &manifest).unwrap();
        let into = temporary.path().join("into");
        Job { layout, into, manifest, _temporary: temporary }
    }

    fn copy(&self, path: &str, content: &str) {
        let path = self.layout.artifacts().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// Writes the archive: regular files, and hard links where the content begins with `=`.
    fn archive(&self, entries: &[(&str, &str)]) {
        let file = fs::File::create(self.layout.artifacts_archive()).unwrap();
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(7);
            // By hand: the library refuses the names that this is about.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(target) = content.strip_prefix('=') {
                header.set_entry_type(tar::EntryType::Link);
                header.set_link_name(target).unwrap();
                header.set_size(0);
                header.set_cksum();
                tar.append(&header, &b""[..]).unwrap();
            } else {
                header.set_size(content.len() as u64);
                header.set_cksum();
                tar.append(&header, content.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    fn restore(&self) -> Result<Restored, RestoreError> {
        restore(&self.layout, &self.into)
    }

    fn refusing(&self) -> Result<Restored, RestoreError> {
        let request =
            Request { into: &self.into, existing: Existing::Refuse, wants: &|_: &Path| true };
        restore_some(&self.layout, &self.manifest, &request)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.into.join(path)).unwrap()
    }
}

fn file(path: &str, content: &str) -> ArtifactEntry {
    let mut sum = Content::checked();
    sum.push(content.as_bytes()).unwrap();
    let sum = sum.finish().unwrap();
    ArtifactEntry {
        path: path.into(),
        path_bytes: None,
        entry: EntryKind::File,
        size: sum.size,
        mode: 0o640,
        sha256: Some(sum.sha256),
        link_target: None,
        link_target_bytes: None,
    }
}

fn other(path: &str, entry: EntryKind, target: Option<&str>) -> ArtifactEntry {
    let link_target = target.map(str::to_owned);
    ArtifactEntry { entry, size: 0, sha256: None, mode: 0o750, link_target, ..file(path, "") }
}

#[test]
fn content_modes_times_links_and_empty_folders_come_back() {
    let job = Job::new(vec![
        file("dist/a", "one"),
        other("dist/empty", EntryKind::Folder, None),
        other("dist/link", EntryKind::Symlink, Some("/etc/passwd")),
    ]);
    job.copy("dist/a", "one");
    let restored = job.restore().unwrap();
    assert_eq!((restored.paths.len(), restored.bytes, restored.from_archive), (3, 3, 0));
    let metadata = fs::metadata(job.into.join("dist/a")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o640, 1_000_000_000));
    assert_eq!(fs::read_link(job.into.join("dist/link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::metadata(job.into.join("dist/empty")).unwrap().mode() & 0o777, 0o750);
    assert_eq!(fs::read_dir(job.into.join("dist")).unwrap().count(), 3, "nothing else is left");
}

#[test]
fn what_the_copies_lack_comes_from_the_archive_hard_links_too() {
    let job = Job::new(vec![file("a", "one"), file("artifacts.tar.gz", "own"), file("b", "one")]);
    job.copy("a", "oni");
    job.archive(&[("../evil", "x"), ("a", "one"), ("artifacts.tar.gz", "own"), ("b", "=a")]);
    assert_eq!(job.restore().unwrap().from_archive, 2);
    assert_eq!([job.read("a"), job.read("b"), job.read("artifacts.tar.gz")], ["one", "one", "own"]);
    assert!(!job.into.parent().unwrap().join("evil").exists());
    let time = fs::metadata(job.into.join("b")).unwrap().mtime();
    assert_eq!(time, 7);
}

#[test]
fn content_that_is_not_what_was_promised_never_appears() {
    let job = Job::new(vec![file("a", "one")]);
    job.copy("a", "two");
    assert!(matches!(job.restore(), Err(RestoreError::Damaged { .. })));
    job.archive(&[("a", "three")]);
    let error = job.restore().unwrap_err().to_string();
    assert!(error.contains("`a` is damaged"), "{error}");
    assert_eq!(fs::read_dir(&job.into).unwrap().count(), 0);
}

#[test]
fn names_that_lead_elsewhere_write_nothing() {
    for name in ["../evil", "/tmp/loom-evil", "a/../../evil", ".git/hooks/pre-commit"] {
        let job = Job::new(vec![file("fine", "x"), file(name, "x")]);
        job.copy("fine", "x");
        assert!(matches!(job.restore(), Err(RestoreError::Name(_))), "{name}");
        assert!(!job.into.join("fine").exists());
    }
}

#[test]
fn link_in_the_way_is_replaced_or_refused_and_never_followed() {
    let job = Job::new(vec![file("dist/a", "new")]);
    job.copy("dist/a", "new");
    let outside = job.into.with_file_name("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&job.into).unwrap();
    fs::write(outside.join("a"), "old").unwrap();
    symlink(&outside, job.into.join("dist")).unwrap();
    let error = job.refusing().unwrap_err();
    assert!(matches!(error, RestoreError::Write { .. }), "{error}");
    assert!(!job.into.join("dist").symlink_metadata().unwrap().is_dir());
    job.restore().unwrap();
    assert_eq!(job.read("dist/a"), "new");
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "old");

    // A copy that is a link to a file elsewhere is no copy.
    fs::remove_file(job.layout.artifacts().join("dist/a")).unwrap();
    symlink(outside.join("a"), job.layout.artifacts().join("dist/a")).unwrap();
    assert!(matches!(job.restore(), Err(RestoreError::Damaged { .. })));
}

#[test]
fn links_among_the_artifacts_do_not_lead_later_ones_outside() {
    let job = Job::new(vec![other("d", EntryKind::Symlink, Some("../out")), file("d/x", "x")]);
    fs::create_dir_all(job.into.with_file_name("out")).unwrap();
    job.archive(&[("d/x", "x")]);
    let _ = job.restore();
    assert_eq!(fs::read_dir(job.into.with_file_name("out")).unwrap().count(), 0);
    let _ = job.refusing();
    assert_eq!(fs::read_dir(job.into.with_file_name("out")).unwrap().count(), 0);
}

#[test]
fn what_exists_stays_unless_it_is_to_be_replaced() {
    let job = Job::new(vec![file("a", "new"), file("b", "new")]);
    for name in ["a", "b"] {
        job.copy(name, "new");
    }
    fs::create_dir_all(&job.into).unwrap();
    fs::write(job.into.join("b"), "old").unwrap();
    fs::set_permissions(job.into.join("b"), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(matches!(job.refusing(), Err(RestoreError::Exists { count: 1, .. })));
    assert!(!job.into.join("a").exists(), "all or nothing");
    job.restore().unwrap();
    assert_eq!(job.read("b"), "new");
}

#[test]
fn nothing_to_restore_and_pruned_are_told_apart() {
    let mut job = Job::new(vec![file("a", "x")]);
    job.manifest.pruned_at = Some(Timestamp::now());
    store::write(&job.layout.artifacts_manifest(), &job.manifest).unwrap();
    assert!(matches!(job.restore(), Err(RestoreError::Pruned { .. })));
    fs::remove_file(job.layout.artifacts_manifest()).unwrap();
    assert_eq!(job.restore().unwrap(), Restored::default());
}
