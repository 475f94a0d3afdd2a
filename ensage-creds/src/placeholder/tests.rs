use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

const NOW: SystemTime = UNIX_EPOCH;

fn later() -> SystemTime {
    NOW + Duration::from_secs(60)
}

fn who(session: u8) -> Who<'static> {
    Who { session: [session; 16], enclave: "chip-a", agent: "codex" }
}

fn grant(scope: Scope) -> Grant {
    Grant { credential: "github".into(), scope, expires: later() }
}

fn token(placeholder: &str) -> &[u8] {
    &placeholder.as_bytes()[placeholder.len() - TOKEN_BYTES..]
}

fn named(standing: &Standing) -> &'static str {
    match standing {
        Standing::Own { .. } => "own",
        Standing::WrongSession { .. } => "wrong_session",
        Standing::Expired { .. } => "expired",
        Standing::Unknown => "unknown",
    }
}

#[test]
fn f13_a_placeholder_is_its_prefix_and_128_random_bits() {
    let table = Placeholders::new();
    let a = table.mint("ghp_", grant(Scope::Session([1; 16]))).unwrap();
    let b = table.mint("ghp_", grant(Scope::Session([1; 16]))).unwrap();
    assert_ne!(a, b);
    assert!(a.starts_with("ghp_ens_"));
    assert_eq!(a.len(), 4 + TOKEN_BYTES);
    assert!(token(&a)[4..].iter().all(u8::is_ascii_alphanumeric));
}

#[test]
fn f1_a_placeholder_counts_for_its_session_and_life_only() {
    let table = Placeholders::new();
    let made = table.mint("", grant(Scope::Session([1; 16]))).unwrap();
    let check = |session, now, expected| {
        let standing = table.look_up(token(&made), &who(session), now);
        assert_eq!(named(&standing), expected, "session {session}");
    };
    check(1, NOW, "own");
    check(2, NOW, "wrong_session");
    check(1, later(), "expired");
    check(2, later(), "wrong_session");
    table.end_session(&[2; 16]);
    check(1, NOW, "own");
    table.end_session(&[1; 16]);
    check(1, NOW, "expired");
    check(2, NOW, "wrong_session");
}

#[test]
fn f1_an_agents_placeholder_counts_in_its_enclave_only() {
    let table = Placeholders::new();
    let one = AgentPlaceholder {
        placeholder: mint("sk-").unwrap(),
        credential: "openai".to_owned(),
        enclave: "chip-a".to_owned(),
        agent: "codex".to_owned(),
        expires_us: 60_000_000,
    };
    table.sync_agents(std::slice::from_ref(&one));
    let check = |enclave, agent, expected| {
        let who = Who { session: [9; 16], enclave, agent };
        assert_eq!(named(&table.look_up(token(&one.placeholder), &who, NOW)), expected, "{enclave} {agent}");
    };
    check("chip-a", "codex", "own");
    check("chip-b", "codex", "wrong_session");
    check("chip-a", "claude-code", "wrong_session");
    let own = table.look_up(token(&one.placeholder), &who(1), NOW);
    assert_eq!(own, Standing::Own { credential: "openai".into(), prefix: "sk-".into() });
    table.sync_agents(&[]);
    check("chip-a", "codex", "expired");
    table.sync_agents(std::slice::from_ref(&one));
    check("chip-a", "codex", "own");
    for _ in 0..=ENDED_MAX {
        table.mint("", grant(Scope::Session([1; 16]))).unwrap();
    }
    table.end_session(&[1; 16]);
    check("chip-a", "codex", "own");
}

#[test]
fn what_was_never_given_out_is_unknown() {
    let table = Placeholders::new();
    table.mint("", grant(Scope::Session([1; 16]))).unwrap();
    for bad in ["", "ens_", "ens_0123456789abcdefghijkl", "ens_zzzzzzzzzzzzzzzzzzzzzz", "ens_0123456789abcdefghij!_"] {
        assert_eq!(table.look_up(bad.as_bytes(), &who(1), NOW), Standing::Unknown, "{bad}");
    }
}

#[test]
fn ended_ones_are_forgotten_oldest_first() {
    let table = Placeholders::new();
    let first = table.mint("", grant(Scope::Session([0; 16]))).unwrap();
    table.end_session(&[0; 16]);
    let mut last = String::new();
    for _ in 0..ENDED_MAX {
        last = table.mint("", grant(Scope::Session([1; 16]))).unwrap();
    }
    assert_eq!(named(&table.look_up(token(&first), &who(0), NOW)), "expired");
    table.sweep(later());
    assert_eq!(named(&table.look_up(token(&first), &who(0), NOW)), "unknown");
    assert_eq!(named(&table.look_up(token(&last), &who(1), NOW)), "expired");
    assert_eq!(table.len(), ENDED_MAX);
}

#[test]
fn a_prefix_is_plain_in_headers_and_json() {
    let table = Placeholders::new();
    for bad in ["a b", "a\"", "a\\", "é", "a\n", &"x".repeat(PREFIX_BYTES_MAX + 1)] {
        assert_eq!(table.mint(bad, grant(Scope::Session([1; 16]))), Err(MintError::Prefix), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn digits_are_read_as_they_are_spelled(key: u128) {
        prop_assert_eq!(parse(spell("", key).as_bytes()), Some(key));
    }
}
