//! The next hop: upstreams that are reached through another proxy, which gets what is its and learns nothing else.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ensage_tests::{Answer, Config, Gateway, Origin, Raw, Rig, canary, until};
use serde_json::Value;

use super::lab::{ask, has, lab, reason, rig};

const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "api.test"
credential = "key"
mcp = "allow"

[[enclave.lab.http]]
host = "*.test"
scheme = "http"
mcp = "allow"

[[enclave.lab.http]]
host = "*:*"
mcp = "allow"

[credential.key]
slot = "bearer"
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"
"#;

/// A proxy that leads every CONNECT to `to`.
fn proxy(to: SocketAddr) -> Origin {
    Origin::start(None, move |link| {
        if link.request_head()?.is_some() {
            link.write(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 corp\r\n\r\n")?;
            link.lead_to(to)?;
        }
        Ok(())
    })
}

/// The head of each connection that a proxy got.
fn heads(proxy: &Origin) -> Vec<String> {
    let head = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).split_inclusive("\r\n\r\n").next().map(str::to_owned);
    proxy.received().iter().filter_map(head).collect()
}

fn through(proxy: &Origin) -> Config {
    lab(ENTRIES).upstream(&format!("proxy = \"http://{}\"", proxy.address()))
}

fn get(host: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// What the record says of the way that a call took.
fn way(rig: &Rig) -> Value {
    rig.calls().pop().unwrap()["via"].clone()
}

/// Puts the file in force. A process with a session of its own may not ask for that, but a signal is no request.
fn reloaded(rig: &Rig, gateway: &Gateway) {
    let loaded = || rig.records().iter().filter(|r| r["kind"] == "policy" && r["event"] == "loaded").count();
    let before = loaded();
    gateway.hang_up();
    until("the new policy", || (loaded() > before).then_some(()));
}

fn basic(pair: &str) -> String {
    format!("\r\nProxy-Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

#[test]
fn a_next_hop_leads_to_every_upstream() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test"]));
    let proxy = proxy(origin.address());
    let (secret, password) = (canary("key"), canary("corp"));
    rig.configure(
        &through(&proxy)
            .upstream("proxy_credential = \"corp\"")
            .body(&format!("[credential.corp]\nslot = \"basic:ann\"\nhosts = [\"{}\"]\n", proxy.address())),
    );
    rig.add_secret("key", &secret);
    rig.add_secret("corp", &password);
    let placeholder = rig.placeholder("key");
    // The next hop's is no credential of an agent.
    assert_eq!(rig.run(&["creds", "placeholder", "corp", "--agent", "raw"]).status.code(), Some(1));
    assert!(rig.good(&["creds", "list"]).contains("basic:ann"));
    let gateway = rig.start();
    let request = format!("GET /x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {placeholder}\r\n\r\n");
    let mut raw = rig.tunnel(&gateway, "api.test:443");
    for _ in 0..2 {
        raw.send(request.as_bytes());
        assert_eq!(raw.answer().text(), "good");
        assert_eq!(way(&rig), proxy.address().to_string());
    }
    assert_eq!(ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes()).text(), "good");
    // One tunnel for each upstream and credential, asked for by name: nothing was looked up here.
    let expected =
        |name: &str| format!("CONNECT {name} HTTP/1.1\r\nHost: {name}{}\r\n", basic(&format!("ann:{password}")));
    assert_eq!(heads(&proxy), [expected("api.test:443"), expected("other.test:443")]);
    // Neither learns what the other gets.
    assert!(has(origin.text().as_bytes(), secret.as_bytes()));
    for (got, what) in [(origin.text(), &password), (proxy.text(), &secret)] {
        assert!(!has(got.as_bytes(), what.as_bytes()) && !got.to_lowercase().contains("ensage"), "{got}");
    }
    assert!(!origin.text().to_lowercase().contains("proxy-"), "{}", origin.text());
    let record = rig.calls().pop().unwrap();
    assert_eq!(record["network"]["peer"]["address"], "127.0.0.1", "{record}");
    assert_eq!((&record["server"]["address"], &record["decision"]), (&"other.test".into(), &"allow".into()));
    let (user, coded) = (format!("ann:{password}"), STANDARD.encode(format!("ann:{password}")));
    let remains = rig.remains(&gateway);
    for what in [&secret, &password, &user, &coded] {
        assert!(!has(&remains, what.as_bytes()));
    }
}

#[test]
fn a_next_hop_leads_to_plain_http_too() {
    let rig = rig();
    let origin = Origin::answering(None, |_| ensage_tests::ok("plain"));
    let proxy = proxy(origin.address());
    let gateway = rig.start_with(&through(&proxy));
    let mut raw = Raw::open(gateway.address());
    raw.send(b"GET http://other.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "plain");
    assert_eq!(heads(&proxy), ["CONNECT other.test:80 HTTP/1.1\r\nHost: other.test:80\r\n\r\n"]);
    assert!(origin.text().starts_with("GET /x HTTP/1.1\r\n"), "{}", origin.text());
    assert_eq!(way(&rig), proxy.address().to_string());
}

/// A11, A14: what is an address is checked before it leaves; a name is the next hop's to look up.
#[test]
fn a11_a14_a_next_hop_is_asked_for_no_closed_address() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["fixed.test", "10.1.2.3", "own.test"]));
    let proxy = proxy(origin.address());
    let config = through(&proxy)
        .private("[\"127.0.0.0/8\", \"192.0.2.0/24\"]")
        .resolve("fixed.test:443", "192.0.2.7:9443".parse().unwrap())
        .resolve("meta.test:443", "169.254.169.254:80".parse().unwrap())
        .resolve("deep.test:443", "10.1.2.3:443".parse().unwrap());
    let gateway = rig.start_with(&config);
    for target in
        ["10.1.2.3:443", "169.254.169.254:443", "[fd00::1]:443", "meta.test:443", "deep.test:443", "127.0.0.1:443"]
    {
        let host = target.rsplit_once(':').unwrap().0;
        let answer = literal(&rig, &gateway, target, &get(host));
        let told = if target.starts_with("127") { "upstream_refused" } else { "upstream_address" };
        assert_eq!((answer.status, answer.told()), (502, Some(told)), "{target}: {}", answer.text());
        assert_eq!(reason(&rig.calls().pop().unwrap()), told, "{target}");
    }
    assert_eq!(proxy.connections(), 0);
    // A fixed name is never looked up, by nobody; it stays the name of TLS.
    assert_eq!(ask(&rig, &gateway, "fixed.test:443", get("fixed.test").as_bytes()).text(), "good");
    assert_eq!(heads(&proxy), ["CONNECT 192.0.2.7:9443 HTTP/1.1\r\nHost: 192.0.2.7:9443\r\n\r\n"]);
    // The gateway's own listener is refused by every spelling.
    rig.configure(&config.resolve("own.test:443", gateway.address()));
    reloaded(&rig, &gateway);
    let port = gateway.address().port();
    for target in ["own.test:443".to_owned(), format!("127.0.0.1:{port}"), format!("127.9.9.9:{port}")] {
        let host = if target.starts_with("own") { "own.test".to_owned() } else { target.clone() };
        let answer = literal(&rig, &gateway, &target, &get(&host));
        assert_eq!(answer.told(), Some("upstream_address"), "{target}: {}", answer.text());
    }
    assert_eq!(proxy.connections(), 1);
}

