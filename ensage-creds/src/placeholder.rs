//! Placeholders: their form, and the table that says what each of them stands for.
//!
//! A placeholder is `<prefix>ens_<22 base62 digits>`: 128 random bits that hold no data. What it is bound to is kept
//! here. One table serves all workers; entries leave it by [`Placeholders::end_session`], [`Placeholders::sync_agents`]
//! and [`Placeholders::sweep`], and by falling out of the ring of ended ones.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Bytes of what follows the prefix: `ens_` and 22 digits.
pub const TOKEN_BYTES: usize = 26;

/// Most bytes of a prefix.
pub(crate) const PREFIX_BYTES_MAX: usize = 64;

/// Most placeholders that count at one time: 3000 sessions of 20 credentials.
pub(crate) const LIVE_MAX: usize = 65_536;

/// Most ended placeholders that are still told from ones that were never given out.
pub(crate) const ENDED_MAX: usize = 4096;

pub(crate) const MARK: &[u8; 4] = b"ens_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A session's id, a UUID.
pub type SessionId = [u8; 16];

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The session.
    pub session: SessionId,
    /// Its enclave.
    pub enclave: &'a str,
    /// Its agent.
    pub agent: &'a str,
}

/// Who may use a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One session.
    Session(SessionId),
    /// Each session of an agent in an enclave.
    Agent {
        /// The enclave.
        enclave: Arc<str>,
        /// The agent.
        agent: Arc<str>,
    },
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The credential.
    pub credential: Arc<str>,
    /// Who may use it.
    pub scope: Scope,
    /// From when on it is refused.
    pub expires: SystemTime,
}

/// A placeholder that is bound to an agent instead of a session, made by `creds placeholder`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentPlaceholder {
    /// The whole of it, prefix included.
    pub placeholder: String,
    /// The credential that it stands for.
    pub credential: String,
    /// The enclave in which it counts.
    pub enclave: String,
    /// The agent that may use it, in each of its sessions.
    pub agent: String,
    /// When it ends, in microseconds since 1970.
    pub expires_us: u64,
}

impl std::fmt::Debug for AgentPlaceholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { credential, enclave, agent, .. } = self;
        let mut shown = f.debug_struct("AgentPlaceholder");
        shown.field("credential", credential).field("enclave", enclave).field("agent", agent).finish_non_exhaustive()
    }
}

impl AgentPlaceholder {
    /// When it ends.
    pub fn expires(&self) -> SystemTime {
        time_of(self.expires_us)
    }

    /// What stands before the token.
    pub fn prefix(&self) -> &str {
        let at = self.placeholder.len().saturating_sub(TOKEN_BYTES);
        self.placeholder.get(..at).unwrap_or_default()
    }
}

/// Why there is no new placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
    /// The prefix has other characters than clients, JSON and headers all take as they are.
    #[error("a placeholder's prefix has at most {PREFIX_BYTES_MAX} visible ASCII characters")]
    Prefix,
    /// The table is full: `LIVE_MAX` of them count.
    #[error("{LIVE_MAX} placeholders count already")]
    Full,
}

/// What a token is worth to one client at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands for this credential.
    Own {
        /// The credential.
        credential: Arc<str>,
        /// What stands before the token.
        prefix: Arc<str>,
    },
    /// It belongs to another session or agent.
    WrongSession {
        /// The credential.
        credential: Arc<str>,
    },
    /// It was this client's.
    Expired {
        /// The credential.
        credential: Arc<str>,
    },
    /// It was never given out, or so long ago that it is forgotten.
    Unknown,
}

#[derive(PartialEq, Eq)]
enum State {
    Live,
    Ended,
}

struct Entry {
    grant: Grant,
    prefix: Arc<str>,
    state: State,
}

/// All placeholders that were given out.
#[derive(Default)]
pub struct Placeholders {
    entries: DashMap<u128, Entry>,
    ended: Mutex<VecDeque<u128>>,
}

impl Placeholders {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a placeholder.
    ///
    /// # Errors
    /// No random numbers, a bad prefix, or the table is full ([`Placeholders::sweep`] may help).
    pub fn mint(&self, prefix: &str, grant: Grant) -> Result<String, MintError> {
        if self.entries.len() >= LIVE_MAX.saturating_add(ENDED_MAX) {
            return Err(MintError::Full);
        }
        check_prefix(prefix)?;
        let key = random()?;
        self.entries.insert(key, Entry { grant, prefix: prefix.into(), state: State::Live });
        Ok(spell(prefix, key))
    }

