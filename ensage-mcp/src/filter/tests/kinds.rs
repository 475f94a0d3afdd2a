//! Everything that a server lists, and what it says of itself.

use super::*;

/// Kind, name and JSON.
type Told = (ItemKind, String, String);

/// Hides what is called `cron`, whatever it is, and tells what it was asked.
fn asked(ask: Ask, text: &str) -> (String, Result<Summary, FilterError>, Vec<Told>) {
    let mut told = Vec::new();
    let shows = |item: &Item<'_>| {
        told.push((item.kind, item.name.to_owned(), String::from_utf8(item.json.to_vec()).unwrap()));
        !item.name.contains("cron")
    };
    let (out, summary) = run(ResponseFilter::json(ask, shows, HOLD), &[text.as_bytes()]);
    (out, summary, told)
}

#[test]
fn d2_d8_every_list_is_filtered_by_what_its_entries_are_known_by() {
    for (method, list, name, kind) in [
        ("tools/list", "tools", "name", ItemKind::Tool),
        ("resources/list", "resources", "uri", ItemKind::Resource),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", ItemKind::Template),
        ("prompts/list", "prompts", "name", ItemKind::Prompt),
        ("skills/list", "skills", "uri", ItemKind::Skill),
        ("resources/directory/read", "resources", "uri", ItemKind::Resource),
    ] {
        let ask = || {
            ask(
                method,
                if list == "skills" || method.contains("directory") {
                    Revision::V2026_07_28
                } else {
                    Revision::V2025_11_25
                },
            )
        };
        let rest = if ask().revision.is_modern() {
            r#","resultType":"complete","ttlMs":1,"cacheScope":"private""#
        } else {
            ""
        };
        let entry = |called: &str| format!(r#"{{"title":"T","{name}":"{called}"}}"#);
        let whole = |entries: &[&str]| {
            let entries: Vec<_> = entries.iter().map(|called| entry(called)).collect();
            result(&format!(r#""{list}":[{}],"nextCursor":"c"{rest}"#, entries.join(",")))
        };
        let (out, summary, told) = asked(ask(), &whole(&["file:///a", "cron", "b"]));
        assert_eq!(out, whole(&["file:///a", "b"]), "{method}");
        let summary = summary.unwrap();
        assert_eq!((summary.kept, summary.hidden), (2, 1));
        let expected = ["file:///a", "cron", "b"].map(|called| (kind, called.to_owned(), entry(called)));
        assert_eq!(told, expected);
        // It cannot be read in one way only.
        for bad in [
            format!(r#""{list}":[{{"title":"x"}}]"#),
            format!(r#""{list}":[{{"{name}":"a","{name}":"b"}}]"#),
            format!(r#""{list}":[{{"{name}":"a","{}":"b"}}]"#, name.to_uppercase()),
            format!(r#""{list}":[[]]"#),
            format!(r#""{list}":null"#),
            r#""other":[]"#.to_owned(),
        ] {
            let (out, refused, _) = asked(ask(), &result(&bad));
            assert!(out.is_empty() && refused.is_err(), "{method} {bad}");
        }
    }
}

#[test]
fn d8_the_resources_of_a_skill_are_filtered_in_it() {
    let check = |before: &str, after: &str| {
        let skill = |resources: &str| {
            result(&format!(
                r#""skills":[{{"uri":"s","resources":{resources},"frontmatter":{{"name":"n"}}}}],"resultType":"complete","ttlMs":1,"cacheScope":"private""#
            ))
        };
        assert_eq!(asked(modern("skills/list"), &skill(before)).0, skill(after));
    };
    check(r#"[{"uri":"a","size":1}, {"uri":"cron"}]"#, r#"[{"uri":"a","size":1}]"#);
    check(r#"[{"uri":"cron"}, {"uri":"cron"}, {"uri":"b"} ]"#, r#"[{"uri":"b"} ]"#);
    check(r#""dynamic""#, r#""dynamic""#);
    check("[]", "[]");
    let bad = result(r#""skills":[{"uri":"s","resources":[{"digest":"d"}]}]"#);
    assert_eq!(asked(modern("skills/list"), &bad).1, Err(FilterError::List));
    // A skill that goes takes its resources with it.
    let hidden = result(
        r#""skills":[{"uri":"cron","resources":[{"uri":"a"}]}],"resultType":"complete","ttlMs":1,"cacheScope":"private""#,
    );
    assert!(!asked(modern("skills/list"), &hidden).0.contains("resources"));
}

#[test]
fn capabilities_are_filtered_and_instructions_too() {
    let check = |ask: Ask, before: &str, after: &str| {
        let (out, summary, _) = asked(ask, &result(before));
        assert_eq!((out.as_str(), summary.is_ok()), (result(after).as_str(), true));
    };
    let init = || legacy("initialize");
    for same in [
        r#""protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"cron"},"instructions":"Be kind.""#,
        r#""capabilities":{"tools":{"listChanged":true},"extensions":{"a/b":{}}},"protocolVersion":"2025-06-18""#,
        r#""protocolVersion":"2025-06-18""#,
    ] {
        check(init(), same, same);
    }
    let caps = |members: &str| format!(r#""capabilities":{{{members}}},"protocolVersion":"2025-11-25""#);
    for (before, after) in [
        (r#""cron":{"x":[1]}"#, ""),
        (r#" "cron" : {} , "tools" : {} "#, r#" "tools" : {} "#),
        (r#""tools":{},"cron":true,"logging":{}"#, r#""tools":{},"logging":{}"#),
        (
            r#""cron":{},"cron2":{}, "extensions":{"cron/x":{},"a/b":1},"prompts":{}"#,
            r#""extensions":{"a/b":1},"prompts":{}"#,
        ),
        (r#""extensions":{"a/b":1,"cron":{}},"cron":{}"#, r#""extensions":{"a/b":1}"#),
        (r#""cron":{},"extensions":null"#, r#""extensions":null"#),
    ] {
        check(init(), &caps(before), &caps(after));
    }
    // In 2026-07-28 it belongs to one agent then, and has what clients demand.
    check(
        modern("server/discover"),
        r#""supportedVersions":["2026-07-28"],"capabilities":{"cron":{}},"ttlMs":9,"cacheScope":"public""#,
        r#""supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":9,"cacheScope":"private","resultType":"complete""#,
    );
    for bad in [r#""capabilities":[]"#, r#""capabilities":{"tools":{},"Tools":{}}"#] {
        assert!(asked(init(), &result(bad)).1.is_err());
    }
    let silent = |item: &Item<'_>| item.kind != ItemKind::Instructions;
    let text = result(r#""capabilities":{},"instructions":"Never call delete_repo\u202e.""#);
    let (out, _) = run(ResponseFilter::json(init(), silent, HOLD), &[text.as_bytes()]);
    assert_eq!(out, result(r#""capabilities":{},"instructions":"""#));
    assert_eq!(asked(init(), &text).0, text.replace("\\u202e", ""));
}

#[test]
fn d4_hidden_characters_go_from_descriptions_and_are_flagged_wherever_they_are() {
    let tools = |tools: &str| result(&format!(r#""tools":[{tools}]"#));
    let check = |before: &str, after: &str, flagged: &[&str], stripped: usize| {
        let (out, summary, _) = asked(legacy("tools/list"), &tools(before));
        assert_eq!(out, tools(after));
        let summary = summary.unwrap();
        assert_eq!((summary.flagged_count, summary.stripped), (flagged.len(), stripped), "{before}");
        assert_eq!(summary.flagged, flagged);
    };
    let plain = r#"{"name":"a","description":"tab\t — \u00e9 \"x\"","x-mcp-header":"h"}"#;
    check(plain, plain, &[], 0);
    check(
        r#"{"description":"a\u200bb\u001b[8m<hidden>\u001b[0m","name":"a"},{"name":"b","description":"x"}"#,
        r#"{"description":"ab<hidden>","name":"a"},{"name":"b","description":"x"}"#,
        &["a"],
        1,
    );
    let elsewhere = r#"{"name":"a","description":7,"inputSchema":{"properties":{"p":{"description":"\udb40\udc41"}}}}"#;
    check(elsewhere, elsewhere, &["a"], 0);
    // Nobody needs to know of what is hidden.
    check(r#"{"name":"cron","description":"\u200b"}"#, "", &[], 0);
    let many = vec![r#"{"name":"é\u2060"}"#; Summary::FLAGGED_MAX + 1].join(",");
    let summary = asked(legacy("tools/list"), &tools(&many)).1.unwrap();
    assert_eq!((summary.flagged.len(), summary.flagged_count), (Summary::FLAGGED_MAX, Summary::FLAGGED_MAX + 1));
}

#[test]
fn d3_whoever_is_asked_gets_the_digest_of_the_definition_as_sent() {
    let pinned = |text: &str| {
        let mut digests = Vec::new();
        let shows = |item: &Item<'_>| {
            digests.push(item.sha256());
            true
        };
        run(ResponseFilter::json(legacy("tools/list"), shows, HOLD), &[result(text).as_bytes()]).1.unwrap();
        digests
    };
    let first = pinned(r#""tools":[{"name":"a","description":"d","inputSchema":{"type":"object"}}]"#);
    assert_eq!(first, pinned(r#""tools":[ {"inputSchema": {"type":"object"}, "n\u0061me":"a","description":"d"} ]"#));
    assert_ne!(first, pinned(r#""tools":[{"name":"a","description":"d\u200b","inputSchema":{"type":"object"}}]"#));
    // A name that is longer than what the scanner tells.
    let long = "n".repeat(5000);
    let (out, summary, told) = asked(legacy("tools/list"), &result(&format!(r#""tools":[{{"name":"{long}"}}]"#)));
    assert!(out.contains(&long) && summary.is_ok());
    assert_eq!(told[0].1, long);
}

#[test]
fn d9_tasks_are_filtered_like_what_they_give() {
    let inputs = r#""inputRequests":{"a":{"method":"roots/list"}}"#;
    for (ask, members) in [
        (modern("tasks/get"), inputs.to_owned()),
        (modern("tasks/get"), format!(r#""taskId":"1","status":"completed","result":{{"content":[],{inputs}}}"#)),
        (legacy("tasks/result"), format!(r#""content":[],{inputs}"#)),
    ] {
        let (out, summary, _) = asked(ask, &result(&members));
        assert!(out.contains("-32601") && !out.contains("roots"), "{out}");
        assert_eq!(summary.unwrap().refused_count, 1);
    }
    let fine = result(r#""taskId":"1","status":"completed","result":{"content":[{"type":"text","text":"cron"}]}"#);
    assert_eq!(asked(modern("tasks/get"), &fine).0, fine);

    let told = |params: &str| {
        let event =
            format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks\",\"params\":{{{params}}}}}\n\n");
        let (out, summary) = stream(modern("subscriptions/listen"), &event);
        assert!(out.is_empty() || out == event);
        let summary = summary.unwrap();
        assert!(!summary.answered, "no answer is due to a notification");
        (out.is_empty(), summary.refused_count, summary.dropped)
    };
    assert_eq!(told(r#""taskId":"1","status":"working""#), (false, 0, 0));
    assert_eq!(told(r#""taskId":"1","result":{"content":[]}"#), (false, 0, 0));
    assert_eq!(told(inputs), (true, 1, 0));
    assert_eq!(told(&format!(r#""result":{{{inputs}}}"#)), (true, 1, 0));
    assert_eq!(told(r#""inputRequests":{},"InputRequests":{}"#), (true, 0, 1));
}

#[test]
fn d9_an_elicitation_in_the_form_of_an_error_is_one_however_its_code_is_spelled() {
    for code in ["-32042", "-32042.0", "-3.2042e4", "-320420e-1"] {
        let error = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"message":"","code":{code},"data":{{}}}}}}"#);
        let (out, summary) = body(legacy("tools/call"), &error);
        assert!(out.contains("-32601"), "{out}");
        assert_eq!(summary.unwrap().refused_count, 1, "{code}");
    }
}
