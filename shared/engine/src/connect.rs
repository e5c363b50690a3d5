//! Connecting to an engine, whatever the way to it.

use std::path::Path;

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as ApiError};

use crate::{Address, Engine, EngineError, address::Way};

/// Seconds that bollard lets a call take: as good as for ever. [`Engine`] has ends of its own, and
/// waiting and copying may take hours.
const FOR_EVER: u64 = u32::MAX as u64;

impl Engine {
    /// Connects to the engine at `address`.
    ///
    /// # Errors
    /// Nobody answers there, or an engine older than 20.10 does.
    pub async fn connect(address: &Address) -> Result<Engine, EngineError> {
        let named = address.to_string();
        let docker = open(&address.way)
            .map_err(|error| EngineError::of(error, "prepared to connect", &named))?;
        Engine::greet(docker, named).await
    }
}

fn open(way: &Way) -> Result<Docker, ApiError> {
    match way {
        Way::Unix(path) => {
            Docker::connect_with_unix(&path.to_string_lossy(), FOR_EVER, API_DEFAULT_VERSION)
        }
        Way::Tcp(authority) => Docker::connect_with_http(authority, FOR_EVER, API_DEFAULT_VERSION),
        Way::Tls(authority, certificates) => open_tls(authority, certificates),
        Way::Ssh(authority) => {
            Docker::connect_with_ssh(authority, FOR_EVER, API_DEFAULT_VERSION, None)
        }
    }
}

fn open_tls(authority: &str, certificates: &Path) -> Result<Docker, ApiError> {
    let [key, certificate, authorities] =
        ["key.pem", "cert.pem", "ca.pem"].map(|name| certificates.join(name));
    // bollard wants a file; the system's authorities count in any case.
    let has_own = authorities.exists();
    let authorities = if has_own { authorities.as_path() } else { Path::new("/dev/null") };
    Docker::connect_with_ssl(
        authority,
        &key,
        &certificate,
        authorities,
        FOR_EVER,
        API_DEFAULT_VERSION,
    )
}
