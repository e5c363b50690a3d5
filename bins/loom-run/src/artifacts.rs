//! Taking artifacts out of a workspace: a copy of each file, an archive of all, a manifest.
//!
//! Symlinks are taken as symlinks and never followed, so nothing outside the workspace is read.
//! The archive is the same for the same files: sorted names, no owner, times of the files.

mod gzip;
pub mod select;
mod take;

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use libloom_archive::{Folder, PatternError};
use libloom_contract::{
    Timestamp,
    artifacts::ArtifactManifest,
    graph::Artifacts,
    layout::{JobLayout, RunLayout},
    logs::ArtifactsEntry,
    store, version,
};
use libloom_redact::Redactor;

use take::{Taken, Taker};

/// What could not be taken at all.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A pattern that is no glob.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The workspace cannot be read.
    #[error("cannot look into the workspace `{}`: {source}", path.display())]
    Workspace {
        /// The workspace.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A copy or the archive cannot be written.
    #[error("cannot take artifact `{}`: {source}", path.display())]
    Io {
        /// The path that was being taken.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest cannot be written.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// What is to be taken, and where it goes.
pub struct Request<'a> {
    /// The job's workspace.
    pub workspace: &'a Path,
    /// The same as the job sees it.
    pub seen_as: &'a Path,
    /// The keyword, with variables not expanded yet.
    pub wanted: &'a Artifacts,
    /// The job.
    pub job_id: &'a str,
    /// Its folder.
    pub layout: &'a JobLayout,
    /// The run's folder.
    pub run: &'a RunLayout,
    /// Replaces references to the job's variables.
    pub expand: &'a dyn Fn(&str) -> String,
    /// Hides the values of secrets, in names; what files hold is taken as it is.
    pub redactor: &'a Redactor,
}

/// What was taken.
#[derive(Debug)]
pub struct Extracted {
    /// For the job's manifest.
    pub entry: ArtifactsEntry,
    /// Patterns that nothing matched, in words.
    pub unmatched: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What could not be taken; everything else was.
    pub errors: Vec<String>,
}

/// Takes what is wanted out of the workspace into the job's folder.
///
/// # Errors
/// A pattern that is no glob, or a copy or the archive cannot be written.
pub fn extract(request: &Request<'_>) -> Result<Extracted, ArtifactError> {
    let (workspace, wanted) = (request.workspace, request.wanted);
    let failed = |source| ArtifactError::Workspace { path: workspace.to_owned(), source };
    let mut folder = Folder::open(workspace).map_err(failed)?;
    let [paths, exclude] = [&wanted.paths, &wanted.exclude]
        .map(|patterns| expanded(patterns, request.seen_as, request.expand));
    let found = select::select(&mut folder, &paths, &exclude)?;
    let unmatched = found.unmatched(&paths);
    let unmatched = unmatched.into_iter().map(|pattern| nothing_matches(pattern)).collect();

    let layout = request.layout;
    let taken = take_all(&mut folder, &found.chosen, request)?;
    let has_archive = !taken.entries.is_empty();
    let created_at = Timestamp::now();
    let expires_at = wanted.expire_in_s.map(|s| created_at.plus(Duration::from_secs(s)));
    let manifest = ArtifactManifest {
        schema_version: version::ARTIFACTS.to_string(),
        kind: "loom-artifacts".into(),
        job_id: request.job_id.into(),
        name: wanted
            .name
            .as_ref()
            .and_then(|name| file_name(&request.redactor.text(&(request.expand)(name)))),
        created_at: Some(created_at),
        expires_at,
        pruned_at: None,
        entries: taken.entries,
    };
    store::write(&layout.artifacts_manifest(), &manifest)?;
    let relative = |path: &Path| request.run.relative(path);
    let entry = ArtifactsEntry {
        count: manifest.entries.len() as u64,
        bytes: taken.bytes,
        path: relative(&layout.artifacts()),
        archive_path: has_archive.then(|| relative(&layout.artifacts_archive())),
        manifest_path: relative(&layout.artifacts_manifest()),
        expires_at,
        pruned_at: None,
    };
    let notes = found.notes.into_iter().chain(taken.notes).collect();
    let errors = found.errors.into_iter().chain(taken.errors).collect();
    Ok(Extracted { entry, unmatched, notes, errors })
}

fn take_all(
    workspace: &mut Folder,
    chosen: &[select::Chosen],
    request: &Request<'_>,
) -> Result<Taken, ArtifactError> {
    let (copies, archive) = (request.layout.artifacts(), request.layout.artifacts_archive());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::Io { path, source }
    };
    let first = chosen.first().map_or(&copies, |chosen| &chosen.path);
    let folder = Folder::create(&copies).map_err(failed(first))?;
    if chosen.is_empty() {
        return Ok(Taken::default());
    }
    let name = archive.strip_prefix(&copies).unwrap_or(&archive);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut taker =
        Taker::new(folder, name, threads, request.redactor).map_err(failed(&archive))?;
    let taken = chosen
        .iter()
        .try_for_each(|one| taker.take(workspace, one).map_err(failed(&one.path)))
        .and_then(|()| taker.finish().map_err(failed(&archive)));
    match &taken {
        Ok(taken) if !taken.entries.is_empty() => {}
        // Half an archive, or one of nothing, is none.
        _ => drop(std::fs::remove_file(&archive)),
    }
    taken
}

