//! The examples of RFC 7541 appendix C, and what no peer may send.

use std::ops::ControlFlow;

use super::*;
use crate::h2::lines::{Class, Line};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn shown(line: &Line) -> String {
    match line {
        Line::Method(method) => format!(":method: {method}"),
        Line::Scheme(secure) => format!(":scheme: {}", if *secure { "https" } else { "http" }),
        Line::Authority(value) => format!(":authority: {}", value.to_str().unwrap()),
        Line::Path(path, _) => format!(":path: {}", String::from_utf8_lossy(path)),
        Line::Field(name, value, _) => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
        Line::Bad(fault) => format!("bad: {}", fault.detail),
    }
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    decoder.read(block, |line, bytes| {
        let shown = shown(&line);
        if !matches!(line, Line::Bad(_)) {
            assert_eq!(bytes, shown.len() - 2, "{shown}");
        }
        lines.push(shown);
        ControlFlow::Continue(())
    })?;
    Ok(lines)
}

/// Appendix C.3 and C.4: three requests on one connection.
#[test]
fn requests_are_read_with_their_table() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        let [first, second, third] = blocks.map(|block| read(&mut decoder, &hex(block)).unwrap());
        assert_eq!(first, [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]);
        assert_eq!(second[3..], [":authority: www.example.com", "cache-control: no-cache"]);
        assert_eq!(
            third,
            [
                ":method: GET",
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value"
            ]
        );
    }
}

/// Section 4: what is put in last is named first, and the oldest go when there is no more room.
#[test]
fn a_table_keeps_to_its_size() {
    let mut decoder = Decoder::new();
    let entry = |name: u8, value: usize| {
        let mut block = vec![0x40, 1, name, 0x7f];
        let mut rest = value - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 0x80);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
        block.extend(vec![b'v'; value]);
        block
    };
    for name in b'a'..=b'd' {
        read(&mut decoder, &entry(name, 1000)).unwrap();
    }
    // Three of 1033 bytes fit, and the fourth pushed the first out.
    assert!(read(&mut decoder, &[0xbe]).unwrap()[0].starts_with("d: "));
    assert!(read(&mut decoder, &[0xc0]).unwrap()[0].starts_with("b: "));
    assert_eq!(read(&mut decoder, &[0xc1]), Err(Error::Coding));
    // One that is larger than the table empties it.
    assert_eq!(read(&mut decoder, &entry(b'e', 4064)).unwrap().len(), 1);
    assert_eq!(read(&mut decoder, &[0xbe]), Err(Error::Coding));
    // What just fits stays, until the table has no size any more.
    read(&mut decoder, &entry(b'f', 4063)).unwrap();
    assert!(read(&mut decoder, &[0xbe]).unwrap()[0].starts_with("f: "));
    assert_eq!(read(&mut decoder, &[0x3f, 0xe1, 0x1f, 0xbe]).unwrap().len(), 1);
    assert_eq!(read(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f, 0xbe]), Err(Error::Coding));
}

/// A line that may not be is one when the table names it, too, and so is another value by its name.
#[test]
fn a_bad_line_stays_bad() {
    let mut decoder = Decoder::new();
    let bad = ["bad: a field name in upper case"];
    assert_eq!(read(&mut decoder, b"\x40\x03X-A\x011").unwrap(), bad);
    assert_eq!(read(&mut decoder, &[0xbe]).unwrap(), bad);
    assert_eq!(read(&mut decoder, b"\x7e\x012").unwrap(), bad);
    assert_eq!(read(&mut decoder, b"\x0f\x2f\x013").unwrap(), bad);
}

#[test]
fn what_may_not_be_indexed_is_told_on() {
    let mut decoder = Decoder::new();
    for (block, sensitive) in
        [(&b"\x10\x03x-a\x011"[..], true), (b"\x00\x03x-a\x011", false), (b"\x40\x03x-a\x011", false)]
    {
        decoder
            .read(block, |line, _| {
                let Line::Field(_, value, Class::Plain) = line else { panic!("{line:?}") };
                assert_eq!(value.is_sensitive(), sensitive);
                ControlFlow::Continue(())
            })
            .unwrap();
    }
}

#[test]
fn what_is_coded_by_no_rule_is_refused() {
    for (what, block) in [
        ("the index 0", "80"),
        ("an index of nothing", "be"),
        ("a literal by the name of nothing", "7e 01 61"),
        ("an index that is cut off", "ff"),
        ("a number without end", "ff ff ff ff ff ff 01"),
        ("a string that is cut off", "00 02 61"),
        ("no value", "00 01 61"),
        ("a size that is larger than agreed", "3f e2 1f"),
        ("a size behind a line", "82 20"),
        ("padding that has a zero", "00 01 61 81 18"),
        ("padding of a byte", "00 01 61 82 1f ff"),
        ("the end itself", "00 01 61 84 ff ff ff ff"),
    ] {
        assert_eq!(read(&mut Decoder::new(), &hex(block)), Err(Error::Coding), "{what}");
    }
    let mut decoder = Decoder::new();
    let enough = decoder.read(&hex("82 84 87"), |_, _| ControlFlow::Break(()));
    assert_eq!(enough, Err(Error::Enough));
}

/// Appendix B: each byte by the code that its length and its place among those of that length give it.
#[test]
fn every_byte_has_its_code() {
    let (mut codes, mut code, mut length) = (vec![(0_u64, 0_u32); 256], 0_u64, 0_u32);
    let mut order: Vec<usize> = (0..256).collect();
    order.sort_by_key(|byte| (huffman::LENGTHS[*byte], *byte));
    for byte in order {
        let bits = u32::from(huffman::LENGTHS[byte]);
        code <<= bits - length;
        length = bits;
        codes[byte] = (code, bits);
        code += 1;
    }
    // Some of them, as the appendix has them.
    for (byte, known) in [
        (b'0', (0x0, 5)),
        (b'a', (0x3, 5)),
        (b' ', (0x14, 6)),
        (b'|', (0x7fc, 11)),
        (b'\n', (0x3fff_fffc, 30)),
        (255, (0x3ff_ffee, 26)),
    ] {
        assert_eq!(codes[usize::from(byte)], known, "{byte}");
    }
    for a in 0..=255_u8 {
        for b in [a, b'0', b'~', 0, 255] {
            let (mut word, mut bits) = (0_u128, 0);
            for byte in [a, b] {
                let (code, length) = codes[usize::from(byte)];
                word = word << length | u128::from(code);
                bits += length;
            }
            let padding = (8 - bits % 8) % 8;
            word = word << padding | ((1 << padding) - 1);
            let bytes = word.to_be_bytes();
            let coded = &bytes[16 - ((bits + padding) / 8) as usize..];
            let mut out = Vec::new();
            assert_eq!(huffman::decode(coded, &mut out), Some(()), "{a} {b}");
            assert_eq!(out, [a, b]);
        }
    }
}
