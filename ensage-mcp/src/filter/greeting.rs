//! What a server says it can do.

use std::ops::Range;

use super::edit::View;
use super::list::List;
use super::plan::{Plan, Turn};
use super::{FilterError, Item, ItemKind, want};
use crate::json::{Kind, Tag, What};

impl Plan {
    pub(super) fn capabilities<F>(
        &mut self,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), FilterError> {
        match what {
            What::Begin(Kind::Object) => {
                self.facts.greets = true;
                self.list = List::default();
                self.edits.clear();
                self.editor.hold(span.start);
                Ok(())
            }
            What::End => {
                self.apply_edits(turn);
                self.editor.release(span.end)
            }
            _ => Err(FilterError::List),
        }
    }

    /// Members of `capabilities` and of `extensions` inside it.
    pub(super) fn capability<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        tag: Tag,
        span: &Range<u64>,
        what: What<'_>,
        turn: &mut Turn<'_, F>,
    ) {
        if tag == want::EXTENSIONS {
            return self.extensions(span, what, turn.view);
        }
        let (kind, list, element) = match tag {
            want::EXTENSION => (ItemKind::Extension, &mut self.parts, &mut self.part),
            _ => (ItemKind::Capability, &mut self.list, &mut self.element),
        };
        match what {
            What::Name(name) => {
                self.edits.extend(list.begins(span.start).map(|gap| (gap, Vec::new())));
                element.begin();
                element.start = span.start;
                element.name.push_str(name);
            }
            What::End => {
                let whole = element.start..span.end;
                let item = Item { kind, name: &element.name, json: turn.view.get(span) };
                if (turn.policy.shows)(&item) {
                    list.keeps(&whole);
                } else {
                    self.edits.push((list.drops(&whole), Vec::new()));
                }
            }
            _ => {}
        }
    }

    /// They stay among the capabilities, whatever stays of them.
    fn extensions(&mut self, span: &Range<u64>, what: What<'_>, view: View<'_>) {
        if what != What::End {
            self.parts = List::default();
            // Their name is not told; what goes before it is a comma.
            if let Some(gap) = self.list.end().and_then(|end| self.list.begins(name_after(end, view))) {
                self.edits.push((gap, Vec::new()));
            }
        }
        self.list.keeps(span);
    }
}

/// Where the next member begins behind the one that ends at `end`.
fn name_after(end: u64, view: View<'_>) -> u64 {
    let rest = view.get(&(end..view.end()));
    let between = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')).count();
    end.saturating_add(u64::try_from(between).unwrap_or(u64::MAX))
}
