//! What many records have in common: who asked, and under which policy.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::json::{Members, object};

/// Most ancestors of a process that a record names.
const ANCESTORS_MAX: usize = 16;

/// An object that many records share, as JSON: made once, and seldom written more than once into a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fragment(pub(crate) Arc<[u8]>);

impl Fragment {
    fn of(write: impl FnOnce(&mut Members<'_>)) -> Self {
        Self(object(write).into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("{}")
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.as_str()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The session of a record.
#[derive(Clone, Debug, Default)]
pub struct SessionFacts<'a> {
    /// UUIDv7.
    pub id: Uuid,
    /// The enclave's name.
    pub enclave: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// `enforce` or `observe`.
    pub mode: &'a str,
    /// `contained`, `advisory` or `outside`.
    pub tier: &'a str,
    /// Which layer found the client.
    pub attribution: &'a str,
    /// The session that started this one.
    pub parent: Option<Uuid>,
}

impl SessionFacts<'_> {
    /// Writes them once.
    pub fn fragment(&self) -> Fragment {
        Fragment::of(|m| {
            m.id("id", Some(self.id));
            m.text("enclave", Some(self.enclave));
            m.text("agent", Some(self.agent));
            m.text("mode", Some(self.mode));
            m.text("tier", Some(self.tier));
            m.text("attribution", Some(self.attribution));
            m.id("parent", self.parent);
        })
    }
}

/// The process of a record.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts<'a> {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot; with the pid it names one process.
    pub start_time: Option<u64>,
    /// The resolved path of the program.
    pub executable: Option<&'a str>,
    /// Digest of the program, lower-case hex.
    pub executable_sha256: Option<&'a str>,
    /// The interpreter's script.
    pub script: Option<&'a str>,
    /// The user's name, or the number where there is none.
    pub owner: Option<&'a str>,
    /// Nearest first; at most 16 are written.
    pub ancestors: &'a [Ancestor<'a>],
}

/// One ancestor of a process.
#[derive(Clone, Debug, Default)]
pub struct Ancestor<'a> {
    /// Process id.
    pub pid: u32,
    /// The resolved path of the program.
    pub executable: Option<Cow<'a, str>>,
}

impl ProcessFacts<'_> {
    /// Writes them once.
    pub fn fragment(&self) -> Fragment {
        Fragment::of(|m| {
            m.number("pid", Some(self.pid.into()));
            m.number("start_time", self.start_time);
            m.object("executable", |m| {
                m.file("path", self.executable);
                m.text("sha256", self.executable_sha256);
            });
            m.file("script", self.script);
            m.text("owner", self.owner);
            m.objects("ancestors", self.ancestors, ANCESTORS_MAX, |m, ancestor| {
                m.number("pid", Some(ancestor.pid.into()));
                m.object("executable", |m| m.file("path", ancestor.executable.as_deref()));
            });
        })
    }
}

/// The policy that decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyFacts<'a> {
    /// Its generation.
    pub generation: u64,
    /// Digest of the configuration, lower-case hex.
    pub sha256: Option<&'a str>,
}

impl PolicyFacts<'_> {
    /// Writes them once.
    pub fn fragment(&self) -> Fragment {
        Fragment::of(|m| {
            m.number("generation", Some(self.generation));
            m.text("sha256", self.sha256);
        })
    }
}