/// As [`ask`], for a target that may be an address: those have no SNI.
fn literal(rig: &Rig, gateway: &Gateway, target: &str, request: &str) -> Answer {
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect(target, "").status, 200, "{target}");
    let name = target.rsplit_once(':').unwrap().0;
    let mut raw = raw.tls(&rig.trust(), name.trim_matches(['[', ']'])).unwrap();
    raw.send(request.as_bytes());
    raw.answer()
}

#[test]
fn no_proxy_is_reached_directly_and_checked_as_ever() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["direct.test", "other.test"]));
    let proxy = proxy(origin.address());
    let config = through(&proxy)
        .upstream("no_proxy = [\"direct.test\", \"closed.test\"]")
        .resolve("direct.test:443", origin.address())
        .resolve("closed.test:443", "10.1.2.3:443".parse().unwrap());
    let gateway = rig.start_with(&config);
    assert_eq!(ask(&rig, &gateway, "direct.test:443", get("direct.test").as_bytes()).text(), "good");
    assert_eq!((way(&rig), proxy.connections()), (Value::Null, 0));
    assert_eq!(ask(&rig, &gateway, "closed.test:443", get("closed.test").as_bytes()).told(), Some("upstream_address"));
    assert_eq!(ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes()).text(), "good");
    assert_eq!((way(&rig), proxy.connections()), (proxy.address().to_string().into(), 1));
    // A reload takes the next hop away; no old tunnel is used again.
    let text = std::fs::read_to_string(rig.config_file()).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("proxy")).map(|line| format!("{line}\n")).collect();
    rig.write_config(&without.replace("\"direct.test:443\"", "\"*.test:443\""));
    reloaded(&rig, &gateway);
    assert_eq!(ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes()).text(), "good");
    assert_eq!((way(&rig), proxy.connections()), (Value::Null, 1));
}

