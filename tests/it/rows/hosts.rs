//! A9-A13: what a host may look like, where it may lead, and that only allowed names are ever looked up.

use ensage_tests::{Dns, Origin, Raw};

use super::lab::{ask, lab, reason, reasons, rig};

#[test]
fn a9_a_malformed_host_is_refused_before_anything() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let dns = Dns::start();
    let config =
        lab("[[enclave.lab.http]]\nhost = \"*\"\n").resolve("ok.test:443", origin.address()).dns(dns.address());
    let gateway = rig.start_with(&config);
    let bad: [&[u8]; 14] = [
        b"ok.test\0.evil.test:443",
        b"ok.test%00.evil.test:443",
        b"ok.test\t.evil.test:443",
        b"ok.test\r.evil.test:443",
        b"ok.test\n.evil.test:443",
        b"user@ok.test:443",
        b"user:pass@ok.test:443",
        b"ok.test\\.evil.test:443",
        b"[ok.test]:443",
        b"[fe80::1%25lo]:443",
        b"[fe80::1%lo]:443",
        b"ok..test:443",
        b"ok.test:65536",
        b"ok.test:4 43",
    ];
    for host in bad {
        for absolute in [false, true] {
            let mut raw = Raw::open(gateway.address());
            let (before, after): (&[u8], &[u8]) =
                if absolute { (b"GET http://", b"/ HTTP/1.1\r\n") } else { (b"CONNECT ", b" HTTP/1.1\r\n") };
            raw.send(&[before, host, after, b"Host: ok.test:443\r\n\r\n"].concat());
            let shown = String::from_utf8_lossy(host);
            let answer = raw.try_answer("GET").unwrap().unwrap_or_else(|| panic!("no answer to {shown:?}"));

            assert_eq!(answer.status, 400, "{shown}: {}", answer.head);
            let told = answer.told().unwrap().to_owned();
            assert!(["malformed_authority", "malformed_request"].contains(&told.as_str()), "{shown}: {told}");
            let record = rig.calls().pop().unwrap();
            assert_eq!((reason(&record), &record["decision"]), (told, &"deny".into()), "{shown}");
        }
    }
    assert_eq!((dns.asked(), origin.connections()), (vec![], 0));
    assert_eq!(reasons(&rig).len(), 2 * bad.len());
    assert_eq!(ask(&rig, &gateway, "ok.test:443", b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n").status, 200);
}

#[test]
fn a10_every_spelling_of_an_address_is_that_address() {
    let rig = rig();
    let sink = Origin::sink();
    let dns = Dns::start();
    let port = sink.port();
    let config = lab(&format!("[[enclave.lab.http]]\nhost = \"*.test:{port}\"\n")).dns(dns.address());
    let gateway = rig.start_with(&config);
    let spellings = [
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "0",
        "127.0.0.1",
        "127.000.000.001",
        "1.2.3.4.5",
        "0x7f.1",
        "[::1]",
    ];
    for host in spellings {
        let mut raw = Raw::open(gateway.address());
        let answer = raw.connect(&format!("{host}:{port}"), "");
        let hidden = (answer.status, answer.told()) == (502, Some("name_unknown"));
        let malformed = (answer.status, answer.told()) == (400, Some("malformed_authority"));
        assert!(hidden || malformed, "{host}: {}", answer.head);
        let true_reason = reason(&rig.calls().pop().unwrap());
        assert_eq!(true_reason, if hidden { "address_literal" } else { "malformed_authority" }, "{host}");
    }
    assert_eq!((dns.asked(), sink.connections()), (vec![], 0));
}

#[test]
fn a10_twin_a_listed_address_is_reached() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["127.0.0.1"]));
    let target = format!("127.0.0.1:{}", origin.port());
    // Nothing special is opened: naming the literal opens it.
    let config = lab(&format!("[[enclave.lab.http]]\nhost = \"{target}\"\n")).private("[]");
    let gateway = rig.start_with(&config);
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect(&target, "").status, 200);
    let mut raw = raw.tls_without_sni(&rig.trust(), "127.0.0.1").unwrap();
    raw.send(format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
    assert_eq!(raw.answer().text(), "good");
}

/// Addresses that lead inside, whichever way they are wrapped.
const INSIDE: [&str; 14] = [
    "127.0.0.2",
    "0.0.0.0",
    "169.254.169.254",
    "10.0.0.1",
    "100.64.0.1",
    "::1",
    "::ffff:169.254.169.254",
    "::ffff:127.0.0.2",
    "::127.0.0.2",
    "64:ff9b::7f00:2",
    "2002:7f00:2::",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

#[test]
fn a11_a_special_address_is_never_dialled() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let port = origin.port();
    // Where the gateway would arrive if it dialled 127.0.0.2.
    let sink = Origin::sink_at(&format!("127.0.0.2:{port}"));
    let dns = Dns::start();
    for (n, ip) in INSIDE.iter().enumerate() {
        dns.answer(&format!("n{n}.test"), &[&[*ip]]);
    }
    dns.answer("ok.test", &[&["127.0.0.1"]]);
    let config = lab(&format!("[[enclave.lab.http]]\nhost = \"*.test:{port}\"\n"))
        .dns(dns.address())
        .private("[\"127.0.0.1/32\"]");
    let gateway = rig.start_with(&config);
    for (n, ip) in INSIDE.iter().enumerate() {
        let request = format!("GET / HTTP/1.1\r\nHost: n{n}.test:{port}\r\n\r\n");
        let answer = ask(&rig, &gateway, &format!("n{n}.test:{port}"), request.as_bytes());
        assert_eq!((answer.status, answer.told()), (502, Some("upstream_address")), "{ip}");
        assert!(!answer.text().contains(ip), "the client learns no address: {}", answer.text());
        // The same as a literal does not even exist.
        let literal = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
        let answer = Raw::open(gateway.address()).connect(&literal, "");
        assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")), "{ip}");
        assert_eq!(reason(&rig.calls().pop().unwrap()), "address_literal", "{ip}");
    }
    assert_eq!((origin.connections(), sink.connections()), (0, 0));
    let request = format!("GET / HTTP/1.1\r\nHost: ok.test:{port}\r\n\r\n");
    assert_eq!(ask(&rig, &gateway, &format!("ok.test:{port}"), request.as_bytes()).text(), "good");
}