    /// Says what a token (the last [`TOKEN_BYTES`] bytes of a placeholder) is worth to this client.
    pub fn look_up(&self, token: &[u8], who: &Who<'_>, now: SystemTime) -> Standing {
        let Some(entry) = parse(token).and_then(|key| self.entries.get(&key)) else {
            return Standing::Unknown;
        };
        let fits = match &entry.grant.scope {
            Scope::Session(id) => *id == who.session,
            Scope::Agent { enclave, agent } => **enclave == *who.enclave && **agent == *who.agent,
        };
        let credential = Arc::clone(&entry.grant.credential);
        if !fits {
            return Standing::WrongSession { credential };
        }
        if entry.state == State::Ended || entry.grant.expires <= now {
            return Standing::Expired { credential };
        }
        Standing::Own { credential, prefix: Arc::clone(&entry.prefix) }
    }

    /// Ends all placeholders of a session.
    pub fn end_session(&self, id: &SessionId) {
        self.end(|_, entry| entry.grant.scope == Scope::Session(*id));
    }

    /// Ends what has expired, so that the table has room.
    pub fn sweep(&self, now: SystemTime) {
        self.end(|_, entry| entry.grant.expires <= now);
    }

    /// Makes the agents' placeholders those of the vault: new ones count, ones that are not listed end.
    pub fn sync_agents(&self, all: &[AgentPlaceholder]) {
        let mut listed = HashSet::new();
        for one in all {
            let token = one.placeholder.as_bytes().last_chunk::<TOKEN_BYTES>();
            let Some(key) = token.and_then(|t| parse(t)) else { continue };
            listed.insert(key);
            let scope = Scope::Agent { enclave: one.enclave.as_str().into(), agent: one.agent.as_str().into() };
            let grant = Grant { credential: one.credential.as_str().into(), scope, expires: one.expires() };
            // One that had ended counts again: it is listed again when a vault that could not be read can be.
            self.entries.insert(key, Entry { grant, prefix: one.prefix().into(), state: State::Live });
        }
        self.end(|key, entry| matches!(entry.grant.scope, Scope::Agent { .. }) && !listed.contains(&key));
    }

    /// How many there are, ended ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether none was ever given out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn end(&self, over: impl Fn(u128, &Entry) -> bool) {
        let mut ended = Vec::new();
        for mut pair in self.entries.iter_mut() {
            let (key, entry) = pair.pair_mut();
            if entry.state == State::Live && over(*key, entry) {
                entry.state = State::Ended;
                ended.push(*key);
            }
        }
        let mut forgotten = Vec::new();
        {
            let mut ring = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ring.extend(ended);
            while ring.len() > ENDED_MAX {
                forgotten.extend(ring.pop_front());
            }
        }
        for key in forgotten {
            self.entries.remove_if(&key, |_, entry| entry.state == State::Ended);
        }
    }
}

impl std::fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placeholders").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The time so many microseconds after 1970.
pub(crate) fn time_of(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

/// Makes a placeholder that stands in no table yet.
pub(crate) fn mint(prefix: &str) -> Result<String, MintError> {
    check_prefix(prefix)?;
    Ok(spell(prefix, random()?))
}

pub(crate) const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn check_prefix(prefix: &str) -> Result<(), MintError> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(plain) { Err(MintError::Prefix) } else { Ok(()) }
}

fn random() -> Result<u128, MintError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| MintError::Random)?;
    Ok(u128::from_be_bytes(bytes))
}

fn spell(prefix: &str, key: u128) -> String {
    let mut rest = key;
    let mut digits = [0; TOKEN_BYTES - MARK.len()];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest % 62).unwrap_or_default();
        *digit = DIGITS.get(value).copied().unwrap_or(b'0');
        rest /= 62;
    }
    format!("{prefix}ens_{}", String::from_utf8_lossy(&digits))
}

fn parse(token: &[u8]) -> Option<u128> {
    let digits = token.strip_prefix(MARK)?;
    if digits.len() != TOKEN_BYTES - MARK.len() {
        return None;
    }
    digits.iter().try_fold(0u128, |sum, &byte| {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        sum.checked_mul(62)?.checked_add(u128::from(value))
    })
}
