//! The run's workspace as it lies below those of its jobs.
//!
//! While an overlay is mounted over the workspace nobody may write to it: what a file replaced
//! there looks like from above is undefined. What a finished job leaves meanwhile becomes a layer
//! of its own, below the overlays that begin from then on, and lands in the workspace as soon as
//! nothing is mounted any more.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

/// What finished jobs left, and who is looking.
#[derive(Debug, Default)]
pub struct Layers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Overlays that are, or may be, mounted over the workspace.
    mounted: usize,
    /// Folders that wait to land, the oldest first.
    waiting: Vec<PathBuf>,
}

/// Keeps the workspace from being written to while it exists.
#[derive(Debug)]
pub struct Below {
    /// What lies below the job, the uppermost first; the workspace last.
    pub lower: Vec<PathBuf>,
}

impl Layers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// An overlay is about to be mounted over `workspace`.
    ///
    /// # Errors
    /// What waits cannot land.
    pub fn mount(&self, workspace: &Path) -> io::Result<Below> {
        let mut state = self.lock();
        if state.mounted == 0 {
            land(&mut state.waiting, workspace)?;
        }
        state.mounted += 1;
        let waiting = state.waiting.iter().rev().cloned();
        Ok(Below { lower: waiting.chain([workspace.to_owned()]).collect() })
    }

    /// An overlay is gone.
    ///
    /// # Errors
    /// What waits cannot land.
    pub fn unmount(&self, workspace: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.mounted -= 1;
        if state.mounted == 0 { land(&mut state.waiting, workspace) } else { Ok(()) }
    }

    /// Somebody is about to read or write `workspace` itself: the layers that could not land yet,
    /// the oldest first. Empty wherever no overlay is mounted.
    ///
    /// # Errors
    /// What waits cannot land.
    pub fn settle(&self, workspace: &Path) -> io::Result<Vec<PathBuf>> {
        let mut state = self.lock();
        if state.mounted == 0 {
            land(&mut state.waiting, workspace)?;
        }
        Ok(state.waiting.clone())
    }

    /// A job has left what the folder `layer` holds, which is the run's from now on.
    ///
    /// # Errors
    /// It cannot land.
    pub fn add(&self, layer: PathBuf, workspace: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.push(layer);
        if state.mounted == 0 { land(&mut state.waiting, workspace) } else { Ok(()) }
    }
}

/// Applies layers to the workspace, the oldest first; each is gone afterwards.
fn land(waiting: &mut Vec<PathBuf>, workspace: &Path) -> io::Result<()> {
    while let Some(layer) = waiting.first() {
        apply(layer, workspace)?;
        fs::remove_dir_all(layer)?;
        waiting.remove(0);
    }
    Ok(())
}

/// Makes `target` what it would look like with `layer` mounted over it: files replace files, and
/// what the layer marks as deleted is removed. Nothing is followed out of either.
fn apply(layer: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(layer)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let kind = entry.file_type()?;
        let there = absent_is_none(fs::symlink_metadata(&to))?;
        if kind.is_dir() {
            if there.as_ref().is_some_and(|there| !there.is_dir() || is_opaque(&from)) {
                remove(&to)?;
            }
            if absent_is_none(fs::symlink_metadata(&to))?.is_none() {
                fs::create_dir(&to)?;
            }
            apply(&from, &to)?;
            fs::set_permissions(&to, entry.metadata()?.permissions())?;
        } else {
            if there.is_some() {
                remove(&to)?;
            }
            if !is_whiteout(&entry.metadata()?) {
                fs::rename(&from, &to)?;
            }
        }
    }
    Ok(())
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// How an overlay marks a deleted path: a character device 0, 0.
pub fn is_whiteout(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether an overlay's folder hides the one below it.
pub fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    let found = rustix::fs::lgetxattr(folder, "trusted.overlay.opaque", &mut value);
    found == Ok(1) && value == *b"y"
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, slice};

    use super::*;

    #[test]
    fn what_a_job_leaves_waits_until_nothing_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let [workspace, layer] = ["workspace", "layer"].map(|name| folder.path().join(name));
        fs::create_dir_all(workspace.join("dist")).unwrap();
        fs::create_dir_all(layer.join("dist")).unwrap();
        fs::write(workspace.join("dist/old"), "old").unwrap();
        fs::write(layer.join("dist/new"), "new").unwrap();
        let layers = Layers::default();
        assert_eq!(layers.mount(&workspace).unwrap().lower, slice::from_ref(&workspace));
        layers.add(layer.clone(), &workspace).unwrap();
        assert!(!workspace.join("dist/new").exists());
        assert_eq!(layers.settle(&workspace).unwrap(), slice::from_ref(&layer));
        assert_eq!(layers.mount(&workspace).unwrap().lower, [layer.clone(), workspace.clone()]);
        layers.unmount(&workspace).unwrap();
        assert!(!workspace.join("dist/new").exists());
        layers.unmount(&workspace).unwrap();
        assert_eq!(fs::read(workspace.join("dist/new")).unwrap(), b"new");
        assert_eq!(fs::read(workspace.join("dist/old")).unwrap(), b"old");
        assert!(!layer.exists());
    }

    #[test]
    fn a_layer_never_writes_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [workspace, layer, outside] =
            ["workspace", "layer", "outside"].map(|name| folder.path().join(name));
        for made in [&workspace, &layer.join("link"), &outside] {
            fs::create_dir_all(made).unwrap();
        }
        symlink(&outside, workspace.join("link")).unwrap();
        symlink("/nowhere", workspace.join("file")).unwrap();
        fs::write(layer.join("link/evil"), "").unwrap();
        fs::write(layer.join("file"), "content").unwrap();
        apply(&layer, &workspace).unwrap();
        assert!(!outside.join("evil").exists() && workspace.join("link/evil").exists());
        assert_eq!(fs::read(workspace.join("file")).unwrap(), b"content");
    }
}
