//! Reading more at once than is asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What was read before it was asked for: whoever decrypts asks for 4 KiB at a time, and a system call costs more than
/// to copy them. Only a stream that fills what it is given is read ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    read: BytesMut,
    /// The last read was as large as it could be: there is probably more.
    more: bool,
}

/// Most that is read ahead.
const AHEAD_BYTES: usize = 64 * 1024;
/// Who asks for less wants no more than that.
const ASKED_MIN: usize = 4 * 1024;

impl Ahead {
    /// Reads into `buf` what is here, or else what `stream` has.
    pub(crate) fn poll_read(
        &mut self,
        stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let asked = buf.remaining();
        if self.read.is_empty() {
            if !self.more || asked >= AHEAD_BYTES {
                self.read = BytesMut::new();
                ready!(stream.poll_read(cx, buf))?;
                self.more = asked >= ASKED_MIN && buf.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            self.read.clear();
            self.read.reserve(AHEAD_BYTES);
            match poll_read_buf(stream, cx, &mut self.read) {
                Poll::Ready(Ok(bytes)) => self.more = bytes > asked,
                other => {
                    // A stream that is quiet keeps no room.
                    *self = Self::default();
                    return other.map_ok(drop);
                }
            }
        }
        let take = self.read.len().min(asked);
        buf.put_slice(&self.read.split_to(take));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Gives what is left of it, as much as fits, and counts how often it was asked.
    struct Source {
        left: Vec<u8>,
        reads: usize,
    }

    impl AsyncRead for Source {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.reads += 1;
            let take = self.left.len().min(buf.remaining());
            buf.put_slice(&self.left.drain(..take).collect::<Vec<_>>());
            if take == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    /// All that comes in pieces of this size, until there is no more.
    fn all(ahead: &mut Ahead, source: &mut Source, piece: usize) -> Vec<u8> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        loop {
            let mut room = vec![0; piece];
            let mut buf = ReadBuf::new(&mut room);
            match ahead.poll_read(Pin::new(source), cx, &mut buf) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => return all,
            }
            assert!(!buf.filled().is_empty());
            all.extend_from_slice(buf.filled());
        }
    }

    #[test]
    fn what_comes_is_what_was_sent_in_few_reads_and_no_room_is_kept() {
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for piece in [1000, ASKED_MIN, 5000, AHEAD_BYTES, AHEAD_BYTES + 1] {
            let (mut ahead, mut source) = (Ahead::default(), Source { left: sent.clone(), reads: 0 });
            assert!(all(&mut ahead, &mut source, piece) == sent, "{piece}");
            assert_eq!((ahead.read.capacity(), ahead.more), (0, false), "{piece}");
            let few = source.reads <= 1 + sent.len().div_ceil(AHEAD_BYTES) + 1;
            assert_eq!(few, piece >= ASKED_MIN, "{} reads of {piece}", source.reads);
        }
    }

    #[test]
    fn a_short_message_is_read_once_and_not_ahead() {
        let (mut ahead, mut source) = (Ahead::default(), Source { left: vec![7; ASKED_MIN - 1], reads: 0 });
        assert_eq!(all(&mut ahead, &mut source, ASKED_MIN).len(), ASKED_MIN - 1);
        // The second one found nothing.
        assert_eq!((source.reads, ahead.read.capacity()), (2, 0));
    }
}
