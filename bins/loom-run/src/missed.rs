//! Files that a failed job asked for and that are only in the checkout, because git ignores them:
//! the most common surprise of a workspace without ignored files.
//!
//! Only what the failing step's last lines mention counts, only where it is in the checkout and
//! not in the workspace, and only where git itself says that it ignores it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use libloom_console::{printable, shown_line};
use libloom_variables::GIT_LOCATION;

use crate::steps::FailingStep;

/// Paths that are looked into; a test report can mention thousands.
const PATHS_MAX: usize = 2000;
/// Paths that are named.
const NAMED_MAX: usize = 3;
/// Characters that stand around a path or between paths in messages of programs.
const AROUND: &[char] =
    &['\'', '"', '`', '‘', '’', '“', '”', '(', ')', '[', ']', '{', '}', '<', '>', ',', ';', '|'];
/// Words by which a program says that there is no such file; a bare word beside them is a name.
const ABSENCE: [&str; 6] =
    ["no such file", "does not exist", "cannot open", "can't open", "enoent", "cannot access"];

/// What to do about ignored files that `step` missed; `None`: it mentions none.
pub fn hint(step: &FailingStep, checkout: &Path, workspace: &Path) -> Option<String> {
    if checkout == workspace {
        return None;
    }
    let missing = |path: &PathBuf| {
        checkout.join(path).symlink_metadata().is_ok()
            && workspace.join(path).symlink_metadata().is_err()
    };
    let found: BTreeSet<PathBuf> =
        mentioned(step, &[checkout, workspace]).into_iter().filter(missing).collect();
    let ignored = ignored(checkout, &found);
    if ignored.is_empty() {
        return None;
    }
    Some(words(&ignored, checkout))
}

/// Relative paths that the step's last lines may mean.
fn mentioned(step: &FailingStep, roots: &[&Path]) -> Vec<PathBuf> {
    let commands = step.earlier.iter().chain([&step.command]);
    let folders: Vec<PathBuf> =
        [PathBuf::new()].into_iter().chain(commands.flat_map(|c| entered(c))).collect();
    let mut found = Vec::new();
    for line in &step.tail {
        let line = shown_line(line, false);
        let lower = line.to_lowercase();
        let says_absent = ABSENCE.iter().any(|words| lower.contains(words));
        for name in names(&line) {
            if !says_absent && !name.contains(['/', '.']) {
                continue;
            }
            found.extend(folders.iter().filter_map(|folder| inside(folder, name, roots)));
            if found.len() >= PATHS_MAX {
                return found;
            }
        }
    }
    found
}

/// Folders that a script entry goes to, as it writes them.
fn entered(command: &str) -> Vec<PathBuf> {
    let words: Vec<&str> = command.split([' ', '\t', ';', '&', '(', ')']).collect();
    let targets = words.windows(2).filter(|pair| pair[0] == "cd").map(|pair| pair[1]);
    targets.filter(|target| !target.contains(['$', '`', '~'])).map(PathBuf::from).collect()
}

/// Words of a line that may be names of files: as they stand, and without what programs put
/// around and behind them (quotes, `:12:3`, `--option=`).
fn names(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in line.split(|c: char| c.is_whitespace() || AROUND.contains(&c)) {
        let parts = word.split([':', '=']).chain([word]);
        let parts = parts.map(|part| part.trim_end_matches(['.', ':', '!', '?']));
        found.extend(parts.filter(|part| !part.is_empty()));
    }
    // A quoted name may have blanks in it.
    for quote in ['\'', '"', '`'] {
        found.extend(line.split(quote).skip(1).step_by(2).filter(|name| name.contains(' ')));
    }
    found
}

/// `name` as written in `folder`, relative to the top; `None` where it leads out of all `roots`.
fn inside(folder: &Path, name: &str, roots: &[&Path]) -> Option<PathBuf> {
    let path = Path::new(name);
    let relative = match path.is_absolute() {
        true => roots.iter().find_map(|root| path.strip_prefix(root).ok())?.to_owned(),
        false => folder.join(path),
    };
    let mut normal = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            _ => return None,
        }
    }
    let first = normal.components().next()?;
    (first.as_os_str() != ".git").then_some(normal)
}

/// Of `paths`, or of the folders they lie in, the outermost that git ignores.
fn ignored(checkout: &Path, paths: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let all: BTreeSet<&Path> = paths.iter().flat_map(|path| with_parents(path)).collect();
    // A path that git refuses (in a submodule, behind a symlink) must not hide the others.
    let answers = check_ignore(checkout, &all).unwrap_or_else(|| {
        let one_by_one = all.iter().take(16).map(|path| BTreeSet::from([*path]));
        one_by_one.filter_map(|path| check_ignore(checkout, &path)).flatten().collect()
    });
    let outermost = paths.iter().filter_map(|path| {
        let mut parts = with_parents(path);
        parts.find(|part| answers.contains(*part)).map(Path::to_owned)
    });
    outermost.collect()
}

/// The folders that `path` lies in, the outermost first, and `path`.
fn with_parents(path: &Path) -> impl Iterator<Item = &Path> {
    let mut parts: Vec<&Path> =
        path.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
    parts.reverse();
    parts.into_iter()
}

