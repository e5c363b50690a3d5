//! Where the engine is: found as the `docker` program finds it, then looked for where Podman is.
//!
//! The order is the docker CLI's (`cli/command/cli.go`, `resolveContextName`): `DOCKER_HOST`,
//! `DOCKER_CONTEXT`, `currentContext` of `config.json`, the default socket. The rules for an address
//! without scheme, host or port are those of its `opts/hosts.go`.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use libloom_contract::env;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    EngineError,
    config::{DockerConfig, read},
};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// Podman's service as root.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;
/// Name of what is used without a context; it is no folder.
const DEFAULT_CONTEXT: &str = "default";

/// What the search depends on. This crate reads no environment for itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `DOCKER_HOST`.
    pub docker_host: Option<OsString>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<OsString>,
    /// `DOCKER_CONFIG`: folder of `config.json`; absent: `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is not empty.
    pub docker_tls_verify: bool,
    /// `DOCKER_CERT_PATH`: folder of certificates; absent: that of `config.json`.
    pub docker_cert_path: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`; absent: `/run/user/UID`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The socket that is tried where nothing else is said, for tests.
    pub default_socket: Option<PathBuf>,
}

impl Surroundings {
    /// Those that the variables say, asked for by name; empty ones count as unset.
    pub fn of<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        Surroundings {
            docker_host: set(env::DOCKER_HOST).map(OsStr::to_owned),
            docker_context: set(env::DOCKER_CONTEXT).map(OsStr::to_owned),
            docker_config: set(env::DOCKER_CONFIG).map(PathBuf::from),
            docker_tls_verify: set(env::DOCKER_TLS_VERIFY).is_some(),
            docker_cert_path: set(env::DOCKER_CERT_PATH).map(PathBuf::from),
            home: set("HOME").map(PathBuf::from),
            xdg_runtime_dir: set("XDG_RUNTIME_DIR").map(PathBuf::from),
            default_socket: None,
        }
    }

    /// The folder of `config.json`, if there can be one.
    pub fn config_folder(&self) -> Option<PathBuf> {
        let below_home = || self.home.as_ref().map(|home| home.join(".docker"));
        self.docker_config.clone().or_else(below_home)
    }

    fn certificates(&self) -> Option<PathBuf> {
        self.docker_cert_path.clone().or_else(|| self.config_folder())
    }

    fn podman_sockets(&self) -> [PathBuf; 2] {
        let uid = rustix::process::getuid().as_raw();
        let runtime_dir = self.xdg_runtime_dir.clone();
        let runtime_dir = runtime_dir.unwrap_or_else(|| format!("/run/user/{uid}").into());
        [runtime_dir.join("podman/podman.sock"), PODMAN_SOCKET.into()]
    }
}

/// How an engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
    /// Host and port, and the folder of `ca.pem`, `cert.pem` and `key.pem`, each if there is one.
    Tls(String, PathBuf),
    /// User, host and port.
    Ssh(String),
}

/// Where an engine is.
///
/// Its text, which serialises it and which [`str::parse`] reads, is the address as it was named,
/// followed by `#` and the folder of certificates where TLS is used. [`fmt::Display`] leaves that
/// folder out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Address {
    named: String,
    pub(crate) way: Way,
}

impl Address {
    /// Finds the engine.
    ///
    /// # Errors
    /// A context that does not exist or cannot be read, or an address nobody can connect to.
    pub fn find(surroundings: &Surroundings) -> Result<Address, EngineError> {
        if let Some(host) = &surroundings.docker_host {
            let certificates =
                surroundings.docker_tls_verify.then(|| surroundings.certificates()).flatten();
            return Address::of(text(host)?, certificates);
        }
        match context_in_use(surroundings)? {
            Some((name, folder)) => of_context(&name, &folder),
            None => Ok(default_address(surroundings)),
        }
    }

    /// `named` as a user writes it; TLS is used where there is a folder of certificates.
    fn of(named: &str, certificates: Option<PathBuf>) -> Result<Address, EngineError> {
        let unusable = |why: &str| EngineError::Address { address: named.into(), why: why.into() };
        let (scheme, rest) = named.split_once("://").unwrap_or(("tcp", named));
        let way = match (scheme, certificates) {
            ("unix", _) if rest.starts_with('/') => Way::Unix(rest.into()),
            ("unix", _) => return Err(unusable("a Unix socket is named by an absolute path")),
            ("ssh", _) if rest.trim_matches('/').is_empty() => {
                return Err(unusable("it names no host"));
            }
            ("ssh", _) => Way::Ssh(rest.trim_end_matches('/').to_owned()),
            ("tcp" | "http", None) => Way::Tcp(host_and_port(rest, PLAIN_PORT)),
            ("tcp" | "http" | "https", Some(folder)) => {
                Way::Tls(host_and_port(rest, TLS_PORT), folder)
            }
            // Without certificates of its own: those of the system have to do.
            ("https", None) => Way::Tls(host_and_port(rest, TLS_PORT), PathBuf::new()),
            (scheme, _) => {
                let why = format!(
                    "`{scheme}` is no way to reach an engine; unix, tcp, http, https and ssh are"
                );
                return Err(unusable(&why));
            }
        };
        Ok(Address { named: named.to_owned(), way })
    }

