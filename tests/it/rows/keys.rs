//! E7, F1, F2, F14: whose key goes where.

use ensage_tests::{Config, Origin, Raw, canary};

use super::lab::{KEYED, Keyed, has, lab, reason, reasons, rig};

const LLM: &str = r#"
[enclave.lab.llm.anthropic]
api = "anthropic"
host = "llm.test"
models = ["claude-*"]
credential = "key"

[credential.key]
slot = ["header:x-api-key", "bearer"]
hosts = ["llm.test"]
placeholder = "sk-ant-api03-"
env = "ANTHROPIC_API_KEY"
"#;

const ASK: &str = r#"{"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;

#[test]
fn e7_somebody_elses_key_gets_no_call() {
    let rig = rig();
    let reply = r#"{"type":"message","model":"claude-x","content":[],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    let origin = Origin::answering(Some(rig.ca.leaf(&["llm.test"])), move |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{reply}", reply.len()).into_bytes()
    });
    rig.configure(&lab(LLM).resolve("llm.test:443", origin.address()));
    let secret = canary("key");
    rig.add_secret("key", &secret);
    let placeholder = rig.placeholder("key");
    assert!(placeholder.starts_with("sk-ant-api03-"), "{placeholder}");
    let gateway = rig.start();
    let post = |query: &str, lines: &str| {
        let mut raw = rig.tunnel(&gateway, "llm.test:443");
        let head = format!("POST /v1/messages{query} HTTP/1.1\r\nHost: llm.test\r\nContent-Type: application/json\r\n");
        raw.send(format!("{head}Content-Length: {}\r\n{lines}\r\n{ASK}", ASK.len()).as_bytes());
        raw.answer()
    };
    // The attacker's key, everywhere a provider might look for one; beside the placeholder too.
    let both = format!("x-api-key: {placeholder}\r\nAuthorization: Bearer attacker-key\r\n");
    let attacks = [
        ("", "x-api-key: sk-ant-api03-attacker-key\r\n"),
        ("", "Authorization: Bearer attacker-key\r\n"),
        ("", "Authorization: Basic YXR0YWNrZXI6a2V5\r\n"),
        ("", "Proxy-Authorization: Basic YXR0YWNrZXI6a2V5\r\n"),
        ("", "api-key: attacker-key\r\n"),
        ("", "x-goog-api-key: attacker-key\r\n"),
        ("?key=attacker-key", ""),
        ("?api_key=attacker-key", ""),
        ("?access_token=attacker-key", ""),
        ("?a=b&%6bey=attacker-key", ""),
        ("", both.as_str()),
    ];
    for (query, lines) in attacks {
        let answer = post(query, lines);
        assert_eq!(answer.status, 400, "{query} {lines}");
        let body = answer.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &"invalid_request_error".into()));
        assert_eq!(body["error"]["ensage"]["reason"], "foreign_credential", "{query} {lines}");
        assert_eq!(answer.field("x-should-retry"), Some("false"));
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["severity"]), ("foreign_credential", &"high".into()), "{lines}");
        assert!(!record.to_string().contains("attacker"), "{record}");
    }
    assert_eq!(origin.connections(), 0);
    let answer = post("", &format!("x-api-key: {placeholder}\r\n"));
    assert_eq!((answer.status, answer.text().as_str()), (200, reply));
    let got = origin.text();
    assert!(got.contains(&format!("x-api-key: {secret}\r\n")) && got.ends_with(ASK), "{got}");
    assert!(!got.contains(&placeholder), "{got}");
}

/// `api.test` is bound, `other.test` is allowed and not bound; one origin serves both.
fn two() -> (Keyed, Origin) {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test", "evil.test"]));
    let config: Config = lab(KEYED).resolve("*.test:443", origin.address());
    (Keyed::start(rig, &config), origin)
}

