//! A TCP stream, or a client's Unix stream, that writes what is in one piece with `send`: rustls hands every write over as a list of slices, most
//! often of one, and the kernel takes longer to look through a list than to take a buffer.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::ahead::Ahead;
use crate::metrics::Meter;

/// One end of a connection; of a TCP one without Nagle's delay.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    breaks: Breaks,
    shakes: Shakes,
    meter: Meter,
    ahead: Ahead,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    /// Shared with who looks whether the client is still there.
    Unix(Rc<UnixStream>),
}

/// Set where a connection shall end in a reset: what was said on it last is not whole, and must not look so. A Unix
/// socket has no reset, and ends as it is.
pub(crate) type Breaks = Rc<Cell<bool>>;

/// Set during a handshake as its server. What it sends encrypted at its end, and in writes of its own, are the tickets
/// of TLS 1.3: they need not be a packet of their own before the first answer.
pub(crate) type Shakes = Rc<Cell<bool>>;

/// The first byte of an encrypted record (RFC 8446 section 5.1); a flight begins with another.
const APPLICATION_DATA: u8 = 23;

impl Socket {
    /// Takes a connected stream.
    ///
    /// # Errors
    /// The socket takes no options: it is closed.
    pub(crate) fn new(stream: TcpStream, meter: Meter) -> io::Result<Self> {
        // Without it Nagle and delayed ACK together cost 40 ms on every small message.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Stream::Tcp(stream),
            breaks: Breaks::default(),
            shakes: Shakes::default(),
            meter,
            ahead: Ahead::default(),
        })
    }

    /// Takes a connected Unix stream.
    pub(crate) fn unix(stream: UnixStream, meter: Meter) -> Self {
        Self {
            stream: Stream::Unix(Rc::new(stream)),
            breaks: Breaks::default(),
            shakes: Shakes::default(),
            meter,
            ahead: Ahead::default(),
        }
    }

    /// The stream, if it is a Unix one.
    pub(crate) fn as_unix(&self) -> Option<Rc<UnixStream>> {
        match &self.stream {
            Stream::Tcp(_) => None,
            Stream::Unix(stream) => Some(stream.clone()),
        }
    }

    /// Whether it shall break when it is dropped.
    pub(crate) fn breaks(&self) -> Breaks {
        self.breaks.clone()
    }

    /// Whether a handshake is under way.
    pub(crate) fn shakes(&self) -> Shakes {
        self.shakes.clone()
    }

    fn waits_for_more(&self, bytes: &[u8]) -> bool {
        self.shakes.get() && bytes.first() == Some(&APPLICATION_DATA)
    }

    fn counted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.meter.written(*bytes);
        }
        written
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Stream::Tcp(stream) = &self.stream
            && self.breaks.get()
        {
            // Where that can't be, it ends as it is.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

/// Does the work when the stream is ready; what would block is done when it is the next time.
fn when<T>(
    mut is_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut work: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(is_ready())?;
        match work() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        let read = match &mut this.stream {
            Stream::Tcp(stream) => this.ahead.poll_read(Pin::new(stream), cx, buf),
            Stream::Unix(stream) => when(
                || stream.poll_read_ready(cx),
                || stream.try_read(buf.initialize_unfilled()).map(|read| buf.advance(read)),
            ),
        };
        self.meter.read(buf.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => when(|| stream.poll_write_ready(cx), || stream.try_write(buf)),
        };
        self.counted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut some = slices.iter().filter(|slice| !slice.is_empty());
        let only = match (some.next(), some.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        let more = only.is_some_and(|one| self.waits_for_more(one));
        let written = match (&mut self.stream, only) {
            // The kernel sends it with what comes next, or after 0.2 s, and when the stream is closed (send(2)).
            (Stream::Tcp(stream), Some(one)) if more => when(
                || stream.poll_write_ready(cx),
                || {
                    stream
                        .try_io(Interest::WRITABLE, || Ok(send(&*stream, one, SendFlags::MORE | SendFlags::NOSIGNAL)?))
                },
            ),
            (Stream::Tcp(stream), Some(one)) => Pin::new(stream).poll_write(cx, one),
            (Stream::Tcp(stream), None) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Stream::Unix(stream), _) => when(|| stream.poll_write_ready(cx), || stream.try_write_vectored(slices)),
        };
        self.counted(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Neither kind holds anything back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => {
                let done = rustix::net::shutdown(stream.as_ref(), rustix::net::Shutdown::Write);
                Poll::Ready(done.map_err(Into::into))
            }
        }
    }
}