    fn of_socket(path: &Path) -> Address {
        Address { named: format!("unix://{}", path.display()), way: Way::Unix(path.into()) }
    }

    /// Whether it is a socket of this machine, so that its files may be the engine's, too.
    pub fn is_local(&self) -> bool {
        matches!(self.way, Way::Unix(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        match &address.way {
            Way::Tls(_, folder) => format!("{}#{}", address.named, folder.display()),
            _ => address.named,
        }
    }
}

impl TryFrom<String> for Address {
    type Error = EngineError;

    fn try_from(text: String) -> Result<Address, EngineError> {
        text.parse()
    }
}

impl std::str::FromStr for Address {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Address, EngineError> {
        match text.split_once('#') {
            Some((named, folder)) if !named.starts_with("unix:") => {
                Address::of(named, Some(folder.into()))
            }
            _ => Address::of(text, None),
        }
    }
}

/// What stands before a path, with what is missing.
fn host_and_port(rest: &str, port: u16) -> String {
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, given) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, given)) if !given.contains(']') => (host, given),
        _ => (authority, ""),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    match given {
        "" => format!("{host}:{port}"),
        given => format!("{host}:{given}"),
    }
}

fn text(value: &OsStr) -> Result<&str, EngineError> {
    value.to_str().ok_or_else(|| EngineError::Address {
        address: value.to_string_lossy().into_owned(),
        why: "it is not UTF-8".into(),
    })
}

/// Docker's socket; Podman's where only that exists.
fn default_address(surroundings: &Surroundings) -> Address {
    let docker = surroundings.default_socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into());
    if docker.exists() {
        return Address::of_socket(&docker);
    }
    // A folder that may not be entered looks as if the socket did not exist.
    let podman = surroundings.podman_sockets().into_iter().find(|socket| socket.exists());
    Address::of_socket(&podman.unwrap_or(docker))
}

/// A context's `meta.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// Name of the context in use and the folder of all contexts; `None`: the default.
fn context_in_use(surroundings: &Surroundings) -> Result<Option<(String, PathBuf)>, EngineError> {
    let Some(folder) = surroundings.config_folder() else { return Ok(None) };
    let name = match &surroundings.docker_context {
        Some(name) => text(name)?.to_owned(),
        None => DockerConfig::read(Some(&folder))?.current_context,
    };
    let is_default = name.is_empty() || name == DEFAULT_CONTEXT;
    Ok((!is_default).then(|| (name, folder.join("contexts"))))
}

