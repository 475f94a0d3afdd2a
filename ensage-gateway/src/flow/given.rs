//! What of its providers' state a session was given, and so may take up again.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use ensage_mcp::llm::StoredId;

use super::exchange::Exchange;

/// Most ids that are remembered of one provider; an answer gives about ten, and only the last few are taken up.
const IDS_MAX: usize = 4096;

/// The ids that a session's providers gave it, by `llm` entry. The oldest are forgotten.
#[derive(Default)]
pub(crate) struct Given {
    known: RefCell<HashMap<Arc<str>, Ids>>,
}

#[derive(Default)]
struct Ids {
    known: HashSet<Rc<StoredId>>,
    /// The same, the oldest first.
    order: VecDeque<Rc<StoredId>>,
}

impl Given {
    /// `provider` gave these.
    pub(crate) fn learn(&self, provider: &Arc<str>, ids: Vec<StoredId>) {
        if ids.is_empty() {
            return;
        }
        let mut known = self.known.borrow_mut();
        let of = known.entry(provider.clone()).or_default();
        for id in ids {
            of.learn(Rc::new(id));
        }
    }

    /// True if `provider` gave this to the session.
    pub(crate) fn has(&self, provider: &str, id: &StoredId) -> bool {
        self.known.borrow().get(provider).is_some_and(|of| of.known.contains(id))
    }
}

impl Ids {
    fn learn(&mut self, id: Rc<StoredId>) {
        if !self.known.insert(id.clone()) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&*oldest);
        }
    }
}

impl Exchange {
    /// Where it is remembered what its LLM provider keeps and has told the session of.
    pub(crate) fn given_room(&self) -> Option<(Rc<Given>, Arc<str>)> {
        Some((self.member.as_ref()?.rooms.given.clone(), self.facts.provider.clone()?))
    }
}

#[cfg(test)]
mod tests {
    use ensage_mcp::llm::StoredKind;

    use super::*;

    #[test]
    fn each_provider_gave_its_own_and_the_oldest_is_forgotten() {
        let id = |number: usize| StoredId { kind: StoredKind::Response, id: format!("resp_{number}") };
        let (given, one): (Given, Arc<str>) = (Given::default(), "one".into());
        given.learn(&one, (0..=IDS_MAX).map(id).collect());
        given.learn(&one, vec![id(1)]);
        assert!(!given.has("one", &id(0)) && given.has("one", &id(1)) && given.has("one", &id(IDS_MAX)));
        assert!(!given.has("two", &id(1)));
        assert!(!given.has("one", &StoredId { kind: StoredKind::Item, ..id(1) }));
    }
}
