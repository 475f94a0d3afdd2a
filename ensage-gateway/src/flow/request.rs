//! From a raw request head to one authority and one path.

use ensage_policy::Reason;
use ensage_policy::Scheme;
use ensage_policy::authority::{Authority, AuthorityError};
use ensage_policy::judge::{CredentialFinding, HeadFacts, Trial, Upgrade};
use ensage_policy::path::{PathError, RequestPath};
use http::header;

use super::exchange::Exchange;
use super::identify::{Conn, Via};
use super::reply::Stop;

/// Where a request goes, in one spelling.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The one host and port.
    pub(crate) authority: Authority,
    /// Plain or TLS.
    pub(crate) scheme: Scheme,
    /// The path as received, checked.
    pub(crate) path: RequestPath,
    /// The query as received, without the question mark.
    pub(crate) query: Option<String>,
}

/// The one authority of a request. Inside a tunnel only the origin form is good, outside only the absolute form.
pub(crate) fn target(conn: &Conn, x: &mut Exchange, head: &http::request::Parts) -> Result<Target, Stop> {
    let (authority, scheme) = match &conn.via {
        Via::Tunnel { authority, scheme, .. } => {
            if head.uri.authority().is_some() || head.uri.scheme().is_some() {
                return Err(Stop::refused(Reason::MalformedRequest, "absolute-form is not accepted inside a tunnel"));
            }
            (authority.clone(), *scheme)
        }
        Via::Proxy => absolute(x, head)?,
    };
    if !host_agrees(head, &authority, scheme)? {
        let what = "the Host header names another authority than the one this connection was opened for";
        return Err(Stop::refused(Reason::AuthorityMismatch, what));
    }
    let raw = head.uri.path();
    let path = match raw {
        // `OPTIONS *` has no path that a rule could name.
        "*" => return Err(Stop::refused(Reason::MalformedRequest, "the asterisk form is not accepted")),
        _ => RequestPath::parse(raw).map_err(|e: PathError| Stop::refused(Reason::AmbiguousPath, e.to_string()))?,
    };
    Ok(Target { authority, scheme, path, query: head.uri.query().map(str::to_owned) })
}

/// Whether the host exists for this enclave. Plain HTTP inside a CONNECT has let itself in by name only.
pub(crate) fn reach(conn: &Conn, trial: &mut Trial<'_>, target: &Target) -> Result<(), Stop> {
    match conn.via {
        Via::Tunnel { scheme: Scheme::Http, .. } => trial.plain_tunnel(&target.authority)?,
        Via::Tunnel { scheme: Scheme::Https, .. } | Via::Proxy => trial.reach(&target.authority, target.scheme)?,
    }
    Ok(())
}

/// What the head of the CONNECT carried is told here, inside the tunnel.
pub(crate) fn untainted(conn: &Conn, x: &mut Exchange) -> Result<(), Stop> {
    let Via::Tunnel { taint: Some(taint), .. } = &conn.via else { return Ok(()) };
    if let Some(name) = &taint.credential {
        x.credential(name, "refused");
    }
    Err(Stop::refused(taint.reason, "the CONNECT of this tunnel carried a placeholder; send it in its slot only"))
}

fn absolute(x: &mut Exchange, head: &http::request::Parts) -> Result<(Authority, Scheme), Stop> {
    let scheme = match head.uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => {
            let what = "this is a proxy: it takes CONNECT and requests in absolute-form";
            return Err(Stop::refused(Reason::MalformedRequest, what));
        }
    };
    let raw = head.uri.authority().map_or("", |a| a.as_str());
    x.asked(raw);
    let authority = Authority::parse(raw.as_bytes(), Some(scheme.default_port())).map_err(malformed)?;
    Ok((authority, scheme))
}

/// Whether the Host field names this authority; the gate has already refused a second one and, in HTTP/1.1, none at all.
/// In HTTP/2 `:authority` stands beside a Host that is spelled in another way.
fn host_agrees(head: &http::request::Parts, authority: &Authority, scheme: Scheme) -> Result<bool, Stop> {
    let port = scheme.default_port();
    for value in head.headers.get_all(header::HOST) {
        let said = value.as_bytes();
        if !authority.is_spelled(said, port) && Authority::parse(said, Some(port)).map_err(malformed)? != *authority {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a malformed authority is told.
pub(crate) fn malformed(error: AuthorityError) -> Stop {
    Stop::refused(error.reason(), error.to_string())
}

/// The facts that the judging step asks for.
pub(crate) fn facts<'a>(
    head: &'a http::request::Parts,
    target: &'a Target,
    upgrade: Upgrade,
    finding: &'a CredentialFinding,
) -> HeadFacts<'a> {
    HeadFacts {
        authority: &target.authority,
        scheme: target.scheme,
        method: head.method.as_str(),
        path: &target.path,
        query: target.query.as_deref(),
        upgrade,
        finding,
    }
}
