//! TLS that passes unread: hosts that `tunnel` lists.

use std::io::{Read, Write};

use ensage_tests::{Config, Dns, Gateway, Origin, Raw, Rig, client_hello, roots_of, until};
use rustls::RootCertStore;
use serde_json::Value;

use super::lab::{KEYED, Keyed, has, lab, reason, reasons, rig};
use super::regress::reloaded;

const PINNED: &str = "tunnel = [\"pinned.test\", \"*.wild.test:8443\"]\n[[enclave.lab.http]]\nhost = \"*\"\n";

/// What a program with a pinned certificate trusts: the origin's own CA, not the gateway's.
fn pinned(rig: &Rig) -> RootCertStore {
    roots_of(&rig.path("roots.pem"))
}

fn connected(gateway: &Gateway, target: &str) -> Raw {
    let mut raw = Raw::open(gateway.address());
    let answer = raw.connect(target, "");
    assert_eq!(answer.status, 200, "{}{}", answer.head, answer.text());
    raw
}

/// The one record, once it is closed.
fn closed(rig: &Rig) -> Value {
    let mut calls = until("the end of the tunnel", || {
        let calls = rig.calls();
        calls.iter().all(|call| call.get("outcome").is_some()).then_some(calls).filter(|calls| !calls.is_empty())
    });
    assert_eq!(calls.len(), 1, "{calls:#?}");
    calls.remove(0)
}

/// Bytes both ways until one side ends, so that a test sees what it was told to the last.
fn echo(link: &mut ensage_tests::Link) -> std::io::Result<()> {
    loop {
        let some = link.some()?;
        if some.is_empty() {
            return link.write(b"bye");
        }
        link.write(&some)?;
    }
}

#[test]
fn a_listed_host_passes_unread_and_is_recorded_as_such() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["pinned.test", "a.wild.test"]));
    let config = lab(PINNED).resolve("*.test:443", origin.address()).resolve("*.wild.test:8443", origin.address());
    let gateway = rig.start_with(&config);
    // What no gate would let pass: whatever is in there is the client's and the origin's own.
    let odd = b"GET /%2e%2e/secret HTTP/1.1\r\nX-Odd :  a\r\nHost: another.test\r\n\r\n";
    let mut raw = connected(&gateway, "pinned.test:443").tls(&pinned(&rig), "pinned.test").unwrap();
    raw.send(odd);
    assert_eq!(raw.answer().text(), "good");
    let running = rig.calls().pop().unwrap();
    assert_eq!((&running["open"], running.get("outcome")), (&true.into(), None), "{running}");
    drop(raw);
    assert_eq!(origin.received(), [odd.to_vec()]);
    let record = closed(&rig);
    let told = ["type", "decision", "rule", "severity", "outcome"].map(|key| record[key].as_str().unwrap_or("-"));
    assert_eq!(told, ["tunnel", "allow", "enclave.lab.tunnel[0]", "info", "complete"], "{record}");
    assert_eq!((&record["server"]["address"], &record["server"]["port"]), (&"pinned.test".into(), &443.into()));
    assert_eq!(record["network"]["peer"]["address"], "127.0.0.1");
    assert_eq!(record["process"]["pid"], std::process::id());
    assert!(record.get("credential").is_none() && record["url"].get("path").is_none(), "{record}");
    let bytes = ["up", "down"].map(|way| record["bytes"][way].as_u64().unwrap());
    assert!(bytes[0] > odd.len() as u64 && bytes[1] > 500, "a handshake and a message each way: {record}");
    assert_eq!(rig.good(&["status", "--metrics"]).matches("leaves_minted_total 0").count(), 1);

    // The twins: other hosts and ports are read as ever, with our certificate.
    let leaf = |target: &str, roots: &RootCertStore| {
        let name = target.rsplit_once(':').unwrap().0;
        connected(&gateway, target).tls(roots, name).map(|raw| raw.leaf().unwrap())
    };
    assert!(leaf("a.wild.test:8443", &pinned(&rig)).is_ok());
    assert!(leaf("a.wild.test:443", &rig.trust()).is_ok());
    assert!(leaf("other.test:443", &rig.trust()).is_ok());
}

