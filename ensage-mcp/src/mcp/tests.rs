//! Messages as clients send them, and all that must be refused.

use proptest::prelude::*;

use super::*;
use crate::json::JsonError;

mod headers;
mod published;

const MODERN: &str = "2026-07-28";

fn read(body: &str, head: &Head<'_>) -> Result<Message, ReadError> {
    let mut reader = BodyReader::new(1 << 20);
    let _ = reader.feed(body.as_bytes());
    reader.finish(head)
}

fn legacy() -> Head<'static> {
    Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() }
}

fn modern<'a>(method: &'a str, name: Option<&'a str>) -> Head<'a> {
    Head {
        protocol_version: Field::One(MODERN),
        method: Field::One(method),
        name: name.map_or(Field::Absent, Field::One),
        ..Head::default()
    }
}

/// A modern request: `params` are the members beside `_meta`, each with a comma behind it.
fn modern_body(method: &str, params: &str) -> String {
    format!(
        r#"{{"method":"{method}","params":{{{params}"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}"}}}},"jsonrpc":"2.0","id":2}}"#
    )
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn fault(body: &str, head: &Head<'_>) -> Fault {
    match read(body, head) {
        Err(ReadError::Malformed { fault, .. }) => fault,
        other => panic!("{body}: {other:?}"),
    }
}

fn header(body: &str, head: &Head<'_>) -> Header {
    match read(body, head) {
        Err(ReadError::HeaderMismatch { header, .. }) => header,
        other => panic!("{body} {head:?}: {other:?}"),
    }
}

#[test]
fn a_call_is_read_with_its_arguments_as_sent() {
    let body = r#"{"method":"tools/call","params":{"_meta":{"progressToken":1},"arguments":{"b": 1.0 ,"é":"\u00e9"},"name":"run_sql"},"jsonrpc":"2.0","id":"a\u0062"}"#;
    let message = read(body, &legacy()).unwrap();
    let arguments = message.arguments.clone().unwrap();
    let range = usize::try_from(arguments.range.start).unwrap()..usize::try_from(arguments.range.end).unwrap();
    assert_eq!(&body[range], r#"{"b": 1.0 ,"é":"\u00e9"}"#);
    // printf '{"b": 1.0 ,"é":"\\u00e9"}' | sha256sum
    assert_eq!(arguments.sha256, "e8e58a2b12de455cdf3fc5f6274be6e8c145823cca2242c8266dd1dbe239cbc4");
    assert_eq!(message.id.as_ref().unwrap().text(), r#""a\u0062""#);
    assert!(message.is_known());
    assert_eq!(
        message,
        Message {
            kind: Kind::Request,
            method: Method::ToolsCall,
            id: message.id.clone(),
            revision: Revision::V2025_11_25,
            tool: Some("run_sql".to_owned()),
            prompt: None,
            resource_uris: vec![],
            resource_template: None,
            tasks: vec![],
            arguments: Some(arguments),
            cancels: None,
        }
    );
}

#[test]
fn c3_names_are_compared_decoded() {
    let body = r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\u002fcall","params":{"n\u0061me":"cr\u006fn"}}"#;
    assert_eq!(read(body, &legacy()).unwrap().tool.as_deref(), Some("cron"));
}

#[test]
fn what_is_named_is_found() {
    let check = |method: &str, params: &str, expected: &[&str]| {
        let message = read(&request(method, params), &legacy()).unwrap_or_else(|err| panic!("{method}: {err:?}"));
        let first = expected.first().map(|named| named.split_once(' ').map_or(*named, |(_, name)| name));
        assert_eq!(message.named(), first, "{method}");
        let mut found: Vec<String> = message.resource_uris;
        found.extend(message.tool.map(|name| format!("tool {name}")));
        found.extend(message.prompt.map(|name| format!("prompt {name}")));
        found.extend(message.resource_template.map(|uri| format!("template {uri}")));
        found.extend(message.tasks.into_iter().map(|task| format!("task {task}")));
        assert_eq!(found, expected, "{method}");
    };
    check("tools/list", r#"{"cursor":""}"#, &[]);
    check("tools/call", r#"{"name":"evil "}"#, &["tool evil "]);
    check("prompts/get", r#"{"name":"p","arguments":{}}"#, &["prompt p"]);
    check("resources/read", r#"{"uri":"file:///a"}"#, &["file:///a"]);
    check("resources/subscribe", r#"{"uri":"file:///a"}"#, &["file:///a"]);
    check("skills/get", r#"{"uri":"skill://a"}"#, &["skill://a"]);
    check("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{}}"#, &["prompt p"]);
    check("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"f:///{x}"}}"#, &["template f:///{x}"]);
    check("tasks/get", r#"{"taskId":"t"}"#, &["task t"]);
    check(
        "subscriptions/listen",
        r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:b","c:d"],"taskIds":["t"]}}"#,
        &["a:b", "c:d", "task t"],
    );
}

#[test]
fn c13_only_one_message_with_a_plain_id_is_read() {
    let check = |body: &str, expected: Fault| assert_eq!(fault(body, &legacy()), expected, "{body}");
    check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Fault::Batch);
    check("[]", Fault::Batch);
    check("null", Fault::NotAnObject);
    check(r#"{"id":1,"method":"ping"}"#, Fault::JsonRpc);
    check(r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Fault::JsonRpc);
    let too_long = format!("\"{}\"", "x".repeat(257));
    for id in ["null", "true", "[]", "{}", "1.0", "1e2", "9007199254740992", "-9007199254740992", "1E400000", &too_long]
    {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
        assert!(matches!(
            read(&body, &legacy()),
            Err(ReadError::Malformed { id: None, fault: Fault::Id } | ReadError::Json(JsonError::Number { .. }))
        ));
    }
    let longest = format!("\"{}\"", "x".repeat(256));
    for id in ["0", "-1", "\"\"", "9007199254740991", "\"server-discover-probe-1\"", &longest] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
        assert_eq!(read(&body, &legacy()).unwrap().id.unwrap().text(), id);
    }
    check(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#, Fault::Id);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#, Fault::Id);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":{}}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","id":1}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","id":1,"method":null}"#, Fault::Shape);
    check(r#"{"jsonrpc":"2.0","result":{}}"#, Fault::Id);
    check(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#, Fault::Id);
    check(r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, Fault::Member("result or error"));
}

#[test]
fn members_have_their_types() {
    let check = |method: &str, params: &str, member: &'static str| {
        assert_eq!(fault(&request(method, params), &legacy()), Fault::Member(member), "{method} {params}");
    };
    check("tools/list", "[]", "params");
    check("x/unknown", "null", "params");
    check("tools/list", r#"{"cursor":1}"#, "cursor");
    check("tools/list", r#"{"_meta":[]}"#, "_meta");
    check("tools/list", r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#, "_meta");
    check("tools/call", "{}", "name");
    check("tools/call", r#"{"name":["a"]}"#, "name");
    check("tools/call", r#"{"name":"a","arguments":null}"#, "arguments");
    check("tools/call", r#"{"name":"a","arguments":[]}"#, "arguments");
    check("tools/call", r#"{"name":"a","inputResponses":[]}"#, "inputResponses");
    check("tools/call", r#"{"name":"a","requestState":{}}"#, "requestState");
    check("prompts/get", "{}", "name");
    check("resources/read", r#"{"uri":1}"#, "uri");
    check("completion/complete", "{}", "ref");
    check("completion/complete", r#"{"ref":{"type":"ref/x","name":"p"}}"#, "ref");
    check("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p","uri":"u:"}}"#, "ref");
    check("subscriptions/listen", "{}", "notifications");
    check("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":["a:b",1]}}"#, "notifications");
    check("tasks/cancel", "{}", "taskId");
    check("initialize", "{}", "protocolVersion");
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}"#;
    assert_eq!(fault(cancelled, &legacy()), Fault::Member("requestId"));
}

#[test]
fn c1_c2_duplicates_and_twins_are_refused_wherever_something_is_read() {
    let check = |body: &str| match read(body, &legacy()) {
        Err(ReadError::Json(JsonError::Duplicate { .. } | JsonError::Twin { .. })) => {}
        other => panic!("{body}: {other:?}"),
    };
    let call = |params: &str| request("tools/call", params);
    check(&call(r#"{"name":"echo","name":"evil"}"#));
    check(&call(r#"{"name":"evil","name":"echo"}"#));
    check(&call(r#"{"name":"echo","Name":"evil"}"#));
    check(&call(r#"{"name":"echo","n\u0061me":"evil"}"#));
    check(&call(r#"{"name":"echo","Arguments":{}}"#));
    check(&call(r#"{"name":"echo","tas\u212a":{}}"#));
    check(&call(r#"{"name":"echo","_meta":{"progressToken":1,"progressToken":2}}"#));
    check(&call(r#"{"name":"echo","_meta":{"io.modelcontextprotocol/protocolversion":"2026-07-28"}}"#));
    check(&call(r#"{"name":"echo","inputResponses":{"a":{},"a":{}}}"#));
    check(&request("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"a","Name":"b"}}"#));
    check(&request("subscriptions/listen", r#"{"notifications":{"taskIds":[],"TaskIds":["t"]}}"#));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{},"params":{}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"a"}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","paramſ":{}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"tools/list"}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","action":"decline"}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"Code":2,"message":""}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"Id":2,"method":"tools/list"}"#);
    // The benign twin of all that: arguments are the tool's own.
    assert!(read(&call(r#"{"name":"echo","arguments":{"a":1,"A":2},"other":1}"#), &legacy()).is_ok());
}

#[test]
fn responses_and_notifications_are_told_apart() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#;
    let message = read(answer, &legacy()).unwrap();
    assert_eq!((message.kind, message.method.name(), message.is_known()), (Kind::Response, "", true));
    let head = Head { protocol_version: Field::One(MODERN), ..Head::default() };
    assert_eq!(fault(answer, &head), Fault::Response);

    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#;
    let message = read(cancelled, &legacy()).unwrap();
    assert_eq!((message.kind, message.cancels.unwrap().text()), (Kind::Notification, "\"x\""));
    assert!(read(cancelled, &head).is_ok(), "no rule for the headers of notifications");
    assert_eq!(header(cancelled, &modern("notifications/progress", None)), Header::Method);
}

#[test]
fn c15_methods_have_a_side_and_a_time() {
    let known = |body: &str, head: &Head<'_>| read(body, head).unwrap().is_known();
    assert!(known(&request("ping", "{}"), &legacy()));
    assert!(!known(&modern_body("ping", ""), &modern("ping", None)));
    assert!(!known(&request("sampling/createMessage", "{}"), &legacy()));
    assert!(!known(&request("server/discover", "{}"), &legacy()));
    assert!(!known(&request("x/exec", "{}"), &legacy()));
    assert!(!known(&request("Tools/List", "{}"), &legacy()));
    assert!(!known(r#"{"jsonrpc":"2.0","method":"x/notify"}"#, &legacy()));
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let body = request("tools/list", "{}");
    let length = u64::try_from(body.len()).unwrap();
    let mut reader = BodyReader::new(length);
    assert_eq!(reader.feed(body.as_bytes()), Step::More);
    assert_eq!(reader.feed(b""), Step::More);
    assert_eq!(reader.feed(b" "), Step::Full);
    assert_eq!(reader.feed(b""), Step::Full);
    assert_eq!(reader.finish(&legacy()), Err(ReadError::TooLong { limit: length }));
    assert_eq!(read("", &legacy()), Err(ReadError::Json(JsonError::End { offset: 0 })));
}

#[test]
fn a_refusal_bears_the_id_where_the_message_could_be_read() {
    let told = |body: &str, head: &Head<'_>| {
        let error = read(body, head).unwrap_err();
        (error.code(), error.id().map(|id| id.text().to_owned()))
    };
    let one = Some("1".to_owned());
    assert_eq!(told("{", &legacy()), (Some(-32700), None));
    assert_eq!(told(&request("tools/call", "{}"), &legacy()), (Some(-32600), None));
    assert_eq!(told(&request("ping", "{}"), &modern("ping", None)), (Some(-32020), one.clone()));
    assert_eq!(told(&request("ping", "{}"), &Head::default()), (Some(-32022), one));
}

#[test]
fn ids_are_equal_by_type_and_value() {
    let id = |text: &str| {
        read(&format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#), &legacy()).unwrap().id.unwrap()
    };
    assert_eq!(id(r#""a/b""#), id(r#""a\u002fb""#));
    assert_ne!(id("1"), id("\"1\""));
    assert_ne!(id("1"), id("2"));
    let reply = error_reply(Some(&id(r#""a\u002fb""#)), code::REFUSED, "no \"x\"", Some(serde_json::json!({"a": 1})));
    assert_eq!(
        String::from_utf8(reply).unwrap(),
        r#"{"jsonrpc":"2.0","id":"a\u002fb","error":{"code":-31001,"message":"no \"x\"","data":{"a":1}}}"#,
    );
}

proptest! {
    #[test]
    fn chunks_make_no_difference_and_nothing_panics(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), chunk in 1..50_usize, version in any::<bool>(),
    ) {
        let mut body = modern_body("tools/call", r#""name":"echo","arguments":{"a":[1,2]},"#).into_bytes();
        let index = at.index(body.len());
        body[index] = byte;
        let head = if version { modern("tools/call", Some("echo")) } else { legacy() };
        let mut whole = BodyReader::new(1 << 20);
        let _ = whole.feed(&body);
        let mut parts = BodyReader::new(1 << 20);
        for part in body.chunks(chunk) {
            let _ = parts.feed(part);
        }
        prop_assert_eq!(whole.finish(&head), parts.finish(&head));
    }
}
