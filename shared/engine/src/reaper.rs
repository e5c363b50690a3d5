//! What killed runs left in an engine, and removing it: objects with our labels whose owner is dead.
//!
//! Others may remove the same at the same time (a run's guard, the next run, `loom clean`): what is
//! gone, or going, is fine.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use crate::{
    Engine, EngineError,
    containers::{ContainerSpec, Mount, Source},
    images::Pull,
    owner::{Labels, OWNER, RUN_ID},
};

/// Removes folders in which a container left files of other users.
pub const HELPER_IMAGE: &str = "busybox:1.36.1";
/// Begins the name of each folder that holds the changes of overlay volumes.
pub const OVERLAY_FOLDER_PREFIX: &str = "loom-overlay-";
/// Removals under way at the same time.
const AT_ONCE: usize = 8;
/// How long something may stay in use by what is just being removed.
const RELEASE_TIME: Duration = Duration::from_secs(10);
const RELEASE_STEP: Duration = Duration::from_millis(50);

/// What kind of object it is, in the order of removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// An object in the engine whose run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// What the engine calls it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume",
        };
        write!(f, "{kind} {} of {}", self.name, self.labels.run_id)
    }
}

/// Whose objects are meant.
#[derive(Clone, Copy)]
pub enum Whose<'a> {
    /// Those of dead owners, told by whether the lock on a run's folder is held; see
    /// [`crate::owner::Owner::is_dead`].
    DeadOwners(&'a (dyn Fn(&Path) -> Option<bool> + Sync)),
    /// Those of one run, which whoever asks knows to be over.
    Run(&'a str),
}

/// What came of a removal.
#[derive(Debug, Default)]
pub struct Removal {
    /// What is gone now.
    pub removed: Vec<Leftover>,
    /// What is not, and why.
    pub failed: Vec<(Leftover, EngineError)>,
}

impl Engine {
    /// What runs that are over left, containers first.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn leftovers(&self, whose: Whose<'_>) -> Result<Vec<Leftover>, EngineError> {
        let label = match whose {
            Whose::DeadOwners(_) => OWNER.to_owned(),
            Whose::Run(run_id) => format!("{RUN_ID}={run_id}"),
        };
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let (containers, networks, volumes) = tokio::try_join!(
            self.labelled_containers(&filters),
            self.labelled_networks(&filters),
            self.labelled_volumes(&filters),
        )?;
        let mut found: Vec<Leftover> =
            containers.into_iter().chain(networks).chain(volumes).collect();
        if let Whose::DeadOwners(is_locked) = whose {
            let mut known = HashMap::new();
            found.retain(|leftover| match &leftover.labels.owner {
                Some(owner) => {
                    *known.entry(owner.clone()).or_insert_with(|| owner.is_dead(is_locked))
                }
                None => false,
            });
        }
        Ok(found)
    }

    async fn labelled_containers(&self, filters: &Filters) -> Result<Vec<Leftover>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(filters).build();
        let call = self.docker.list_containers(Some(options));
        let all = self.ask("listed containers", call).await?.into_iter();
        let ours = all.filter_map(|container| {
            let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            let name = name.trim_start_matches('/').to_owned();
            leftover(Kind::Container, container.id?, name, &container.labels?)
        });
        Ok(ours.collect())
    }

    async fn labelled_networks(&self, filters: &Filters) -> Result<Vec<Leftover>, EngineError> {
        let options = ListNetworksOptionsBuilder::default().filters(filters).build();
        let call = self.docker.list_networks(Some(options));
        let all = self.ask("listed networks", call).await?.into_iter();
        let ours = all.filter_map(|network| {
            let name = network.name.unwrap_or_default();
            leftover(Kind::Network, network.id?, name, &network.labels?)
        });
        Ok(ours.collect())
    }

    async fn labelled_volumes(&self, filters: &Filters) -> Result<Vec<Leftover>, EngineError> {
        let options = ListVolumesOptionsBuilder::default().filters(filters).build();
        let call = self.docker.list_volumes(Some(options));
        let all = self.ask("listed volumes", call).await?.volumes.unwrap_or_default();
        let ours = all.into_iter().filter_map(|volume| {
            leftover(Kind::Volume, volume.name.clone(), volume.name, &volume.labels)
        });
        Ok(ours.collect())
    }

    /// Removes leftovers: containers, which may run, then what they used, with the folders that
    /// hold the changes of overlay volumes.
    pub async fn remove_leftovers(&self, leftovers: Vec<Leftover>) -> Removal {
        let (containers, others): (Vec<_>, Vec<_>) =
            leftovers.into_iter().partition(|leftover| leftover.kind == Kind::Container);
        let mut removal = Removal::default();
        for group in [containers, others] {
            let results = stream::iter(group).map(|leftover| async {
                let result = self.remove_leftover(&leftover).await;
                (leftover, result)
            });
            let results: Vec<_> = results.buffer_unordered(AT_ONCE).collect().await;
            for (leftover, result) in results {
                match result {
                    Ok(()) => removal.removed.push(leftover),
                    Err(error) => removal.failed.push((leftover, error)),
                }
            }
        }
        removal
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), EngineError> {
        let Leftover { kind, id, labels, .. } = leftover;
        match kind {
            Kind::Container => self.remove_container(id).await,
            Kind::Network => released(|| self.remove_network(id)).await,
            Kind::Volume => {
                released(|| self.remove_volume(id)).await?;
                match &labels.overlay {
                    Some(folder) => self.remove_overlay_folder(folder, labels).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Removes the folder of an overlay volume, fine if it is gone: by ourselves, or, where
    /// containers left files of other users, by a helper container, which carries `labels`.
    ///
    /// # Errors
    /// See [`EngineError`]; a folder that is not below one named `loom-overlay-…` is refused.
    pub async fn remove_overlay_folder(
        &self,
        folder: &Path,
        labels: &Labels,
    ) -> Result<(), EngineError> {
        match checked_overlay_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(cannot_remove(folder, source)),
            Ok(folder) => self.remove_folder(&folder, labels).await,
        }
    }

    /// Removes a folder of this machine whatever is in it, fine if it is gone: by ourselves if we
    /// may, else by a helper container of the engine, which carries `labels`. Whoever calls this
    /// answers for the folder's being ours.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn remove_folder(&self, folder: &Path, labels: &Labels) -> Result<(), EngineError> {
        let source = match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        match source.kind() {
            io::ErrorKind::PermissionDenied => self.remove_by_helper(folder, labels).await,
            _ => Err(cannot_remove(folder, source)),
        }
    }

    /// Removes a folder of this machine by a helper container, whoever its files belong to.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn remove_by_helper(
        &self,
        folder: &Path,
        labels: &Labels,
    ) -> Result<(), EngineError> {
        let parent = folder.parent().and_then(Path::to_str);
        let name = folder.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (parent, name) else {
            return Err(cannot_remove(folder, io::ErrorKind::InvalidFilename.into()));
        };
        let (code, words) = self.run_helper(parent, name, labels).await?;
        match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => {
                let words = String::from_utf8_lossy(&words);
                let words = format!("a helper container ended with {code}: {}", words.trim());
                Err(cannot_remove(folder, io::Error::other(words)))
            }
        }
    }

    /// Removes `name` in the folder `parent` as root; returns exit code and what was said.
    async fn run_helper(
        &self,
        parent: &str,
        name: &str,
        labels: &Labels,
    ) -> Result<(i64, Vec<u8>), EngineError> {
        let mount = Mount {
            source: Source::Host(parent.into()),
            target: "/parent".into(),
            read_only: false,
        };
        let command = ["rm", "-rf", "--", &format!("/parent/{name}")];
        let spec = ContainerSpec {
            image: HELPER_IMAGE.into(),
            command: Some(command.map(String::from).into()),
            user: Some("0:0".into()),
            network: Some("none".into()),
            labels: Labels { overlay: None, ..labels.clone() }.to_map(),
            mounts: vec![mount],
            ..ContainerSpec::default()
        };
        let id = match self.create_container(&spec).await {
            Err(EngineError::NotFound { .. }) => {
                self.pull(&Pull::of(HELPER_IMAGE), &mut |_| {}).await?;
                self.create_container(&spec).await?
            }
            created => created?,
        };
        let result = self.run_to_end(&id).await;
        let removed = self.remove_container(&id).await;
        result.and_then(|ended| removed.map(|()| ended))
    }

    async fn run_to_end(&self, id: &str) -> Result<(i64, Vec<u8>), EngineError> {
        let mut output = self.attach(id).await?;
        self.start(id).await?;
        let mut words = Vec::new();
        while let Some(part) = output.next().await {
            words.extend_from_slice(&part?.1);
        }
        Ok((self.wait(id).await?, words))
    }
}

