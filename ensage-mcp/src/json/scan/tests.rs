//! Tables, JSONTestSuite, and two other readers as second opinions: `parse` of this crate, and serde_json.

use proptest::prelude::*;

use super::*;
use crate::json::tests::{json_like, shared_data};
use crate::json::{Known, Limits, Object, What, parse};

mod expected;
mod told;

/// What was told, each as one line; the bytes of a value are put together.
type Told = Vec<String>;

fn tell(told: &mut Told, found: &Found<'_>) {
    let Found { tag, span, what } = found;
    let What::Bytes(bytes) = what else {
        told.push(format!("{tag} {span:?} {what:?}"));
        return;
    };
    assert_eq!(usize::try_from(span.end - span.start).unwrap(), bytes.len());
    let open = format!("{tag} bytes ");
    let more: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match told.last_mut() {
        Some(last) if last.starts_with(&open) => last.push_str(&more),
        _ => told.push(open + &more),
    }
}

/// Scans the document, cut at these places.
fn scan_cut(want: &'static Want, limits: ScanLimits, bytes: &[u8], cuts: &[usize]) -> (Told, Result<(), JsonError>) {
    let mut scanner = Scanner::new(want, limits);
    let mut told = Told::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        if let Err(error) = scanner.feed(&bytes[from..to], |found| tell(&mut told, &found)) {
            assert_eq!(scanner.feed(b"", |_| {}), Err(error));
            assert_eq!(scanner.finish(|_| {}), Err(error));
            told.retain(|line| !line.contains(" bytes "));
            return (told, Err(error));
        }
        from = to;
    }
    let end = scanner.finish(|found| tell(&mut told, &found));
    if end.is_err() {
        told.retain(|line| !line.contains(" bytes "));
    }
    (told, end)
}

fn scan(want: &'static Want, bytes: &[u8]) -> (Told, Result<(), JsonError>) {
    scan_cut(want, ScanLimits::default(), bytes, &[])
}

static NOTHING: Want = Want::NOTHING;
static BYTES: Want = Want::bytes(1);

/// Something of each kind, at places that the random documents have.
static ROOT: Want = Want::object(1, &OUTER).or_each(&ROOT);
static OUTER: Object = Object::new(&[
    Known::new("a", Want::value(2)),
    Known::new("b", Want::span(3)),
    Known::new("c", Want::bytes(4)),
    Known::new("name", Want::object(8, &INNER).or_each(&ELEMENT)),
    Known::new("aa", Want::object(5, &OUTER).or_each(&ELEMENT)),
    Known::unread("A"),
])
.telling_twins();
static INNER: Object = Object::new(&[Known::new("a", Want::value(9))]).others(&OTHER);
static OTHER: Want = Want::object(6, &OUTER);
static ELEMENT: Want = Want::value(7).or_each(&ROOT);

