//! Two pipes and the pump between them.

use std::future::poll_fn;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::timer::tests::paused;

/// A client, an upstream, and what becomes of the pump between them.
async fn between<T>(work: impl AsyncFnOnce(DuplexStream, DuplexStream) -> T) -> (T, Over, [u64; 2]) {
    let (client, near) = duplex(1024);
    let (far, upstream) = duplex(1024);
    let (up, down) = (Cell::new(0), Cell::new(0));
    let mut pump = Pump::new(near, far, &up, &down);
    let (done, over) = tokio::join!(work(client, upstream), async {
        let over = poll_fn(|cx| pump.poll(cx)).await;
        drop(pump);
        over
    });
    (done, over, [up.get(), down.get()])
}

#[test]
fn what_goes_in_comes_out_and_each_way_ends_by_itself() {
    paused().block_on(async {
        let ask = vec![7; 100_000];
        let told = vec![9; 300_000];
        let (seen, over, moved) = between(async |mut client: DuplexStream, mut upstream: DuplexStream| {
            let (mut got, mut back) = (Vec::new(), Vec::new());
            let asking = async {
                client.write_all(&ask).await.unwrap();
                // The client's end is told at once; what comes back still comes.
                client.shutdown().await.unwrap();
                client.read_to_end(&mut back).await.unwrap();
            };
            let telling = async {
                upstream.read_to_end(&mut got).await.unwrap();
                upstream.write_all(&told).await.unwrap();
                upstream.shutdown().await.unwrap();
            };
            tokio::join!(asking, telling);
            (got, back)
        })
        .await;
        assert_eq!(seen, (ask, told));
        assert_eq!((over, moved), (Over::Complete, [100_000, 300_000]));
    });
}

#[test]
fn the_upstream_may_end_first_too() {
    paused().block_on(async {
        let (got, over, moved) = between(async |mut client: DuplexStream, mut upstream: DuplexStream| {
            upstream.write_all(b"hello").await.unwrap();
            upstream.shutdown().await.unwrap();
            let mut back = String::new();
            client.read_to_string(&mut back).await.unwrap();
            client.write_all(b"and you").await.unwrap();
            client.shutdown().await.unwrap();
            let mut got = String::new();
            upstream.read_to_string(&mut got).await.unwrap();
            (back, got)
        })
        .await;
        assert_eq!(got, ("hello".to_owned(), "and you".to_owned()));
        assert_eq!((over, moved), (Over::Complete, [7, 5]));
    });
}

#[test]
fn who_does_not_read_stops_who_writes() {
    paused().block_on(async {
        let (client, near) = duplex(1024);
        let (far, mut upstream) = duplex(1024);
        let (up, down) = (Cell::new(0), Cell::new(0));
        let mut pump = Pump::new(near, far, &up, &down);
        let mut written = 0_usize;
        let wait = std::time::Duration::from_secs(1);
        let flood = async {
            while let Ok(Ok(n)) = tokio::time::timeout(wait, upstream.write(&[1; 512])).await {
                written += n;
            }
        };
        tokio::select! {
            () = flood => {}
            over = poll_fn(|cx| pump.poll(cx)) => panic!("{over:?}"),
        }
        // Two pipes and one buffer.
        assert_eq!(written, 1024 + BUFFER_BYTES.min(1024) + 1024);
        assert_eq!(down.get(), 1024);
        drop(client);
    });
}

/// A stream that is what it is told to be.
struct Odd {
    read: Option<&'static [u8]>,
    writable: bool,
    taken: usize,
}

impl AsyncRead for Odd {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(left) = &mut self.read else { return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) };
        buf.put_slice(left);
        *left = b"";
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Odd {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.writable {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.taken += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.writable { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) })
    }
}

#[test]
fn who_breaks_off_is_named_and_nothing_that_was_said_is_lost() {
    let said: Option<&'static [u8]> = Some(b"12345");
    let side = |read, writable| Odd { read, writable, taken: 0 };
    for (client, upstream, over, moved) in [
        (side(said, true), side(said, true), Over::Complete, [5, 5]),
        // Whoever has ended its own way may stop listening.
        (side(said, false), side(said, true), Over::Complete, [5, 0]),
        (side(said, true), side(said, false), Over::Complete, [0, 5]),
        (side(None, true), side(said, true), Over::Complete, [0, 5]),
        (side(said, true), side(None, true), Over::Upstream, [5, 0]),
        (side(said, true), side(None, false), Over::Upstream, [0, 0]),
        (side(None, false), side(said, true), Over::Client, [0, 0]),
        (side(None, false), side(None, false), Over::Client, [0, 0]),
    ] {
        let (up, down) = (Cell::new(0), Cell::new(0));
        let case = format!("{:?} {} {:?} {}", client.read, client.writable, upstream.read, upstream.writable);
        let mut pump = Pump::new(client, upstream, &up, &down);
        let ended = pump.poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert_eq!((ended, [up.get(), down.get()]), (Poll::Ready(over), moved), "{case}");
        assert_eq!([pump.upstream.taken, pump.client.taken].map(|n| n as u64), moved, "{case}");
    }
}
