//! V22: observe lets through what policy would deny, says so, and never puts a secret into it.

use ensage_tests::{Config, Origin, Raw};

use super::lab::{Keyed, lab, reason, rig};

const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "api.test"
methods = ["GET"]
paths = ["/v1/**"]
credential = "key"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[credential.key]
slot = "bearer"
hosts = ["api.test"]
placeholder = "ph-"
"#;

#[test]
fn v22_observe_records_what_it_would_deny() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test", "desk.test", "free.test"])), |request| {
        if request.line().contains("/mcp") {
            let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            return format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        }
        ensage_tests::ok("good")
    });
    let sink = Origin::sink_at(&format!("127.0.0.2:{}", origin.port()));
    let config: Config = lab(ENTRIES)
        .gateway("mode = \"observe\"")
        .private("[\"127.0.0.1/32\"]")
        .resolve("*.test:443", origin.address())
        .resolve("inside.test:443", sink.address());
    let lab = Keyed::start(rig, &config);
    let last = || lab.rig.calls().pop().unwrap();
    let passes = |host: &str, request: &str, why: &str| {
        let before = origin.requests();
        let answer = lab.ask(&format!("{host}:443"), request);
        assert_eq!(answer.status, 200, "{request}: {}", answer.text());
        let record = last();
        assert_eq!(record["decision"], "allow", "{request}: {record}");
        assert_eq!((reason(&record).as_str(), &record["would"]), (why, &"deny".into()), "{request}: {record}");
        assert_eq!(record["session"]["mode"], "observe");
        assert_eq!(origin.requests(), before + 1, "{request}");
    };
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"evil"}}"#;
    let call = format!(
        "POST /mcp HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    passes("free.test", "GET / HTTP/1.1\r\nHost: free.test\r\n\r\n", "host_not_allowed");
    passes("api.test", "GET /v2 HTTP/1.1\r\nHost: api.test\r\n\r\n", "path_not_allowed");
    passes("api.test", "DELETE /v1/x HTTP/1.1\r\nHost: api.test\r\n\r\n", "method_not_allowed");
    passes(
        "api.test",
        "GET /v1/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer mine\r\n\r\n",
        "foreign_credential",
    );
    passes("desk.test", &call, "tool_not_allowed");
    assert!(!origin.text().contains(&lab.secret));

    // What bears a placeholder is refused where it would be denied, and so is all that is unsafe in any mode.
    let refused = |host: &str, request: &str, why: &str| {
        let (before, answer) = (origin.requests(), lab.ask(&format!("{host}:443"), request));
        assert_eq!(answer.told(), Some(why), "{request}: {}", answer.text());
        let record = last();
        assert_eq!((reason(&record).as_str(), &record["decision"]), (why, &"deny".into()), "{record}");
        assert_eq!(origin.requests(), before, "{request}");
        record
    };
    let bearer = format!("Authorization: Bearer {}\r\n", lab.placeholder);
    let record = refused(
        "api.test",
        &format!("DELETE /v1/x HTTP/1.1\r\nHost: api.test\r\n{bearer}\r\n"),
        "placeholder_would_deny",
    );
    assert_eq!(record["severity"], "high");
    refused("free.test", &format!("GET / HTTP/1.1\r\nHost: free.test\r\n{bearer}\r\n"), "placeholder_wrong_host");
    refused("api.test", "GET /v1/ HTTP/1.1\r\nHost: free.test\r\n\r\n", "authority_mismatch");
    refused("inside.test", "GET / HTTP/1.1\r\nHost: inside.test\r\n\r\n", "upstream_address");
    assert_eq!(sink.connections(), 0);

    // And what is allowed is as in enforce.
    let answer = lab.ask("api.test:443", &format!("GET /v1/x HTTP/1.1\r\nHost: api.test\r\n{bearer}\r\n"));
    assert_eq!(answer.text(), "good");
    assert!(origin.text().contains(&format!("authorization: Bearer {}\r\n", lab.secret)));
    assert!(last().get("would").is_none(), "{}", last());
    lab.assert_sealed();
}

/// The agent that no definition knows is let in too, and seen.
#[test]
fn v22_an_unattributed_client_is_observed() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config: Config = Config::new()
        .gateway("mode = \"observe\"")
        .resolve("ok.test:443", origin.address())
        .body("[agent.them]\nexe = \"/nowhere/*\"\n[enclave.lab]\nagents = [\"them\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n");
    let gateway = rig.start_with(&config);
    let mut raw: Raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    let record = rig.calls().pop().unwrap();
    assert_eq!((&record["decision"], &record["would"]), (&"allow".into(), &"deny".into()), "{record}");
    assert_eq!(reason(&record), "agent_not_allowed");
    assert_eq!(record["process"]["pid"], std::process::id());
}
