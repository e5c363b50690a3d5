//! Points in time as options such as `--since` take them: an age, or a moment.

use std::time::{Duration, SystemTime};

use libloom_contract::Timestamp;
use libloom_entry::parse_age;

/// A point in time that someone typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Ago(Duration),
    At(Timestamp),
}

impl When {
    /// The moment it means now.
    pub(crate) fn moment(self) -> Timestamp {
        match self {
            When::At(time) => time,
            When::Ago(age) => {
                let time = SystemTime::now().checked_sub(age);
                Timestamp::from(time.unwrap_or(SystemTime::UNIX_EPOCH))
            }
        }
    }
}

/// Reads `90s`, `12h`, `7d` or `2026-11-21T14:33:00Z`.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    let wrong = |_| {
        format!(
            "`{text}` is neither an age such as 90s, 12h or 7d nor a time such as 2026-11-21T14:33:00Z"
        )
    };
    parse_age(text).map(When::Ago).or_else(|_| text.parse().map(When::At).map_err(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_moments_are_told_apart() {
        assert_eq!(parse("2h"), Ok(When::Ago(Duration::from_secs(7200))));
        let moment = parse("2026-11-21T14:33:00Z").map(When::moment).unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T14:33:00.000000Z");
        assert!(parse("yesterday").is_err_and(|error| error.contains("`yesterday` is neither")));
        assert!(When::Ago(Duration::MAX).moment() < When::Ago(Duration::ZERO).moment());
    }
}
