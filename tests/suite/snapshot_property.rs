//! Random sequences of file and git operations; after each few the snapshot must be the same.
//!
//! A failure names its seed; begin [`SEEDS`] with it to see it again.

use std::fs;
use std::path::PathBuf;

use libloom_testkit::{Repo, Sandbox};

use crate::snapshot::same_snapshot;

/// One repository each.
const SEEDS: std::ops::Range<u64> = 1..6;
/// Snapshots of each repository.
const ROUNDS: usize = 20;
/// Operations between two snapshots.
const OPERATIONS: usize = 6;

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
    match random.below(20) {
        0..4 => fs::write(room(repo, name), format!("{}\n", random.below(50))).unwrap(),
        4 => std::os::unix::fs::symlink(random.name(), room(repo, name)).unwrap(),
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
        _ => {
            repo.write(".gitignore", ["*.o\n", "d/*\n!d/a\n", "h\n", ""][random.below(4)]);
        }
    }
}

#[test]
fn random_repositories_have_equal_snapshots() {
    for seed in SEEDS {
        let sandbox = Sandbox::new();
        let repo = sandbox.repo();
        repo.git(["config", "gc.auto", "0"]);
        let mut random = Random(seed);
        for round in 0..ROUNDS {
            (0..OPERATIONS).for_each(|_| operate(&repo, &mut random));
            println!("seed {seed}, round {round}");
            same_snapshot(&repo);
        }
    }
}
