//! The output of jobs as it comes (`--stream`): whole lines, each behind its job's name.
//!
//! Where a stream of ours is a terminal, what would move its cursor is left out; elsewhere the
//! bytes are the job's. A line stays in one piece up to [`LINE_BYTES_MAX`]; a longer one goes on
//! behind the name again, because nobody else could write meanwhile.

use std::collections::HashMap;

use libloom_console::{
    Console, Label, Paint, display_width, fit_middle, pad, printable, shown_line,
};
use libloom_contract::{event::Stream, graph::Node};
use memchr::memchr;

/// Longest piece of a line that is held back until its end comes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Columns of a name that the others are padded to.
const NAME_COLUMNS_MAX: usize = 32;

/// What a step wrote to each stream since its last line end.
pub type Unfinished = Vec<u8>;

/// What stands before the lines of each job.
#[derive(Debug)]
pub struct Prefixes {
    by_job: HashMap<String, [String; 2]>,
}

impl Prefixes {
    /// For jobs in the graph's order.
    pub fn of(nodes: &[Node], console: &Console) -> Self {
        let names = nodes.iter().map(|node| display_width(&printable(&node.label)));
        let width = names.max().unwrap_or(0).min(NAME_COLUMNS_MAX);
        let prefixes = |(number, node): (usize, &Node)| {
            let out =
                prefix(node, number, width, console.out_paint(), console.stdout_is_terminal());
            let err =
                prefix(node, number, width, console.err_paint(), console.stderr_is_terminal());
            (node.id.clone(), [out, err])
        };
        Prefixes { by_job: nodes.iter().enumerate().map(prefixes).collect() }
    }

    fn get(&self, job_id: &str, stream: Stream) -> &str {
        let place = usize::from(stream == Stream::Stderr);
        self.by_job.get(job_id).map_or("", |prefixes| &prefixes[place])
    }
}

fn prefix(node: &Node, number: usize, width: usize, paint: Paint, terminal: bool) -> String {
    let name = printable(&node.label);
    // A script that reads us wants the name as it is, however long.
    let name = if terminal { fit_middle(&name, width) } else { name.into_owned() };
    paint.paint(Label::Member(number), format_args!("{} | ", pad(&name, width))).to_string()
}

/// Shows output of a job; `partial`: the last line goes on in the next piece.
pub fn show(
    console: &Console,
    prefixes: &Prefixes,
    source: (&str, Stream),
    (bytes, partial): (&[u8], bool),
    unfinished: &mut Unfinished,
) {
    let (job_id, stream) = source;
    let mut shown = Vec::with_capacity(bytes.len() + bytes.len() / 4 + 64);
    let line = Line { console, prefix: prefixes.get(job_id, stream), stream };
    let mut rest = bytes;
    while let Some(end) = memchr(b'\n', rest) {
        if unfinished.is_empty() {
            line.push(&mut shown, &rest[..end]);
        } else {
            unfinished.extend_from_slice(&rest[..end]);
            line.push(&mut shown, unfinished);
            unfinished.clear();
        }
        rest = &rest[end + 1..];
    }
    unfinished.extend_from_slice(rest);
    if !unfinished.is_empty() && (!partial || unfinished.len() >= LINE_BYTES_MAX) {
        line.push(&mut shown, unfinished);
        unfinished.clear();
    }
    if shown.is_empty() {
        return;
    }
    match stream {
        // The reader of our output may have gone; the run and its record go on.
        Stream::Stdout => drop(console.out_bytes(&shown)),
        Stream::Stderr => console.err_bytes(&shown),
    }
}

/// How the lines of one job and stream look.
struct Line<'a> {
    console: &'a Console,
    prefix: &'a str,
    stream: Stream,
}

impl Line<'_> {
    fn push(&self, shown: &mut Vec<u8>, line: &[u8]) {
        let (terminal, paint) = match self.stream {
            Stream::Stdout => (self.console.stdout_is_terminal(), self.console.out_paint()),
            Stream::Stderr => (self.console.stderr_is_terminal(), self.console.err_paint()),
        };
        shown.extend_from_slice(self.prefix.as_bytes());
        if terminal {
            shown.extend_from_slice(shown_line(line, paint.is_colored()).as_bytes());
        } else {
            shown.extend_from_slice(line);
        }
        shown.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use libloom_console::Verbosity;

    use super::*;

    fn shown(pieces: &[(&[u8], bool)]) -> String {
        let (console, captured) = Console::captured(Verbosity::Normal);
        let prefixes = Prefixes::of(&[Node::host("a", "s"), Node::host("long", "s")], &console);
        let mut unfinished = Unfinished::new();
        for piece in pieces {
            show(&console, &prefixes, ("a", Stream::Stdout), *piece, &mut unfinished);
        }
        assert_eq!(captured.err(), "");
        captured.out()
    }

    #[test]
    fn pieces_of_a_line_are_put_together() {
        let pieces: [(&[u8], bool); 3] = [(b"one\ntw", true), (b"o", true), (b"!\nthree", false)];
        assert_eq!(shown(&pieces), "a    | one\na    | two!\na    | three\n");
        assert_eq!(shown(&[(b"\n\n", false)]), "a    | \na    | \n");
    }

    #[test]
    fn a_line_without_end_is_shown_in_parts_and_loses_nothing() {
        let piece = vec![b'x'; 60_000];
        let pieces = vec![(piece.as_slice(), true); 40];
        let text = shown(&[pieces.as_slice(), &[(b"end\n", false)]].concat());
        assert_eq!(text.matches('x').count(), 40 * 60_000);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.starts_with("a    | ")));
    }
}
