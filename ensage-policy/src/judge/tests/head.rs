//! Heads: reach, method, path, and which entry governs.

use super::super::*;
use super::{begun, enclave, head, permitted, policy, request, told};

#[track_caller]
fn check(asked: &str, want: &str) {
    let policy = policy();
    assert_eq!(told(&request(&policy, Mode::Enforce, asked, &CredentialFinding::Bare)), want, "{asked}");
    // Observe differs in nothing but what it lets pass.
    let observed = told(&request(&policy, Mode::Observe, asked, &CredentialFinding::Bare));
    let reason = want.split(' ').nth(1).and_then(|code| Reason::ALL.iter().find(|r| r.code() == code));
    match reason.filter(|reason| reason.observe_passes()) {
        Some(_) if asked.starts_with("TRACE") || asked.starts_with("CONNECT") => assert_eq!(observed, want, "{asked}"),
        Some(_) => assert_eq!(observed, want.replacen("deny", "would", 1), "{asked}"),
        None => assert_eq!(observed, want, "{asked}"),
    }
}

#[test]
fn hosts_ports_and_schemes_outside_the_enclave_are_refused() {
    check("GET https://nowhere.test/", "deny host_not_allowed enclave.a.http");
    check("GET https://b.test/", "deny host_not_allowed enclave.a.http");
    check("GET https://open.test/", "deny host_not_allowed enclave.a.http");
    check("GET https://evilopen.test/", "deny host_not_allowed enclave.a.http");
    check("GET https://x.open.test:444/", "deny port_not_allowed enclave.a.http");
    check("GET https://ported.test/", "deny port_not_allowed enclave.a.http");
    check("GET https://ported.test:8443/", "allow http enclave.a.http[4]");
    check("GET http://api.test:443/", "deny scheme_not_allowed enclave.a.http");
    check("GET http://api.test/", "deny port_not_allowed enclave.a.http");
    check("GET https://plain.test:80/", "deny scheme_not_allowed enclave.a.http");
    check("GET http://plain.test/", "allow http enclave.a.http[3]");
    check("GET http://llm.test:443/v1/models", "deny scheme_not_allowed enclave.a.http");
    check("GET https://8.8.8.8/", "deny address_literal enclave.a.http");
    check("GET https://[::1]/", "deny address_literal enclave.a.http");
    check("GET https://10.9.9.9:8000/", "allow http enclave.a.http[5]");
    check("GET https://10.9.9.9/", "deny port_not_allowed enclave.a.http");
}

#[test]
fn closed_hosts_are_refused_whatever_opens_them() {
    check("GET https://telemetry.test/", "deny host_closed enclave.a.closed[0]");
    check("GET https://closed.open.test/", "deny host_closed enclave.a.closed[1]");
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let closed = Authority::parse(b"telemetry.test", Some(443)).unwrap();
    // The tunnel to it is opened: agents wait for ever on a refused CONNECT.
    assert_eq!(trial.reach(&closed, Scheme::Https), Ok(()));
    assert_eq!(trial.connect(&closed), Ok(()));
}

#[test]
fn the_first_rule_that_fits_opens_and_the_furthest_step_is_told() {
    check("GET https://api.test/anything", "allow http enclave.a.http[0]");
    check("HEAD https://api.test/", "allow http enclave.a.http[0]");
    check("POST https://api.test/repos/acme/x", "allow http enclave.a.http[1]");
    check("POST https://api.test/@scope%2fname", "allow http enclave.a.http[1]");
    check("POST https://api.test/repos/evil", "deny path_not_allowed enclave.a.http[1].paths");
    check("PUT https://api.test/repos/acme/x", "deny method_not_allowed enclave.a.http[0].methods");
    check("get https://api.test/", "deny method_not_allowed enclave.a.http[0].methods");
    check("PATCH https://x.open.test/any", "allow http enclave.a.http[2]");
    check("TRACE https://x.open.test/", "deny method_not_allowed -");
    check("CONNECT https://x.open.test/", "deny method_not_allowed -");
}

#[test]
fn a19_an_empty_segment_is_refused_where_a_rule_names_paths() {
    check("POST https://api.test//repos/acme/x", "deny ambiguous_path enclave.a.http[1]");
    check("POST https://api.test/repos/acme/%zz", "deny ambiguous_path enclave.a.http[1]");
    check("GET https://api.test//repos/acme/x", "allow http enclave.a.http[0]");
    check("POST https://x.open.test//a//b", "allow http enclave.a.http[2]");
}

