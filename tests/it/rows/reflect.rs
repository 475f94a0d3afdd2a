//! F4, F5: a secret that a host sends back is replaced, wherever it stands and however it is cut.

use ensage_tests::{Answer, Origin, ok};

use super::lab::{KEYED, Keyed, has, lab, rig};

/// The secret as the origin got it, if it did.
fn reflected(request: &Answer) -> String {
    let value = request.field("authorization").unwrap_or("Bearer nothing");
    value.strip_prefix("Bearer ").unwrap_or(value).to_owned()
}

fn reply(request: &Answer) -> Vec<u8> {
    let s = reflected(request);
    let path = request.line().split(' ').nth(1).unwrap().to_owned();
    let empty = "content-length: 0\r\n\r\n";
    match path.as_str() {
        "/body" => ok(&format!("you sent {s}, and {s} again")),
        "/header" => format!("HTTP/1.1 200 OK\r\nx-echo: <{s}>\r\nx-two: {s} {s}\r\n{empty}").into_bytes(),
        "/location" => format!("HTTP/1.1 302 Found\r\nlocation: https://x.test/?t={s}\r\n{empty}").into_bytes(),
        "/cookie" => format!("HTTP/1.1 200 OK\r\nset-cookie: t={s}; Path=/\r\n{empty}").into_bytes(),
        "/error" => {
            let page = format!("<h1>bad token {s}</h1>");
            format!("HTTP/1.1 500 Oops\r\ncontent-length: {}\r\n\r\n{page}", page.len()).into_bytes()
        }
        "/trailer" => format!(
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: {s}\r\n\r\n"
        )
        .into_bytes(),
        "/close" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end: {s}").into_bytes(),
        "/head" => format!("HTTP/1.1 204 No Content\r\nx-echo: {s}\r\n\r\n").into_bytes(),
        _ => ok("nothing"),
    }
}

#[test]
fn f4_a_reflected_secret_becomes_the_placeholder() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test"])), |link| {
        while let Some(request) = link.request()? {
            link.write(&reply(&request))?;
            if request.line().contains("/close") {
                return Ok(());
            }
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("api.test:443", origin.address()));
    let p = lab.placeholder.clone();
    for (path, count, shown) in [
        ("/body", 2, format!("you sent {p}, and {p} again")),
        ("/header", 3, format!("x-echo: <{p}>\r\nx-two: {p} {p}\r\n")),
        ("/location", 1, format!("location: https://x.test/?t={p}\r\n")),
        ("/cookie", 1, format!("set-cookie: t={p}; Path=/\r\n")),
        ("/error", 1, format!("<h1>bad token {p}</h1>")),
        ("/trailer", 1, format!("hix-sum: {p}\r\n")),
        ("/close", 1, format!("until the end: {p}")),
        ("/head", 1, format!("x-echo: {p}\r\n")),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: api.test\r\nTE: trailers\r\nAuthorization: Bearer {p}\r\n\r\n");
        let answer = lab.ask("api.test:443", &request);
        let all = format!("{}{}{}", answer.head, answer.text(), answer.trailers);
        assert!(!all.contains(&lab.secret), "{path}: {all}");
        assert!(all.contains(&shown), "{path}: {all}");
        let record = lab.rig.calls().pop().unwrap();
        assert_eq!(record["scrubbed"], count, "{path}: {record}");
        assert_eq!(record["outcome"], "complete", "{path}");
        assert!(!record.to_string().contains(&lab.secret), "{record}");
    }
    // The twin: what is no secret passes byte for byte, its length with it.
    let answer =
        lab.ask("api.test:443", &format!("GET /none HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {p}\r\n\r\n"));
    assert_eq!((answer.text().as_str(), answer.field("content-length")), ("nothing", Some("7")));
    lab.assert_sealed();
}

