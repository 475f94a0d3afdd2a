//! Which known word a misspelt one was probably meant to be.

/// Longest word that is compared; the cost is the product of both lengths.
const COMPARED_CHARS_MAX: usize = 64;

/// Most words that one is compared with.
const COMPARED_WORDS_MAX: usize = 256;

/// The nearest of `known`, if it is near enough to be a slip of the fingers.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = word.chars().count();
    if length > COMPARED_CHARS_MAX {
        return None;
    }
    let near_enough = (length / 3).max(1);
    let word = word.to_lowercase();
    known
        .into_iter()
        .filter(|k| k.chars().count().abs_diff(length) <= near_enough)
        .take(COMPARED_WORDS_MAX)
        .map(|k| (distance(&word, k), k))
        .filter(|(d, _)| *d <= near_enough)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Help for an unknown word: the nearest known one, else all of them.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
    if all.is_empty() { "nothing may stand here".to_owned() } else { format!("known here: {}", all.join(", ")) }
}

/// Edits (insert, delete, replace, swap of neighbours) that make `a` of `b`: optimal string alignment.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().take(COMPARED_CHARS_MAX).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, &y) in b.iter().enumerate() {
            let of = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
            let replaced = of(&above, j).saturating_add(usize::from(x != y));
            let deleted = of(&above, j.saturating_add(1)).saturating_add(1);
            let inserted = of(&row, j).saturating_add(1);
            let mut best = replaced.min(deleted).min(inserted);
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i) == Some(&y)
                && b.get(j) == Some(&x)
            {
                best = best.min(of(&before, j).saturating_add(1));
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("mode", "mode", 0),
            ("moed", "mode", 1),
            ("mod", "mode", 1),
            ("modes", "mode", 1),
            ("node", "mode", 1),
            ("kitten", "sitting", 3),
            ("schlüssel", "schlussel", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_meant() {
        let known = ["listen", "mode", "workers"];
        assert_eq!(nearest("lsiten", known), Some("listen"));
        assert_eq!(nearest("Mode", known), Some("mode"));
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(65), known), None);
        assert_eq!(did_you_mean("colour", &known), "known here: `listen`, `mode`, `workers`");
    }
}
