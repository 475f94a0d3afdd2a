//! Credentials of one exchange: what its head and body carry, and the real secret on the egress leg, only there.

mod search;

use std::rc::Rc;
use std::sync::Arc;

use ensage_creds::{Finding, HostFit, Misuse, PathFit, Patterns, Scrubber, Site, Slot, Who, egress, examine};
use ensage_policy::judge::{
    CredentialFinding, Fill, Governed, HeadPermit, HostFit as PolicyHost, PathFit as PolicyPath, RouteKind, SiteFit,
};
use ensage_policy::model::{self, Credential, Enclave};
use ensage_policy::path::RequestPath;
use ensage_policy::{Policy, Reason, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};
use http_body::Body;

use super::body::OutBody;
use super::exchange::Exchange;
use super::identify::{Conn, Member, Taint};
use super::reply::Stop;
use super::request::Target;
use super::respond::{Expected, hop_by_hop};
use super::strip::{drop_stray_mcp, drop_unlisted};
use crate::gateway::Generation;
use crate::h1::tell_length;
use crate::upstream::PoolKey;
use crate::worker::Ready;

pub(crate) use search::{Search, mask};

/// How each credential of the enclave stands to a request.
pub(crate) fn sites(policy: &Policy, enclave: &Enclave, target: &Target) -> Vec<SiteFit> {
    ensage_policy::judge::sites(policy, enclave, &target.authority, &target.path)
}

/// Who a member is to the table of placeholders.
pub(crate) fn who(member: &Member) -> Who<'_> {
    let session = &member.session;
    Who { session: *session.id.as_bytes(), enclave: &session.opening.enclave, agent: &session.opening.agent }
}

fn creds_sites<'a>(generation: &'a Generation, sites: &'a [SiteFit]) -> Vec<Site<'a>> {
    sites.iter().map(|s| creds_site(s, generation.slots(&s.credential.name))).collect()
}

fn creds_site<'a>(site: &'a SiteFit, slots: &'a [Slot]) -> Site<'a> {
    Site {
        name: &site.credential.name,
        slots,
        host: match site.host {
            PolicyHost::Bound => HostFit::Bound,
            PolicyHost::Other => HostFit::Unbound,
        },
        path: match site.path {
            PolicyPath::Bound => PathFit::Covered,
            PolicyPath::Other => PathFit::Outside,
        },
    }
}

/// What the head carries. A placeholder that nobody knows may have been made a moment ago by `creds placeholder`: the
/// vault is looked at once more before it is called unknown.
pub(crate) fn examine_head(
    conn: &Conn,
    x: &Exchange,
    head: &http::request::Parts,
    member: &Member,
    sites: &[SiteFit],
) -> CredentialFinding {
    let (sites, now) = (creds_sites(&x.generation, sites), x.time());
    let (who, table) = (who(member), &conn.shared.placeholders);
    let mut found = examine(head, &who, &sites, table, now);
    if matches!(found, Finding::Misuse { misuse: Misuse::Unknown, .. }) && conn.shared.refresh_vault() {
        found = examine(head, &who, &sites, table, now);
    }
    match found {
        Finding::Bare => CredentialFinding::Bare,
        Finding::Placeholder { credential, slot } => {
            CredentialFinding::Placeholder { credential, slot: policy_slot(&slot) }
        }
        Finding::Foreign { place } => CredentialFinding::Foreign { place: place.to_string() },
        Finding::Misuse { misuse, credential } => CredentialFinding::Misuse { reason: reason(misuse), credential },
        Finding::Ambiguous => CredentialFinding::Ambiguous,
    }
}

fn policy_slot(slot: &Slot) -> model::Slot {
    match slot {
        Slot::Bearer => model::Slot::Bearer,
        Slot::Header(name) => model::Slot::Header(name.as_str().to_owned()),
    }
}

/// The slot as ensage-creds writes it; the configuration was checked, so a name that is none is a fault of ours.
pub(crate) fn creds_slot(slot: &model::Slot) -> Option<Slot> {
    match slot {
        model::Slot::Bearer => Some(Slot::Bearer),
        model::Slot::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok().map(Slot::Header),
        // No agent has the next hop's credential.
        model::Slot::Basic(_) => None,
    }
}

/// The reason of a misuse.
pub(crate) const fn reason(misuse: Misuse) -> Reason {
    match misuse {
        Misuse::WrongSession => Reason::PlaceholderWrongSession,
        Misuse::Expired => Reason::PlaceholderExpired,
        Misuse::Unknown => Reason::PlaceholderUnknown,
        Misuse::WrongHost => Reason::PlaceholderWrongHost,
        Misuse::WrongSlot => Reason::PlaceholderWrongSlot,
        Misuse::WrongPath => Reason::PlaceholderWrongPath,
    }
}

