//! What a `.dockerignore` keeps out of a build.
//!
//! The rules are those of Docker's own matcher (`moby/patternmatcher`, with the walk of
//! `tonistiigi/fsutil`), odd ones included: patterns are anchored at the context, the last one
//! that applies decides, a pattern that matches a folder holds for what is in it, `**` spans
//! folders, and a leading `/` or a trailing one means nothing.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

/// A pattern that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{pattern}` is no pattern: {why}")]
pub struct BadPattern {
    /// Line of the file, from 1.
    pub line: usize,
    /// As it is written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The patterns of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a folder: they hold for what is in it.
#[derive(Clone, Debug, Default)]
pub struct Matched(Vec<bool>);

impl Ignore {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// A pattern that Docker would refuse as well.
    pub fn parse(text: &[u8]) -> Result<Self, BadPattern> {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text));
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // Only in the first column: ` # a` is a pattern.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let bad = |why| BadPattern { line: index + 1, pattern: line.trim().to_owned(), why };
            patterns.push(Pattern::parse(line.trim()).map_err(bad)?);
        }
        Ok(Ignore { patterns })
    }

    /// Whether a file or folder, relative to the context, is kept out. `parent` is what was
    /// learnt about the folder it is in, the default at the top.
    pub fn excludes(&self, path: &Path, parent: &Matched) -> (bool, Matched) {
        let path = characters(path);
        let mut matched = vec![false; self.patterns.len()];
        let mut excluded = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            if !parent.0.get(index).copied().unwrap_or_default() {
                // It could change nothing.
                if pattern.is_exception != excluded || !pattern.shape.matches(&path) {
                    continue;
                }
            }
            matched[index] = true;
            excluded = !pattern.is_exception;
        }
        (excluded, Matched(matched))
    }

    /// Whether something in an excluded folder may be let in again.
    pub fn may_let_in(&self, folder: &Path) -> bool {
        let exceptions = || self.patterns.iter().filter(|pattern| pattern.is_exception);
        exceptions().any(|pattern| pattern.stem().is_none())
            || exceptions().filter_map(Pattern::stem).any(|stem| stem.starts_with(folder))
    }
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// It begins with `!`: what it matches is let in again.
    is_exception: bool,
    text: String,
    shape: Shape,
}

impl Pattern {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let (is_exception, text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if text.is_empty() {
            return Err("there is nothing after the `!`");
        }
        let text = cleaned(text);
        let shape = Shape::parse(&text)?;
        Ok(Pattern { is_exception, text, shape })
    }

    /// The path that everything it matches begins with; `None` where it begins with a wildcard.
    fn stem(&self) -> Option<&Path> {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        let text = text.strip_suffix("/*").unwrap_or(text);
        let is_plain = !text.contains(['*', '[', ']', '?', '^', '\\']);
        is_plain.then_some(Path::new(text))
    }
}

/// `path` without `.`, `..` that can be resolved, doubled and trailing slashes, and without the
/// leading one, as Go's `filepath.Clean` has it.
fn cleaned(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => drop(parts.pop()),
            ("..", _) if is_absolute => {}
            (part, _) => parts.push(part),
        }
    }
    match parts.is_empty() {
        true if is_absolute => "/".to_owned(),
        true => ".".to_owned(),
        false => parts.join("/"),
    }
}

/// What a pattern looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// This and nothing else.
    Exact(Vec<char>),
    /// `folder/**`.
    Prefix(Vec<char>),
    /// `**/name`; the slash, where there is one, is part of it.
    Suffix(Vec<char>),
    Glob(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: any but a slash.
    One,
    /// `*`: any number of any but a slash.
    Run,
    /// `**/` or `**` within: nothing, or anything that ends in a slash.
    Folders,
    /// `**` at the end: anything.
    Rest,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Shape {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let tokens = tokens(text)?;
        let plain = |tokens: &[Token]| -> Option<Vec<char>> {
            let char = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
            tokens.iter().map(char).collect()
        };
        // Escapes make a pattern a glob, as in Docker's matcher: `**\a` is no suffix.
        let tail = text.strip_prefix("**").filter(|tail| !tail.contains('\\'));
        let is_suffix = |tail: &&str| !tail.contains(['*', '?', '[', ']']);
        if let Some(tail) = tail.filter(is_suffix) {
            return Ok(Shape::Suffix(tail.chars().collect()));
        }
        Ok(match (plain(&tokens), tokens.split_last()) {
            (Some(exact), _) => Shape::Exact(exact),
            (None, Some((Token::Rest, head))) if plain(head).is_some() => {
                Shape::Prefix(plain(head).unwrap_or_default())
            }
            _ => Shape::Glob(tokens),
        })
    }

    fn matches(&self, path: &[char]) -> bool {
        match self {
            Shape::Exact(text) => path == text,
            Shape::Prefix(text) => path.starts_with(text),
            Shape::Suffix(text) => path.ends_with(text) || text.split_first() == Some((&'/', path)),
            Shape::Glob(tokens) => matches(tokens, path),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                let _slash = rest.next_if_eq(&'/');
                if rest.peek().is_some() { Token::Folders } else { Token::Rest }
            }
            '*' => Token::Run,
            '?' => Token::One,
            '[' => class(&mut rest)?,
            '\\' => Token::Char(rest.next().ok_or("it ends in a backslash")?),
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

/// What stands between brackets.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, &'static str> {
    const OPEN: &str = "a `[` is not closed";
    let is_negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let end = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
        Some('\\') => rest.next().ok_or(OPEN),
        Some(']' | '-') => Err("a `]` or `-` between brackets needs a backslash"),
        Some(c) => Ok(c),
        None => Err(OPEN),
    };
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Ok(Token::Class { is_negated, ranges });
        }
        let low = end(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { end(rest)? } else { low };
        if high < low {
            return Err("a range between brackets runs backwards");
        }
        ranges.push((low, high));
    }
}

/// Whether the whole of `path` matches, in time proportional to both lengths: all positions in
/// the pattern that could have been reached are followed at once.
fn matches(tokens: &[Token], path: &[char]) -> bool {
    let mut reached = vec![false; tokens.len() + 1];
    reach(&mut reached, tokens, 0);
    for &c in path {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                // Left where it was entered, which `reach` did, or after a slash.
                Token::Folders => {
                    next[at] = true;
                    if c == '/' {
                        reach(&mut next, tokens, at + 1);
                    }
                }
                Token::Run if c != '/' => reach(&mut next, tokens, at),
                Token::Rest => reach(&mut next, tokens, at),
                token if token.takes(c) => reach(&mut next, tokens, at + 1),
                _ => {}
            }
        }
        reached = next;
    }
    reached[tokens.len()]
}

/// Marks a position, and those that can be reached from it without taking anything.
fn reach(reached: &mut [bool], tokens: &[Token], at: usize) {
    let passable = |token: &&Token| matches!(token, Token::Folders | Token::Run | Token::Rest);
    let further = tokens[at..].iter().take_while(passable).count();
    reached[at..=at + further].fill(true);
}

impl Token {
    /// Whether one character satisfies it.
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Char(wanted) => c == *wanted,
            Token::One => c != '/',
            Token::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *is_negated
            }
            Token::Run | Token::Folders | Token::Rest => false,
        }
    }
}

/// A path as patterns see it: bytes that are no UTF-8 are one replacement character each.
fn characters(path: &Path) -> Vec<char> {
    let mut characters = Vec::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        characters.extend(chunk.valid().chars());
        characters.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    characters
}

#[cfg(test)]
mod tests;
