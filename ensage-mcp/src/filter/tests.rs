//! Answers as servers send them, and what the agent gets.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::mcp::{BodyReader, Field, Head};

mod kinds;
mod long;
mod random;

const HOLD: usize = 1 << 16;

fn ask(method: &str, revision: Revision) -> Ask {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let meta = if revision.is_modern() { meta } else { "{}" };
    let mut reader = BodyReader::new(1 << 10);
    let members = r#""name":"t","uri":"t","taskId":"t","protocolVersion":"2025-11-25","notifications":{}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{members},"_meta":{meta}}}}}"#);
    let _ = reader.feed(body.as_bytes());
    let head = if revision.is_modern() {
        let named = ["tools/call", "resources/read", "tasks/get"].contains(&method);
        let name = if named { Field::One("t") } else { Field::Absent };
        Head { protocol_version: Field::One("2026-07-28"), method: Field::One(method), name, ..Head::default() }
    } else {
        Head { negotiated: (method != "initialize").then_some(revision), ..Head::default() }
    };
    Ask::from(&reader.finish(&head).unwrap())
}

fn legacy(method: &str) -> Ask {
    ask(method, Revision::V2025_11_25)
}

fn modern(method: &str) -> Ask {
    ask(method, Revision::V2026_07_28)
}

fn not_cron(item: &Item<'_>) -> bool {
    item.name != "cron"
}

type Answered = (String, Result<Summary, FilterError>);

fn run(mut filter: ResponseFilter<impl FnMut(&Item<'_>) -> bool>, chunks: &[&[u8]]) -> Answered {
    let mut out = Vec::new();
    for chunk in chunks {
        if let Err(error) = filter.feed(chunk, &mut out) {
            assert_eq!(filter.feed(chunk, &mut out), Err(error), "given up for ever");
            assert_eq!(filter.finish(&mut out), Err(error));
            return (String::from_utf8(out).unwrap(), Err(error));
        }
    }
    let result = filter.finish(&mut out);
    (String::from_utf8(out).unwrap(), result)
}

fn body(ask: Ask, text: &str) -> Answered {
    run(ResponseFilter::json(ask, not_cron, HOLD), &[text.as_bytes()])
}

fn stream(ask: Ask, text: &str) -> Answered {
    run(ResponseFilter::sse(ask, not_cron, HOLD), &[text.as_bytes()])
}

fn result(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{{members}}}}}"#)
}

const UNREADABLE: &str =
    r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"The server's answer cannot be read."}}"#;

