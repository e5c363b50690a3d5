//! The snapshot's `.git/config`: built, not copied.
//!
//! Kept is what decides how git reads the work tree and history; what starts programs by itself
//! or carries a secret is not. Settings of the user and the system stay where they are, except
//! those that only a condition (`includeIf`) brought in: in the snapshot it might not hold.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libloom_entry::{Environment, Failure};

use crate::config_file;
use crate::git::pieces;
use crate::repository::Repository;

/// Sections of which everything is kept that `is_dropped` does not name.
const SECTIONS: [&str; 14] = [
    "attr",
    "author",
    "branch",
    "committer",
    "diff",
    "filter",
    "i18n",
    "index",
    "lfs",
    "merge",
    "status",
    "submodule",
    "user",
    "versionsort",
];

const CORE: [&str; 22] = [
    "abbrev",
    "attributesfile",
    "autocrlf",
    "bigfilethreshold",
    "checkroundtripencoding",
    "checkstat",
    "commentchar",
    "eol",
    "excludesfile",
    "filemode",
    "ignorecase",
    "ignorestat",
    "precomposeunicode",
    "protecthfs",
    "protectntfs",
    "quotepath",
    "safecrlf",
    "sparsecheckout",
    "sparsecheckoutcone",
    "symlinks",
    "trustctime",
    "whitespace",
];

const EXTENSIONS: [&str; 2] = ["objectformat", "partialclone"];

const REMOTE: [&str; 7] =
    ["fetch", "mirror", "partialclonefilter", "promisor", "prune", "tagopt", "url"];

/// One setting, as `git config --list -z` prints it.
struct Setting<'a> {
    section: &'a [u8],
    subsection: Option<&'a [u8]>,
    name: &'a [u8],
    /// Absent for a bare name, which means true.
    value: Option<&'a [u8]>,
}

/// The settings as `git config --list` prints them for [`build`]; git is asked only where the
/// repository's file is not plain.
pub(crate) fn listing(repository: &Repository, env: &Environment) -> Result<Vec<u8>, Failure> {
    // A condition in the user's file may bring in settings.
    let is_plain = !user_files(env).iter().any(|file| may_include(file));
    let plain = || config_file::listing(&fs::read(repository.common_dir.join("config")).ok()?);
    if let Some(listing) = is_plain.then(plain).flatten() {
        return Ok(listing);
    }
    repository.git.run(&["config", "--list", "-z", "--show-scope", "--show-origin"])
}

fn may_include(file: &Path) -> bool {
    match fs::read(file) {
        Ok(bytes) => bytes.to_ascii_lowercase().windows(7).any(|word| word == b"include"),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// The text of the snapshot's configuration.
pub(crate) fn build(listing: &[u8], env: &Environment) -> Vec<u8> {
    let mut body = Vec::new();
    let mut has_extension = false;
    let mut parts = pieces(listing);
    while let (Some(scope), Some(origin), Some(text)) = (parts.next(), parts.next(), parts.next()) {
        let Some(setting) = Setting::parse(text) else { continue };
        if is_ours(scope, origin, env) && setting.is_kept() {
            has_extension |= setting.section == b"extensions";
            setting.write(&mut body);
        }
    }
    let version = u8::from(has_extension);
    let head = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tbare = false\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    );
    [head.as_bytes(), &body].concat()
}

/// Whether a setting is the repository's own, or reached it by a condition.
fn is_ours(scope: &[u8], origin: &[u8], env: &Environment) -> bool {
    match scope {
        b"local" | b"worktree" => true,
        b"global" => !user_files(env)
            .iter()
            .any(|file| origin.strip_prefix(b"file:") == Some(file.as_os_str().as_bytes())),
        _ => false,
    }
}

/// The user's own configuration files, as git names them.
fn user_files(env: &Environment) -> Vec<PathBuf> {
    let home = env.home().map(|home| home.join(".gitconfig"));
    let xdg = env.config_home().map(|folder| folder.join("git/config"));
    let set = env.get_non_empty("GIT_CONFIG_GLOBAL").map(PathBuf::from);
    [home, xdg, set].into_iter().flatten().collect()
}

impl<'a> Setting<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'\n');
        // A subsection cannot hold a line break, so the first one ends the key.
        let (key, value) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        let first = key.iter().position(|byte| *byte == b'.')?;
        let last = key.iter().rposition(|byte| *byte == b'.')?;
        let subsection = (first != last).then(|| &key[first + 1..last]);
        Some(Self { section: &key[..first], subsection, name: &key[last + 1..], value })
    }

    fn is_kept(&self) -> bool {
        let one_of = |names: &[&str]| names.iter().any(|name| name.as_bytes() == self.name);
        match self.section {
            b"core" => one_of(&CORE),
            b"extensions" => one_of(&EXTENSIONS),
            b"remote" => one_of(&REMOTE),
            section => SECTIONS.iter().any(|kept| kept.as_bytes() == section) && !self.is_dropped(),
        }
    }

    /// What starts a program by itself, in a section that is kept otherwise.
    fn is_dropped(&self) -> bool {
        let is_command = self.value.is_some_and(|value| value.starts_with(b"!"));
        match (self.section, self.name) {
            (b"diff", b"external") | (b"index", b"skiphash") => true,
            (b"submodule", b"update") => is_command,
            (b"lfs", _) => self.subsection.is_some_and(|sub| sub.starts_with(b"customtransfer")),
            _ => false,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(self.section);
        if let Some(subsection) = self.subsection {
            out.extend_from_slice(b" \"");
            quote(out, subsection);
            out.push(b'"');
        }
        out.extend_from_slice(b"]\n\t");
        out.extend_from_slice(self.name);
        if let Some(value) = self.value {
            out.extend_from_slice(b" = \"");
            quote(out, &without_credentials(value));
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(*byte),
        }
    }
}