fn cannot_remove(folder: &Path, source: io::Error) -> EngineError {
    EngineError::Local { what: format!("cannot remove `{}`", folder.display()), source }
}

type Filters = HashMap<String, Vec<String>>;

fn leftover(
    kind: Kind,
    id: String,
    name: String,
    labels: &HashMap<String, String>,
) -> Option<Leftover> {
    Some(Leftover { kind, id, name, labels: Labels::of_map(labels)? })
}

/// Removes something as soon as what is just being removed does not use it any more.
async fn released<F: Future<Output = Result<(), EngineError>>>(
    remove: impl Fn() -> F,
) -> Result<(), EngineError> {
    let deadline = Instant::now() + RELEASE_TIME;
    loop {
        match remove().await {
            Err(error) if is_in_use(&error) && Instant::now() < deadline => {
                sleep(RELEASE_STEP).await;
            }
            result => return result,
        }
    }
}

/// Docker answers 409 for a volume and 403 for a network; Podman 409 or 500.
fn is_in_use(error: &EngineError) -> bool {
    let words = error.to_string();
    matches!(error, EngineError::Conflict { .. })
        || ["has active endpoints", "in use", "being used"].iter().any(|word| words.contains(word))
}

/// The folder as it is to be removed, symbolic links resolved, so that nobody can lead us
/// elsewhere: the name that makes it ours must still stand in it, with all that follows.
fn checked_overlay_folder(folder: &Path) -> io::Result<PathBuf> {
    let is_ours = |part: &Component<'_>| {
        part.as_os_str().to_string_lossy().starts_with(OVERLAY_FOLDER_PREFIX)
    };
    let parts: Vec<Component<'_>> = folder.components().collect();
    let plain = folder.is_absolute() && !parts.contains(&Component::ParentDir);
    let ours = parts.iter().position(is_ours).filter(|_| plain).ok_or_else(|| {
        let words = format!("it does not lie in a folder named `{OVERLAY_FOLDER_PREFIX}…`");
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })?;
    let real = fs::canonicalize(folder)?;
    let below: PathBuf = parts[ours..].iter().collect();
    match real.ends_with(&below) {
        true => Ok(real),
        false => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link leads out of it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_folders_of_overlays_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let ours = root.join("loom-overlay-1/job");
        fs::create_dir_all(&ours).unwrap();
        fs::create_dir_all(root.join("victim/job")).unwrap();
        symlink(root.join("victim"), root.join("loom-overlay-2")).unwrap();
        assert_eq!(checked_overlay_folder(&ours).unwrap(), ours);
        let kind = |path: &Path| checked_overlay_folder(path).unwrap_err().kind();
        assert_eq!(kind(&root.join("loom-overlay-3")), io::ErrorKind::NotFound);
        for refused in ["victim", "loom-overlay-2/job", "loom-overlay-1/../victim"] {
            assert_eq!(kind(&root.join(refused)), io::ErrorKind::InvalidInput, "{refused}");
        }
        assert_eq!(kind(Path::new("loom-overlay-1")), io::ErrorKind::InvalidInput);
    }
}
