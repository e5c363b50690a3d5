//! Durations, sizes and processor counts as people write them.

pub(crate) use libloom_contract::quantity::size_bytes;

/// `90s`, `1h30m`, `2 days`, in milliseconds.
///
/// Units: ms, s/sec/second(s), m/min/minute(s), h/hour(s), d/day(s), w/week(s). A unit is needed.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after.trim_start(), |c| !c.is_ascii_alphabetic());
        let amount: u64 = number.parse().ok()?;
        total = total.checked_add(amount.checked_mul(unit_ms(unit)?)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// How long artifacts are kept, as GitLab reads it, in seconds: as [`duration_ms`], and also months
/// (30 days), years (365.25 days), `and` between parts, and a number alone, which is seconds.
pub(crate) fn expiry_s(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(seconds);
    }
    let spaced = text.replace(',', " ").replace(" and ", " ");
    let (mut rest, mut days, mut others) = (spaced.trim(), 0_u64, String::new());
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after.trim_start(), |c| !c.is_ascii_alphabetic());
        let amount: u64 = number.parse().ok()?;
        match unit {
            "mo" | "mos" | "mth" | "mths" | "month" | "months" => {
                days = days.checked_add(amount.checked_mul(30)?)?;
            }
            "y" | "yr" | "yrs" | "year" | "years" => {
                days = days.checked_add(amount.checked_mul(1461)? / 4)?;
            }
            _ => others.push_str(&format!("{amount}{unit} ")),
        }
        rest = after.trim_start();
    }
    let others = if others.is_empty() { 0 } else { duration_ms(&others)? / 1000 };
    days.checked_mul(86_400)?.checked_add(others).filter(|_| !text.trim().is_empty())
}

fn unit_ms(unit: &str) -> Option<u64> {
    const SECOND: u64 = 1000;
    Some(match unit {
        "ms" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 604_800 * SECOND,
        _ => return None,
    })
}

/// `2`, `0.5`, `1.25`, in thousandths.
pub(crate) fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 3 || !digits(fraction) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration_ms("90s"), Some(90_000));
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms("1 week 2 days"), Some(777_600_000));
        for wrong in ["", "90", "s", "1x", "-1s", "1h 30", "99999999999999w"] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn expiry_is_read_as_gitlab_does() {
        const DAY: u64 = 86_400;
        for (text, seconds) in [
            ("42", 42),
            ("3 mins 4 sec", 184),
            ("2h20min", 8400),
            ("6 mos 1 day", 181 * DAY),
            ("47 yrs 6 mos and 4d", (17_166 + 180 + 4) * DAY),
            ("3 weeks and 2 days", 23 * DAY),
            ("1 year", 365 * DAY),
            ("0 sec", 0),
        ] {
            assert_eq!(expiry_s(text), Some(seconds), "{text}");
        }
        for wrong in ["", "and", "soon", "1 fortnight", "-1 day", "99999999999999999 years"] {
            assert_eq!(expiry_s(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cpus() {
        assert_eq!(thousandths("1.5"), Some(1500));
        assert_eq!(thousandths("2"), Some(2000));
        assert_eq!([thousandths(".5"), thousandths("1.2345"), thousandths("a")], [None; 3]);
    }
}