fn nothing_matches(pattern: &str) -> String {
    let leads_out = pattern.split('/').any(|part| part == "..");
    match pattern.starts_with('/') || leads_out {
        true => format!("nothing matches `{pattern}`: it is outside the workspace"),
        false => format!("nothing matches `{pattern}`"),
    }
}

/// Patterns with variables replaced, relative to the workspace where they lead into it.
pub fn expanded(
    patterns: &[String],
    seen_as: &Path,
    expand: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let workspace = seen_as.to_string_lossy();
    let relative = |pattern: &String| {
        let pattern = expand(pattern);
        match pattern.strip_prefix(workspace.as_ref()) {
            Some("" | "/") => ".".to_owned(),
            Some(rest) => rest.strip_prefix('/').map_or(pattern.clone(), str::to_owned),
            None => pattern,
        }
    };
    patterns.iter().map(relative).collect()
}

/// Longest name that file systems take, with room for `.tar.gz`.
const NAME_BYTES_MAX: usize = 240;

/// A name for people that is safe as a file name everywhere; `None` where nothing is left of it.
fn file_name(text: &str) -> Option<String> {
    let is_unsafe = |c: char| c.is_control() || "/\\<>:\"|?*".contains(c);
    let mut name: String =
        text.trim().chars().map(|c| if is_unsafe(c) { '-' } else { c }).collect();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    // `.`, `..` and hidden files are no names for a download.
    let name = name.trim_start_matches('.').trim_end();
    (!OsStr::new(name).is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use libloom_archive::restore;
    use libloom_contract::graph::Outcome;

    use super::*;

    fn artifacts(paths: &[&str]) -> Artifacts {
        Artifacts {
            paths: paths.iter().map(|&text| text.to_owned()).collect(),
            exclude: Vec::new(),
            when: Outcome::OnSuccess,
            name: Some("$NAME".into()),
            expire_in_s: Some(3600),
            reports: None,
        }
    }

    #[test]
    fn what_is_taken_can_be_restored_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        fs::create_dir_all(workspace.join("dist")).unwrap();
        fs::write(workspace.join("dist/a"), "content").unwrap();
        fs::hard_link(workspace.join("dist/a"), workspace.join("dist/b")).unwrap();
        fs::write(workspace.join("artifacts.tar.gz"), "no archive").unwrap();
        let long = "n".repeat(200);
        fs::write(workspace.join("dist").join(&long), "").unwrap();
        let run = RunLayout::at(folder.path().join("run"));
        let layout = run.job("build");
        let redactor = Redactor::default();
        let expand = |text: &str| {
            let text = text.replace("$NAME", "a/b ");
            text.replace("$DIR", &workspace.to_string_lossy())
        };
        let request = Request {
            workspace: &workspace,
            seen_as: &workspace,
            wanted: &artifacts(&["$DIR/dist", "*.gz", "/etc/passwd"]),
            job_id: "build",
            layout: &layout,
            run: &run,
            expand: &expand,
            redactor: &redactor,
        };
        let extracted = extract(&request).unwrap();
        assert_eq!(extracted.errors, Vec::<String>::new());
        assert_eq!(
            extracted.unmatched,
            ["nothing matches `/etc/passwd`: it is outside the workspace"]
        );
        let into = folder.path().join("into");
        fs::remove_file(layout.artifacts().join("dist/b")).unwrap();
        let restored = restore(&layout, &into).unwrap();
        assert_eq!(restored.paths.len(), 4);
        assert_eq!(restored.from_archive, 1, "what was removed");
        assert_eq!(fs::read(into.join("artifacts.tar.gz")).unwrap(), b"no archive");
        assert_eq!(fs::read(into.join("dist/b")).unwrap(), b"content");
        let manifest: ArtifactManifest = store::read(&layout.artifacts_manifest()).unwrap();
        assert_eq!(manifest.name.as_deref(), Some("a-b"));
        assert!(manifest.expires_at > manifest.created_at);
    }

    #[test]
    fn names_become_file_names() {
        for (text, name) in [
            ("app-1.0", Some("app-1.0")),
            ("feature/x\n", Some("feature-x")),
            ("../../etc", Some("-..-etc")),
            ("..", None),
            ("  ", None),
        ] {
            assert_eq!(file_name(text).as_deref(), name, "{text}");
        }
        assert!(file_name(&"é".repeat(200)).unwrap().len() <= NAME_BYTES_MAX);
    }
}
