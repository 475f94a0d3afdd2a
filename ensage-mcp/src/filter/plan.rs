//! One message of a server as it is scanned: what it is, and what of it goes on.

use std::ops::Range;

use super::edit::{Editor, View};
use super::facts::Facts;
use super::list::List;
use super::{Ask, FilterError, Item, ItemKind, Policy, clean, want};
use crate::json::{self, Found, Kind, Limits, Node, Tag, What};
use crate::mcp::Method;

/// What is at hand while something is found.
pub(super) struct Turn<'t, F> {
    pub(super) view: View<'t>,
    pub(super) policy: &'t mut Policy<F>,
    pub(super) out: &'t mut Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) facts: Facts,
    pub(super) editor: Editor,
    /// The list that the answer must have.
    required: Option<Tag>,
    /// A rewritten result has to have what 2026-07-28 demands.
    completes: bool,
    pub(super) list: List,
    pub(super) element: Element,
    /// The list inside an element.
    pub(super) parts: List,
    pub(super) part: Element,
    /// What changes in the value that is held.
    pub(super) edits: Vec<(Range<u64>, Vec<u8>)>,
}

/// Something in a list that has not ended.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    named: Named,
    /// Where a member begins that may go, name included.
    pub(super) start: u64,
    text: bool,
    stripped: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Named {
    #[default]
    Not,
    Told,
    /// A name that is longer than what the scanner tells.
    Long(Range<u64>),
}

impl Plan {
    pub(super) fn new(ask: &Ask, limit: usize) -> Self {
        let required = want::required(&ask.method);
        Self {
            facts: Facts::default(),
            editor: Editor::new(limit),
            required,
            completes: ask.revision.is_modern() && (required.is_some() || ask.method == Method::ServerDiscover),
            list: List::default(),
            element: Element::default(),
            parts: List::default(),
            part: Element::default(),
            edits: Vec::new(),
        }
    }

    /// The next thing that the scanner tells; after a failure nothing counts.
    pub(super) fn take<F: FnMut(&Item<'_>) -> bool>(&mut self, found: Found<'_>, turn: &mut Turn<'_, F>) {
        if self.facts.failed.is_none()
            && let Err(error) = self.try_take(found, turn)
        {
            self.facts.failed = Some(error);
        }
    }

