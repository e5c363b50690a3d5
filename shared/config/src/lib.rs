//! Configuration files: where they lie, which key they may hold, what the values are.
//!
//! A repository's `.loom/config.yml` stands above the user's `~/.config/loom/config.yml`, key by
//! key; environment variables and options stand above both and are their readers' business. A file
//! that does not exist is a layer that says nothing. A key that no command knows is an error,
//! because a setting with a typing error that is silently without effect is worse.

#![warn(missing_docs)]

mod keys;
mod settings;
mod yaml;

use std::path::{Path, PathBuf};

use libloom_contract::layout;

pub use settings::Settings;
pub use yaml::{Node, Value};

/// The configuration files, the stronger first: of the repository at `root`, of the user whose
/// configuration lies in `config_home` (`~/.config`).
pub fn files(root: Option<&Path>, config_home: Option<&Path>) -> Vec<PathBuf> {
    let of_repository = root.map(|root| root.join(layout::CONFIG));
    let of_user = config_home.map(|home| home.join("loom/config.yml"));
    of_repository.into_iter().chain(of_user).collect()
}

/// What `file` holds; `None` if it does not exist or is empty.
///
/// # Errors
/// It cannot be read or is no YAML.
pub fn document(file: &Path) -> Result<Option<Node>, ConfigError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(source) => return Err(ConfigError::Read { file: file.to_owned(), source }),
    };
    yaml::document(&text).map_err(|reason| ConfigError::Syntax { file: file.to_owned(), reason })
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system does not let us read it.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no YAML that Loom reads.
    #[error("cannot read `{}`: {reason}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// A key or a value is wrong.
    #[error("cannot use `{key}` in `{}`, line {line}: {reason}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// The key with those above it, such as `snapshot.dir`.
        key: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
}
