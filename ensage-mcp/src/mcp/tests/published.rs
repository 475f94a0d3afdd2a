//! The schemas and examples that the specification publishes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::json::tests::shared_data;

/// All `const` values of `method` members.
fn methods_of(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(name)) = schema.pointer("/properties/method/const") {
                found.insert(name.clone());
            }
            members.values().for_each(|value| methods_of(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| methods_of(value, found)),
        _ => {}
    }
}

#[test]
fn every_method_of_every_schema_is_known() {
    let Some(folder) = shared_data("mcp") else { return };
    for revision in Revision::ALL {
        let path = folder.join(revision.as_str()).join("schema.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut names = BTreeSet::new();
        methods_of(&schema, &mut names);
        assert!(names.len() > 15, "{revision:?} {names:?}");
        for name in names {
            let method = Method::parse(&name);
            // A modern server asks inside its results only.
            let asked = revision.is_modern()
                && matches!(method, Method::SamplingCreateMessage | Method::ElicitationCreate | Method::RootsList);
            let sent = [Sender::Client, Sender::Server].map(|side| method.is_sent_by(side, revision));
            assert_eq!(sent.contains(&true), !asked, "{name} in {revision:?}");
            let notification = name.starts_with("notifications/");
            assert_eq!(method.kind() == Some(Kind::Notification), notification, "{name}");
            assert_eq!(method.name(), name);
        }
    }
}

#[test]
fn every_example_of_a_client_is_read() {
    let Some(folder) = shared_data("mcp/2026-07-28/examples") else { return };
    let mut seen = 0;
    for kind in std::fs::read_dir(folder).unwrap() {
        let kind = kind.unwrap().path();
        for example in std::fs::read_dir(&kind).unwrap() {
            seen += usize::from(check_example(&example.unwrap().path()));
        }
    }
    assert!(seen >= 10, "{seen}");
}

/// True if it is a message that clients send.
fn check_example(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let Some(method) = value.get("method").and_then(Value::as_str) else { return false };
    if !Method::parse(method).is_sent_by(Sender::Client, Revision::V2026_07_28) || value.get("jsonrpc").is_none() {
        return false;
    }
    let param = |name: &str| value.pointer(&format!("/params/{name}")).and_then(Value::as_str);
    let name = match method {
        "tools/call" | "prompts/get" => param("name"),
        "resources/read" => param("uri"),
        _ => None,
    };
    let message = read(&text, &modern(method, name)).unwrap_or_else(|err| panic!("{}: {err:?}", path.display()));
    assert_eq!(message.method.name(), method);
    assert_eq!(message.tool.as_deref(), name.filter(|_| method == "tools/call"));
    assert!(message.is_known());
    true
}
