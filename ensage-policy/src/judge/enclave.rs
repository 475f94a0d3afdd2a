//! Which enclave an agent belongs to (contract section 3).

use std::path::Path;
use std::sync::Arc;

use super::denial::Denial;
use crate::model::{Enclave, Policy};
use crate::reason::Reason;

/// What says which enclave is meant, beside the agent's name.
#[derive(Clone, Copy, Debug)]
pub enum Hint<'a> {
    /// Nothing.
    None,
    /// `run --enclave`, or the listener of an enclave.
    Named(&'a str),
    /// The working folder of the session, absolute and resolved.
    Folder(&'a Path),
}

/// The one enclave that lists this agent, as far as the hint allows.
///
/// An enclave with `folders` is out where the folder is none of them, and goes before those without where it is.
///
/// # Errors
/// `agent_not_allowed` if none lists it, `ambiguous_enclave` if several do; the remedy names them.
pub fn enclave_of<'p>(policy: &'p Policy, agent: &str, hint: Hint<'_>) -> Result<&'p Arc<Enclave>, Denial> {
    let lists = |enclave: &&Arc<Enclave>| enclave.any_agent || enclave.agents.iter().any(|name| **name == *agent);
    let listing = policy.enclaves.iter().filter(lists);
    let choices: Vec<_> = match hint {
        Hint::None => listing.collect(),
        Hint::Named(name) => listing.filter(|enclave| *enclave.name == *name).collect(),
        Hint::Folder(folder) => by_folder(listing.collect(), folder),
    };
    match choices.as_slice() {
        [only] => Ok(only),
        [] => Err(not_listed(policy, agent, hint)),
        several => {
            let names: Vec<&str> = several.iter().map(|enclave| &*enclave.name).collect();
            let message = format!("agent {agent} is listed in several enclaves");
            let remedy = format!("say which: ensage run --enclave {}", names.join("|"));
            Err(Denial::new(Reason::AmbiguousEnclave, message).remedy(remedy))
        }
    }
}

fn by_folder<'p>(listing: Vec<&'p Arc<Enclave>>, folder: &Path) -> Vec<&'p Arc<Enclave>> {
    let holds = |enclave: &&Arc<Enclave>| enclave.folders.iter().any(|held| folder.starts_with(held));
    let chosen: Vec<_> = listing.iter().copied().filter(holds).collect();
    if chosen.is_empty() { listing.into_iter().filter(|enclave| enclave.folders.is_empty()).collect() } else { chosen }
}

fn not_listed(policy: &Policy, agent: &str, hint: Hint<'_>) -> Denial {
    let names: Vec<&str> = policy.enclaves.iter().map(|enclave| &*enclave.name).collect();
    match hint {
        Hint::Named(name) => match policy.enclave(name) {
            Some(enclave) => {
                Denial::new(Reason::AgentNotAllowed, format!("enclave {name} does not list agent {agent}"))
                    .by(&enclave.rule)
                    .remedy(format!("write {}", listing(enclave, agent)))
            }
            None => Denial::new(Reason::AgentNotAllowed, format!("there is no enclave {name}"))
                .remedy(format!("choose one of: {}", names.join(", "))),
        },
        Hint::None | Hint::Folder(_) => {
            let listing = policy.enclaves.iter().filter(|enclave| enclave.agents.iter().any(|name| **name == *agent));
            let elsewhere: Vec<&str> = listing.map(|enclave| &*enclave.name).collect();
            if elsewhere.is_empty() {
                return Denial::new(Reason::AgentNotAllowed, format!("no enclave lists agent {agent}"))
                    .remedy(format!("write {}", choices(policy, agent)));
            }
            let message = format!("no enclave that lists agent {agent} has this folder");
            let remedy = format!("run it in one of its `folders`, or say which: --enclave {}", elsewhere.join("|"));
            Denial::new(Reason::AgentNotAllowed, message).remedy(remedy)
        }
    }
}

/// What would list it, in each of the first enclaves.
fn choices(policy: &Policy, agent: &str) -> String {
    let mut all: Vec<String> =
        policy.enclaves.iter().take(CHOICES_MAX).map(|enclave| listing(enclave, agent)).collect();
    if policy.enclaves.len() > CHOICES_MAX {
        all.push("the same of another enclave".to_owned());
    }
    if all.is_empty() {
        all.push(format!("[enclave.NAME] agents = [{agent:?}]"));
    }
    all.join(", or ")
}

/// Most enclaves that a remedy spells out.
const CHOICES_MAX: usize = 4;

/// The line that lists one agent more.
fn listing(enclave: &Enclave, agent: &str) -> String {
    let mut names: Vec<&str> = enclave.agents.iter().map(|name| &**name).collect();
    names.push(agent);
    format!("[{}] agents = {names:?}", enclave.rule.path)
}
