//! One connection to an origin: checked address, TCP, verified TLS, the response gate on top.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ensage_policy::authority::{Authority, Host};
use ensage_policy::{Policy, Scheme};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::SetupError;
use super::hop::Hop;
use super::resolve::{Names, asked_of_hop};
use super::verify::fault_of;
use super::{Fault, PoolKey};
use crate::gateway::{Generation, Shared, is_out_of_files};
use crate::metrics::{Leg, Meter, Tally};
use crate::socket::Socket;

/// Dials origins under one policy generation; lives on one worker.
pub(crate) struct Dialer {
    policy: Arc<Policy>,
    names: Names,
    hop: Option<Hop>,
    tls: TlsConnector,
    tls_h2: TlsConnector,
    tally: Arc<Tally>,
}

/// A connection over which nothing was sent yet.
pub(crate) struct Connected {
    /// The bytes.
    pub(crate) io: OriginIo,
    /// The address that was checked and dialled.
    pub(crate) peer: SocketAddr,
    /// It speaks HTTP/2.
    pub(crate) h2: bool,
}

impl Dialer {
    /// Must be called inside the worker's runtime; `own` are the gateway's listeners. The error is about the resolvers.
    pub(crate) fn new(generation: &Generation, tally: Arc<Tally>, own: &[SocketAddr]) -> Result<Self, SetupError> {
        let policy = generation.policy.clone();
        let tls = TlsConnector::from(generation.tls.clone());
        let tls_h2 = TlsConnector::from(generation.tls_h2.clone());
        let names = Names::new(&policy.upstream.dns)?;
        let hop = Hop::of(&policy, own);
        Ok(Self { policy, names, hop, tls, tls_h2, tally })
    }

    /// The next hop, where `to` is reached through it.
    pub(crate) fn via(&self, to: &Authority) -> Option<Arc<str>> {
        self.hop.as_ref().and_then(|hop| hop.leads_to(to)).cloned()
    }

    /// Opens a connection for requests of this key, HTTP/2 being offered too where they may share it; for `https` the certificate is verified for that very name.
    /// The gateway's own listeners are never dialled.
    pub(crate) async fn dial(&self, key: &PoolKey, shares: bool, shared: &Shared) -> Result<Connected, Fault> {
        let to = &key.authority;
        let limit = self.policy.limits.dial_timeout;
        let (tcp, peer) = self.dial_unseen(to, &key.opened, shared).await?;
        let mut h2 = false;
        let io = match key.scheme {
            Scheme::Http => OriginIo::Plain(tcp),
            Scheme::Https => {
                let name = server_name(&to.host)?;
                let connector = if shares { &self.tls_h2 } else { &self.tls };
                let shake = tokio::time::timeout(limit, connector.connect(name, tcp)).await;
                let shaken = shake.as_ref().ok().and_then(|s| s.as_ref().ok());
                self.tally.handshake(Leg::Upstream, shaken.and_then(|tls| tls.get_ref().1.handshake_kind()));
                let tls = shake.map_err(|_| Fault::Timeout)?.map_err(handshake_fault)?;
                h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                OriginIo::Tls(Box::new(tls))
            }
        };
        Ok(Connected { io, peer, h2 })
    }

    /// The bare connection: checked address, TCP, and whatever the client itself says over it.
    pub(crate) async fn dial_unseen(
        &self,
        to: &Authority,
        opened: &[IpNet],
        shared: &Shared,
    ) -> Result<(Socket, SocketAddr), Fault> {
        let own = shared.own_addresses();
        let tcp = match self.hop.as_ref().filter(|hop| hop.leads_to(to).is_some()) {
            None => {
                let addresses = self.names.addresses(&self.policy, to, opened, &own).await?;
                connect(&addresses, self.policy.limits.dial_timeout).await?
            }
            Some(hop) => self.through(hop, &asked_of_hop(&self.policy, to, opened, &own)?, shared, &own).await?,
        };
        let peer = tcp.peer_addr().map_err(Fault::Connect)?;
        let tcp = Socket::new(tcp, Meter::new(&self.tally, Leg::Upstream)).map_err(Fault::Connect)?;
        Ok((tcp, peer))
    }

    /// A tunnel of the next hop.
    async fn through(
        &self,
        hop: &Hop,
        asked: &Authority,
        shared: &Shared,
        own: &[SocketAddr],
    ) -> Result<TcpStream, Fault> {
        let authorization = hop.authorization(shared)?;
        let addresses = self.names.of_hop(&self.policy, hop.at(), own).await?;
        let mut tcp = connect(&addresses, self.policy.limits.dial_timeout).await.map_err(|fault| match fault {
            Fault::Connect(_) => Fault::Hop { detail: "it does not accept the connection" },
            other => other,
        })?;
        hop.tunnel(&mut tcp, asked, authorization.as_deref().map(Vec::as_slice), &self.policy.limits).await?;
        Ok(tcp)
    }
}

/// Tries the addresses in order and keeps the first that accepts.
async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, Fault> {
    let all = async {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for at in addresses {
            match TcpStream::connect(at).await {
                Ok(tcp) => return Ok(tcp),
                // Another address would not be had either.
                Err(e) if is_out_of_files(&e) => return Err(Fault::Exhausted),
                Err(e) => last = e,
            }
        }
        Err(Fault::Connect(last))
    };
    tokio::time::timeout(limit, all).await.map_err(|_| Fault::Timeout)?
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Fault> {
    match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| Fault::Dns),
        Host::V4(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::V6(ip) => Ok(ServerName::IpAddress((*ip).into())),
    }
}

fn handshake_fault(error: io::Error) -> Fault {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner.and_then(fault_of) {
        Some(fault) => Fault::Certificate { fault },
        None => Fault::Tls(error),
    }
}

/// The two kinds of upstream connection.
pub(crate) enum OriginIo {
    /// `http`
    Plain(Socket),
    /// `https`
    Tls(Box<TlsStream<Socket>>),
}

impl AsyncRead for OriginIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for OriginIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(s) => s.is_write_vectored(),
            Self::Tls(s) => s.is_write_vectored(),
        }
    }
}
