//! From references to secret values, and the files that hold values while a job needs them.
//!
//! A value lives in memory and in the job's own folder ([`files`]), nowhere else; no error and no
//! `Debug` text holds one.

pub mod files;

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use libloom_contract::graph;

/// Why a secret cannot be used (reference §10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The backend is not there, or there is none for the scheme.
    ProviderUnavailable,
    /// The reference is malformed.
    RefInvalid,
    /// A required secret has no value.
    RequiredMissing,
    /// Tracing would print the value of a variable.
    UnsafeDebugTrace,
}

impl Code {
    /// As it stands in documents and on screen.
    pub fn word(self) -> &'static str {
        match self {
            Code::ProviderUnavailable => "SECRETS_PROVIDER_UNAVAILABLE",
            Code::RefInvalid => "SECRETS_REF_INVALID",
            Code::RequiredMissing => "SECRETS_REQUIRED_MISSING",
            Code::UnsafeDebugTrace => "SECRETS_UNSAFE_DEBUG_TRACE",
        }
    }
}

/// A secret that cannot be used, without anything that must stay hidden.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: secret `{name}`: {message}", code.word())]
pub struct SecretError {
    /// Why.
    pub code: Code,
    /// The variable that would have got the value.
    pub name: String,
    /// Scheme of the reference.
    pub scheme: String,
    /// The same for people, and how to mend it.
    pub message: String,
}

/// A resolved secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The variable that gets it.
    pub name: String,
    /// `true`: the variable holds the path of a file with the value.
    pub file: bool,
    /// The value.
    pub value: OsString,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the references of one job came to.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Values, in the order of their names.
    pub values: Vec<Value>,
    /// Secrets that the job can do without, and must.
    pub left_out: Vec<SecretError>,
    /// Secrets that the job cannot do without.
    pub missing: Vec<SecretError>,
}

/// Looks up the secrets of one job; `environment` is that of this process.
pub fn resolve(
    secrets: &[graph::Secret],
    environment: impl Fn(&str) -> Option<OsString>,
) -> Resolved {
    let mut resolved = Resolved::default();
    for secret in secrets {
        match look_up(secret, &environment) {
            Ok(value) => {
                let (name, file) = (secret.name.clone(), secret.file);
                resolved.values.push(Value { name, file, value });
            }
            Err(error) if secret.required || error.code == Code::RefInvalid => {
                resolved.missing.push(error);
            }
            Err(error) => resolved.left_out.push(error),
        }
    }
    resolved
}

fn look_up(
    secret: &graph::Secret,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<OsString, SecretError> {
    let Some((scheme, path)) = secret.reference.split_once("://") else {
        return Err(error(secret, Code::RefInvalid, "the reference has no scheme"));
    };
    match scheme {
        "env" => match environment(path) {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => Err(error(secret, Code::RequiredMissing, missing(path, "is empty"))),
            None => Err(error(secret, Code::RequiredMissing, missing(path, "is not set"))),
        },
        "keepass" | "op" => {
            let text = format!("this version of loom cannot read `{scheme}://` references");
            Err(error(secret, Code::ProviderUnavailable, text))
        }
        _ => Err(error(secret, Code::RefInvalid, format!("there is no scheme `{scheme}`"))),
    }
}

fn missing(variable: &str, how: &str) -> String {
    format!("the environment variable `{variable}` {how}; set it where loom is started")
}

fn error(secret: &graph::Secret, code: Code, message: impl Into<String>) -> SecretError {
    let scheme = secret.reference.split("://").next().unwrap_or_default().to_owned();
    SecretError { code, name: secret.name.clone(), scheme, message: message.into() }
}

/// Tracing a job prints its commands with all variables in place, so that a value in a variable
/// would be shown: the first such secret, if any.
pub fn unsafe_to_trace(secrets: &[graph::Secret]) -> Option<SecretError> {
    let secret = secrets.iter().find(|secret| !secret.file)?;
    let text = "tracing (LOOM_DEBUG_TRACE, CI_DEBUG_TRACE) would print its value; turn tracing \
                off, or use `file: true`";
    Some(error(secret, Code::UnsafeDebugTrace, text))
}

/// Bytes of a value.
pub fn bytes(value: &OsStr) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, reference: &str, required: bool) -> graph::Secret {
        graph::Secret {
            name: name.into(),
            reference: reference.into(),
            file: true,
            required,
            position: None,
        }
    }

    #[test]
    fn what_is_not_there_is_missing_or_left_out() {
        let secrets = [
            secret("A", "env://SET", true),
            secret("B", "env://UNSET", true),
            secret("C", "env://UNSET", false),
            secret("D", "env://EMPTY", true),
            secret("E", "op://vault/item/field", false),
            secret("F", "keepass://db#entry:password", true),
            secret("G", "nonsense", false),
        ];
        let resolved = resolve(&secrets, |name| match name {
            "SET" => Some("s3cret".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        });
        let value = Value { name: "A".into(), file: true, value: "s3cret".into() };
        assert_eq!(resolved.values, std::slice::from_ref(&value));
        assert!(!format!("{value:?}").contains("s3cret"));
        let words = |errors: &[SecretError]| -> Vec<String> {
            errors.iter().map(|e| format!("{} {}", e.name, e.code.word())).collect()
        };
        assert_eq!(
            words(&resolved.missing),
            [
                "B SECRETS_REQUIRED_MISSING",
                "D SECRETS_REQUIRED_MISSING",
                "F SECRETS_PROVIDER_UNAVAILABLE",
                "G SECRETS_REF_INVALID",
            ]
        );
        assert_eq!(
            words(&resolved.left_out),
            ["C SECRETS_REQUIRED_MISSING", "E SECRETS_PROVIDER_UNAVAILABLE"]
        );
        assert_eq!(
            resolved.missing[0].to_string(),
            "SECRETS_REQUIRED_MISSING: secret `B`: the environment variable `UNSET` is not set; \
             set it where loom is started"
        );
    }

    #[test]
    fn only_values_in_variables_forbid_tracing() {
        let file = secret("A", "env://A", true);
        assert_eq!(unsafe_to_trace(std::slice::from_ref(&file)), None);
        let error = unsafe_to_trace(&[file.clone(), graph::Secret { file: false, ..file }]);
        assert_eq!(error.map(|error| error.code), Some(Code::UnsafeDebugTrace));
    }
}
