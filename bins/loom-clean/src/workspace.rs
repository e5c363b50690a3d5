//! Removes a workspace in which containers left files that its owner may not remove: a container
//! does it. `loom snapshot` asks for that; only folders that its records name are removed.

use std::{fs, path::Path};

use libloom_contract::{
    layout::{Layout, WORKSPACE_PARTIAL},
    snapshot::Snapshot,
    store,
};
use libloom_engine::{
    Address, Engine, EngineError,
    owner::{Labels, Owner},
};
use libloom_entry::{Context, Failure, OrFail as _};

use crate::engines::surroundings;

/// Removes the folder, by a container where need be.
///
/// # Errors
/// No record names it, there is no engine on this machine, or it cannot be removed.
pub fn remove(folder: &Path, context: &Context) -> Result<(), Failure> {
    let root = context.repository_root()?;
    let record = recorded(&Layout::of_repository(&root), folder).ok_or_else(|| {
        Failure::could_not(format!("`{}` is no workspace of a snapshot", folder.display()))
    })?;
    let labels = Labels {
        run_id: record.run_id.unwrap_or(record.id),
        repo: root.to_string_lossy().into_owned(),
        // No run's folder: this process alone decides.
        owner: Owner::of_this_process(Path::new("")).ok(),
        ..Labels::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_could_not("cannot start what talks to the engine")?;
    let removed = runtime.block_on(async {
        let engine = Engine::connect(&Address::find(&surroundings(context))?).await?;
        engine.remove_folder(folder, &labels).await
    });
    removed.map_err(|error| failure(folder, error))
}

/// The record of the workspace at `folder`, also under the name it has while it is being removed.
fn recorded(layout: &Layout, folder: &Path) -> Option<Snapshot> {
    let entries = fs::read_dir(layout.snapshots()).ok()?.flatten().map(|entry| entry.path());
    let records = entries.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut records = records.filter_map(|path| store::read::<Snapshot>(&path).ok());
    records.find(|record| {
        let place = Path::new(&record.path);
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        folder == place || folder == place.with_file_name(format!(".{name}{WORKSPACE_PARTIAL}"))
    })
}

fn failure(folder: &Path, error: EngineError) -> Failure {
    let hint = error.hint();
    let what = format!("a container cannot remove `{}`", folder.display());
    let failure = Err::<(), _>(error).or_could_not(what).expect_err("it is an error");
    hint.into_iter().fold(failure, Failure::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recorded_workspaces_are_found() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::of_repository(root.path());
        fs::create_dir_all(layout.snapshots()).unwrap();
        let record = serde_json::json!({
            "schema_version": "loom.snapshot.v1", "kind": "loom-snapshot", "id": "a",
            "path": "/tmp/a", "repo_root": "/r", "created_at": "2026-01-01T00:00:00Z",
            "duration_ms": 0, "loom_version": "0", "facts": {"object_format": "sha1"},
            "counts": {"tracked": 0, "deleted": 0, "untracked": 0, "symlinks": 0,
                "repositories": 0, "bytes": 0, "git_bytes": 0}, "phases": [],
            "methods": {"files": "copy", "objects": "copy"}
        });
        fs::write(layout.snapshot("a"), record.to_string()).unwrap();
        store::read::<Snapshot>(&layout.snapshot("a")).unwrap();
        let is_found = |path: &str| recorded(&layout, Path::new(path)).is_some();
        assert!(is_found("/tmp/a") && is_found("/tmp/.a.loom-partial"));
        assert!(!is_found("/tmp/b") && !is_found("/tmp") && !is_found("/tmp/a/b"));
    }
}
