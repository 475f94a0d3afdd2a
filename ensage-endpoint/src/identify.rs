//! Which agent a client is.

use std::sync::Arc;

use crate::{
    catalogue::{Matcher, Verdict, judge},
    peers::{Peers, Socket, Unknown},
    proc::{Chain, Process, ProcessKey},
};

/// By what a client is known.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// All definitions in force.
    pub matchers: &'a [Matcher],
    /// Whether a process is the root of a registered session (what `ensage run` started, and the `run` itself: it
    /// adopts the session's orphans).
    pub registered: &'a dyn Fn(&ProcessKey) -> bool,
    /// SHA-256 of a process's program; asked only where a definition pins one and all its other keys match.
    pub digest: &'a dyn Fn(&Process) -> Option<Arc<str>>,
}

/// Who the owners of a socket are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// One agent.
    Agent(Box<Agent>),
    /// The nearest process that matches a definition matches several equally well.
    AmbiguousAgent {
        /// The owner.
        client: Box<Chain>,
        /// The agents that it may be.
        names: Vec<Arc<str>>,
    },
    /// Several processes own the socket and they do not belong to one agent (or to none at all).
    AmbiguousOwners(Vec<Chain>),
    /// One process, neither it nor an ancestor is an agent.
    Unattributed(Box<Chain>),
}

/// A client that is an agent or works for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The name by the nearest definition; absent where only the registered session says who it is, or where the
    /// owners have different names within one.
    pub name: Option<Arc<str>>,
    /// The process whose session this is.
    pub root: Process,
    /// What made it the root.
    pub by: RootBy,
    /// The owner of the socket (the oldest, if several) and its ancestors.
    pub client: Chain,
}

impl Agent {
    /// Whether it is that other one once more, further down: a program that forks is its own child until that becomes
    /// another program, and each of the two has the files of the other.
    pub fn is_forked_from(&self, other: &Self) -> bool {
        let defined = self.by == RootBy::Definition && other.by == RootBy::Definition;
        // From this one's root up to the other's, all run the same program: one between them that runs another has
        // started a new agent.
        let root = &other.root;
        let same =
            |process: &Process| process.exe.is_some() && process.exe == root.exe && process.script == root.script;
        let mut line = self.client.iter().skip_while(|process| process.key() != self.root.key());
        let end = line.find(|process| process.key() == root.key() || !same(process));
        defined && self.name == other.name && end.is_some_and(|process| process.key() == root.key())
    }
}

/// What made a process the root of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootBy {
    /// It was registered.
    Registration,
    /// A definition matches it.
    Definition,
}

/// Finds the owners of a socket and who they are. Blocks for up to the budget of `peers`.
///
/// # Errors
/// [`Unknown`]: the owners can't be found, or not in time. Such a client is to be refused.
pub fn owner_of(peers: &Peers, socket: &Socket, rules: &Rules<'_>) -> Result<Identity, Unknown> {
    Ok(identify(peers.chains(socket)?, rules))
}

/// The same for the process that connected a Unix socket.
///
/// # Errors
/// [`Unknown`]: a process can't be read. Such a client is to be refused.
pub fn connector_is(process: Process, rules: &Rules<'_>) -> Result<Identity, Unknown> {
    Ok(identify(vec![Chain::of(process)?], rules))
}

/// Says who the owners of one socket are, given each with its ancestors. Owners count as one client only within
/// one session. Without any owner it is [`Identity::AmbiguousOwners`] of none.
pub fn identify(mut owners: Vec<Chain>, rules: &Rules<'_>) -> Identity {
    owners.sort_by_key(|owner| (owner.process.start_time, owner.process.pid));
    let mut agreed: Option<Agent> = None;
    let mut strangers = 0_usize;
    for owner in &owners {
        match client(owner, rules) {
            Client::Agent(agent) => match &mut agreed {
                None => agreed = Some(*agent),
                Some(known) if known.root.key() == agent.root.key() => {
                    if known.name != agent.name {
                        known.name = None;
                    }
                }
                Some(known) if agent.is_forked_from(known) => {}
                Some(known) if known.is_forked_from(&agent) => {
                    known.root = agent.root;
                }
                Some(_) => return Identity::AmbiguousOwners(owners),
            },
            Client::Ambiguous(names) => return Identity::AmbiguousAgent { client: Box::new(owner.clone()), names },
            Client::Stranger => strangers += 1,
        }
    }
    match (agreed, strangers, owners.len()) {
        (Some(agent), 0, _) => Identity::Agent(Box::new(agent)),
        (None, 1, 1) => match owners.pop() {
            Some(owner) => Identity::Unattributed(Box::new(owner)),
            None => Identity::AmbiguousOwners(owners),
        },
        _ => Identity::AmbiguousOwners(owners),
    }
}

enum Client {
    Agent(Box<Agent>),
    Ambiguous(Vec<Arc<str>>),
    Stranger,
}

/// Walks up from the owner. The nearest definition names the agent; the nearest registered root decides the
/// session even above that, and what lies beyond it has no say.
fn client(owner: &Chain, rules: &Rules<'_>) -> Client {
    let mut named: Option<(Arc<str>, &Process)> = None;
    for process in owner.iter() {
        if named.is_none() {
            match judge(process, rules.matchers, rules.digest) {
                Verdict::Nothing => {}
                Verdict::Agent(name) => named = Some((name, process)),
                Verdict::Ambiguous(names) => return Client::Ambiguous(names),
            }
        }
        if (rules.registered)(&process.key()) {
            let name = named.map(|(name, _)| name);
            let (root, by) = (process.clone(), RootBy::Registration);
            return Client::Agent(Box::new(Agent { name, root, by, client: owner.clone() }));
        }
    }
    match named {
        Some((name, root)) => {
            let (root, by) = (root.clone(), RootBy::Definition);
            Client::Agent(Box::new(Agent { name: Some(name), root, by, client: owner.clone() }))
        }
        None => Client::Stranger,
    }
}

#[cfg(test)]
mod tests;
