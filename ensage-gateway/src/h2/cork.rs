//! A stream whose small writes are kept until they are let go together: the `h2` crate writes and flushes each DATA frame
//! alone, and a system call costs more than most frames.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Writes of at least so many bytes are not kept.
const LARGE_BYTES: usize = 8 * 1024;
/// With this much kept, all of it is written before more is taken.
const FULL_BYTES: usize = 32 * 1024;

/// One end that the protocol writes to, and a clone of it that lets go.
pub(super) struct Cork<IO>(Rc<RefCell<Kept<IO>>>);

struct Kept<IO> {
    io: IO,
    kept: BytesMut,
}

impl<IO> Clone for Cork<IO> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Cork<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self(Rc::new(RefCell::new(Kept { io, kept: BytesMut::new() })))
    }

    /// Writes what was kept.
    pub(super) fn poll_let_go(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = &mut *self.0.borrow_mut();
        ready!(kept.poll_write(cx))?;
        if kept.kept.capacity() > FULL_BYTES || kept.kept.is_empty() {
            // A connection that is quiet keeps no room.
            kept.kept = BytesMut::new();
        }
        Pin::new(&mut kept.io).poll_flush(cx)
    }
}

impl<IO: AsyncWrite + Unpin> Kept<IO> {
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Cork<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Cork<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let kept = &mut *self.0.borrow_mut();
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if bytes >= LARGE_BYTES || kept.kept.len() >= FULL_BYTES {
            ready!(kept.poll_write(cx))?;
            return Pin::new(&mut kept.io).poll_write_vectored(cx, slices);
        }
        kept.kept.reserve(bytes);
        for slice in slices {
            kept.kept.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Keeps what is kept: that goes when it is let go.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_let_go(cx))?;
        Pin::new(&mut self.0.borrow_mut().io).poll_shutdown(cx)
    }
}

/// What an opening handshake comes to, all of its words let go.
pub(super) async fn opened<IO, T>(opening: impl Future<Output = T>, cork: &Cork<IO>) -> T
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut opening = pin!(opening);
    poll_fn(|cx| {
        let polled = opening.as_mut().poll(cx);
        // What breaks here breaks the handshake too.
        let _ = cork.poll_let_go(cx);
        polled
    })
    .await
}
