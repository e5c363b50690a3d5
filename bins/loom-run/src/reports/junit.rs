//! `reports.junit`: counts tests and names those that failed.
//!
//! There is no schema that all writers obey: what counts are `testcase` elements and their
//! `failure`, `error` and `skipped` children, wherever they stand; the numbers that suites tell of
//! themselves are not trusted. Files are read as a stream, and no entity is ever fetched.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    rc::Rc,
};

use libloom_archive::Folder;
use libloom_contract::reports::{FAILED_TESTS_MAX, FailedTest, TestReport};
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// Largest file; what stands behind is not read.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Most bytes of one tag or text, which the reader holds in memory.
const EVENT_BYTES_MAX: usize = 16 << 20;
/// Deepest element.
const DEPTH_MAX: usize = 256;
/// Longest text that is kept of a failed test.
const TEXT_CHARS_MAX: usize = 1000;

/// Adds the tests of a file; what is wrong with it becomes a note.
pub fn read(folder: &mut Folder, path: &Path, report: &mut TestReport) {
    let name = path.to_string_lossy();
    let file = match folder.open_file(path) {
        Ok(file) => file,
        Err(error) => return report.notes.push(format!("cannot read `{name}`: {error}")),
    };
    report.files += 1;
    let before = report.total;
    if let Err(wrong) = parse(file, report) {
        let counted = report.total - before;
        report.notes.push(format!("`{name}` is no JUnit report: {wrong}; {counted} tests counted"));
    }
}

fn parse(file: impl Read, report: &mut TestReport) -> Result<(), String> {
    let since_event = Rc::new(Cell::new(0));
    let input = BufReader::with_capacity(1 << 16, file.take(FILE_BYTES_MAX));
    let input = Bounded { input, since_event: Rc::clone(&since_event) };
    let mut xml = Reader::from_reader(input);
    let mut walk = Walk { report, open: Vec::new(), suites: Vec::new(), case: None };
    let mut buffer = Vec::new();
    let mut elements = 0;
    loop {
        since_event.set(0);
        let position = xml.buffer_position();
        let event = xml
            .read_event_into(&mut buffer)
            .map_err(|error| format!("{error} (at byte {position})"))?;
        elements += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
        match event {
            Event::Eof if !walk.open.is_empty() => return Err("it ends early".into()),
            Event::Eof if elements == 0 => return Err("it holds no element".into()),
            Event::Eof => return Ok(()),
            event => walk.step(&event)?,
        }
        buffer.clear();
    }
}

/// What is known between two events.
struct Walk<'a> {
    report: &'a mut TestReport,
    open: Vec<Element>,
    /// Names of the suites around.
    suites: Vec<String>,
    case: Option<Case>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Suite,
    Case,
    /// `failure` or `error` of a test: its text says why.
    Cause,
    Other,
}

#[derive(Default)]
struct Case {
    test: FailedTest,
    failed: bool,
    skipped: bool,
    /// Text of the first cause.
    text: String,
}

impl Walk<'_> {
    fn step(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(tag) => self.begin(tag)?,
            Event::Empty(tag) => {
                self.begin(tag)?;
                self.end();
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(text),
            Event::CData(text) => self.text(text),
            Event::GeneralRef(reference) => {
                let found = reference.resolve_char_ref().ok().flatten();
                let predefined = match &**reference {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => None,
                };
                if let Some(character) = found.or(predefined) {
                    self.text(character.encode_utf8(&mut [0; 4]));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let name = tag.local_name();
        let name: &str = name.as_ref();
        if self.open.is_empty() && !matches!(name, "testsuites" | "testsuite") {
            return Err(format!("its root is `{}`", short(name)));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("elements are nested more than {DEPTH_MAX} deep"));
        }
        let in_case = self.open.last() == Some(&Element::Case);
        let element = match name {
            "testsuite" | "testsuites" => {
                self.suites.push(attribute(tag, "name").unwrap_or_default());
                Element::Suite
            }
            "testcase" if self.case.is_none() => {
                self.begin_case(tag);
                Element::Case
            }
            "failure" | "error" if in_case => {
                self.cause(tag, name == "error");
                Element::Cause
            }
            "skipped" | "disabled" if in_case => {
                self.case.iter_mut().for_each(|case| case.skipped = true);
                Element::Other
            }
            _ => Element::Other,
        };
        self.open.push(element);
        Ok(())
    }

    fn begin_case(&mut self, tag: &BytesStart<'_>) {
        let seconds = attribute(tag, "time").and_then(|time| time.replace(',', "").parse().ok());
        let milliseconds = seconds.filter(|s: &f64| s.is_finite() && *s > 0.0).map(|s| s * 1000.0);
        // A float beyond the largest integer becomes that.
        self.report.duration_ms =
            self.report.duration_ms.saturating_add(milliseconds.unwrap_or(0.0) as u64);
        let suite = self.suites.iter().rev().find(|name| !name.is_empty()).cloned();
        let test = FailedTest {
            name: attribute(tag, "name").unwrap_or_else(|| "(no name)".into()),
            class: attribute(tag, "classname"),
            suite,
            file: attribute(tag, "file"),
            ..FailedTest::default()
        };
        self.case = Some(Case { test, ..Case::default() });
    }

    /// A test fails for the first of several causes, and an error outweighs a failure.
    fn cause(&mut self, tag: &BytesStart<'_>, is_error: bool) {
        let Some(case) = &mut self.case else { return };
        case.test.error |= is_error;
        if !case.failed {
            case.failed = true;
            case.test.message = attribute(tag, "message").filter(|text| !text.trim().is_empty());
        }
    }

    fn text(&mut self, text: &str) {
        if let (Some(Element::Cause), Some(case)) = (self.open.last(), &mut self.case) {
            let room = TEXT_CHARS_MAX.saturating_sub(case.text.chars().count());
            case.text.extend(text.chars().take(room));
        }
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Element::Suite) => drop(self.suites.pop()),
            Some(Element::Case) => self.end_case(),
            _ => {}
        }
    }

    fn end_case(&mut self) {
        let Some(mut case) = self.case.take() else { return };
        let report = &mut *self.report;
        report.total += 1;
        match (case.failed, case.test.error) {
            (true, true) => report.errors += 1,
            (true, false) => report.failed += 1,
            (false, _) => report.skipped += u64::from(case.skipped),
        }
        if case.failed && report.failures.len() < FAILED_TESTS_MAX {
            let text = Some(case.text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
            case.test.message = case.test.message.or(text);
            report.failures.push(case.test);
        }
    }
}

