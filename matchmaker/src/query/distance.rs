//! The edit distance of fuzzy terms.

/// How many insertions, deletions, replacements and swaps of neighbours turn one text into the
/// other, if no more than `max` do. Nothing is edited twice. Time grows with 4 to the power of
/// `max`, and with the length.
pub(super) fn distance(one: &str, other: &str, max: u8) -> Option<u8> {
    (0..=max).find(|edits| within(one, other, *edits))
}

fn within(one: &str, other: &str, edits: u8) -> bool {
    let (mut one, mut other) = (one.chars(), other.chars());
    loop {
        let (after_one, after_other) = (one.clone(), other.clone());
        let (Some(a), Some(b)) = (one.next(), other.next()) else {
            let longer = after_one.chain(after_other);
            return longer.take(usize::from(edits) + 1).count() <= usize::from(edits);
        };
        if a == b {
            continue;
        }
        let Some(edits) = edits.checked_sub(1) else {
            return false;
        };
        let (mut swapped_one, mut swapped_other) = (one.clone(), other.clone());
        let swap = swapped_one.next() == Some(b) && swapped_other.next() == Some(a);
        return within(one.as_str(), other.as_str(), edits)
            || within(one.as_str(), after_other.as_str(), edits)
            || within(after_one.as_str(), other.as_str(), edits)
            || swap && within(swapped_one.as_str(), swapped_other.as_str(), edits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edits_are_counted() {
        let check = |one, other, expected| {
            assert_eq!(distance(one, other, 2), expected, "{one} {other}");
            assert_eq!(distance(other, one, 2), expected, "{other} {one}");
        };
        check("", "", Some(0));
        check("", "ab", Some(2));
        check("", "abc", None);
        check("kitten", "kitten", Some(0));
        check("kitten", "sitten", Some(1));
        check("kitten", "kittne", Some(1));
        check("kitten", "kittens", Some(1));
        check("kitten", "sittin", Some(2));
        check("kitten", "sitting", None);
        check("ca", "abc", None); // two swaps and an insertion would edit one letter twice
        check("größe", "große", Some(1));
        check("e\u{301}", "é", Some(2));
    }

    proptest! {
        #[test]
        fn it_is_the_optimal_alignment(one in "[ab]{0,7}", other in "[ab]{0,7}") {
            let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
            let mut table = vec![vec![0_u8; b.len() + 1]; a.len() + 1];
            for i in 0..=a.len() {
                for j in 0..=b.len() {
                    table[i][j] = match (i, j) {
                        (0, edits) | (edits, 0) => u8::try_from(edits).expect("short"),
                        _ => (table[i - 1][j] + 1)
                            .min(table[i][j - 1] + 1)
                            .min(table[i - 1][j - 1] + u8::from(a[i - 1] != b[j - 1])),
                    };
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        table[i][j] = table[i][j].min(table[i - 2][j - 2] + 1);
                    }
                }
            }
            let edits = table[a.len()][b.len()];
            prop_assert_eq!(distance(&one, &other, 2), Some(edits).filter(|edits| *edits <= 2));
        }
    }
}
