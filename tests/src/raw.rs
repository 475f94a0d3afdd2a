//! A client that sends exactly the bytes it is told to.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::answer::{self, Answer, Unsaid};
use crate::frames::{self, Frame};
use crate::spawn::{Quiet, spawn};
use crate::wait::DEADLINE;

mod tls;

pub(crate) use tls::provider;
pub use tls::{TlsError, client, roots_of};

/// A connection to the gateway, and what runs inside it.
pub struct Raw {
    io: BufReader<Io>,
    quiet: Option<Quiet>,
}

enum Io {
    Tcp(Pieces),
    Tls(Box<StreamOwned<ClientConnection, Pieces>>),
}

/// A socket that sends at most so many bytes at a time.
struct Pieces {
    stream: TcpStream,
    size: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Pieces {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(&buffer[..buffer.len().min(self.size)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Read for Io {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.read(buffer),
            Self::Tls(s) => s.read(buffer),
        }
    }
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn open(gateway: SocketAddr) -> Self {
        let quiet = Quiet::new();
        Self::over(TcpStream::connect(gateway).unwrap(), quiet)
    }

    /// Connects to a Unix socket.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn open_unix(path: &Path) -> Self {
        let quiet = Quiet::new();
        let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        // A descriptor is a descriptor: reading, writing and closing are the same, and nothing else is asked of it.
        Self::over(TcpStream::from(std::os::fd::OwnedFd::from(stream)), quiet)
    }

    /// Connects by a socket that a child holds as its stdin, from before the connection is there.
    ///
    /// # Panics
    /// If nobody listens, or the child can't be started.
    #[must_use]
    pub fn open_shared(gateway: SocketAddr, child: &mut Command) -> (Self, Child) {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let child = spawn(child.stdin(Stdio::from(socket.try_clone().unwrap()))).unwrap();
        let quiet = Quiet::new();
        connect(&socket, &gateway).unwrap();
        (Self::over(TcpStream::from(socket), quiet), child)
    }

    /// Connects by a socket that was passed on through a Unix socket before, to somebody who says so by one byte.
    ///
    /// # Panics
    /// If nobody listens, or nobody takes it.
    #[must_use]
    pub fn open_passed(gateway: SocketAddr, to: &mut std::os::unix::net::UnixStream) -> Self {
        use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
        use rustix::net::{SocketFlags, SocketType, connect, sendmsg, socket_with};
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [std::os::fd::AsFd::as_fd(&socket)];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&*to, &[io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        to.read_exact(&mut [0]).unwrap();
        let quiet = Quiet::new();
        connect(&socket, &gateway).unwrap();
        Self::over(TcpStream::from(socket), quiet)
    }

    /// Gives the connection to a child, and keeps it.
    ///
    /// # Panics
    /// If the child cannot be started.
    #[must_use]
    pub fn share(&self, child: &mut Command) -> Child {
        let stream = self.tcp().try_clone().unwrap();
        let running = spawn(child.stdin(Stdio::from(std::os::fd::OwnedFd::from(stream)))).unwrap();
        // A command keeps what it was given.
        child.stdin(Stdio::null());
        running
    }

    /// Gives the connection to a child and lets go of it, without a word on it.
    ///
    /// # Panics
    /// If the child cannot be started.
    #[must_use]
    pub fn hand_on(self, child: &mut Command) -> Child {
        self.share(child)
    }

    fn over(stream: TcpStream, quiet: Quiet) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        // A Unix socket has no such delay.
        let _ = stream.set_nodelay(true);
        let pieces = Pieces { stream, size: usize::MAX };
        Self { io: BufReader::new(Io::Tcp(pieces)), quiet: Some(quiet) }
    }

    /// From now on every packet has at most so many bytes.
    #[must_use]
    pub fn in_pieces(mut self, size: usize) -> Self {
        match self.io.get_mut() {
            Io::Tcp(s) => s.size = size,
            Io::Tls(s) => s.sock.size = size,
        }
        self
    }

    fn tcp(&self) -> &TcpStream {
        match self.io.get_ref() {
            Io::Tcp(s) => &s.stream,
            Io::Tls(s) => &s.sock.stream,
        }
    }

    /// The socket, for another process to hold too.
    ///
    /// # Panics
    /// If it can't be duplicated.
    #[must_use]
    pub fn duplicate(&self) -> TcpStream {
        self.tcp().try_clone().unwrap()
    }

    /// The socket of a connection that nothing is to be read of.
    ///
    /// # Panics
    /// If TLS runs on it.
    #[must_use]
    pub fn into_tcp(self) -> TcpStream {
        assert!(self.io.buffer().is_empty(), "bytes that nobody has read");
        let Io::Tcp(pieces) = self.io.into_inner() else { panic!("TLS runs on it") };
        pieces.stream
    }

    /// The client's own address.
    ///
    /// # Panics
    /// If the socket has none.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.tcp().local_addr().unwrap()
    }