#[test]
fn a19_an_mcp_entry_governs_its_address_and_what_looks_like_it() {
    for method in ["POST", "GET", "DELETE"] {
        check(&format!("{method} https://both.test/mcp"), "allow mcp enclave.a.mcp.both");
    }
    check("PUT https://both.test/mcp", "deny method_not_allowed enclave.a.mcp.both");
    check("OPTIONS https://both.test/mcp", "deny method_not_allowed enclave.a.mcp.both");
    check("POST https://both.test/mcp/", "allow mcp enclave.a.mcp.both");
    check("POST https://both.test/%6dcp", "allow mcp enclave.a.mcp.both");
    check("POST https://both.test/mcp?tenant=1", "allow mcp enclave.a.mcp.both");
    for near in ["/mcp?tenant=2", "/mcp?x", "/mcp?", "/mcp;a", "//mcp", "/mcp//", "/MCP", "/mcp%2f", "/mcp%20"] {
        check(&format!("POST https://both.test{near}"), "deny path_not_allowed enclave.a.mcp.both");
    }
    // Another path of the host is open by its http rule, and shut where there is none.
    check("POST https://both.test/mcp/x", "allow http enclave.a.http[7]");
    check("POST https://mcp.test/other", "deny path_not_allowed enclave.a.http");
    check("POST https://mcp.test/mcp", "allow mcp enclave.a.mcp.git");
    check("POST http://127.0.0.2:9000/", "allow mcp enclave.a.mcp.local");
    check("POST http://127.0.0.2:9000/x", "deny path_not_allowed enclave.a.http");
}

#[test]
fn e6_an_llm_entry_opens_its_api_alone() {
    check("POST https://llm.test/v1/messages", "allow llm enclave.a.llm.anthropic");
    check("POST https://llm.test/v1/messages?beta=true", "allow llm enclave.a.llm.anthropic");
    check("POST https://llm.test/v1/messages/count_tokens", "allow llm enclave.a.llm.anthropic");
    check("GET https://llm.test/v1/models", "allow llm enclave.a.llm.anthropic");
    check("GET https://llm.test/v1/models/claude-x", "allow llm enclave.a.llm.anthropic");
    check("POST https://llm.test/v1/%6dessages", "allow llm enclave.a.llm.anthropic");
    check("GET https://llm.test/v1/messages", "deny method_not_allowed enclave.a.llm.anthropic");
    check("DELETE https://llm.test/v1/models/x", "deny method_not_allowed enclave.a.llm.anthropic");
    for near in ["/v1/messages/", "//v1/messages", "/v1//messages", "/V1/Messages", "/v1/messages;a", "/v1%2fmessages"]
    {
        check(&format!("POST https://llm.test{near}"), "deny llm_path_not_allowed enclave.a.llm.anthropic");
    }
    // An http rule opens the rest of that host, but never the API.
    check("POST https://llm.test/v1/files", "allow http enclave.a.http[6]");
    check("POST https://llm.test/api/event_logging/batch", "allow http enclave.a.http[6]");
    check("POST https://llm.test/x", "deny llm_path_not_allowed enclave.a.http");
    check("POST https://bare-llm.test/v1/files", "deny llm_path_not_allowed enclave.a.http");
}

#[test]
fn e6_an_openai_entry_opens_its_api_alone() {
    for own in [
        "POST /v1/chat/completions",
        "POST /v1/responses",
        "POST /v1/responses/compact",
        "POST /v1/responses/input_tokens",
        "GET /v1/responses/resp_1",
        "GET /v1/models",
    ] {
        let url = own.replace(" /", " https://openai.test/");
        check(&url, "allow llm enclave.a.llm.openai");
    }
    for other in ["GET /v1/responses", "DELETE /v1/responses/resp_1", "GET /v1/chat/completions", "POST /v1/models"] {
        let url = other.replace(" /", " https://openai.test/");
        check(&url, "deny method_not_allowed enclave.a.llm.openai");
    }
    for near in ["/v1/Responses", "/v1//responses", "/v1/responses/", "/v1/chat/completions;a"] {
        check(&format!("POST https://openai.test{near}"), "deny llm_path_not_allowed enclave.a.llm.openai");
    }
    for outside in ["/v1/files", "/v1/batches", "/v1/conversations", "/v1/realtime/calls", "/v1/responses/r/cancel"] {
        check(&format!("POST https://openai.test{outside}"), "deny llm_path_not_allowed enclave.a.http");
    }
    // Where one host speaks two APIs, each entry has the paths of its own.
    check("POST https://two.test/v1/messages", "allow llm enclave.a.llm.two-a");
    check("POST https://two.test/v1/responses", "allow llm enclave.a.llm.two-o");
    check("GET https://two.test/v1/models", "allow llm enclave.a.llm.two-a");
    check("POST https://two.test/v1/Responses", "deny llm_path_not_allowed enclave.a.llm.two-o");
}