#[test]
fn a_next_hop_that_does_not_lead_on_is_a_fault() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let answers: [(u16, &str, Vec<u8>); 8] = [
        (502, "upstream_proxy", b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"corp-realm\"\r\ncontent-length: 0\r\n\r\n".to_vec()),
        (502, "upstream_proxy", b"HTTP/1.1 403 Forbidden\r\ncontent-length: 11\r\n\r\ncorp-policy".to_vec()),
        (502, "upstream_proxy", b"HTTP/1.1 503 x\r\n\r\n".to_vec()),
        (502, "upstream_proxy", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        (502, "upstream_proxy", b"\x05\x00garbage".to_vec()),
        (502, "upstream_proxy", long.into_bytes()),
        (502, "upstream_proxy", b"HTTP/1.1 200".to_vec()),
        (504, "upstream_timeout", Vec::new()),
    ];
    for (status, told, said) in answers {
        let rig = rig();
        let waits = said.is_empty();
        let shown = String::from_utf8_lossy(said.get(..60).unwrap_or(&said)).into_owned();
        let proxy = Origin::start(None, move |link| {
            link.request_head()?;
            link.write(&said)?;
            if waits {
                // Until the gateway has had enough.
                while !link.some()?.is_empty() {}
            }
            Ok(())
        });
        let limits = if waits { "[limits]\ndial_timeout = \"1s\"" } else { "" };
        rig.configure(
            &through(&proxy)
                .upstream("proxy_credential = \"corp\"")
                .body(&format!("[credential.corp]\nslot = \"basic\"\nhosts = [\"{}\"]\n{limits}", proxy.address())),
        );
        rig.add_secret("corp", "ann:the-corp-password");
        let gateway = rig.start();
        let answer = ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes());
        assert_eq!((answer.status, answer.told()), (status, Some(told)), "{shown}: {}", answer.text());
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["outcome"]), (told, &"upstream_failed".into()), "{shown}");
        assert_eq!(record["via"], proxy.address().to_string(), "{shown}");
        // Whose credential was refused is the operator's to know; the agent learns nothing of the next hop.
        let wrong = || gateway.stderr().contains("the next hop refuses the credential");
        match shown.contains("407") {
            // The log has a thread of its own.
            true => until("the log has it", || wrong().then_some(())),
            false => assert!(!wrong(), "{shown}: {}", gateway.stderr()),
        }
        for word in ["corp", "407", "403", "credential", &proxy.address().to_string()] {
            // An id may have any digits.
            let whole = format!("{}{}", answer.head, answer.text()).replace(record["id"].as_str().unwrap(), "");
            assert!(!whole.contains(word), "{shown}: {word}: {whole}");
        }
        let remains = rig.remains(&gateway);
        for what in ["the-corp-password", &STANDARD.encode("ann:the-corp-password"), "corp-realm", "corp-policy"] {
            assert!(!has(&remains, what.as_bytes()), "{shown}: {what}");
        }
    }
}

