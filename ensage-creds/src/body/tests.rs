use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::egress::Slot;
use crate::examine::PathFit;
use crate::placeholder::{Grant, Scope};

const NOW: SystemTime = UNIX_EPOCH;
const ME: Who<'static> = Who { session: [1; 16], enclave: "chip-a", agent: "codex" };
const STRANGER: Who<'static> = Who { session: [2; 16], ..ME };

fn table() -> (Placeholders, String) {
    let table = Placeholders::new();
    let expires = NOW + Duration::from_secs(60);
    let grant = Grant { credential: "github".into(), scope: Scope::Session([1; 16]), expires };
    let placeholder = table.mint("npm_", grant).unwrap();
    (table, placeholder)
}

/// Spells each character as its number says: plain, percent-encoded, JSON-escaped.
fn spell(text: &str, ways: &[u8]) -> String {
    let spelled = text.bytes().zip(ways.iter().cycle()).map(|(b, way)| match way % 3 {
        0 => char::from(b).to_string(),
        1 => format!("%{b:02x}"),
        _ => format!("\\u{b:04X}"),
    });
    spelled.collect()
}

fn search(table: &Placeholders, who: &Who<'_>, body: &str, chunk: usize) -> Vec<&'static str> {
    let mut search = BodySearch::new();
    let found = body.as_bytes().chunks(chunk).filter_map(|c| search.feed(c, who, table, NOW));
    found.map(|standing| standing.misuse(&[]).code()).collect()
}

#[test]
fn f2_a_placeholder_in_a_passing_body_is_found_at_every_split() {
    let (table, placeholder) = table();
    for ways in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let body = format!("--x\r\n\r\n{}\r\n{}--", spell(&placeholder, ways), "y".repeat(300));
        for chunk in 1..body.len() {
            assert_eq!(search(&table, &ME, &body, chunk), ["placeholder_wrong_host"], "{ways:?} by {chunk}");
        }
        assert_eq!(search(&table, &STRANGER, &body, 7), ["placeholder_wrong_session"]);
    }
    let unknown = "ens_0123456789ABCDEFGHIJab";
    assert_eq!(search(&table, &ME, &format!("{unknown} {}", &placeholder[..29]), 7), [""; 0]);
    assert_eq!(search(&table, &ME, &format!("{placeholder} {placeholder}"), 1).len(), 2);
}

#[test]
fn what_is_told_of_a_placeholder_in_a_body() {
    let (table, placeholder) = table();
    let standing = table.look_up(&placeholder.as_bytes()[4..], &ME, NOW);
    let site = |host| Site { name: "github", slots: &[Slot::Bearer], host, path: PathFit::Covered };
    assert_eq!(standing.misuse(&[site(HostFit::Bound)]), Misuse::WrongSlot);
    assert_eq!(standing.misuse(&[site(HostFit::Unbound)]), Misuse::WrongHost);
    assert_eq!(standing.credential().map(|c| &**c), Some("github"));
}