#[test]
fn d2_hidden_tools_are_cut_out_and_nothing_else_changes() {
    let check = |before: &str, after: &str, hidden: usize| {
        let (out, summary) = body(legacy("tools/list"), &result(before));
        assert_eq!(out, result(after));
        assert_eq!(summary.unwrap().hidden, hidden, "{before}");
        let event = |data: &str| format!("id: 1\r\nevent: message\r\ndata: {data}\r\n\r\n");
        let (out, _) = stream(legacy("tools/list"), &event(&result(before)));
        assert_eq!(out, event(&result(after)));
    };
    check(r#""tools":[]"#, r#""tools":[]"#, 0);
    check(r#""tools":[{"name":"a"}]"#, r#""tools":[{"name":"a"}]"#, 0);
    check(r#""tools":[{"name":"cron"}]"#, r#""tools":[]"#, 1);
    check(r#""tools":[ {"name":"cron"} , {"name":"cron"} ]"#, r#""tools":[  ]"#, 2);
    check(r#""tools":[{"name":"cron"}, {"name":"a"}]"#, r#""tools":[{"name":"a"}]"#, 1);
    check(r#""tools":[{"name":"a"} , {"name":"cron"}]"#, r#""tools":[{"name":"a"}]"#, 1);
    check(
        r#""tools":[{"name":"a"},{"name":"cron"}, {"name":"cron"},{"name":"b"}],"nextCursor":"""#,
        r#""tools":[{"name":"a"},{"name":"b"}],"nextCursor":"""#,
        2,
    );
    check(
        r#""x":1.0e1, "tools":[{"inputSchema":{"type":"object"},"n\u0061me":"cr\u006fn"},{"name":"\u00e9"}]"#,
        r#""x":1.0e1, "tools":[{"name":"\u00e9"}]"#,
        1,
    );
    // Some clients take an unknown result type for a complete one.
    check(
        r#""resultType":"input_required","tools":[{"name":"cron"}]"#,
        r#""resultType":"input_required","tools":[]"#,
        1,
    );
    // Unlike in case, it is another tool; a policy that allows it says so.
    check(r#""tools":[{"name":"Cron"}]"#, r#""tools":[{"name":"Cron"}]"#, 0);
}

#[test]
fn a_list_of_one_agent_is_private() {
    let check = |ask: Ask, before: &str, after: &str| {
        assert_eq!(body(ask, &result(before)).0, result(after));
    };
    let list = |scope: &str, tools: &str| format!(r#""resultType":"complete",{scope}"tools":[{tools}],"ttlMs":5"#);
    let (both, one) = (r#"{"name":"a"},{"name":"cron"}"#, r#"{"name":"a"}"#);
    let (public, private) = (r#""cacheScope":"public","#, r#""cacheScope":"private","#);
    check(modern("tools/list"), &list(public, both), &list(private, one));
    check(modern("tools/list"), &list(public, one), &list(private, one));
    check(modern("tools/list"), &list(private, both), &list(private, one));
    // What is missing is added: clients of this revision refuse a list without it.
    let missing = |list: String, more: &str| format!("{list}{more}");
    check(modern("tools/list"), &list("", both), &missing(list("", one), r#","cacheScope":"private""#));
    let all = r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#;
    check(modern("tools/list"), r#""tools":[]"#, &format!(r#""tools":[]{all}"#));
    check(
        modern("tools/list"),
        r#""ttlMs":-1,"tools":[],"cacheScope":[]"#,
        r#""ttlMs":0,"tools":[],"cacheScope":"private","resultType":"complete""#,
    );
    check(modern("resources/read"), r#""contents":[]"#, r#""contents":[]"#);
    check(
        modern("prompts/list"),
        r#""requestState":"s","resultType":"input_required""#,
        r#""requestState":"s","resultType":"input_required""#,
    );
    check(legacy("tools/list"), r#""tools":[]"#, r#""tools":[]"#);
    check(legacy("tools/list"), &list(public, both), &list(public, one));
    check(modern("tools/call"), &list(public, both), &list(public, both));
    check(
        modern("tools/list"),
        r#""tools":[{"name":"cron"}],"cacheScope" : "pu\u0062lic""#,
        r#""tools":[],"cacheScope" : "private","resultType":"complete","ttlMs":0"#,
    );
}

#[test]
fn a_list_that_cannot_be_read_is_refused() {
    let check = |text: &str, expected: FilterError| {
        assert_eq!(body(legacy("tools/list"), text), (String::new(), Err(expected)), "{text}");
        if text.contains('\n') {
            return;
        }
        let event = |data: &str| format!("event: message\ndata: {data}\n\n");
        let (out, summary) = stream(legacy("tools/list"), &event(text));
        if expected == FilterError::NotAnAnswer || expected == FilterError::WrongId {
            return;
        }
        assert_eq!(out, event(UNREADABLE), "{text}");
        let summary = summary.unwrap();
        assert_eq!((summary.unreadable, summary.answered, summary.error), (Some(expected), true, true));
    };
    let json = |error| FilterError::Json(error);
    check(&result(r#""tools":{}"#), FilterError::List);
    check(&result(""), FilterError::List);
    check(&result(r#""tools":[null]"#), FilterError::List);
    check(&result(r#""tools":[{"title":"cron"}]"#), FilterError::List);
    check(&result(r#""tools":[{"name":1}]"#), FilterError::List);
    check(&result(r#""resultType":"task""#), FilterError::List);
    check(&result(r#""tools":[{"name":"a","name":"cron"}]"#), json(JsonError::Duplicate { offset: 55 }));
    check(&result(r#""tools":[{"name":"a","Name":"cron"}]"#), json(JsonError::Twin { offset: 55 }));
    check(&result(r#""tools":[{"name":"a","inputschema":{}}]"#), json(JsonError::Twin { offset: 55 }));
    check(&result(r#""tools":[],"tools":[{"name":"cron"}]"#), json(JsonError::Duplicate { offset: 45 }));
    check(&result(r#""tools":[],"Tools":[{"name":"cron"}]"#), json(JsonError::Twin { offset: 45 }));
    check(r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]},"Result":{}}"#, json(JsonError::Twin { offset: 46 }));
    check(r#"{"jsonrpc":"2.0","id":7,"Result":{"tools":[]}}"#, json(JsonError::Twin { offset: 24 }));
    check(&format!("\u{feff}{}", result(r#""tools":[]"#)), json(JsonError::Bom { offset: 0 }));
    check(&format!("[{}]", result(r#""tools":[]"#)), FilterError::NotAMessage);
    check(r#"{"id":7,"result":{"tools":[]}}"#, FilterError::NotAMessage);
    check(r#"{"jsonrpc":"2.0","id":7,"result":[]}"#, FilterError::NotAMessage);
    check(r#"{"jsonrpc":"2.0","id":7.0,"result":{"tools":[]}}"#, FilterError::NotAMessage);
    check(r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]},"error":{}}"#, FilterError::NotAMessage);
    check(r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]},"method":"x"}"#, FilterError::NotAMessage);
    check(r#"{"jsonrpc":"2.0","id":8,"result":{"tools":[{"name":"cron"}]}}"#, FilterError::WrongId);
    check(r#"{"jsonrpc":"2.0","id":"7","result":{"tools":[]}}"#, FilterError::WrongId);
    check(r#"{"jsonrpc":"2.0","id":null,"result":{"tools":[]}}"#, FilterError::WrongId);
    check(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#, FilterError::NotAnAnswer);
    check(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, FilterError::NotAnAnswer);
}

#[test]
fn answers_to_anything_else_pass_untouched() {
    for (ask, text) in [
        (legacy("tools/call"), result(r#""content":[{"type":"text","text":"cron"}],"x":[{"a":1,"a":2}]"#)),
        (legacy("tools/list"), r#" {"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":""}} "#.to_owned()),
        (legacy("initialize"), r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"},"id":null}"#.to_owned()),
        (legacy("initialize"), r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"}}"#.to_owned()),
        (legacy("ping"), String::new()),
    ] {
        let (out, summary) = body(ask, &text);
        assert_eq!(out, text);
        assert_eq!(summary.unwrap().refused, []);
    }
    let (_, summary) = body(legacy("initialize"), &result(r#""protocolVersion":"2025-06-18""#));
    assert_eq!(summary.unwrap().protocol_version.as_deref(), Some("2025-06-18"));
}

#[test]
fn d9_requests_of_the_server_are_taken_out_of_a_stream() {
    let event = |data: &str| format!("event: message\ndata: {data}\n\n");
    let request = |method: &str| event(&format!(r#"{{"jsonrpc":"2.0","id":"s1","method":"{method}","params":{{}}}}"#));
    let answer = event(&result(r#""content":[]"#));
    let check = |ask: Ask, method: &str, allowed: &[Method], passes: bool| {
        let text = format!("{}{answer}", request(method));
        let filter = ResponseFilter::sse(ask, not_cron, HOLD).with_server_requests(allowed.to_vec());
        let (out, summary) = run(filter, &[text.as_bytes()]);
        assert_eq!(&out, if passes { &text } else { &answer }, "{method}");
        let refused = summary.unwrap().refused;
        let found: Vec<_> = refused.iter().map(|r| (r.method.name(), r.id.as_ref().unwrap().text())).collect();
        assert_eq!(found, if passes { vec![] } else { vec![(method, "\"s1\"")] });
    };
    let sampling = &[Method::SamplingCreateMessage];
    check(legacy("tools/call"), "sampling/createMessage", &[], false);
    check(legacy("tools/call"), "sampling/createMessage", sampling, true);
    check(legacy("tools/call"), "elicitation/create", sampling, false);
    check(legacy("tools/call"), "roots/list", sampling, false);
    check(legacy("tools/call"), "tools/call", sampling, false);
    check(legacy("tools/call"), "x/unknown", sampling, false);
    check(legacy("tools/call"), "ping", &[], true);
    check(modern("tools/call"), "ping", &[], false);
    check(modern("tools/call"), "sampling/createMessage", sampling, false);
    check(Ask { id: legacy("tools/call").id, ..Ask::stream(Revision::V2025_11_25) }, "ping", &[], true);

    let many = request("roots/list").repeat(100);
    let summary = stream(legacy("tools/call"), &many).1.unwrap();
    assert_eq!((summary.refused.len(), summary.refused_count), (Summary::REFUSED_MAX, 100));
}

#[test]
fn d9_a_result_that_asks_for_too_much_becomes_an_error() {
    let asks = |method: &str| {
        result(&format!(
            r#""inputRequests":{{"a":{{"method":"roots/list"}},"b":{{"method":"{method}","params":{{}}}}}},"resultType":"input_required""#
        ))
    };
    let check = |ask: Ask, text: &str, passes: bool| {
        let filter = ResponseFilter::json(ask, not_cron, HOLD).with_server_requests([Method::RootsList]);
        let (out, summary) = run(filter, &[text.as_bytes()]);
        let summary = summary.unwrap();
        if passes {
            assert_eq!((out.as_str(), summary.refused_count), (text, 0));
        } else {
            assert!(out.starts_with(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"#), "{out}");
            assert_eq!((summary.refused_count, summary.refused[0].id.clone(), summary.error), (1, None, true));
        }
    };
    check(modern("tools/call"), &asks("roots/list"), true);
    check(modern("tools/call"), &asks("elicitation/create"), false);
    check(modern("tools/call"), &asks("x/unknown"), false);
    check(modern("tools/list"), &asks("elicitation/create"), false);
    check(modern("tools/call"), &asks("elicitation/create").replace("input_required", "complete"), false);
    check(modern("tools/call"), &result(r#""requestState":"again","resultType":"input_required""#), true);
    let needed =
        |code: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":{code},"message":"","data":{{}}}}}}"#);
    check(legacy("tools/call"), &needed("-32042"), false);
    check(legacy("tools/call"), &needed("-32602"), true);

    let ambiguous = asks("roots/list").replace(r#""method":"roots/list","#, r#""method":"roots/list","method":"x","#);
    let filter = ResponseFilter::json(modern("tools/call"), not_cron, HOLD).with_server_requests([Method::RootsList]);
    let (out, refused) = run(filter, &[ambiguous.as_bytes()]);
    assert!(matches!(refused, Err(FilterError::Json(JsonError::Duplicate { .. }))) && out.is_empty());
}

#[test]
fn d10_a_stream_has_one_answer_and_it_is_the_one_asked_for() {
    let event = |data: &str| format!("data: {data}\n\n");
    let progress = event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#);
    let other = event(&result(r#""content":[]"#).replace(":7,", ":8,"));
    let answer = event(&result(r#""content":[]"#));
    let unreadable = event("{");
    let check = |ask: Ask, before: &[&str], after: &[&str], dropped: usize| {
        let (out, summary) = stream(ask, &before.concat());
        assert_eq!(out, after.concat());
        assert_eq!(summary.unwrap().dropped, dropped);
    };
    let call = || legacy("tools/call");
    check(call(), &[&progress, &answer, &progress], &[&progress, &answer, &progress], 0);
    check(call(), &[&other, &answer, &answer, &unreadable], &[&answer], 3);
    check(call(), &[&unreadable, &answer], &[&event(UNREADABLE)], 1);
    let get = || Ask::stream(Revision::V2025_11_25);
    check(get(), &[&progress, &answer, &unreadable, &progress], &[&progress, &progress], 2);
    assert!(!stream(get(), &answer).1.unwrap().answered);
}

#[test]
fn no_answer_is_due_to_a_response() {
    let mut reader = BodyReader::new(1 << 10);
    let _ = reader.feed(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
    let ask = Ask::from(&reader.finish(&head).unwrap());
    assert_eq!(ask, Ask::stream(Revision::V2025_11_25));
    assert_eq!(body(ask, &result("")).1, Err(FilterError::WrongId));
}

#[test]
fn c18_what_is_no_message_passes_and_what_has_no_end_does_not() {
    let priming = "\u{feff}: hi\nid: 1\nretry: 3000\ndata:\n\n: ping\n\nid: 2\n\n";
    assert_eq!(stream(legacy("tools/list"), priming).0, priming);
    let (out, summary) = stream(legacy("tools/list"), &format!("data: {}\n", result(r#""tools":[{"name":"cron"}]"#)));
    assert_eq!((out.as_str(), summary.unwrap().answered), ("", false));
}

#[test]
fn an_answer_over_the_limit_is_refused() {
    let text = result(r#""content":[]"#);
    let too_long = |limit| Err(FilterError::TooLong { limit });
    // Of a JSON answer only what may change is held: here the closing brace.
    let json = |hold| run(ResponseFilter::json(legacy("tools/call"), not_cron, hold), &[text.as_bytes()]);
    assert_eq!((json(text.len()).0, json(1).0), (text.clone(), text.clone()));
    assert_eq!(json(0), (String::new(), too_long(0)));
    // Of a list one element, and what may go with it.
    let list = result(r#""tools":[ {"name":"cron"},{"name":"a"}  ,  {"name":"cron"}]"#);
    let element = r#"{"name":"cron"}"#.len() + "  ,  ".len();
    let json = |hold| run(ResponseFilter::json(legacy("tools/list"), not_cron, hold), &[list.as_bytes()]);
    assert_eq!(json(element).0, result(r#""tools":[ {"name":"a"}]"#));
    assert_eq!(json(element - 1).1, too_long(element - 1));

    let sse = |hold, event: &str| run(ResponseFilter::sse(legacy("tools/call"), not_cron, hold), &[event.as_bytes()]);
    let event = format!("data: {text}\n\n");
    assert_eq!(sse(event.len(), &event).0, event);
    let error = format!("event: message\ndata: {UNREADABLE}\n\n");
    assert_eq!(sse(event.len() - 1, &event), (error, too_long(event.len() - 1)));
    assert_eq!(
        sse(event.len(), &format!("{event}data: {}\n\n", "x".repeat(99))),
        (event.clone(), too_long(event.len()))
    );
}