#[test]
fn f1_a_placeholder_goes_to_its_own_host_only() {
    let (lab, origin) = two();
    let bearer = format!("Authorization: Bearer {}\r\n", lab.placeholder);
    let answer = lab.ask("other.test:443", &format!("GET / HTTP/1.1\r\nHost: other.test\r\n{bearer}\r\n"));
    assert_eq!((answer.status, answer.told()), (403, Some("placeholder_wrong_host")));
    assert!(!answer.text().contains(&lab.placeholder));
    let record = lab.rig.calls().pop().unwrap();
    assert_eq!((reason(&record).as_str(), &record["severity"]), ("placeholder_wrong_host", &"high".into()));
    assert_eq!((&record["credential"]["name"], &record["credential"]["action"]), (&"key".into(), &"refused".into()));
    // A host that is not there for this agent stays that.
    let mut raw = Raw::open(lab.gateway.address());
    raw.send(format!("GET https://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{bearer}\r\n").as_bytes());
    assert_eq!(raw.answer().told(), Some("name_unknown"));
    // One that nobody ever gave out.
    let mut forged = lab.placeholder.clone();
    let last = if forged.ends_with('0') { '1' } else { '0' };
    forged.pop();
    forged.push(last);
    let answer =
        lab.ask("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {forged}\r\n\r\n"));
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(origin.connections(), 0);
    assert_eq!(reason(&lab.rig.calls().pop().unwrap()), "placeholder_unknown");

    let answer = lab.ask("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test\r\n{bearer}\r\n"));
    assert_eq!(answer.status, 200);
    let got = origin.text();
    assert!(got.contains(&format!("authorization: Bearer {}\r\n", lab.secret)), "{got}");
    assert!(!got.contains(&lab.placeholder), "{got}");
    let record = lab.rig.calls().pop().unwrap();
    assert_eq!(record["credential"]["action"], "substituted");
    lab.assert_sealed();
}

#[test]
fn f2_a_placeholder_outside_its_slot_goes_nowhere() {
    let (lab, origin) = two();
    let p = &lab.placeholder;
    let percent: String = p.bytes().map(|b| format!("%{b:02x}")).collect();
    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: HOST\r\n{lines}\r\n");
    let attacks = [
        get(&format!("/x/{p}/y"), ""),
        get(&format!("/x/{percent}"), ""),
        get(&format!("/?q={p}"), ""),
        get(&format!("/?q={percent}"), ""),
        get(&format!("/?{p}=q"), ""),
        get("/", &format!("Cookie: a=b; k={p}\r\n")),
        get("/", &format!("User-Agent: curl {p}\r\n")),
        get("/", &format!("Referer: https://x.test/?{p}\r\n")),
        get("/", &format!("X-Upload: form-data; filename=\"{p}.txt\"\r\n")),
        get("/", &format!("Authorization: Bearer {p} {p}\r\n")),
        get("/", &format!("Authorization: Token {p}\r\n")),
    ];
    for host in ["api.test", "other.test"] {
        for attack in &attacks {
            let answer = lab.ask(&format!("{host}:443"), &attack.replace("HOST", host));
            assert_eq!(answer.status, 403, "{host} {attack}");
            let told = answer.told().unwrap().to_owned();
            let expected = if host == "api.test" { "placeholder_wrong_slot" } else { "placeholder_wrong_host" };
            assert_eq!(told, expected, "{host} {attack}");
            let record = lab.rig.calls().pop().unwrap();
            assert_eq!((reason(&record), &record["severity"]), (told, &"high".into()));
            assert!(!record.to_string().contains(p.as_str()), "{record}");
        }
    }
    assert_eq!(origin.connections(), 0);
    for slot in [format!("authorization: bearer {p}"), format!("X-Api-Key: {p}")] {
        let answer = lab.ask("api.test:443", &get("/", &format!("{slot}\r\n")).replace("HOST", "api.test"));
        assert_eq!(answer.status, 200, "{slot}: {}", answer.text());
    }
    assert_eq!(origin.text().matches(&lab.secret).count(), 2, "{}", origin.text());
    lab.assert_sealed();
}

