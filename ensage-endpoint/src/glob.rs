//! The globs of the catalogue: `*` any run but `/`, `**` any run, `?` one character, the rest is itself; whole text.

/// Whether `text` is one of the texts that `pattern` stands for. Time is bounded by the product of their lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    // What is left out of most texts is told fast.
    if !pattern.split(['*', '?']).all(|part| text.contains(part)) {
        return false;
    }
    let text: Vec<char> = text.chars().collect();
    // `reached[i]`: the pattern so far can end before character i.
    let mut reached = vec![false; text.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '*' {
            let deep = rest.next_if_eq(&'*').is_some();
            let mut open = false;
            for (at, here) in reached.iter_mut().enumerate() {
                // A run that is open before character `at` may also end here.
                let crosses = at.checked_sub(1).and_then(|before| text.get(before));
                open = *here || (open && (deep || crosses != Some(&'/')));
                *here = open;
            }
        } else {
            for at in (0..reached.len()).rev() {
                let before = at.checked_sub(1);
                let fits = before.and_then(|before| text.get(before)).is_some_and(|c| letter == '?' || *c == letter);
                let was = before.and_then(|before| reached.get(before)).copied().unwrap_or(false);
                if let Some(here) = reached.get_mut(at) {
                    *here = fits && was;
                }
            }
        }
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_texts_match() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "A", false),
            ("*", "ab", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("**/bin/codex", "/usr/bin/codex", true),
            ("**/bin/codex", "/bin/codex", true),
            ("**/bin/codex", "bin/codex", false),
            ("**/bin/codex", "/usr/bin/codex2", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", false),
            ("/a/**/c", "/a/b/b/c", true),
            ("c?i*.js", "cli.js", true),
            ("c?i*.js", "cli-1.js", true),
            ("c?i*.js", "ci.js", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("[a]", "a", false),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    /// The definition itself, in exponential time.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', '*', rest @ ..] => (0..=text.len()).any(|cut| by_definition(rest, &text[cut..])),
            ['*', rest @ ..] => {
                (0..=text.len()).any(|cut| !text[..cut].contains(&'/') && by_definition(rest, &text[cut..]))
            }
            ['?', rest @ ..] => !text.is_empty() && by_definition(rest, &text[1..]),
            [letter, rest @ ..] => text.first() == Some(letter) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[a/*?]{0,6}", text in "[ab/]{0,7}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), by_definition(&p, &t));
        }
    }
}
