//! Finds the key that was meant.

/// The known key that a slip of the pen makes into this one, if there is one.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // Two slips in a long key, one in a short: more would suggest unrelated keys.
    let most = (key.chars().count() / 3).clamp(1, 2);
    known
        .iter()
        .map(|known| (distance(key, known), *known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The Levenshtein distance of two texts, computed with a row of the matrix at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, r) in right.iter().enumerate() {
            let change = diagonal + usize::from(l != *r);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_the_key_and_another_word_does_not() {
        let known = ["max_in_flight", "timeout", "rate", "url"];
        for (key, expected) in [
            ("max_inflight", Some("max_in_flight")),
            ("timeuot", Some("timeout")),
            ("time_out", Some("timeout")),
            ("rat", Some("rate")),
            ("uri", Some("url")),
            ("body", None),
            ("x", None),
        ] {
            assert_eq!(nearest(key, &known), expected, "{key}");
        }
    }
}
