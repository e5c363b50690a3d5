//! Docker's own configuration, `config.json`: contexts, credentials, proxies. Only ever read.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::EngineError;

/// What `config.json` says that matters here; everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    pub(crate) current_context: String,
    pub(crate) auths: BTreeMap<String, Auth>,
    pub(crate) creds_store: String,
    pub(crate) cred_helpers: BTreeMap<String, String>,
    pub(crate) proxies: BTreeMap<String, Proxy>,
    /// The file itself, for messages.
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// What is kept for one registry.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Auth {
    /// `user:password` in base64.
    pub auth: String,
    pub username: String,
    pub password: String,
    pub identitytoken: String,
    pub registrytoken: String,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(hidden)")
    }
}

/// Proxies for containers, of one engine or of all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxy {
    pub http_proxy: String,
    pub https_proxy: String,
    pub ftp_proxy: String,
    pub all_proxy: String,
    pub no_proxy: String,
}

impl DockerConfig {
    /// Reads `config.json` of `folder`; without one, an empty configuration.
    ///
    /// # Errors
    /// It is there but cannot be read.
    pub fn read(folder: Option<&Path>) -> Result<DockerConfig, EngineError> {
        let Some(folder) = folder else { return Ok(DockerConfig::default()) };
        let path = folder.join("config.json");
        let config = read::<DockerConfig>(&path)?.unwrap_or_default();
        Ok(DockerConfig { path, ..config })
    }
}

/// What a file of JSON says; `None` where there is no file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let error = |source| EngineError::File { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(error)?,
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|wrong| error(wrong.into()))
}
