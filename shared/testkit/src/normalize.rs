//! Output with everything that differs between two runs replaced by a word.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// Patterns and their words; the longer id comes first, since it holds the shorter.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let pattern = |text| Regex::new(text).expect("the patterns are fixed and valid");
    vec![
        (pattern(r"loom-run-local-\d+-[0-9A-Za-z]+"), "[WORKSPACE]"),
        (pattern(r"loom-snapshot-\d+-[0-9A-Za-z]+"), "[SNAPSHOT]"),
        (pattern(r"loom-run-local-\d+"), "[RUN]"),
        (pattern(r"loom-local-\d+"), "[PIPELINE]"),
        (pattern(r"loom-snapshot-\d+"), "[SNAPSHOT]"),
        (pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "[TIME]"),
        (pattern(r"\b[0-9a-f]{64}\b"), "[SHA256]"),
        (pattern(r"\b[0-9a-f]{40}\b"), "[COMMIT]"),
        (pattern(r"\b\d+(\.\d+)?(ms|s)\b"), "[DURATION]"),
    ]
});

/// `text` with `root` as `[SANDBOX]`, and ids, times, digests and durations as words.
pub fn normalize(text: &str, root: &Path) -> String {
    let mut text = text.replace(&root.display().to_string(), "[SANDBOX]");
    for (pattern, word) in PATTERNS.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_times_and_paths_become_words() {
        let text =
            "/x/tmp/loom-run-local-17-aB3 loom-run-local-17 2026-01-02T03:04:05.123456Z 1.5s";
        let expected = "[SANDBOX]/tmp/[WORKSPACE] [RUN] [TIME] [DURATION]";
        assert_eq!(normalize(text, Path::new("/x")), expected);
    }
}