/// The ClientHello's name is held against the CONNECT's, however it comes.
#[test]
fn a3_a_tunnel_goes_where_its_client_hello_says_or_nowhere() {
    let rig = rig();
    let sink = Origin::sink();
    let gateway = rig.start_with(&lab(PINNED).resolve("*.test:443", sink.address()));
    let hellos: [&[&[u8]]; 4] = [&[b"other.test"], &[], &[b"pinned.test", b"other.test"], &[b"127.0.0.1"]];
    for sni in hellos {
        let mut raw = connected(&gateway, "pinned.test:443");
        raw.send(&client_hello(sni));
        assert_eq!(raw.rest(), [0x15, 3, 3, 0, 2, 2, 112], "{sni:?}");
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["type"]), ("authority_mismatch", &"tunnel".into()), "{sni:?}");
    }
    assert_eq!((sink.connections(), reasons(&rig).len()), (0, hellos.len()));

    // The twin, byte by byte and in another spelling: it arrives as it was sent, and what is behind it too.
    let hello = [client_hello(&[b"PINNED.test"]), b"and more".to_vec()].concat();
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send_in_pieces(&hello, 1);
    until("the hello", || (sink.received().first() == Some(&hello)).then_some(()));
    // What is recorded is recorded before.
    let record = rig.calls().pop().unwrap();
    assert_eq!((&record["type"], &record["open"]), (&"tunnel".into(), &true.into()), "{record}");
}

#[test]
fn a_tunnel_is_on_record_before_its_first_byte_goes_up() {
    let rig = rig();
    let sink = Origin::sink();
    let mut gateway = rig.start_with(&lab(PINNED).resolve("pinned.test:443", sink.address()));
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send(&client_hello(&[b"pinned.test"]));
    until("the first byte", || sink.received().first().filter(|got| !got.is_empty()).map(drop));
    gateway.kill();
    let calls = rig.calls();
    assert_eq!((calls.len(), &calls[0]["type"]), (1, &"tunnel".into()), "{calls:#?}");
}

