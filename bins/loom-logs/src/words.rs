//! How statuses, reasons, durations and counts read in a sentence.

use libloom_console::Label;
use libloom_contract::{Reason, Status, Timestamp, logs::JobCounts};

/// The reason as documents write it, such as `exit_code`.
pub(crate) fn reason(reason: Reason) -> String {
    let value = serde_json::to_value(reason).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "other".into())
}

/// `failure (step failed)`.
pub(crate) fn outcome(status: Status, why: Option<Reason>) -> String {
    match why {
        Some(why) => format!("{} ({})", status.word(), reason(why).replace('_', " ")),
        None => status.word().to_owned(),
    }
}

/// How a status is painted.
pub(crate) fn label(status: Status) -> Label {
    match status {
        Status::Success => Label::Success,
        Status::Failure => Label::Failure,
        Status::Skipped => Label::Skipped,
        Status::Cancelled => Label::Cancelled,
    }
}

/// `12 ms`, `3.2 s`, `2m 05s`, `1h 02m`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=59 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `2026-11-21 15:00:02`, in UTC.
pub(crate) fn time(time: Timestamp) -> String {
    time.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// `5 jobs: 3 success, 1 failure, 1 skipped`.
pub(crate) fn counts(counts: &JobCounts) -> String {
    let parts = [
        (counts.success, Status::Success),
        (counts.failure, Status::Failure),
        (counts.skipped, Status::Skipped),
        (counts.cancelled, Status::Cancelled),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> =
        parts.map(|(number, status)| format!("{number} {}", status.word())).collect();
    match counts.total {
        0 => "no jobs".into(),
        1 => format!("1 job: {}", parts.join(", ")),
        total => format!("{total} jobs: {}", parts.join(", ")),
    }
}

/// `text` for a POSIX shell: quoted where it must be.
pub(crate) fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_grow_coarser() {
        let shown = [12, 3_240, 125_000, 3_725_000].map(duration);
        assert_eq!(shown, ["12 ms", "3.2 s", "2m 05s", "1h 02m"]);
    }

    #[test]
    fn outcome_names_the_reason() {
        assert_eq!(outcome(Status::Failure, Some(Reason::StepFailed)), "failure (step failed)");
        assert_eq!(reason(Reason::ExitCode), "exit_code");
    }

    #[test]
    fn only_what_needs_quotes_is_quoted() {
        assert_eq!(shell("/tmp/ws-1"), "/tmp/ws-1");
        assert_eq!(shell("/tmp/it's"), r"'/tmp/it'\''s'");
    }
}
