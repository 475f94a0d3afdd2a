//! MCP messages and LLM calls.

use ensage_mcp::llm::{Dialect, RequestReader, StoredId, StoredKind};
use ensage_mcp::mcp::{BodyReader, Head, Message};

use super::super::*;
use super::{begun, enclave, head, path, policy};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

fn message(revision: &str, method: &str, id: &str, params: &str) -> Message {
    let modern = revision == MODERN;
    let meta = format!(
        "\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{revision}\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}}}}"
    );
    let params = [params, if modern { &meta } else { "" }].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>();
    let body = format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":\"{method}\",\"params\":{{{}}}}}", params.join(","));
    read(revision, method, modern, &body)
}

fn read(revision: &str, method: &str, modern: bool, body: &str) -> Message {
    use ensage_mcp::mcp::Field;
    let mut reader = BodyReader::new(1 << 16);
    let _ = reader.feed(body.as_bytes());
    let name = serde_json::from_str::<serde_json::Value>(body).unwrap()["params"]["name"].as_str().map(str::to_owned);
    let facts = Head {
        protocol_version: Field::One(revision),
        method: if modern { Field::One(method) } else { Field::Absent },
        name: name.as_deref().filter(|_| modern).map_or(Field::Absent, Field::One),
        session_id: Field::Absent,
        params: Vec::new(),
        negotiated: None,
    };
    reader.finish(&facts).unwrap_or_else(|e| panic!("{body}: {e:?}"))
}

fn judge(mode: Mode, url: &str, message: &Message) -> String {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), mode);
    let route = head(&mut trial, &format!("POST {url}"), &CredentialFinding::Bare).unwrap();
    match trial.message(&route, message) {
        Ok(permit) => match trial.would() {
            None => format!("allow {}", path(permit.rule())),
            Some(would) => format!("would {}", would.reason),
        },
        Err(denial) => format!("deny {} {}", denial.reason, path(denial.rule.as_ref())),
    }
}

fn call(name: &str) -> Message {
    let name = serde_json::to_string(name).unwrap();
    message(LEGACY, "tools/call", "\"id\":1,", &format!("\"name\":{name},\"arguments\":{{}}"))
}

#[test]
fn d1_tools_are_allowed_by_name() {
    let check = |name: &str, want: &str| assert_eq!(judge(Mode::Enforce, "https://both.test/mcp", &call(name)), want);
    check("get_issue", "allow enclave.a.mcp.both.tools[0]");
    check("search", "allow enclave.a.mcp.both.tools[1]");
    for hidden in
        ["delete", "Search", "search ", " search", "searchx", "forget_issue", "ns/search", "get_a/b", "SEARCH"]
    {
        check(hidden, "deny tool_not_allowed enclave.a.mcp.both.tools");
    }
    assert_eq!(judge(Mode::Observe, "https://both.test/mcp", &call("delete")), "would tool_not_allowed");
    let none = judge(Mode::Enforce, "http://127.0.0.2:9000/", &call("any"));
    assert_eq!(none, "deny tool_not_allowed enclave.a.mcp.local");
}

#[test]
fn c14_a_pattern_stands_for_plain_names_only() {
    let check = |name: &str, want: &str| assert_eq!(judge(Mode::Enforce, "https://mcp.test/mcp", &call(name)), want);
    check("odd name", "allow enclave.a.mcp.git.tools[2]");
    check("a.b-c_D9", "allow enclave.a.mcp.git.tools[3]");
    check(&"a".repeat(128), "allow enclave.a.mcp.git.tools[3]");
    for odd in ["", "get_\u{456}ssue", "get_ issue", "get_\u{0}", "a/b", "\u{212a}", &"a".repeat(129)] {
        check(odd, "deny tool_not_allowed enclave.a.mcp.git.tools");
    }
}

#[test]
fn d2_a_list_shows_what_can_be_called() {
    let policy = policy();
    let filter = |mode| {
        let mut trial = begun(&policy, enclave(&policy, "a"), mode);
        let route = head(&mut trial, "POST https://both.test/mcp", &CredentialFinding::Bare).unwrap();
        trial.tool_filter(&route)
    };
    let (enforced, observed) = (filter(Mode::Enforce), filter(Mode::Observe));
    assert!(enforced.shows("get_issue") && enforced.shows("search"));
    assert!(!enforced.shows("delete") && !enforced.shows("Search"));
    assert!(observed.shows("delete"));
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let route = head(&mut trial, "GET https://api.test/", &CredentialFinding::Bare).unwrap();
    assert!(!trial.tool_filter(&route).shows("search"));
}

