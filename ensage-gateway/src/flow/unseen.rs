//! TLS that passes unread: to hosts that `tunnel` lists, and in the embedded default to those where a program refuses
//! our certificate.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ensage_policy::Reason;
use ensage_policy::authority::Authority;
use ensage_policy::judge::{TunnelPermit, Unseen};
use http::request::Parts;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;

use super::body::Cut;
use super::connection::{Link, Tunnel};
use super::exchange::Exchange;
use super::forward::dialer;
use super::identify::{self, Client, Conn, Member, Taint, Via};
use super::prefixed::Prefixed;
use super::pump::{Over, Pump};
use super::reply::{self, Stop};
use super::tunnel::{alert, sni};
use super::wait::unless;
use crate::gate::Watch;
use crate::gateway::Shared;
use crate::h1::Presence;
use crate::refusals::{Party, Program, REFUSALS_ENOUGH};
use crate::socket::Socket;

/// Most bytes that are looked through for a ClientHello.
const HELLO_BYTES_MAX: usize = 64 * 1024;
/// How often it is asked whether a client that sends no more still listens.
const PRESENCE_EVERY: Duration = Duration::from_secs(5);
/// A client that checks a certificate after its handshake does so at once.
const RIGHT_AFTER: Duration = Duration::from_secs(3);
/// RFC 8446 section 6.2.
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;
pub(super) const UNRECOGNIZED_NAME: u8 = 112;

/// Who is at the other end of a connection, as its refusals at `authority` are counted.
fn party(member: &Member, authority: &Authority) -> Party {
    let program = member.facts.program.clone();
    (program.unwrap_or(Program::Session(member.session.id)), authority.clone())
}

/// Whether TLS to this host passes unread for this client, and on whose word.
pub(super) fn permit(link: &Link<'_>, authority: &Authority) -> Option<(TunnelPermit, Unseen)> {
    let Client::Member(member) = link.client else { return None };
    let judged = |unseen| judge(link.shared, member, authority, unseen).ok().flatten().map(|permit| (permit, unseen));
    judged(Unseen::Listed).or_else(|| {
        let enough = link.shared.refusals.is_enough(&party(member, authority));
        if enough { judged(Unseen::Refused) } else { None }
    })
}

/// Under the policy of this moment. What speaks against it is told by whoever reads the TLS.
fn judge(
    shared: &Shared,
    member: &Member,
    authority: &Authority,
    unseen: Unseen,
) -> Result<Option<TunnelPermit>, Stop> {
    let policy = shared.policy();
    let enclave = identify::enclave(&policy, member)?;
    let mut trial = identify::admit(&policy, enclave, member)?;
    trial.tunnel(authority, unseen).map_err(Stop::from)
}

/// Passes what is in a CONNECT through. What is refused is recorded and told by an alert: nobody reads HTTP here.
pub(super) async fn pass(
    link: &Link<'_>,
    mut io: Prefixed<Socket>,
    (permit, unseen): (TunnelPermit, Unseen),
    asked: Tunnel,
) {
    let conn = link.conn(Via::Proxy, Watch::detached());
    let Some(head) = connect() else { return };
    let mut x = Exchange::begin(&conn, &head);
    x.unseen(&permit);
    let stop = match opened(&conn, &mut x, &mut io, &permit, asked.taint).await {
        Ok((member, upstream)) => {
            let passing = Passing { link, conn: &conn, member: &member, authority: permit.authority(), unseen };
            return passing.carry(x, io, upstream).await;
        }
        Err(None) => return,
        Err(Some(stop)) => stop,
    };
    let description = match &stop {
        Stop::Denied(denial) if denial.reason == Reason::AuthorityMismatch => UNRECOGNIZED_NAME,
        Stop::Denied(denial) if !denial.reason.is_fault() => ACCESS_DENIED,
        Stop::Denied(_) | Stop::Fault(_) | Stop::ClientGone => INTERNAL_ERROR,
    };
    let _ = reply::refuse(x, stop, &head);
    let _ = io.write_all(&alert(description)).await;
    let _ = io.shutdown().await;
}

/// The head of a CONNECT that is not at hand any more.
pub(super) fn connect() -> Option<Parts> {
    let head = http::Request::builder().method(http::Method::CONNECT).body(());
    head.ok().map(|request| request.into_parts().0)
}

/// Everything that must hold before the first byte goes up, and the connection that it goes to. `None` where the client
/// went away.
async fn opened(
    conn: &Rc<Conn>,
    x: &mut Exchange,
    io: &mut Prefixed<Socket>,
    permit: &TunnelPermit,
    taint: Option<Taint>,
) -> Result<(Rc<Member>, Socket), Option<Stop>> {
    let member = identify::member(conn, x)?;
    if let Some(taint) = taint {
        if let Some(name) = &taint.credential {
            x.credential(name, "refused");
        }
        let what = "the CONNECT of this tunnel carried a placeholder, and no credential goes through a tunnel";
        return Err(Some(Stop::refused(taint.reason, what)));
    }
    let wait = x.policy().limits.head_timeout;
    let named = tokio::time::timeout(wait, named(io, permit.authority())).await;
    named.map_err(|_| Stop::refused(Reason::ClientTimeout, "the ClientHello took too long"))??;
    x.launch()?;
    let dialer = dialer(conn, x)?;
    let dialled = dialer.dial_unseen(permit.authority(), permit.addresses(), &conn.shared).await;
    let (upstream, peer): (Socket, SocketAddr) = dialled.map_err(Stop::from)?;
    x.decided(Some(peer))?;
    x.recorded()?;
    Ok((member, upstream))
}

