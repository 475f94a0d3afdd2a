//! A: the authority of a request is one name, judged before anything is looked up or dialled.

use ensage_tests::Origin;

use super::lab::{lab, rig};

#[test]
fn a1_connect_ok_host_evil_gets_nothing() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test", "evil.test"]));
    let config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("*.test:443", origin.address());
    let gateway = rig.start_with(&config);

    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET /a1 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (421, Some("authority_mismatch")));
    assert_eq!(origin.connections(), 0);
    let record = rig.refused();
    assert_eq!(record["reason"], "authority_mismatch");
    assert_eq!(record["server"]["address"], "ok.test");

    let mut twin = rig.tunnel(&gateway, "ok.test:443");
    twin.send(b"GET /a1 HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    let answer = twin.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "good"));
    assert_eq!(origin.text(), "GET /a1 HTTP/1.1\r\nhost: ok.test\r\n\r\n");
}
