//! A repository of many files in every state a file can have.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Repo;

/// How many paths of each state [`big_repository`] makes.
pub const OF_EACH_STATE: usize = 50;

/// Fills `repo` with `files` tracked files in one commit, then brings [`OF_EACH_STATE`] paths each
/// into these states: dirty, staged, partially staged, deleted, removed from the index, renamed,
/// mode changed, turned into a symlink, intent-to-add, untracked, ignored.
///
/// The same call makes the same tree; untouched files were modified long ago, so that their index
/// entries are not racy.
pub fn big_repository(repo: &Repo<'_>, files: usize) {
    let all = write_files(repo, files);
    // Otherwise git starts to tidy up by itself, in the background.
    repo.git(["config", "gc.auto", "0"]);
    repo.commit("everything");
    repo.git(["gc", "--quiet"]);
    let mut groups = all.chunks(OF_EACH_STATE).step_by(7);
    let mut group = || groups.next().expect("there are enough files for all states").to_vec();
    let append = |path: &Path, text: &str| {
        let mut content = fs::read(path).expect("own file");
        content.extend_from_slice(text.as_bytes());
        fs::write(path, content).expect("own file");
    };
    group().iter().for_each(|path| append(path, "dirty\n"));
    let (staged, partial) = (group(), group());
    staged.iter().chain(&partial).for_each(|path| append(path, "staged\n"));
    git_paths(repo, &["add"], &[staged, partial.clone()].concat());
    partial.iter().for_each(|path| append(path, "and dirty\n"));
    group().iter().for_each(|path| fs::remove_file(path).expect("own file"));
    git_paths(repo, &["rm", "--quiet", "--cached"], &group());
    for path in group() {
        let new = path.with_extension("renamed");
        fs::rename(&path, &new).expect("own file");
        git_paths(repo, &["add", "--all"], &[path, new]);
    }
    for path in group() {
        let mode = fs::metadata(&path).expect("own file").permissions().mode();
        set_mode(&path, (mode & 0o777) ^ 0o111);
    }
    for path in group() {
        fs::remove_file(&path).expect("own file");
        symlink("../somewhere/else", &path).expect("own folder");
    }
    add_unknown(repo);
}

/// Files that no commit knows: intent-to-add, untracked, ignored.
fn add_unknown(repo: &Repo<'_>) {
    let mut intended = Vec::new();
    for number in 0..OF_EACH_STATE {
        let name = PathBuf::from(format!("new/intended-{number}"));
        repo.write(&name, format!("intended {number}\n"));
        intended.push(repo.path(name));
        repo.write(format!("new/deep/{number}/untracked"), format!("untracked {number}\n"));
        repo.write(format!("new/deep/{number}/ignored.o"), "ignored\n");
        let strange = [b"new/\xff\n\t\"-".as_slice(), number.to_string().as_bytes()].concat();
        repo.write(OsStr::from_bytes(&strange), "a name that is not UTF-8\n");
    }
    git_paths(repo, &["add", "--intent-to-add"], &intended);
}

fn write_files(repo: &Repo<'_>, files: usize) -> Vec<PathBuf> {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    repo.write(".gitignore", "*.o\n");
    let mut all = Vec::with_capacity(files);
    for number in 0..files {
        let path =
            repo.path(format!("part-{}/unit-{}/file-{number}.txt", number % 12, number % 1200));
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("own folder");
        let length = 100 + number * 7919 % 6000;
        let line = format!("line of file {number}\n");
        let content: String = line.chars().cycle().take(length).collect();
        fs::write(&path, content).expect("own folder");
        set_mode(&path, if number % 10 == 3 { 0o755 } else { 0o644 });
        File::options()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_modified(old))
            .expect("own file");
        all.push(path);
    }
    all
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("own file");
}

fn git_paths(repo: &Repo<'_>, arguments: &[&str], paths: &[PathBuf]) {
    let output = repo.program("git").args(arguments).arg("--").args(paths).output();
    let output = output.expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} failed:\n{said}");
}
