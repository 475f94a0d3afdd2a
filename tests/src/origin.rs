//! Servers that answer by a script and record every byte they get.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::answer::{self, Answer, Unsaid};
use crate::frames::{self, Frame};
use crate::pki::Leaf;
use crate::wait::{DEADLINE, until};

/// What an origin got, one entry for each connection: the bytes inside TLS, or those of TCP.
pub type Received = Vec<Vec<u8>>;

type Script = Arc<dyn Fn(&mut Link) -> io::Result<()> + Send + Sync>;

/// A server on loopback. With a certificate it speaks TLS, without one TCP.
pub struct Origin {
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    received: Mutex<Received>,
    over: AtomicBool,
}

impl Log {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// Serves each connection by `script`, which ends it by returning.
    pub fn start(leaf: Option<Leaf>, script: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", leaf, Arc::new(script))
    }

    fn start_at(address: &str, leaf: Option<Leaf>, script: Script) -> Self {
        let tls = leaf.map(|leaf| {
            let mut config = ServerConfig::builder_with_provider(crate::raw::provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(leaf.chain, leaf.key)
                .unwrap();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        });
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<Log> = Arc::default();
        let shared = log.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut received = shared.received();
                    received.push(Vec::new());
                    received.len() - 1
                };
                let (tls, script, log) = (tls.clone(), script.clone(), shared.clone());
                thread::spawn(move || serve(stream, tls, &script, log, number));
            }
        });
        Self { address, log }
    }

    /// Answers every request with what `reply` makes of it; keeps connections alive.
    pub fn answering(leaf: Option<Leaf>, reply: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(leaf, move |link| {
            while let Some(request) = link.request()? {
                link.write(&reply(&request))?;
            }
            Ok(())
        })
    }

    /// Answers `200` with the body `good`.
    #[must_use]
    pub fn good(leaf: Leaf) -> Self {
        Self::answering(Some(leaf), |_| ok("good"))
    }

    /// A TCP server that answers nothing and records all.
    #[must_use]
    pub fn sink() -> Self {
        Self::sink_at("127.0.0.1:0")
    }

    /// The same at this address.
    #[must_use]
    pub fn sink_at(address: &str) -> Self {
        Self::start_at(address, None, Arc::new(|link: &mut Link| io::copy(&mut link.io, &mut io::sink()).map(drop)))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of that.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.received().len()
    }

    /// What came, by connection.
    #[must_use]
    pub fn received(&self) -> Received {
        self.log.received().clone()
    }

    /// All that came, as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.received().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// How many requests came: heads in all connections.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.text().matches(" HTTP/1.1\r\n").count()
    }

    /// Waits until `wanted` is among what came.
    pub fn wait_for(&self, wanted: &str) {
        until(&format!("{wanted:?} at the origin"), || self.text().contains(wanted).then_some(()));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.log.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

/// A `200` with this body and its length.
#[must_use]
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, script: &Script, log: Arc<Log>, number: usize) {
    let _ = stream.set_read_timeout(Some(DEADLINE));
    let _ = stream.set_nodelay(true);
    let Ok(tcp) = stream.try_clone() else { return };
    let io: Box<dyn ReadWrite> = match tls {
        None => Box::new(stream),
        Some(config) => match ServerConnection::new(config) {
            Ok(session) => Box::new(StreamOwned::new(session, stream)),
            Err(_) => return,
        },
    };
    let mut link = Link { io: BufReader::new(Recorded { io, log, number }), number, tcp };
    // A script that fails ends its connection; the test sees that from the other side.
    let _ = script(&mut link);
    link.io.get_mut().io.finish();
    let _ = link.tcp.shutdown(Shutdown::Write);
    // What still comes is recorded too.
    let _ = io::copy(&mut link.io, &mut io::sink());
}

trait ReadWrite: Read + Write + Send {
    /// Says that nothing more comes.
    fn finish(&mut self) {}
}