/// What a head with this Upgrade comes to: `told`, and the steps that refused.
fn upgraded(mode: Mode, asked: &str, upgrade: Upgrade) -> (String, Vec<Step>) {
    let policy = policy();
    let (method, url) = asked.split_once(' ').unwrap();
    let url = Url::parse(url).unwrap();
    let mut trial = begun(&policy, enclave(&policy, "a"), mode);
    let facts = HeadFacts {
        authority: &url.authority,
        scheme: url.scheme,
        method,
        path: &url.path,
        query: None,
        upgrade,
        finding: &CredentialFinding::Bare,
    };
    let route = trial.head(&facts);
    let refusing = |taken: &&Taken<'_>| taken.verdict == Verdict::Deny;
    let steps = trial.steps().iter().filter(refusing).map(|taken| taken.step).collect();
    let permit = route.and_then(|route| permitted(&mut trial, route, &CredentialFinding::Bare));
    (told(&permit), steps)
}

#[test]
fn b5_a_websocket_needs_an_entry_that_says_so() {
    let enforce = |asked: &str| upgraded(Mode::Enforce, asked, Upgrade::Websocket);
    assert_eq!(enforce("GET https://ws.test/ws/a"), ("allow http enclave.a.http[9]".to_owned(), vec![]));
    // The entry lets a WebSocket pass, but not everywhere: that is said by the step that knows.
    let path = "deny path_not_allowed enclave.a.http[9].paths".to_owned();
    assert_eq!(enforce("GET https://ws.test/other"), (path, vec![Step::Path]));
    for (asked, rule) in [
        ("GET https://x.open.test/ws", "enclave.a.http[2]"),
        ("GET https://llm.test/v1/models", "enclave.a.llm.anthropic"),
        ("GET https://mcp.test/mcp", "enclave.a.mcp.git"),
        ("DELETE https://api.test/", "enclave.a.http"),
    ] {
        let (told, steps) = enforce(asked);
        assert_eq!(told, format!("deny websocket_not_allowed {rule}"), "{asked}");
        assert_eq!(steps, [Step::Protocol], "{asked}");
        // Observe lets it pass, but no entry lends it a reader or a secret.
        let (told, steps) = upgraded(Mode::Observe, asked, Upgrade::Websocket);
        assert_eq!(told, format!("would websocket_not_allowed {rule}"), "{asked}");
        assert_eq!(steps.first(), Some(&Step::Protocol), "{asked}");
    }
}

#[test]
fn b7_other_upgrades_and_malformed_ones_are_refused_in_every_mode() {
    for mode in [Mode::Enforce, Mode::Observe] {
        for url in ["https://ws.test/ws/a", "https://x.open.test/ws"] {
            let asked = format!("GET {url}");
            let (told, steps) = upgraded(mode, &asked, Upgrade::Other);
            assert!(told.starts_with("deny websocket_not_allowed "), "{mode:?} {url}: {told}");
            assert_eq!(steps, [Step::Protocol]);
            let (told, _) = upgraded(mode, &asked, Upgrade::Malformed("no key"));
            let hidden = mode == Mode::Enforce && !url.contains("ws.test");
            let reason = if hidden { "deny websocket_not_allowed " } else { "deny malformed_request " };
            assert!(told.starts_with(reason), "{mode:?} {url}: {told}");
        }
    }
}

