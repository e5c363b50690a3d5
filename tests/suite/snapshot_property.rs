//! Random sequences of file and git operations; after each few the snapshot must be the same.
//!
//! What is compared is what git says of both (index, status, paths) and what the file system says
//! of every path. A failure names its seed; `SEEDS` of that seed alone runs it again.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use libloom_testkit::{Repo, Sandbox, assert_same_list};

use crate::snapshot::snapshot;

/// One repository each.
const SEEDS: std::ops::Range<u64> = 1..51;
/// Snapshots of each repository.
const ROUNDS: usize = 10;
/// Operations between two snapshots.
const OPERATIONS: usize = 4;
/// Repositories that are dealt with at a time.
const THREADS: usize = 4;

const NAMES: [&str; 12] =
    ["a", "b", "d/a", "d/b", "d/e/c", "d/e/f", "g.o", "new\nline", "-x", "d/\u{e9}", "h", "h/i/j"];

/// A small generator whose numbers are the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }
}

/// Git may refuse an operation in the state the repository is in; that is a state too.
fn git(repo: &Repo<'_>, arguments: &[&str]) {
    repo.program("git").args(arguments).output().unwrap();
}

/// Makes room for a file at `name`: whatever is at it, or at a folder on the way, goes.
fn room(repo: &Repo<'_>, name: &str) -> PathBuf {
    let path = repo.path(name);
    for part in path.ancestors().take_while(|part| *part != repo.root()) {
        match fs::symlink_metadata(part) {
            Ok(metadata) if part == path && metadata.is_dir() => fs::remove_dir_all(part).unwrap(),
            Ok(metadata) if part == path || !metadata.is_dir() => fs::remove_file(part).unwrap(),
            _ => {}
        }
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn operate(repo: &Repo<'_>, random: &mut Random) {
    let name = random.name();
    let path = repo.path(name);
    match random.below(30) {
        0..4 => fs::write(room(repo, name), format!("{}\n", random.below(50))).unwrap(),
        4 => symlink(random.name(), room(repo, name)).unwrap(),
        5 if path.is_file() => {
            repo.mode(name, [0o644, 0o755, 0o600][random.below(3)]);
        }
        6 => drop(fs::remove_file(path)),
        7 => drop(fs::remove_dir_all(repo.path("d"))),
        8 | 9 => git(repo, &["add", "--force", "--", name]),
        10 => git(repo, &["add", "--all"]),
        11 => git(repo, &["add", "--intent-to-add", "--", name]),
        12 => git(repo, &["rm", "--quiet", "--cached", "-r", "--", name]),
        13 => git(repo, &["mv", "--", name, random.name()]),
        14 => git(repo, &["commit", "--quiet", "--all", "--message", "c"]),
        15 => git(repo, &["update-index", "--index-version", ["2", "3", "4"][random.below(3)]]),
        16 => git(repo, &["reset", "--quiet", ["--mixed", "--soft", "HEAD~1"][random.below(3)]]),
        17 => git(repo, &["checkout", "--quiet", "-B", ["one", "two"][random.below(2)]]),
        18 => git(repo, &["merge", "--quiet", ["one", "two"][random.below(2)]]),
        19 => git(repo, &["stash", "--quiet"]),
        20 => git(repo, &["rebase", "--quiet", ["one", "two"][random.below(2)]]),
        21 => git(repo, &["cherry-pick", ["one", "two", "main"][random.below(3)]]),
        22 => git(repo, &[["merge", "rebase", "cherry-pick"][random.below(3)], "--abort"]),
        23 => git(repo, &["update-index", ["--split-index", "--no-split-index"][random.below(2)]]),
        24 => git(repo, &["update-index", "--chmod=+x", "--", name]),
        25 => git(repo, &["repack", "-adq"]),
        26 => git(repo, &["pack-refs", "--all"]),
        27 => match random.below(3) {
            0 => git(repo, &["sparse-checkout", "set", "--cone", "--sparse-index", "d"]),
            1 => git(repo, &["sparse-checkout", "set", "--no-cone", "/a", "d/*"]),
            _ => git(repo, &["sparse-checkout", "disable"]),
        },
        28 => {
            // A folder that became a symlink to another one, or was one.
            drop(fs::remove_dir_all(repo.path("h")));
            drop(fs::remove_file(repo.path("h")));
            drop(symlink("d", repo.path("h")));
        }
        _ => {
            let ignores = ["*.o\n", "d/*\n!d/a\n", "h\n", ""][random.below(4)];
            fs::write(room(repo, ".gitignore"), ignores).unwrap();
        }
    }
}

/// What git and the file system say of a work tree.
fn state(repo: &Repo<'_>, folder: &Path) -> Vec<String> {
    let git = |arguments: &[&str]| {
        let mut command = repo.program("git");
        command.env("GIT_OPTIONAL_LOCKS", "0").current_dir(folder).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?} in {}: {output:?}", folder.display());
        output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    let index = git(&["ls-files", "-z", "--stage", "-t"]);
    let status = git(&["status", "--porcelain=v2", "-z"]);
    for record in index.iter().chain(&status) {
        all.push(record.escape_ascii().to_string());
    }
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    for path in git(&listed).iter().filter(|path| !path.is_empty()) {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let full = folder.join(path);
        let mut line = format!("{path:?}");
        match full.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                write!(line, " -> {:?}", fs::read_link(&full).unwrap()).unwrap();
            }
            Ok(metadata) if metadata.is_file() => {
                let content = fs::read(&full).unwrap();
                let (mode, time) = (metadata.mode(), (metadata.mtime(), metadata.mtime_nsec()));
                write!(line, " {mode:o} {time:?} {}", content.escape_ascii()).unwrap();
            }
            Ok(_) => line.push('/'),
            Err(error) => write!(line, " {:?}", error.kind()).unwrap(),
        }
        all.push(line);
    }
    all
}

/// The snapshots of one repository; the seed is the first line of what a failure prints.
#[expect(clippy::print_stdout, reason = "shown if the test fails")]
fn rounds(seed: u64) {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.git(["config", "gc.auto", "0"]);
    let mut random = Random(seed);
    for round in 0..ROUNDS {
        (0..OPERATIONS).for_each(|_| operate(&repo, &mut random));
        println!("seed {seed}, round {round}");
        let expected = state(&repo, repo.root());
        let workspace = snapshot(&repo, &[]);
        assert_same_list(&expected, &state(&repo, &workspace));
        assert_same_list(&expected, &state(&repo, repo.root()));
        fs::remove_dir_all(workspace).unwrap();
    }
}

#[test]
fn random_repositories_have_equal_snapshots() {
    let next = AtomicU64::new(SEEDS.start);
    let work = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        seeds.take_while(|seed| SEEDS.contains(seed)).for_each(|seed| {
            let result = std::panic::catch_unwind(|| rounds(seed));
            result.unwrap_or_else(|_| panic!("seed {seed} failed; what differs is said above"));
        });
    };
    println!("{} cases, seeds {SEEDS:?}", SEEDS.count() * ROUNDS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let failed = threads.into_iter().filter_map(|thread| thread.join().err()).next();
        if let Some(panic) = failed {
            std::panic::resume_unwind(panic);
        }
    });
}