    fn try_take<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        found: Found<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        let Found { tag, span, what } = found;
        match tag {
            want::ROOT if what == What::End => {
                // No reader takes for whole what has no end: it waits for the verdict.
                self.editor.hold(span.end.saturating_sub(1));
                Ok(())
            }
            want::ROOT if matches!(what, What::Begin(Kind::Object)) => self.editor.release(span.start),
            want::RESULT if what == What::End => self.result_ends(&span, turn),
            want::INPUTS | want::ERROR => self.asked_inside(tag, &span, what, turn),
            want::CACHE_SCOPE | want::TTL | want::INSTRUCTIONS => self.value(tag, &span, what, turn),
            want::DESCRIPTION => {
                self.description(&span, what, turn.view);
                Ok(())
            }
            want::CAPABILITIES => self.capabilities(&span, what, turn),
            want::CAPABILITY | want::EXTENSION | want::EXTENSIONS => {
                self.capability(tag, &span, what, turn);
                Ok(())
            }
            _ => match want::of_list(tag) {
                None => self.facts.take(tag, what),
                Some((want::PARTS, kind, part)) => self.of_parts(kind, part, &span, what, turn),
                Some((list, kind, part)) => self.of_list(list, kind, part, &span, what, turn),
            },
        }
    }

    /// What may hold requests of the server: it is looked at as a whole.
    fn asked_inside<F>(
        &mut self,
        tag: Tag,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        match what {
            What::Begin(_) => {
                self.editor.hold(span.start);
                if tag == want::ERROR { self.facts.take(tag, what) } else { Ok(()) }
            }
            What::End => {
                self.editor.release(span.end)?;
                let node = json::parse(turn.view.get(span), &Limits::default())?;
                let refused = if tag == want::ERROR {
                    turn.policy.refused_elicitation(&node)?
                } else {
                    turn.policy.refused_input(&node)?
                };
                self.facts.refused = self.facts.refused.take().or(refused);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn of_list<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        list: Tag,
        kind: ItemKind,
        part: Tag,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        match (part, what) {
            (0, What::Begin(Kind::Array)) => {
                self.facts.lists |= 1_u64 << (list & 63);
                self.list = List::default();
                Ok(())
            }
            (0, What::End) => self.editor.release(span.end),
            (want::ELEMENT, What::Begin(Kind::Object)) => {
                if let Some(gap) = self.list.begins(span.start) {
                    self.editor.replace(&gap, b"", turn.view, turn.out);
                }
                self.editor.hold(span.start);
                self.element.begin();
                self.edits.clear();
                Ok(())
            }
            (want::ELEMENT, What::End) => {
                let json = turn.view.get(span);
                let name = self.element.name(turn.view)?;
                let shown = (turn.policy.shows)(&Item { kind, name: &name, json });
                self.facts.count(shown);
                if shown {
                    self.list.keeps(span);
                    if kind == ItemKind::Tool && clean::is_tainted(json) {
                        self.facts.flag(&name, self.element.stripped);
                    }
                    self.apply_edits(turn);
                } else {
                    let cut = self.list.drops(span);
                    self.editor.replace(&cut, b"", turn.view, turn.out);
                }
                self.element.name = name;
                self.editor.release(span.end)?;
                self.editor.hold(self.list.end().unwrap_or(span.end));
                Ok(())
            }
            (want::NAME, what) => self.element.is_called(span, what),
            (_, _) => Err(FilterError::List),
        }
    }

    /// The resources of a skill, which is held whole.
    fn of_parts<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        kind: ItemKind,
        part: Tag,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        match (part, what) {
            (0, What::Begin(Kind::Array)) => {
                self.parts = List::default();
                Ok(())
            }
            // "dynamic": they are in no list.
            (0, What::End | What::Text { .. }) => Ok(()),
            (want::ELEMENT, What::Begin(Kind::Object)) => {
                self.edits.extend(self.parts.begins(span.start).map(|gap| (gap, Vec::new())));
                self.part.begin();
                Ok(())
            }
            (want::ELEMENT, What::End) => {
                let name = self.part.name(turn.view)?;
                if (turn.policy.shows)(&Item { kind, name: &name, json: turn.view.get(span) }) {
                    self.parts.keeps(span);
                } else {
                    self.edits.push((self.parts.drops(span), Vec::new()));
                }
                self.part.name = name;
                Ok(())
            }
            (want::NAME, what) => self.part.is_called(span, what),
            (_, _) => Err(FilterError::List),
        }
    }

    fn description(&mut self, span: &Range<u64>, what: What<'_>, view: View<'_>) {
        match what {
            What::Begin(kind) => self.element.text = kind == Kind::Text,
            What::End if self.element.text => {
                if let Some(plain) = clean::stripped(view.get(span)) {
                    self.element.stripped = true;
                    self.edits.push((span.clone(), plain.into_bytes()));
                }
            }
            _ => {}
        }
    }

    /// A value that may be written anew.
    fn value<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        tag: Tag,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        match what {
            What::Begin(_) => {
                self.facts.members |= member(tag);
                self.editor.hold(span.start);
                Ok(())
            }
            What::End => {
                let json = turn.view.get(span);
                let other = match tag {
                    want::INSTRUCTIONS => instructions(json, &mut turn.policy.shows),
                    want::CACHE_SCOPE => (self.completes && !is_text(json, "private")).then(|| b"\"private\"".to_vec()),
                    _ => (self.completes && !is_duration(json)).then(|| b"0".to_vec()),
                };
                self.editor.release(span.end)?;
                if let Some(other) = other {
                    self.editor.replace(span, &other, turn.view, turn.out);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds what is missing: a list that a policy went over belongs to one agent, on every page alike (2026-07-28,
    /// caching), and clients refuse one without these members.
    fn result_ends<F>(&mut self, span: &Range<u64>, turn: &mut Turn<'_, F>) -> Result<(), FilterError> {
        let has_list = self.required.is_some_and(|list| self.facts.has_list(list));
        let waits_for_input = self.facts.result_type == Some(true) && !has_list;
        if self.required.is_some() && !has_list && !waits_for_input {
            return Err(FilterError::List);
        }
        if !self.completes || waits_for_input || !(has_list || self.facts.greets) {
            return Ok(());
        }
        let mut more = String::new();
        if self.facts.result_type.is_none() {
            more.push_str(r#","resultType":"complete""#);
        }
        if self.facts.members & member(want::TTL) == 0 {
            more.push_str(r#","ttlMs":0"#);
        }
        if self.facts.members & member(want::CACHE_SCOPE) == 0 {
            more.push_str(r#","cacheScope":"private""#);
        }
        if !more.is_empty() {
            let end = span.end.saturating_sub(1);
            self.editor.replace(&(end..end), more.as_bytes(), turn.view, turn.out);
        }
        Ok(())
    }

    pub(super) fn apply_edits<F>(&mut self, turn: &mut Turn<'_, F>) {
        for (span, other) in self.edits.drain(..) {
            self.editor.replace(&span, &other, turn.view, turn.out);
        }
    }
}

impl Element {
    pub(super) fn begin(&mut self) {
        self.name.clear();
        *self = Self { name: std::mem::take(&mut self.name), ..Self::default() };
    }

    fn is_called(&mut self, span: &Range<u64>, what: What<'_>) -> Result<(), FilterError> {
        self.named = match what {
            What::Text { text, .. } => {
                self.name.push_str(text);
                Named::Told
            }
            What::LongText => Named::Long(span.clone()),
            _ => return Err(FilterError::List),
        };
        Ok(())
    }

    /// Its name, for as long as it is looked at.
    fn name(&mut self, view: View<'_>) -> Result<String, FilterError> {
        match &self.named {
            Named::Not => Err(FilterError::List),
            Named::Told => Ok(std::mem::take(&mut self.name)),
            Named::Long(span) => text(view.get(span)).ok_or(FilterError::List),
        }
    }
}

const fn member(tag: Tag) -> u64 {
    1 << (tag & 63)
}

/// Instructions without what people don't see, or none; `None` if they stay.
fn instructions(json: &[u8], shows: &mut impl FnMut(&Item<'_>) -> bool) -> Option<Vec<u8>> {
    if !shows(&Item { kind: ItemKind::Instructions, name: "", json }) {
        return Some(b"\"\"".to_vec());
    }
    clean::stripped(json).map(String::into_bytes)
}

fn parsed(json: &[u8]) -> Option<Node<'_>> {
    json::parse(json, &Limits::default()).ok()
}

fn text(json: &[u8]) -> Option<String> {
    parsed(json)?.as_str().map(str::to_owned)
}

fn is_text(json: &[u8], expected: &str) -> bool {
    parsed(json).is_some_and(|node| node.as_str() == Some(expected))
}

/// A number of milliseconds that is not negative.
fn is_duration(json: &[u8]) -> bool {
    parsed(json).and_then(|node| node.as_number()?.parse::<f64>().ok()).is_some_and(|ms| ms >= 0.0)
}