#[test]
fn c15_methods_that_no_list_covers_are_not_there() {
    let on_both = |m: &Message| judge(Mode::Enforce, "https://both.test/mcp", m);
    let request = |revision, method, params| message(revision, method, "\"id\":1,", params);
    let init =
        "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"x\",\"version\":\"1\"}";
    for passing in [
        request(LEGACY, "initialize", init),
        request(LEGACY, "ping", ""),
        request(LEGACY, "tools/list", ""),
        request(LEGACY, "logging/setLevel", "\"level\":\"info\""),
        request(MODERN, "server/discover", ""),
        request(MODERN, "tools/list", ""),
        message(LEGACY, "notifications/initialized", "", ""),
        message(LEGACY, "notifications/cancelled", "", "\"requestId\":1"),
        message(LEGACY, "notifications/progress", "", "\"progressToken\":1,\"progress\":1"),
        message(LEGACY, "notifications/roots/list_changed", "", ""),
    ] {
        assert_eq!(on_both(&passing), "allow enclave.a.mcp.both", "{}", passing.method.name());
    }
    for refused in [
        request(LEGACY, "resources/list", ""),
        request(LEGACY, "resources/templates/list", ""),
        request(LEGACY, "resources/read", "\"uri\":\"file:///x\""),
        request(LEGACY, "resources/subscribe", "\"uri\":\"file:///x\""),
        request(LEGACY, "prompts/list", ""),
        request(LEGACY, "prompts/get", "\"name\":\"search\""),
        request(LEGACY, "tasks/list", ""),
        request(LEGACY, "tasks/get", "\"taskId\":\"1\""),
        request(LEGACY, "completion/complete", "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"x\"},\"argument\":{}"),
        request(LEGACY, "sampling/createMessage", ""),
        request(LEGACY, "roots/list", ""),
        request(LEGACY, "x/exec", ""),
        request(LEGACY, "server/discover", ""),
        request(LEGACY, "tools/Call", "\"name\":\"search\""),
        request(MODERN, "ping", ""),
        request(MODERN, "skills/list", ""),
        message(LEGACY, "notifications/message", "", "\"level\":\"info\",\"data\":1"),
        message(LEGACY, "notifications/x", "", ""),
    ] {
        let name = refused.method.name();
        assert_eq!(on_both(&refused), "deny mcp_method_not_allowed enclave.a.mcp.both", "{name}");
        assert_eq!(judge(Mode::Observe, "https://both.test/mcp", &refused), "would mcp_method_not_allowed", "{name}");
    }
}

#[test]
fn c11_a_revision_that_is_not_listed_is_refused() {
    let list = message("2025-06-18", "tools/list", "\"id\":1,", "");
    let want = "deny revision_not_allowed enclave.a.mcp.both";
    assert_eq!(judge(Mode::Enforce, "https://both.test/mcp", &list), want);
    assert_eq!(judge(Mode::Enforce, "https://mcp.test/mcp", &list), "allow enclave.a.mcp.git");
}

