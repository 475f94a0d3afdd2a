//! Placeholders in bodies: found in what passes, overwritten in the JSON of a governed message.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::examine::{HostFit, Misuse, Site};
use crate::find::{self, Hit, Outline, SPELLED_BYTES_MAX};
use crate::placeholder::{Placeholders, Standing, Who};

#[cfg(test)]
mod tests;

/// Searches a passing body, whatever its chunks, for placeholders that were given out.
///
/// It holds nothing back: what it finds may be on its way already, all but the last byte, and the caller resets the
/// upstream. At most 155 bytes are kept between two chunks. What only has a placeholder's form is not reported:
/// it is worth nothing anywhere, and any file may hold it.
#[derive(Default)]
pub struct BodySearch {
    tail: Vec<u8>,
}

impl Standing {
    /// Why a placeholder of this standing is refused where no slot is.
    pub fn misuse(&self, sites: &[Site<'_>]) -> Misuse {
        match self {
            Self::Own { credential, .. } => {
                let bound = |site: &Site<'_>| *site.name == **credential && site.host == HostFit::Bound;
                if sites.iter().any(bound) { Misuse::WrongSlot } else { Misuse::WrongHost }
            }
            Self::WrongSession { .. } => Misuse::WrongSession,
            Self::Expired { .. } => Misuse::Expired,
            Self::Unknown => Misuse::Unknown,
        }
    }

    /// The credential that the placeholder stands for.
    pub const fn credential(&self) -> Option<&Arc<str>> {
        match self {
            Self::Own { credential, .. } | Self::WrongSession { credential } | Self::Expired { credential } => {
                Some(credential)
            }
            Self::Unknown => None,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::WrongSession { .. } => 0,
            Self::Expired { .. } => 1,
            Self::Unknown => 2,
            Self::Own { .. } => 3,
        }
    }
}

impl BodySearch {
    /// A search at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches the next chunk; what it returns ends in this chunk and is never [`Standing::Unknown`].
    pub fn feed(&mut self, chunk: &[u8], who: &Who<'_>, table: &Placeholders, now: SystemTime) -> Option<Standing> {
        let mut worst: Option<Standing> = None;
        let mut judge = |hit: Hit| {
            let standing = table.look_up(&hit.token, who, now);
            let known = standing != Standing::Unknown;
            if known && worst.as_ref().is_none_or(|first| standing.rank() < first.rank()) {
                worst = Some(standing);
            }
        };
        let kept = self.tail.len();
        if kept > 0 {
            let reach = chunk.len().min(SPELLED_BYTES_MAX);
            self.tail.extend_from_slice(chunk.get(..reach).unwrap_or_default());
            find::tokens(&self.tail).filter(|hit| hit.end > kept).for_each(&mut judge);
            self.tail.truncate(kept);
        }
        find::tokens(chunk).for_each(&mut judge);
        self.keep(chunk);
        worst
    }

    fn keep(&mut self, chunk: &[u8]) {
        let most = SPELLED_BYTES_MAX - 1;
        let from = chunk.len().saturating_sub(most);
        self.tail.extend_from_slice(chunk.get(from..).unwrap_or_default());
        let over = self.tail.len().saturating_sub(most);
        self.tail.drain(..over);
    }
}

/// What [`mask_json`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// How many placeholders were overwritten.
    pub count: usize,
    /// The credential of the first.
    pub credential: Option<Arc<str>>,
}

/// Overwrites this client's placeholders in a JSON text, prefixes included, by as many `*` as there were bytes: the
/// length stays, and what was valid JSON stays so.
///
/// # Errors
/// One that is not this client's; nothing was overwritten then.
pub fn mask_json(body: &mut [u8], who: &Who<'_>, table: &Placeholders, now: SystemTime) -> Result<Masked, Standing> {
    let mut ranges = Vec::new();
    let mut masked = Masked::default();
    let mut worst: Option<Standing> = None;
    for hit in find::tokens(body) {
        match table.look_up(&hit.token, who, now) {
            Standing::Own { credential, prefix } => {
                ranges.push(spelled_range(body, &hit, &prefix));
                masked.count += 1;
                masked.credential.get_or_insert(credential);
            }
            Standing::Unknown if hit.outline == Outline::Blurred => {}
            stray @ (Standing::Unknown | Standing::WrongSession { .. } | Standing::Expired { .. }) => {
                if worst.as_ref().is_none_or(|first| stray.rank() < first.rank()) {
                    worst = Some(stray);
                }
            }
        }
    }
    if let Some(stray) = worst {
        return Err(stray);
    }
    for range in ranges {
        body.get_mut(range).unwrap_or_default().fill(b'*');
    }
    Ok(masked)
}

/// Overwrites by `*` whatever has a placeholder's form: for paths and messages that go into records.
pub fn mask_text(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for hit in find::tokens(text.as_bytes()) {
        // Spelled in ASCII throughout, so both ends are character boundaries.
        shown.to_mut().replace_range(hit.start..hit.end, &"*".repeat(hit.end - hit.start));
    }
    shown
}

/// The bytes that spell the token and, before it, its prefix.
fn spelled_range(json: &[u8], hit: &Hit, prefix: &str) -> Range<usize> {
    let start = prefix.bytes().rev().try_fold(hit.start, |end, char| unit_before(json, end, char));
    let start = outside_escape(json, start.unwrap_or(hit.start));
    start.min(hit.end)..hit.end
}

/// Where the character `char`, spelled in any way, starts if it ends at `end`.
fn unit_before(json: &[u8], end: usize, char: u8) -> Option<usize> {
    [6, 3, 1].into_iter().find_map(|length| {
        let start = end.checked_sub(length)?;
        (find::unit(json, start) == Some((char, length))).then_some(start)
    })
}

/// The next position at or after `at` that is not within an escape: overwriting `n` of `\n` would break the string.
fn outside_escape(json: &[u8], at: usize) -> usize {
    for back in 1..6 {
        let Some(start) = at.checked_sub(back) else { break };
        if json.get(start) != Some(&b'\\') {
            continue;
        }
        let run = json.get(..start).unwrap_or_default().iter().rev().take_while(|&&b| b == b'\\').count();
        if run % 2 == 1 {
            continue;
        }
        let length = if json.get(start + 1) == Some(&b'u') { 6 } else { 2 };
        return at.max(start + length);
    }
    at
}
