//! The standard's own examples, every way to end a line, and every way to cut a stream.

use proptest::prelude::*;

use super::*;

/// An event without what it borrows; a tail has been joined to what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    raw: Vec<u8>,
    name: String,
    data: Option<Vec<u8>>,
    id: Option<String>,
    retry: Option<u64>,
}

fn decode(chunks: &[&[u8]]) -> Vec<Seen> {
    let mut decoder = Decoder::new(Limits::default());
    let mut all: Vec<Seen> = Vec::new();
    let mut total = Vec::new();
    for chunk in chunks {
        let each = |event: Event<'_>| match event.part {
            Part::Tail => all.last_mut().unwrap().raw.extend_from_slice(event.raw),
            Part::Whole => all.push(Seen {
                raw: event.raw.to_vec(),
                name: String::from_utf8(event.name.to_vec()).unwrap(),
                data: event.data.map(<[u8]>::to_vec),
                id: event.id.map(|id| id.to_string()),
                retry: event.retry,
            }),
        };
        decoder.feed(chunk, each).unwrap();
    }
    total.extend(all.iter().flat_map(|event| event.raw.iter().copied()));
    total.extend_from_slice(decoder.unterminated());
    assert_eq!(total, chunks.concat(), "no byte is lost or made");
    all
}

fn data_of(stream: &[u8]) -> Vec<Vec<u8>> {
    decode(&[stream]).into_iter().filter_map(|event| event.data).collect()
}

#[test]
fn c18_events_are_read_as_the_standard_says() {
    let check = |stream: &str, expected: &[&str]| {
        let expected: Vec<_> = expected.iter().map(|data| data.as_bytes().to_vec()).collect();
        assert_eq!(data_of(stream.as_bytes()), expected, "{stream:?}");
        // The same with every line end, and with CR LF cut in two.
        for ending in ["\r", "\r\n"] {
            assert_eq!(data_of(stream.replace('\n', ending).as_bytes()), expected, "{stream:?} {ending:?}");
        }
        let crlf = stream.replace('\n', "\r\n");
        let bytes: Vec<_> = crlf.as_bytes().chunks(1).collect();
        let cut: Vec<_> = decode(&bytes).into_iter().filter_map(|event| event.data).collect();
        assert_eq!(cut, expected, "{stream:?} by bytes");
    };
    check("data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]);
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &["first event", "second event", " third event"],
    );
    check("data\n\ndata\ndata\n\ndata:", &["", "\n"]);
    check("data:test\n\ndata: test\n\n", &["test", "test"]);
    check("\u{feff}data: a\n\n", &["a"]);
    check("\u{feff}\u{feff}data: a\n\n", &[]);
    check("data: a\n\n\u{feff}data: b\n\n", &["a"]);
    check("Data: a\ndata : b\n data: c\n\n", &[]);
    check("data: a", &[]);
    check("data: a\n", &[]);
    check("event: x\n\ndata: a\n\n", &["a"]);
    check("data: {\"a\":\n: note\ndata: 1}\n\n", &["{\"a\":\n1}"]);
    check("data: ä:é 😀\n\n", &["ä:é 😀"]);
}

#[test]
fn fields_are_read() {
    let [first, second] =
        &decode(&[b"id: 0/3\nretry: 3000\ndata:\n\nevent: message\nid: a\0\nretry: -1\ndata: x\n\n"])[..]
    else {
        panic!("two events");
    };
    assert_eq!(
        (first.name.as_str(), first.data.as_deref(), first.id.as_deref(), first.retry),
        ("", Some(&b""[..]), Some("0/3"), Some(3000)),
    );
    assert_eq!(
        (second.name.as_str(), second.data.as_deref(), second.id.as_deref(), second.retry),
        ("message", Some(&b"x"[..]), None, None),
    );
}

#[test]
fn an_event_is_given_out_with_its_last_byte() {
    for stream in [&b"data: x\n\n"[..], b"data: x\r\r", b": keep-alive\n"] {
        let mut decoder = Decoder::new(Limits::default());
        let mut count = 0;
        decoder.feed(stream, |_| count += 1).unwrap();
        assert_eq!((count, decoder.unterminated()), (1, &b""[..]));
    }
}

