//! What is told of small documents, in full; and that duplicates and twins refuse them.

use super::*;

#[test]
fn each_kind_of_question_has_its_answer() {
    let check = |text: &str, expected: &[&str]| {
        let (told, end) = scan(&ROOT, text.as_bytes());
        assert_eq!((told, end), (expected.iter().map(|line| (*line).to_owned()).collect(), Ok(())), "{text}");
    };
    check("7 ", &["1 0..1 Number(\"7\")"]);
    check("7", &["1 0..1 Number(\"7\")"]);
    check(" \"a\\n\"", &["1 1..6 Text { text: \"a\\n\", raw: \"a\\\\n\" }"]);
    check(
        r#"{"x":[{"a":1}],"a":true,"b":"s","c":[1, 2]}"#,
        &[
            "1 0..1 Begin(Object)",
            "2 19..23 Bool(true)",
            "3 28..29 Begin(Text)",
            "3 28..31 End",
            "4 36..37 Begin(Array)",
            "4 bytes 5b312c20325d",
            "4 36..42 End",
            "1 0..43 End",
        ],
    );
    check(
        r#"{"name":{"a":null,"zé":{"b":0}},"a":{"a":1}}"#,
        &[
            "1 0..1 Begin(Object)",
            "8 8..9 Begin(Object)",
            "9 13..17 Null",
            "6 18..23 Name(\"zé\")",
            "6 24..25 Begin(Object)",
            "3 29..30 Begin(Number)",
            "3 29..30 End",
            "6 24..31 End",
            "8 8..32 End",
            "2 37..38 Begin(Object)",
            "2 37..44 End",
            "1 0..45 End",
        ],
    );
    check(
        r#"{"a":1,"a":2,"B":3}"#,
        &[
            "1 0..1 Begin(Object)",
            "2 5..6 Number(\"1\")",
            "1 7..10 Twin(Duplicate { offset: 7 })",
            "2 11..12 Number(\"2\")",
            "1 0..19 End",
        ],
    );
}

#[test]
fn no_byte_is_told_that_the_document_does_not_have() {
    for text in ["\"a", "[1,", "12", "{\"a\":\"b"] {
        let mut scanner = Scanner::new(&BYTES, ScanLimits::default());
        let mut told = Vec::new();
        let mut note = |found: Found<'_>| match found.what {
            What::Bytes(bytes) => told.extend_from_slice(bytes),
            What::End => assert_eq!(found.span, 0..text.len() as u64),
            _ => {}
        };
        scanner.feed(text.as_bytes(), &mut note).unwrap();
        assert_eq!(scanner.finish(&mut note).is_ok(), text == "12");
        assert_eq!(told, text.as_bytes());
    }
}

static STRICT: Want = Want::object(1, &CALL);
static CALL: Object = Object::new(&[
    Known::unread("jsonrpc"),
    Known::unread("id"),
    Known::unread("name"),
    Known::unread("params"),
    Known::unread("task"),
    Known::unread("protocolVersion"),
]);

#[test]
fn c1_c2_duplicates_and_twins_are_refused() {
    let check = |text: &str, expected: Result<(), JsonError>| {
        assert_eq!(scan(&STRICT, text.as_bytes()).1, expected, "{text}");
        // The same with so many other members that the table is used.
        let filler: String = (0..60).map(|n| format!(",\"x{n}\":0")).collect();
        let long = format!("{}{filler}}}", text.trim_end_matches('}'));
        assert_eq!(scan(&STRICT, long.as_bytes()).1, expected, "{long}");
        if let Some((first, second)) = text.trim_end_matches('}').rsplit_once(',') {
            let long = format!("{first}{filler},{second}}}");
            let moved = expected.map_err(|error| match error {
                JsonError::Duplicate { offset } => JsonError::Duplicate { offset: offset + filler.len() as u64 },
                JsonError::Twin { offset } => JsonError::Twin { offset: offset + filler.len() as u64 },
                other => other,
            });
            assert_eq!(scan(&STRICT, long.as_bytes()).1, moved, "{long}");
        }
    };
    let twin = |offset| Err(JsonError::Twin { offset });
    let duplicate = |offset| Err(JsonError::Duplicate { offset });
    check(r#"{"name":1,"params":2,"other":3}"#, Ok(()));
    check(r#"{"name":1,"name":1}"#, duplicate(10));
    check(r#"{"protocolVersion":1,"protocolVersion":1}"#, duplicate(21));
    check(r#"{"protocolVersioN":1}"#, twin(1));
    check(r#"{"protocolVersioX":1}"#, Ok(()));
    check(r#"{"other":1,"other":1}"#, duplicate(11));
    check(r#"{"name":1,"n\u0061me":1}"#, duplicate(10));
    check(r#"{"name":1,"Name":1}"#, twin(10));
    check(r#"{"NAME":1}"#, twin(1));
    check(r#"{"paramſ":1}"#, twin(1));
    check(r#"{"param\u017f":1}"#, twin(1));
    check("{\"tas\u{212a}\":1}", twin(1));
    check(r#"{"ıd":1}"#, twin(1));
    check(r#"{"İD":1}"#, twin(1));
    check(r#"{"straße":1,"STRASSE":2}"#, twin(13));
    check(r#"{"Other":1,"other":1}"#, twin(11));
    check(r#"{"é":1,"É":1}"#, twin(8));
    check(r#"{"é":1,"e":1,"namé":2}"#, Ok(()));
    // Of one object, not of two.
    check(r#"{"x":{"other":1,"Other":1},"other":2}"#, Ok(()));
}

#[test]
fn names_of_an_object_are_forgotten_with_it() {
    let objects: Vec<_> = (0..300).map(|_| r#"{"u":1,"v":{},"w":2}"#).collect();
    assert_eq!(scan(&ROOT, format!("[{}]", objects.join(",")).as_bytes()).1, Ok(()));
    let long: Vec<_> = (0..50).map(|n| format!("\"n{n}\":0")).collect();
    let two = format!("[{{{0}}},{{{0}}}]", long.join(","));
    assert_eq!(scan(&ROOT, two.as_bytes()), (two_objects(two.len()), Ok(())));
}

fn two_objects(length: usize) -> Told {
    let (middle, last) = (length / 2, length - 1);
    vec![
        "1 0..1 Begin(Array)".to_owned(),
        "1 1..2 Begin(Object)".to_owned(),
        format!("1 1..{middle} End"),
        format!("1 {}..{} Begin(Object)", middle + 1, middle + 2),
        format!("1 {}..{last} End", middle + 1),
        format!("1 0..{length} End"),
    ]
}
