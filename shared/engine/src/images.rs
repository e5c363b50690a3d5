//! Images: look at one, pull one.
//!
//! Of a pull that goes wrong the engine's status tells little: much comes as 500, and what happens
//! after the first byte comes in the middle of a stream that began with 200. Its words tell more;
//! [`PullTrouble`] is what we make of them, and the words stay beside it.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use bollard::{
    models::CreateImageInfo,
    query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions},
};
use futures_util::StreamExt as _;

use crate::{Credentials, Engine, EngineError, engine::gone_is_fine};

/// A pull that tells nothing for so long has come to a halt.
pub const STALL_TIME: Duration = Duration::from_secs(5 * 60);

/// An image that the engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its id, `sha256:…`.
    pub id: String,
    /// `NAME=value`, as the image sets them.
    pub environment: Vec<String>,
    /// Its entrypoint; empty: none.
    pub entrypoint: Vec<String>,
    /// User and group; empty: root.
    pub user: String,
    /// Working folder; empty: `/`.
    pub working_dir: String,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor, such as `amd64`.
    pub architecture: String,
    /// Variant of the processor, such as `v8`; mostly empty.
    pub variant: String,
    /// `name@sha256:…` of the registry it came from; absent for one made here.
    pub repo_digest: Option<String>,
}

/// An image to pull.
#[derive(Clone, Debug)]
pub struct Pull<'a> {
    /// Its name; `:latest` is meant where neither tag nor digest is given.
    pub image: &'a str,
    /// Platform such as `linux/arm64`; absent: the engine's own.
    pub platform: Option<&'a str>,
    /// For its registry.
    pub credentials: Option<Credentials>,
    /// How long the engine may tell nothing; mostly [`STALL_TIME`].
    pub stall: Duration,
}

impl<'a> Pull<'a> {
    /// A pull of the image for the engine's own platform, without credentials.
    pub fn of(image: &'a str) -> Pull<'a> {
        Pull { image, platform: None, credentials: None, stall: STALL_TIME }
    }
}

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes that came, over all layers.
    pub bytes: u64,
    /// Bytes that are to come in all, as far as the registry told yet.
    pub bytes_total: u64,
    /// Layers that are there and unpacked.
    pub layers: usize,
    /// All layers.
    pub layers_total: usize,
    /// What the engine said last that was not about one layer's bytes, such as `Retrying in 5
    /// seconds`.
    pub words: String,
}

/// What the matter is with an image that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullTrouble {
    /// There is no such repository or tag.
    NoSuchImage,
    /// The registry refuses, and does not tell whether for want of the image or of credentials.
    Denied,
    /// The registry wants credentials, or does not like those it got.
    Unauthorised,
    /// Too many pulls.
    RateLimited,
    /// The image does not exist for the platform.
    NoPlatform,
    /// What came was not what the registry had promised.
    Damaged,
    /// The registry could not be reached, or has troubles of its own.
    Network,
    /// The engine's disk is full.
    NoSpace,
    /// Nothing happened for too long.
    Stalled,
    /// The name is none.
    BadName,
    /// Something else.
    Other,
}

/// Words of engines and registries, in small letters; the first row that fits counts.
const WORDS: &[(PullTrouble, &[&str])] = &[
    (PullTrouble::NoSpace, &["no space left on device", "disk quota exceeded"]),
    (PullTrouble::RateLimited, &["toomanyrequests", "too many requests", "rate limit"]),
    (
        PullTrouble::NoPlatform,
        &[
            "no matching manifest for",
            "does not match the specified platform",
            "does not provide the specified platform",
            "no match for platform",
            "no image found in manifest list",
            "no image found in image index",
            "cannot be used on this platform",
            "unknown operating system or architecture",
        ],
    ),
    (PullTrouble::Denied, &["pull access denied", "requested access to the resource is denied"]),
    (
        PullTrouble::Unauthorised,
        &[
            "unauthorized",
            "no basic auth credentials",
            "authentication required",
            "access forbidden",
        ],
    ),
    (
        PullTrouble::NoSuchImage,
        &["manifest unknown", "name unknown", "repository name not known", "not found: manifest"],
    ),
    (
        PullTrouble::BadName,
        &["invalid reference format", "invalid repository name", "must be lowercase"],
    ),
    (
        PullTrouble::Damaged,
        &[
            "verification failed",
            "digest mismatch",
            "unexpected eof",
            "checksum",
            "invalid checksum",
        ],
    ),
    (
        PullTrouble::Network,
        &[
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "i/o timeout",
            "timeout",
            "x509",
            "tls:",
            "http response to https client",
            "unexpected http status",
            "service unavailable",
            "bad gateway",
            "request canceled",
            "eof",
        ],
    ),
];

