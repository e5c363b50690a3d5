//! What has to be known of a Dockerfile before and after its build: the images it needs, and the
//! lines of its instructions, which builders do not tell.

use std::collections::HashMap;

/// An instruction, its continuations joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Line it begins on, from 1.
    pub line: usize,
    /// Its text, with one space between words.
    pub text: String,
    /// Its number in its stage, from 1 (`FROM`), among those that builders number.
    number: usize,
}

/// The instructions of a Dockerfile, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile(Vec<Instruction>);

/// What makes a step of its own under BuildKit.
const NUMBERED: &[&str] = &["FROM", "RUN", "COPY", "ADD", "WORKDIR"];
/// What may be followed by a document.
const WITH_DOCUMENTS: &[&str] = &["RUN", "COPY", "ADD"];

impl Dockerfile {
    /// Reads a Dockerfile as far as is needed: what is wrong with it is the builder's to say.
    pub fn parse(text: &str) -> Self {
        let mut found: Vec<Instruction> = Vec::new();
        let mut lines = text.lines().enumerate();
        let escape = escape(text);
        let mut number = 0;
        while let Some((index, first)) = lines.next() {
            if is_passed_over(first) {
                continue;
            }
            let mut joined = String::new();
            let mut part = first;
            while let Some(head) = part.trim_end().strip_suffix(escape) {
                joined.push_str(head);
                joined.push(' ');
                let mut rest = lines.by_ref().map(|(_, line)| line);
                let Some(next) = rest.find(|line| !is_passed_over(line)) else { break };
                part = next;
            }
            if !part.trim_end().ends_with(escape) {
                joined.push_str(part);
            }
            let text = words(&joined);
            let keyword = keyword(&text);
            if WITH_DOCUMENTS.contains(&keyword.as_str()) {
                for end in document_ends(&text) {
                    lines.by_ref().find(|(_, line)| line.trim_start_matches('\t') == end);
                }
            }
            if keyword == "FROM" {
                number = 0;
            }
            number += usize::from(NUMBERED.contains(&keyword.as_str()));
            found.push(Instruction { line: index + 1, text, number });
        }
        Dockerfile(found)
    }

    /// The images that it begins with or copies from, but not its own stages; `given` are values
    /// of its arguments above those that it sets.
    pub fn images(&self, given: &HashMap<String, String>) -> Vec<String> {
        let mut arguments = HashMap::new();
        let (mut stages, mut images) = (vec!["scratch".to_owned()], Vec::new());
        for Instruction { text, .. } in &self.0 {
            let words: Vec<&str> = text.split(' ').skip(1).collect();
            let is_flag = |word: &&&str| word.starts_with("--");
            match keyword(text).as_str() {
                // Those after the first `FROM` mean nothing to a later one.
                "ARG" if stages.len() == 1 => {
                    let pairs = words.iter().filter_map(|word| word.split_once('='));
                    let unquoted = |value: &str| value.trim_matches(['"', '\'']).to_owned();
                    arguments.extend(pairs.map(|(name, value)| (name.to_owned(), unquoted(value))));
                }
                "FROM" => {
                    let rest: Vec<&str> = words.iter().skip_while(is_flag).copied().collect();
                    let name = rest.first().copied().unwrap_or_default();
                    let value = |name: &str| given.get(name).or_else(|| arguments.get(name));
                    images.push(expanded(name, value));
                    stages.push(rest.get(2).map_or_else(String::new, |stage| stage.to_lowercase()));
                }
                "COPY" => {
                    let flags = words.iter().take_while(is_flag);
                    images.extend(
                        flags.filter_map(|flag| flag.strip_prefix("--from=")).map(str::to_owned),
                    );
                }
                _ => {}
            }
        }
        let is_stage = |image: &String| {
            stages.contains(&image.to_lowercase()) || image.parse::<usize>().is_ok()
        };
        images.retain(|image| !image.is_empty() && !is_stage(image));
        images.sort();
        images.dedup();
        images
    }

    /// The instruction of this number among all, from 1.
    pub fn nth(&self, number: usize) -> Option<&Instruction> {
        self.0.get(number.checked_sub(1)?)
    }

    /// The instruction that begins on a line, or the one that the line belongs to.
    pub fn at_line(&self, line: usize) -> Option<&Instruction> {
        self.0.iter().take_while(|instruction| instruction.line <= line).last()
    }

    /// The instruction with this text, the `number`th of its stage where there are several.
    pub fn find(&self, text: &str, number: Option<usize>) -> Option<&Instruction> {
        let text = words(text);
        // Builders write the keyword in capitals, and may leave flags out.
        let same = |instruction: &&Instruction| {
            let (own, wanted) = (keyword(&instruction.text), keyword(&text));
            let arguments = |text: &str| {
                let words = text.split(' ').skip(1).skip_while(|word| word.starts_with("--"));
                words.collect::<Vec<_>>().join(" ")
            };
            own == wanted && arguments(&instruction.text) == arguments(&text)
        };
        let candidates: Vec<&Instruction> = self.0.iter().filter(same).collect();
        let numbered = candidates.iter().find(|found| Some(found.number) == number);
        match candidates.as_slice() {
            [only] => Some(only),
            _ => numbered.copied(),
        }
    }
}

