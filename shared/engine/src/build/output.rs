//! What becomes of a build besides the image: BuildKit's `--output` as text, and where it goes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::context::normal;

/// Why an output cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It does not read as one.
    #[error("image.build.output `{spec}` is malformed: {why}")]
    Malformed {
        /// As it is written.
        spec: String,
        /// What is wrong.
        why: String,
    },
    /// There is no such type.
    #[error(
        "image.build.output has the type `{kind}`, which Loom does not know: it is one of `docker`, \
         `tar`, `local`, `oci`"
    )]
    UnknownType {
        /// The type.
        kind: String,
    },
    /// It does not say where to.
    #[error("image.build.output of type `{kind}` needs a `dest`")]
    NoDestination {
        /// The type.
        kind: &'static str,
    },
    /// A relative destination leads out of the workspace.
    #[error(
        "image.build.output goes to {}, which is not inside of the workspace {}; an absolute \
         `dest` may be anywhere",
        .path.display(),
        .workspace.display()
    )]
    Outside {
        /// Where it leads.
        path: PathBuf,
        /// The workspace.
        workspace: PathBuf,
    },
    /// The engine has no such exporter.
    #[error("image.build.output of type `{kind}` needs {needs}; this is {engine}")]
    Unsupported {
        /// The type.
        kind: &'static str,
        /// What it takes.
        needs: &'static str,
        /// What there is.
        engine: String,
    },
    /// It cannot be written.
    #[error("cannot write image.build.output to {}: {source}", .path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// The files of the last stage, as a tar archive.
    Tar,
    /// The files of the last stage, in a folder.
    Local,
    /// The image, as `docker save` writes it.
    Docker,
    /// The image, as an OCI layout in a tar archive.
    Oci,
}

impl OutputKind {
    /// Its name in a specification.
    pub fn word(self) -> &'static str {
        match self {
            OutputKind::Tar => "tar",
            OutputKind::Local => "local",
            OutputKind::Docker => "docker",
            OutputKind::Oci => "oci",
        }
    }
}

/// Something to write besides the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What.
    pub kind: OutputKind,
    /// Where to, absolute or relative to the workspace.
    pub dest: PathBuf,
}

impl Output {
    /// Reads a specification such as `type=docker,dest=/tmp/image.tar`; a bare path is a folder.
    /// `None`: the image is all there is to it (`type=docker` without `dest`, `type=image`).
    ///
    /// # Errors
    /// It is malformed, of an unknown type, or lacks its destination.
    pub fn parse(spec: &str) -> Result<Option<Self>, OutputError> {
        let malformed = |why: String| OutputError::Malformed { spec: spec.to_owned(), why };
        let fields = fields(spec).map_err(|why| malformed(why.to_owned()))?;
        if let [path] = fields.as_slice()
            && !path.contains('=')
        {
            let known = known(OutputKind::Local, Some(path))?;
            return Ok(Some(known));
        }
        let (mut kind, mut dest) = (None, None);
        for field in &fields {
            let Some((key, value)) = field.split_once('=') else {
                return Err(malformed(format!("`{field}` is not of the form `key=value`")));
            };
            match key.trim().to_lowercase().as_str() {
                "type" => kind = Some(value),
                "dest" => dest = Some(value).filter(|dest| !dest.is_empty()),
                key => {
                    let why = format!("Loom does not know `{key}`, only `type` and `dest`");
                    return Err(malformed(why));
                }
            }
        }
        match (kind, dest) {
            (Some("docker" | "image"), None) => Ok(None),
            (Some("docker"), dest) => known(OutputKind::Docker, dest).map(Some),
            (Some("tar"), dest) => known(OutputKind::Tar, dest).map(Some),
            (Some("local"), dest) => known(OutputKind::Local, dest).map(Some),
            (Some("oci"), dest) => known(OutputKind::Oci, dest).map(Some),
            (Some(kind), _) => Err(OutputError::UnknownType { kind: kind.to_owned() }),
            (None, _) => Err(malformed("it has no `type`".to_owned())),
        }
    }

    /// Where it goes, absolute, with the folders above it made.
    ///
    /// # Errors
    /// A relative destination leads out of the workspace, by `..` or by a link, or it cannot be
    /// there: the file is a folder, or the folder a file.
    pub fn place(&self, workspace: &Path) -> Result<PathBuf, OutputError> {
        let unwritable =
            |path: &Path, source| OutputError::Unwritable { path: path.to_owned(), source };
        let real = fs::canonicalize(workspace).map_err(|source| unwritable(workspace, source))?;
        let path = normal(&real.join(&self.dest));
        if self.dest.is_relative() {
            // A folder is written into; a file that is a link is replaced, not followed.
            let followed = match self.kind {
                OutputKind::Local => Some(path.as_path()),
                _ => path.parent(),
            };
            let inside = |path: PathBuf| match path.starts_with(&real) {
                true => Ok(()),
                false => Err(OutputError::Outside { path, workspace: real.clone() }),
            };
            inside(path.clone())?;
            inside(real_part(followed.unwrap_or(&path)))?;
        }
        let is_folder = fs::metadata(&path).ok().map(|metadata| metadata.is_dir());
        match (self.kind, is_folder) {
            (OutputKind::Local, Some(false)) => {
                return Err(unwritable(&path, io::ErrorKind::NotADirectory.into()));
            }
            (OutputKind::Local, _) | (_, None | Some(false)) => {}
            _ => return Err(unwritable(&path, io::ErrorKind::IsADirectory.into())),
        }
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(|source| unwritable(parent, source))?;
        Ok(path)
    }
}

