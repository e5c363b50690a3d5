//! Ages as options such as `--older-than` take them.

use std::time::Duration;

/// Reads `90s`, `30m`, `12h`, `7d`, `2w`.
///
/// # Errors
/// A sentence that names what was typed and shows how an age is written.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not an age such as 90s, 30m, 12h, 7d or 2w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_people_write_them() {
        assert_eq!(parse_age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        let wrong = ["", "7", "d", "1y", "-1d", "99999999999999999w"];
        assert!(wrong.iter().all(|text| parse_age(text).is_err()));
    }
}
