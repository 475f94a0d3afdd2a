//! Member names that some reader would take for one another.
//!
//! Go's `encoding/json` matches names without regard to case, the Kelvin sign and the long s included
//! (CVE-2026-27896), Java's `equalsIgnoreCase` the dotless i too: what such a reader could take is refused.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use caseless::Caseless;

use super::{JsonError, Member};

/// Up to here each pair is compared; above, a hash table keeps the work linear.
const PAIRS_MAX: usize = 12;

/// Refuses the first name that equals an earlier one, or differs only in case from it or from a known one.
pub(super) fn check(members: &[Member<'_>], known: &[&str]) -> Result<(), JsonError> {
    for member in members {
        let imitates = |name: &&str| member.key != **name && same_folded(&member.key, name);
        if known.iter().any(imitates) {
            return Err(twin(member));
        }
    }
    if members.len() <= PAIRS_MAX { check_pairs(members) } else { check_table(members) }
}

/// True if a reader that ignores case would take the two names for one.
pub fn same_folded(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { fold(a) == fold(b) }
}

fn check_pairs(members: &[Member<'_>]) -> Result<(), JsonError> {
    for (index, member) in members.iter().enumerate() {
        for earlier in members.iter().take(index) {
            if earlier.key == member.key {
                return Err(duplicate(member));
            }
            if same_folded(&earlier.key, &member.key) {
                return Err(twin(member));
            }
        }
    }
    Ok(())
}

fn check_table(members: &[Member<'_>]) -> Result<(), JsonError> {
    let mut seen: HashMap<Cow<'_, str>, &str> = HashMap::with_capacity(members.len());
    for member in members {
        match seen.entry(fold(&member.key)) {
            Entry::Occupied(earlier) if *earlier.get() == member.key => return Err(duplicate(member)),
            Entry::Occupied(_) => return Err(twin(member)),
            Entry::Vacant(place) => place.insert(&member.key),
        };
    }
    Ok(())
}

/// Unicode's full folding (names that are equal by simple folding are equal by it too), and then one i: with a
/// dot, without, or with the combining dot that the folding of U+0130 leaves.
pub(super) fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return Cow::Borrowed(name);
    }
    let folded = name.chars().default_case_fold().filter(|c| *c != '\u{307}');
    Cow::Owned(folded.map(|c| if c == 'ı' { 'i' } else { c }).collect())
}

fn duplicate(member: &Member<'_>) -> JsonError {
    JsonError::Duplicate { offset: member.key_span.start }
}

fn twin(member: &Member<'_>) -> JsonError {
    JsonError::Twin { offset: member.key_span.start }
}
