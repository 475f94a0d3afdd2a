//! The credential step.

use super::super::*;
use super::{begun, enclave, head, permitted, policy, request, told};
use crate::model::Slot;

fn placeholder(name: &str, slot: &str) -> CredentialFinding {
    let slot = if slot == "bearer" { Slot::Bearer } else { Slot::Header(slot.to_owned()) };
    CredentialFinding::Placeholder { credential: name.into(), slot }
}

fn filled(outcome: &Result<HeadPermit, Denial>) -> String {
    let Ok(permit) = outcome else { return told(outcome) };
    match permit.fill() {
        Fill::Nothing => "nothing".to_owned(),
        Fill::Substitute { credential, slot } => format!("substitute {} {slot:?}", credential.name),
        Fill::Inject { credential, slot } => format!("inject {} {slot:?}", credential.name),
    }
}

#[test]
fn f1_a_placeholder_is_filled_at_its_host_slot_and_path_only() {
    let policy = policy();
    let check = |asked: &str, finding: CredentialFinding, want: &str| {
        assert_eq!(filled(&request(&policy, Mode::Enforce, asked, &finding)), want, "{asked} {finding:?}");
    };
    check("POST https://mcp.test/mcp", placeholder("git", "bearer"), "substitute git Bearer");
    check("POST https://mcp.test/mcp", placeholder("git", "x-token"), "substitute git Header(\"x-token\")");
    check("POST https://mcp.test/mcp", placeholder("git", "x-api-key"), "deny placeholder_wrong_slot credential.git");
    // Not the one that the rule names, but one that binds the host: it is what the client used.
    check("GET https://api.test/", placeholder("git", "bearer"), "substitute git Bearer");
    check("GET https://x.open.test/", placeholder("git", "bearer"), "deny placeholder_wrong_host credential.git");
    check("POST https://llm.test/v1/messages", placeholder("llm", "x-api-key"), "substitute llm Header(\"x-api-key\")");
    check(
        "POST https://llm.test/v1/files",
        placeholder("llm", "x-api-key"),
        "deny placeholder_wrong_path credential.llm",
    );
    check("GET https://api.test/", placeholder("other", "bearer"), "deny placeholder_wrong_session credential.other");
    check("GET https://api.test/", placeholder("none", "bearer"), "deny placeholder_wrong_session -");
    check("GET http://plain.test/", placeholder("plain", "bearer"), "deny plaintext_upstream credential.plain");
    check("GET http://plain.test/", CredentialFinding::Bare, "nothing");
}

#[test]
fn a_rule_fills_in_only_what_is_to_be_injected() {
    let policy = policy();
    let check = |asked: &str, mode, want: &str| {
        assert_eq!(filled(&request(&policy, mode, asked, &CredentialFinding::Bare)), want, "{asked}");
    };
    check("GET https://injected.test/in/a", Mode::Enforce, "inject injected Header(\"x-first\")");
    check("GET https://injected.test/in/a", Mode::Observe, "inject injected Header(\"x-first\")");
    check("GET https://injected.test/out", Mode::Enforce, "nothing");
    check("POST https://mcp.test/mcp", Mode::Enforce, "nothing");
    check("GET https://x.open.test/", Mode::Enforce, "nothing");
}

#[test]
fn v22_observe_never_puts_a_secret_into_what_policy_would_deny() {
    let policy = policy();
    let used = placeholder("git", "bearer");
    let outcome = request(&policy, Mode::Observe, "PUT https://api.test/", &used);
    assert_eq!(told(&outcome), "deny placeholder_would_deny enclave.a.http[0].methods");
    let outcome = request(&policy, Mode::Observe, "GET https://api.test/", &used);
    assert_eq!(filled(&outcome), "substitute git Bearer");
    assert!(outcome.unwrap().would().is_none());
    // Injection is no way around it.
    let newcomer = Trial::begin(&policy, enclave(&policy, "a"), Mode::Observe);
    let mut trial = newcomer.identity(Some(Reason::Unattributed), "unknown").unwrap();
    let route = head(&mut trial, "GET https://injected.test/in/a", &CredentialFinding::Bare).unwrap();
    let permit = permitted(&mut trial, route.clone(), &CredentialFinding::Bare);
    assert_eq!((filled(&permit), told(&permit)), ("nothing".to_owned(), "would unattributed enclave.a".to_owned()));
}

