//! Patterns of names, and the nearest of known names to a mistyped one.

/// Most characters of a stage's name.
pub(crate) const STAGE_MAX: usize = 32;
/// Most characters of a job's name, without the dot of a template.
pub(crate) const JOB_MAX: usize = 64;

/// `^[a-z][a-z0-9_-]*$` up to `max` characters.
fn is_lower_name(name: &str, max: usize) -> bool {
    name.len() <= max
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

pub(crate) fn is_stage(name: &str) -> bool {
    is_lower_name(name, STAGE_MAX)
}

/// A job or a template.
pub(crate) fn is_job(name: &str) -> bool {
    is_lower_name(name.strip_prefix('.').unwrap_or(name), JOB_MAX)
}

pub(crate) fn is_template(name: &str) -> bool {
    name.starts_with('.')
}

pub(crate) use libloom_variables::is_name as is_variable;

/// Longest name that is compared with others: comparing takes the square of the length.
const COMPARED_MAX: usize = 2 * JOB_MAX;

/// The nearest of `known` to `name`, if it is near enough to be meant.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = name.chars().count();
    if length > COMPARED_MAX {
        return None;
    }
    let limit = if length <= 4 { 1 } else { 2 };
    known
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

/// Names joined by arrows, of very many only the first and last ones.
pub(crate) fn chain<S: AsRef<str>>(names: &[S]) -> String {
    const ENDS: usize = 10;
    let joined = |names: &[S]| names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" -> ");
    match names.len().checked_sub(2 * ENDS) {
        None | Some(0) => joined(names),
        Some(between) => {
            let (first, last) = (joined(&names[..ENDS]), joined(&names[ENDS + between..]));
            format!("{first} -> ({between} more) -> {last}")
        }
    }
}

/// Edits between two names, a swap of neighbours counting as one; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_documented_ones() {
        assert!(is_stage("ci") && is_stage(&"a".repeat(32)) && !is_stage(&"a".repeat(33)));
        assert!(!is_stage("Ci") && !is_stage("1a") && !is_stage(".a") && !is_stage(""));
        assert!(is_job("a") && is_job(".a-b_1") && is_job(&format!(".{}", "a".repeat(64))));
        assert!(!is_job("..a") && !is_job(&"a".repeat(65)) && !is_job("a b") && !is_job("."));
        assert!(is_variable("A_1") && is_variable("_") && !is_variable("a") && !is_variable("1A"));
    }

    #[test]
    fn nearest_finds_typos_and_nothing_far() {
        let known = ["script", "stage", "services", "image"];
        assert_eq!(nearest("scirpt", known), Some("script"));
        assert_eq!(nearest("Stage", known), Some("stage"));
        assert_eq!(nearest("imgae", known), Some("image"));
        assert_eq!(nearest("tags", known), None);
        assert_eq!(nearest("x", known), None);
    }

    #[test]
    fn distances_count_edits_and_swaps_of_neighbours() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "ABC", 0),
            ("kitten", "sitting", 3),
            ("abcd", "abdc", 1),
            ("abcd", "bacd", 1),
            ("abcd", "abxd", 1),
            ("abcd", "xabcd", 1),
            ("abcd", "bcd", 1),
            ("abcdef", "badcfe", 3),
            ("ca", "abc", 3),
            ("ééé", "éé", 1),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_limit_of_nearness_grows_with_the_name() {
        assert_eq!(nearest("abcd", ["abxy", "abcx"]), Some("abcx"));
        assert_eq!(nearest("abcd", ["abxy"]), None);
        assert_eq!(nearest("abcde", ["abcxy"]), Some("abcxy"));
        assert_eq!(nearest("abcdefgh", ["abcdexyz"]), None);
        assert_eq!(nearest("abcde", ["abcdy", "abcdx"]), Some("abcdx"));
        assert_eq!(nearest("abc", ["abc"]), None);
    }

    #[test]
    fn of_a_long_chain_only_the_ends_are_told() {
        let names: Vec<String> = (0..21).map(|i| i.to_string()).collect();
        let whole = |count: usize| names[..count].join(" -> ");
        assert_eq!(chain(&names[..2]), "0 -> 1");
        assert_eq!(chain(&names[..20]), whole(20));
        assert_eq!(
            chain(&names),
            format!("{} -> (1 more) -> {}", whole(10), names[11..].join(" -> "))
        );
    }
}