#[test]
fn a_messages_placeholder_is_overwritten_and_the_json_stays() {
    let (table, p) = table();
    let stars = "*".repeat(p.len());
    let check = |before: &str, after: &str, count| {
        let mut body = before.as_bytes().to_vec();
        let masked = mask_json(&mut body, &ME, &table, NOW).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), after, "{before}");
        assert_eq!(masked.count, count, "{before}");
        assert_eq!(masked.credential.is_some(), count > 0);
    };
    check(r#"{"a":"b_c\n%41"}"#, r#"{"a":"b_c\n%41"}"#, 0);
    check(&format!(r#"{{"a":"{p}"}}"#), &format!(r#"{{"a":"{stars}"}}"#), 1);
    check(&format!(r#"["{p}{p}", "x{p}y"]"#), &format!(r#"["{stars}{stars}", "x{stars}y"]"#), 3);
    check(&format!(r#"["{}"]"#, &p[4..]), &format!(r#"["{}"]"#, &stars[4..]), 1);
    check(&format!(r#"["{}"]"#, spell(&p, &[2])), &format!(r#"["{}"]"#, "*".repeat(180)), 1);
    check(&format!(r#"["{}"]"#, spell(&p, &[1, 0])), &format!(r#"["{}"]"#, "*".repeat(60)), 1);
    // `\n` and `\\` end in letters that the prefix begins with, or that begin an escape.
    check(&format!(r#"["\{p}"]"#), &format!(r#"["\n{}"]"#, &stars[1..]), 1);
    check(&format!(r#"["\\{p}"]"#), &format!(r#"["\\{stars}"]"#), 1);
    check(&format!(r#"["\\{}"]"#, spell(&p, &[2, 0, 0])), &format!(r#"["\\{}"]"#, "*".repeat(80)), 1);
    check(&format!(r#"["\\\{}"]"#, spell(&p, &[2, 0, 0])), &format!(r#"["\\\\{}"]"#, "*".repeat(79)), 1);
    check(&format!(r#"["\u000{}"]"#, &p[4..]), &format!(r#"["\u000e{}"]"#, &stars[5..]), 1);
}

#[test]
fn a_prefix_is_overwritten_in_every_spelling() {
    // `6` is `%36` and `\u0036`, whose last byte is a `6` too.
    let table = Placeholders::new();
    let expires = NOW + Duration::from_secs(60);
    let grant = Grant { credential: "k6".into(), scope: Scope::Session([1; 16]), expires };
    let p = table.mint("k6-6", grant).unwrap();
    for ways in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let mut body = spell(&p, ways).into_bytes();
        mask_json(&mut body, &ME, &table, NOW).unwrap();
        assert!(body.iter().all(|&b| b == b'*'), "{ways:?} {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn anothers_placeholder_in_a_message_is_misuse() {
    let (table, p) = table();
    let check = |who: &Who<'_>, text: &str, now, expected: &Result<usize, Misuse>| {
        let mut body = text.as_bytes().to_vec();
        let masked = mask_json(&mut body, who, &table, now).map(|m| m.count).map_err(|s| s.misuse(&[]));
        assert_eq!(&masked, expected, "{text}");
        assert_eq!(masked.is_err(), body == text.as_bytes(), "{text}");
    };
    let unknown = "ens_0123456789ABCDEFGHIJab";
    check(&ME, &format!("\"{p}\""), NOW, &Ok(1));
    check(&STRANGER, &format!("\"{p}\""), NOW, &Err(Misuse::WrongSession));
    check(&ME, &format!("\"{p}\""), NOW + Duration::from_secs(60), &Err(Misuse::Expired));
    check(&ME, &format!("\"{p} {unknown}\""), NOW, &Err(Misuse::Unknown));
    check(&STRANGER, &format!("\"{unknown} {p}\""), NOW, &Err(Misuse::WrongSession));
    check(&ME, &format!("\"{p} tokens_abcdefghijklmnopqrstuv\""), NOW, &Ok(1));
}

#[test]
fn a_record_shows_no_placeholder() {
    assert_eq!(mask_text("/a_b/%41"), "/a_b/%41");
    assert_eq!(mask_text("/ghp_ens_0123456789ABCDEFGHIJab/é"), format!("/ghp_{}/é", "*".repeat(26)));
    assert_eq!(mask_text("/é%65ns_0123456789ABCDEFGHIJab"), format!("/é{}", "*".repeat(28)));
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        before in proptest::collection::vec(any::<u8>(), 0..200),
        ways in proptest::collection::vec(0..3u8, 1..30),
        sizes in proptest::collection::vec(1..50usize, 1..20),
    ) {
        let (table, placeholder) = table();
        let mut body = before;
        body.extend_from_slice(spell(&placeholder, &ways).as_bytes());
        let mut search = BodySearch::new();
        let (mut rest, mut found) = (body.as_slice(), 0);
        for size in sizes.iter().cycle() {
            let (chunk, more) = rest.split_at((*size).min(rest.len()));
            found += usize::from(search.feed(chunk, &ME, &table, NOW).is_some());
            rest = more;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(found, 1);
    }

    #[test]
    fn masked_json_is_json_without_the_placeholder(
        before in "[a-z\\\\\"/\n\u{0}\u{e}é%]{0,6}",
        after in "[a-z\\\\\"/\n\u{0}é%]{0,6}",
        ways in proptest::collection::vec(0..3u8, 1..30),
    ) {
        let (table, p) = table();
        let quote = |text: &str| {
            let quoted = serde_json::to_string(text).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        };
        let text = format!("{{\"{}{}{}\":1}}", quote(&before), spell(&p, &ways), quote(&after));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        let mut body = text.clone().into_bytes();
        prop_assert_eq!(mask_json(&mut body, &ME, &table, NOW).unwrap().count, 1);
        prop_assert_eq!(body.len(), text.len());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "{}", text);
        prop_assert_eq!(find::tokens(&body).count(), 0);
    }
}
