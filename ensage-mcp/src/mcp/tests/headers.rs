//! Which revision a message is of, and what its headers must say then.

use super::*;

#[test]
fn c10_headers_say_what_the_body_says() {
    let call = modern_body("tools/call", r#""name":"echo","arguments":{},"#);
    let named = |name: &str| modern_body("resources/read", &format!(r#""uri":"{name}","#));
    let ok = |body: &str, head: &Head<'_>| assert!(read(body, head).is_ok(), "{body} {head:?}: {:?}", read(body, head));
    ok(&call, &modern("tools/call", Some("echo")));
    ok(&call, &modern("tools/call", Some("=?base64?ZWNobw==?=")));
    ok(&named("file:///w/ü.txt"), &modern("resources/read", Some("=?base64?ZmlsZTovLy93L8O8LnR4dA==?=")));
    ok(&named("=?BASE64?ZWNobw==?="), &modern("resources/read", Some("=?BASE64?ZWNobw==?=")));
    ok(&modern_body("tasks/get", r#""taskId":"t","#), &modern("tasks/get", Some("t")));
    ok(&modern_body("x/unknown", ""), &modern("x/unknown", Some("anything")));
    ok(&modern_body("tools/list", ""), &modern("tools/list", None));

    let check = |body: &str, head: Head<'_>, expected: Header| assert_eq!(header(body, &head), expected);
    check(&call, modern("tools/list", Some("echo")), Header::Method);
    check(&call, modern("Tools/call", Some("echo")), Header::Method);
    check(&call, modern("=?base64?dG9vbHMvY2FsbA==?=", Some("echo")), Header::Method);
    check(&call, Head { method: Field::Absent, ..modern("", Some("echo")) }, Header::Method);
    check(&call, Head { method: Field::Repeated, ..modern("", Some("echo")) }, Header::Method);
    check(&call, modern("tools/call", None), Header::Name);
    check(&call, Head { name: Field::Repeated, ..modern("tools/call", None) }, Header::Name);
    for name in [
        "other",
        "Echo",
        "echo ",
        "",
        "=?base64?b3RoZXI=?=",
        "=?base64?ZWNobx==?=",
        "=?base64?ZWNobw?=",
        "=?base64?ZWNobw==",
        "=?BASE64?ZWNobw==?=",
        "=?base64?/w==?=",
        "=?base64?=",
        "écho",
    ] {
        check(&call, modern("tools/call", Some(name)), Header::Name);
    }
    check(&modern_body("tools/list", ""), modern("tools/list", Some("echo")), Header::Name);
    check(&modern_body("tasks/cancel", r#""taskId":"t","#), modern("tasks/cancel", None), Header::Name);
}

#[test]
fn c12_parameter_headers_are_readable_in_one_way() {
    let call = modern_body("tools/call", r#""name":"echo","#);
    let with = |params: &[(&'static str, &'static str)]| Head {
        params: params.to_vec(),
        ..modern("tools/call", Some("echo"))
    };
    assert!(read(&call, &with(&[("Region", "=?base64?WsO8cmljaA==?="), ("Limit", "7"), ("Dry", "true")])).is_ok());
    for params in [
        &[("Region", "=?base64?WsO8cmljaB==?=")][..],
        &[("Region", "=?base64?WsO8")],
        &[("Region", "Zürich")],
        &[("Region", "a"), ("region", "a")],
    ] {
        assert_eq!(header(&call, &with(params)), Header::Param, "{params:?}");
    }
}

#[test]
fn c11_legacy_messages_have_no_modern_headers() {
    let call = request("tools/call", r#"{"name":"echo"}"#);
    let (method, name) = (Field::One("tools/call"), Field::One("echo"));
    assert_eq!(header(&call, &Head { method, ..legacy() }), Header::Method);
    assert_eq!(header(&call, &Head { name, ..legacy() }), Header::Name);
    assert_eq!(header(&call, &Head { params: vec![("X", "1")], ..legacy() }), Header::Param);
    assert_eq!(header(&call, &Head { session_id: Field::Repeated, ..legacy() }), Header::SessionId);
    assert_eq!(header(&call, &Head { session_id: Field::One("a b"), ..legacy() }), Header::SessionId);
    assert_eq!(header(&call, &Head { session_id: Field::One(""), ..legacy() }), Header::SessionId);
    assert!(read(&call, &Head { session_id: Field::One("3f!~"), ..legacy() }).is_ok());
}

#[test]
fn c11_the_revision_is_what_head_body_and_session_agree_on() {
    let tools = request("tools/list", "{}");
    let meta = modern_body("tools/list", "");
    let with = |version, negotiated| Head { protocol_version: version, negotiated, ..Head::default() };
    let found = |body: &str, head: &Head<'_>| read(body, head).map(|message| message.revision);
    let (c, d, e) = (Revision::V2025_06_18, Revision::V2025_11_25, Revision::V2026_07_28);
    assert_eq!(found(&tools, &with(Field::One("2025-06-18"), Some(c))), Ok(c));
    assert_eq!(found(&tools, &with(Field::One("2025-11-25"), None)), Ok(d));
    assert_eq!(found(&tools, &with(Field::Absent, Some(c))), Ok(c));
    assert_eq!(found(&meta, &modern("tools/list", None)), Ok(e));

    let mismatch = |body: &str, head: &Head<'_>| assert_eq!(header(body, head), Header::ProtocolVersion);
    mismatch(&tools, &with(Field::One("2025-06-18"), Some(d)));
    mismatch(&tools, &with(Field::Repeated, Some(d)));
    mismatch(&tools, &with(Field::from_values([&b"2025-11-25\xff"[..]]), Some(d)));
    mismatch(&tools, &modern("tools/list", None));
    mismatch(&meta, &with(Field::Absent, None));
    mismatch(&meta, &with(Field::Absent, Some(d)));
    mismatch(&meta, &with(Field::One("2025-11-25"), Some(d)));
    mismatch(&meta.replace(MODERN, "2025-11-25"), &with(Field::One("2025-11-25"), Some(d)));
    mismatch(&meta.replace(MODERN, "2027-01-01"), &modern("tools/list", None));

    let id = read(&tools, &legacy()).unwrap().id;
    let check = |body: &str, head: &Head<'_>, requested: &str| {
        let id = if body == meta.replace(MODERN, "2027-01-01") {
            read(&meta, &modern("tools/list", None)).unwrap().id
        } else {
            id.clone()
        };
        assert_eq!(found(body, head), Err(ReadError::Revision { requested: requested.to_owned(), id }));
    };
    check(&tools, &with(Field::Absent, None), "2025-03-26");
    check(&tools, &with(Field::One("2024-11-05"), None), "2024-11-05");
    check(&tools, &with(Field::One("2025-03-26"), Some(Revision::V2025_03_26)), "2025-03-26");
    check(&tools, &with(Field::Absent, Some(Revision::V2025_03_26)), "2025-03-26");
    check(&tools, &with(Field::Absent, Some(e)), "2026-07-28");
    check(&tools, &with(Field::One("2027-01-01"), None), "2027-01-01");
    check(&tools, &with(Field::One(" 2025-11-25"), None), " 2025-11-25");
    check(&meta.replace(MODERN, "2027-01-01"), &with(Field::One("2027-01-01"), None), "2027-01-01");
}

#[test]
fn initialize_is_legacy_whatever_it_names() {
    let body =
        |version: &str| request("initialize", &format!(r#"{{"protocolVersion":"{version}","capabilities":{{}}}}"#));
    let found = |body: &str, head: &Head<'_>| read(body, head).map(|message| (message.revision, message.is_known()));
    let (c, d, e) = (Revision::V2025_06_18, Revision::V2025_11_25, Revision::V2026_07_28);
    assert_eq!(found(&body("2025-06-18"), &Head::default()), Ok((c, true)));
    assert_eq!(found(&body("2025-11-25"), &Head::default()), Ok((d, true)));
    assert_eq!(found(&body("2026-07-28"), &Head::default()), Ok((d, true)));
    // A client that begins again may still send the version of its old session.
    let again = Head { protocol_version: Field::One("2025-06-18"), ..Head::default() };
    assert_eq!(found(&body("2025-11-25"), &again), Ok((d, true)));
    for version in ["2024-11-05", "2025-03-26", "2027-01-01", "DRAFT"] {
        assert!(matches!(
            read(&body(version), &Head::default()),
            Err(ReadError::Revision { requested, id: Some(_) }) if requested == version
        ));
    }
    // To one server the header alone is the era, to another the body's `_meta`.
    assert_eq!(header(&body("2026-07-28"), &modern("initialize", None)), Header::ProtocolVersion);
    let modern_envelope = modern_body("initialize", "");
    assert_eq!(header(&modern_envelope, &Head::default()), Header::ProtocolVersion);
    assert_eq!(found(&modern_envelope, &modern("initialize", None)), Ok((e, false)));
}