#[test]
fn c13_an_answer_to_a_server_is_refused_in_every_mode() {
    let answer = read(LEGACY, "", false, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    for mode in [Mode::Enforce, Mode::Observe] {
        assert_eq!(judge(mode, "https://both.test/mcp", &answer), "deny malformed_mcp enclave.a.mcp.both");
    }
}

#[test]
fn bodies_that_cannot_be_read_have_their_reason() {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Observe);
    let route = head(&mut trial, "POST https://mcp.test/mcp", &CredentialFinding::Bare).unwrap();
    let read = |body: &str, limit| {
        let mut reader = BodyReader::new(limit);
        let _ = reader.feed(body.as_bytes());
        reader.finish(&Head::default()).unwrap_err()
    };
    for (body, want) in [
        ("{", Reason::MalformedJson),
        ("{\"a\":1,\"a\":2}", Reason::MalformedJson),
        ("[]", Reason::MalformedMcp),
        ("{}", Reason::MalformedMcp),
    ] {
        let denial = trial.unreadable_mcp(&route, &read(body, 100));
        assert_eq!((denial.reason, path(denial.rule.as_ref()).as_str()), (want, "enclave.a.mcp.git"), "{body}");
    }
    assert_eq!(trial.unreadable_mcp(&route, &read("{\"a\":1}", 3)).reason, Reason::BodyUndecided);
    let error = ensage_mcp::mcp::ReadError::Revision { requested: "2030-01-01".to_owned(), id: None };
    assert_eq!(trial.unreadable_mcp(&route, &error).reason, Reason::RevisionNotAllowed);
    let error = ensage_mcp::mcp::ReadError::HeaderMismatch { id: None, header: ensage_mcp::mcp::Header::Method };
    assert_eq!(trial.unreadable_mcp(&route, &error).reason, Reason::HeaderMismatch);
}

fn infer(mode: Mode, members: &str) -> String {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), mode);
    let route = head(&mut trial, "POST https://llm.test/v1/messages", &CredentialFinding::Bare).unwrap();
    let content =
        if members.contains("\"messages\"") { "" } else { "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]," };
    let mut reader = RequestReader::new(Dialect::Messages, 1 << 16);
    let _ = reader.feed(format!("{{{content}\"max_tokens\":9,{members}}}").as_bytes());
    let request = match reader.finish() {
        Ok(request) => request,
        Err(error) => return format!("unread {}", trial.unreadable_llm(&route, &error).reason),
    };
    match trial.inference(&route, &request, &|_| false) {
        Ok(permit) => match trial.would() {
            None => format!("allow {}", path(permit.rule())),
            Some(would) => format!("would {}", would.reason),
        },
        Err(denial) => format!("deny {} {}", denial.reason, path(denial.rule.as_ref())),
    }
}

#[test]
fn models_and_provider_tools_are_allowed_by_list() {
    let check = |members: &str, want: &str| {
        assert_eq!(infer(Mode::Enforce, members), want, "{members}");
        let would = want.split(' ').nth(1).filter(|_| want.starts_with("deny"));
        let observed = would.map_or_else(|| want.to_owned(), |reason| format!("would {reason}"));
        assert_eq!(infer(Mode::Observe, members), observed, "{members}");
    };
    let models = "enclave.a.llm.anthropic.models";
    let tools = "enclave.a.llm.anthropic.provider_tools";
    check("\"model\":\"claude-x\"", &format!("allow {models}"));
    check("\"model\":\"gpt\"", &format!("deny model_not_allowed {models}"));
    check("\"model\":\"Claude-x\"", &format!("deny model_not_allowed {models}"));
    check("\"model\":\"claude-x\",\"fallbacks\":[{\"model\":\"gpt\"}]", &format!("deny model_not_allowed {models}"));
    let tool = |kind: &str| format!("\"model\":\"claude-x\",\"tools\":[{{\"type\":\"{kind}\",\"name\":\"x\"}}]");
    check(&tool("web_search_20250305"), &format!("allow {models}"));
    check(&tool("web_fetch_20250910"), &format!("deny provider_tool_not_allowed {tools}"));
    check(&tool("hologram_20270101"), &format!("deny provider_tool_not_allowed {tools}"));
}

