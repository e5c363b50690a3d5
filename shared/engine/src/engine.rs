//! A connection to an engine.

use std::{future::Future, time::Duration};

use bollard::{ClientVersion, Docker, errors::Error as ApiError};

use crate::EngineError;

/// Longest time that a call which only asks for a decision may take. Pulls, builds, waiting and
/// transfers have their own ends.
pub const CALL_TIME: Duration = Duration::from_secs(60);

/// The oldest engine that is supported: Docker 20.10.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// Whose engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Docker's own.
    Docker,
    /// Podman's API service.
    Podman,
}

/// An engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) address: String,
    /// Version of the engine, such as `20.10.24`.
    pub version: String,
    /// Whose it is.
    pub flavour: Flavour,
}

impl Engine {
    /// Asks who answers at `docker`'s end, and agrees on a version of the API.
    ///
    /// # Errors
    /// Nobody answers, or the engine is older than 20.10.
    pub(crate) async fn greet(docker: Docker, address: String) -> Result<Self, EngineError> {
        let error = |error| EngineError::of(error, "greeted it", &address);
        let docker = in_time(docker.negotiate_version(), "greeted it").await?.map_err(error)?;
        let version = in_time(docker.version(), "greeted it").await?.map_err(error)?;
        let api = docker.client_version();
        if (api.major_version, api.minor_version) < (OLDEST.major_version, OLDEST.minor_version) {
            return Err(EngineError::Refused {
                status: 0,
                message: format!(
                    "the Docker daemon at {address} is too old: it speaks API {api}, the oldest \
                     supported is {OLDEST} (Docker 20.10)"
                ),
            });
        }
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|part| part.name.contains("Podman"));
        let flavour = if is_podman { Flavour::Podman } else { Flavour::Docker };
        Ok(Engine { docker, address, version: version.version.unwrap_or_default(), flavour })
    }

    /// Where it is, as it was named.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is reached through a socket of this machine; mostly it then sees the same files.
    pub fn is_local(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// The answer to a short call; `what` was done (past tense).
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, EngineError> {
        in_time(call, what).await?.map_err(|error| self.error(error, what))
    }

    pub(crate) fn error(&self, error: ApiError, what: &str) -> EngineError {
        EngineError::of(error, what, &self.address)
    }
}

/// What the future comes to, unless it takes longer than [`CALL_TIME`].
async fn in_time<T>(call: impl Future<Output = T>, what: &str) -> Result<T, EngineError> {
    let timeout = |_| EngineError::Timeout { what: what.to_owned() };
    tokio::time::timeout(CALL_TIME, call).await.map_err(timeout)
}

/// A call that came too late to do anything: what is to be gone is gone.
pub(crate) fn gone_is_fine(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::NotFound { .. }) => Ok(()),
        result => result,
    }
}
