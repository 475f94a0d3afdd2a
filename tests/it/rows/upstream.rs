//! H5 and the other ways in which an origin fails.

use ensage_tests::{Config, Dns, Fault, Origin};

use super::lab::{KEYED, Keyed, ask, lab, reason, reasons, rig};

#[test]
fn h5_a_bad_certificate_gets_no_byte() {
    let rig = rig();
    let bad = [
        (Fault::SelfSigned, "unknown_issuer"),
        (Fault::Expired, "expired"),
        (Fault::NotYetValid, "not_yet_valid"),
        (Fault::WrongName, "name_mismatch"),
        (Fault::UnknownRoot, "unknown_issuer"),
    ];
    let name = |n: usize| format!("n{n}.test");
    let origins: Vec<Origin> =
        bad.iter().enumerate().map(|(n, (fault, _))| Origin::good(rig.ca.bad(&name(n), *fault))).collect();
    let good = Origin::good(rig.ca.leaf(&["good.test"]));
    let mut config: Config =
        lab("[[enclave.lab.http]]\nhost = \"*.test\"\n[credential.key]\nslot = \"bearer\"\nhosts = [\"*.test\"]\nplaceholder = \"ph-\"\n")
            .resolve("good.test:443", good.address());
    for (n, origin) in origins.iter().enumerate() {
        config = config.resolve(&format!("{}:443", name(n)), origin.address());
    }
    let lab = Keyed::start(rig, &config);
    let ask = |host: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder);
        lab.ask(&format!("{host}:443"), &request)
    };
    for (n, (fault, named)) in bad.iter().enumerate() {
        let answer = ask(&name(n));
        assert_eq!((answer.status, answer.told()), (502, Some("upstream_certificate")), "{fault:?}");
        assert_eq!(answer.json()["fault"], *named, "{fault:?}");
        let record = lab.rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["outcome"]), ("upstream_certificate", &"upstream_failed".into()));
        assert_eq!(record["fault"], *named, "{fault:?}");
        assert_eq!(origins[n].text(), "", "{fault:?}");
    }
    assert_eq!(ask("good.test").text(), "good");
    assert_eq!(lab.rig.calls().pop().unwrap().get("fault"), None);
    assert!(good.text().contains(&lab.secret));
    lab.assert_sealed();
}

#[test]
fn faults_are_named_by_what_failed() {
    let rig = rig();
    let dns = Dns::start();
    let closing = Origin::start(Some(rig.ca.leaf(&["closing.test"])), |link| {
        link.request()?;
        Ok(())
    });
    let garbage = Origin::answering(Some(rig.ca.leaf(&["garbage.test"])), |_| b"SSH-2.0-x\r\n\r\n".to_vec());
    let twice = Origin::answering(Some(rig.ca.leaf(&["twice.test"])), |_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec()
    });
    let plain = Origin::start(None, |link| link.write(&ensage_tests::ok("plain")));
    let nobody = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    let config = lab("[[enclave.lab.http]]\nhost = \"*.test\"\n")
        .dns(dns.address())
        .resolve("closing.test:443", closing.address())
        .resolve("garbage.test:443", garbage.address())
        .resolve("twice.test:443", twice.address())
        .resolve("plain.test:443", plain.address())
        .resolve("nobody.test:443", nobody);
    let gateway = rig.start_with(&config);
    let expected = [
        ("absent", "upstream_dns"),
        ("nobody", "upstream_refused"),
        ("plain", "upstream_tls"),
        ("closing", "upstream_closed"),
        ("garbage", "upstream_protocol"),
        ("twice", "upstream_protocol"),
    ];
    for (host, why) in expected {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}.test\r\n\r\n");
        let answer = ask(&rig, &gateway, &format!("{host}.test:443"), request.as_bytes());
        assert_eq!((answer.status, answer.told()), (502, Some(why)), "{host}");
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["outcome"]), (why, &"upstream_failed".into()), "{host}");
    }
    // A fault is no refusal: the name may be looked up, and was.
    assert!(dns.asked().iter().all(|name| name == "absent.test") && !dns.asked().is_empty(), "{:?}", dns.asked());
}

/// B6 and its like: an answer that can be read in two ways is not passed on at all.
#[test]
fn b6_an_answer_that_is_no_answer_is_not_passed_on() {
    let answers = [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nleak\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n4\r\nleak\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4, 4\r\n\r\nleak",
        "HTTP/1.1 200 OK\r\ncontent-length: +4\r\n\r\nleak",
        "HTTP/1.1 200 OK\ncontent-length: 4\n\nleak",
        "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 4\r\n\r\nleak",
        "HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 4\r\n\r\nleak",
        "HTTP/1.1 200 OK\r\nx a: b\r\ncontent-length: 4\r\n\r\nleak",
        "HTTP/2 200 OK\r\ncontent-length: 4\r\n\r\nleak",
    ];
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["ok.test"])), move |request| {
        let n: usize = request.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        answers.get(n).map_or_else(|| ensage_tests::ok("good"), |answer| answer.as_bytes().to_vec())
    });
    let gateway =
        rig.start_with(&lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("ok.test:443", origin.address()));
    let get = |n: usize| {
        let request = format!("GET /{n} HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        ask(&rig, &gateway, "ok.test:443", request.as_bytes())
    };
    for (n, sent) in answers.iter().enumerate() {
        let answer = get(n);
        assert_eq!((answer.status, answer.told()), (502, Some("upstream_protocol")), "{sent:?}");
        assert!(!answer.text().contains("leak"), "{sent:?}: {}", answer.text());
        assert_eq!(reason(&rig.calls().pop().unwrap()), "upstream_protocol", "{sent:?}");
    }
    assert_eq!(get(answers.len()).text(), "good");
}

/// An answer that breaks off is never passed on as a whole one.
#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        let Some(request) = link.request()? else { return Ok(()) };
        if request.line().contains("/length") {
            link.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")?;
        } else {
            link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n")?;
        }
        link.cut();
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        // To a client of HTTP/1.0 the end of the stream is the end of the body: it must see that something broke.
        for (path, version) in [("/length", "1.1"), ("/chunks", "1.1"), ("/length", "1.0"), ("/chunks", "1.0")] {
            let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
            raw.send(format!("GET {path} HTTP/{version}\r\nHost: {host}\r\n\r\n").as_bytes());
            // Either the client is told that it failed, or it sees the end too early.
            if version == "1.0" {
                assert!(raw.try_rest().map_or(true, |told| told.starts_with(b"HTTP/1.0 502 ")), "{host}{path}");
            } else if let Ok(Some(answer)) = raw.try_answer("GET") {
                assert_eq!(answer.status, 502, "{host}{path}: {}", answer.text());
            }
            let record = ensage_tests::until("the end of the call", || {
                lab.rig.calls().pop().filter(|r| r.get("open").is_none())
            });
            assert_eq!(record["outcome"], "upstream_failed", "{host}{path}: {record}");
        }
    }
    assert!(reasons(&lab.rig).iter().all(|r| r == "upstream_closed"), "{:?}", reasons(&lab.rig));
}