#[test]
fn e1_connectors_sources_and_stored_ids_are_refused_unless_the_enclave_opens_them() {
    let check = |members: &str, want: &str| {
        let members = format!("\"model\":\"claude-x\",{members}");
        assert_eq!(infer(Mode::Enforce, &members), want, "{members}");
    };
    let models = "allow enclave.a.llm.anthropic.models";
    let connector = |url: &str| format!("\"mcp_servers\":[{{\"type\":\"url\",\"name\":\"x\",\"url\":\"{url}\"}}]");
    for good in ["https://mcp.test/mcp", "https://mcp.test/mcp/", "https://both.test/mcp?tenant=1"] {
        check(&connector(good), models);
    }
    for evil in [
        "https://evil.test/mcp",
        "https://mcp.test/",
        "http://mcp.test/mcp",
        "https://both.test/mcp?x",
        "https://mcp.test/MCP",
        "x",
    ] {
        check(&connector(evil), "deny connector_not_allowed enclave.a.mcp");
    }
    let image = |url: &str| {
        format!(
            "\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"image\",\
             \"source\":{{\"type\":\"url\",\"url\":\"{url}\"}}}}]}}]"
        )
    };
    check(&image("https://api.test/x.png"), models);
    check(&image("https://x.open.test/x.png#frag"), models);
    for evil in [
        "https://evil.test/x.png",
        "https://closed.open.test/x.png",
        "https://mcp.test/mcp",
        "https://llm.test/v1/models",
        "https://api.test:444/x.png",
        "ftp://api.test/x.png",
    ] {
        check(&image(evil), "deny url_source_not_allowed enclave.a.http");
    }
    check("\"container\":\"c1\"", "deny stored_id_not_allowed enclave.a.llm.anthropic");
}

fn respond(mode: Mode, members: &str) -> String {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), mode);
    let route = head(&mut trial, "POST https://openai.test/v1/responses", &CredentialFinding::Bare).unwrap();
    let mut reader = RequestReader::new(Dialect::Responses, 1 << 16);
    let _ = reader.feed(format!("{{\"input\":\"x\",{members}}}").as_bytes());
    let given = |stored: &StoredId| stored.kind == StoredKind::Response && stored.id == "resp_mine";
    match trial.inference(&route, &reader.finish().unwrap(), &given) {
        Ok(permit) => match trial.would() {
            None => format!("allow {}", path(permit.rule())),
            Some(would) => format!("would {}", would.reason),
        },
        Err(denial) => format!("deny {} {}", denial.reason, path(denial.rule.as_ref())),
    }
}

#[test]
fn e2_e5_what_openai_would_do_is_judged_by_the_same_lists() {
    let entry = "enclave.a.llm.openai";
    for (members, want) in [
        ("", format!("allow {entry}.models")),
        ("\"tools\":[{\"type\":\"web_search_2025_08_26\"}]", format!("allow {entry}.models")),
        (
            "\"tools\":[{\"type\":\"web_search_preview\"}]",
            format!("deny provider_tool_not_allowed {entry}.provider_tools"),
        ),
        (
            "\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"file_search\"}]}]",
            format!("deny provider_tool_not_allowed {entry}.provider_tools"),
        ),
        ("\"tools\":[{\"type\":\"teleport\"}]", format!("deny provider_tool_not_allowed {entry}.provider_tools")),
        (
            "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"l\",\"server_url\":\"https://both.test/mcp\"}]",
            format!("allow {entry}.models"),
        ),
        (
            "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"l\",\"server_url\":\"https://evil.test/mcp\"}]",
            "deny connector_not_allowed enclave.a.mcp".to_owned(),
        ),
        (
            "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"l\",\"connector_id\":\"connector_gmail\"}]",
            format!("allow {entry}.models"),
        ),
        (
            "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"l\",\"connector_id\":\"connector_dropbox\"}]",
            format!("deny connector_not_allowed {entry}.provider_tools"),
        ),
        (
            "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"l\",\"tunnel_id\":\"t\",\"server_url\":\"https://both.test/mcp\"}]",
            format!("deny connector_not_allowed {entry}.provider_tools"),
        ),
        ("\"previous_response_id\":\"resp_mine\"", format!("allow {entry}.models")),
        ("\"previous_response_id\":\"resp_theirs\"", format!("deny stored_id_not_allowed {entry}")),
        ("\"conversation\":\"resp_mine\"", format!("deny stored_id_not_allowed {entry}")),
        ("\"moderation\":{\"model\":\"omni\"}", format!("deny model_not_allowed {entry}.models")),
    ] {
        let comma = if members.is_empty() { "" } else { "," };
        let members = format!("\"model\":\"gpt-5\"{comma}{members}");
        assert_eq!(respond(Mode::Enforce, &members), want, "{members}");
        let would = want.split(' ').nth(1).filter(|_| want.starts_with("deny"));
        let observed = would.map_or(want.clone(), |reason| format!("would {reason}"));
        assert_eq!(respond(Mode::Observe, &members), observed, "{members}");
    }
    assert_eq!(respond(Mode::Enforce, "\"store\":true"), format!("deny model_not_allowed {entry}.models"));
}

