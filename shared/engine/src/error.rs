//! What can go wrong between us and an engine, told apart by what a user can do about it.

use std::{error::Error, io, path::PathBuf};

use bollard::errors::Error as ApiError;

use crate::images::PullTrouble;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers.
    #[error("docker daemon unavailable: cannot connect to the Docker daemon at {address}")]
    Unavailable {
        /// Where it was looked for.
        address: String,
        /// What the system said.
        cause: String,
        /// The same as the system has it, as far as it does.
        kind: io::ErrorKind,
    },
    /// Nobody could connect to what was named.
    #[error("cannot connect to the Docker daemon at {address}: {why}")]
    Address {
        /// What was named.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no Docker context of that name.
    #[error("the Docker context `{name}` does not exist: there is no `{}`", path.display())]
    NoSuchContext {
        /// Its name.
        name: String,
        /// The file that says what it is.
        path: PathBuf,
    },
    /// A file that says how to reach an engine or a registry cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program that keeps credentials did not give them.
    #[error("the credential helper `{program}` failed: {why}")]
    CredentialHelper {
        /// Its name.
        program: String,
        /// What it said, or what happened to it.
        why: String,
    },
    /// An image did not come.
    #[error("cannot pull `{image}`: {message}")]
    Pull {
        /// Its name, as it was asked for.
        image: String,
        /// What the matter is, as far as the words tell.
        trouble: PullTrouble,
        /// What the engine said.
        message: String,
    },
    /// The engine ended, or the connection did, in the middle of a call.
    #[error("the Docker daemon at {address} is gone: it ended while Loom {what}")]
    Died {
        /// Where it was.
        address: String,
        /// What was being done, such as `waited for a container`.
        what: String,
        /// What the system said.
        cause: String,
    },
    /// It took longer than [`crate::CALL_TIME`].
    #[error("the Docker daemon did not answer in time while Loom {what}")]
    Timeout {
        /// What was being done.
        what: String,
    },
    /// A registry refused the credentials, or wants some.
    #[error("unauthorised: {message}")]
    Unauthorised {
        /// What the engine said.
        message: String,
    },
    /// What was named does not exist.
    #[error("not found: {message}")]
    NotFound {
        /// What the engine said.
        message: String,
    },
    /// Something else has the name, or is in the way.
    #[error("conflict: {message}")]
    Conflict {
        /// What the engine said.
        message: String,
    },
    /// The engine's disk is full.
    #[error("no space left on the Docker daemon's disk: {message}")]
    NoSpace {
        /// What the engine said.
        message: String,
    },
    /// It said something that no engine known says.
    #[error("cannot understand what the Docker daemon said while Loom {what}: {message}")]
    Strange {
        /// What was being done.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// Everything else that it refused.
    #[error("{message}")]
    Refused {
        /// Status of the answer; 0 where it came in the middle of a stream.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// What it said could not be understood, or what was to be sent not be read.
    #[error("{what}: {source}")]
    Local {
        /// What was being done.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl EngineError {
    /// `error`, which came up while Loom did `what` (past tense, such as `created a container`) at
    /// the engine of this address.
    pub(crate) fn of(error: ApiError, what: &str, address: &str) -> Self {
        match error {
            ApiError::DockerResponseServerError { status_code, message } => {
                Self::of_answer(status_code, message)
            }
            ApiError::DockerStreamError { error } => Self::of_answer(0, error),
            ApiError::JsonDataError { message, .. } => {
                EngineError::Strange { what: what.into(), message }
            }
            ApiError::RequestTimeoutError => EngineError::Timeout { what: what.into() },
            ApiError::SocketNotFoundError(path) => EngineError::Unavailable {
                address: address.into(),
                cause: format!("no socket at {path}"),
                kind: io::ErrorKind::NotFound,
            },
            error => {
                let (address, cause) = (address.into(), causes(&error));
                match kind_of_refusal(&error) {
                    Some(kind) => EngineError::Unavailable { address, cause, kind },
                    None => EngineError::Died { address, what: what.into(), cause },
                }
            }
        }
    }

    /// The engine's words tell more than its status: 20.10 answers 500 for much that is not its fault.
    pub(crate) fn of_answer(status: u16, message: String) -> Self {
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(&["no space left on device", "disk quota exceeded"]) {
            return EngineError::NoSpace { message };
        }
        if status == 401
            || status == 403
            || says(&[
                "unauthorized",
                "no basic auth credentials",
                "pull access denied",
                "access forbidden",
            ])
        {
            return EngineError::Unauthorised { message };
        }
        match status {
            404 => EngineError::NotFound { message },
            409 => EngineError::Conflict { message },
            _ => EngineError::Refused { status, message },
        }
    }

    /// Whether the engine, rather than what it was asked, is the trouble.
    pub fn is_engine_gone(&self) -> bool {
        matches!(
            self,
            EngineError::Unavailable { .. }
                | EngineError::Died { .. }
                | EngineError::Timeout { .. }
        )
    }

    /// How to mend it, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EngineError::Unavailable { address, cause, kind } => {
                Some(hint_at_absence(address, cause, *kind))
            }
            EngineError::Died { .. } => Some("see the daemon's log, and start it again"),
            EngineError::Timeout { .. } => Some("it is overloaded or stuck; see the daemon's log"),
            EngineError::Address { .. } => Some(
                "set DOCKER_HOST to an address such as unix:///var/run/docker.sock, or choose a \
                 context with `docker context use NAME`",
            ),
            EngineError::NoSuchContext { .. } => Some(
                "`docker context ls` shows those that exist; DOCKER_CONTEXT and `docker context \
                 use NAME` choose one",
            ),
            EngineError::CredentialHelper { .. } => Some(
                "`credsStore` and `credHelpers` of Docker's config.json name the helpers; install \
                 it or remove the entry",
            ),
            EngineError::Pull { trouble, .. } => trouble.hint(),
            EngineError::NoSpace { .. } => Some("`docker system df` shows what takes the space"),
            EngineError::Refused { message, .. } if message.contains("to an HTTPS server") => {
                Some("the daemon talks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH")
            }
            _ => None,
        }
    }

    /// What the system said below this error, where that is not in its own words.
    pub fn cause(&self) -> Option<&str> {
        match self {
            EngineError::Unavailable { cause, .. } | EngineError::Died { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// What helps where nobody answers.
fn hint_at_absence(address: &str, cause: &str, kind: io::ErrorKind) -> &'static str {
    let is_socket = address.starts_with("unix:");
    match kind {
        io::ErrorKind::PermissionDenied => {
            "you may not use the socket: join the group that owns it (`sudo usermod -aG docker \
             $USER`, then log in again), or use a rootless engine"
        }
        io::ErrorKind::NotFound if is_socket => {
            "start Docker (Docker Desktop, or `sudo systemctl start docker`), or say where it is \
             by DOCKER_HOST or `docker context use NAME`"
        }
        io::ErrorKind::ConnectionRefused if is_socket => {
            "the socket is there but nobody listens: start the Docker daemon again"
        }
        io::ErrorKind::ConnectionRefused => {
            "the machine answers but no daemon does: check the port and that the daemon listens on it"
        }
        _ if address.starts_with("ssh:") => {
            "`ssh HOST docker version` must work without a password; check the host and your keys"
        }
        _ if cause.contains("certificate") => {
            "the certificates do not fit the daemon's: check DOCKER_CERT_PATH, or the context's"
        }
        _ => "check that the host is right and can be reached: `docker version` must work",
    }
}

/// An error and what it came from, once each.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    // Some repeat what is below them.
    texts.dedup_by(|text, above| above.ends_with(text.as_str()));
    texts.join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let below = |error: &&'a (dyn Error + 'static)| (*error).source();
    std::iter::successors(Some(error), below)
}

/// Why the connection was never made; `None` if it was. If not, nothing was asked, so nothing was
/// half done.
fn kind_of_refusal(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let systems = chain(error).filter_map(|error| error.downcast_ref::<io::Error>());
    let telling = systems.map(io::Error::kind).find(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
        )
    });
    // hyper's word for everything that happens before there is a connection.
    let unmade = || chain(error).any(|error| error.to_string().contains("client error (Connect)"));
    telling.or_else(|| unmade().then_some(io::ErrorKind::Other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_is_told_apart() {
        let of = |status, message: &str| EngineError::of_answer(status, message.to_owned());
        assert!(matches!(of(404, "No such image: a"), EngineError::NotFound { .. }));
        assert!(matches!(of(409, "name in use"), EngineError::Conflict { .. }));
        assert!(matches!(
            of(500, r#"Head "http://r/v2/": no basic auth credentials"#),
            EngineError::Unauthorised { .. }
        ));
        assert!(matches!(of(0, "write /x: no space left on device"), EngineError::NoSpace { .. }));
        assert!(matches!(of(500, "boom"), EngineError::Refused { status: 500, .. }));
    }
}