/// A placeholder in the head of a CONNECT, whose fields go nowhere. It is told inside the tunnel: see `connection`.
pub(crate) fn misplaced(
    conn: &Conn,
    x: &Exchange,
    head: &http::request::Parts,
    member: &Member,
    enclave: &Enclave,
    authority: &ensage_policy::authority::Authority,
) -> Option<Taint> {
    let path = RequestPath::parse("/").ok()?;
    let sites = ensage_policy::judge::sites(x.policy(), enclave, authority, &path);
    match examine_head(conn, x, head, member, &sites) {
        CredentialFinding::Misuse { reason, credential } => Some(Taint { reason, credential }),
        // A slot of a CONNECT is no slot: nothing of its head goes anywhere.
        CredentialFinding::Placeholder { credential, .. } => {
            Some(Taint { reason: Reason::PlaceholderWrongSlot, credential: Some(credential) })
        }
        CredentialFinding::Bare | CredentialFinding::Foreign { .. } | CredentialFinding::Ambiguous => None,
    }
}

/// From whom a request comes, and how each credential of the enclave stands to it.
pub(super) struct Caller<'a> {
    pub(super) conn: &'a Conn,
    pub(super) member: &'a Member,
    pub(super) sites: &'a [SiteFit],
}

/// Everything that the egress leg needs. Only [`outbound`] makes one, and it takes the proof.
pub(crate) struct Outbound {
    pub(crate) request: Request<OutBody>,
    pub(crate) key: PoolKey,
    /// It may be one of many on a connection, where the upstream speaks HTTP/2.
    pub(crate) shares: bool,
    pub(crate) scrub: ScrubPlan,
    /// The client takes trailers (RFC 9110 section 10.1.4), which HTTP/2 passes on.
    pub(crate) te: bool,
}

/// What must not come back, and whether the answer is read at all.
pub(crate) struct ScrubPlan {
    ready: Option<Rc<Ready>>,
    governed: Governed,
}

impl ScrubPlan {
    pub(crate) const fn is_governed(&self) -> bool {
        matches!(self.governed, Governed::Governed)
    }

    /// What must not come back, for whoever scrubs messages.
    pub(crate) fn patterns(&self) -> Arc<Patterns> {
        self.ready.as_ref().map_or_else(|| Patterns::new(&[]), |ready| ready.patterns.clone())
    }

    pub(crate) fn scrubber(&self) -> Option<Box<Scrubber>> {
        self.ready.as_ref().map(|ready| Box::new(Scrubber::over(ready.patterns.clone())))
    }
}

