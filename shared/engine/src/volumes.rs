//! Volumes: create, also as an overlay over a folder of the engine's host; remove.

use std::{collections::HashMap, path::Path};

use bollard::{models::VolumeCreateRequest, query_parameters::RemoveVolumeOptionsBuilder};

use crate::{Engine, EngineError, engine::gone_is_fine};

/// The kernel cuts longer mount options silently.
const OPTIONS_BYTES_MAX: usize = 4096;

/// A file system laid over folders that stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// Folders below, the uppermost first.
    pub lower: &'a [&'a Path],
    /// Where changes go. Its owner and mode become those of the volume's root.
    pub upper: &'a Path,
    /// An empty folder on the file system of `upper`, for the kernel.
    pub work: &'a Path,
}

impl Overlay<'_> {
    /// Mount options; `None` where they are too long or a path is not UTF-8.
    ///
    /// The features that would make `upper` more than a plain list of changes are off.
    pub fn options(&self) -> Option<String> {
        let lower: Option<Vec<String>> =
            self.lower.iter().map(|folder| escaped(folder, &['\\', ',', ':'])).collect();
        let [upper, work] = [self.upper, self.work].map(|folder| escaped(folder, &['\\', ',']));
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off,xino=off",
            lower?.join(":"),
            upper?,
            work?
        );
        (options.len() < OPTIONS_BYTES_MAX).then_some(options)
    }
}

fn escaped(path: &Path, special: &[char]) -> Option<String> {
    let mut text = String::new();
    for c in path.to_str()?.chars() {
        if special.contains(&c) {
            text.push('\\');
        }
        text.push(c);
    }
    Some(text)
}

impl Engine {
    /// Creates a volume; with `options` of an overlay, one that is mounted when a container that
    /// uses it starts. Options are not checked before. The name must be new: an existing volume
    /// would keep its own options without a word.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn create_volume(
        &self,
        name: &str,
        labels: HashMap<String, String>,
        overlay: Option<&str>,
    ) -> Result<(), EngineError> {
        let option = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let driver_opts = overlay.map(|options| {
            [("type", "overlay"), ("device", "overlay"), ("o", options)].map(option).into()
        });
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            driver_opts,
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        self.ask("created a volume", self.docker.create_volume(request)).await.map(drop)
    }

    /// Removes a volume; fine if it is gone.
    ///
    /// # Errors
    /// See [`EngineError`]: a conflict while a container uses it.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        let call = self.docker.remove_volume(name, Some(options));
        gone_is_fine(self.ask("removed a volume", call).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_escaped_and_measured() {
        let [lower, top, upper] = [Path::new("/a:b,c"), Path::new("/t"), Path::new("/u\\,:")];
        let overlay = Overlay { lower: &[top, lower], upper, work: Path::new("/w") };
        let options = overlay.options().unwrap();
        assert!(options.starts_with(r"lowerdir=/t:/a\:b\,c,upperdir=/u\\\,:,workdir=/w,"));
        let long = "x".repeat(OPTIONS_BYTES_MAX);
        assert_eq!(Overlay { upper: Path::new(&long), ..overlay }.options(), None);
    }
}
