//! Differences as git prints them: both sides become commits of the scratch repository.

use std::io::{self, Write};

use libloom_entry::{Failure, OrFail};

use crate::compare::{Change, Compare, Side, Source};
use crate::git::pieces;
use crate::seen::quoted;

const OLD: &str = "refs/heads/old";
const NEW: &str = "refs/heads/new";

/// A change with both its contents at hand.
pub(crate) struct Printable<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) old: Option<&'a Side>,
    pub(crate) new: Option<&'a Side>,
}

impl<'a> Printable<'a> {
    /// `None` for a change one of whose sides is not kept.
    pub(crate) fn of(change: &'a Change) -> Option<Self> {
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        let is_kept = old.is_none_or(|side| side.source != Source::Unknown);
        is_kept.then_some(Self { path: &change.path, old, new })
    }
}

/// Writes both sides of `changes` into the scratch repository of `compare`.
pub(crate) fn write(compare: &Compare, changes: &[Printable<'_>]) -> Result<(), Failure> {
    let args = ["-c", "core.compression=0", "fast-import", "--quiet", "--force", "--done"];
    compare.scratch.git.feed(&args, |stdin| {
        for (name, of_change) in [(OLD, old as Pick), (NEW, new as Pick)] {
            write!(stdin, "commit {name}\ncommitter loom <> 0 +0000\ndata 0\ndeleteall\n")?;
            for change in changes {
                if let Some(side) = of_change(change) {
                    write_side(compare, change.path, side, stdin)?;
                }
            }
            stdin.write_all(b"\n")?;
        }
        stdin.write_all(b"done\n")
    })
}

type Pick = for<'c, 's> fn(&'c Printable<'s>) -> Option<&'s Side>;

fn old<'s>(change: &Printable<'s>) -> Option<&'s Side> {
    change.old
}

fn new<'s>(change: &Printable<'s>) -> Option<&'s Side> {
    change.new
}

fn write_side(
    compare: &Compare,
    path: &[u8],
    side: &Side,
    stdin: &mut dyn Write,
) -> io::Result<()> {
    let path_text = quoted(path);
    let mut line = |what: &str| {
        write!(stdin, "M {:o} {what} ", side.mode)?;
        stdin.write_all(&path_text)?;
        stdin.write_all(b"\n")
    };
    if let Source::Object(object) = &side.source {
        return line(object);
    }
    line("inline")?;
    let content = compare.content(path, side).map_err(|failure| io::Error::other(failure.error))?;
    let content = content.ok_or_else(|| io::Error::other("a content that is not kept"))?;
    writeln!(stdin, "data {}", content.size())?;
    content.pieces(|piece| stdin.write_all(piece))?;
    stdin.write_all(b"\n")
}

/// What `git diff OPTIONS` prints of the two sides; no configured program runs.
pub(crate) fn diff(compare: &Compare, options: &[&str]) -> Result<Vec<u8>, Failure> {
    let fixed = ["diff-tree", "-r", "--no-ext-diff", "--no-textconv"];
    compare.scratch.git.run(&[&fixed, options, &[OLD, NEW]].concat())
}

/// Added and removed lines; a binary file has none.
pub(crate) type LineCounts = Option<(u64, u64)>;

/// The line counts of every path.
pub(crate) fn line_counts(compare: &Compare) -> Result<Vec<(Vec<u8>, LineCounts)>, Failure> {
    let listing = diff(compare, &["--numstat", "-z", "--no-renames"])?;
    let parse = |piece: &[u8]| {
        let mut fields = piece.splitn(3, |byte| *byte == b'\t');
        let mut number = || String::from_utf8_lossy(fields.next()?).parse::<u64>().ok();
        let counts = (number(), number());
        let path = fields.next()?.to_vec();
        Some((path, counts.0.zip(counts.1)))
    };
    let all: Option<Vec<_>> = pieces(&listing).map(parse).collect();
    all.ok_or_else(|| io::Error::other("a line that is no `--numstat`"))
        .or_could_not("cannot read what git printed")
}
