//! Credentials of registries: as `docker login` left them, in `config.json` or in a helper.
//!
//! The rules are the docker CLI's (`cli/config/configfile`, `cli/config/credentials`): a helper of
//! the registry's own, else the store of all, else the file. A helper that fails is an error in
//! words: the pull that follows without credentials would fail for a reason nobody can guess.

use std::{fmt, io, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::{
    EngineError,
    config::{Auth, DockerConfig},
};

/// What Docker Hub is called in names of images.
const HUB: &str = "docker.io";
/// What it is called where credentials are kept.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// A helper may ask somebody for a password, but not for ever.
const HELPER_TIME: Duration = Duration::from_secs(60);
/// The user name under which helpers keep identity tokens.
const TOKEN_USER: &str = "<token>";

/// What a registry wants to hear.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    server: String,
    username: String,
    password: String,
    identity_token: String,
    registry_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, hidden)", self.server)
    }
}

impl Credentials {
    /// The parts that must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let parts = [&self.password, &self.identity_token, &self.registry_token];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str)
    }

    pub(crate) fn into_api(self) -> DockerCredentials {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        DockerCredentials {
            username: some(self.username),
            password: some(self.password),
            serveraddress: some(self.server),
            identitytoken: some(self.identity_token),
            registrytoken: some(self.registry_token),
            ..DockerCredentials::default()
        }
    }
}

impl DockerConfig {
    /// Credentials for the registry of an image; `None` where none are kept.
    ///
    /// # Errors
    /// A helper that is missing or fails, or an entry that cannot be understood.
    pub async fn credentials(&self, image: &str) -> Result<Option<Credentials>, EngineError> {
        let registry = registry(image);
        let key = if registry == HUB { HUB_KEY } else { registry };
        let helpers = &self.cred_helpers;
        let own = helpers.get(key).or_else(|| helpers.get(registry)).map(String::as_str);
        let store = Some(self.creds_store.as_str()).filter(|store| !store.is_empty());
        if let Some(helper) = own.or(store)
            && let Some(found) = ask_helper(&format!("docker-credential-{helper}"), key).await?
        {
            return Ok(Some(found));
        }
        match self.kept(key) {
            Some(auth) => self.decoded(auth, key),
            None => Ok(None),
        }
    }

    /// The entry of a registry, under its plain name or as an address from older times.
    fn kept(&self, key: &str) -> Option<&Auth> {
        let same_host = || self.auths.iter().find(|(kept, _)| host(kept) == host(key));
        self.auths.get(key).or_else(|| same_host().map(|(_, auth)| auth))
    }

    fn decoded(&self, auth: &Auth, key: &str) -> Result<Option<Credentials>, EngineError> {
        let (mut username, mut password) = (auth.username.clone(), auth.password.clone());
        if !auth.auth.is_empty() {
            let text = STANDARD.decode(&auth.auth).ok();
            let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (user, secret) = pair.ok_or_else(|| EngineError::File {
                path: self.path.clone(),
                source: io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("`auth` of `{key}` is not `user:password` in base64"),
                ),
            })?;
            username = user.to_owned();
            password = secret.trim_end_matches('\0').to_owned();
        }
        let found = Credentials {
            server: key.to_owned(),
            username,
            password,
            identity_token: auth.identitytoken.clone(),
            registry_token: auth.registrytoken.clone(),
        };
        // An empty entry says that a helper has them.
        let is_empty = found.username.is_empty() && found.secrets().next().is_none();
        Ok((!is_empty).then_some(found))
    }
}

/// The registry an image's name begins with, with its port; Docker Hub where there is none.
pub fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some(("index.docker.io", _)) => HUB,
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => first,
        _ => HUB,
    }
}

/// `host:port` of a key such as `https://host:port/v1/`.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or_default()
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

async fn ask_helper(program: &str, key: &str) -> Result<Option<Credentials>, EngineError> {
    let error = |why: String| EngineError::CredentialHelper { program: program.into(), why };
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => error("it is not on PATH".into()),
        _ => error(cause.to_string()),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why in its answer.
        drop(stdin.write_all(key.as_bytes()).await);
    }
    let ended = timeout(HELPER_TIME, child.wait_with_output()).await;
    let ended = ended.map_err(|_| error(format!("no answer in {} s", HELPER_TIME.as_secs())))?;
    let ended = ended.map_err(|cause| error(cause.to_string()))?;
    if !ended.status.success() {
        // Helpers complain on stdout, where they would answer.
        let words = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
        let words = words.iter().map(|text| text.trim()).find(|text| !text.is_empty());
        return match words {
            Some(words) if words.contains("credentials not found") => Ok(None),
            Some(words) => Err(error(words.to_owned())),
            None => Err(error(ended.status.to_string())),
        };
    }
    let answer: Answer = serde_json::from_slice(&ended.stdout)
        .map_err(|cause| error(format!("its answer cannot be read: {cause}")))?;
    Ok(Some(of_answer(answer, key)))
}

