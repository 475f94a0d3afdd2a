//! HTTP/2 on both sides of the gateway: a client, and an origin that records what it is asked.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::pki::Leaf;
use crate::raw::{Raw, provider};
use crate::wait::DEADLINE;

/// A whole message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// 0 for a request.
    pub status: u16,
    /// `METHOD scheme://authority/path` of a request.
    pub line: String,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// The fields behind it.
    pub trailers: Option<HeaderMap>,
    /// On which connection it came, from 0.
    pub connection: usize,
}

impl Message {
    /// The value of a field; `None` if it is absent.
    ///
    /// # Panics
    /// If it is no text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    async fn read(mut self, mut stream: RecvStream) -> Result<Self, h2::Error> {
        while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            self.body.extend_from_slice(&data);
        }
        self.trailers = poll_fn(|cx| stream.poll_trailers(cx)).await?;
        Ok(self)
    }
}

/// Reads a request to its end.
///
/// # Errors
/// It breaks off.
pub async fn whole(request: Request<RecvStream>) -> Result<Message, h2::Error> {
    let (head, stream) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri);
    Message { line, fields: head.headers, ..Message::default() }.read(stream).await
}

/// Sends a body as far as there is room, to its end.
///
/// # Panics
/// If the peer takes no more.
pub async fn send_all(stream: &mut SendStream<Bytes>, body: &[u8], end: bool) {
    let mut rest = Bytes::copy_from_slice(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        let some = rest.split_to(room.min(rest.len()));
        stream.send_data(some, end && rest.is_empty()).unwrap();
    }
    if end && body.is_empty() {
        stream.send_data(Bytes::new(), true).unwrap();
    }
}

/// A client inside a tunnel.
pub struct Client {
    runtime: Runtime,
    local: LocalSet,
    send: SendRequest<Bytes>,
}

impl Client {
    /// Over a tunnel that was granted.
    ///
    /// # Panics
    /// If there is no HTTP/2.
    #[must_use]
    pub fn open(tunnel: Raw, roots: &RootCertStore, name: &str) -> Self {
        Self::with(tunnel, roots, name, &h2::client::Builder::new())
    }

    /// The same with settings of its own.
    ///
    /// # Panics
    /// If there is no HTTP/2.
    #[must_use]
    pub fn with(tunnel: Raw, roots: &RootCertStore, name: &str, settings: &h2::client::Builder) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let local = LocalSet::new();
        let tcp = tunnel.into_tcp();
        tcp.set_nonblocking(true).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let send = local.block_on(&runtime, async {
            let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
            let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (send, conn) = settings.handshake(tls).await.unwrap();
            tokio::task::spawn_local(async move {
                let _ = conn.await;
            });
            send
        });
        Self { runtime, local, send }
    }

    /// Opens streams on the connection.
    #[must_use]
    pub fn sender(&self) -> SendRequest<Bytes> {
        self.send.clone()
    }

    /// Runs this to its end, and the connection meanwhile.
    ///
    /// # Panics
    /// If it does not end.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, async { timeout(DEADLINE, work).await.expect("an end") })
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// The stream or the connection broke.
    pub fn ask(&self, request: Request<Vec<u8>>) -> Result<Message, h2::Error> {
        self.run(ask(self.sender(), request))
    }

    /// `GET` of this URL.
    ///
    /// # Errors
    /// The stream or the connection broke.
    ///
    /// # Panics
    /// If it is none.
    pub fn get(&self, url: &str) -> Result<Message, h2::Error> {
        self.ask(Request::get(url).body(Vec::new()).unwrap())
    }
}

/// One request and its answer.
///
/// # Errors
/// The stream or the connection broke.
pub async fn ask(send: SendRequest<Bytes>, request: Request<Vec<u8>>) -> Result<Message, h2::Error> {
    let (head, body) = request.into_parts();
    let mut send = send.ready().await?;
    let (response, mut stream) = send.send_request(Request::from_parts(head, ()), body.is_empty())?;
    if !body.is_empty() {
        send_all(&mut stream, &body, true).await;
    }
    answer(response.await?).await
}

/// An answer to its end.
///
/// # Errors
/// It breaks off.
pub async fn answer(response: Response<RecvStream>) -> Result<Message, h2::Error> {
    let (head, stream) = response.into_parts();
    Message { status: head.status.as_u16(), fields: head.headers, ..Message::default() }.read(stream).await
}

type Answering = Pin<Box<dyn Future<Output = ()>>>;

/// An origin that speaks HTTP/2, and nothing else.
pub struct H2Origin {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Message>>>,
    connections: Arc<Mutex<usize>>,
}

impl H2Origin {
    /// Answers each request by `script`, which gets it unread.
    ///
    /// # Panics
    /// If there is no port for it.
    pub fn start<S, F>(leaf: Leaf, script: S) -> Self
    where
        S: Fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(leaf.chain, leaf.key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let counted = connections.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((tcp, _)) = listener.accept().await {
                    let (acceptor, script, counted) = (acceptor.clone(), script.clone(), counted.clone());
                    tokio::task::spawn_local(async move {
                        let Ok(tls) = acceptor.accept(tcp).await else { return };
                        let number = {
                            let mut all = counted.lock().unwrap_or_else(PoisonError::into_inner);
                            *all += 1;
                            *all - 1
                        };
                        // What is paused takes up its stream's own window, and not that of all.
                        let mut settings = h2::server::Builder::new();
                        settings.initial_connection_window_size(16 << 20);
                        let Ok(mut conn) = settings.handshake::<_, Bytes>(tls).await else { return };
                        while let Some(Ok((request, respond))) = conn.accept().await {
                            let answering: Answering = Box::pin(script(request, respond, number));
                            tokio::task::spawn_local(answering);
                        }
                    });
                }
            });
        });
        Self { address, asked: Arc::default(), connections }
    }

    /// Reads each request whole, records it, and answers what `reply` makes of it.
    pub fn answering(leaf: Leaf, reply: impl Fn(&Message) -> Message + Clone + Send + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Message>>> = Arc::default();
        let log = asked.clone();
        let script = move |request, respond, number| {
            let (reply, log) = (reply.clone(), log.clone());
            async move {
                let Ok(mut message) = whole(request).await else { return };
                message.connection = number;
                let answer = reply(&message);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                send(respond, answer).await;
            }
        };
        Self { asked, ..Self::start(leaf, script) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked, in the order in which that was whole.
    #[must_use]
    pub fn asked(&self) -> Vec<Message> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections it has taken.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a whole answer. Whoever does not want it is no failure of the origin's.
///
/// # Panics
/// If it is no answer.
pub async fn send(mut respond: SendResponse<Bytes>, answer: Message) {
    let mut head = Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(answer.status).unwrap();
    *head.headers_mut() = answer.fields;
    let ends = answer.body.is_empty() && answer.trailers.is_none();
    let Ok(mut stream) = respond.send_response(head, ends) else { return };
    if !answer.body.is_empty() {
        send_all(&mut stream, &answer.body, answer.trailers.is_none()).await;
    }
    if let Some(trailers) = answer.trailers {
        let _ = stream.send_trailers(trailers);
    }
}

/// `200` with this body.
#[must_use]
pub fn good(body: impl Into<Vec<u8>>) -> Message {
    Message { status: 200, body: body.into(), ..Message::default() }
}
