//! What was made for an attempt at a job, and its removal, whatever happened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use libloom_contract::layout::RUNTIME;
use libloom_engine::{Engine, EngineError, owner::Labels};

use super::{layers::Layers, services::Sidecar};

/// Objects of the engine that belong to one attempt at a job, as soon as they may exist.
#[derive(Debug, Default)]
pub struct Made {
    /// Containers, by id or name: the job's, its services, helpers.
    pub containers: Vec<String>,
    /// Its volume.
    pub volume: Option<String>,
    /// Where the changes of its overlay lie.
    pub overlay: Option<PathBuf>,
    /// That overlay keeps the workspace from being written to.
    pub is_laid: bool,
    /// All changes in it are the run's once the job is over.
    pub is_brought_back: bool,
    /// Its network.
    pub network: Option<String>,
    /// What all of it is labelled with.
    pub labels: Labels,
    /// Those of its containers whose logs are kept.
    pub sidecars: Vec<Sidecar>,
}

impl Made {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        let Made { containers, volume, overlay, network, .. } = self;
        containers.is_empty() && volume.is_none() && overlay.is_none() && network.is_none()
    }

    /// Removes everything, the users before the used; what cannot be removed, in words.
    pub async fn remove(self, engine: &Engine, layers: &Layers, workspace: &Path) -> Vec<String> {
        let mut errors = Vec::new();
        let removals = self.containers.iter().map(|id| engine.remove_container(id));
        for error in
            futures_util::future::join_all(removals).await.into_iter().filter_map(Result::err)
        {
            errors.push(failed("container", &error));
        }
        let volume = async {
            let result = match &self.volume {
                Some(name) => engine.remove_volume(name).await,
                None => Ok(()),
            };
            let error =
                result.err().map(|error| failed("docker workspace volume cleanup failed", &error));
            let brought = self.bring_back(layers, workspace).err();
            let brought = brought
                .map(|error| format!("what the job changed does not reach the workspace: {error}"));
            let folder = match &self.overlay {
                Some(folder) => remove_overlay(engine, folder, &self.labels).await.err(),
                None => None,
            };
            [error, brought, folder]
        };
        let network = async {
            let result = match &self.network {
                Some(name) => engine.remove_network(name).await,
                None => Ok(()),
            };
            result.err().map(|error| failed("network", &error))
        };
        let (of_volume, of_network) = futures_util::future::join(volume, network).await;
        errors.extend(of_volume.into_iter().flatten());
        errors.extend(of_network);
        if self.is_laid
            && let Err(error) = layers.unmount(workspace)
        {
            errors.push(format!("what other jobs left does not reach the workspace: {error}"));
        }
        errors
    }
}

impl Made {
    /// Nothing is mounted any more: what the job changed becomes a layer below later jobs.
    fn bring_back(&self, layers: &Layers, workspace: &Path) -> io::Result<()> {
        let Some(folder) = self.overlay.as_ref().filter(|_| self.is_brought_back) else {
            return Ok(());
        };
        let mut left = folder.clone().into_os_string();
        left.push("-left");
        fs::rename(folder.join("upper"), &left)?;
        let left = PathBuf::from(left);
        match fs::remove_dir_all(left.join(RUNTIME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        layers.add(left, workspace)
    }
}

fn failed(what: &str, error: &EngineError) -> String {
    match what {
        "container" | "network" => format!("docker {what} cleanup failed: {error}"),
        _ => format!("{what}: {error}"),
    }
}

async fn remove_overlay(engine: &Engine, folder: &Path, labels: &Labels) -> Result<(), String> {
    engine
        .remove_overlay_folder(folder, labels)
        .await
        .map_err(|error| format!("docker workspace volume cleanup failed: {error}"))
}