/// A URL without password, and without user where that may be a token; anything else unchanged.
fn without_credentials(value: &[u8]) -> Vec<u8> {
    let Some(scheme_end) = value.windows(3).position(|three| three == b"://") else {
        return value.to_vec();
    };
    let (scheme, rest) = value.split_at(scheme_end + 3);
    let host_end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let Some(at) = rest[..host_end].iter().rposition(|byte| *byte == b'@') else {
        return value.to_vec();
    };
    let user = rest[..at].split(|byte| *byte == b':').next().unwrap_or_default();
    if scheme.ends_with(b"ssh://") {
        return [scheme, user, &rest[at..]].concat();
    }
    [scheme, &rest[at + 1..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(settings: &[(&str, &str)]) -> String {
        let listing: String = settings
            .iter()
            .map(|(scope, text)| format!("{scope}\0file:.git/config\0{text}\0"))
            .collect();
        String::from_utf8(build(listing.as_bytes(), &Environment::default())).unwrap()
    }

    #[test]
    fn programs_secrets_and_credentials_stay_out() {
        let text = built(&[
            ("local", "core.fsmonitor\n/bin/evil"),
            ("local", "core.hookspath\n/hooks"),
            ("local", "http.https://x.extraheader\nAuthorization: secret"),
            ("local", "credential.helper\nstore"),
            ("local", "alias.x\n!sh"),
            ("local", "remote.origin.pushurl\nhttps://a:secret@b"),
            ("local", "remote.origin.url\nhttps://a:secret@host/p@th"),
            ("local", "submodule.s.update\n!evil"),
            ("system", "core.autocrlf\ntrue"),
        ]);
        for word in ["evil", "hooks", "secret", "store", "alias", "autocrlf"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert!(text.contains("url = \"https://host/p@th\""), "{text}");
    }

    #[test]
    fn what_decides_how_files_are_read_stays() {
        let text = built(&[
            ("local", "core.filemode\nfalse"),
            ("worktree", "core.sparsecheckout\ntrue"),
            ("local", "extensions.objectformat\nsha256"),
            ("local", "filter.a.b\"c.clean\nsed 's/\\t/x/'\nmore"),
            ("local", "diff.x.binary"),
        ]);
        assert!(text.contains("repositoryformatversion = 1"));
        assert!(
            text.contains("filemode = \"false\"") && text.contains("sparsecheckout = \"true\"")
        );
        assert!(
            text.contains("[filter \"a.b\\\"c\"]\n\tclean = \"sed 's/\\\\t/x/'\\nmore\""),
            "{text}"
        );
        assert!(text.contains("[diff \"x\"]\n\tbinary\n"));
    }
}
