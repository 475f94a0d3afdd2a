//! What a body of Responses asks for.

use super::super::strings;
use crate::llm::{Connector, Dialect, Place, Request, StoredId, StoredKind};

pub(super) fn check(body: &str, change: impl FnOnce(&mut Request)) {
    super::check(Dialect::Responses, body, change);
}

pub(super) fn with(members: &str) -> String {
    super::with(Dialect::Responses, members)
}

pub(super) fn items(items: &str) -> String {
    format!(r#"{{"model":"gpt-5","input":[{items}]}}"#)
}

/// A tool in each place where one can stand.
pub(super) fn declared(tool: &str) -> Vec<String> {
    let namespace = format!(r#"{{"type":"namespace","name":"n","description":"d","tools":[{tool}]}}"#);
    let deep = format!(r#"{{"type":"namespace","name":"m","tools":[{namespace}]}}"#);
    let mut bodies = Vec::new();
    for tool in [tool, &namespace, &deep] {
        bodies.push(with(&format!(r#""tools":[{tool}]"#)));
        bodies.push(items(&format!(r#"{{"type":"additional_tools","role":"developer","tools":[{tool}]}}"#)));
        bodies.push(items(&format!(
            r#"{{"type":"tool_search_output","call_id":null,"execution":"client","status":"completed","tools":[{tool}]}}"#
        )));
    }
    bodies
}

#[test]
fn a_plain_request_asks_for_nothing_but_its_model() {
    for members in [
        "",
        r#""stream":false,"store":true,"include":["reasoning.encrypted_content"],"metadata":{"tool":"t"},"user":"u""#,
        r#""tools":null,"conversation":null,"prompt":null,"previous_response_id":null,"background_options":null,"instructions":null"#,
        r#""tool_choice":"auto","reasoning":{"effort":"low"},"text":{"verbosity":"low","format":{"type":"text"}},"truncation":"auto""#,
        r#""context_management":[{"type":"compaction","compact_threshold":9}],"background":true,"background_options":{"completion_window":"2h"}"#,
        r#""prompt_cache_options":{"mode":"implicit","ttl":"12h"},"instructions":"be kind","stream_options":{"include_obfuscation":false}"#,
        r#""tool_choice":{"type":"function","name":"t"}"#,
    ] {
        check(&with(members), |_| {});
    }
    check(r#"{"model":"gpt-5","input":"hi"}"#, |_| {});
    check(&with(r#""stream":true"#), |request| request.stream = true);
    // A count may leave out what an inference can't: then it names no model, and the judge refuses that.
    check(r#"{"input":"hi"}"#, |request| request.models.clear());
}

#[test]
fn history_asks_for_nothing() {
    let history = r#"{"role":"user","content":"x"},{"type":"message","role":"developer","content":[{"type":"input_text","text":"x"}]},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant","phase":"final_answer","content":[{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"https://x"}],"logprobs":[]},{"type":"refusal","refusal":"no"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"x"}],"encrypted_content":"e"},
        {"type":"function_call","id":"fc_1","call_id":"1","name":"t","namespace":"n","arguments":"{}","status":"completed"},
        {"type":"function_call_output","call_id":"1","output":"x"},
        {"type":"custom_tool_call","call_id":"2","name":"exec","input":"x"},{"type":"custom_tool_call_output","call_id":"2","output":[{"type":"input_text","text":"x"}]},
        {"type":"local_shell_call","id":"l","call_id":"3","action":{"type":"exec","command":["ls"],"env":{}},"status":"completed"},{"type":"local_shell_call_output","id":"l","output":"x"},
        {"type":"shell_call","call_id":"4","action":{"commands":["ls"]},"environment":{"type":"local"}},{"type":"shell_call_output","call_id":"4","output":[{"stdout":"","stderr":"","outcome":{"type":"exit","exit_code":0}}]},
        {"type":"apply_patch_call","call_id":"5","operation":{"type":"delete_file","path":"x"},"status":"completed"},{"type":"apply_patch_call_output","call_id":"5","status":"completed","output":"x"},
        {"type":"computer_call","id":"c","call_id":"6","action":{"type":"wait"},"pending_safety_checks":[],"status":"completed"},
        {"type":"computer_call_output","call_id":"6","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AA=="}},
        {"type":"tool_search_call","call_id":"7","execution":"client","arguments":{"Query":1,"query":2}},
        {"type":"web_search_call","id":"ws","status":"completed","action":{"type":"open_page","url":"https://x"}},
        {"type":"file_search_call","id":"fs","status":"completed","queries":["q"],"results":[{"file_id":"f"}]},
        {"type":"image_generation_call","id":"ig","status":"completed","result":"AA=="},
        {"type":"mcp_list_tools","id":"m","server_label":"gone","tools":[{"name":"t","input_schema":{}}]},
        {"type":"mcp_approval_request","id":"a","server_label":"gone","name":"t","arguments":"{}"},
        {"type":"mcp_call","id":"m2","server_label":"gone","name":"t","arguments":"{}","output":"x"},
        {"type":"program","id":"p","call_id":"8","code":"x","fingerprint":"f"},{"type":"program_output","id":"p","call_id":"8","result":"x","status":"completed"},
        {"type":"compaction","encrypted_content":"e"},{"type":"compaction_trigger"},{"type":"configuration_update","reasoning":{"effort":"low"}}"#;
    check(&items(history), |_| {});
    check(&with(&format!(r#""instructions":[{history}]"#)), |_| {});
}

#[test]
fn every_place_that_says_a_model_is_read() {
    for tool in [
        r#"{"type":"image_generation","model":"gpt-image"}"#,
        r#"{"type":"image_generation","svg":{"model":"gpt-image"}}"#,
    ] {
        for body in declared(tool) {
            check(&body, |request| {
                request.models.push("gpt-image".into());
                request.provider_tools = strings(&["image_generation"]);
            });
        }
    }
    check(&with(r#""moderation":{"model":"omni","policy":{}}"#), |request| request.models.push("omni".into()));
}

#[test]
fn e3_client_tools_are_told_from_the_providers_wherever_they_stand() {
    for (tool, name) in [
        (r#"{"type":"function","name":"t","parameters":{"X":1,"x":2},"strict":true,"defer_loading":true}"#, "t"),
        (
            r#"{"type":"custom","name":"exec","description":"d","format":{"type":"grammar","syntax":"lark","definition":"x"}}"#,
            "exec",
        ),
        (r#"{"type":"local_shell"}"#, "local_shell"),
        (r#"{"type":"apply_patch"}"#, "apply_patch"),
        (
            r#"{"type":"shell","environment":{"type":"local","skills":[{"name":"s","description":"d","path":"/p"}]}}"#,
            "shell",
        ),
        (r#"{"type":"computer"}"#, "computer"),
        (
            r#"{"type":"computer_use_preview","display_width":1,"display_height":1,"environment":"linux"}"#,
            "computer_use_preview",
        ),
        (r#"{"type":"tool_search","execution":"client","description":"d","parameters":{}}"#, "tool_search"),
    ] {
        for body in declared(tool) {
            check(&body, |request| request.client_tools = strings(&[name]));
        }
    }
    for (tool, name) in [
        (r#"{"type":"web_search","filters":{"allowed_domains":["x"]},"external_web_access":false}"#, "web_search"),
        (r#"{"type":"web_search_2025_08_26"}"#, "web_search"),
        (r#"{"type":"web_search_2031_01_02"}"#, "web_search"),
        (r#"{"type":"web_search_preview"}"#, "web_search_preview"),
        (r#"{"type":"web_search_preview_2025_03_11","user_location":{"type":"approximate"}}"#, "web_search_preview"),
        (r#"{"type":"code_interpreter","container":{"type":"auto"}}"#, "code_interpreter"),
        (
            r#"{"type":"file_search","vector_store_ids":[],"filters":{"type":"eq","key":"url","value":"x"}}"#,
            "file_search",
        ),
        (r#"{"type":"image_generation","partial_images":1}"#, "image_generation"),
        (r#"{"type":"programmatic_tool_calling"}"#, "programmatic_tool_calling"),
        (r#"{"type":"tool_search","execution":"server"}"#, "tool_search"),
        (r#"{"type":"tool_search"}"#, "tool_search"),
        (r#"{"type":"shell"}"#, "shell"),
        (r#"{"type":"shell","environment":{"type":"container_auto","network_policy":{"type":"disabled"}}}"#, "shell"),
        (
            r#"{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"inline","name":"n","description":"d","source":{"type":"base64","data":""}}]}}"#,
            "shell",
        ),
    ] {
        for body in declared(tool) {
            check(&body, |request| request.provider_tools = strings(&[name]));
        }
    }
    for (choice, name) in [
        (r#"{"type":"web_search_preview_2025_03_11"}"#, "web_search_preview"),
        (
            r#"{"type":"allowed_tools","mode":"auto","tools":[{"type":"image_generation"},{"type":"function","name":"t"}]}"#,
            "image_generation",
        ),
    ] {
        check(&with(&format!(r#""tool_choice":{choice}"#)), |request| request.provider_tools = strings(&[name]));
    }
}

#[test]
fn e2_connectors_are_read_wherever_they_stand() {
    let url = || Place::Url("https://evil.example/mcp".into());
    let named = |id: &str| Place::Named(id.into());
    for (members, places, authorized) in [
        (r#""server_url":"https://evil.example/mcp""#, vec![url()], false),
        (r#""server_url":"https://evil.example/mcp","authorization":"t""#, vec![url()], true),
        (
            r#""server_url":"https://evil.example/mcp","headers":{"x":"t"},"require_approval":"never""#,
            vec![url()],
            true,
        ),
        (r#""server_url":"https://evil.example/mcp","headers":{},"allowed_tools":["a"]"#, vec![url()], false),
        (r#""connector_id":"connector_gmail","authorization":"t""#, vec![named("connector_gmail")], true),
        (r#""tunnel_id":"tun_1","server_description":"d","defer_loading":true"#, vec![named("tun_1")], false),
        (r#""tunnel_id":"tun_1","server_url":"https://evil.example/mcp""#, vec![url(), named("tun_1")], false),
    ] {
        for body in declared(&format!(r#"{{"type":"mcp","server_label":"evil",{members}}}"#)) {
            check(&body, |request| {
                let connector = |place| Connector { name: "evil".into(), place, authorized };
                request.connectors = places.iter().cloned().map(connector).collect();
            });
        }
    }
    // What refers to a connector that is not there asks for something that nobody here saw.
    check(&with(r#""tool_choice":{"type":"mcp","server_label":"ghost"}"#), |request| {
        request.unknown = strings(&["connector ghost"]);
    });
    check(&items(r#"{"type":"mcp_call","id":"m","server_label":"ghost","name":"t","arguments":"{}"}"#), |request| {
        request.unknown = strings(&["connector ghost"]);
    });
}

#[test]
fn e4_url_sources_are_found_wherever_they_nest() {
    let found = |request: &mut Request| request.url_sources = strings(&["http://10.0.0.1/x"]);
    for part in [
        r#"{"type":"input_image","image_url":"http://10.0.0.1/x","detail":"auto"}"#,
        r#"{"type":"input_file","file_url":"http://10.0.0.1/x"}"#,
        r#"{"type":"input_file","file_data":"http://10.0.0.1/x"}"#,
        r#"{"type":"computer_screenshot","image_url":"http://10.0.0.1/x"}"#,
        r#"{"type":"input_im\u0061ge","image_url":"http:\/\/10.0.0.1\/x"}"#,
    ] {
        for body in [
            items(&format!(r#"{{"role":"user","content":[{part}]}}"#)),
            items(&format!(r#"{{"type":"function_call_output","call_id":"1","output":[{part}]}}"#)),
            items(&format!(r#"{{"type":"custom_tool_call_output","call_id":"1","output":[{part}]}}"#)),
            items(&format!(r#"{{"type":"computer_call_output","call_id":"1","output":{part}}}"#)),
            with(&format!(r#""instructions":[{{"role":"developer","content":[{part}]}}]"#)),
        ] {
            check(&body, found);
        }
        check(&with(&format!(r#""prompt":{{"id":"pmpt_1","variables":{{"a":"x","b":{part}}}}}"#)), |request| {
            found(request);
            request.stored_ids = vec![StoredId { kind: StoredKind::Prompt, id: "pmpt_1".into() }];
        });
        check(&with(&format!(r#""prompt":{{"variables":{{"a":{part},"a":"x"}}}}"#)), found);
    }
    for body in declared(r#"{"type":"image_generation","input_image_mask":{"image_url":"http://10.0.0.1/x"}}"#) {
        check(&body, |request| {
            found(request);
            request.provider_tools = strings(&["image_generation"]);
        });
    }
    let data = r#"{"type":"input_image","image_url":"data:image/png;base64,AA=="},{"type":"input_file","file_data":"AA==","filename":"http://x"},
        {"type":"input_text","text":"see http://x"},{"type":"input_audio","input_audio":{"data":"","format":"mp3"}}"#;
    check(&items(&format!(r#"{{"role":"user","content":[{data}]}}"#)), |_| {});
}

#[test]
fn e5_stored_state_is_named() {
    let stored = |kind, id: &str| vec![StoredId { kind, id: id.into() }];
    for (members, kind, id) in [
        (r#""previous_response_id":"resp_1""#, StoredKind::Response, "resp_1"),
        (r#""conversation":"conv_1""#, StoredKind::Conversation, "conv_1"),
        (r#""conversation":{"id":"conv_1"}"#, StoredKind::Conversation, "conv_1"),
        (r#""prompt":{"id":"pmpt_1","version":"2"}"#, StoredKind::Prompt, "pmpt_1"),
        (r#""background_options":{"continuation_id":"c1"}"#, StoredKind::Continuation, "c1"),
        (r#""prompt_cache_options":{"comparison_response_id":"resp_1"}"#, StoredKind::Response, "resp_1"),
    ] {
        check(&with(members), |request| request.stored_ids = stored(kind, id));
    }
    for (item, kind, id) in [
        (r#"{"type":"item_reference","id":"msg_1"}"#, StoredKind::Item, "msg_1"),
        (r#"{"id":"msg_1"}"#, StoredKind::Item, "msg_1"),
        (
            r#"{"type":"mcp_approval_response","approval_request_id":"mcpr_1","approve":true}"#,
            StoredKind::Item,
            "mcpr_1",
        ),
        (
            r#"{"type":"code_interpreter_call","id":"ci","code":"x","container_id":"cntr_1","outputs":[{"type":"image","url":"https://x"}],"status":"completed"}"#,
            StoredKind::Container,
            "cntr_1",
        ),
        (
            r#"{"type":"shell_call","call_id":"1","action":{},"environment":{"type":"container_reference","container_id":"cntr_1"}}"#,
            StoredKind::Container,
            "cntr_1",
        ),
        (r#"{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}"#, StoredKind::File, "file-1"),
        (r#"{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}"#, StoredKind::File, "file-1"),
        (
            r#"{"type":"computer_call_output","call_id":"1","output":{"type":"computer_screenshot","file_id":"file-1"}}"#,
            StoredKind::File,
            "file-1",
        ),
    ] {
        check(&items(item), |request| request.stored_ids = stored(kind, id));
    }
    for (tool, name, kind, id) in [
        (r#"{"type":"file_search","vector_store_ids":["vs_1"]}"#, "file_search", StoredKind::VectorStore, "vs_1"),
        (r#"{"type":"code_interpreter","container":"cntr_1"}"#, "code_interpreter", StoredKind::Container, "cntr_1"),
        (
            r#"{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}"#,
            "code_interpreter",
            StoredKind::File,
            "file-1",
        ),
        (
            r#"{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_1"}}"#,
            "shell",
            StoredKind::Container,
            "cntr_1",
        ),
        (
            r#"{"type":"shell","environment":{"type":"container_auto","file_ids":["file-1"]}}"#,
            "shell",
            StoredKind::File,
            "file-1",
        ),
        (
            r#"{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference","skill_id":"sk_1","version":"1"}]}}"#,
            "shell",
            StoredKind::Skill,
            "sk_1",
        ),
        (
            r#"{"type":"image_generation","input_image_mask":{"file_id":"file-1"}}"#,
            "image_generation",
            StoredKind::File,
            "file-1",
        ),
    ] {
        for body in declared(tool) {
            check(&body, |request| {
                request.provider_tools = strings(&[name]);
                request.stored_ids = stored(kind, id);
            });
        }
    }
}

#[test]
fn e7_secrets_for_others_are_seen() {
    let policy = r#""network_policy":{"type":"allowlist","allowed_domains":["x"],"domain_secrets":[{"domain":"x","name":"n","value":"v"}]}"#;
    for (tool, name) in [
        (format!(r#"{{"type":"code_interpreter","container":{{"type":"auto",{policy}}}}}"#), "code_interpreter"),
        (format!(r#"{{"type":"shell","environment":{{"type":"container_auto",{policy}}}}}"#), "shell"),
    ] {
        for body in declared(&tool) {
            check(&body, |request| {
                request.provider_tools = strings(&[name]);
                request.secrets = vec!["network_policy.domain_secrets"];
            });
        }
    }
}
