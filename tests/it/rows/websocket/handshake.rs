//! What may become a WebSocket.

use super::*;

#[test]
fn a_websocket_passes_where_its_entry_says_so() {
    for (host, lines) in [("other.test", String::new()), ("api.test", "x-api-key: PH\r\n".to_owned())] {
        let sea = Sea::new(echo);
        let lines = lines.replace("PH", &sea.lab.placeholder);
        let mut raw = sea.open(host, &lines);
        raw.send(&masked(TEXT, "hello"));
        assert_eq!(text(&mut raw), "hello");
        raw.send(&masked(PING, "p"));
        let pong = raw.frame().unwrap().unwrap();
        assert_eq!((pong.first, pong.text()), (PONG, "p".to_owned()));
        close(&mut raw);
        let got = sea.origin.text();
        assert!(got.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{got}");
        assert_eq!(got.contains(&sea.lab.secret), host == "api.test", "{got}");
        assert!(!got.contains(&sea.lab.placeholder), "{got}");
        let record = sea.record();
        assert_eq!(
            (&record["type"], &record["decision"], &record["outcome"]),
            (&"websocket".into(), &"allow".into(), &"complete".into()),
            "{record}"
        );
        assert_eq!(record["http"]["response"]["status_code"], 101);
        let (up, down) = (6 + 5 + 6 + 1 + 6 + 5, 2 + 5 + 2 + 1 + 2 + 5);
        assert_eq!((&record["bytes"]["up"], &record["bytes"]["down"]), (&up.into(), &down.into()), "{record}");
        sea.lab.assert_sealed();
    }
}