#[test]
fn a_next_hop_that_is_not_there_is_a_fault() {
    let rig = rig();
    // Nobody listens on it: it is bound, and no more.
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = bound.local_addr().unwrap();
    drop(bound);
    let dns = ensage_tests::Dns::start();
    let config = |proxy: &str| lab(ENTRIES).dns(dns.address()).upstream(&format!("proxy = \"http://{proxy}\""));
    let gateway = rig.start_with(&config(&gone.to_string()));
    let check = |why: &str, status: u16| {
        let answer = ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes());
        assert_eq!((answer.status, answer.told()), (status, Some(why)), "{}", answer.text());
        assert_eq!(reason(&rig.calls().pop().unwrap()), why);
    };
    check("upstream_proxy", 502);
    rig.configure(&config("absent.corp.test:3128"));
    reloaded(&rig, &gateway);
    check("upstream_proxy", 502);
    assert!(!dns.asked().is_empty() && dns.asked().iter().all(|name| name == "absent.corp.test"), "{:?}", dns.asked());
}

#[test]
fn a_next_hop_is_asked_for_nothing_without_its_credential() {
    for held in [None, Some("the-password-alone")] {
        let rig = rig();
        let proxy = proxy("127.0.0.1:9".parse().unwrap());
        rig.configure(
            &through(&proxy)
                .upstream("proxy_credential = \"corp\"")
                .body(&format!("[credential.corp]\nslot = \"basic\"\nhosts = [\"{}\"]\n", proxy.address())),
        );
        if let Some(secret) = held {
            rig.add_secret("corp", secret);
        }
        let gateway = rig.start();
        let answer = ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes());
        assert_eq!(
            (answer.status, answer.told()),
            (503, Some("credential_unavailable")),
            "{held:?}: {}",
            answer.text()
        );
        assert_eq!(reason(&rig.refused()), "credential_unavailable");
        assert_eq!(proxy.connections(), 0);
    }
}

#[test]
fn the_next_hop_of_the_environment_counts_where_the_file_names_none() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["other.test", "direct.test"]));
    let proxy = proxy(origin.address());
    rig.configure(&lab(ENTRIES).resolve("direct.test:443", origin.address()));
    let url = format!("http://ann%40corp:the-corp%2Dpassword@{}", proxy.address());
    let check = |environment: &[(&str, &str)], expected: &str| {
        let gateway = rig.start_in(environment);
        for host in ["other.test", "direct.test"] {
            assert_eq!(ask(&rig, &gateway, &format!("{host}:443"), get(host).as_bytes()).text(), "good");
        }
        assert_eq!(way(&rig), Value::Null);
        assert_eq!(heads(&proxy).pop().unwrap(), expected);
        let remains = rig.remains(&gateway);
        for what in ["the-corp-password", "the-corp%2Dpassword", &STANDARD.encode("ann@corp:the-corp-password")] {
            assert!(!has(&remains, what.as_bytes()), "{what}");
        }
    };
    let named = basic("ann@corp:the-corp-password");
    check(
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "localhost,.direct.test")],
        &format!("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443{named}\r\n"),
    );
    let bare = format!("http://{}/", proxy.address());
    check(
        &[("https_proxy", &bare), ("no_proxy", "direct.test"), ("ALL_PROXY", "http://127.0.0.1:9")],
        "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n",
    );
    assert_eq!(proxy.connections(), 2);
}

/// A14: a gateway whose shell was pointed at it does not go round in circles.
#[test]
fn a14_the_environment_may_name_the_gateway_itself() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["other.test"]));
    let config = lab(ENTRIES).resolve("*.test:443", origin.address());
    let first = rig.start_with(&config);
    let at = first.address();
    drop(first);
    let text = std::fs::read_to_string(rig.config_file()).unwrap();
    rig.write_config(&text.replacen("127.0.0.1:0", &at.to_string(), 1));
    for url in [format!("http://{at}"), format!("http://localhost:{}", at.port())] {
        let gateway = rig.start_in(&[("HTTPS_PROXY", &url)]);
        assert_eq!(gateway.address(), at);
        assert_eq!(ask(&rig, &gateway, "other.test:443", get("other.test").as_bytes()).text(), "good");
        assert_eq!(way(&rig), Value::Null);
    }
}
