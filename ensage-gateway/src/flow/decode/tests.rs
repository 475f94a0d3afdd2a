use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use http::HeaderValue;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tokio::sync::Semaphore;

use super::super::hold::HOLD_UNIT;
use super::*;

const MAX: u64 = 64 << 20;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

/// What node makes of `{"model":"m","text":"aaa..."}` with 300 letters.
const BROTLI: &[u8] = &[
    0x1b, 0x42, 0x01, 0x40, 0x8c, 0xd4, 0x62, 0xcd, 0x19, 0xee, 0x8c, 0x50, 0xe9, 0x29, 0x12, 0xb6, 0x97, 0x2c, 0x3a,
    0x7d, 0xe0, 0x90, 0x03, 0xe6, 0x83, 0x7d, 0x65, 0x11, 0x6a, 0x29, 0x70, 0x60, 0x0a, 0x92, 0xe9, 0x96, 0x6a, 0x18,
    0xf0, 0x72, 0x62,
];

/// 16 MiB of zeros.
const BROTLI_BOMB: &[u8] = &[
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x2f, 0xff, 0xff, 0xff, 0xf0, 0x4f,
    0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f,
];

/// What the zstd program makes of that text, a checksum behind it.
const ZSTD_CHECKSUM: &[u8] = &[
    0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0xfd, 0x00, 0x00, 0xc0, 0x7b, 0x22, 0x6d, 0x6f, 0x64, 0x65, 0x6c, 0x22, 0x3a,
    0x22, 0x6d, 0x22, 0x2c, 0x22, 0x74, 0x65, 0x78, 0x74, 0x22, 0x3a, 0x22, 0x61, 0x22, 0x7d, 0x01, 0x00, 0x50, 0x54,
    0xd0, 0x04, 0xc1, 0xb0, 0x42, 0xb5,
];

fn text() -> Vec<u8> {
    format!("{{\"model\":\"m\",\"text\":\"{}\"}}", "a".repeat(300)).into_bytes()
}

/// A body that comes in pieces of this size.
struct Pieces(Vec<Bytes>);

impl Feed for Pieces {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(piece))))
    }

    fn left(&self) -> Option<u64> {
        self.0.is_empty().then_some(0)
    }
}

/// What is read of a coded body, and what is said of it.
fn read(coding: &'static str, coded: &[u8], size: usize, most: u64) -> (Vec<u8>, Option<Reason>) {
    read_within(1 << 30, coding, coded, size, most)
}

fn share(budget: u64) -> Share {
    Share::of(Arc::new(Semaphore::new((budget / HOLD_UNIT).try_into().unwrap())))
}

/// The same where so many bytes may be held.
fn read_within(budget: u64, coding: &'static str, coded: &[u8], size: usize, most: u64) -> (Vec<u8>, Option<Reason>) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(coded.len()));
    let mut pieces: Vec<Bytes> = coded.chunks(size).map(Bytes::copy_from_slice).collect();
    pieces.reverse();
    let mut body = Some(Incoming::of(Pieces(pieces)));
    let seen = Rc::default();
    assert!(clear(&mut headers, &mut body, most, share(budget), &seen).is_ok(), "{coding}");
    assert!(headers.is_empty(), "{headers:?}");
    let mut body = body.unwrap();
    let mut out = Vec::new();
    let cx = &mut Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(cx) {
        let data = frame.into_data().unwrap();
        assert!(data.len() as u64 <= STEP_BYTES as u64 * GROWTH_MAX + FREE_BYTES, "{} bytes at once", data.len());
        out.extend_from_slice(&data);
    }
    (out, seen.refused.get().map(|(reason, _)| reason))
}

#[test]
fn each_coding_is_read_however_it_is_cut() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for size in [1, 3, 7, 1000, usize::MAX] {
        assert_eq!(read("gzip", &gzip(&text()), size, MAX), (text(), None));
        assert_eq!(
            read("X-GZIP", &[gzip(b"two "), gzip(b"members")].concat(), size, MAX),
            (b"two members".to_vec(), None)
        );
        assert_eq!(read("br", BROTLI, size, MAX), (text(), None));
        assert_eq!(read("zstd", &zstd(&text()), size, MAX), (text(), None));
        assert_eq!(read("zstd", ZSTD_CHECKSUM, size, MAX), (text(), None));
        assert_eq!(read("identity, zstd", &[zstd(b"two "), zstd(b"frames")].concat(), size, MAX).0, b"two frames");
    }
    for (coding, coded) in [("gzip", gzip(&long)), ("zstd", zstd(&long))] {
        assert!(read(coding, &coded, 10_000, MAX) == (long.clone(), None), "{coding}");
    }
}

