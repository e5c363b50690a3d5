//! Times, sizes, counts and outcomes in words.

use std::time::Duration;

use libloom_console::{Label, printable};
use libloom_contract::Status;

use crate::{steps::ended_by, verdict::Verdict};

/// The style of an outcome.
pub fn label(status: Status) -> Label {
    match status {
        Status::Success => Label::Success,
        Status::Failure => Label::Failure,
        Status::Skipped => Label::Skipped,
        Status::Cancelled => Label::Cancelled,
    }
}

/// Why it did not succeed, as the end of a line.
pub fn because(verdict: &Verdict) -> String {
    verdict.message.as_ref().map(|text| format!(": {}", printable(text))).unwrap_or_default()
}

/// `340ms`, `2.5s`, `3m20s`, `1h02m`.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.1}s", time.as_secs_f64()),
        _ => elapsed(time),
    }
}

/// The same in whole seconds: `0s`, `3m20s`.
pub fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a, b, c and 4 more`; at most `most` by name.
pub fn listed(names: &[&str], most: usize) -> String {
    let named = names.iter().take(most).map(|name| printable(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => named,
        more => format!("{named} and {} more", grouped(more as u64)),
    }
}

/// What an exit code of a shell says beyond its number, in parentheses; nothing for most.
pub fn meaning(exit_code: i32) -> String {
    match exit_code {
        126 => " (the command was found but cannot be executed)".into(),
        127 => " (command not found)".into(),
        // What shells make of signal n; above that no signal is.
        129..=192 => format!(" ({})", ended_by(exit_code - 128)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_exact_enough() {
        for (ms, long, short) in [
            (0, "0ms", "0s"),
            (340, "340ms", "0s"),
            (2_540, "2.5s", "2s"),
            (200_000, "3m20s", "3m20s"),
            (3_720_000, "1h02m", "1h02m"),
        ] {
            let time = Duration::from_millis(ms);
            assert_eq!((&*duration(time), &*elapsed(time)), (long, short));
        }
    }

    #[test]
    fn counts_and_lists_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(listed(&["a", "b"], 2), "a, b");
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
    }

    #[test]
    fn exit_codes_of_shells_are_explained() {
        assert_eq!(meaning(1), "");
        assert_eq!(meaning(127), " (command not found)");
        assert_eq!(meaning(137), " (ended by signal 9 (SIGKILL))");
    }
}
