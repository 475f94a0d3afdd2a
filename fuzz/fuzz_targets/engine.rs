//! The HTTP/1.1 engine behind the gate: it reads the same however the stream is cut, and what a plain second reader makes
//! of the bytes that the gate has shown.
#![no_main]

use ensage_gateway::connection::{Message, Reading, answers, requests};
use ensage_gateway::gate::Limits;
use http::Method;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes_max: 512, head_lines_max: 8, target_bytes_max: 64 };

/// Reads requests, or answers to requests with these methods.
fn read(asked: &[Method], stream: &[u8], most: usize) -> Reading {
    if asked.is_empty() { requests(stream, LIMITS, most) } else { answers(stream, asked, LIMITS, most) }
}

/// The fields of a message in order of their names, its content, its trailers, and whether it is whole.
type Plain = (Vec<Field>, Vec<u8>, Vec<Field>, bool);
type Field = (String, Vec<u8>);

/// The same of strict bytes, by splitting them.
fn plain(mut asked: &[Method], mut rest: &[u8]) -> Vec<Plain> {
    let answers = !asked.is_empty();
    let mut messages = Vec::new();
    loop {
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let Some((start, fields, after)) = section(rest) else { return messages };
        rest = after;
        let status = if answers { &start[9..12] } else { "" };
        if status.starts_with('1') {
            continue;
        }
        let of = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        let (mut content, mut trailers, mut whole) = (Vec::new(), Vec::new(), true);
        if asked.first() == Some(&Method::HEAD) || ["204", "304"].contains(&status) {
            // There is none, whatever the fields say.
        } else if of("transfer-encoding").is_some() {
            whole = chunks(&mut rest, &mut content, &mut trailers).is_some();
        } else if let Some(length) = of("content-length") {
            let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap_or(usize::MAX);
            content = rest[..length.min(rest.len())].to_vec();
            rest = &rest[content.len()..];
            whole = content.len() == length;
        } else if answers {
            content = std::mem::take(&mut rest).to_vec();
        }
        messages.push((fields, content, trailers, whole));
        asked = asked.get(1..).unwrap_or_default();
        if !whole || (answers && asked.is_empty()) {
            return messages;
        }
    }
}

/// The first line, the fields in order of their names, and what is behind the empty line.
fn section(bytes: &[u8]) -> Option<(&str, Vec<Field>, &[u8])> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = lines.next()?;
    let start = std::str::from_utf8(&start[..start.len().min(12)]).unwrap_or("");
    Some((start, sorted(lines.map(field)), &bytes[end + 4..]))
}

fn field(line: &[u8]) -> Field {
    let colon = line.iter().position(|byte| *byte == b':').expect("a field line");
    (String::from_utf8_lossy(&line[..colon]).to_lowercase(), line[colon + 1..].trim_ascii().to_vec())
}

/// Takes chunks apart; `None` where the last one is not there.
fn chunks(rest: &mut &[u8], content: &mut Vec<u8>, trailers: &mut Vec<Field>) -> Option<()> {
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            // The line's own end may be the first half of the empty line.
            let (_, fields, after) = section(&rest[..])?;
            (*rest, *trailers) = (after, fields);
            return Some(());
        }
        let data = &rest[end + 2..];
        content.extend_from_slice(&data[..size.min(data.len())]);
        *rest = data.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// In order of their names; values of one name stay as they came.
fn sorted(fields: impl Iterator<Item = Field>) -> Vec<Field> {
    let mut fields: Vec<Field> = fields.collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn fields(map: &http::HeaderMap) -> Vec<Field> {
    sorted(map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())))
}

fn shape(message: &Message) -> Plain {
    let trailers = message.end.as_ref().ok().and_then(Option::as_ref).map(fields).unwrap_or_default();
    (fields(&message.fields), message.content.clone(), trailers, message.end.is_ok())
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (side, piece, stream) = input;
    let asked: &[Method] = match side % 3 {
        0 => &[],
        1 => &[Method::GET, Method::GET, Method::GET],
        _ => &[Method::HEAD, Method::GET, Method::HEAD],
    };
    let whole = read(asked, stream, usize::MAX);
    let pieces = read(asked, stream, usize::from(piece).max(1));
    assert_eq!(whole.messages, pieces.messages);
    let shapes: Vec<Plain> = whole.messages.iter().map(shape).collect();
    let goes_on = whole.messages.iter().all(Message::goes_on);
    if goes_on {
        assert_eq!((whole.heads, whole.violation), (pieces.heads, pieces.violation));
        assert_eq!(shapes.len() as u64, whole.heads);
    }
    for shown in [&whole.shown, &pieces.shown] {
        let plain = plain(asked, shown);
        // More may have been shown behind the end of a connection, and nobody reads it.
        assert_eq!(shapes, plain[..if goes_on { plain.len() } else { shapes.len() }], "{shown:?}");
    }
});