fn known(kind: OutputKind, dest: Option<&str>) -> Result<Output, OutputError> {
    match dest {
        Some("-") => Err(OutputError::Malformed {
            spec: "-".to_owned(),
            why: "a run has no standard output for it, name a file or folder".to_owned(),
        }),
        Some(dest) if !dest.is_empty() => Ok(Output { kind, dest: PathBuf::from(dest) }),
        _ => Err(OutputError::NoDestination { kind: kind.word() }),
    }
}

/// The part of a path that exists, links resolved.
fn real_part(path: &Path) -> PathBuf {
    let mut all = path.ancestors();
    // A link that leads nowhere does not exist, and must not be written through.
    let found = all.find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(path);
    fs::canonicalize(found).or_else(|_| fs::read_link(found)).unwrap_or_else(|_| found.to_owned())
}

/// The fields of one line of comma-separated values.
fn fields(spec: &str) -> Result<Vec<String>, &'static str> {
    if spec.trim().is_empty() {
        return Err("it is empty");
    }
    if spec.contains(['\n', '\r', '\0']) {
        return Err("it is more than one line");
    }
    let mut fields = Vec::new();
    let mut rest = spec;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if field.contains('"') && !rest.starts_with('"') {
            return Err("a quote stands within a field");
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field after its opening quote, and what comes after the closing one.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('"') {
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((field, after)),
            None => return Err("something stands between a closing quote and the next comma"),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(spec: &str) -> (OutputKind, String) {
        let output = Output::parse(spec).unwrap().unwrap();
        (output.kind, output.dest.to_str().unwrap().to_owned())
    }

    #[test]
    fn specifications_are_read_as_buildkit_reads_them() {
        let of = |kind, dest: &str| (kind, dest.to_owned());
        assert_eq!(
            parsed("type=docker,dest=/tmp/image.tar"),
            of(OutputKind::Docker, "/tmp/image.tar")
        );
        assert_eq!(parsed("dest=out.tar,TYPE=tar"), of(OutputKind::Tar, "out.tar"));
        assert_eq!(parsed("type=oci,dest=a=b"), of(OutputKind::Oci, "a=b"));
        assert_eq!(parsed("out"), of(OutputKind::Local, "out"));
        assert_eq!(parsed("type=local,\"dest=a,\"\"b\"\"\""), of(OutputKind::Local, "a,\"b\""));
        assert_eq!(Output::parse("type=docker").unwrap(), None);
        assert_eq!(Output::parse("type=image").unwrap(), None);
    }

    #[test]
    fn what_is_no_specification_is_refused_in_words() {
        let cases = [
            ("", "it is empty"),
            ("dest=a", "it has no `type`"),
            ("type=tar,a", "`a` is not of the form `key=value`"),
            ("type=tar", "of type `tar` needs a `dest`"),
            ("type=local,dest=", "of type `local` needs a `dest`"),
            ("type=oci", "of type `oci` needs a `dest`"),
            ("type=zip,dest=a", "type `zip`, which Loom does not know"),
            ("type=registry", "type `registry`, which Loom does not know"),
            ("type=tar,dest=-", "no standard output"),
            ("-", "no standard output"),
            ("type=tar,dest=a,push=true", "does not know `push`"),
            ("type=tar,\"dest=a", "a quote is not closed"),
            ("type=tar,\"dest=a\"b", "between a closing quote"),
            ("type=tar,dest=\"a\"", "a quote stands within"),
            ("type=tar,", "`` is not of the form"),
            ("type=tar\ndest=a", "more than one line"),
        ];
        for (spec, expected) in cases {
            let error = Output::parse(spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{spec:?}: {error}");
        }
    }

    fn place(kind: OutputKind, dest: &str, workspace: &Path) -> Result<PathBuf, OutputError> {
        Output { kind, dest: dest.into() }.place(workspace)
    }

    #[test]
    fn a_relative_destination_stays_in_the_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let workspace = root.join("workspace");
        fs::create_dir_all(workspace.join("inside")).unwrap();
        std::os::unix::fs::symlink(&root, workspace.join("out")).unwrap();
        std::os::unix::fs::symlink(root.join("missing"), workspace.join("nowhere")).unwrap();
        std::os::unix::fs::symlink("inside", workspace.join("link")).unwrap();

        let good = place(OutputKind::Tar, "new/a/../b.tar", &workspace).unwrap();
        assert_eq!(good, workspace.join("new/b.tar"));
        assert!(workspace.join("new").is_dir());
        assert!(place(OutputKind::Local, "link/x", &workspace).is_ok());
        // A link is replaced by a file.
        assert!(place(OutputKind::Tar, "nowhere", &workspace).is_ok());
        for (kind, dest) in [
            (OutputKind::Tar, "../a.tar"),
            (OutputKind::Tar, "out/a.tar"),
            (OutputKind::Tar, "nowhere/a.tar"),
            (OutputKind::Local, "out"),
            (OutputKind::Local, "nowhere"),
        ] {
            let error = place(kind, dest, &workspace).unwrap_err();
            assert!(matches!(error, OutputError::Outside { .. }), "{dest}: {error}");
        }
        let absolute = root.join("anywhere/a.tar");
        assert_eq!(
            place(OutputKind::Docker, absolute.to_str().unwrap(), &workspace).unwrap(),
            absolute
        );
    }

    #[test]
    fn files_and_folders_do_not_take_each_others_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for (kind, dest) in
            [(OutputKind::Tar, "folder"), (OutputKind::Local, "file"), (OutputKind::Tar, ".")]
        {
            let error = place(kind, dest, folder.path()).unwrap_err();
            let is_expected =
                matches!(error, OutputError::Unwritable { .. } | OutputError::Outside { .. });
            assert!(is_expected, "{dest}: {error}");
        }
        assert!(place(OutputKind::Tar, "file", folder.path()).is_ok());
    }
}
