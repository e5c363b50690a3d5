//! Connecting to an engine, whatever the way to it.

use std::path::Path;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error as ApiError};

use crate::{Address, Engine, EngineError, address::Way};

/// Seconds that bollard lets a call take: as good as for ever. [`Engine`] has ends of its own, and
/// waiting and copying may take hours.
const FOR_EVER: u64 = u32::MAX as u64;
/// Where credentials travel, as base64 of JSON.
const SECRET_HEADERS: [&str; 2] = ["x-registry-auth", "x-registry-config"];

impl Engine {
    /// Connects to the engine at `address`.
    ///
    /// # Errors
    /// Nobody answers there, or an engine older than 20.10 does.
    pub async fn connect(address: &Address) -> Result<Engine, EngineError> {
        let named = address.to_string();
        let docker = open(&address.way)
            .map_err(|error| EngineError::of(error, "prepared to connect", &named))?;
        Engine::greet(docker.with_request_modifier(with_readable_secrets), named).await
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

/// bollard writes base64 with `+` and `/`, the engine reads it with `-` and `_`, and takes what it
/// cannot read for no credentials at all.
fn with_readable_secrets(mut request: BollardRequest) -> BollardRequest {
    for name in SECRET_HEADERS {
        let Some(value) = request.headers_mut().get_mut(name) else { continue };
        let text = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_");
        if let Ok(readable) = text.parse() {
            *value = readable;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::net::UnixListener};

    use super::*;

    fn refused(address: &str) -> EngineError {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address: Address = address.parse().unwrap();
        let error = runtime.block_on(Engine::connect(&address)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("docker daemon unavailable: cannot connect to the Docker daemon at {address}")
        );
        assert!(error.is_engine_gone() && error.cause().is_some());
        error
    }

    #[test]
    fn socket_that_is_missing_differs_from_one_nobody_listens_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let address = format!("unix://{}", path.display());
        let missing = refused(&address);
        assert!(missing.hint().unwrap().contains("start Docker"), "{missing:?}");
        drop(UnixListener::bind(&path).unwrap());
        let deaf = refused(&address);
        assert!(deaf.hint().unwrap().contains("nobody listens"), "{deaf:?}");
    }

    #[test]
    fn machine_without_daemon_is_told_from_one_that_is_unknown() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let closed = refused(&format!("tcp://127.0.0.1:{port}"));
        assert!(closed.hint().unwrap().contains("check the port"), "{closed:?}");
        let unknown = refused("tcp://does-not-exist.invalid");
        assert!(unknown.hint().unwrap().contains("host is right"), "{unknown:?}");
    }

    #[test]
    fn tls_needs_no_further_preparation() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        refused(&format!("https://127.0.0.1:{port}#{}", folder.path().display()));
    }

    #[test]
    fn credentials_travel_as_the_engine_reads_them() {
        let mut request = BollardRequest::new(bollard::body_full(bytes::Bytes::new()));
        request.headers_mut().insert(SECRET_HEADERS[0], "a+b/c=".parse().unwrap());
        let request = with_readable_secrets(request);
        assert_eq!(request.headers()[SECRET_HEADERS[0]], "a-b_c=");
    }
}
