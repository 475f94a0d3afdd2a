use std::time::{Duration, UNIX_EPOCH};

use base64::prelude::BASE64_STANDARD;
use http::Request;
use proptest::prelude::*;

use super::*;
use crate::placeholder::{Grant, Scope};

const NOW: SystemTime = UNIX_EPOCH;
const ME: Who<'static> = Who { session: [1; 16], enclave: "chip-a", agent: "codex" };

/// A table with one placeholder of each kind, and the sites of a request to a host that `github` binds.
struct Rig {
    table: Placeholders,
    github: String,
    other: String,
    stranger: String,
    expired: String,
    anthropic: String,
    slots: Vec<Slot>,
    host: HostFit,
    path: PathFit,
}

fn grant(credential: &str, session: u8, seconds: u64) -> Grant {
    let expires = NOW + Duration::from_secs(seconds);
    Grant { credential: credential.into(), scope: Scope::Session([session; 16]), expires }
}

impl Rig {
    fn new() -> Self {
        let table = Placeholders::new();
        let mint = |credential, session, seconds| table.mint("ghp_", grant(credential, session, seconds)).unwrap();
        Self {
            github: mint("github", 1, 60),
            other: mint("pdk", 1, 60),
            stranger: mint("github", 2, 60),
            expired: mint("github", 1, 0),
            anthropic: mint("anthropic", 1, 60),
            slots: vec![Slot::Bearer, Slot::Header(HeaderName::from_static("x-api-key"))],
            host: HostFit::Bound,
            path: PathFit::Covered,
            table,
        }
    }

    fn find(&self, target: &str, fields: &[(&str, &str)]) -> Finding {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let own = [Slot::Header(HeaderName::from_static("x-token"))];
        let sites = [
            Site { name: "github", slots: &self.slots, host: self.host, path: self.path },
            Site { name: "pdk", slots: &own, host: self.host, path: self.path },
            Site { name: "anthropic", slots: &self.slots, host: HostFit::Unbound, path: PathFit::Covered },
        ];
        examine(&request.body(()).unwrap().into_parts().0, &ME, &sites, &self.table, NOW)
    }