#[test]
fn each_way_of_a_tunnel_has_its_own_end_and_pace() {
    let rig = rig();
    let origin = Origin::start(None, echo);
    let gateway = rig.start_with(&lab(PINNED).resolve("pinned.test:443", origin.address()));
    let mut raw = connected(&gateway, "pinned.test:443");
    let hello = client_hello(&[b"pinned.test"]);
    raw.send(&hello);
    origin.wait_for("\x16");
    // More than all buffers on the way hold: it comes back only as fast as it is read.
    let much = vec![b'x'; 12 << 20];
    let stream = raw.duplicate();
    let writing = {
        let (mut stream, much) = (stream.try_clone().unwrap(), much.clone());
        std::thread::spawn(move || {
            stream.write_all(&much).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    let mut back = Vec::new();
    (&stream).read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert_eq!(back.len(), hello.len() + much.len() + 3);
    assert!(back.ends_with(b"xbye"), "what is said after the client's end still comes");
    drop((stream, raw));
    let record = closed(&rig);
    assert_eq!(record["outcome"], "complete", "{record}");
    let moved = (hello.len() + much.len()) as u64;
    assert_eq!((&record["bytes"]["up"], &record["bytes"]["down"]), (&moved.into(), &(moved + 3).into()));
}

#[test]
fn what_breaks_off_is_not_made_whole() {
    let rig = rig();
    let cutting = Origin::start(None, |link| {
        link.some()?;
        link.write(b"part")?;
        link.reset();
        Ok(())
    });
    let gateway = rig.start_with(&lab(PINNED).resolve("pinned.test:443", cutting.address()));
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send(&client_hello(&[b"pinned.test"]));
    assert!(raw.try_rest().is_err(), "an end in order");
    assert_eq!(closed(&rig)["outcome"], "upstream_failed");
}

#[test]
fn v4_h7_a_tunnel_that_is_listed_no_more_is_cut() {
    let rig = rig();
    let sink = Origin::sink();
    let config = |list: &str| lab(&format!("tunnel = [{list}]\n")).resolve("*.test:443", sink.address());
    let gateway = rig.start_with(&config("\"pinned.test\""));
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send(&client_hello(&[b"pinned.test"]));
    sink.wait_for("\x16");
    // The twin: a reload that leaves it leaves it running.
    rig.configure(&config("\"*.test\""));
    reloaded(&rig, &gateway);
    raw.send(b"still");
    sink.wait_for("still");
    rig.configure(&config("\"other.test\""));
    reloaded(&rig, &gateway);
    assert!(raw.try_rest().is_err(), "an end in order");
    let record = closed(&rig);
    assert_eq!(record["outcome"], "revoked", "{record}");
    assert_eq!(record["bytes"]["up"], client_hello(&[b"pinned.test"]).len() + 5);
    let answer = Raw::open(gateway.address()).connect("pinned.test:443", "");
    assert_eq!(answer.status, 502, "{}", answer.head);
}

#[test]
fn a14_v4_a_tunnel_goes_to_checked_addresses_only() {
    let rig = rig();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dns = Dns::start();
    let config: Config = lab("tunnel = [\"*.test\", \"127.0.0.1:*\", \"10.0.0.1\"]\n")
        .private("[]")
        .dns(dns.address())
        .resolve("meta.test:443", "169.254.169.254:443".parse().unwrap())
        .resolve("inside.test:443", "127.0.0.1:1".parse().unwrap());
    let gateway = rig.start_with(&config);
    let expected = [
        (gateway.address().to_string(), "", "upstream_address"),
        ("meta.test:443".to_owned(), "meta.test", "upstream_address"),
        ("inside.test:443".to_owned(), "inside.test", "upstream_address"),
        ("absent.test:443".to_owned(), "absent.test", "upstream_dns"),
        (nobody.to_string(), "", "upstream_refused"),
    ];
    for (target, name, why) in expected {
        let mut raw = connected(&gateway, &target);
        let sni: &[&[u8]] = if name.is_empty() { &[] } else { &[name.as_bytes()] };
        raw.send(&client_hello(sni));
        assert_eq!(raw.rest(), [0x15, 3, 3, 0, 2, 2, 80], "{target}");
        let record = rig.calls().pop().unwrap();
        let told = (reason(&record), record["type"].clone(), record["outcome"].clone());
        assert_eq!(told, (why.to_owned(), "tunnel".into(), "upstream_failed".into()), "{target}");
    }
    assert!(dns.asked().iter().all(|name| name == "absent.test"), "{:?}", dns.asked());
}

#[test]
fn e7_no_placeholder_goes_near_a_tunnel() {
    let rig = rig();
    let sink = Origin::sink();
    let entries = format!("tunnel = [\"pinned.test\"]\n{KEYED}");
    let lab = Keyed::start(rig, &lab(&entries).resolve("*.test:443", sink.address()));
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect("pinned.test:443", &format!("X-Note: {}\r\n", lab.placeholder)).status, 200);
    raw.send(&client_hello(&[b"pinned.test"]));
    assert_eq!(raw.rest(), [0x15, 3, 3, 0, 2, 2, 49]);
    let record = lab.rig.refused();
    assert_eq!((reason(&record).as_str(), &record["severity"]), ("placeholder_wrong_host", &"high".into()), "{record}");
    assert_eq!(sink.connections(), 0);
    lab.assert_sealed();
}

#[test]
fn what_is_no_tls_does_not_pass_unseen() {
    let rig = rig();
    let sink = Origin::sink();
    let config: Config = lab("tunnel = [\"pinned.test\"]\n").resolve("*.test:443", sink.address());
    let gateway = rig.start_with(&config);
    // The gateway itself does not ask for what it must not see.
    let mut raw = Raw::open(gateway.address());
    raw.send(b"GET https://pinned.test/ HTTP/1.1\r\nHost: pinned.test\r\n\r\n");
    let answer = raw.answer();
    assert_eq!(
        (answer.status, answer.text().starts_with("name_unknown pinned.test ")),
        (502, true),
        "{}",
        answer.text()
    );
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send(b"GET / HTTP/1.1\r\nHost: pinned.test:443\r\n\r\n");
    assert_eq!(raw.answer().told(), Some("protocol_not_allowed"));
    let mut raw = connected(&gateway, "pinned.test:443");
    raw.send(b"SSH-2.0-x\r\n");
    assert!(!has(&raw.rest(), b"SSH"));
    assert_eq!(reasons(&rig), ["scheme_not_allowed", "protocol_not_allowed", "protocol_not_allowed"]);
    assert_eq!(sink.connections(), 0);
}