fn of_answer(answer: Answer, key: &str) -> Credentials {
    let server = key.to_owned();
    match answer {
        Answer { username, secret } if username == TOKEN_USER => {
            Credentials { server, identity_token: secret, ..Credentials::default() }
        }
        Answer { username, secret } => {
            Credentials { server, username, password: secret, ..Credentials::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> DockerConfig {
        serde_json::from_str(json).unwrap()
    }

    fn found(config: &DockerConfig, image: &str) -> Result<Option<Credentials>, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(config.credentials(image))
    }

    fn words(result: Result<Option<Credentials>, EngineError>) -> String {
        let error = result.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    }

    #[test]
    fn registries_are_told_from_folders_of_docker_hub() {
        for (image, expected) in [
            ("alpine", "docker.io"),
            ("org/tool:1", "docker.io"),
            ("docker.io/library/alpine", "docker.io"),
            ("index.docker.io/org/tool", "docker.io"),
            ("localhost/tool", "localhost"),
            ("localhost:5000/tool", "localhost:5000"),
            ("ghcr.io/org/tool@sha256:00", "ghcr.io"),
            ("registry:5000/tool", "registry:5000"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn logins_in_the_file_are_found_under_old_names_too() {
        let config = config(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cGE6c3M="},
                "https://old.example/v1/": {"auth": "bzpw"},
                "r:5000": {"identitytoken": "tok"},
                "empty.example": {}
            }}"#,
        );
        let hub = found(&config, "org/tool").unwrap().unwrap();
        assert_eq!((hub.username.as_str(), hub.password.as_str()), ("me", "pa:ss"));
        assert_eq!(hub.server, HUB_KEY);
        assert_eq!(found(&config, "old.example/x").unwrap().unwrap().username, "o");
        assert_eq!(found(&config, "r:5000/x").unwrap().unwrap().identity_token, "tok");
        assert_eq!(found(&config, "empty.example/x").unwrap(), None);
        assert_eq!(found(&config, "other.example/x").unwrap(), None);
        let shown = format!("{config:?} {hub:?}");
        assert!(!shown.contains("pa:ss") && !shown.contains("bWU6"), "{shown}");
    }

    #[test]
    fn login_that_is_no_base64_is_named() {
        let words = words(found(&config(r#"{"auths": {"r.io": {"auth": "%"}}}"#), "r.io/x"));
        assert!(words.contains("`auth` of `r.io`"), "{words}");
    }

    #[test]
    fn helper_that_is_missing_is_no_silence() {
        let config = config(r#"{"credsStore": "loom-does-not-exist"}"#);
        let words = words(found(&config, "x"));
        assert!(words.contains("docker-credential-loom-does-not-exist"), "{words}");
        assert!(words.contains("not on PATH"), "{words}");
    }

    /// What a helper that is this shell script comes to; `$key` is what it was asked for.
    fn asked(script: &str) -> Result<Option<Credentials>, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        // Written by another process: a test that forks meanwhile would hold it open for writing,
        // and what is open for writing cannot be executed.
        let mut writer = std::process::Command::new("sh");
        writer.args(["-c", r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#]).arg(&path);
        let status = writer.arg(format!("#!/bin/sh\nread -r key\n{script}\n")).status();
        assert!(status.unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask_helper(path.to_str().unwrap(), "r.io"))
    }

    #[test]
    fn helper_is_asked_for_the_registry() {
        let script = r#"echo '{"ServerURL":"x","Username":"me","Secret":"of '$key'"}'"#;
        let found = asked(script).unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("me", "of r.io"));
        let script = r#"echo '{"Username":"<token>","Secret":"tok"}'"#;
        assert_eq!(asked(script).unwrap().unwrap().identity_token, "tok");
    }

    #[test]
    fn helper_that_knows_nothing_differs_from_one_that_fails() {
        let script = "echo credentials not found in native keychain; exit 1";
        assert_eq!(asked(script).unwrap(), None);
        assert!(words(asked("echo the vault is locked; exit 1")).contains("the vault is locked"));
        assert!(words(asked("exit 7")).contains("7"));
        assert!(words(asked("echo '{'")).contains("cannot be read"));
    }
}