impl ReadWrite for TcpStream {}

impl ReadWrite for StreamOwned<ServerConnection, TcpStream> {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

/// Most bytes of one connection that are kept; what is longer is an upload.
const KEPT_MAX: usize = 1 << 20;

struct Recorded {
    io: Box<dyn ReadWrite>,
    log: Arc<Log>,
    number: usize,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.io.read(buffer)?;
        let mut received = self.log.received();
        let all = &mut received[self.number];
        let room = KEPT_MAX.saturating_sub(all.len()).min(n);
        all.extend_from_slice(&buffer[..room]);
        Ok(n)
    }
}

/// One connection of an origin, as its script sees it.
pub struct Link {
    io: BufReader<Recorded>,
    number: usize,
    tcp: TcpStream,
}

impl Link {
    /// Which connection this is, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next request, `None` at the end.
    ///
    /// # Errors
    /// Where it breaks off.
    pub fn request(&mut self) -> io::Result<Option<Answer>> {
        let Some(mut message) = self.request_head()? else { return Ok(None) };
        answer::body(&mut message, &mut self.io, Unsaid::Nothing)?;
        Ok(Some(message))
    }

    /// The head of the next request.
    ///
    /// # Errors
    /// Where it breaks off.
    pub fn request_head(&mut self) -> io::Result<Option<Answer>> {
        Ok(answer::head(&mut self.io)?.map(|head| Answer { head, ..Answer::default() }))
    }

    /// Reads the body of `head` without keeping it: its length and its checksum.
    ///
    /// # Errors
    /// Where it breaks off.
    pub fn body_sum(&mut self, head: &Answer) -> io::Result<(u64, u64)> {
        answer::body_sum(head, &mut self.io)
    }

    /// The next frame of a WebSocket; `None` at the end of the stream.
    ///
    /// # Errors
    /// Where it breaks off.
    pub fn frame(&mut self) -> io::Result<Option<Frame>> {
        frames::read(&mut self.io)
    }

    /// Reads a request that asks for a WebSocket, and answers 101 with these further header lines.
    ///
    /// # Errors
    /// Where it breaks off, or does not ask for one.
    pub fn upgrade(&mut self, lines: &str) -> io::Result<Answer> {
        let request = self.request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let asks = request.field("upgrade") == Some("websocket") && request.field("sec-websocket-key").is_some();
        if !asks {
            return Err(io::Error::other(request.head));
        }
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
        self.write(format!("{head}\r\nSec-WebSocket-Accept: {}\r\n{lines}\r\n", frames::ACCEPT).as_bytes())?;
        Ok(request)
    }

    /// Some bytes of the body, empty at the end of the stream.
    ///
    /// # Errors
    /// Where the connection breaks off.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.io.fill_buf()?.to_vec();
        self.io.consume(bytes.len());
        Ok(bytes)
    }

    /// Sends bytes at once.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let io = &mut self.io.get_mut().io;
        io.write_all(bytes)?;
        io.flush()
    }

    /// Breaks the connection off: the other side sees a reset.
    pub fn reset(&mut self) {
        let _ = rustix::net::connect_unspec(&self.tcp);
    }

    /// Leads on to `to`, as a proxy does once it has answered CONNECT; returns when one side has ended.
    ///
    /// # Errors
    /// Where nobody is there.
    pub fn lead_to(&mut self, to: SocketAddr) -> io::Result<()> {
        let mut there = TcpStream::connect(to)?;
        let (mut back, mut here) = (there.try_clone()?, self.tcp.try_clone()?);
        let answers = thread::spawn(move || {
            let _ = io::copy(&mut back, &mut here);
            let _ = here.shutdown(Shutdown::Both);
        });
        let _ = io::copy(&mut self.io, &mut there);
        let _ = there.shutdown(Shutdown::Write);
        let _ = answers.join();
        Ok(())
    }

    /// Ends the connection without a word: no close_notify, no final chunk.
    pub fn cut(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}