#[test]
fn the_form_of_a_refusal_follows_the_governing_entry() {
    let policy = policy();
    let enclave = enclave(&policy, "a");
    let of = |url: &str| {
        let url = Url::parse(url).unwrap();
        match form(enclave, &url.authority, url.scheme, "POST", &url.path) {
            Form::Http => "http".to_owned(),
            Form::Llm(dialect) => format!("llm {dialect:?}"),
            Form::Mcp { revisions } => format!("mcp {}", revisions.len()),
        }
    };
    assert_eq!(of("https://both.test/mcp"), "mcp 2");
    assert_eq!(of("https://both.test/MCP"), "mcp 2");
    assert_eq!(of("https://both.test/x"), "http");
    assert_eq!(of("https://llm.test/v1/messages"), "llm Messages");
    assert_eq!(of("https://openai.test/v1/responses"), "llm Responses");
    assert_eq!(of("https://openai.test/v1/responses/input_tokens"), "llm Responses");
    assert_eq!(of("https://openai.test/v1/chat/completions"), "llm Chat");
    assert_eq!(of("https://openai.test/v1/models"), "llm Chat");
    assert_eq!(of("https://llm.test/v1/files"), "http");
    assert_eq!(of("https://nowhere.test/v1/messages"), "http");
}

#[test]
fn a_tunnel_is_judged_by_host_and_port() {
    let policy = policy();
    let at = |text: &str| Authority::parse(text.as_bytes(), None).unwrap();
    let trial = || begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    assert_eq!(trial().connect(&at("plain.test:80")), Ok(()));
    assert_eq!(trial().connect(&at("api.test:443")), Ok(()));
    assert_eq!(trial().connect(&at("api.test:22")).unwrap_err().reason, Reason::PortNotAllowed);
    assert_eq!(trial().connect(&at("no.test:443")).unwrap_err().reason, Reason::HostNotAllowed);
    assert_eq!(trial().plain_tunnel(&at("plain.test:80")), Ok(()));
    assert_eq!(trial().plain_tunnel(&at("api.test:443")).unwrap_err().reason, Reason::ProtocolNotAllowed);
    assert_eq!(trial().plain_tunnel(&at("no.test:443")).unwrap_err().reason, Reason::HostNotAllowed);
    let mut refused = trial();
    refused.plain_tunnel(&at("api.test:443")).unwrap_err();
    let last = refused.steps().last().unwrap();
    assert_eq!((last.step, last.verdict), (Step::Protocol, Verdict::Deny));
    let mut observed = begun(&policy, enclave(&policy, "a"), Mode::Observe);
    assert_eq!(observed.plain_tunnel(&at("no.test:443")), Ok(()));
    assert_eq!(observed.plain_tunnel(&at("api.test:443")).unwrap_err().reason, Reason::ProtocolNotAllowed);
}

