//! Random lists under random cuts.

use super::*;

/// A tool whose name may be escaped, as text and with its decoded name.
fn tool() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![Just("cron"), Just("ls"), Just("cro"), Just("cronn"), Just("é\"\\")];
    (name, prop::collection::vec(any::<bool>(), 8), " {0,2}", "[a-z,\\[\\]{}]{0,6}").prop_map(
        |(name, escaped, space, text)| {
            let escape = |(c, escaped): (char, &bool)| match c {
                '"' | '\\' => format!("\\{c}"),
                c if *escaped => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            };
            let spelled: String = name.chars().zip(&escaped).map(escape).collect();
            let object = format!(r#"{{{space}"description":"{text}","name"{space}:"{spelled}","inputSchema":{{}}}}"#);
            (object, name.to_owned())
        },
    )
}

fn list() -> impl Strategy<Value = (String, Vec<String>)> {
    (prop::collection::vec(tool(), 0..8), prop_oneof![Just(","), Just(" ,\t"), Just(", ")]).prop_map(
        |(tools, comma)| {
            let (objects, names): (Vec<_>, Vec<_>) = tools.into_iter().unzip();
            (result(&format!(r#""_meta":{{"n":1.50}},"tools":[{}],"nextCursor":"x""#, objects.join(comma))), names)
        },
    )
}

fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn d2_no_hidden_tool_is_left_and_all_else_is((text, names) in list()) {
        let (out, summary) = body(legacy("tools/list"), &text);
        let mut expected: Value = serde_json::from_str(&text).unwrap();
        let kept: Vec<_> = expected["result"]["tools"].as_array().unwrap().iter().filter(|tool| tool["name"] != "cron").cloned().collect();
        let (hidden, count) = (names.len() - kept.len(), kept.len());
        expected["result"]["tools"] = json!(kept);
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
        let summary = summary.unwrap();
        prop_assert_eq!((summary.hidden, summary.kept), (hidden, count));
        if hidden == 0 {
            prop_assert_eq!(out, text);
        }
    }

    #[test]
    fn chunks_make_no_difference(
        (text, _) in list(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ending in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
        order in 0..4_usize,
    ) {
        let line = |data: &str| format!("id: 1\ndata: {data}\n\n");
        let ping = line(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        let roots = line(r#"{"jsonrpc":"2.0","id":2,"method":"roots/list"}"#);
        // One event in two lines, as white space between values.
        let answer = line(&text).replace(",\"tools\"", ",\ndata:\"tools\"");
        let events = [[&ping, &roots, &answer], [&roots, &answer, &ping], [&answer, &answer, &roots], [&roots, &roots, &answer]];
        let all = format!("\u{feff}: x\n\n{}", events[order].map(String::as_str).concat()).replace('\n', ending);
        let run_sse = |chunks: &[&[u8]]| run(ResponseFilter::sse(legacy("tools/list"), not_cron, HOLD), chunks);
        let whole = run_sse(&[all.as_bytes()]);
        prop_assert!(!whole.0.contains("roots"));
        prop_assert_eq!(&run_sse(&cut(all.as_bytes(), &at)), &whole);
        prop_assert_eq!(&run_sse(&all.as_bytes().chunks(1).collect::<Vec<_>>()), &whole);
        let run_json = |chunks: &[&[u8]]| run(ResponseFilter::json(legacy("tools/list"), not_cron, HOLD), chunks);
        prop_assert_eq!(run_json(&cut(text.as_bytes(), &at)), run_json(&[text.as_bytes()]));
    }

    #[test]
    fn damaged_answers_never_panic_nor_leak(
        (text, _) in list(), at in any::<prop::sample::Index>(), byte in any::<u8>(), sse in any::<bool>(),
    ) {
        let mut bytes = if sse { format!("data: {text}\n\n") } else { text }.into_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let ask = legacy("tools/list");
        let mut filter = if sse { ResponseFilter::sse(ask, not_cron, HOLD) } else { ResponseFilter::json(ask, not_cron, HOLD) };
        let mut out = Vec::new();
        let _ = filter.feed(&bytes, &mut out).and_then(|()| filter.finish(&mut out).map(|_| ()));
        // What a lax reader finds in what came out.
        let out = String::from_utf8_lossy(&out).into_owned();
        let data = out.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or(&out).to_owned();
        if let Ok(Value::Object(message)) = serde_json::from_str::<Value>(&data) {
            let tools = message.get("result").and_then(|result| result["tools"].as_array().cloned());
            prop_assert!(tools.into_iter().flatten().all(|tool| tool["name"] != "cron"), "{}", out);
        }
    }
}