/// The character that continues a line: a backslash, unless a directive says otherwise.
fn escape(text: &str) -> char {
    for line in text.lines() {
        let Some(comment) = line.trim_start().strip_prefix('#') else { break };
        let Some((name, value)) = comment.split_once('=') else { break };
        if name.trim().eq_ignore_ascii_case("escape") {
            return value.trim().chars().next().unwrap_or('\\');
        }
    }
    '\\'
}

/// `text` with `$NAME`, `${NAME}` and `${NAME:-default}` replaced; unknown names are empty.
fn expanded<'a>(text: &str, value: impl Fn(&str) -> Option<&'a String>) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, after) = braced
            .unwrap_or_else(|| after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len())));
        let (name, default) = name.split_once(":-").unwrap_or((name, ""));
        done.push_str(value(name).map_or(default, String::as_str));
        rest = after;
    }
    done + rest
}

fn is_passed_over(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn keyword(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_ascii_uppercase()
}

/// The words that end the documents (`<<EOF`) of an instruction.
fn document_ends(text: &str) -> Vec<String> {
    let begins = text
        .split(' ')
        .filter_map(|word| word.trim_start_matches(char::is_numeric).strip_prefix("<<"));
    let ends = begins.map(|word| word.trim_start_matches('-').trim_matches(['"', '\'']));
    let is_word = |end: &&str| end.starts_with(|c: char| c.is_alphabetic() || c == '_');
    ends.filter(is_word).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# syntax=docker/dockerfile:1
# escape=\\

FROM busybox AS one
RUN echo a \\
    # in between

    && echo b
ENV A=1
RUN echo a && echo b
FROM one
run <<EOF
FROM not
EOF
COPY --chown=1:1 a  b
RUN echo a && echo b
RUN false";

    #[test]
    fn instructions_have_the_line_they_begin_on() {
        let parsed = Dockerfile::parse(TEXT);
        let lines: Vec<usize> = parsed.0.iter().map(|instruction| instruction.line).collect();
        assert_eq!(lines, [4, 5, 9, 10, 11, 12, 15, 16, 17]);
        assert_eq!(parsed.nth(2).unwrap().text, "RUN echo a && echo b");
        assert_eq!(parsed.nth(0), None);
        assert_eq!(parsed.at_line(13).unwrap().line, 12);
        assert_eq!(parsed.at_line(1), None);
    }

    #[test]
    fn an_instruction_is_found_by_its_text_and_number() {
        let parsed = Dockerfile::parse(TEXT);
        let line = |text, number| parsed.find(text, number).map(|found| found.line);
        assert_eq!(line("RUN false", None), Some(17));
        assert_eq!(line("COPY a b", Some(9)), Some(15));
        assert_eq!(line("RUN echo a && echo b", Some(2)), Some(5));
        assert_eq!(line("RUN echo a && echo b", Some(9)), None);
        assert_eq!(line("RUN true", Some(2)), None);
    }

    #[test]
    fn images_are_those_that_are_no_stages() {
        let text = "ARG TAG=1\nARG HOST=\"r.example:5000\"\nFROM $HOST/a:${TAG} AS One\n\
            FROM --platform=linux/amd64 b:${NONE:-2}\nARG TAG=9\nCOPY --from=one /a /\n\
            COPY --chown=1 --from=c /a /\nCOPY --from=0 /a /\nFROM scratch\nFROM one";
        let parsed = Dockerfile::parse(text);
        assert_eq!(parsed.images(&HashMap::new()), ["b:2", "c", "r.example:5000/a:1"]);
        let given = HashMap::from([("TAG".to_owned(), "7".to_owned())]);
        assert!(parsed.images(&given).contains(&"r.example:5000/a:7".to_owned()));
    }

    #[test]
    fn another_escape_character_is_honoured() {
        let parsed = Dockerfile::parse("# escape=`\nFROM a\nRUN x `\n  y\nRUN z \\\nRUN q");
        let texts: Vec<&str> = parsed.0.iter().map(|found| found.text.as_str()).collect();
        assert_eq!(texts, ["FROM a", "RUN x y", "RUN z \\", "RUN q"]);
    }

    #[test]
    fn an_unfinished_file_is_read_as_far_as_it_goes() {
        assert_eq!(Dockerfile::parse("RUN a \\").0.len(), 1);
        assert_eq!(Dockerfile::parse("RUN <<X\na").0.len(), 1);
        assert_eq!(Dockerfile::parse(""), Dockerfile::default());
    }
}