/// What git ignores of `paths`, tracked files apart; `None`: it does not say.
fn check_ignore(checkout: &Path, paths: &BTreeSet<&Path>) -> Option<BTreeSet<PathBuf>> {
    if paths.is_empty() {
        return Some(BTreeSet::new());
    }
    let mut git = Command::new("git");
    git.arg("-C").arg(checkout).args(["check-ignore", "-z", "--stdin"]);
    GIT_LOCATION.iter().for_each(|name| {
        git.env_remove(name);
    });
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = git.spawn().ok()?;
    let mut asked = Vec::new();
    for path in paths {
        asked.extend_from_slice(path.as_os_str().as_bytes());
        asked.push(0);
    }
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(&asked));
    let output = child.wait_with_output().ok()?;
    // 0: some are ignored, 1: none is.
    if !matches!(output.status.code(), Some(0 | 1)) || !matches!(written, Some(Ok(()))) {
        return None;
    }
    let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Some(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
}

fn words(ignored: &BTreeSet<PathBuf>, checkout: &Path) -> String {
    let named: Vec<&PathBuf> = ignored.iter().take(NAMED_MAX).collect();
    let quoted = |path: &Path| format!("`{}`", printable(&path.to_string_lossy()));
    let mut list: String = named.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(", ");
    if ignored.len() > named.len() {
        list.push_str(&format!(" and {} more", ignored.len() - named.len()));
    }
    let them = if ignored.len() == 1 { "it" } else { "them" };
    let globs: Vec<String> = named
        .iter()
        .map(|path| {
            let inside = if checkout.join(path).is_dir() { "/**" } else { "" };
            format!("--include-ignored '{}{inside}'", printable(&path.to_string_lossy()))
        })
        .collect();
    let env_file = named.iter().find(|path| is_env_file(path)).map(|path| {
        format!("; `--env-file {}` passes its variables", printable(&path.to_string_lossy()))
    });
    format!(
        "the job missed {list}: git ignores {them}, so the workspace has no copy. \
         `loom run {}` copies {them}{}",
        globs.join(" "),
        env_file.unwrap_or_default()
    )
}

/// `.env`, `.env.local`, `test.env`.
fn is_env_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == ".env" || name.starts_with(".env.") || name.ends_with(".env")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        checkout: PathBuf,
        workspace: PathBuf,
    }

    /// A checkout whose ignored files the workspace does not have.
    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let [checkout, workspace] = ["checkout", "workspace"].map(|name| folder.path().join(name));
        for path in ["web/src", "node_modules/.bin", "build", "deep/er"] {
            fs::create_dir_all(checkout.join(path)).unwrap();
        }
        fs::create_dir_all(workspace.join("made")).unwrap();
        for (path, text) in [
            (".gitignore", "*.env\n.env\nnode_modules/\nbuild/\nlocal.yml\nsecrets\nmade/\n"),
            (".env", "A=1"),
            ("node_modules/.bin/tool", ""),
            ("build/out.js", ""),
            ("web/local.yml", ""),
            ("secrets", ""),
            ("my file.env", ""),
            ("kept.txt", ""),
            ("made", ""),
        ] {
            fs::write(checkout.join(path), text).unwrap();
        }
        let git = Command::new("git").args(["init", "-q"]).arg(&checkout).status().unwrap();
        assert!(git.success());
        Place { _folder: folder, checkout, workspace }
    }

    fn hint_for(place: &Place, earlier: &[&str], line: &str) -> Option<String> {
        let step = FailingStep {
            step: "script/02".into(),
            command: "make".into(),
            earlier: earlier.iter().map(ToString::to_string).collect(),
            position: None,
            events_path: String::new(),
            lines: 1,
            tail: vec![line.as_bytes().to_vec()],
        };
        hint(&step, &place.checkout, &place.workspace)
    }

    #[test]
    fn an_ignored_file_that_the_output_mentions_is_named_with_the_mend() {
        let place = place();
        let in_workspace = format!("open {}/.env: boom", place.workspace.display());
        for (line, glob) in [
            ("cat: .env: No such file or directory", "'.env'"),
            (in_workspace.as_str(), "'.env'"),
            ("Error: ENOENT: no such file or directory, open './.env'", "'.env'"),
            ("\x1b[31mcannot read \"my file.env\"\x1b[0m", "'my file.env'"),
            ("sh: 1: node_modules/.bin/tool: not found", "'node_modules/**'"),
            ("--config=build/out.js:12:7: bad", "'build/**'"),
            ("sh: 1: cannot open secrets: No such file", "'secrets'"),
        ] {
            let hint = hint_for(&place, &[], line).unwrap_or_else(|| panic!("{line}"));
            assert!(hint.contains(&format!("--include-ignored {glob}")), "{line}: {hint}");
        }
        let hint = hint_for(&place, &[], "no .env here").unwrap();
        assert!(hint.contains("`--env-file .env`"), "{hint}");
        let hint = hint_for(&place, &["cd web && make"], "local.yml: not found").unwrap();
        assert!(hint.contains("'web/local.yml'"), "{hint}");
    }

    #[test]
    fn nothing_else_is_taken_for_a_missed_file() {
        let place = place();
        fs::write(place.workspace.join("kept.env"), "").unwrap();
        fs::write(place.checkout.join("kept.env"), "").unwrap();
        for line in [
            "error: build failed",
            "secrets: not a word about files",
            "kept.txt: not ignored",
            "kept.env: in the workspace too",
            "made is in both: no such file",
            "../.env and /etc/passwd and ~/.env.x",
            "other.env: no such file",
            "local.yml is in a folder that the job did not enter",
            "",
        ] {
            assert_eq!(hint_for(&place, &[], line), None, "{line}");
        }
        // A tracked file is not ignored, whatever the rules say.
        let git = |arguments: &[&str]| {
            let git = Command::new("git").arg("-C").arg(&place.checkout).args(arguments).status();
            assert!(git.unwrap().success());
        };
        git(&["add", "-f", ".env"]);
        assert_eq!(hint_for(&place, &[], "cat: .env: No such file or directory"), None);
    }
}