#[test]
fn c18_an_event_has_a_limit_and_comments_do_not_fill_it() {
    let mut decoder = Decoder::new(Limits::new(10));
    for _ in 0..1000 {
        decoder.feed(b": ping\n", |_| ()).unwrap();
    }
    decoder.feed(b"data: 12\n\n", |_| ()).unwrap();
    let too_long = Err(SseError::TooLong { limit: 10 });
    assert_eq!(decoder.feed(b"data: 123\n\n", |_| ()), too_long);
    assert_eq!(decoder.feed(b"data: 1\n\n", |_| panic!("given up")), too_long);

    let mut decoder = Decoder::new(Limits::new(1 << 10));
    let fed = (0..).map(|_| decoder.feed(b"xxxxxxxxxxxxxxxx", |_| ())).take_while(Result::is_ok).count();
    assert_eq!(fed, 64);
}

#[test]
fn other_data_leaves_the_other_lines() {
    let check = |stream: &str, data: &str, expected: &str| {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(stream.as_bytes(), |event| event.write_with_data(data.as_bytes(), &mut out)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    check("data: a\n\n", "b", "data: b\n\n");
    check("id: 1\r\ndata:a\r\nevent: e\r\ndata:c\r\n\r\n", "b\nd", "id: 1\r\ndata: b\r\ndata: d\r\nevent: e\r\n\r\n");
    check("\u{feff}data\n\r", "b", "\u{feff}data: b\n\r\n");
    check("data: a\rid: 1\rdata: b\n\n", "c", "id: 1\ndata: c\n\n");
    check("data: a\n: note\n\n", "", "data: \n: note\n\n");
}

#[test]
fn c18_what_is_written_has_no_lines_that_another_reader_finds() {
    let check = |stream: &str, expected: &str| {
        // Behind another event a whole one is read where it is.
        let behind = !stream.starts_with('\u{feff}');
        let mut out = Vec::new();
        let mut decoder = Decoder::new(Limits::default());
        let each = |event: Event<'_>| {
            if event.part == Part::Whole {
                event.write(&mut out);
            }
        };
        decoder.feed(format!(": x\n{stream}").as_bytes(), each).unwrap();
        if behind {
            assert_eq!(String::from_utf8(out).unwrap(), format!(": x\n{expected}"), "{stream:?} behind another");
        }
        for size in [1, 2, 3, stream.len()] {
            let mut out = Vec::new();
            let mut decoder = Decoder::new(Limits::default());
            for chunk in stream.as_bytes().chunks(size) {
                let each = |event: Event<'_>| {
                    if event.part == Part::Whole {
                        event.write(&mut out)
                    }
                };
                decoder.feed(chunk, each).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{stream:?} by {size}");
        }
    };
    for same in [
        "id: 1\nevent: e\nretry: 5\n: note\ndata: a\ndata:b\r\n\n",
        "\u{feff}data: a\r\n\r\n",
        "\u{feff}: hi\n\n\r\n",
        "data: \u{2028}\n\n",
    ] {
        check(same, same);
    }
    check("data: a\r\rdata: b\r\r", "data: a\n\ndata: b\n\n");
    check("data: 1\r,2\ndata: 3\n\n", "data: 1\ndata: 3\n\n");
    check("data: 1\n,2\ndata: 3\n\n", "data: 1\ndata: 3\n\n");
    check(": a\u{2028}data: x\n\n", "\n");
    check("id: a\u{85}data: x\nretry: 5\ndata: 1\n\n", "retry: 5\ndata: 1\n\n");
    check("id\nx\ndata\n\n", "id\ndata: \n\n");
    // At the start of what is left of a stream, a mark would not be ignored.
    check(": a\n\u{feff}data: x\n\n", ": a\n");
    check("x: y\n\n", "");
}

#[test]
fn what_is_encoded_is_decoded() {
    for (name, data) in [("", "x"), ("message", "{\n}"), ("a\ndata: evil", "\n\n"), ("", "")] {
        let mut out = Vec::new();
        encode(name, data.as_bytes(), &mut out);
        let [event] = &decode(&[&out])[..] else { panic!("one event") };
        assert_eq!(event.data.as_deref(), Some(data.as_bytes()));
        assert_eq!(event.name, name.split('\n').next().unwrap());
    }
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        stream in "(\u{feff}|)((data|id|event|retry|x|):? ?[a-z0-9é]{0,3}|:|)((\r|\n|\r\n)(data: ?|data|: ?|id: ?|)[a-z{}é]{0,3}){0,30}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = stream.as_bytes();
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<_> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&chunks), decode(&[bytes]));
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single), decode(&[bytes]));
    }

    #[test]
    fn any_bytes_never_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
        let mut decoder = Decoder::new(Limits::new(64));
        for chunk in &chunks {
            let _ = decoder.feed(chunk, |event| event.write_with_data(b"x", &mut Vec::new()));
        }
    }
}
