//! Inputs from fixtures: one of them, or two spliced, changed a few times.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use fastrand::Rng;

use crate::huge;

/// Largest input, in bytes.
pub(crate) const MAX: usize = 1_000_000;

/// Size of the first input of each shape.
const FIRST: usize = 50_000;

/// A workflow and the files it may include.
pub(crate) struct Input {
    pub(crate) workflow: Vec<u8>,
    pub(crate) templates: BTreeMap<String, Vec<u8>>,
}

/// The input with this number, always the same for the same seed.
pub(crate) fn input(seed: u64, case: u64) -> Input {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ case);
    // Mixes neighbouring numbers before anything is decided by them.
    let mut rng = Rng::with_seed(rng.u64(..));
    let mut templates = CORPUS.templates.clone();
    let one_of_each = huge::nth(&mut rng, case, FIRST);
    let workflow = match rng.u8(..100) {
        _ if one_of_each.is_some() => one_of_each.unwrap_or_default(),
        0..3 => huge::text(&mut rng, MAX),
        3..20 => huge::text(&mut rng, 4000),
        _ => mutated(&mut rng),
    };
    if rng.u8(..4) == 0 {
        let name = rng.choice(CORPUS.templates.keys()).cloned().unwrap_or_default();
        templates.insert(name, mutated(&mut rng));
    }
    Input { workflow, templates }
}

struct Corpus {
    workflows: Vec<Vec<u8>>,
    templates: BTreeMap<String, Vec<u8>>,
}

static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/workflows");
    let read = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.extension().is_some_and(|e| e != "expected"));
        files
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (format!(".loom/templates/{name}"), fs::read(path).unwrap())
            })
            .collect()
    };
    let workflows = ["good", "bad", "warn"].into_iter().flat_map(|kind| read(kind).into_values());
    Corpus { workflows: workflows.collect(), templates: read("templates") }
});

fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut text = rng.choice(&CORPUS.workflows).cloned().unwrap();
    for _ in 0..rng.usize(1..=6) {
        text = change(rng, text);
        text.truncate(MAX);
    }
    text
}

fn change(rng: &mut Rng, text: Vec<u8>) -> Vec<u8> {
    match rng.u8(..9) {
        0 => flip(rng, text),
        1 => splice(rng, &text),
        2 => repeat(rng, &text),
        3 => lines(rng, &text),
        4 | 5 => token(rng, &text),
        6 => nest(rng, &text),
        7 => cut(rng, text),
        _ => indent(rng, &text),
    }
}

/// Some bytes become others, valid UTF-8 or not.
fn flip(rng: &mut Rng, mut text: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..text.len().max(1));
        if let Some(byte) = text.get_mut(at) {
            *byte = if rng.bool() { rng.u8(..) } else { rng.u8(b' '..b'~') };
        }
    }
    text
}

/// The start of one and the end of another, mostly at line ends.
fn splice(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let other = rng.choice(&CORPUS.workflows).unwrap();
    let (head, tail) = (place(rng, text), place(rng, other));
    [&text[..head], &other[tail..]].concat()
}

/// A stretch stands several times, sometimes very many times.
fn repeat(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let (a, b) = (place(rng, text), place(rng, text));
    let (a, b) = (a.min(b), a.max(b));
    let times = if rng.u8(..20) == 0 { rng.usize(1..400) } else { rng.usize(1..4) };
    [&text[..b], &text[a..b].repeat(times), &text[b..]].concat()
}

/// Two lines change places.
fn lines(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.len() > 1 {
        let (a, b) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
        lines.swap(a, b);
    }
    lines.concat()
}

/// What YAML, the language or its conditions give a meaning to.
const TOKENS: &[&str] = &[
    "null",
    "~",
    "true",
    "1e999",
    ".inf",
    "0x",
    "-1",
    "18446744073709551616",
    "\"\"",
    "''",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "{{",
    ": ",
    "- ",
    "? ",
    "| \n",
    ">-\n",
    "|9\n",
    "*a ",
    "&a ",
    "!t ",
    "!!str ",
    "<<: ",
    "%",
    "@",
    "`",
    "#",
    " #",
    "\t",
    "\r\n",
    "\n\n",
    "---\n",
    "...\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "é",
    "日本",
    "🌍",
    "\u{7f}",
    "\0",
    "\u{1}",
    "\\",
    "\"\\u0000\"",
    "$",
    "$$",
    "$A",
    "${A}",
    "${",
    "$PATH",
    "/x(/",
    "/(a{99}){99}/",
    "&&",
    "||",
    "=~",
    "(",
    ")",
    "!",
    "**",
    "{a,b}",
    "[!a",
    "..",
    "/",
    "version: v1\n",
    "stages: [ci]\n",
    "extends: build\n",
    "default:\n",
    "include: [{local: .loom/templates/base.yml}]\n",
    "include: [{local: .loom/templates/cycle-a.yml}]\n",
    "  needs: [build]\n",
    "  parallel: 200\n",
    "  parallel: {matrix: [{A: [x, y]}]}\n",
    "build:\n",
    "  extends: [.a, .b]\n",
    "  rules: [{if: $A, changes: [a]}]\n",
    "  variables: {A: $A$B, B: $A}\n",
    "99999999999w",
    "op://",
    "keepass://#",
    "env://",
];

/// One of them in place of some bytes, or between them.
fn token(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let start = place(rng, text);
    let end = if rng.bool() { start } else { (start + rng.usize(..12)).min(text.len()) };
    let token = rng.choice(TOKENS).unwrap();
    [&text[..start], token.as_bytes(), &text[end..]].concat()
}

/// Collections or parentheses within each other, closed or not.
fn nest(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let at = place(rng, text);
    let shapes =
        [("[", "]"), ("{a: ", "}"), ("- ", ""), ("(", ")"), ("!", ""), ("? ", ""), ("${", "}")];
    let (open, close) = *rng.choice(&shapes).unwrap();
    let depth = if rng.u8(..5) == 0 { rng.usize(..20_000) } else { rng.usize(..80) };
    let closed = if rng.bool() { close.repeat(depth) } else { String::new() };
    [&text[..at], open.repeat(depth).as_bytes(), b"x", closed.as_bytes(), &text[at..]].concat()
}

/// A stretch is gone.
fn cut(rng: &mut Rng, mut text: Vec<u8>) -> Vec<u8> {
    let (a, b) = (place(rng, &text), place(rng, &text));
    text.drain(a.min(b)..a.max(b));
    text
}

/// Some lines stand further in or out.
fn indent(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len() + 64);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match rng.u8(..10) {
            0 => result.extend_from_slice(b"  "),
            1 => result.push(b' '),
            2 if line.starts_with(b" ") => {
                result.extend_from_slice(&line[1..]);
                continue;
            }
            _ => {}
        }
        result.extend_from_slice(line);
    }
    result
}

/// A place in a text, mostly the start of a line or of a word.
fn place(rng: &mut Rng, text: &[u8]) -> usize {
    let at = rng.usize(..=text.len());
    let wanted: &[u8] = match rng.u8(..4) {
        0 => return at,
        1 => b" ",
        _ => b"\n",
    };
    let after = text[at..].iter().position(|byte| wanted.contains(byte));
    after.map_or(at, |length| at + length + 1)
}
