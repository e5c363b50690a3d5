//! "Did you mean": the nearest names by edit distance.

/// No more than this many names are suggested.
const MOST: usize = 3;

/// The names nearest to `word`, sorted; none if all are far from it.
///
/// As in cargo a distance above 3 is too far; for short words, above half their length.
pub fn nearest(word: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let limit = (word.chars().count() / 2).clamp(1, 3);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .map(|name| (distance(word, &name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort();
    near.dedup();
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.into_iter().filter(|(d, _)| *d == best).map(|(_, name)| name).take(MOST).collect()
}

/// Edits that lead from `a` to `b`: a character added, removed, replaced, or swapped with the
/// next one (optimal string alignment), in characters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggest(word: &str) -> Vec<String> {
        nearest(word, ["check", "compile", "logs", "run", "snapshot"].map(String::from))
    }

    #[test]
    fn distances() {
        let pairs = [("", "abc", 3), ("run", "run", 0), ("rnu", "run", 1), ("chekc", "check", 1)];
        for (a, b, expected) in pairs {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn typos_find_their_command() {
        assert_eq!(suggest("chekc"), ["check"]);
        assert_eq!(suggest("rn"), ["run"]);
        assert_eq!(suggest("snapshto"), ["snapshot"]);
    }

    #[test]
    fn far_words_find_nothing() {
        assert!(suggest("xyz").is_empty());
        assert!(suggest("deploy").is_empty());
    }
}