/// The beginning of an attribute's value; one that cannot be decoded stays as it is written.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    Some(short(value.as_deref().unwrap_or(&attribute.value)))
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// A reader that ends with an error when one event grows too large.
struct Bounded<R> {
    input: R,
    since_event: Rc<Cell<usize>>,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since_event.get() > EVENT_BYTES_MAX {
            return Err(io::Error::other("one text in it is larger than 16 MiB"));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.since_event.set(self.since_event.get() + count);
        self.input.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (TestReport, Result<(), String>) {
        let mut report = TestReport::default();
        let result = parse(text.as_bytes(), &mut report);
        (report, result)
    }

    #[test]
    fn tests_are_counted_where_they_stand_and_failed_ones_named() {
        let (report, result) = parsed(
            r#"<?xml version="1.0"?><!-- c --><testsuites tests="99"><testsuite name="outer">
            <testsuite name="a &amp; b">
              <testcase name="ok" time="0.5"/>
              <testcase name="bad &lt;T&gt;" classname="C" file="t.rs" time="1,000.25">
                <failure message="expected &quot;1&quot;">trace</failure><failure>more</failure>
              </testcase></testsuite>
              <testcase name="text"><failure type="x">  assert &lt; <![CDATA[<b>]]>  </failure></testcase>
              <testcase name="broken"><system-out>x</system-out><error/></testcase>
              <testcase name="skip"><skipped message="later"/></testcase>
            </testsuite></testsuites>"#,
        );
        result.unwrap();
        let counts = [report.total, report.failed, report.errors, report.skipped];
        assert_eq!(counts, [5, 2, 1, 1]);
        assert_eq!(report.duration_ms, 1_000_750);
        let [first, second, third] = &report.failures[..] else { panic!("{report:?}") };
        assert_eq!((&*first.name, first.suite.as_deref()), ("bad <T>", Some("a & b")));
        assert_eq!(first.message.as_deref(), Some("expected \"1\""));
        assert_eq!(second.message.as_deref(), Some("assert < <b>"));
        assert_eq!(second.suite.as_deref(), Some("outer"));
        assert!(third.error && third.message.is_none());
    }

    #[test]
    fn what_is_no_report_is_told_and_what_came_before_counts() {
        let good = "<testsuite><testcase name='a'/>";
        for (text, words) in [
            ("", "no element"),
            ("plain text", "no element"),
            ("<html/>", "its root is `html`"),
            (good, "it ends early"),
            (&format!("{good}<testcase"), "byte"),
            (&format!("{good}</oops>"), "byte"),
            (&"<testsuite>".repeat(300), "nested"),
        ] {
            let (report, result) = parsed(text);
            let wrong = result.unwrap_err();
            assert!(wrong.contains(words), "{text}: {wrong}");
            assert_eq!(report.total, u64::from(text.starts_with(good)));
        }
    }

    #[test]
    fn hostile_reports_cost_no_memory_and_fetch_nothing() {
        let (report, result) = parsed(
            "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'><!ENTITY l 'lol'>]>\
             <testsuite><testcase name='&e;&l;'><failure>&e;</failure></testcase></testsuite>",
        );
        result.unwrap();
        assert_eq!(report.failures[0].name, "&e;&l;");
        assert_eq!(report.failures[0].message, None);

        let huge = io::repeat(b'x').take(EVENT_BYTES_MAX as u64 * 2);
        let head = &b"<testsuite><testcase name='a'/><system-out>"[..];
        let mut report = TestReport::default();
        let wrong = parse(head.chain(huge), &mut report).unwrap_err();
        assert!(wrong.contains("larger than 16 MiB") && report.total == 1, "{wrong}");

        let many = "<testcase name='f'><failure/></testcase>".repeat(FAILED_TESTS_MAX + 5);
        let (report, _) = parsed(&format!("<testsuite>{many}</testsuite>"));
        assert_eq!(report.failures.len(), FAILED_TESTS_MAX);
        assert_eq!(report.failed, FAILED_TESTS_MAX as u64 + 5);
    }
}