    /// Sends CONNECT with these further header lines, and reads the answer.
    ///
    /// # Panics
    /// If none comes.
    pub fn connect(&mut self, target: &str, lines: &str) -> Answer {
        self.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n").as_bytes());
        let head = answer::head(&mut self.io).unwrap().expect("an answer to CONNECT");
        let mut answer = Answer { status: status(&head), head, ..Answer::default() };
        self.quiet = None;
        if answer.status != 200 {
            answer::body(&mut answer, &mut self.io, Unsaid::Close).unwrap();
        }
        answer
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.io.get_mut() {
            Io::Tcp(s) => s.write_all(bytes),
            Io::Tls(s) => s.write_all(bytes).and_then(|()| s.flush()),
        }
    }

    /// Sends as much as the other side takes within a second.
    ///
    /// # Panics
    /// If the socket takes no options.
    pub fn send_some(&mut self, bytes: &[u8]) {
        self.tcp().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let _ = self.try_send(bytes);
        self.tcp().set_write_timeout(Some(DEADLINE)).unwrap();
    }

    /// Sends bytes in pieces of this size, each in a packet of its own.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send(piece);
        }
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self) {
        let _ = self.tcp().shutdown(Shutdown::Write);
    }

    /// The next answer, by its framing.
    ///
    /// # Panics
    /// If it breaks off.
    pub fn answer(&mut self) -> Answer {
        self.try_answer("GET").unwrap().expect("an answer")
    }

    /// The next answer, to a request of this method; `None` at the end.
    ///
    /// # Errors
    /// If it breaks off.
    pub fn try_answer(&mut self, method: &str) -> io::Result<Option<Answer>> {
        let Some(mut answer) = self.answer_head()? else { return Ok(None) };
        let bodyless = method == "HEAD" || matches!(answer.status, 100..=199 | 204 | 304);
        if !bodyless {
            answer::body(&mut answer, &mut self.io, Unsaid::Close)?;
        }
        Ok(Some(answer))
    }

    /// The head of the next answer, its body unread.
    ///
    /// # Errors
    /// If it breaks off.
    pub fn answer_head(&mut self) -> io::Result<Option<Answer>> {
        let head = answer::head(&mut self.io)?;
        self.quiet = None;
        Ok(head.map(|head| Answer { status: status(&head), head, ..Answer::default() }))
    }

    /// The body behind this head.
    ///
    /// # Errors
    /// If it breaks off.
    pub fn body(&mut self, mut head: Answer) -> io::Result<Answer> {
        answer::body(&mut head, &mut self.io, Unsaid::Close)?;
        Ok(head)
    }

    /// The next chunk of a chunked body, empty at its end.
    ///
    /// # Errors
    /// If it breaks off.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = answer::line(&mut self.io)?;
        let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size];
        self.io.read_exact(&mut chunk)?;
        answer::line(&mut self.io)?;
        Ok(chunk)
    }

    /// The chunks that are left, joined.
    ///
    /// # Errors
    /// If the body breaks off.
    pub fn rest_of_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(rest);
            }
            rest.extend(chunk);
        }
    }

    /// The next frame of a WebSocket; `None` at the end of the stream.
    ///
    /// # Errors
    /// If it breaks off.
    pub fn frame(&mut self) -> io::Result<Option<Frame>> {
        frames::read(&mut self.io)
    }

    /// As many bytes as there is room for.
    ///
    /// # Errors
    /// The stream ends or breaks off before.
    pub fn exact(&mut self, room: &mut [u8]) -> io::Result<()> {
        self.quiet = None;
        self.io.read_exact(room)
    }

    /// Everything until the other side closes in order.
    ///
    /// # Errors
    /// It breaks off: a reset, or a TLS stream without its last word.
    pub fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.io.read_to_end(&mut rest).map(|_| rest)
    }

    /// Everything until the other side closes; a reset is an end too.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.io.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => rest.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("not closed; so far: {rest:?}"),
                Err(_) => break,
            }
        }
        self.quiet = None;
        rest
    }
}

fn status(head: &str) -> u16 {
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {head:?}"))
}
