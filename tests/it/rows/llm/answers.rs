//! E5: what a provider does without being asked does not get to the agent.

use ensage_tests::h2::send_all;
use serde_json::Value;

use super::super::lab::reason;
use super::{Desk, post};

const MARK: &str = "the-unasked-thing";

/// An event, or item, of each API that tells of something unasked.
fn bad(path: &str) -> String {
    match path {
        "/v1/messages" => format!(
            r#"{{"type":"content_block_start","content_block":{{"type":"mcp_tool_use","server_name":"s","name":"{MARK}"}}}}"#
        ),
        "/v1/chat/completions" => format!(
            r#"{{"choices":[{{"index":0,"delta":{{"annotations":[{{"type":"url_citation","title":"{MARK}"}}]}}}}]}}"#
        ),
        _ => format!(
            r#"{{"type":"response.output_item.added","output_index":0,"item":{{"type":"mcp_call","server_label":"s","name":"{MARK}"}}}}"#
        ),
    }
}

fn good(path: &str) -> &'static str {
    match path {
        "/v1/messages" => {
            r#"{"type":"message_start","message":{"model":"good-x","content":[],"usage":{"input_tokens":11,"output_tokens":1}}}"#
        }
        "/v1/chat/completions" => {
            r#"{"model":"good-x","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":1}}"#
        }
        _ => {
            r#"{"type":"response.in_progress","response":{"model":"good-x","usage":{"input_tokens":11,"output_tokens":1}}}"#
        }
    }
}

fn whole(path: &str) -> String {
    match path {
        "/v1/messages" => format!(
            r#"{{"type":"message","content":[{{"type":"server_tool_use","name":"{MARK}"}}],"usage":{{"output_tokens":7}}}}"#
        ),
        "/v1/chat/completions" => {
            format!(
                r#"{{"choices":[{{"message":{{"annotations":[{{"type":"url_citation","title":"{MARK}"}}]}}}}],"usage":{{"completion_tokens":7}}}}"#
            )
        }
        _ => format!(
            r#"{{"output":[{{"type":"code_interpreter_call","code":"{MARK}"}}],"usage":{{"output_tokens":7}}}}"#
        ),
    }
}