fn of_context(name: &str, contexts: &Path) -> Result<Address, EngineError> {
    let id: String =
        Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = contexts.join("meta").join(&id).join("meta.json");
    let meta = read::<Meta>(&path)?;
    let meta = meta.ok_or_else(|| EngineError::NoSuchContext { name: name.into(), path })?;
    let unusable = |why: &str| EngineError::Address {
        address: format!("the Docker context `{name}`"),
        why: why.into(),
    };
    let endpoint = meta.endpoints.docker.filter(|endpoint| !endpoint.host.is_empty());
    let endpoint = endpoint.ok_or_else(|| unusable("it has no address of an engine"))?;
    if endpoint.skip_tls_verify {
        return Err(unusable("it does not verify the engine's certificate, which Loom insists on"));
    }
    let certificates = contexts.join("tls").join(&id).join("docker");
    Address::of(&endpoint.host, Some(certificates).filter(|folder| folder.is_dir()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(text: &str) -> Way {
        text.parse::<Address>().unwrap().way
    }

    #[test]
    fn addresses_are_completed_as_docker_completes_them() {
        let tcp = |authority: &str| Way::Tcp(authority.into());
        assert_eq!(of("unix:///run/d#1.sock"), Way::Unix("/run/d#1.sock".into()));
        assert_eq!(of("tcp://host"), tcp("host:2375"));
        assert_eq!(of("host:1"), tcp("host:1"));
        assert_eq!(of("tcp://:1/"), tcp("localhost:1"));
        assert_eq!(of("http://[::1]"), tcp("[::1]:2375"));
        assert_eq!(of("tcp://[::1]:9"), tcp("[::1]:9"));
        assert_eq!(of("https://host#/c"), Way::Tls("host:2376".into(), "/c".into()));
        assert_eq!(of("ssh://me@host:22/"), Way::Ssh("me@host:22".into()));
    }

    #[test]
    fn what_cannot_be_reached_is_said_in_words() {
        for (text, words) in [
            ("npipe:////./pipe/docker_engine", "`npipe` is no way"),
            ("fd://", "`fd` is no way"),
            ("unix://docker.sock", "absolute path"),
            ("ssh://", "no host"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn another_process_can_read_an_address() {
        for text in ["unix:///a b", "tcp://h:1", "tcp://h#/certs", "https://h#", "ssh://h"] {
            let address: Address = text.parse().unwrap();
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
            assert_eq!(address.to_string(), text.split('#').next().unwrap());
        }
        serde_json::from_str::<Address>("\"npipe:///x\"").unwrap_err();
    }

    /// SHA-256 of `far`, as `docker context create far` names its folders.
    const FAR: &str = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
    /// SHA-256 of `blind`.
    const BLIND: &str = "e5b84c89f624a40cdfdc0c6da3c9f0b47ce587edae0117b8c8b7c0a9523db5c4";

    /// A home with two contexts, one of them (`far`) in use.
    fn home() -> (tempfile::TempDir, Surroundings) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".docker");
        for (id, endpoint) in [
            (FAR, r#"{"Host": "tcp://far:2376", "SkipTLSVerify": false}"#),
            (BLIND, r#"{"Host": "tcp://blind:2376", "SkipTLSVerify": true}"#),
        ] {
            let meta = folder.join("contexts/meta").join(id);
            fs::create_dir_all(&meta).unwrap();
            let text = format!(r#"{{"Name": "x", "Endpoints": {{"docker": {endpoint}}}}}"#);
            fs::write(meta.join("meta.json"), text).unwrap();
        }
        fs::create_dir_all(folder.join("contexts/tls").join(FAR).join("docker")).unwrap();
        fs::write(folder.join("config.json"), r#"{"auths": {}, "currentContext": "far"}"#).unwrap();
        let surroundings = Surroundings {
            home: Some(home.path().into()),
            xdg_runtime_dir: Some(home.path().join("run")),
            default_socket: Some(home.path().join("docker.sock")),
            ..Surroundings::default()
        };
        (home, surroundings)
    }

    #[test]
    fn host_wins_over_context_wins_over_configuration() {
        let (home, mut surroundings) = home();
        let certificates = home.path().join(".docker/contexts/tls").join(FAR).join("docker");
        let far = Address::find(&surroundings).unwrap();
        assert_eq!(far.way, Way::Tls("far:2376".into(), certificates));
        surroundings.docker_context = Some("blind".into());
        let error = Address::find(&surroundings).unwrap_err().to_string();
        assert!(error.contains("`blind`") && error.contains("certificate"), "{error}");
        surroundings.docker_context = Some("gone".into());
        let error = Address::find(&surroundings).unwrap_err();
        assert!(matches!(error, EngineError::NoSuchContext { name, .. } if name == "gone"));
        surroundings.docker_host = Some("unix:///x".into());
        assert_eq!(Address::find(&surroundings).unwrap().way, Way::Unix("/x".into()));
    }

    #[test]
    fn tls_is_used_where_the_variable_says_so() {
        let (home, mut surroundings) = home();
        surroundings.docker_host = Some("tcp://h".into());
        assert_eq!(Address::find(&surroundings).unwrap().way, Way::Tcp("h:2375".into()));
        surroundings.docker_tls_verify = true;
        let address = Address::find(&surroundings).unwrap();
        assert_eq!(address.way, Way::Tls("h:2376".into(), home.path().join(".docker")));
        surroundings.docker_cert_path = Some("/certs".into());
        let address = Address::find(&surroundings).unwrap();
        assert_eq!(address.way, Way::Tls("h:2376".into(), "/certs".into()));
    }

    #[test]
    fn podman_is_found_only_where_docker_has_no_socket() {
        let (home, mut surroundings) = home();
        surroundings.docker_context = Some("default".into());
        let docker = home.path().join("docker.sock");
        let podman = home.path().join("run/podman/podman.sock");
        let found = |surroundings| Address::find(surroundings).unwrap().way;
        if !Path::new(PODMAN_SOCKET).exists() {
            assert_eq!(found(&surroundings), Way::Unix(docker.clone()));
        }
        fs::create_dir_all(podman.parent().unwrap()).unwrap();
        fs::write(&podman, "").unwrap();
        assert_eq!(found(&surroundings), Way::Unix(podman));
        fs::write(&docker, "").unwrap();
        assert_eq!(found(&surroundings), Way::Unix(docker));
    }

    #[test]
    fn damaged_configuration_is_named() {
        let (home, surroundings) = home();
        let path = home.path().join(".docker/config.json");
        fs::write(&path, "{").unwrap();
        let error = Address::find(&surroundings).unwrap_err();
        assert!(matches!(error, EngineError::File { path: named, .. } if named == path));
        fs::remove_file(&path).unwrap();
        assert!(Address::find(&surroundings).unwrap().is_local());
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let surroundings = Surroundings::of(|name| match name {
            env::DOCKER_HOST => Some(OsStr::new("")),
            env::DOCKER_TLS_VERIFY => Some(OsStr::new("0")),
            _ => None,
        });
        assert!(surroundings.docker_host.is_none() && surroundings.docker_tls_verify);
    }
}