    fn check(&self, target: &str, fields: &[(&str, &str)], expected: &str) {
        let shown = match self.find(target, fields) {
            Finding::Bare => "bare".to_owned(),
            Finding::Ambiguous => "ambiguous".to_owned(),
            Finding::Placeholder { credential, slot } => format!("{credential} in {}", slot.header()),
            Finding::Foreign { place } => format!("foreign {place}"),
            Finding::Misuse { misuse, credential } => {
                format!("{} {}", misuse.code().trim_start_matches("placeholder_"), credential.as_deref().unwrap_or("-"))
            }
        };
        assert_eq!(shown, expected, "{target} {fields:?}");
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn json(text: &str) -> String {
    text.bytes().map(|b| format!("\\u{b:04x}")).collect()
}

#[test]
fn a_placeholder_in_its_slot_is_taken() {
    let rig = Rig::new();
    let bearer = format!("Bearer {}", rig.github);
    rig.check("/", &[("authorization", &bearer)], "github in authorization");
    rig.check("/", &[("authorization", &bearer.replace("Bearer", "bEARER "))], "github in authorization");
    rig.check("/", &[("authorization", &bearer), ("accept", "*/*")], "github in authorization");
    rig.check("/", &[("x-api-key", &rig.github)], "github in x-api-key");
    rig.check("/", &[("x-token", &rig.other)], "pdk in x-token");
    rig.check("/", &[], "bare");
    rig.check("/my_tokens_abcdefghijklmnopqrstuv?a=%41", &[("cookie", "lens_aaaaaaaaaaaaaaaaaaaaaa=1")], "bare");
    rig.check("/", &[("authorization", "")], "bare");
    rig.check("/?keys=1&key=&monkey=2", &[("user-agent", "a_b\\c%20d")], "bare");
}

#[test]
fn f1_f2_a_placeholder_elsewhere_is_misuse() {
    let rig = Rig::new();
    let p = rig.github.as_str();
    for target in [format!("/a/{p}"), format!("/?key={p}"), format!("/?q=a{p}b"), format!("http://x:{p}@h/")] {
        rig.check(&target, &[], "wrong_slot github");
    }
    let bearer = format!("Bearer {p}");
    for (name, value) in [
        ("cookie", format!("a=b; c={p}")),
        ("x-token", p.to_owned()),
        ("authorization", p.to_owned()),
        ("authorization", format!("Bearer{p}")),
        ("authorization", format!("Bearer x{p}")),
        ("authorization", format!("Bearer {p}x")),
        ("authorization", format!("Bearer {p}, {p}")),
        ("authorization", format!("Bearer {}", &p[4..])),
        ("authorization", format!("token {p}")),
        ("x-api-key", bearer.clone()),
        ("proxy-authorization", bearer.clone()),
        ("x-any", format!("{{\"a\":\"{p}\"}}")),
        ("user-agent", p.to_owned()),
    ] {
        rig.check("/", &[(name, &value)], "wrong_slot github");
        rig.check("/", &[("authorization", &bearer), (name, &value)], "wrong_slot github");
    }
    rig.check("/", &[("authorization", &format!("Bearer {}", rig.anthropic))], "wrong_host anthropic");
    rig.check(&format!("/{}", rig.anthropic), &[], "wrong_host anthropic");
}

#[test]
fn f3_every_spelling_counts() {
    let rig = Rig::new();
    let p = rig.github.as_str();
    let twice = percent(&percent(p));
    for spelled in [percent(p), json(p), twice, percent(&json(p)), json(&percent(p)), percent(&percent(&percent(p)))] {
        rig.check("/", &[("x-any", &spelled)], "wrong_slot github");
        rig.check("/", &[("authorization", &format!("Bearer {spelled}"))], "wrong_slot github");
        if !spelled.contains('\\') {
            rig.check(&format!("/{spelled}"), &[], "wrong_slot github");
            rig.check(&format!("/?a={spelled}"), &[], "wrong_slot github");
        }
    }
    // `??>` is `Pz8+` in one alphabet and `Pz8-` in the other.
    let url_safe = BASE64_STANDARD.encode(format!("??>:{p}")).replace('+', "-");
    rig.check("/", &[("authorization", &format!("Basic {url_safe}"))], "wrong_slot github");
    for user in ["", "x", "xy", "x-access-token", "??>"] {
        let encoded = BASE64_STANDARD.encode(format!("{user}:{p}"));
        rig.check("/", &[("authorization", &format!("basic  {encoded}"))], "wrong_slot github");
        rig.check("/", &[("proxy-authorization", &format!("Basic {encoded}"))], "wrong_slot github");
        rig.check("/", &[("x-any", &format!("Basic {encoded}"))], "wrong_slot github");
        rig.check("/", &[("x-api-key", encoded.trim_end_matches('='))], "wrong_slot github");
        rig.check("/", &[("x-token", &encoded)], "wrong_slot github");
    }
}

#[test]
fn which_misuse_is_told() {
    let mut rig = Rig::new();
    let bearer = |p: &str| format!("Bearer {p}");
    let (mine, stranger, expired) = (bearer(&rig.github), bearer(&rig.stranger), bearer(&rig.expired));
    let unknown = bearer("ghp_ens_0123456789ABCDEFGHIJab");
    rig.check("/", &[("authorization", &stranger)], "wrong_session github");
    rig.check("/", &[("authorization", &expired)], "expired github");
    rig.check("/", &[("authorization", &unknown)], "unknown -");
    rig.check("/", &[("authorization", &unknown), ("x-a", &expired)], "expired github");
    rig.check("/", &[("x-a", &expired), ("authorization", &stranger)], "wrong_session github");
    rig.check("/", &[("x-a", &mine), ("authorization", &unknown)], "unknown -");
    rig.check("/", &[("x-a", &mine), ("x-b", &rig.anthropic)], "wrong_host anthropic");
    rig.path = PathFit::Outside;
    rig.check("/", &[("authorization", &mine)], "wrong_path github");
    rig.check("/", &[("authorization", &mine), ("x-a", &mine)], "wrong_slot github");
    rig.check("/?key=x", &[("authorization", &mine)], "foreign query parameter key");
    rig.host = HostFit::Unbound;
    rig.check("/", &[("authorization", &mine)], "wrong_host github");
    rig.check("/", &[("authorization", "Bearer sk-own"), ("x-token", "t")], "bare");
    rig.check("/?key=x", &[], "bare");
}

#[test]
fn e7_another_key_on_a_bound_host_is_foreign() {
    let rig = Rig::new();
    for name in ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "x-token"] {
        rig.check("/", &[(name, "sk-attacker")], &format!("foreign header {name}"));
        let bearer = format!("Bearer {}", rig.github);
        let both = rig.find("/", &[("authorization", &bearer), (name, "sk-attacker")]);
        assert_eq!(both, Finding::Foreign { place: Place::Header(name.parse().unwrap()) }, "{name}");
    }
    for (query, name) in [("key=x", "key"), ("a=b&%61pi_key=x", "api_key"), ("access_token=x&", "access_token")] {
        rig.check(&format!("/?{query}"), &[], &format!("foreign query parameter {name}"));
    }
}

#[test]
fn b10_repeated_fields_and_two_placeholders() {
    let rig = Rig::new();
    let bearer = format!("Bearer {}", rig.github);
    let second = rig.table.mint("ghp_", grant("github", 1, 60)).unwrap();
    let again = format!("Bearer {second}");
    rig.check("/", &[("authorization", &bearer), ("authorization", &bearer)], "github in authorization");
    rig.check("/", &[("authorization", &bearer), ("authorization", &again)], "ambiguous");
    rig.check("/", &[("authorization", &bearer), ("authorization", "Bearer x")], "foreign header authorization");
    rig.check("/", &[("authorization", &bearer), ("x-token", &rig.other)], "ambiguous");
    rig.check("/", &[("x-api-key", &rig.github), ("authorization", &bearer)], "github in authorization");
    rig.check("/", &[("authorization", &bearer), ("x-api-key", &rig.github)], "github in authorization");
}

#[test]
fn f2_trailers_have_no_slot() {
    let rig = Rig::new();
    let sites = [Site { name: "github", slots: &rig.slots, host: rig.host, path: rig.path }];
    let check = |value: &str, expected| {
        let trailers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(examine_trailers(&trailers, &ME, &sites, &rig.table, NOW), expected, "{value}");
    };
    check("abc", Finding::Bare);
    let misuse = Finding::Misuse { misuse: Misuse::WrongSlot, credential: Some("github".into()) };
    check(&format!("Bearer {}", rig.github), misuse);
}

proptest! {
    #[test]
    fn no_head_panics_and_no_spelling_hides(
        noise in "[ -~]{0,40}",
        escapes in proptest::collection::vec(0..4u8, 30),
        at in 0..30usize,
    ) {
        let rig = Rig::new();
        rig.find("/", &[("x-any", &noise), ("authorization", &noise), ("cookie", &noise)]);
        let spelled: String = rig.github.char_indices().map(|(i, c)| match escapes[i % escapes.len()] {
            0 => percent(&c.to_string()),
            1 => json(&c.to_string()),
            2 if i == at => percent(&percent(&c.to_string())),
            _ => c.to_string(),
        }).collect();
        let found = rig.find("/", &[("x-any", &format!("{spelled};{noise}"))]);
        prop_assert!(matches!(found, Finding::Misuse { .. }), "{}", spelled);
    }
}
