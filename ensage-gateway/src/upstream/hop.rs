//! The next hop: a proxy that is asked by CONNECT for a way to each upstream, those of plain http too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ensage_policy::Policy;
use ensage_policy::authority::{Authority, Host};
use ensage_policy::model::{HopFrom, Limits, NextHop, Slot};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::Fault;
use super::resolve::is_own;
use crate::gate::{Asked, Inspector};
use crate::gateway::Shared;
use crate::telemetry::chain;

/// The next hop of one policy generation, if it is in use.
pub(super) struct Hop {
    next: NextHop,
    /// Its address, as records have it.
    name: Arc<str>,
}

impl Hop {
    /// None where the environment names one of the gateway's own listeners: that is how a gateway is meant whose shell
    /// was pointed at it.
    pub(super) fn of(policy: &Policy, own: &[SocketAddr]) -> Option<Self> {
        let next = policy.upstream.next_hop.clone()?;
        if next.from == HopFrom::Environment && literal(&next.at).is_some_and(|at| is_own(&at, own)) {
            return None;
        }
        Some(Self { name: next.at.to_string().into(), next })
    }

    /// Where it is.
    pub(super) fn at(&self) -> &Authority {
        &self.next.at
    }

    /// Its address, where this upstream is reached through it.
    pub(super) fn leads_to(&self, to: &Authority) -> Option<&Arc<str>> {
        self.next.leads_to(to).then_some(&self.name)
    }

    /// What it is sent as `proxy-authorization`.
    pub(super) fn authorization(&self, shared: &Shared) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let Some(credential) = &self.next.credential else { return Ok(None) };
        let Some(Slot::Basic(user)) = credential.slots.first() else { return Ok(None) };
        let failed = |cause: String| {
            tracing::error!(credential = &*credential.name, cause, "the credential of the next hop cannot be used");
            Fault::HopCredential
        };
        let secret = shared.secret(credential).map_err(|e| failed(chain(&e)))?;
        ensage_creds::egress::basic(user.as_deref(), &secret).map(Some).map_err(|e| failed(chain(&e)))
    }

    /// Asks for a tunnel. What comes behind the head of the answer is the upstream's, and left in the socket.
    pub(super) async fn tunnel(
        &self,
        tcp: &mut TcpStream,
        to: &Authority,
        authorization: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let mut request = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes());
        // Grown once: a vector that moves leaves a copy behind.
        request.reserve_exact(authorization.map_or(0, <[u8]>::len).saturating_add(64));
        if let Some(value) = authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let answered = async {
            tcp.write_all(&request).await.map_err(broken)?;
            status(tcp, limits).await
        };
        match tokio::time::timeout(limits.dial_timeout, answered).await.map_err(|_| Fault::Timeout)?? {
            200 => Ok(()),
            407 => {
                // The operator's matter: an agent learns nothing of credentials that are not its own.
                tracing::error!(via = &*self.name, "the next hop refuses the credential that it is sent, or wants one");
                Err(Fault::Hop { detail: "407" })
            }
            status => {
                tracing::debug!(via = &*self.name, status, "the next hop opens no tunnel");
                Err(Fault::Hop { detail: "another status than 200" })
            }
        }
    }
}

/// The address of a next hop that is named by its address, or as this machine.
fn literal(at: &Authority) -> Option<SocketAddr> {
    let ip = match &at.host {
        Host::Name(name) if **name == *"localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.ip()?,
    };
    Some(SocketAddr::new(ip, at.port))
}

/// The status of the answer, whose head is taken out of the socket and no byte more.
async fn status(tcp: &mut TcpStream, limits: &Limits) -> Result<u16, Fault> {
    let mut inspector = Inspector::responses(limits.into());
    inspector.expect(Asked::Connect);
    let mut head = Vec::new();
    let mut waiting = [0; 2048];
    loop {
        let some = tcp.peek(&mut waiting).await.map_err(broken)?;
        let come = waiting.get(..some).unwrap_or_default();
        if come.is_empty() {
            return Err(Fault::Hop { detail: "it closed the connection without an answer" });
        }
        // The end of the head may have begun before.
        let known = head.len();
        head.extend_from_slice(come);
        let end = memmem::find(head.get(known.saturating_sub(3)..).unwrap_or_default(), b"\r\n\r\n")
            .map(|at| at.saturating_add(known.saturating_sub(3)).saturating_add(4));
        head.truncate(end.unwrap_or(head.len()));
        let fresh = head.get(known..).unwrap_or_default();
        inspector.feed(fresh);
        if let Some(violation) = inspector.violation() {
            return Err(Fault::Hop { detail: violation.detail });
        }
        let taken = fresh.len();
        tcp.read_exact(waiting.get_mut(..taken).unwrap_or_default()).await.map_err(broken)?;
        if end.is_some() {
            // `HTTP/1.1 200`, as the inspector has found.
            let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
            return digits.and_then(|digits| digits.parse().ok()).ok_or(Fault::Hop { detail: "no status" });
        }
    }
}

fn broken(_: io::Error) -> Fault {
    Fault::Hop { detail: "the connection to it broke" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ensage_policy::config;
    use tokio::net::TcpListener;

    use super::*;

    fn limits() -> Limits {
        let loaded = config::load("[limits]\nheader = \"1KiB\"\ndial_timeout = \"30s\"", None, &config::Env::default());
        loaded.policy.unwrap().limits
    }

    /// What the gateway makes of an answer that comes in pieces of this size, and what is left for the upstream leg.
    async fn asked(answer: &[u8], size: usize) -> (Result<u16, Fault>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        theirs.set_nodelay(true).unwrap();
        let answer = answer.to_vec();
        let saying = async move {
            for piece in answer.chunks(size) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let hearing = async {
            let status = status(&mut ours, &limits()).await;
            let mut rest = Vec::new();
            if status.is_ok() {
                ours.read_to_end(&mut rest).await.unwrap();
            }
            (status, rest)
        };
        let both = async { tokio::join!(hearing, saying).0 };
        tokio::time::timeout(Duration::from_secs(60), both).await.unwrap()
    }

    #[tokio::test]
    async fn what_follows_the_head_belongs_to_the_tunnel() {
        for size in [1, 3, 40, 1000] {
            for head in
                ["HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\nVia: x\r\nContent-Length: 7\r\n\r\n"]
            {
                for tail in ["", "\r\n\r\nHTTP/1.1 418 x\r\n\r\n", "\x16\x03\x01"] {
                    let (status, rest) = asked(format!("{head}{tail}").as_bytes(), size).await;
                    assert_eq!(
                        (status.ok(), rest.as_slice()),
                        (Some(200), tail.as_bytes()),
                        "{size} {head:?} {tail:?}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn only_one_strict_head_is_an_answer() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2000));
        let endless = "HTTP/1.1 200 OK\r\nx: y\r\n".to_owned() + &"a: b\r\n".repeat(5000);
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/2 200\r\n\r\n",
            "200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "SSH-2.0-x\r\n",
            &long,
            &endless,
        ] {
            for size in [7, 4096] {
                let (status, _) = asked(bad.as_bytes(), size).await;
                assert!(matches!(status, Err(Fault::Hop { .. })), "{:?}: {status:?}", bad.get(..40).unwrap_or(bad));
            }
        }
        for other in ["HTTP/1.1 407 x\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"] {
            assert_ne!(asked(other.as_bytes(), 9).await.0.unwrap(), 200, "{other:?}");
        }
    }
}
