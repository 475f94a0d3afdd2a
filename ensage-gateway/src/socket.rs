//! A TCP stream that writes what is in one piece with `send`: rustls hands every write over as a list of slices, most
//! often of one, and the kernel takes longer to look through a list than to take a buffer.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::metrics::Meter;

/// One end of a TCP connection, without Nagle's delay.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    breaks: Breaks,
    meter: Meter,
}

/// Set where a connection shall end in a reset: what was said on it last is not whole, and must not look so.
pub(crate) type Breaks = Rc<Cell<bool>>;

impl Socket {
    /// Takes a connected stream.
    ///
    /// # Errors
    /// The socket takes no options: it is closed.
    pub(crate) fn new(stream: TcpStream, meter: Meter) -> io::Result<Self> {
        // Without it Nagle and delayed ACK together cost 40 ms on every small message.
        stream.set_nodelay(true)?;
        Ok(Self { stream, breaks: Breaks::default(), meter })
    }

    /// Whether it shall break when it is dropped.
    pub(crate) fn breaks(&self) -> Breaks {
        self.breaks.clone()
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
        if self.breaks.get() {
            // Where that can't be, it ends as it is.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.read(buf.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.counted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut some = slices.iter().filter(|slice| !slice.is_empty());
        let written = match (some.next(), some.next()) {
            (Some(one), None) => Pin::new(&mut self.stream).poll_write(cx, one),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        };
        self.counted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