impl PullTrouble {
    /// What an engine's or registry's words come to.
    pub fn of(status: u16, message: &str) -> PullTrouble {
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let told = WORDS.iter().find(|(_, words)| says(words)).map(|&(trouble, _)| trouble);
        told.unwrap_or(match status {
            401 => PullTrouble::Unauthorised,
            403 => PullTrouble::Denied,
            404 => PullTrouble::NoSuchImage,
            429 => PullTrouble::RateLimited,
            _ => PullTrouble::Other,
        })
    }

    /// What helps.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            PullTrouble::NoSuchImage => {
                Some("check the image's name and tag: the registry does not know it")
            }
            PullTrouble::Denied => Some(
                "check the image's name; if it is private, log in to its registry with `docker \
                 login`",
            ),
            PullTrouble::Unauthorised => {
                Some("log in to the image's registry with `docker login`, or check the credentials")
            }
            PullTrouble::RateLimited => Some(
                "wait, log in to the registry for a higher limit, or use a mirror; `pull_policy: \
                 if_not_present` pulls once",
            ),
            PullTrouble::NoPlatform => Some(
                "the image is not made for this platform: set `image.platform` to one that it is \
                 made for, or use another image",
            ),
            PullTrouble::Damaged => Some(
                "what the registry sent is damaged: try again; if it stays so, the registry or a \
                 proxy on the way is at fault",
            ),
            PullTrouble::Network => Some(
                "the Docker daemon cannot talk to the registry: check the network, the registry's \
                 address, and the daemon's proxy settings",
            ),
            PullTrouble::NoSpace => Some("`docker system df` shows what takes the space"),
            PullTrouble::Stalled => Some(
                "the registry stopped sending: check the network and try again, or pull the image \
                 with `docker pull` to see more",
            ),
            PullTrouble::BadName => {
                Some("an image is named like `alpine:3.20` or `registry.example/team/tool:1`")
            }
            PullTrouble::Other => None,
        }
    }
}

impl Engine {
    /// The image of that name, for that platform if one is given; `None`: the engine has none.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn image(
        &self,
        image: &str,
        platform: Option<&str>,
    ) -> Result<Option<ImageInfo>, EngineError> {
        let found = self.ask("looked at an image", self.docker.inspect_image(image)).await;
        let found = match found {
            Err(EngineError::NotFound { .. }) => return Ok(None),
            found => found?,
        };
        let config = found.config.unwrap_or_default();
        let info = ImageInfo {
            id: found.id.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            os: found.os.unwrap_or_default(),
            architecture: found.architecture.unwrap_or_default(),
            variant: found.variant.unwrap_or_default(),
            repo_digest: found.repo_digests.unwrap_or_default().into_iter().next(),
        };
        Ok(Some(info).filter(|info| platform.is_none_or(|platform| info.is_for(platform))))
    }

    /// Pulls an image, telling how far it is. Dropping the future cancels the pull.
    ///
    /// What came need not be what was asked for: Podman pulls its own platform's image where there
    /// is none for another one. So ask for it with [`Engine::image`] afterwards.
    ///
    /// # Errors
    /// [`EngineError::Pull`], or that the engine is gone.
    pub async fn pull(
        &self,
        pull: &Pull<'_>,
        progress: &mut (dyn FnMut(&PullProgress) + Send),
    ) -> Result<(), EngineError> {
        let named = with_tag(pull.image);
        let options = CreateImageOptionsBuilder::default().from_image(&named);
        let options = options.platform(pull.platform.unwrap_or_default()).build();
        let credentials = pull.credentials.clone().map(Credentials::into_api);
        let mut records = pin!(self.docker.create_image(Some(options), None, credentials));
        let mut layers = Layers::default();
        loop {
            let record = tokio::time::timeout(pull.stall, records.next()).await;
            match record.map_err(|_| stalled(pull))? {
                None => {
                    layers.end();
                    progress(&layers.sum());
                    return Ok(());
                }
                Some(Err(error)) => return Err(self.pull_error(error, pull.image)),
                Some(Ok(record)) => {
                    layers.take(record);
                    progress(&layers.sum());
                }
            }
        }
    }

    /// Removes an image's name, and the image where that was its last; fine if there is none.
    ///
    /// # Errors
    /// See [`EngineError`]: a conflict while a container uses it.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let call = self.docker.remove_image(image, None::<RemoveImageOptions>, None);
        gone_is_fine(self.ask("removed an image", call).await.map(drop))
    }

    fn pull_error(&self, error: bollard::errors::Error, image: &str) -> EngineError {
        use bollard::errors::Error as ApiError;
        let (status, message) = match error {
            ApiError::DockerResponseServerError { status_code, message } => (status_code, message),
            ApiError::DockerStreamError { error } => (0, error),
            error => return self.error(error, "pulled an image"),
        };
        let trouble = PullTrouble::of(status, &message);
        EngineError::Pull { image: image.to_owned(), trouble, message }
    }
}