/// A wildcard lets literals in, and opens no special-purpose address by that.
#[test]
fn a11_a_wildcard_opens_no_special_address() {
    let rig = rig();
    let origin = Origin::answering(None, |_| ensage_tests::ok("good"));
    let port = origin.port();
    let sink = Origin::sink_at(&format!("127.0.0.2:{port}"));
    let config = lab("[[enclave.lab.http]]\nhost = \"*:*\"\nscheme = \"http\"\n").private("[\"127.0.0.1/32\"]");
    let gateway = rig.start_with(&config);
    let ask = |host: &str| {
        let mut raw = Raw::open(gateway.address());
        raw.send(format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes());
        let answer = raw.answer();
        (answer.status, answer.told().map(str::to_owned))
    };
    for host in ["127.0.0.2", "[::ffff:127.0.0.2]", "169.254.169.254", "[fd00:ec2::254]"] {
        assert_eq!(ask(host), (502, Some("upstream_address".to_owned())), "{host}");
    }
    assert_eq!(sink.connections(), 0);
    assert_eq!(reasons(&rig), ["upstream_address"; 4]);
    assert_eq!(ask("127.0.0.1"), (200, None));
}

#[test]
fn a12_a_name_that_turns_inside_is_not_followed() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["turn.test", "mixed.test", "ok.test"])), |link| {
        // One request for each connection, so that each is dialled anew.
        link.request()?;
        link.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood")
    });
    let port = origin.port();
    let sink = Origin::sink_at(&format!("127.0.0.2:{port}"));
    let dns = Dns::start();
    dns.answer("ok.test", &[&["127.0.0.1"]]);
    dns.answer("turn.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    dns.answer("mixed.test", &[&["127.0.0.1", "127.0.0.2"]]);
    let config = lab(&format!("[[enclave.lab.http]]\nhost = \"*.test:{port}\"\n"))
        .dns(dns.address())
        .private("[\"127.0.0.1/32\"]");
    let gateway = rig.start_with(&config);
    let ask = |name: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n");
        let answer = ask(&rig, &gateway, &format!("{name}:{port}"), request.as_bytes());
        (answer.status, answer.told().map(str::to_owned))
    };
    let refused = (502, Some("upstream_address".to_owned()));
    assert_eq!(ask("turn.test"), (200, None));
    assert_eq!(ask("turn.test"), refused);
    assert_eq!(ask("mixed.test"), refused);
    assert_eq!((origin.connections(), sink.connections()), (1, 0));
    assert_eq!(reasons(&rig), ["upstream_address"; 2]);
    for name in ["turn.test", "mixed.test"] {
        assert!(dns.asked().iter().any(|asked| asked == name), "{:?}", dns.asked());
    }
    for _ in 0..2 {
        assert_eq!(ask("ok.test"), (200, None));
    }
}

/// What every other row rests on: a name that is looked up where none should be is noticed.
#[test]
#[should_panic(expected = "names that were looked up")]
fn a_name_that_is_looked_up_unasked_fails_its_test() {
    let rig = rig();
    let gateway = rig.start_with(&lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n"));
    let answer = ask(&rig, &gateway, "ok.test:443", b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(answer.told(), Some("upstream_dns"));
}

#[test]
fn a13_a_denied_name_is_never_looked_up() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let dns = Dns::start();
    dns.answer("ok.test", &[&["127.0.0.1"]]);
    let port = origin.port();
    let gateway =
        rig.start_with(&lab(&format!("[[enclave.lab.http]]\nhost = \"ok.test:{port}\"\n")).dns(dns.address()));
    for form in ["CONNECT c2VjcmV0.evil.test:443", "GET http://c2VjcmV0.evil.test/", "GET https://c2VjcmV0.evil.test/"]
    {
        let mut raw = Raw::open(gateway.address());
        raw.send(format!("{form} HTTP/1.1\r\nHost: c2VjcmV0.evil.test\r\n\r\n").as_bytes());
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")), "{form}");
    }
    // In the SNI and the Host of a tunnel that is allowed.
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect(&format!("ok.test:{port}"), "").status, 200);
    assert!(raw.tls(&rig.trust(), "c2vjcmv0.evil.test").is_err());
    assert_eq!(dns.asked(), [""; 0]);
    assert_eq!(reasons(&rig), ["host_not_allowed", "host_not_allowed", "host_not_allowed", "authority_mismatch"]);

    let request = format!("GET / HTTP/1.1\r\nHost: ok.test:{port}\r\n\r\n");
    assert_eq!(ask(&rig, &gateway, &format!("ok.test:{port}"), request.as_bytes()).status, 200);
    assert!(!dns.asked().is_empty() && dns.asked().iter().all(|name| name == "ok.test"), "{:?}", dns.asked());
}