#[test]
fn c_what_grows_beyond_its_bounds_is_refused_before_it_is_made() {
    let zeros = vec![0; 4 << 20];
    for (coding, coded) in [("gzip", gzip(&zeros)), ("br", BROTLI_BOMB.to_vec()), ("zstd", zstd(&zeros))] {
        for size in [1, 4096, usize::MAX] {
            let (made, why) = read(coding, &coded, size, MAX);
            assert_eq!(why, Some(Reason::BodyTooLarge), "{coding}");
            assert!(made.len() as u64 <= coded.len() as u64 * GROWTH_MAX + FREE_BYTES, "{coding}: {}", made.len());
        }
        // What is dense but short is taken.
    }
    assert_eq!(read("gzip", &gzip(&zeros[..60_000]), 9, MAX), (zeros[..60_000].to_vec(), None));
    let data: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (coding, coded) in [("gzip", gzip(&data)), ("zstd", zstd(&data))] {
        assert_eq!(read(coding, &coded, 5000, data.len() as u64 - 1).1, Some(Reason::BodyTooLarge), "{coding}");
        assert_eq!(read(coding, &coded, 5000, data.len() as u64).1, None, "{coding}");
    }
}

#[test]
fn what_is_not_what_its_coding_says_is_refused() {
    for (coding, coded) in [("gzip", gzip(&text())), ("br", BROTLI.to_vec()), ("zstd", ZSTD_CHECKSUM.to_vec())] {
        for size in [1, usize::MAX] {
            let short = &coded[..coded.len() - 5];
            assert_eq!(read(coding, short, size, MAX).1, Some(Reason::MalformedRequest), "{coding} cut short");
            assert_eq!(
                read(coding, b"plain text, and no more", size, MAX).1,
                Some(Reason::MalformedRequest),
                "{coding}"
            );
            let more = [&coded[..], b"and more"].concat();
            assert_eq!(
                read(coding, &more, size, MAX).1,
                Some(Reason::MalformedRequest),
                "{coding} with more behind it"
            );
        }
    }
    // A window that takes more memory than anybody needs.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0];
    assert_eq!(read("zstd", &window, 9, MAX).1, Some(Reason::MalformedRequest));
}

#[test]
fn what_is_not_read_here_is_not_begun() {
    for coding in ["deflate", "gzip, br", "gzip, gzip", "aes128gcm", "gzip;q=1"] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let mut body = Some(Incoming::of(Pieces(vec![Bytes::from_static(b"x")])));
        let refused = clear(&mut headers, &mut body, MAX, share(0), &Rc::default());
        assert!(matches!(refused, Err(Stop::Denied(d)) if d.reason == Reason::EncodingRefused), "{coding}");
        assert!(body.is_some() && !headers.is_empty(), "{coding}");
    }
}

/// Bits, the lowest of each byte first: the head of brotli (RFC 7932 section 9), and one block that is stored.
fn brotli_stored(window: &[(u64, u32)], length: u64) -> Vec<u8> {
    let block = [(0, 1), (2, 2), (length - 1, 24), (1, 1)];
    let bits: Vec<u8> =
        window.iter().chain(&block).flat_map(|(v, n)| (0..*n).map(move |i| (v >> i & 1) as u8)).collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect()
}

/// `draft-vandevenne-shared-brotli-format` has windows of up to 1 GiB, which the decoder would take.
#[test]
fn c_brotli_has_the_windows_of_its_rfc() {
    let data = vec![b'a'; (1 << 20) + 1];
    let with = |window: &[(u64, u32)]| [brotli_stored(window, data.len() as u64), data.clone(), vec![3]].concat();
    assert_eq!(read("br", &with(&[(0xf, 4)]), 9000, MAX), (data.clone(), None));
    assert_eq!(read("br", &with(&[(0x11, 8), (30, 6)]), 9000, MAX), (vec![], Some(Reason::MalformedRequest)));
}

/// A window stays as long as its body is under way, however little of it comes.
#[test]
fn c_windows_count_as_held() {
    let data = vec![b'a'; (1 << 20) + 1];
    let brotli = [brotli_stored(&[(0xf, 4)], data.len() as u64), data.clone(), vec![3]].concat();
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (coding, coded) in [("br", brotli), ("zstd", zstd(&noise))] {
        assert_eq!(read_within(512 << 10, coding, &coded, 4096, MAX).1, Some(Reason::Overloaded), "{coding}");
        assert_eq!(read_within(2 << 20, coding, &coded, 4096, MAX).1, None, "{coding}");
    }
    assert_eq!(read_within(0, "gzip", &gzip(&noise), 4096, MAX), (noise, None));
}
