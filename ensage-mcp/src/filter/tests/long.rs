//! Answers that are longer than what is held of them.

use super::*;

type Plain = fn(&Item<'_>) -> bool;
const FIRST: usize = ResponseFilter::<Plain>::HELD_FIRST;
const HOLD: usize = 1 << 20;

/// A list of so many bytes and more, every second tool of it hidden, and what is left of it.
fn long(bytes: usize, tail: &str) -> (String, String) {
    let pad = "x".repeat(900);
    let (mut all, mut kept) = (Vec::new(), Vec::new());
    for at in 0..bytes / 1000 {
        let name = if at % 2 == 0 { format!("t{at}") } else { "cron".to_owned() };
        let tool = format!(r#"{{"description":"{pad}","name":"{name}"}}"#);
        kept.extend((at % 2 == 0).then(|| tool.clone()));
        all.push(tool);
    }
    let whole =
        |tools: Vec<String>| format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"tools":[{}]{tail}"#, tools.join(","));
    (whole(all), whole(kept))
}

/// What came out by the time it was over, and the most that was held on the way.
fn fed(text: &str, size: usize) -> (String, Result<Summary, FilterError>, usize) {
    let mut filter = ResponseFilter::json(legacy("tools/list"), not_cron, HOLD);
    let (mut out, mut most) = (Vec::new(), 0);
    for chunk in text.as_bytes().chunks(size) {
        let undecided = filter.is_undecided();
        let fed = filter.feed(chunk, &mut out);
        assert!(!undecided || filter.is_undecided() == out.is_empty() || fed.is_err());
        if let Err(error) = fed {
            return (String::from_utf8(out).unwrap(), Err(error), most);
        }
        most = most.max(filter.held());
    }
    let summary = filter.finish(&mut out);
    (String::from_utf8(out).unwrap(), summary, most)
}

#[test]
fn a_long_list_goes_on_as_it_comes_and_one_element_is_held() {
    let (text, expected) = long(2 << 20, "}}");
    for size in [1 << 10, 16 << 10, 1 << 20] {
        let (out, summary, most) = fed(&text, size);
        assert_eq!((summary.as_ref().unwrap().kept, summary.unwrap().hidden), (1049, 1048));
        assert!(out == expected, "every other byte is as it was sent");
        assert!(most < FIRST + 2048, "{most} bytes held");
    }
}

#[test]
fn a_short_list_leaves_no_trace_and_a_long_one_breaks_off() {
    let tails = [
        "}",
        "]",
        "}}}",
        "}} x",
        "},\"error\":{}}",
        ",\"tools\":[]}}",
        ",\"Tools\":[{\"name\":\"evil\"}]}}",
        "},\"method\":\"x\"}",
        "},\"Result\":{}}",
        ",\"inputRequests\":{\"a\":{\"method\":\"roots/list\"}}}}",
        ",\"nextCursor\":\"\\ud800\"}}",
    ];
    for tail in tails {
        let asks = tail.contains("inputRequests");
        let (short, _) = long(100_000, tail);
        let (out, refused, _) = fed(&short, 1000);
        if asks {
            assert!(refused.is_ok() && out.contains("-32601") && out.len() < 300, "{out}");
        } else {
            assert!(out.is_empty() && refused.is_err(), "{tail}");
        }
        let (text, _) = long(1 << 20, tail);
        let (out, refused, _) = fed(&text, 1000);
        assert!(refused.is_err(), "{tail}");
        assert_eq!(refused == Err(FilterError::TooLate), asks);
        assert!(out.len() > FIRST / 3 && !out.contains("cron") && !out.contains("evil"), "{tail}");
        // No reader takes it for whole: not as it is, and not with what a lax one would forgive.
        for lax in ["", " ", "\n"] {
            assert!(serde_json::from_str::<Value>(&format!("{out}{lax}")).is_err(), "{tail}");
        }
    }
    // What is no message at all has no part that goes on.
    let (out, refused, _) = fed(&"7".repeat(2 * FIRST), 1000);
    assert!(out.is_empty() && refused.is_err());
    // Another answer's id, known at the very end.
    let (text, _) = long(1 << 20, "}}");
    let late = format!("{},\"id\":8}}", text.strip_suffix('}').unwrap().replacen("\"id\":7,", "", 1));
    let (out, refused, _) = fed(&late, 999);
    assert_eq!(refused, Err(FilterError::WrongId));
    assert!(serde_json::from_str::<Value>(&out).is_err());
}

#[test]
fn a_long_result_of_a_tool_passes_byte_for_byte() {
    let text = result(&format!(r#""content":[{{"type":"text","text":"{}"}}]"#, "é\\n".repeat(1 << 18)));
    let mut filter = ResponseFilter::json(legacy("tools/call"), not_cron, 1 << 10);
    let (mut out, mut most) = (Vec::new(), 0);
    for chunk in text.as_bytes().chunks(10_007) {
        filter.feed(chunk, &mut out).unwrap();
        most = most.max(filter.held());
    }
    assert!(filter.finish(&mut out).unwrap().answered);
    assert!(out == text.as_bytes() && most <= 10_007, "{most}");
}

#[test]
fn what_must_be_held_has_a_limit_wherever_it_is() {
    let long = "x".repeat(2 * HOLD);
    for (ask, members) in [
        (legacy("tools/list"), format!(r#""tools":[{{"name":"a","x":"{long}"}}]"#)),
        (legacy("tools/list"), format!(r#""tools":[{{"name":"a"}}{}]"#, " ".repeat(2 * HOLD))),
        (legacy("initialize"), format!(r#""capabilities":{{"x":"{long}"}}"#)),
        (legacy("initialize"), format!(r#""capabilities":{{}},"instructions":"{long}""#)),
        (modern("tools/list"), format!(r#""tools":[],"cacheScope":"{long}""#)),
        (modern("tools/call"), format!(r#""inputRequests":{{"a":"{long}"}}"#)),
    ] {
        let text = result(&members);
        for size in [1000, 1 << 22] {
            let mut filter = ResponseFilter::json(ask.clone(), not_cron, HOLD);
            let mut out = Vec::new();
            let fed = text.as_bytes().chunks(size).try_for_each(|chunk| {
                assert!(filter.held() <= HOLD + (16 << 10));
                filter.feed(chunk, &mut out)
            });
            assert_eq!(fed, Err(FilterError::TooLong { limit: HOLD }), "{} by {size}", &members[..30]);
        }
    }
    let error = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":1,"message":"{long}"}}}}"#);
    assert_eq!(
        run(ResponseFilter::json(legacy("ping"), not_cron, HOLD), &[error.as_bytes()]).1,
        Err(FilterError::TooLong { limit: HOLD })
    );
}

/// The same list in an event of a stream, in chunks of this size.
fn streamed(text: &str, size: usize) -> (String, Result<Summary, FilterError>, usize) {
    let mut filter = ResponseFilter::sse(legacy("tools/list"), not_cron, HOLD);
    let (mut out, mut most) = (Vec::new(), 0);
    for chunk in text.as_bytes().chunks(size) {
        if let Err(error) = filter.feed(chunk, &mut out) {
            return (String::from_utf8(out).unwrap(), Err(error), most);
        }
        most = most.max(filter.held());
    }
    let summary = filter.finish(&mut out);
    (String::from_utf8(out).unwrap(), summary, most)
}

#[test]
fn a_long_event_goes_on_as_it_comes_and_one_element_is_held() {
    let event = |data: &str| format!(": hi\n\nid: 1\ndata: {data}\nevent: message\n\n: bye\n\n");
    let (text, expected) = long(2 << 20, "}}");
    for size in [1 << 10, 16 << 10, 1 << 20, 16 << 20] {
        let (out, summary, most) = streamed(&event(&text), size);
        let summary = summary.unwrap();
        assert_eq!((summary.kept, summary.hidden, summary.answered), (1049, 1048, true));
        assert!(out == event(&expected), "every other byte is as it was sent, by {size}");
        assert!(most <= FIRST, "{most} bytes held");
    }
    // What is not known to be the answer when it is asked is held, and changed all the same.
    let late =
        |list: &str| format!("data: {},\"id\":7}}\n\n", list.replacen("\"id\":7,", "", 1).strip_suffix('}').unwrap());
    let (text, expected) = long(700_000, "}}");
    let (out, summary, most) = streamed(&late(&text), 1000);
    assert!(out == late(&expected) && summary.unwrap().answered && most > FIRST);
    // An answer to another request is left out, however long.
    let (out, summary, _) = streamed(&format!("data: {}\n\n: x\n", text.replacen("\"id\":7", "\"id\":8", 1)), 1000);
    assert_eq!((out.as_str(), summary.unwrap().dropped), (": x\n", 1));
}

#[test]
fn a_long_event_that_turns_out_unreadable_never_ends() {
    for tail in [
        "}",
        "}}}",
        ",\"tools\":[{\"name\":\"evil\"}]}}",
        "},\"method\":\"x\"}",
        "}}\ndata: {}",
        ",\"inputRequests\":{\"a\":{\"method\":\"roots/list\"}}}}",
    ] {
        let (text, _) = long(1 << 20, tail);
        let stream = format!("data: {text}\n\ndata: {{}}\n\n");
        for size in [1000, 4 << 20] {
            let (out, refused, _) = streamed(&stream, size);
            assert!(refused.is_err(), "{tail}");
            assert!(out.len() > FIRST / 3 && !out.contains("cron") && !out.contains("evil"), "{tail}");
            // For a client there is no event: nothing ends it.
            assert!(!out.contains("\n\n"), "{tail}");
        }
    }
    // A short one is answered with an error.
    let (text, _) = long(100_000, ",\"tools\":[]}}");
    let (out, summary, _) = streamed(&format!("data: {text}\n\n"), 1000);
    assert!(out.contains("-32603") && summary.unwrap().error);
}

#[test]
fn lines_behind_the_data_of_a_long_event_are_those_that_every_reader_finds() {
    let (text, expected) = long(1 << 20, "}}");
    for ending in ["\n", "\r\n", "\r"] {
        let stream =
            format!("id: 1\ndata: {text}\n: c\u{2028}data: x\nid: 2\nx: y\n: plain\n\nid: 3\n\n").replace('\n', ending);
        let whole = streamed(&stream, stream.len());
        // With CR alone its first lines are odd, and it is held.
        assert!(
            whole.0.contains(&expected) && !whole.0.contains('\u{2028}') && whole.0.contains("id: 2"),
            "{ending:?}"
        );
        for size in [1, 997] {
            let cut = streamed(&stream, size);
            assert!(cut.0 == whole.0 && cut.1 == whole.1, "{ending:?} by {size}");
        }
    }
    let endless = format!("data: {text}\n: {}", "x".repeat(5000));
    assert_eq!(streamed(&endless, 1000).1, Err(FilterError::TooLong { limit: 4096 }));
}
