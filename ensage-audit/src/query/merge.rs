//! Puts the close of a call into the call, text by text, so that order and numbers stay as they were stored.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Members of an `end` that are about the record, not about the call.
const OWN: [&str; 6] = ["v", "seq", "time", "kind", "id", "prev"];

/// The call with what its `end` adds. Where both have a member, the end's counts; the higher severity counts.
pub(super) fn end_into_call(call: &str, end: &str) -> String {
    // Both were read before; should one be no object after all, the call as it is says the most.
    merged(call, end, 0).unwrap_or_else(|| call.to_owned())
}

/// The call while it runs.
pub(super) fn open(call: &str) -> String {
    with(call, "\"open\":true")
}

/// A call whose gateway ended before it did.
pub(super) fn stopped(call: &str) -> String {
    with(call, "\"outcome\":\"gateway_stopped\"")
}

fn with(call: &str, member: &str) -> String {
    match call.strip_suffix('}') {
        Some(head) => format!("{head},{member}}}"),
        None => call.to_owned(),
    }
}

/// The members of an object in their order; values are text.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// `depth` is bounded by what serde_json reads at all (128).
fn merged(call: &str, end: &str, depth: usize) -> Option<String> {
    let call: Object<'_> = serde_json::from_str(call).ok()?;
    let mut end: Object<'_> = serde_json::from_str(end).ok()?;
    if depth == 0 {
        end.0.retain(|(key, _)| !OWN.contains(&key.as_str()));
    }
    let mut out = String::from("{");
    for (key, value) in &call.0 {
        let over = end.0.iter().position(|(other, _)| other == key).map(|at| end.0.remove(at).1.get());
        let value = value.get();
        match over {
            None => push(&mut out, key, value),
            Some(over) if depth == 0 && key == "severity" => push(&mut out, key, higher(value, over)),
            Some(over) => match merged(value, over, depth + 1) {
                Some(both) => push(&mut out, key, &both),
                None => push(&mut out, key, over),
            },
        }
    }
    for (key, value) in &end.0 {
        push(&mut out, key, value.get());
    }
    out.push('}');
    Some(out)
}

fn push(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    // Keys are this crate's own words; `to_string` of a text never fails.
    out.push_str(&serde_json::to_string(key).unwrap_or_default());
    out.push(':');
    out.push_str(value);
}

fn higher<'a>(one: &'a str, other: &'a str) -> &'a str {
    let rank = |severity: &str| ["\"info\"", "\"low\"", "\"medium\"", "\"high\""].iter().position(|s| *s == severity);
    if rank(one) >= rank(other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_adds_and_wins() {
        let call = r#"{"v":1,"seq":4,"time":"a","kind":"call","id":"x","prev":"p","severity":"low","http":{"request":{"method":"GET"}},"n":1.50,"rule":"r"}"#;
        for (end, want) in [
            (
                r#"{"v":1,"seq":9,"time":"b","kind":"end","id":"x","prev":"q","severity":"high","http":{"response":{"status_code":200}},"outcome":"complete"}"#,
                r#"{"v":1,"seq":4,"time":"a","kind":"call","id":"x","prev":"p","severity":"high","http":{"request":{"method":"GET"},"response":{"status_code":200}},"n":1.50,"rule":"r","outcome":"complete"}"#,
            ),
            (
                r#"{"severity":"info","rule":{"a":1}}"#,
                r#"{"v":1,"seq":4,"time":"a","kind":"call","id":"x","prev":"p","severity":"low","http":{"request":{"method":"GET"}},"n":1.50,"rule":{"a":1}}"#,
            ),
            ("[]", call),
        ] {
            assert_eq!(end_into_call(call, end), want);
        }
    }

    #[test]
    fn without_an_end() {
        assert_eq!(open(r#"{"a":1}"#), r#"{"a":1,"open":true}"#);
        assert_eq!(stopped(r#"{"a":1}"#), r#"{"a":1,"outcome":"gateway_stopped"}"#);
    }
}