#[test]
fn f2_a_placeholder_in_a_body_never_arrives_whole() {
    let (lab, origin) = two();
    let p = &lab.placeholder;
    let json_escaped: String = p.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let percent: String = p.bytes().map(|b| format!("%{b:02X}")).collect();
    for spelled in [p.clone(), percent, json_escaped] {
        for host in ["api.test", "other.test"] {
            // In one piece by length, and one byte in each chunk.
            let body = format!("{{\"note\":\"{spelled}\"}}");
            let by_length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
            let mut chunked = "Transfer-Encoding: chunked\r\n\r\n".to_owned();
            for c in body.chars() {
                chunked.push_str(&format!("1\r\n{c}\r\n"));
            }
            chunked.push_str("0\r\n\r\n");
            for framed in [by_length, chunked] {
                let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
                let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
                raw.send(format!("{head}{framed}").as_bytes());
                let answer = raw.answer();
                assert_eq!(answer.status, 403, "{host} {framed}: {}", answer.text());
                let record = lab.rig.calls().pop().unwrap();
                let why = if host == "api.test" { "placeholder_wrong_slot" } else { "placeholder_wrong_host" };
                assert_eq!((answer.told(), reason(&record).as_str()), (Some(why), why), "{record}");
                assert_eq!(record["severity"], "high", "{record}");
            }
        }
    }
    assert!(!origin.text().contains("\"}"), "a whole body arrived: {}", origin.text());
    assert!(!origin.text().contains(p.as_str()), "{}", origin.text());
    let answer =
        lab.ask("other.test:443", "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 10\r\n\r\n{\"n\":\"ph\"}");
    assert_eq!(answer.status, 200);
    assert!(origin.text().ends_with("{\"n\":\"ph\"}"));
}

/// An origin that answers before it has the body does not get the body for that.
#[test]
fn f2_a_placeholder_behind_an_early_answer_goes_nowhere() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        let Some(head) = link.request_head()? else { return Ok(()) };
        link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n")?;
        link.body_sum(&head)?;
        link.write(b"4\r\nlate\r\n0\r\n\r\n")
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for (body, good) in [("{\"a\":\"PH\"}".replace("PH", &lab.placeholder), false), ("{\"a\":\"b\"}".to_owned(), true)]
    {
        for host in ["api.test", "other.test"] {
            let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
            raw.send(head.as_bytes());
            assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
            assert_eq!(raw.chunk().unwrap(), b"early");
            raw.send(body.as_bytes());
            let rest = raw.rest_of_chunks();
            assert_eq!(rest.is_ok(), good, "{host}: {rest:?}");
            let record = ensage_tests::until("the end of the call", || {
                lab.rig.calls().pop().filter(|r| r.get("open").is_none())
            });
            let why = if host == "api.test" { "placeholder_wrong_slot" } else { "placeholder_wrong_host" };
            let expected = if good { ("complete", "-") } else { ("refused", why) };
            assert_eq!((record["outcome"].as_str().unwrap(), reason(&record).as_str()), expected, "{record}");
        }
    }
    assert!(!origin.text().contains(&lab.placeholder), "{}", origin.text());
}

#[test]
fn f2_a_placeholder_in_the_head_of_a_connect_is_told_inside() {
    let (lab, origin) = two();
    for line in ["Proxy-Authorization: Bearer PH", "Authorization: Bearer PH", "X-Note: PH"] {
        let mut raw = Raw::open(lab.gateway.address());
        let line = line.replace("PH", &lab.placeholder);
        assert_eq!(raw.connect("api.test:443", &format!("{line}\r\n")).status, 200);
        let mut raw = raw.tls(&lab.rig.trust(), "api.test").unwrap();
        raw.send(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (403, Some("placeholder_wrong_slot")), "{line}");
        let record = lab.rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["severity"]), ("placeholder_wrong_slot", &"high".into()));
    }
    assert_eq!(origin.connections(), 0);
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect("api.test:443", "Proxy-Connection: keep-alive\r\nUser-Agent: x\r\n").status, 200);
    let mut raw = raw.tls(&lab.rig.trust(), "api.test").unwrap();
    raw.send(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
    assert_eq!(raw.answer().status, 200);
    lab.assert_sealed();
}

#[test]
fn f9_two_credentials_in_one_request_are_none() {
    let (lab, origin) = two();
    let p = &lab.placeholder;
    for (lines, why) in [
        (format!("Authorization: Bearer {p}\r\nAuthorization: Bearer attacker\r\n"), "foreign_credential"),
        (format!("Authorization: Bearer attacker\r\nAuthorization: Bearer {p}\r\n"), "foreign_credential"),
        (format!("Authorization: Bearer {p}\r\nx-api-key: attacker\r\n"), "foreign_credential"),
        (format!("Authorization: Bearer {p}, Bearer attacker\r\n"), "placeholder_wrong_slot"),
    ] {
        let answer = lab.ask("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test\r\n{lines}\r\n"));
        assert_eq!((answer.status, answer.told()), (403, Some(why)), "{lines}");
        assert_eq!(reason(&lab.rig.calls().pop().unwrap()), why, "{lines}");
    }
    assert_eq!(origin.connections(), 0);
    // The same one in both slots is one: real clients do that.
    let both = format!("Authorization: Bearer {p}\r\nX-Api-Key: {p}\r\n");
    assert_eq!(lab.ask("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test\r\n{both}\r\n")).status, 200);
    let got = origin.text();
    assert!(got.matches(&lab.secret).count() == 1 && !got.contains(p.as_str()), "{got}");
    lab.assert_sealed();
}