#[test]
fn a_permit_names_where_it_goes_and_what_it_may_dial() {
    let policy = policy();
    let addresses = |asked: &str, mode| {
        let permit = request(&policy, mode, asked, &CredentialFinding::Bare).unwrap();
        permit.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(addresses("GET https://api.test/", Mode::Enforce), "127.0.0.1/32");
    assert_eq!(addresses("GET https://x.open.test/", Mode::Enforce), "10.1.0.0/16 127.0.0.1/32");
    assert_eq!(addresses("GET https://10.9.9.9:8000/", Mode::Enforce), "10.9.9.9/32 127.0.0.1/32");
    assert_eq!(addresses("POST https://mcp.test/mcp", Mode::Enforce), "10.3.0.0/16 127.0.0.1/32");
    assert_eq!(addresses("POST http://127.0.0.2:9000/", Mode::Enforce), "127.0.0.2/32 127.0.0.1/32");
    assert_eq!(addresses("POST https://llm.test/v1/messages", Mode::Enforce), "10.2.0.0/16 127.0.0.1/32");
    assert_eq!(addresses("POST https://llm.test/v1/files", Mode::Enforce), "127.0.0.1/32");
    assert_eq!(addresses("GET https://nowhere.test/", Mode::Observe), "127.0.0.1/32");
    assert_eq!(addresses("PUT https://mcp.test/mcp", Mode::Observe), "10.3.0.0/16 127.0.0.1/32");
    let permit = request(&policy, Mode::Enforce, "GET https://API.test./x", &CredentialFinding::Bare).unwrap();
    assert_eq!((permit.authority().to_string().as_str(), permit.scheme()), ("api.test:443", Scheme::Https));
}

#[test]
fn steps_are_kept_in_order_with_the_first_would_deny() {
    let policy = policy();
    let permit = request(&policy, Mode::Observe, "PUT https://nowhere.test/", &CredentialFinding::Bare).unwrap();
    assert_eq!(permit.would().unwrap().reason, Reason::HostNotAllowed);
    assert_eq!(*permit.route().kind(), RouteKind::Unlisted);
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let route = head(&mut trial, "GET https://api.test/x", &CredentialFinding::Bare).unwrap();
    drop(permitted(&mut trial, route, &CredentialFinding::Bare).unwrap());
    let steps: Vec<_> = trial.steps().iter().map(|taken| (taken.step.code(), taken.verdict.code())).collect();
    let want = ["identity", "reach", "authority", "protocol", "method", "path", "classify", "credential"];
    assert_eq!(steps, want.map(|step| (step, "allow")));
}

#[test]
fn the_refusing_step_is_the_last_one() {
    let policy = policy();
    let misused = CredentialFinding::Misuse { reason: Reason::PlaceholderUnknown, credential: None };
    for (asked, finding, step) in [
        ("GET https://nowhere.test/", &CredentialFinding::Bare, Step::Reach),
        ("GET https://telemetry.test/", &CredentialFinding::Bare, Step::Reach),
        ("TRACE https://api.test/", &CredentialFinding::Bare, Step::Method),
        ("PUT https://api.test/", &CredentialFinding::Bare, Step::Method),
        ("POST https://api.test/x", &CredentialFinding::Bare, Step::Path),
        ("POST https://llm.test/x", &CredentialFinding::Bare, Step::Classify),
        ("PUT https://api.test/", &misused, Step::Credential),
    ] {
        let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
        let denial = head(&mut trial, asked, finding).unwrap_err();
        let last = trial.steps().last().unwrap();
        assert_eq!(
            (last.step, last.verdict, last.rule.as_deref()),
            (step, Verdict::Deny, denial.rule.as_ref()),
            "{asked}"
        );
    }
}

#[test]
fn a_head_is_judged_where_it_was_reached_or_reached_again() {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    trial.reach(&Authority::parse(b"api.test:443", None).unwrap(), Scheme::Https).unwrap();
    let denial = head(&mut trial, "GET https://nowhere.test/", &CredentialFinding::Bare).unwrap_err();
    assert_eq!(denial.reason, Reason::HostNotAllowed);
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    trial.reach(&Authority::parse(b"llm.test:443", None).unwrap(), Scheme::Https).unwrap();
    let denial = head(&mut trial, "GET http://llm.test:443/", &CredentialFinding::Bare).unwrap_err();
    assert_eq!(denial.reason, Reason::SchemeNotAllowed);
}

#[test]
fn undeclared_mcp_is_refused_where_a_rule_does_not_allow_it() {
    let policy = policy();
    let seen = |asked: &str, mode| {
        let mut trial = begun(&policy, enclave(&policy, "a"), mode);
        let route = head(&mut trial, asked, &CredentialFinding::Bare).unwrap();
        trial.undeclared_mcp(&route).map_err(|denial| denial.reason)
    };
    assert_eq!(seen("GET https://api.test/", Mode::Enforce), Err(Reason::UndeclaredMcp));
    assert_eq!(seen("GET https://api.test/", Mode::Observe), Ok(()));
    assert_eq!(seen("POST https://x.open.test/mcp", Mode::Enforce), Ok(()));
    assert_eq!(seen("POST https://mcp.test/mcp", Mode::Enforce), Ok(()));
}

#[test]
fn traffic_is_governed_by_kind_or_by_a_bound_host() {
    let policy = policy();
    let of = |asked: &str, mode| request(&policy, mode, asked, &CredentialFinding::Bare).unwrap().route().governed();
    assert_eq!(of("GET https://api.test/", Mode::Enforce), Governed::Governed);
    assert_eq!(of("GET https://x.open.test/", Mode::Enforce), Governed::Passing);
    assert_eq!(of("POST https://both.test/mcp", Mode::Enforce), Governed::Governed);
    assert_eq!(of("POST https://both.test/x", Mode::Enforce), Governed::Passing);
    assert_eq!(of("POST https://bare-llm.test/v1/messages", Mode::Enforce), Governed::Governed);
    assert_eq!(of("PUT https://api.test/", Mode::Observe), Governed::Governed);
    // Bound, but only in an enclave that this is not.
    assert_eq!(of("GET https://b.test/", Mode::Observe), Governed::Passing);
}