/// What is coded or cut into ranges can't be searched, so it is not asked for and not passed on (B12).
#[test]
fn f6_a_bound_host_answers_in_the_clear_and_whole() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test", "other.test"])), |request| {
        let coded = if request.line().contains("/coded") { "content-encoding: gzip\r\n" } else { "" };
        format!("HTTP/1.1 200 OK\r\n{coded}content-length: 4\r\n\r\nbody").into_bytes()
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let get = |host: &str, path: &str| {
        let lines = "Accept-Encoding: gzip, br\r\nRange: bytes=0-7\r\n";
        lab.ask(&format!("{host}:443"), &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"))
    };
    let answer = get("api.test", "/coded");
    assert_eq!((answer.status, answer.told()), (502, Some("response_refused")));
    assert!(!answer.text().contains("body"));
    assert_eq!(lab.rig.calls().pop().unwrap()["reason"], "response_refused");
    let got = origin.text();
    assert!(got.contains("accept-encoding: identity\r\n") && !got.contains("range:"), "{got}");
    assert_eq!(get("api.test", "/").text(), "body");
    // Where nothing is governed nothing is changed.
    let before = origin.text().len();
    let answer = get("other.test", "/coded");
    assert_eq!((answer.text().as_str(), answer.field("content-encoding")), ("body", Some("gzip")));
    let got = origin.text().split_off(before);
    assert!(got.contains("accept-encoding: gzip, br\r\n") && got.contains("range: bytes=0-7\r\n"), "{got}");
}

/// Cuts `text` after its first `at` bytes and sends both as chunks of their own.
fn in_two(text: &[u8], at: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in [&text[..at], &text[at..]] {
        if !piece.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// For each cut of the answer one request; what the client puts together is the same each time.
fn every_cut(kind: &'static str, before: &'static str, after: &'static str) {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test"])), move |link| {
        while let Some(request) = link.request()? {
            let text = format!("{before}{}{after}", reflected(&request)).into_bytes();
            let at: usize = request.line().split(['/', ' ']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
            link.write(
                format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes(),
            )?;
            if at < text.len() {
                // Each chunk in a TLS record and a packet of its own.
                let chunks = in_two(&text, at);
                let cut = chunks.len() - in_two(&text[at..], 0).len();
                link.write(&chunks[..cut])?;
                link.write(&chunks[cut..])?;
            } else {
                for byte in &text {
                    link.write(&[b"1\r\n", std::slice::from_ref(byte), b"\r\n"].concat())?;
                }
                link.write(b"0\r\n\r\n")?;
            }
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("api.test:443", origin.address()));
    let expected = format!("{before}{}{after}", lab.placeholder);
    let length = before.len() + lab.secret.len() + after.len();
    let mut raw = lab.rig.tunnel(&lab.gateway, "api.test:443");
    // The last one is the whole, byte for byte.
    for at in 0..=length {
        raw.send(
            format!("GET /{at} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder)
                .as_bytes(),
        );
        let answer = raw.answer();
        assert!(!has(&answer.body, lab.secret.as_bytes()), "cut at {at}: {}", answer.text());
        // Up to three bytes of a secret may have gone out when the next ones show what they were.
        let early = if at == length { 3 } else { at.saturating_sub(before.len()) };
        let early = if early < 4 { lab.secret.get(..early).unwrap() } else { "" };
        let fits = answer.text() == expected || answer.text() == format!("{before}{early}{}{after}", lab.placeholder);
        assert!(fits, "cut at {at}: {}", answer.text());
    }
    let records = lab.rig.calls();
    assert_eq!(records.len(), length + 1);
    assert!(records.iter().all(|r| r["scrubbed"] == 1 && r["outcome"] == "complete"), "{records:#?}");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn f5_every_cut_of_a_reflected_secret_is_found() {
    every_cut("text/plain", "before CANARY-0 ", " CANARY- after");
}

#[test]
fn f5_every_cut_of_a_reflected_secret_in_an_event_is_found() {
    every_cut("text/event-stream", "event: a\ndata: x\n\ndata: {\"t\":\"", "\"}\n\ndata: CANARY-\n\n");
}