#[test]
fn e7_a_foreign_credential_is_refused_and_passes_observe_as_it_is() {
    let policy = policy();
    let foreign = CredentialFinding::Foreign { place: "authorization".to_owned() };
    let asked = "POST https://llm.test/v1/messages";
    assert_eq!(told(&request(&policy, Mode::Enforce, asked, &foreign)), "deny foreign_credential -");
    let observed = request(&policy, Mode::Observe, asked, &foreign);
    assert_eq!((told(&observed), filled(&observed)), ("would foreign_credential -".to_owned(), "nothing".to_owned()));
}

#[test]
fn misuse_is_refused_in_every_mode_and_before_the_protocol() {
    let policy = policy();
    for reason in [
        Reason::PlaceholderWrongHost,
        Reason::PlaceholderWrongSlot,
        Reason::PlaceholderWrongSession,
        Reason::PlaceholderExpired,
        Reason::PlaceholderUnknown,
    ] {
        let finding = CredentialFinding::Misuse { reason, credential: Some("git".into()) };
        for mode in [Mode::Enforce, Mode::Observe] {
            for asked in ["GET https://api.test/", "PUT https://api.test/"] {
                let outcome = request(&policy, mode, asked, &finding);
                assert_eq!(told(&outcome), format!("deny {reason} credential.git"), "{asked}");
            }
            // What does not exist for the enclave, and what is closed, comes before.
            let outcome = request(&policy, Mode::Enforce, "GET https://nowhere.test/", &finding);
            assert_eq!(told(&outcome), "deny host_not_allowed enclave.a.http");
            let outcome = request(&policy, Mode::Enforce, "GET https://telemetry.test/", &finding);
            assert_eq!(told(&outcome), "deny host_closed enclave.a.closed[0]");
        }
    }
    // A wrong path is an ordinary refusal, in its turn.
    let finding = CredentialFinding::Misuse { reason: Reason::PlaceholderWrongPath, credential: None };
    let told = |asked: &str, mode| told(&request(&policy, mode, asked, &finding));
    assert_eq!(told("GET https://api.test/", Mode::Enforce), "deny placeholder_wrong_path -");
    assert_eq!(told("PUT https://api.test/", Mode::Enforce), "deny method_not_allowed enclave.a.http[0].methods");
    assert_eq!(told("PUT https://api.test/", Mode::Observe), "deny placeholder_wrong_path -");
}

#[test]
fn several_credentials_are_refused_in_every_mode() {
    let policy = policy();
    for mode in [Mode::Enforce, Mode::Observe] {
        let outcome = request(&policy, mode, "GET https://api.test/", &CredentialFinding::Ambiguous);
        assert_eq!(told(&outcome), "deny ambiguous_credential -");
    }
}

#[test]
fn a_permit_needs_a_judged_head() {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let route = head(&mut trial, "GET https://api.test/", &CredentialFinding::Bare).unwrap();
    let mut fresh = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    assert_eq!(permitted(&mut fresh, route.clone(), &CredentialFinding::Bare).unwrap_err().reason, Reason::Internal);
    drop(permitted(&mut trial, route.clone(), &CredentialFinding::Bare).unwrap());
    assert_eq!(
        permitted(&mut trial, route, &CredentialFinding::Bare).unwrap_err().reason,
        Reason::Internal,
        "one for each"
    );
}