/// The verdict is that of `parse`, which looks at UTF-8, and for the end of a string, before anything else.
fn agrees_with_parse(bytes: &[u8]) {
    let (_, found) = scan(&NOTHING, bytes);
    let expected = parse(bytes, &Limits::default()).map(|_| ());
    match (found, expected) {
        (Err(_), Err(JsonError::Utf8 { .. } | JsonError::End { .. })) | (Err(JsonError::Bom { .. }), Err(_)) => {}
        (found, expected) => assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn what_parse_reads_is_read_and_nothing_else() {
    for text in [
        "null",
        " true\n",
        "false ",
        "0",
        "-0",
        "12",
        "-1.5e+10",
        "1E400",
        "1e-400",
        "\"\"",
        "\"a\\u0000\"",
        "[]",
        "{}",
        "[1,2]",
        "[1,]",
        "[,]",
        "{\"a\":1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "[1:2]",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "",
        "  ",
        "1 2",
        "{}x",
        "tru",
        "truE",
        "nul",
        "nulll",
        "[tru]",
        "-",
        "01",
        "1.",
        "1.e1",
        "1e",
        "1e+",
        "--1",
        "+1",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\ud83d\\ude00\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"abc",
        "\"abc\\",
        "\"abc\\u",
        "[\"a\":1]",
        "[\"a\"\"b\"]",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "[[[[]]]]",
        "[{}]",
        "]",
        "}",
        ":",
        ",",
        "{\"a\" : [ 1 , { } ] }",
        "nan",
        "[1]]",
    ] {
        agrees_with_parse(text.as_bytes());
    }
    let nines = "9".repeat(400);
    for number in [format!("0.{}1", "0".repeat(400)), format!("{nines}e-300"), nines] {
        agrees_with_parse(number.as_bytes());
    }
    // Longer than any reader needs.
    let endless = format!("[0.{}1]", "0".repeat(2000));
    assert_eq!(scan(&NOTHING, endless.as_bytes()).1, Err(JsonError::Number { offset: 1 }));
}

/// Whatever tokens stand next to one another, the fast way takes them for what `parse` takes them for.
#[test]
fn every_few_tokens_in_a_long_document() {
    const TOKENS: [&str; 9] = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", " "];
    for (before, behind) in [("[0,", ",0]"), ("{\"k\":0,", ",\"l\":0}"), ("[", "]"), ("{", "}"), ("{\"k\":", "}")] {
        for code in 0..TOKENS.len().pow(4) {
            let (mut middle, mut rest) = (String::new(), code);
            while rest > 0 {
                middle.push_str(TOKENS[rest % TOKENS.len()]);
                rest /= TOKENS.len();
            }
            let text = format!("[{}{before}{middle}{behind},[{}]]", "7,".repeat(9), "8,".repeat(30) + "8");
            let found = scan(&NOTHING, text.as_bytes()).1;
            assert_eq!(found, parse(text.as_bytes(), &Limits::default()).map(|_| ()), "{text}");
        }
    }
}

#[test]
fn c4_c5_bad_text_is_refused_where_it_is() {
    let check = |bytes: &[u8], expected: JsonError| {
        for size in 1..=bytes.len() {
            let cuts: Vec<_> = (0..bytes.len()).step_by(size).skip(1).collect();
            let found = scan_cut(&ROOT, ScanLimits::default(), bytes, &cuts).1;
            assert_eq!(found, Err(expected), "{} by {size}", String::from_utf8_lossy(bytes));
        }
    };
    check(b"\xEF\xBB\xBF{}", JsonError::Bom { offset: 0 });
    check(b"\xEF\xBB", JsonError::Bom { offset: 0 });
    check(b"\xEF\xBF]", JsonError::Bom { offset: 0 });
    check(b"\"a\xC0\xAF\"", JsonError::Utf8 { offset: 2 });
    check(b"[\"\xED\xA0\x80\"]", JsonError::Utf8 { offset: 2 });
    check(b"[\"\xF0\x9F\x98\"]", JsonError::Utf8 { offset: 2 });
    check(b"[\"\xF0\x9F\x98", JsonError::Utf8 { offset: 2 });
    check(b"[\"\\\xFF\"]", JsonError::Syntax { offset: 3 });
    check(b"[\xFF]", JsonError::Syntax { offset: 1 });
    check(b"[\"\n\xFF\"]", JsonError::Syntax { offset: 2 });
    check(b"[\"\xFF\n\"]", JsonError::Utf8 { offset: 2 });
    check(b"[1]\xC3", JsonError::Trailing { offset: 3 });
}

#[test]
fn c7_depth_members_names_and_lengths_are_bounded() {
    let limits = ScanLimits::default();
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for want in [&NOTHING, &ROOT, &BYTES] {
        let verdict = |limits: ScanLimits, text: &str| scan_cut(want, limits, text.as_bytes(), &[]).1;
        assert_eq!(verdict(limits, &nested(64)), Ok(()));
        assert_eq!(verdict(limits, &nested(65)), Err(JsonError::Depth { offset: 64 }));
        assert_eq!(verdict(limits.with_depth(9999), &"[".repeat(1_000_000)), Err(JsonError::Depth { offset: 64 }));
        assert_eq!(verdict(limits.with_depth(2), "[[[]]]"), Err(JsonError::Depth { offset: 2 }));
        assert_eq!(verdict(limits.with_members(3), "[1,{\"a\":2}]"), Ok(()));
        assert_eq!(verdict(limits.with_members(3), "[1,{\"a\":2},3]"), Err(JsonError::Members { offset: 11 }));
        let many = format!("[{}]", vec!["[{\"a\":1},2]"; 100].join(","));
        assert_eq!(verdict(limits.with_members(400), &many), Ok(()));
        assert_eq!(verdict(limits.with_members(399), &many), Err(JsonError::Members { offset: 1198 }));
    }
    let long = format!("{{\"{}\":1}}", "x".repeat(2049));
    assert_eq!(scan(&ROOT, long.as_bytes()).1, Err(JsonError::Length { offset: 1 }));
    assert_eq!(scan(&NOTHING, long.as_bytes()).1, Ok(()));
    assert_eq!(scan(&ROOT, long.replacen('x', "", 1).as_bytes()).1, Ok(()));
    let names =
        |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
    assert_eq!(scan(&ROOT, names(128).as_bytes()).1, Ok(()));
    assert!(matches!(scan(&ROOT, names(129).as_bytes()).1, Err(JsonError::Members { .. })));
    let texts = format!("{{\"a\":\"{}\"}}", "x".repeat(2049));
    assert!(scan(&ROOT, texts.as_bytes()).0.contains(&"2 5..2056 LongText".to_owned()));
}

#[test]
fn json_test_suite_is_classified() {
    /// As for `parse`: numbers that a double holds, though inexactly or as zero.
    const READ: [&str; 5] = [
        "i_number_double_huge_neg_exp.json",
        "i_number_real_underflow.json",
        "i_number_too_big_neg_int.json",
        "i_number_too_big_pos_int.json",
        "i_number_very_big_negative_int.json",
    ];
    let Some(folder) = shared_data("json/test_parsing") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let accepted = name.starts_with("y_") || READ.contains(&name.as_str());
        assert!(["y_", "n_", "i_"].contains(&&name[..2]), "{name}");
        assert_eq!(scan(&NOTHING, &bytes).1.is_ok(), accepted, "{name}");
        // The same behind and before so much else that the fast way is taken, and in pieces.
        for room in [70, 200] {
            let padded =
                [format!("[{}", "1,".repeat(room)).as_bytes(), &bytes, ",1".repeat(room).as_bytes(), b"]"].concat();
            let whole = scan(&NOTHING, &padded).1;
            // Too deep by one, or two values that the commas make a list of: what `parse` says of it.
            assert_eq!(whole.is_ok(), parse(&padded, &Limits::default()).is_ok(), "{name}");
            if accepted {
                assert_eq!(whole, Ok(()), "{name}");
            }
        }
        agrees_with_parse(&bytes);
        let cuts: Vec<_> = (1..bytes.len().min(3000)).collect();
        assert_eq!(scan_cut(&ROOT, ScanLimits::default(), &bytes, &cuts), scan(&ROOT, &bytes), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 318);
}

/// Documents long enough that the fast way is taken within them.
fn long_json() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-cA-C]{1,2}", Just("name".to_owned()), "[a-z]{0,70}", "[a-z\\\\\\\\]{0,3}"];
    let text = prop_oneof!["[a-z ]{0,200}", "[a-z\"\\\\]{0,20}", "(\\\\n|é|[a-z]){0,60}", "(\\\\u[0-9a-f]{4}| ){0,6}"];
    let value = prop_oneof![
        json_like(),
        "-?[0-9.eE+-]{0,8}",
        "(true|false|null|nul|0|1|12|-1.5|1e5|1E+2|-0|00|1.|1e999|0.25e-3)",
        text.prop_map(|text| format!("\"{text}\"")),
    ];
    let space = prop_oneof![Just(""), Just(""), Just(""), Just(" "), Just("\n    "), Just("\t")];
    let member = (name, value.clone(), space.clone()).prop_map(|(n, v, s)| format!("{s}\"{n}\"{s}:{s}{v}{s}"));
    let object = prop::collection::vec(member, 0..12).prop_map(|all| format!("{{{}}}", all.join(",")));
    let array = (prop::collection::vec(prop_oneof![value, object.clone()], 0..12), space)
        .prop_map(|(all, s)| format!("[{s}{}{s}]", all.join(",")));
    prop::collection::vec(("[abc]|name|aa|[a-z]{1,9}", prop_oneof![object, array]), 1..5).prop_map(|all| {
        let members: Vec<_> = all.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Everything that must hold of any bytes, cut at these places.
fn holds(bytes: &[u8], cuts: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    agrees_with_parse(bytes);
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    for want in [&ROOT, &BYTES, &NOTHING] {
        let whole = scan(want, bytes);
        prop_assert_eq!(&scan_cut(want, ScanLimits::default(), bytes, &cuts), &whole);
        if whole.1.is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
            let node = parse(bytes, &Limits::default()).unwrap();
            prop_assert_eq!(whole.0, expected::expected(want, &node, bytes));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_document_is_told_as_it_is_however_it_is_cut(
        text in long_json(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        holds(text.as_bytes(), &cuts)?;
    }

    #[test]
    fn damaged_documents_too(
        text in long_json(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        at in any::<prop::sample::Index>(), byte in prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]:,\"\\ 0-.eE+tfn\n"[..])],
        cut: bool,
    ) {
        let mut bytes = text.into_bytes();
        let index = at.index(bytes.len());
        if cut { bytes.truncate(index) } else { bytes[index] = byte }
        holds(&bytes, &cuts)?;
    }

    #[test]
    fn short_documents_too(text in json_like(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        holds(text.as_bytes(), &cuts)?;
    }

    #[test]
    fn any_bytes_too(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]:,\"\\ 0a"[..])], 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        holds(&bytes, &cuts)?;
    }
}
