//! What the head of a request carries: a placeholder in its place, one elsewhere, somebody else's key, or nothing.
//!
//! It runs on every request, and allocates only where something is escaped twice, base64 or found.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::egress::{CREDENTIAL_HEADERS, Slot};
use crate::find::{self, Hit, Outline};
use crate::placeholder::{Placeholders, Standing, TOKEN_BYTES, Who};

#[cfg(test)]
mod tests;

/// Query parameters in which clients send credentials whatever the policy says of slots (contract section 5).
const CREDENTIAL_PARAMETERS: [&str; 3] = ["key", "api_key", "access_token"];

/// How often a value is decoded again: `%252565` is three escapes deep.
const ROUNDS_MAX: usize = 3;

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const ANY_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, ANY_PADDING);
const ANY_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);

/// Whether a credential binds the request's host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFit {
    /// It does.
    Bound,
    /// It doesn't.
    Unbound,
}

/// Whether a credential's `paths` cover the request's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFit {
    /// They do, or there are none.
    Covered,
    /// They don't.
    Outside,
}

/// A credential of the enclave, seen from one request.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its slots, the preferred one first.
    pub slots: &'a [Slot],
    /// Whether it binds the host.
    pub host: HostFit,
    /// Whether it covers the path.
    pub path: PathFit,
}

/// Why a placeholder is refused where it was found; the first of two wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Misuse {
    /// It belongs to another session or agent.
    WrongSession,
    /// It was this client's.
    Expired,
    /// It was never given out.
    Unknown,
    /// Its credential does not bind this host.
    WrongHost,
    /// It stands elsewhere than in its slot, or not alone, or not plainly.
    WrongSlot,
    /// It stands in its slot, on a path that its credential does not cover. The only one of low severity.
    WrongPath,
}

impl Misuse {
    /// The stable reason.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongSession => "placeholder_wrong_session",
            Self::Expired => "placeholder_expired",
            Self::Unknown => "placeholder_unknown",
            Self::WrongHost => "placeholder_wrong_host",
            Self::WrongSlot => "placeholder_wrong_slot",
            Self::WrongPath => "placeholder_wrong_path",
        }
    }
}

/// Where a foreign credential stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header.
    Header(HeaderName),
    /// In a parameter of the query.
    Query(&'static str),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
        }
    }
}

/// What a head carries. If it is several things: misuse of high severity before foreign, before ambiguous, before a
/// wrong path, before a placeholder in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No credential.
    Bare,
    /// This client's placeholder, in a slot of its credential, on its host and path.
    Placeholder {
        /// The credential.
        credential: Arc<str>,
        /// The slot it stands in.
        slot: Slot,
    },
    /// A credential that is not ours, on a host that one of ours binds.
    Foreign {
        /// Where it stands.
        place: Place,
    },
    /// A placeholder where it does not belong.
    Misuse {
        /// Why it is refused.
        misuse: Misuse,
        /// The credential it stands for, if it is known.
        credential: Option<Arc<str>>,
    },
    /// Two placeholders in slots.
    Ambiguous,
}

/// Examines a request's method, target and header fields. For a CONNECT, give the sites as for any request: a
/// placeholder in its head is misuse.
pub fn examine(head: &Parts, who: &Who<'_>, sites: &[Site<'_>], table: &Placeholders, now: SystemTime) -> Finding {
    let mut search = Search::new(who, sites, table, now);
    search.value(head.method.as_str().as_bytes(), At::Elsewhere);
    if let Some(authority) = head.uri.authority() {
        search.value(authority.as_str().as_bytes(), At::Elsewhere);
    }
    search.value(head.uri.path().as_bytes(), At::Elsewhere);
    if let Some(query) = head.uri.query() {
        search.query(query);
    }
    for (name, value) in &head.headers {
        search.field(name, value);
    }
    search.finding()
}