#[test]
fn f9_sites_are_the_credentials_of_the_enclave() {
    let policy = policy();
    let of = |name: &str, url: &str| {
        let url = Url::parse(url).unwrap();
        let found = sites(&policy, enclave(&policy, name), &url.authority, &url.path);
        let bound = bound(&policy, enclave(&policy, name), &url.authority);
        let found = found.iter().map(|s| format!("{} {:?} {:?}", s.credential.name, s.host, s.path));
        (found.collect::<Vec<_>>().join(", "), bound)
    };
    let plain = "injected Other Other, plain Other Bound";
    let want = format!("llm Bound Bound, git Other Bound, {plain}");
    assert_eq!(of("a", "https://llm.test/v1/messages"), (want, true));
    let want = format!("llm Bound Other, git Other Bound, {plain}");
    assert_eq!(of("a", "https://llm.test//v1/messages"), (want, true));
    let want = format!("llm Other Other, git Bound Bound, {plain}");
    assert_eq!(of("a", "https://api.test/x"), (want.clone(), true));
    let want = format!("llm Other Other, git Other Bound, {plain}");
    assert_eq!(of("a", "https://api.test:444/x"), (want.clone(), false));
    assert_eq!(of("a", "https://b.test/x"), (want, false));
    assert_eq!(of("b", "https://b.test/x"), ("other Bound Bound".to_owned(), true));
}

/// There is no permit for a head whose body its entry would have had to read.
#[test]
fn a_governed_head_goes_with_the_proof_of_its_body_alone() {
    let policy = policy();
    let judged = BodyPermit { rule: None };
    for (asked, good) in [
        ("POST https://mcp.test/mcp", "judged"),
        ("GET https://mcp.test/mcp", "absent"),
        ("DELETE https://mcp.test/mcp", "absent"),
        ("POST https://llm.test/v1/messages", "judged"),
        ("GET https://llm.test/v1/models", "absent"),
        ("POST https://api.test/repos/acme/x", "absent unread judged"),
    ] {
        for (name, proof) in
            [("absent", BodyProof::Absent), ("unread", BodyProof::Unread), ("judged", BodyProof::Judged(&judged))]
        {
            let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
            let route = head(&mut trial, asked, &CredentialFinding::Bare).unwrap();
            let permit = trial.permit(route, &CredentialFinding::Bare, proof);
            match good.contains(name) {
                true => drop(permit.unwrap_or_else(|e| panic!("{asked} {name}: {e}"))),
                false => assert_eq!(permit.unwrap_err().reason, Reason::Internal, "{asked} {name}"),
            }
        }
    }
}

/// All steps in one go say what they say one by one, and what nobody has read is not let through where it must be read.
#[test]
fn a_call_whose_body_is_known_is_judged_whole() {
    let policy = policy();
    let whole = |mode: Mode, asked: &str, said: Said<'_>| {
        let (method, url) = asked.split_once(' ').unwrap();
        let url = Url::parse(url).unwrap();
        let facts = HeadFacts {
            authority: &url.authority,
            scheme: url.scheme,
            method,
            path: &url.path,
            query: None,
            upgrade: Upgrade::Stay,
            finding: &CredentialFinding::Bare,
        };
        told(&begun(&policy, enclave(&policy, "a"), mode).whole(&facts, said, &|_, _| false))
    };
    let enforce = |asked: &str, said: Said<'_>| whole(Mode::Enforce, asked, said);
    assert_eq!(enforce("GET https://api.test/x", Said::Unread), "allow http enclave.a.http[0]");
    assert_eq!(enforce("GET https://api.test/x", Said::Absent), "allow http enclave.a.http[0]");
    assert_eq!(enforce("GET https://mcp.test/mcp", Said::Absent), "allow mcp enclave.a.mcp.git");
    assert_eq!(enforce("POST https://nowhere.test/", Said::Unread), "deny host_not_allowed enclave.a.http");
    assert_eq!(enforce("POST https://mcp.test/mcp", Said::Unread), "deny path_not_allowed -");
    assert_eq!(enforce("POST https://llm.test/v1/messages", Said::Unread), "deny path_not_allowed -");
    assert_eq!(enforce("POST https://mcp.test/mcp", Said::Absent), "deny internal -");
    let observed = whole(Mode::Observe, "POST https://nowhere.test/", Said::Unread);
    assert!(observed.starts_with("would host_not_allowed "), "{observed}");
}