/// Builds the upstream request out of the client's, whose fields it takes. The order matters: what Connection nominates
/// goes first, the secret comes last, so that nothing the client says can take it away or bring another (threat B8).
pub(super) fn outbound(
    caller: &Caller<'_>,
    x: &mut Exchange,
    permit: HeadPermit,
    body: OutBody,
    head: &mut http::request::Parts,
) -> Result<Outbound, Stop> {
    let sites = caller.sites;
    let read = matches!(permit.route().kind(), RouteKind::Mcp { .. } | RouteKind::Llm { .. });
    if read && matches!(body, OutBody::Passing(_)) {
        return Err(Stop::refused(Reason::Internal, "a governed body was not read"));
    }
    let mut headers = std::mem::take(&mut head.headers);
    let token = filled_slot(permit.fill()).and_then(|(_, slot)| token(&headers, slot));
    let te = head.version == Version::HTTP_2
        && headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    hop_by_hop(&mut headers);
    let governed = permit.route().governed();
    let waits = matches!((governed, &body), (Governed::Passing, OutBody::Passing(_)));
    if !waits || head.version == Version::HTTP_10 {
        headers.remove(header::EXPECT);
    }
    // One spelling of the one authority, whatever the client's was: an origin must not read another host out of it.
    let (authority, port) = (permit.authority(), permit.scheme().default_port());
    let mut said = headers.get_all(header::HOST).iter();
    let said = said.next().filter(|_| said.next().is_none());
    if !said.is_some_and(|said| authority.is_written(said.as_bytes(), port)) {
        let host = HeaderValue::try_from(authority.written(port));
        headers.insert(header::HOST, host.map_err(|_| Stop::refused(Reason::Internal, "the host cannot be written"))?);
    }
    if let Expected::Websocket(asked) = &mut x.expected {
        asked.goes_on(&mut headers, governed);
    }
    if matches!(governed, Governed::Governed) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let bound = sites.iter().any(|s| s.host == PolicyHost::Bound);
    if bound {
        // A range could cut a reflected secret into pieces that nobody recognises (threat F6).
        headers.remove(header::RANGE);
    }
    if matches!(permit.route().kind(), RouteKind::Mcp { .. }) {
        drop_unlisted(&mut headers, &permit);
        drop_stray_mcp(&mut headers, &x.expected);
    }
    if let OutBody::Judged(judged) = &body {
        tell_length(&mut headers, judged.len() as u64);
    }
    let ready = secret(caller, x, &permit, token.as_deref(), &mut headers)?;
    // What was judged, path and query, are these very bytes.
    let Some(uri) = std::mem::take(&mut head.uri).into_parts().path_and_query.map(Uri::from) else {
        return Err(Stop::refused(Reason::MalformedRequest, "the request target cannot be read"));
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let (scheme, credential) = (permit.scheme(), filled_slot(permit.fill()).map(|(c, _)| c.name.clone()));
    let shares = head.version == Version::HTTP_2 || suits_many(x, &request, scheme);
    let (authority, opened) = permit.into_place();
    let key = PoolKey { authority, scheme, credential, generation: x.policy().generation, opened };
    let scrub = ScrubPlan { ready, governed };
    Ok(Outbound { request, key, shares, scrub, te })
}

/// A longer body has a connection to itself: what bounds the streams of a shared one costs more than it spares then.
const SHARED_BODY_MAX: u64 = 64 * 1024;

/// Whether the request of an HTTP/1 client does well as one of many on a connection.
fn suits_many(x: &Exchange, request: &Request<OutBody>, scheme: Scheme) -> bool {
    scheme == Scheme::Https
        && !matches!(x.expected, Expected::Websocket(_))
        && request.body().size_hint().exact().is_some_and(|bytes| bytes <= SHARED_BODY_MAX)
}

/// The credential that is put in, and where.
pub(super) fn filled_slot(fill: &Fill) -> Option<(&Arc<Credential>, &model::Slot)> {
    match fill {
        Fill::Nothing => None,
        Fill::Substitute { credential, slot } | Fill::Inject { credential, slot } => Some((credential, slot)),
    }
}

/// Puts the secret in, and says what must be scrubbed from the answer of a host that credentials bind.
fn secret(
    caller: &Caller<'_>,
    x: &mut Exchange,
    permit: &HeadPermit,
    token: Option<&str>,
    headers: &mut HeaderMap,
) -> Result<Option<Rc<Ready>>, Stop> {
    let Caller { conn, member, sites } = *caller;
    let action = match permit.fill() {
        Fill::Nothing => "bare",
        Fill::Substitute { .. } => "substituted",
        Fill::Inject { .. } => "injected",
    };
    let filled = filled_slot(permit.fill());
    let bound: Vec<&Arc<Credential>> =
        sites.iter().filter(|s| s.host == PolicyHost::Bound).map(|s| &s.credential).collect();
    if bound.is_empty() {
        return Ok(None);
    }
    let ready = member.rooms.ready(&conn.shared, x.policy().generation, filled.map(|(c, _)| c), token, &bound);
    x.ready = ready.as_ref().ok().cloned();
    let Some((credential, slot)) = filled else {
        if let Some(first) = bound.first() {
            x.credential(&first.name, action);
        }
        return Ok(ready.ok());
    };
    x.credential(&credential.name, action);
    let unavailable =
        |_| Stop::refused(Reason::CredentialUnavailable, "the credential for this host is not available now");
    let ready = ready.map_err(unavailable)?;
    let (Some(secret), Some(slot)) = (&ready.secret, creds_slot(slot)) else {
        return Err(Stop::refused(Reason::Internal, "the credential's slot is no header"));
    };
    egress::fill(headers, &slot, secret)
        .map_err(|_| Stop::refused(Reason::CredentialUnavailable, "the credential for this host cannot be sent"))?;
    x.substituted();
    Ok(Some(ready))
}

/// The placeholder as the client spelled it: what it must see where the secret would be reflected.
fn token(headers: &HeaderMap, slot: &model::Slot) -> Option<String> {
    match slot {
        model::Slot::Bearer => {
            let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            value.split_once(' ').map(|(_, t)| t.trim().to_owned())
        }
        model::Slot::Header(name) => Some(headers.get(name.as_str())?.to_str().ok()?.to_owned()),
        model::Slot::Basic(_) => None,
    }
}