/// Reads the ClientHello without taking it, and holds its name against the CONNECT's.
async fn named(io: &mut Prefixed<Socket>, authority: &Authority) -> Result<(), Option<Stop>> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        while let Some(mut fresh) = io.prefix().get(fed..).filter(|fresh| !fresh.is_empty()) {
            let taken = acceptor.read_tls(&mut fresh).map_err(|_| None)?;
            fed += taken;
            match acceptor.accept() {
                Ok(Some(accepted)) => return sni(accepted.client_hello().server_name(), authority).map_err(Some),
                Ok(None) if taken > 0 && fed <= HELLO_BYTES_MAX => {}
                Ok(None) | Err(_) => {
                    let what = "the ClientHello cannot be read in one way only";
                    return Err(Some(Stop::refused(Reason::AuthorityMismatch, what)));
                }
            }
        }
        if io.fill().await.map_err(|_| None)? == 0 {
            return Err(None);
        }
    }
}

/// A tunnel that is open.
struct Passing<'a> {
    link: &'a Link<'a>,
    conn: &'a Rc<Conn>,
    member: &'a Rc<Member>,
    authority: &'a Authority,
    unseen: Unseen,
}

impl Passing<'_> {
    /// Carries bytes until both sides are done, one of them breaks off, or the policy has it no more. Dropped, it is
    /// cut: until it has ended in order, both sides see a reset.
    async fn carry(self, mut x: Box<Exchange>, io: Prefixed<Socket>, upstream: Socket) {
        let breaks = [self.link.breaks.clone(), upstream.breaks()];
        breaks.iter().for_each(|side| side.set(true));
        let seen = x.up.clone();
        let mut changes = self.member.session.changes();
        let revoked = async {
            while self.is_allowed() {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut pump = Pump::new(io, upstream, &seen.bytes, &seen.unseen);
        let ended = Cell::new(false);
        let pumping = async {
            let pumped = poll_fn(|cx| {
                let over = pump.poll(cx);
                ended.set(pump.client_has_ended());
                over
            });
            tokio::select! {
                over = pumped => over,
                () = self.gone(&ended) => Over::Client,
            }
        };
        // Asked before the first byte: the policy may have changed while the upstream was dialled.
        let over = if self.is_allowed() { unless(revoked, pumping).await } else { None };
        match over {
            None => self.conn.watchman.revoke(),
            Some(Over::Complete) => {
                let _ = x.close("complete", None);
                breaks.iter().for_each(|side| side.set(false));
            }
            Some(Over::Client) => x.cut(Cut::Client),
            Some(Over::Upstream) => x.cut(Cut::Upstream),
        }
        // Its record before its sockets.
        drop(x);
    }

    fn is_allowed(&self) -> bool {
        judge(self.link.shared, self.member, self.authority, self.unseen).is_ok_and(|permit| permit.is_some())
    }

    /// Returns when a client that sends no more has gone: its upstream might never notice.
    async fn gone(&self, ended: &Cell<bool>) {
        let presence = self.link.presence();
        loop {
            tokio::time::sleep(PRESENCE_EVERY).await;
            if ended.get() && presence() == Presence::Gone {
                return;
            }
        }
    }
}

/// How a client refuses our certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It said so.
    Alert,
    /// It said nothing, and closed the connection.
    Closed,
}

impl Refusal {
    /// What the failure of a handshake says, if it is about our certificate.
    pub(super) fn of(error: &std::io::Error) -> Option<Self> {
        use rustls::AlertDescription as A;
        use std::io::ErrorKind as K;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => matches!(
                alert,
                A::NoCertificate
                    | A::BadCertificate
                    | A::UnsupportedCertificate
                    | A::CertificateRevoked
                    | A::CertificateExpired
                    | A::CertificateUnknown
                    | A::UnknownCA
                    | A::AccessDenied
                    | A::UserCanceled
            )
            .then_some(Self::Alert),
            Some(_) => None,
            None => matches!(
                error.kind(),
                K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected
            )
            .then_some(Self::Closed),
        }
    }
}

/// Notes a refusal and records it: whoever looks why a program fails finds it in the log.
pub(super) fn refused(link: &Link<'_>, authority: &Authority, how: Refusal) {
    let Client::Member(member) = link.client else { return };
    let refusals = &link.shared.refusals;
    let so_often = match how {
        Refusal::Alert => Some(refusals.refused(party(member, authority))),
        Refusal::Closed => refusals.closed(party(member, authority)),
    };
    let Some(so_often) = so_often else { return };
    let conn = link.conn(Via::Proxy, Watch::detached());
    let Some(head) = connect() else { return };
    let mut x = Exchange::begin(&conn, &head);
    x.member(member);
    x.connect_target(authority);
    let passes = link.shared.policy().embedded && so_often >= REFUSALS_ENOUGH;
    x.certificate_refused(match (how, passes) {
        (Refusal::Alert, false) => "the client refuses our certificate",
        (Refusal::Closed, false) => "the client closed when it had our certificate",
        (Refusal::Alert, true) => "the client refuses our certificate again; what it sends there next passes unread",
        (Refusal::Closed, true) => {
            "the client closed again when it had our certificate; what it sends there next passes unread"
        }
    });
}

/// What a client has made of a connection with our certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It sent nothing.
    Nothing,
    /// It sent something.
    Something,
}

/// What a client has made of our certificate after a handshake that was done at `shaken`.
pub(super) fn taken(link: &Link<'_>, authority: &Authority, used: Use, shaken: Instant) {
    let Client::Member(member) = link.client else { return };
    match used {
        Use::Something => link.shared.refusals.accepted(party(member, authority)),
        Use::Nothing if shaken.elapsed() < RIGHT_AFTER => refused(link, authority, Refusal::Closed),
        Use::Nothing => {}
    }
}
