//! The settings that commands read, united from the layers.

use std::path::{Path, PathBuf};

use libloom_contract::quantity::size_bytes;

use crate::{ConfigError, Node, Value, document, keys};

/// What the configuration files say; `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `snapshot.dir`: the folder in which workspaces are made. A relative one is relative to the
    /// folder of the file; `~/` is the user's home.
    pub snapshot_dir: Option<PathBuf>,
    /// `runtime.output.maxBytes`: most bytes of output that are recorded of a job.
    pub output_max_bytes: Option<u64>,
    /// `runtime.docker.workspaceMount`, as written.
    pub docker_workspace_mount: Option<String>,
    /// `runtime.docker.workspaceSync`, as written.
    pub docker_workspace_sync: Option<String>,
}

impl Settings {
    /// Reads `files`, the stronger first (see [`crate::files`]); `home` is what `~` stands for.
    ///
    /// # Errors
    /// A file cannot be read, or holds a key or a value that it may not.
    pub fn read(files: &[PathBuf], home: Option<&Path>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for file in files {
            let of_file = Self::of_file(file, home)?;
            settings.snapshot_dir = settings.snapshot_dir.or(of_file.snapshot_dir);
            settings.output_max_bytes = settings.output_max_bytes.or(of_file.output_max_bytes);
            settings.docker_workspace_mount =
                settings.docker_workspace_mount.or(of_file.docker_workspace_mount);
            settings.docker_workspace_sync =
                settings.docker_workspace_sync.or(of_file.docker_workspace_sync);
        }
        Ok(settings)
    }

    fn of_file(file: &Path, home: Option<&Path>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        let Some(node) = document(file)? else { return Ok(settings) };
        let wrong = |line, key: String, reason: String| ConfigError::Key {
            file: file.to_owned(),
            line,
            key,
            reason,
        };
        let values = keys::values(&node).map_err(|w| wrong(w.line, w.key, w.reason))?;
        for (key, node) in values {
            let result = match key.as_str() {
                "snapshot.dir" => {
                    folder(node, file, home).map(|dir| settings.snapshot_dir = Some(dir))
                }
                "runtime.output.maxBytes" => {
                    bytes(node).map(|bytes| settings.output_max_bytes = Some(bytes))
                }
                "runtime.docker.workspaceMount" => {
                    word(node).map(|text| settings.docker_workspace_mount = Some(text))
                }
                "runtime.docker.workspaceSync" => {
                    word(node).map(|text| settings.docker_workspace_sync = Some(text))
                }
                _ => Ok(()),
            };
            result.map_err(|reason| wrong(node.line, key, reason))?;
        }
        Ok(settings)
    }
}

fn folder(node: &Node, file: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    let text = match &node.value {
        // A tilde alone is how YAML writes nothing.
        Value::Scalar(text) if !matches!(text.as_str(), "" | "~" | "null") => text,
        _ => return Err("expected the path of a folder".to_owned()),
    };
    if let Some(below) = text.strip_prefix("~/") {
        return Ok(home.ok_or("`~` stands for HOME, which is not set")?.join(below));
    }
    Ok(file.parent().unwrap_or(Path::new("/")).join(text))
}

fn word(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Scalar(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err("expected a word".to_owned()),
    }
}

fn bytes(node: &Node) -> Result<u64, String> {
    let size = match &node.value {
        Value::Scalar(text) => size_bytes(text),
        _ => None,
    };
    size.ok_or_else(|| "expected a size such as 1048576, 500M or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Settings, String> {
        let temp = tempfile::tempdir().unwrap();
        let write = |(at, text): (usize, &&str)| {
            let file = temp.path().join(format!("{at}.yml"));
            std::fs::write(&file, text).unwrap();
            file
        };
        let mut files: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
        files.push(temp.path().join("absent.yml"));
        let folder = temp.path().display().to_string();
        let settings = Settings::read(&files, Some(Path::new("/home/me")));
        let relative =
            |path: PathBuf| path.strip_prefix(&folder).map(Path::to_owned).unwrap_or(path);
        settings
            .map(|s| Settings { snapshot_dir: s.snapshot_dir.map(relative), ..s })
            .map_err(|error| error.to_string().replace(&folder, ""))
    }

    #[test]
    fn the_stronger_file_wins_key_by_key() {
        let strong = "snapshot: {dir: cache/work}\n";
        let weak = "snapshot:\n  dir: ~/elsewhere\nruntime:\n  output:\n    maxBytes: 5M\n";
        let settings = read(&[strong, weak]).unwrap();
        assert_eq!(settings.snapshot_dir, Some("cache/work".into()), "relative to the file");
        assert_eq!(settings.output_max_bytes, Some(5 << 20));
        assert_eq!(read(&[weak]).unwrap().snapshot_dir, Some("/home/me/elsewhere".into()));
        assert_eq!(read(&["", "# nothing\n"]).unwrap(), Settings::default());
    }

    #[test]
    fn wrong_values_name_file_line_and_key() {
        for (text, expected) in [
            (
                "snapshot: {dir: }\n",
                "cannot use `snapshot.dir` in `/0.yml`, line 1: expected the path",
            ),
            ("runtime:\n  output:\n    maxBytes: many\n", "line 3: expected a size"),
            ("runtime: {output: {maxBytes: -1}}\n", "expected a size"),
            ("snapshot: {dri: x}\n", "did you mean `dir`?"),
            ("snapshot: {dir: x\n", "cannot read `/0.yml`: "),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
