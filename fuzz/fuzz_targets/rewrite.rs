//! Lists of MCP servers rewritten: no panic, the same in any chunks, what is shown is all and nothing else, and showing
//! all changes nothing.
#![no_main]

use ensage_mcp::Revision;
use ensage_mcp::filter::{Ask, FilterError, Item, ResponseFilter, Summary};
use ensage_mcp::mcp::{BodyReader, Head};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Methods and the lists in their answers, with what an element is known by.
const ASKS: [(&str, &str, &str); 5] = [
    ("tools/list", "tools", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ("prompts/list", "prompts", "name"),
    ("initialize", "", ""),
];

// The first byte says how long the chunks are, the second what was asked, the third what may be held.
fuzz_target!(|data: &[u8]| {
    let Some((&[size, asked, hold], answer)) = data.split_first_chunk() else { return };
    let (method, list, key) = ASKS[usize::from(asked) % ASKS.len()];
    let hold = 16 << (hold % 12);
    let ask = ask(method);
    let shows = |item: &Item<'_>| item.name.len() % 2 == 0;
    let whole = run(&ask, shows, answer, answer.len().max(1), hold);
    let cut = run(&ask, shows, answer, usize::from(size).max(1), hold);
    match (&whole.1, &cut.1) {
        // Which of two troubles is met first depends on the chunks where one of them is that too much is held.
        (Err(FilterError::TooLong { .. }), Err(_)) | (Err(_), Err(FilterError::TooLong { .. })) => {}
        (whole, cut) => assert_eq!(whole, cut),
    }
    let Ok(summary) = whole.1 else {
        // What goes on of an answer that is refused is the start of none.
        assert!(serde_json::from_slice::<Value>(&cut.0).is_err() || cut.0.trim_ascii().is_empty());
        return;
    };
    assert_eq!(whole.0, cut.0);
    if answer.is_empty() || summary.error {
        return;
    }
    let before: Value = serde_json::from_slice(answer).expect("what is accepted is JSON");
    let after: Value = serde_json::from_slice(&whole.0).expect("what is written is JSON");
    if let Some(elements) = before["result"][list].as_array() {
        let shown = |element: &&Value| element[key].as_str().expect("a name").len() % 2 == 0;
        let expected: Vec<&Value> = elements.iter().filter(shown).collect();
        let got = after["result"][list].as_array().expect("a list");
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert_eq!(plain(got, list), plain(expected, list));
        }
        assert_eq!((summary.kept, summary.kept + summary.hidden), (got.len(), elements.len()));
    }
    let all = run(&ask, |_| true, answer, usize::from(size).max(1), hold);
    if all.1.is_ok_and(|summary| summary.stripped == 0) && !list.is_empty() {
        assert_eq!(all.0, answer);
    }
});

/// An element without what may be taken out of it.
fn plain(element: &Value, list: &str) -> Value {
    let mut element = element.clone();
    if let (Some(members), "tools") = (element.as_object_mut(), list) {
        members.remove("description");
    }
    element
}

fn run(
    ask: &Ask,
    shows: impl FnMut(&Item<'_>) -> bool,
    answer: &[u8],
    size: usize,
    hold: usize,
) -> (Vec<u8>, Result<Summary, FilterError>) {
    let mut filter = ResponseFilter::json(ask.clone(), shows, hold);
    let mut out = Vec::new();
    for chunk in answer.chunks(size) {
        if let Err(error) = filter.feed(chunk, &mut out) {
            return (out, Err(error));
        }
    }
    let summary = filter.finish(&mut out);
    (out, summary)
}

fn ask(method: &str) -> Ask {
    let mut reader = BodyReader::new(1 << 10);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"protocolVersion":"2025-11-25"}}}}"#);
    let _ = reader.feed(body.as_bytes());
    let negotiated = (method != "initialize").then_some(Revision::V2025_11_25);
    Ask::from(&reader.finish(&Head { negotiated, ..Head::default() }).expect("a message"))
}
