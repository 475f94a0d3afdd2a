//! E5: what a provider keeps is for the session that it was given to.

use ensage_tests::Answer;

use super::super::lab::reason;
use super::Desk;

fn reply(request: &Answer) -> Vec<u8> {
    if request.text().contains("\"stream\":true") {
        return super::events(&[
            r#"{"type":"response.created","response":{"id":"resp_stream","previous_response_id":"resp_echo","conversation":{"id":"conv_echo"}}}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_stream","type":"message"}}"#,
            r#"{"type":"response.completed","response":{"id":"resp_stream"}}"#,
        ]);
    }
    match request.line().split(' ').nth(1).unwrap() {
        "/v1/messages" => super::json(r#"{"type":"message","id":"msg_claude","content":[],"container":{"id":"box"}}"#),
        _ => super::json(r#"{"id":"resp_mine","output":[]}"#),
    }
}

#[test]
fn e5_an_id_is_taken_up_by_the_session_that_it_was_given_to() {
    let desk = Desk::start(reply);
    let respond =
        |members: &str| desk.post("gpt.test", "/v1/responses", "", &format!(r#"{{"model":"good",{members}}}"#));
    let allowed = |members: &str| {
        let answer = respond(members);
        assert_eq!(answer.status, 200, "{members}: {}", answer.text());
        assert!(desk.origin.text().contains(members), "{members}");
    };
    let refused = |answer: Answer, what: &str| {
        assert_eq!((answer.status, answer.told()), (400, Some("stored_id_not_allowed")), "{what}: {}", answer.text());
        assert_eq!(reason(&desk.last()), "stored_id_not_allowed", "{what}");
    };
    let mine = r#""previous_response_id":"resp_mine""#;
    refused(respond(mine), "before it was given");
    assert_eq!(desk.origin.connections(), 0);
    allowed(r#""input":"first""#);
    allowed(mine);
    allowed(r#""input":"second","stream":true"#);
    allowed(r#""input":"x","previous_response_id":"resp_stream""#);
    allowed(r#""input":[{"type":"item_reference","id":"msg_stream"}]"#);
    let before = desk.origin.requests();
    // Of another kind, another provider, nobody's, or only repeated by the provider.
    refused(respond(r#""conversation":"resp_mine""#), "another kind");
    refused(respond(r#""previous_response_id":"resp_theirs""#), "nobody's");
    refused(respond(r#""previous_response_id":"resp_echo""#), "repeated");
    refused(respond(r#""conversation":"conv_echo""#), "repeated");
    let other = desk.post("other.test", "/v1/responses", "", &format!(r#"{{"model":"good",{mine}}}"#));
    refused(other, "another provider");

    let get = |id: &str| {
        let request = format!("GET /v1/responses/{id} HTTP/1.1\r\nHost: gpt.test\r\n\r\n");
        desk.open("gpt.test", &request).answer()
    };
    refused(get("resp_theirs"), "its answer");
    assert_eq!(desk.origin.requests(), before);
    assert_eq!(get("resp_mine").status, 200);
    assert_eq!(get("resp_m%69ne").status, 200);

    let claude = |members: &str| {
        desk.post("claude.test", "/v1/messages", "", &format!(r#"{{"model":"good","messages":[],{members}}}"#))
    };
    let thread = r#""thread":{"type":"continue","previous_message_id":"msg_claude"}"#;
    refused(claude(thread), "before it was given");
    assert_eq!(claude(r#""max_tokens":9"#).status, 200);
    assert_eq!(claude(thread).status, 200);
    assert_eq!(claude(r#""container":"box""#).status, 200);
    refused(claude(r#""container":"other""#), "nobody's");
}

/// What only observe mode let ask is given to nobody.
#[test]
fn e5_observe_gives_nothing() {
    let desk = Desk::with("mode = \"observe\"", reply);
    let ask = |members: &str| {
        let answer = desk.post("gpt.test", "/v1/responses", "", &format!(r#"{{"model":"good",{members}}}"#));
        assert_eq!(answer.status, 200, "{}", answer.text());
        desk.last()["would"].clone()
    };
    assert_eq!(ask(r#""previous_response_id":"resp_theirs""#), "deny");
    assert_eq!(ask(r#""previous_response_id":"resp_mine""#), "deny", "it was given to a call that the policy refuses");
    assert_eq!(ask(r#""input":"x""#), serde_json::Value::Null);
    assert_eq!(ask(r#""previous_response_id":"resp_mine""#), serde_json::Value::Null);
}