fn stalled(pull: &Pull<'_>) -> EngineError {
    let message = format!("nothing happened for {} s", pull.stall.as_secs());
    EngineError::Pull { image: pull.image.to_owned(), trouble: PullTrouble::Stalled, message }
}

/// The name with its tag: without one, an engine would pull every tag there is.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.contains([':', '@']) {
        true => image.to_owned(),
        false => format!("{image}:latest"),
    }
}

impl ImageInfo {
    /// Whether it is made for `platform`, such as `linux/arm64/v8`, `linux/amd64` or `arm64`.
    pub fn is_for(&self, platform: &str) -> bool {
        let mut parts: Vec<&str> = platform.split('/').collect();
        let is_system = |part: &str| ["linux", "windows", "darwin", "freebsd"].contains(&part);
        if !parts.first().is_some_and(|part| is_system(part)) {
            parts.insert(0, "linux");
        }
        let fits = |wanted: Option<&&str>, own: &str| {
            wanted.is_none_or(|wanted| own.is_empty() || processor(wanted) == processor(own))
        };
        fits(parts.first(), &self.os)
            && fits(parts.get(1), &self.architecture)
            && fits(parts.get(2), &self.variant)
    }
}

/// One name for processors that have several.
fn processor(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armhf" => "arm",
        name => name,
    }
}

/// What is known of the layers of a pull, by id.
#[derive(Debug, Default)]
struct Layers {
    layers: BTreeMap<String, Layer>,
    words: String,
}

#[derive(Debug, Default)]
struct Layer {
    bytes: u64,
    total: u64,
    is_done: bool,
}

impl Layers {
    fn take(&mut self, record: CreateImageInfo) {
        let status = record.status.unwrap_or_default();
        let is_of_layer = LAYER_WORDS.iter().any(|word| status.starts_with(word));
        let Some(id) = record.id.filter(|_| is_of_layer) else {
            self.words = status;
            return;
        };
        let layer = self.layers.entry(id).or_default();
        let detail = record.progress_detail.unwrap_or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        match status.as_str() {
            "Downloading" => {
                layer.bytes = number(detail.current).unwrap_or(layer.bytes);
                // A registry that does not tell sends 0 or -1.
                layer.total = number(detail.total).unwrap_or_default().max(layer.bytes);
            }
            "Download complete" | "Verifying Checksum" | "Extracting" => layer.bytes = layer.total,
            "Pull complete" | "Already exists" => {
                layer.bytes = layer.total;
                layer.is_done = true;
            }
            _ => {}
        }
        if status.starts_with("Retrying") {
            layer.bytes = 0;
            self.words = status;
        }
    }

    /// Podman never says that a layer is unpacked.
    fn end(&mut self) {
        for layer in self.layers.values_mut() {
            *layer = Layer { bytes: layer.total, total: layer.total, is_done: true };
        }
    }

