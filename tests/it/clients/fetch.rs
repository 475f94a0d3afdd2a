//! curl: down, up, and what a refused host looks like.

use ensage_tests::{Ca, Origin, ok};
use sha2::{Digest, Sha256};

use crate::cli::home::{Home, done};

/// More than every buffer on the way together.
const BYTES: usize = 24 << 20;

fn lab(origin: &Origin, ca: &Ca) -> Home {
    let home = Home::new();
    let roots = home.write("roots.pem", &ca.pem);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"files.lab.test:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"files.lab.test\"\n",
        roots.display(),
        origin.address()
    );
    home.write("ensage-lab.toml", &text);
    home
}

fn noise() -> Vec<u8> {
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(BYTES)
    .collect()
}

#[test]
fn curl_gets_and_sends_every_byte() {
    let ca = Ca::new();
    let body = noise();
    let sent = body.clone();
    let origin = Origin::answering(Some(ca.leaf(&["files.lab.test"])), move |request| {
        if request.head.starts_with("GET ") {
            let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len()).into_bytes();
            answer.extend_from_slice(&sent);
            return answer;
        }
        ok(&format!("{:x?}", Sha256::digest(&request.body)))
    });
    let home = lab(&origin, &ca);
    std::fs::write(home.path("work/up"), &body).unwrap();
    let script = "curl -sS --http1.1 -o down https://files.lab.test/f && curl -sS -T up https://files.lab.test/f";
    let seen = done(&mut home.run(&[], script));
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert_eq!(seen.out, format!("{:x?}", Sha256::digest(&body)), "what arrived is what was sent");
    assert!(std::fs::read(home.path("work/down")).unwrap() == body, "what was received is what was answered");
    let calls = home.calls();
    assert_eq!((&calls[0]["bytes"]["down"], &calls[1]["bytes"]["up"]), (&BYTES.into(), &BYTES.into()));
    for call in &calls {
        assert_eq!((&call["decision"], &call["outcome"]), (&"allow".into(), &"complete".into()));
        assert_eq!((&call["server"]["address"], &call["url"]["scheme"]), (&"files.lab.test".into(), &"https".into()));
    }
}

#[test]
fn a_refused_host_looks_like_one_that_is_not_there() {
    let ca = Ca::new();
    let origin = Origin::good(ca.leaf(&["files.lab.test"]));
    let home = lab(&origin, &ca);
    let script = "curl -sS https://files.lab.test/; curl -sS https://hidden.lab.test/; echo \" $?\"";
    let seen = done(&mut home.run(&[], script));
    assert_eq!(seen.out, "good 56\n", "{seen:?}");
    assert!(seen.err.contains("CONNECT tunnel failed, response 502"), "{seen:?}");
    assert!(seen.last().contains("1 allowed, 1 denied"), "{seen:?}");
    let calls = home.calls();
    assert_eq!(
        (&calls[1]["type"], &calls[1]["reason"]),
        (&"connect".into(), &"host_not_allowed".into()),
        "{}",
        calls[1]
    );
    assert_eq!(calls[1]["server"]["address"], "hidden.lab.test");
    assert_eq!(calls[1].pointer("/network/peer/address"), None, "nobody was dialled");
}