/// Examines trailer fields: no slot is among them, so every placeholder is misuse.
pub fn examine_trailers(
    trailers: &HeaderMap,
    who: &Who<'_>,
    sites: &[Site<'_>],
    table: &Placeholders,
    now: SystemTime,
) -> Finding {
    let mut search = Search::new(who, sites, table, now);
    for value in trailers.values() {
        search.value(value.as_bytes(), At::Elsewhere);
    }
    search.finding()
}

struct Placed {
    credential: Arc<str>,
    slot: Slot,
    token: [u8; TOKEN_BYTES],
}

struct Search<'a> {
    who: &'a Who<'a>,
    sites: &'a [Site<'a>],
    table: &'a Placeholders,
    now: SystemTime,
    bound: HostFit,
    misuse: Option<(Misuse, Option<Arc<str>>)>,
    foreign: Option<Place>,
    placed: Option<Placed>,
    two: bool,
}

/// What a searched value held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Placeholder,
}

/// Where a searched value stands.
#[derive(Clone, Copy)]
enum At<'a> {
    /// The whole value of a header, which may be a slot.
    Field(&'a HeaderName),
    /// Where no slot is.
    Elsewhere,
}

impl<'a> Search<'a> {
    fn new(who: &'a Who<'a>, sites: &'a [Site<'a>], table: &'a Placeholders, now: SystemTime) -> Self {
        let any = sites.iter().any(|site| site.host == HostFit::Bound);
        let bound = if any { HostFit::Bound } else { HostFit::Unbound };
        Self { who, sites, table, now, bound, misuse: None, foreign: None, placed: None, two: false }
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        let bytes = value.as_bytes().trim_ascii();
        let credential = self.is_credential_header(name);
        let mut held = self.value(bytes, At::Field(name));
        if held == Held::Nothing && (credential || word_after(bytes, b"basic").is_some()) {
            held = self.base64(bytes);
        }
        let foreign = held == Held::Nothing && credential && self.bound == HostFit::Bound && !bytes.is_empty();
        if foreign && self.foreign.is_none() {
            self.foreign = Some(Place::Header(name.clone()));
        }
    }

    fn query(&mut self, query: &str) {
        if self.value(query.as_bytes(), At::Elsewhere) == Held::Placeholder || self.bound == HostFit::Unbound {
            return;
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = CREDENTIAL_PARAMETERS.into_iter().find(|known| find::spells(name.as_bytes(), known.as_bytes()));
            if let Some(name) = known.filter(|_| !value.is_empty() && self.foreign.is_none()) {
                self.foreign = Some(Place::Query(name));
            }
        }
    }

    /// Judges every token in a value; one that is escaped twice too.
    fn value(&mut self, bytes: &[u8], at: At<'_>) -> Held {
        if !find::may_hold(bytes) {
            return Held::Nothing;
        }
        let mut held = self.tokens(bytes, at);
        let mut once = None;
        for _ in 0..ROUNDS_MAX {
            let spelled = once.as_deref().unwrap_or(bytes);
            if held == Held::Placeholder || !find::hides_an_escape(spelled) {
                break;
            }
            let decoded = find::unescaped(spelled);
            held = self.tokens(&decoded, At::Elsewhere);
            once = Some(decoded);
        }
        held
    }

    fn base64(&mut self, bytes: &[u8]) -> Held {
        let word = bytes.rsplit(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
        if word.len() < TOKEN_BYTES {
            return Held::Nothing;
        }
        for engine in [&ANY_STANDARD, &ANY_URL_SAFE] {
            if let Ok(decoded) = engine.decode(word)
                && self.value(&decoded, At::Elsewhere) == Held::Placeholder
            {
                return Held::Placeholder;
            }
        }
        Held::Nothing
    }

    fn tokens(&mut self, bytes: &[u8], at: At<'_>) -> Held {
        let mut held = Held::Nothing;
        for hit in find::tokens(bytes) {
            let (wrong, credential) = match self.table.look_up(&hit.token, self.who, self.now) {
                Standing::Own { credential, prefix } => {
                    (self.own(&credential, &prefix, &hit, bytes, at).err(), Some(credential))
                }
                Standing::WrongSession { credential } => (Some(Misuse::WrongSession), Some(credential)),
                Standing::Expired { credential } => (Some(Misuse::Expired), Some(credential)),
                Standing::Unknown if hit.outline == Outline::Blurred => continue,
                Standing::Unknown => (Some(Misuse::Unknown), None),
            };
            held = Held::Placeholder;
            if let Some(misuse) = wrong
                && self.misuse.as_ref().is_none_or(|(first, _)| misuse < *first)
            {
                self.misuse = Some((misuse, credential));
            }
        }
        held
    }

    /// This client's own placeholder: takes it if it is in its place.
    fn own(&mut self, credential: &Arc<str>, prefix: &str, hit: &Hit, bytes: &[u8], at: At<'_>) -> Result<(), Misuse> {
        let sites = self.sites;
        let site = sites.iter().find(|site| *site.name == **credential && site.host == HostFit::Bound);
        let site = site.ok_or(Misuse::WrongHost)?;
        let slot = slot_of(at, bytes, hit, prefix).filter(|slot| site.slots.contains(slot));
        let slot = slot.ok_or(Misuse::WrongSlot)?;
        if site.path == PathFit::Outside {
            return Err(Misuse::WrongPath);
        }
        match &mut self.placed {
            None => self.placed = Some(Placed { credential: Arc::clone(credential), slot, token: hit.token }),
            Some(first) if first.token == hit.token && first.slot == slot => {}
            // The same one in two headers that egress clears: it fills the preferred one.
            Some(first) if first.token == hit.token && is_cleared(&first.slot) && is_cleared(&slot) => {
                let preferred = site.slots.iter().find(|one| **one == slot || **one == first.slot);
                first.slot = preferred.cloned().unwrap_or(slot);
            }
            Some(_) => self.two = true,
        }
        Ok(())
    }

    fn is_credential_header(&self, name: &HeaderName) -> bool {
        CREDENTIAL_HEADERS.contains(name)
            || self
                .sites
                .iter()
                .any(|site| site.host == HostFit::Bound && site.slots.iter().any(|slot| slot.header() == name))
    }

    fn finding(self) -> Finding {
        let Self { misuse, foreign, two, placed, .. } = self;
        match misuse {
            Some((misuse, credential)) if misuse < Misuse::WrongPath => return Finding::Misuse { misuse, credential },
            Some(_) | None => {}
        }
        if let Some(place) = foreign {
            return Finding::Foreign { place };
        }
        if two {
            return Finding::Ambiguous;
        }
        match (misuse, placed) {
            (Some((misuse, credential)), _) => Finding::Misuse { misuse, credential },
            (None, Some(Placed { credential, slot, .. })) => Finding::Placeholder { credential, slot },
            (None, None) => Finding::Bare,
        }
    }
}

/// The slot that a header's whole value is, if it is nothing but this placeholder, plainly.
fn slot_of(at: At<'_>, bytes: &[u8], hit: &Hit, prefix: &str) -> Option<Slot> {
    let At::Field(name) = at else { return None };
    let (slot, rest) = match word_after(bytes, b"bearer").filter(|_| *name == AUTHORIZATION) {
        Some(rest) => (Slot::Bearer, rest),
        None => (Slot::Header(name.clone()), bytes),
    };
    let alone = rest.strip_prefix(prefix.as_bytes()) == Some(&hit.token);
    alone.then_some(slot)
}

/// What follows a scheme word (RFC 9110 section 11.1: any case, then spaces).
fn word_after<'v>(bytes: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let (word, rest) = bytes.split_at_checked(scheme.len())?;
    let apart = rest.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
    (apart && word.eq_ignore_ascii_case(scheme)).then(|| rest.trim_ascii_start())
}

fn is_cleared(slot: &Slot) -> bool {
    CREDENTIAL_HEADERS.contains(slot.header())
}
