//! Strict JSON: no panic, never more than serde_json accepts, the same value, spans that read as the same value; the scanner
//! says what the tree reader says, however the document is cut.
#![no_main]

use std::ops::Range;

use ensage_mcp::json::{Found, JsonError, Known, Limits, Node, Object, ScanLimits, Scanner, Value, Want, What, parse};
use libfuzzer_sys::fuzz_target;

// The last byte says how the document is cut.
fuzz_target!(|data: &[u8]| {
    let size = usize::from(data.last().copied().unwrap_or_default());
    scanned(data, size);
    let Ok(node) = parse(data, &Limits::default()) else { return };
    let second: serde_json::Value = serde_json::from_slice(data).expect("what is read here is read there");
    assert_eq!(as_serde(&node), second);
    each(&node, data);
});

static NOTHING: Want = Want::NOTHING;
static ROOT: Want = Want::object(1, &OUTER).or_each(&ROOT);
static OUTER: Object = Object::new(&[
    Known::new("a", Want::value(2)),
    Known::new("b", Want::span(3)),
    Known::new("c", Want::bytes(4)),
    Known::new("params", Want::object(5, &OUTER).or_each(&ROOT)),
])
.others(&ROOT)
.telling_twins();

fn scanned(data: &[u8], size: usize) {
    let verdict = scan(&NOTHING, data, data.len(), &mut |_| {});
    match (verdict, parse(data, &Limits::default()).map(|_| ())) {
        // The tree reader looks at these first.
        (Err(_), Err(JsonError::Utf8 { .. } | JsonError::End { .. })) | (Err(JsonError::Bom { .. }), Err(_)) => {}
        (found, expected) => assert_eq!(found, expected),
    }
    for want in [&NOTHING, &ROOT] {
        let (mut whole, mut parts) = (Told::new(data), Told::new(data));
        let ends = scan(want, data, data.len(), &mut |found| whole.note(found));
        assert_eq!(scan(want, data, size, &mut |found| parts.note(found)), ends);
        assert_eq!(whole.told, parts.told);
        if ends.is_ok() {
            assert_eq!(whole.bytes, parts.bytes);
        }
    }
}

fn scan(want: &'static Want, data: &[u8], size: usize, told: &mut dyn FnMut(&Found<'_>)) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(want, ScanLimits::default().with_members(1 << 18));
    for chunk in data.chunks(size.max(1)) {
        scanner.feed(chunk, |found| told(&found))?;
    }
    scanner.finish(|found| told(&found))
}

/// What was told, but for bytes as text, and those put together.
struct Told<'d> {
    data: &'d [u8],
    told: Vec<(u16, Range<u64>, String)>,
    bytes: Vec<u8>,
}

impl<'d> Told<'d> {
    fn new(data: &'d [u8]) -> Self {
        Self { data, told: Vec::new(), bytes: Vec::new() }
    }

    fn note(&mut self, found: &Found<'_>) {
        let place = usize::try_from(found.span.start).unwrap()..usize::try_from(found.span.end).unwrap();
        match found.what {
            What::Bytes(bytes) => {
                assert_eq!(self.data.get(place), Some(bytes));
                return self.bytes.extend_from_slice(bytes);
            }
            What::Text { text, .. } | What::Name(text) => {
                assert_eq!(serde_json::from_slice::<String>(&self.data[place]).expect("a string"), text);
            }
            What::Number(text) => assert_eq!(&self.data[place], text.as_bytes()),
            _ => {}
        }
        self.told.push((found.tag, found.span.clone(), format!("{:?}", found.what)));
    }
}

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