#[test]
fn e7_a_secret_in_the_body_goes_only_where_the_agent_might_send_it() {
    let mcp = |place: &str, secret: &str| {
        format!("\"model\":\"gpt-5\",\"tools\":[{{\"type\":\"mcp\",\"server_label\":\"l\",{place},{secret}}}]")
    };
    let refused = "deny foreign_credential enclave.a.llm.openai";
    for secret in ["\"authorization\":\"t\"", "\"headers\":{\"x-key\":\"t\"}"] {
        let open = mcp("\"server_url\":\"https://both.test/mcp\"", secret);
        assert_eq!(respond(Mode::Enforce, &open), "allow enclave.a.llm.openai.models");
        // This server's entry has a credential of its own.
        let bound = mcp("\"server_url\":\"https://mcp.test/mcp\"", secret);
        assert_eq!(respond(Mode::Enforce, &bound), refused);
        assert_eq!(respond(Mode::Observe, &bound), "would foreign_credential");
        assert_eq!(respond(Mode::Enforce, &mcp("\"connector_id\":\"connector_gmail\"", secret)), refused);
    }
    let container = "\"model\":\"gpt-5\",\"tools\":[{\"type\":\"code_interpreter\",\"container\":{\"type\":\"auto\",\"network_policy\":{\"type\":\"allowlist\",\"allowed_domains\":[],\"domain_secrets\":[{}]}}}]";
    assert_eq!(respond(Mode::Enforce, container), refused);
    let anthropic = |url: &str| {
        format!(
            "\"model\":\"claude-x\",\"mcp_servers\":[{{\"type\":\"url\",\"name\":\"x\",\"url\":\"{url}\",\"authorization_token\":\"t\"}}]"
        )
    };
    assert_eq!(infer(Mode::Enforce, &anthropic("https://both.test/mcp")), "allow enclave.a.llm.anthropic.models");
    let bound = infer(Mode::Enforce, &anthropic("https://mcp.test/mcp"));
    assert_eq!(bound, "deny foreign_credential enclave.a.llm.anthropic");
}

#[test]
fn e5_an_answer_that_is_kept_is_given_to_its_session_alone() {
    let policy = policy();
    let told = |mode, id: &str| {
        let mut trial = begun(&policy, enclave(&policy, "a"), mode);
        let url = format!("GET https://openai.test/v1/responses/{id}");
        let route = head(&mut trial, &url, &CredentialFinding::Bare).unwrap();
        let id = StoredId { kind: StoredKind::Response, id: id.to_owned() };
        trial.kept(&route, id, &|stored| stored.id == "resp_mine").map_err(|denial| denial.reason)
    };
    assert_eq!(told(Mode::Enforce, "resp_mine"), Ok(()));
    assert_eq!(told(Mode::Enforce, "resp_theirs"), Err(Reason::StoredIdNotAllowed));
    assert_eq!(told(Mode::Observe, "resp_theirs"), Ok(()));
}

#[test]
fn e2_calls_that_cannot_be_read_have_their_reason() {
    assert_eq!(infer(Mode::Observe, "\"model\":1"), "unread malformed_llm");
    assert_eq!(infer(Mode::Observe, "\"stream\":true"), "unread malformed_llm");
    assert_eq!(infer(Mode::Observe, "\"model\":\"a\",\"model\":\"b\""), "unread malformed_json");
}

#[test]
fn a_body_is_judged_by_the_entry_that_governs_it_only() {
    let policy = policy();
    let mut trial = begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let route = head(&mut trial, "GET https://api.test/", &CredentialFinding::Bare).unwrap();
    assert_eq!(trial.message(&route, &call("search")).unwrap_err().reason, Reason::Internal);
    let call = ensage_mcp::llm::Request::default();
    assert_eq!(trial.inference(&route, &call, &|_| false).unwrap_err().reason, Reason::Internal);
    let route = head(&mut trial, "POST https://llm.test/v1/messages", &CredentialFinding::Bare).unwrap();
    // No model at all is no allowed model.
    assert_eq!(trial.inference(&route, &call, &|_| false).unwrap_err().reason, Reason::ModelNotAllowed);
}
