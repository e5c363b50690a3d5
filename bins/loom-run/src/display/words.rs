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

/// `812 KiB`, `45 MiB`, `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match (unit, tenths) {
        (2.., ..1000) => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{} {}", tenths / 10, UNITS[unit]),
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
    fn sizes_have_the_unit_that_fits() {
        let kib = 1024;
        for (bytes, words) in [
            (0, "0 KiB"),
            (1023 * kib, "1023 KiB"),
            (1024 * kib, "1 MiB"),
            (45 * 1024 * kib, "45 MiB"),
            (1_288_490_189, "1.2 GiB"),
        ] {
            assert_eq!(size(bytes), words);
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
