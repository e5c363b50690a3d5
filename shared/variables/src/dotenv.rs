//! Files of `--env-file`: lines of `NAME=value`, as other tools read them.
//!
//! ```text
//! # a comment, and empty lines
//! export NAME=value           # without quotes: to the end of the line or a `#` behind a space
//! NAME = "two\nlines $OTHER"  # escapes \n \r \t \" \\ \$, may go over several lines
//! NAME='as written: $5'       # no escapes, no references
//! ```

use crate::assignment::{Override, checked};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct DotenvError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there, and how to mend it.
    pub message: String,
}

/// The assignments of a file, in order; `file` names it in [`Override::from`].
///
/// # Errors
/// The first line that is no assignment.
pub fn dotenv(text: &str, file: &str) -> Result<Vec<Override>, DotenvError> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { text, at: start };
    let mut found = Vec::new();
    while reader.skip_to_assignment() {
        let start = reader.at;
        let name = reader.name()?;
        let value = reader.value()?;
        let (line, _) = reader.place(start);
        let given = checked(name, &value, format!("{file}:{line}"));
        found.push(given.map_err(|error| reader.error(start, error.to_string()))?);
    }
    Ok(found)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].trim_start_matches('\u{feff}').chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    fn error(&self, at: usize, message: impl Into<String>) -> DotenvError {
        let (line, column) = self.place(at);
        DotenvError { line, column, message: message.into() }
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn to_line_end(&self) -> usize {
        self.rest().find('\n').map_or(self.text.len(), |length| self.at + length)
    }

    /// Past empty lines, comments and `export`; whether anything follows.
    fn skip_to_assignment(&mut self) -> bool {
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                break;
            }
            self.at = self.to_line_end();
        }
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        self.at < self.text.len()
    }

    fn name(&mut self) -> Result<&'t str, DotenvError> {
        let line = &self.text[self.at..self.to_line_end()];
        let Some(sign) = line.find('=') else {
            let message = "expected NAME=value; put `#` before a comment";
            return Err(self.error(self.at, message));
        };
        self.at += sign + 1;
        Ok(line[..sign].trim_end())
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        self.skip_blanks();
        let opening = self.at;
        let value = match self.rest().as_bytes().first() {
            Some(b'\'') => self.single_quoted()?,
            Some(b'"') => self.double_quoted()?,
            _ => return Ok(self.unquoted()),
        };
        self.skip_blanks();
        let line = &self.text[self.at..self.to_line_end()];
        if !line.trim_end().is_empty() && !line.starts_with('#') {
            let quote = &self.text[opening..=opening];
            let message = format!("unexpected text after the closing {quote}");
            return Err(self.error(self.at, message));
        }
        self.at = self.to_line_end();
        Ok(value)
    }

    /// To the end of the line, or to a `#` behind a space.
    fn unquoted(&mut self) -> String {
        let (start, end) = (self.at, self.to_line_end());
        self.at = end;
        let signs = self.text[start..end].match_indices('#').map(|(at, _)| start + at);
        let comment = signs.into_iter().find(|at| self.text[..*at].ends_with([' ', '\t']));
        self.text[start..comment.unwrap_or(end)].trim_end().to_owned()
    }

    /// As written: a dollar in it is doubled, because that is how references are written literally.
    fn single_quoted(&mut self) -> Result<String, DotenvError> {
        let inner = &self.rest()[1..];
        let Some(length) = inner.find('\'') else {
            return Err(self.error(self.at, "this ' is never closed"));
        };
        self.at += length + 2;
        Ok(inner[..length].replace('$', "$$"))
    }

    fn double_quoted(&mut self) -> Result<String, DotenvError> {
        let inner = &self.rest()[1..];
        let mut value = String::new();
        let mut characters = inner.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.at += at + 2;
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, '$')) => value.push_str("$$"),
                    Some((_, same @ ('"' | '\\'))) => value.push(same),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(self.error(self.at, "this \" is never closed"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let found = dotenv(text, ".env").unwrap();
        found.into_iter().map(|given| (given.name, given.value)).collect()
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let text = "\u{feff}# comment\n\nA=1\nexport B = two words # and a comment\r\nC=a#b\nD=\n\
                    E='as $WRITTEN # '  # x\nF=\"a\\n\\\"b\\\" $A \\$A\nsecond\"\n\tEXPORT=x\nG= # none\nH=$A\nI=#a";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a#b"),
            ("D", ""),
            ("E", "as $$WRITTEN # "),
            ("F", "a\n\"b\" $A $$A\nsecond"),
            ("EXPORT", "x"),
            ("G", ""),
            ("H", "$A"),
            ("I", "#a"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(text), expected);
        assert_eq!(dotenv(text, ".env").unwrap()[1].from, ".env:4");
    }

    #[test]
    fn what_is_no_assignment_is_told_with_its_place() {
        let error = |text: &str| dotenv(text, ".env").unwrap_err().to_string();
        assert_eq!(error("A=1\n  b c\n"), "2:3: expected NAME=value; put `#` before a comment");
        assert_eq!(error("A=1\nb=2"), "2:1: variable name `b` must match ^[A-Z_][A-Z0-9_]*$");
        assert_eq!(error("export é=2"), "1:8: variable name `é` must match ^[A-Z_][A-Z0-9_]*$");
        assert_eq!(error("A=\"x\n\nB=1"), "1:3: this \" is never closed");
        assert_eq!(error("A= 'x"), "1:4: this ' is never closed");
        assert_eq!(error("A=\"é\" x"), "1:7: unexpected text after the closing \"");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A=\"'\\\\$# \n\re\u{feff}]{0,40}") {
            let _ = dotenv(&text, "x");
        }

        #[test]
        fn what_is_double_quoted_comes_out_again(value in "[a-z\n\"\\\\ #'=]{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(pairs(&format!("A=\"{escaped}\"")), [("A".to_owned(), value)]);
        }
    }
}
