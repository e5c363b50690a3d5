//! What test reports say, at the end of a run: how many tests there were, and which failed.

use libloom_console::{Label, Paint, fit, printable};
use libloom_contract::reports::{FailedTest, TestReport};

use super::words::grouped;

/// Failed tests of a job that are named.
const NAMED_MAX: usize = 20;
/// Widest line, where the terminal sets no limit.
const COLUMNS_MAX: usize = 240;

/// Adds the tests of a job whose label is `job`: a line, and one more for each that failed.
pub fn push(text: &mut String, job: &str, tests: &TestReport, paint: Paint, columns: usize) {
    let columns = columns.min(COLUMNS_MAX);
    let parts =
        [(tests.failed, "failed"), (tests.errors, "with errors"), (tests.skipped, "skipped")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: String = parts.map(|(count, word)| format!(", {} {word}", grouped(count))).collect();
    let label = if tests.bad() > 0 { Label::Failure } else { Label::Success };
    let word = paint.paint(label, "tests");
    text.push_str(&format!("{word} of `{job}`: {}{parts}\n", grouped(tests.total)));
    for test in tests.failures.iter().take(NAMED_MAX) {
        text.push_str(&fit(&format!("  - {}", line(test)), columns));
        text.push('\n');
    }
    let more = tests.bad().saturating_sub(tests.failures.len().min(NAMED_MAX) as u64);
    if more > 0 {
        text.push_str(&format!("  and {} more\n", grouped(more)));
    }
}

/// `class name: first line of the message`.
fn line(test: &FailedTest) -> String {
    let place = test.class.as_ref().or(test.suite.as_ref()).filter(|place| !place.is_empty());
    let place = place.map(|place| format!("{place} ")).unwrap_or_default();
    let message = test.message.as_deref().and_then(|text| text.lines().next());
    let message = message.map(|text| format!(": {}", text.trim())).unwrap_or_default();
    printable(&format!("{place}{}{message}", test.name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named_and_the_rest_counted() {
        let failed = |name: &str| FailedTest {
            name: name.into(),
            class: Some("C".into()),
            message: Some("is \x1b[31mred\nmore".into()),
            ..FailedTest::default()
        };
        let failures = (0..25).map(|n| failed(&format!("t{n}"))).collect();
        let report =
            TestReport { total: 1234, failed: 26, skipped: 2, failures, ..Default::default() };
        let mut text = String::new();
        push(&mut text, "unit", &report, Paint::new(false), 80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "tests of `unit`: 1,234, 26 failed, 2 skipped");
        assert_eq!(lines[1], "  - C t0: is \\u{1b}[31mred");
        assert_eq!((lines.len(), lines[21]), (22, "  and 6 more"));
    }
}
