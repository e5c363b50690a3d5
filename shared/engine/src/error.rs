//! What can go wrong between us and an engine, told apart by what a user can do about it.

use std::{error::Error, io};

use bollard::errors::Error as ApiError;

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
            ApiError::RequestTimeoutError => EngineError::Timeout { what: what.into() },
            ApiError::SocketNotFoundError(path) => {
                EngineError::Unavailable { address: address.into(), cause: format!("no socket at {path}") }
            }
            error => {
                let cause = causes(&error);
                match is_about_connecting(&error) {
                    true => EngineError::Unavailable { address: address.into(), cause },
                    false => {
                        EngineError::Died { address: address.into(), what: what.into(), cause }
                    }
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
            || says(&["unauthorized", "no basic auth credentials", "pull access denied", "access forbidden"])
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
            EngineError::Unavailable { .. } | EngineError::Died { .. } | EngineError::Timeout { .. }
        )
    }

    /// What the system said below this error, where that is not in its own words.
    pub fn cause(&self) -> Option<&str> {
        match self {
            EngineError::Unavailable { cause, .. } | EngineError::Died { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// An error and what it came from, once each.
fn causes(error: &(dyn Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = all.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// Whether the connection was never made: nothing was asked, so nothing was half done.
fn is_about_connecting(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let refused = error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
            )
        });
        refused || error.to_string().contains("client error (Connect)")
    })
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
