//! A1-A6: the authority of a request is one name, judged before anything is looked up or dialled.

use ensage_tests::{Config, Dns, Gateway, Origin, Raw, Rig, client_hello};

use super::lab::{KEYED, Keyed, ask, lab, reasons, rig};

/// `ok.test` is allowed, `evil.test` would be served by the same origin.
fn two_hosts() -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test", "evil.test"]));
    let config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("*.test:443", origin.address());
    let gateway = rig.start_with(&config);
    (rig, origin, gateway)
}

const GOOD: &[u8] = b"GET /twin HTTP/1.1\r\nHost: ok.test\r\n\r\n";
const GOT: &str = "GET /twin HTTP/1.1\r\nhost: ok.test\r\n\r\n";

/// The benign twin of most rows here: it is served, and the origin got it alone.
fn twin(rig: &Rig, gateway: &Gateway, origin: &Origin) {
    let answer = ask(rig, gateway, "ok.test:443", GOOD);
    assert_eq!((answer.status, answer.text().as_str()), (200, "good"));
    assert_eq!(origin.text(), GOT);
}

#[test]
fn a1_connect_ok_host_evil_gets_nothing() {
    let (rig, origin, gateway) = two_hosts();
    let answer = ask(&rig, &gateway, "ok.test:443", b"GET /a1 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!((answer.status, answer.told()), (421, Some("authority_mismatch")));
    assert_eq!(answer.json()["reason"], "authority_mismatch");
    assert_eq!(origin.connections(), 0);
    let record = rig.refused();
    assert_eq!(record["reason"], "authority_mismatch");
    assert_eq!((&record["server"]["address"], &record["server"]["port"]), (&"ok.test".into(), &443.into()));
    assert_eq!(answer.field("ensage-decision"), record["id"].as_str());
    twin(&rig, &gateway, &origin);
}

/// The last bytes of a connection whose ClientHello was refused: alert, fatal, unrecognized_name.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

#[test]
fn a2_sni_and_host_evil_get_no_certificate() {
    let (rig, origin, gateway) = two_hosts();
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect("ok.test:443", "").status, 200);
    let refused = raw.tls(&rig.trust(), "evil.test").err().expect("no TLS for another name");
    assert!(format!("{refused:?}").contains("UnrecognisedName"), "{refused:?}");
    assert_eq!(origin.connections(), 0);
    assert_eq!(rig.refused()["reason"], "authority_mismatch");
    twin(&rig, &gateway, &origin);
}

#[test]
fn a3_an_address_chosen_by_the_client_gets_no_credential() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test"]));
    let sink = Origin::sink();
    let dns = Dns::start();
    // The literal is allowed as such, so that nothing but the name stands between it and the secret.
    let literal = format!("127.0.0.1:{}", sink.port());
    let config = lab(&format!("{KEYED}\n[[enclave.lab.http]]\nhost = \"{literal}\"\n"))
        .resolve("api.test:443", origin.address())
        .dns(dns.address());
    let lab = Keyed::start(rig, &config);

    // SNI and Host of the bound host, the address of the attacker.
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect(&literal, "").status, 200);
    assert!(raw.tls(&lab.rig.trust(), "api.test").is_err());
    // An address that is not listed is not even told that it is one.
    let mut raw = Raw::open(lab.gateway.address());
    let answer = raw.connect("127.0.0.2:443", "");
    assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")));
    assert_eq!(reasons(&lab.rig), ["authority_mismatch", "address_literal"]);
    assert_eq!((sink.connections(), origin.connections()), (0, 0));

    let bearer = format!("GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder);
    assert_eq!(lab.ask("api.test:443", &bearer).status, 200);
    assert!(origin.text().contains(&format!("authorization: Bearer {}\r\n", lab.secret)), "{}", origin.text());
    assert_eq!((sink.connections(), dns.asked()), (0, vec![]));
    lab.assert_sealed();
}

#[test]
fn a4_no_sni_an_address_or_two_names_get_no_leaf() {
    let (rig, origin, gateway) = two_hosts();
    let hellos: [&[&[u8]]; 5] =
        [&[], &[b"127.0.0.1"], &[b"ok.test", b"evil.test"], &[b"ok.test", b"ok.test"], &[b"ok.test\0.evil.test"]];
    for hello in hellos {
        let mut raw = Raw::open(gateway.address());
        assert_eq!(raw.connect("ok.test:443", "").status, 200);
        raw.send(&client_hello(hello));
        assert_eq!(raw.rest(), UNRECOGNIZED_NAME, "{hello:?}");
    }
    assert_eq!(reasons(&rig), vec!["authority_mismatch"; hellos.len()]);
    assert_eq!(origin.connections(), 0);
    // The same bytes with the one right name are answered with a ServerHello.
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect("ok.test:443", "").status, 200);
    raw.send(&client_hello(&[b"ok.test"]));
    raw.end();
    assert_eq!(raw.rest().first(), Some(&0x16));
    twin(&rig, &gateway, &origin);
}

#[test]
fn a4_twin_a_literal_needs_no_sni() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["127.0.0.1"]));
    let target = format!("127.0.0.1:{}", origin.port());
    let gateway = rig.start_with(&lab(&format!("[[enclave.lab.http]]\nhost = \"{target}\"\n")));
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect(&target, "").status, 200);
    let mut raw = raw.tls_without_sni(&rig.trust(), "127.0.0.1").unwrap();
    raw.send(format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
    assert_eq!(raw.answer().text(), "good");
    assert_eq!(reasons(&rig), [""; 0]);
}

#[test]
fn a6_each_request_of_a_tunnel_is_judged() {
    let (rig, origin, gateway) = two_hosts();
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(GOOD);
    assert_eq!(raw.answer().status, 200);
    raw.send(b"GET /a6 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (421, Some("authority_mismatch")));
    assert_eq!(origin.text(), GOT);
    assert_eq!(rig.refused()["reason"], "authority_mismatch");

    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    for _ in 0..2 {
        raw.send(GOOD);
        assert_eq!(raw.answer().status, 200);
    }
    assert_eq!(origin.text(), GOT.repeat(3));
    assert_eq!(origin.connections(), 1, "the session keeps its upstream connection");
}

/// Outside a tunnel the target and the Host field are two spellings of one authority, too.
#[test]
fn a1_absolute_form_and_host_are_one() {
    let rig = rig();
    let origin = Origin::answering(None, |_| ensage_tests::ok("good"));
    let config: Config =
        lab("[[enclave.lab.http]]\nhost = \"ok.test:80\"\nscheme = \"http\"\n").resolve("*.test:80", origin.address());
    let gateway = rig.start_with(&config);
    let mut raw = Raw::open(gateway.address());
    raw.send(b"GET http://ok.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (421, Some("authority_mismatch")));
    assert_eq!(origin.connections(), 0);
    let mut raw = Raw::open(gateway.address());
    raw.send(b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    assert_eq!(origin.text(), "GET / HTTP/1.1\r\nhost: ok.test\r\n\r\n");
    assert_eq!(rig.refused()["reason"], "authority_mismatch");
}
