//! Heads of HTTP/2: what our gate makes of a stream of blocks, what the `h2` crate makes of it, and what the gate of
//! HTTP/1 says of what was accepted.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderValue, Version, request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::gate::{Inspector, Limits, Waits};
use crate::h2::{self, Asked, Bounds, Done, Lost, Read, Room};

/// The streams of a client: each block is the head of a request that ends with it, or has a body if `ends` says so.
pub fn stream(blocks: &[&[u8]], ends: bool) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for (n, block) in blocks.iter().enumerate() {
        out.extend_from_slice(&head_of(n, block, ends));
    }
    out
}

/// What is made of it by whoever serves clients, in reads of at most `most` bytes: each head by its stream, `None` where
/// it is refused.
pub fn ours(stream: &[u8], limits: Limits, most: usize) -> Vec<(u32, Option<request::Parts>)> {
    thread_local!(static CLOCK: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let room = Room { budget: Arc::new(Semaphore::new(1024)), unit: 1024 };
    let bounds = Bounds { streams: 1024, head: limits, waits: Waits::NONE, room };
    let heads = RefCell::new(Vec::new());
    let start = |asked: Asked| {
        heads.borrow_mut().push(asked.read);
        // Nobody answers: every stream stays as it is.
        std::future::pending::<Done>()
    };
    let lost = |read: Read, _: Lost| heads.borrow_mut().push(read);
    CLOCK.with(|clock| {
        let _clock = clock.enter();
        let wire = Wire { rest: Rc::new(RefCell::new(stream.to_vec())), most };
        let mut served = pin!(h2::serve(wire, &bounds, std::future::pending(), start, lost));
        let mut cx = Context::from_waker(Waker::noop());
        // Whatever comes is there: it is read to the end of that at once.
        let _ = served.as_mut().poll(&mut cx);
    });
    let read = heads.into_inner().into_iter();
    (0..).map(|n| 2 * n + 1).zip(read.map(|read| read.fault.is_none().then_some(read.head))).collect()
}

/// What the `h2` crate makes of it, block by block; it ends at what ends the connection.
pub fn theirs(blocks: &[&[u8]], ends: bool, limits: Limits) -> Vec<(u32, request::Parts)> {
    let mut server = ::h2::server::Builder::new();
    server.max_header_list_size(limits.head_bytes_max as u32 * 2).max_concurrent_streams(1024);
    let mut cx = Context::from_waker(Waker::noop());
    let rest = Rc::new(RefCell::new(stream(&[], ends)));
    let mut opening = pin!(server.handshake::<_, bytes::Bytes>(Wire { rest: rest.clone(), most: 1 << 16 }));
    let Poll::Ready(Ok(mut conn)) = opening.as_mut().poll(&mut cx) else { return Vec::new() };
    let mut all = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        rest.borrow_mut().extend_from_slice(&head_of(n, block, ends));
        loop {
            match conn.poll_accept(&mut cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    all.push((respond.stream_id().as_u32(), request.into_parts().0));
                }
                Poll::Ready(_) => return all,
                Poll::Pending => break,
            }
        }
    }
    all
}

fn head_of(n: usize, block: &[u8], ends: bool) -> Vec<u8> {
    let (length, stream) = ((block.len() as u32).to_be_bytes(), (2 * n as u32 + 1).to_be_bytes());
    let mut out = vec![length[1], length[2], length[3], 1, if ends { 5 } else { 4 }];
    out.extend_from_slice(&stream);
    out.extend_from_slice(block);
    out
}

/// Brings what the crate read into the form of ours: origin-form, the authority in `host`, cookies in one.
pub fn in_our_form(mut head: request::Parts) -> Option<request::Parts> {
    let parts = head.uri.into_parts();
    head.uri = parts.path_and_query?.into();
    if let Some(authority) = parts.authority
        && head.headers.get("host").is_none_or(|said| said.as_bytes() != authority.as_str().as_bytes())
    {
        head.headers.append("host", HeaderValue::from_str(authority.as_str()).ok()?);
    }
    let cookies: Vec<&[u8]> = head.headers.get_all("cookie").iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..])).ok()?;
        head.headers.insert("cookie", joined);
    }
    Some(head)
}

/// Equal in all that an exchange reads.
pub fn same(a: &request::Parts, b: &request::Parts) -> bool {
    let fields = |map: &HeaderMap| {
        let mut all: Vec<_> =
            map.keys().map(|name| (name.clone(), map.get_all(name).iter().cloned().collect::<Vec<_>>())).collect();
        all.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        all
    };
    (&a.method, &a.uri, a.version) == (&b.method, &b.uri, b.version) && fields(&a.headers) == fields(&b.headers)
}

/// The head in lines of HTTP/1, its own Host alone.
pub fn lines(head: &request::Parts, ends: bool) -> Vec<u8> {
    assert_eq!(head.version, Version::HTTP_2);
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let mut text = format!("{} {path} HTTP/1.1\r\n", head.method).into_bytes();
    let mut host = false;
    for (name, value) in &head.headers {
        // Whoever compares authorities sees both, and one goes on.
        if name == "host" && std::mem::replace(&mut host, true) {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    assert!(host, "no Host");
    if !ends && !head.headers.contains_key("content-length") {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// Whether the gate lets this head through, whole.
pub fn passes(head: &[u8], limits: Limits) -> bool {
    let mut gate = Inspector::requests(limits);
    let seen = gate.feed(head);
    gate.violation().is_none() && gate.heads() == 1 && seen.shown == head.len()
}

/// A peer that sends this, and takes whatever it is sent.
struct Wire {
    rest: Rc<RefCell<Vec<u8>>>,
    most: usize,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        if rest.is_empty() {
            return Poll::Pending;
        }
        let bytes = rest.len().min(self.most.max(1)).min(buf.remaining());
        buf.put_slice(&rest[..bytes]);
        rest.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
