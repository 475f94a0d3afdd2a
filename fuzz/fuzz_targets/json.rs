//! Strict JSON: no panic, never more than serde_json accepts, the same value, spans that read as the same value.
#![no_main]

use ensage_mcp::json::{Limits, Node, Value, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(node) = parse(data, &Limits::default()) else { return };
    let second: serde_json::Value = serde_json::from_slice(data).expect("what is read here is read there");
    assert_eq!(as_serde(&node), second);
    each(&node, data);
});

/// The last of several equal members counts, as there.
fn as_serde(node: &Node<'_>) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(text) => serde_json::from_str(text).expect("a finite number"),
        Value::String(text) => text.as_ref().into(),
        Value::Array(elements) => elements.iter().map(as_serde).collect(),
        Value::Object(members) => {
            serde_json::Value::Object(members.iter().map(|m| (m.key.to_string(), as_serde(&m.node))).collect())
        }
    }
}

fn each(node: &Node<'_>, data: &[u8]) {
    let alone = parse(node.bytes_in(data), &Limits::default()).expect("a value by itself is one too");
    assert_eq!(as_serde(&alone), as_serde(node));
    let _ = node.interpreted(&["name", "params"]);
    node.as_array().into_iter().flatten().for_each(|element| shallow(element, data));
    node.as_object().into_iter().flatten().for_each(|member| shallow(&member.node, data));
}

/// Without reading every level again at every level.
fn shallow(node: &Node<'_>, data: &[u8]) {
    assert!(parse(node.bytes_in(data), &Limits::default()).is_ok());
    let _ = node.interpreted(&["name", "params"]);
}