/// Nothing that was sent without a key shares a connection with what was sent with one.
#[test]
fn an_upstream_connection_serves_one_credential() {
    let (lab, origin) = two();
    let bare = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let keyed = format!("GET / HTTP/1.1\r\nHost: api.test\r\nX-Api-Key: {}\r\n\r\n", lab.placeholder);
    for _ in 0..2 {
        assert_eq!(lab.ask("api.test:443", bare).status, 200);
        assert_eq!(lab.ask("api.test:443", &keyed).status, 200);
    }
    let received = origin.received();
    assert_eq!(received.len(), 2);
    let with_key = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).matches("x-api-key").count();
    assert_eq!(received.iter().map(with_key).collect::<Vec<_>>(), [0, 2]);
    let actions: Vec<_> = lab.rig.calls().iter().map(|r| r["credential"]["action"].clone()).collect();
    assert_eq!(actions, ["bare", "substituted", "bare", "substituted"]);
}

#[test]
fn f14_without_its_secret_nothing_goes_out() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "lost.test"]));
    let lost = "\n[[enclave.lab.http]]\nhost = \"lost.test\"\ncredential = \"lost\"\n\n[credential.lost]\nslot = \"bearer\"\nhosts = [\"lost.test\"]\nplaceholder = \"lost-\"\n";
    let config = lab(&format!("{KEYED}{lost}")).resolve("*.test:443", origin.address());
    rig.configure(&config);
    let lost = rig.placeholder("lost");
    let lab = Keyed::start(rig, &config);
    let answer =
        lab.ask("lost.test:443", &format!("GET / HTTP/1.1\r\nHost: lost.test\r\nAuthorization: Bearer {lost}\r\n\r\n"));
    assert_eq!((answer.status, answer.told()), (503, Some("credential_unavailable")));
    assert!(answer.field("retry-after").is_some(), "{}", answer.head);
    assert_eq!(origin.connections(), 0);
    assert_eq!(reasons(&lab.rig), ["credential_unavailable"]);
    let bearer = format!("GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder);
    assert_eq!(lab.ask("api.test:443", &bearer).status, 200);
    assert!(!origin.text().contains(&lost));
}

/// The secret of `env:NAME` is the gateway's own variable: it goes where a vaulted one goes, and nowhere else.
#[test]
fn a_secret_of_the_gateways_environment_is_put_in() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test"]));
    let entries = KEYED.replace("slot = [", "source = \"env:DAEMON_KEY\"\nslot = [");
    rig.configure(&lab(&entries).resolve("*.test:443", origin.address()));
    let placeholder = rig.placeholder("key");
    let secret = canary("daemon");
    let gateway = rig.start_in(&[("DAEMON_KEY", &secret)]);
    let bearer = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {placeholder}\r\n\r\n");
    let ask = |host: &str| super::lab::ask(&rig, &gateway, &format!("{host}:443"), bearer(host).as_bytes()).status;
    assert_eq!((ask("api.test"), ask("other.test")), (200, 403));
    assert_eq!(origin.text().matches(&secret).count(), 1, "{}", origin.text());
    assert!(origin.text().contains(&format!("authorization: Bearer {secret}\r\n")));
    assert!(!has(&rig.remains(&gateway), secret.as_bytes()));
    // One that is not set is no credential, and nothing goes out.
    drop(gateway);
    let gateway = rig.start();
    let answer = super::lab::ask(&rig, &gateway, "api.test:443", bearer("api.test").as_bytes());
    assert_eq!((answer.status, answer.told()), (503, Some("credential_unavailable")));
    assert_eq!(origin.requests(), 1);
}
