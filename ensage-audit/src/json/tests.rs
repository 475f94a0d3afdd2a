use proptest::prelude::*;

use super::*;

fn text(value: &str, max: usize) -> String {
    let mut out = Vec::new();
    push_text(&mut out, value, max);
    String::from_utf8(out).unwrap()
}

#[test]
fn h13_nothing_breaks_out_of_a_text() {
    for (value, want) in [
        ("plain", r#""plain""#),
        ("a\r\nb", r#""a\u000d\u000ab""#),
        ("\u{1b}[31m", r#""\u001b[31m""#),
        ("\u{9b}31m", r#""\u009b31m""#),
        (r#"","decision":"allow"#, r#""\",\"decision\":\"allow""#),
        ("\\", r#""\\""#),
        ("a\u{202e}b\u{2028}", r#""a\u202eb\u2028""#),
        ("größe 大", "\"größe 大\""),
    ] {
        assert_eq!(text(value, 100), want, "{value:?}");
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    assert_eq!(text("äää", 4), "\"ää…\"");
    assert_eq!(text("äää", 5), "\"ää…\"");
    assert_eq!(text("äää", 6), "\"äää\"");
}

#[test]
fn absent_and_empty_members_are_left_out() {
    let out = object(|m| {
        m.text("a", None);
        m.text("b", Some(""));
        m.object("c", |m| m.object("d", |m| m.number("e", None)));
        m.texts("f", &[]);
        m.objects("g", &[] as &[u8], 3, |_, _| {});
        m.object("h", |m| m.number("i", Some(7)));
        m.millis("j", Some(Duration::from_micros(1500)));
        m.millis("k", Some(Duration::from_millis(2)));
        m.objects("l", &[1], 3, |_, _| {});
    });
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"h":{"i":7},"j":1.500,"k":2,"l":[{}]}"#);
    assert_eq!(object(|m| m.text("a", None)), b"{}");
}

#[test]
fn values_are_spelled_as_ever() {
    let out = object(|m| {
        m.number("a", Some(u64::MAX));
        m.millis("b", Some(Duration::from_micros(5)));
        m.address("c", Some("0.10.200.255".parse().unwrap()));
        m.address("d", Some("2001:db8::1".parse().unwrap()));
        m.address("e", Some("::ffff:10.0.0.1".parse().unwrap()));
        m.id("f", Some(Uuid::from_bytes([0xa1; 16])));
    });
    let want = concat!(
        r#"{"a":18446744073709551615,"b":0.005,"c":"0.10.200.255","d":"2001:db8::1","e":"::ffff:10.0.0.1","#,
        r#""f":"a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1"}"#
    );
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn h13_no_byte_of_a_text_is_overlooked() {
    for len in 1..50 {
        for at in 0..len {
            for (byte, spelled) in [("\"", "\\\""), ("\\", "\\\\"), ("\u{1f}", "\\u001f"), ("\u{7f}", "\\u007f")] {
                let mut value = "~".repeat(len);
                value.replace_range(at..=at, byte);
                let want = format!("\"{}\"", value.replace(byte, spelled));
                assert_eq!(text(&value, 100), want, "{len} {at}");
            }
        }
    }
}

#[test]
fn long_lists_say_that_they_were_cut() {
    let many: Vec<String> = (0..ITEMS_MAX + 5).map(|i| i.to_string()).collect();
    let out = object(|m| m.texts("a", &many));
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["a"].as_array().unwrap().len(), ITEMS_MAX + 1);
    assert_eq!(value["a"][ITEMS_MAX], "…");
}

proptest! {
    #[test]
    fn any_text_reads_back_and_is_one_line(value in any::<String>()) {
        let json = text(&value, usize::MAX);
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        prop_assert!(!json.chars().any(is_unprintable));
    }
}
