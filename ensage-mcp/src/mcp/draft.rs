//! What was said so far in a message, before anything of it is held against anything else.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::wants as w;
use super::{ArgumentsSpan, Id, Method};
use crate::Revision;
use crate::json::{Found, JsonError, Kind, What};

/// A member of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Said<T> {
    #[default]
    Absent,
    /// It is there, but nothing that it may be.
    Wrong,
    Is(T),
}

impl<T> Said<T> {
    pub(super) const fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// What it is, if it is there.
    pub(super) const fn get(&self) -> Option<&T> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }
}

/// An object that is interpreted if the message turns out to be one that has it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) said: Said<()>,
    pub(super) twin: Option<JsonError>,
}

/// A list of strings.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) said: Said<()>,
    pub(super) all: Vec<String>,
}

/// Everything that was said so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) root: Option<Kind>,
    pub(super) is_2_0: bool,
    pub(super) id: Said<Id>,
    pub(super) method: Said<Method>,
    pub(super) params: Asked,
    pub(super) result: Asked,
    pub(super) error: Asked,
    pub(super) meta: Asked,
    pub(super) version: Said<Version>,
    pub(super) input_responses: Asked,
    pub(super) task: Asked,
    pub(super) request_state: Said<()>,
    pub(super) cursor: Said<()>,
    pub(super) name: Said<String>,
    pub(super) uri: Said<String>,
    pub(super) task_id: Said<String>,
    pub(super) protocol_version: Said<Version>,
    pub(super) request_id: Said<Id>,
    pub(super) reference: Asked,
    pub(super) ref_type: Said<String>,
    pub(super) ref_name: Said<String>,
    pub(super) ref_uri: Said<String>,
    pub(super) notifications: Asked,
    pub(super) subscriptions: Texts,
    pub(super) task_ids: Texts,
    pub(super) arguments: Arguments,
}

/// `params.arguments`, of which the digest is made as they come.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) said: Said<Range<u64>>,
    digest: Option<Sha256>,
}

/// A revision as a message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Published(Revision),
    Other(String),
}

impl Version {
    fn new(text: &str) -> Self {
        Revision::parse(text).map_or_else(|| Self::Other(text.to_owned()), Self::Published)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Published(revision) => revision.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl Draft {
    /// Notes what the scanner found.
    pub(super) fn note(&mut self, found: &Found<'_>) {
        let what = found.what;
        match found.tag {
            w::ROOT => self.note_root(what),
            w::JSONRPC => self.is_2_0 = matches!(what, What::Text { text: "2.0", .. }),
            w::ID => note_id(&mut self.id, what),
            w::METHOD => note_text(&mut self.method, what, Method::parse),
            w::PARAMS => self.params.note(what),
            w::RESULT => self.result.note(what),
            w::ERROR => self.error.note(what),
            w::META => self.meta.note(what),
            w::VERSION => note_text(&mut self.version, what, Version::new),
            w::INPUT_RESPONSES => self.input_responses.note(what),
            w::TASK => self.task.note(what),
            w::REQUEST_STATE => note_text(&mut self.request_state, what, |_| ()),
            w::CURSOR => note_text(&mut self.cursor, what, |_| ()),
            w::NAME => note_text(&mut self.name, what, str::to_owned),
            w::URI => note_text(&mut self.uri, what, str::to_owned),
            w::TASK_ID => note_text(&mut self.task_id, what, str::to_owned),
            w::PROTOCOL_VERSION => note_text(&mut self.protocol_version, what, Version::new),
            w::REQUEST_ID => note_id(&mut self.request_id, what),
            w::ARGUMENTS => self.arguments.note(found),
            w::REF => self.reference.note(what),
            w::REF_TYPE => note_text(&mut self.ref_type, what, str::to_owned),
            w::REF_NAME => note_text(&mut self.ref_name, what, str::to_owned),
            w::REF_URI => note_text(&mut self.ref_uri, what, str::to_owned),
            w::NOTIFICATIONS => self.notifications.note(what),
            w::SUBSCRIPTIONS => self.subscriptions.note(what),
            w::SUBSCRIPTION => self.subscriptions.note_one(what),
            w::TASK_IDS => self.task_ids.note(what),
            w::ONE_TASK_ID => self.task_ids.note_one(what),
            _ => {}
        }
    }

    fn note_root(&mut self, what: What<'_>) {
        self.root = match what {
            What::Begin(kind) => Some(kind),
            What::End | What::Twin(_) | What::Name(_) | What::Bytes(_) => self.root,
            What::Null => Some(Kind::Null),
            What::Bool(_) => Some(Kind::Bool),
            What::Number(_) => Some(Kind::Number),
            What::Text { .. } | What::LongText => Some(Kind::Text),
        };
    }
}

fn note_text<T>(said: &mut Said<T>, what: What<'_>, read: impl FnOnce(&str) -> T) {
    *said = match what {
        What::Text { text, .. } => Said::Is(read(text)),
        What::End => return,
        _ => Said::Wrong,
    };
}

fn note_id(said: &mut Said<Id>, what: What<'_>) {
    let id = match what {
        What::Text { text, raw } => Id::from_text(text, raw),
        What::Number(text) => Id::from_number(text),
        What::End => return,
        _ => None,
    };
    *said = id.map_or(Said::Wrong, Said::Is);
}

impl Asked {
    fn note(&mut self, what: What<'_>) {
        match what {
            What::Begin(Kind::Object) => self.said = Said::Is(()),
            What::Twin(twin) => self.twin = self.twin.or(Some(twin)),
            What::End => {}
            _ => self.said = Said::Wrong,
        }
    }
}

impl Texts {
    fn note(&mut self, what: What<'_>) {
        match what {
            What::Begin(Kind::Array) => self.said = Said::Is(()),
            What::End => {}
            _ => self.said = Said::Wrong,
        }
    }

    fn note_one(&mut self, what: What<'_>) {
        match what {
            What::Text { text, .. } => self.all.push(text.to_owned()),
            What::End => {}
            _ => self.said = Said::Wrong,
        }
    }
}

impl Arguments {
    fn note(&mut self, found: &Found<'_>) {
        match found.what {
            What::Begin(Kind::Object) => self.digest = Some(Sha256::new()),
            What::Begin(_) => (self.said, self.digest) = (Said::Wrong, None),
            What::Bytes(bytes) => {
                if let Some(digest) = &mut self.digest {
                    digest.update(bytes);
                }
            }
            What::End if self.digest.is_some() => self.said = Said::Is(found.span.clone()),
            _ => {}
        }
    }

    /// Where they are, and the digest of their bytes.
    pub(super) fn span(&mut self) -> Option<ArgumentsSpan> {
        let (Said::Is(range), Some(digest)) = (std::mem::take(&mut self.said), self.digest.take()) else { return None };
        let mut sha256 = String::with_capacity(64);
        for byte in digest.finalize() {
            for nibble in [byte >> 4, byte & 0xF] {
                sha256.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
            }
        }
        Some(ArgumentsSpan { range, sha256 })
    }
}