    fn sum(&self) -> PullProgress {
        PullProgress {
            bytes: self.layers.values().map(|layer| layer.bytes).sum(),
            bytes_total: self.layers.values().map(|layer| layer.total).sum(),
            layers: self.layers.values().filter(|layer| layer.is_done).count(),
            layers_total: self.layers.len(),
            words: self.words.clone(),
        }
    }
}

/// Beginnings of what an engine says about one layer.
const LAYER_WORDS: [&str; 9] = [
    "Pulling fs layer",
    "Waiting",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
    "Pull complete",
    "Already exists",
    "Retrying",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_registries_are_told_apart() {
        use PullTrouble as T;
        for (status, message, expected) in [
            (404, "manifest for a:b not found: manifest unknown: manifest unknown", T::NoSuchImage),
            (404, "no such thing", T::NoSuchImage),
            (
                404,
                "pull access denied for x, repository does not exist or may require 'docker \
                 login': denied: requested access to the resource is denied",
                T::Denied,
            ),
            (
                500,
                r#"Head "http://r/v2/x/manifests/1": no basic auth credentials"#,
                T::Unauthorised,
            ),
            (500, "unauthorized: authentication required", T::Unauthorised),
            (500, "toomanyrequests: You have reached your pull rate limit. …", T::RateLimited),
            (
                500,
                r#"Get "http://r/v2/": dial tcp 1.2.3.4:80: connect: connection refused"#,
                T::Network,
            ),
            (500, "received unexpected HTTP status: 503 Service Unavailable", T::Network),
            (0, "filesystem layer verification failed for digest sha256:00", T::Damaged),
            (0, "unexpected EOF", T::Damaged),
            (
                500,
                "no matching manifest for linux/s390x in the manifest list entries",
                T::NoPlatform,
            ),
            (0, "write /var/lib/docker/tmp/x: no space left on device", T::NoSpace),
            (400, "invalid reference format: repository name must be lowercase", T::BadName),
            (500, "boom", T::Other),
        ] {
            assert_eq!(PullTrouble::of(status, message), expected, "{message}");
        }
    }

    #[test]
    fn latest_is_meant_where_nothing_is_said() {
        assert_eq!(with_tag("alpine"), "alpine:latest");
        assert_eq!(with_tag("r:5000/alpine"), "r:5000/alpine:latest");
        assert_eq!(with_tag("r:5000/alpine:1"), "r:5000/alpine:1");
        assert_eq!(with_tag("alpine@sha256:00"), "alpine@sha256:00");
    }

    #[test]
    fn platforms_have_several_names() {
        let info = |architecture: &str, variant: &str| ImageInfo {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: variant.into(),
            ..ImageInfo::default()
        };
        assert!(info("amd64", "").is_for("linux/amd64") && info("amd64", "").is_for("x86_64"));
        assert!(
            info("arm64", "v8").is_for("linux/aarch64")
                && info("arm64", "").is_for("linux/arm64/v8")
        );
        assert!(
            !info("amd64", "").is_for("linux/arm64") && !info("arm", "v6").is_for("linux/arm/v7")
        );
        assert!(!info("amd64", "").is_for("windows/amd64"));
    }

    #[test]
    fn progress_is_the_sum_of_layers() {
        let mut layers = Layers::default();
        let mut take = |id: &str, json: &str| {
            let mut record: CreateImageInfo = serde_json::from_str(json).unwrap();
            record.id = Some(id.into());
            layers.take(record);
            layers.sum()
        };
        take("3.20", r#"{"status": "Pulling from library/x"}"#);
        take("a", r#"{"status": "Pulling fs layer"}"#);
        take("b", r#"{"status": "Already exists"}"#);
        let detail = r#"{"status": "Downloading", "progressDetail": {"current": 3, "total": 10}}"#;
        let progress = take("a", detail);
        assert_eq!((progress.bytes, progress.bytes_total), (3, 10));
        assert_eq!((progress.layers, progress.layers_total), (1, 2));
        assert_eq!(take("a", r#"{"status": "Retrying in 5 seconds"}"#).bytes, 0);
        let progress = take("a", r#"{"status": "Pull complete"}"#);
        assert_eq!((progress.bytes, progress.layers), (10, 2));
        assert_eq!(progress.words, "Retrying in 5 seconds");
    }
}