const PLACES: [(&str, &str, &str); 3] = [
    ("claude.test", "/v1/messages", r#"{"model":"good","messages":[]}"#),
    ("gpt.test", "/v1/chat/completions", r#"{"model":"good","messages":[]}"#),
    ("gpt.test", "/v1/responses", r#"{"model":"good","input":"x"}"#),
];

fn assert_refused(record: &Value, outcome: &str) {
    assert_eq!((&record["decision"], &record["outcome"]), (&"allow".into(), &outcome.into()), "{record}");
    assert_eq!(reason(record), "response_refused", "{record}");
}

#[test]
fn e5_of_a_whole_answer_nothing_gets_through() {
    // Once with its name as JSON, once with no name at all.
    for kind in ["content-type: application/json\r\n", ""] {
        let desk = Desk::start(move |request| {
            let body = whole(request.line().split(' ').nth(1).unwrap());
            format!("HTTP/1.1 200 OK\r\n{kind}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        });
        for (host, path, body) in PLACES {
            let answer = desk.post(host, path, "", body);
            assert_eq!((answer.status, answer.told()), (502, Some("response_refused")), "{path}: {}", answer.text());
            assert!(!answer.text().contains(MARK), "{}", answer.text());
            assert_eq!(answer.field("x-should-retry"), Some("false"));
            assert_eq!(answer.json()["error"]["ensage"]["reason"], "response_refused");
            let record = desk.last();
            assert_refused(&record, "upstream_failed");
            assert_eq!(record["http"]["response"]["status_code"], 502);
            assert_eq!(record["gen_ai"]["usage"]["output_tokens"], 7, "{record}");
        }
    }
}

#[test]
fn e5_a_stream_ends_before_what_was_not_asked_for() {
    // The bad event in a chunk with the good one, in one of its own, and cut in two.
    for cut in [0, 1, 2] {
        let desk = Desk::start(move |request| {
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            let (good, bad) = (format!("data: {}\n\n", good(&path)), format!("data: {}\n\n", bad(&path)));
            let chunks = match cut {
                0 => vec![format!("{good}{bad}{good}")],
                1 => vec![good.clone(), bad, good],
                _ => vec![format!("{good}{}", &bad[..20]), bad[20..].to_owned(), good],
            };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            // It says no more, and leaves its end open.
            format!("{head}{chunks}").into_bytes()
        });
        for (host, path, body) in PLACES {
            let body = body.replacen('{', "{\"stream\":true,", 1);
            let mut raw = desk.open(host, &post(host, path, "", &body));
            assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
            let got = String::from_utf8(raw.rest()).unwrap();
            assert!(got.contains(&format!("data: {}\n\n", good(path))), "{cut} {path}: {got}");
            assert!(!got.contains(MARK) && !got.contains("\r\n0\r\n\r\n"), "{cut} {path}: {got}");
            assert_eq!(got.matches("good-x").count(), 1, "{cut} {path}: {got}");
            // The last event says why, in the API's own words.
            let last = got.rsplit("data: ").next().unwrap().split("\n\n").next().unwrap();
            let last: Value = serde_json::from_str(last).unwrap();
            let error = if path == "/v1/responses" { &last["response"]["error"] } else { &last["error"] };
            assert_eq!(error["ensage"]["reason"], "response_refused", "{cut} {path}: {last}");
            let record = desk.last();
            assert_refused(&record, "refused");
            assert_eq!(record["gen_ai"]["usage"]["input_tokens"], 11, "{record}");
        }
    }
}

/// The same on HTTP/2: the last words come before the reset.
#[test]
fn e5_a_stream_of_http2_is_reset_behind_its_last_words() {
    let desk = Desk::start(|request| {
        let path = request.line().split(' ').nth(1).unwrap().to_owned();
        super::events(&[good(&path), &bad(&path), good(&path)])
    });
    let (host, path, body) = PLACES[2];
    let client = desk.rig.h2(&desk.gateway, &format!("{host}:443"));
    let ask = http::Request::post(format!("https://{host}{path}")).header("content-type", "application/json");
    let body = body.replacen('{', "{\"stream\":true,", 1);
    let (got, end) = client.run(async {
        let mut send = client.sender().ready().await.unwrap();
        let (response, mut stream) = send.send_request(ask.body(()).unwrap(), false).unwrap();
        send_all(&mut stream, body.as_bytes(), true).await;
        let mut stream = response.await.unwrap().into_body();
        let mut got = Vec::new();
        loop {
            match stream.data().await {
                Some(Ok(data)) => got.extend_from_slice(&data),
                other => return (String::from_utf8(got).unwrap(), other.map(Result::unwrap_err)),
            }
        }
    });
    assert!(end.is_some_and(|end| end.is_reset()), "{got}");
    assert!(got.contains("good-x") && got.contains("invalid_prompt") && !got.contains(MARK), "{got}");
    assert_refused(&desk.last(), "refused");
}

#[test]
fn an_error_and_what_nobody_names_pass() {
    for (status, kind, body) in [
        (
            "429 Too Many Requests",
            "application/json",
            r#"{"error":{"code":"rate_limit_exceeded"},"output":[{"type":"mcp_call"}]}"#,
        ),
        ("500 Oops", "text/html", "<h1>oops</h1>"),
        ("200 OK", "text/plain", "good"),
    ] {
        let desk = Desk::start(move |_| {
            format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes()
        });
        for (host, path, ask) in PLACES {
            let answer = desk.post(host, path, "", ask);
            assert_eq!((&answer.status.to_string(), answer.text().as_str()), (&status[..3].to_owned(), body), "{path}");
        }
    }
}

/// What observe mode lets through against the policy is not held to what was asked for.
#[test]
fn observe_lets_an_answer_pass_that_it_let_ask() {
    let desk =
        Desk::with("mode = \"observe\"", |request| super::json(&whole(request.line().split(' ').nth(1).unwrap())));
    let ask = |model: &str| {
        let body = format!(r#"{{"model":"{model}","input":"x","prompt":{{"id":"pmpt_1"}}}}"#);
        desk.post("gpt.test", "/v1/responses", "", &body)
    };
    let answer = ask("good");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains(MARK));
    let record = desk.last();
    assert_eq!((&record["would"], &record["outcome"]), (&"deny".into(), &"complete".into()), "{record}");
    // A call that the policy allows is held to it all the same.
    let plain = desk.post("gpt.test", "/v1/responses", "", r#"{"model":"good","input":"x"}"#);
    assert_eq!((plain.status, plain.told()), (502, Some("response_refused")));
}
