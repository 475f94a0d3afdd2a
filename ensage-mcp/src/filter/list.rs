//! A list of tools without some of them.

use std::ops::Range;

use super::FilterError;
use crate::json::{Interpreted, Node, slice};

/// What a client reads of a tool.
const KNOWN_TOOL: [&str; 9] =
    ["_meta", "annotations", "description", "execution", "icons", "inputSchema", "name", "outputSchema", "title"];

/// The tools of one page, each either kept or hidden.
pub(super) struct Tools {
    pub(super) kept: usize,
    pub(super) hidden: usize,
    /// The stretches that go, in document order, none overlapping.
    cuts: Vec<Range<u64>>,
}

impl Tools {
    pub(super) fn read(result: &Interpreted<'_, '_>, allow: impl Fn(&str) -> bool) -> Result<Self, FilterError> {
        let tools = result.get("tools").and_then(Node::as_array).ok_or(FilterError::List)?;
        let mut all = Self { kept: 0, hidden: 0, cuts: Vec::new() };
        let mut nodes = tools.iter().peekable();
        let mut earlier_end = None;
        while let Some(tool) = nodes.next() {
            if tool.as_object().is_none() {
                return Err(FilterError::List);
            }
            let members = tool.interpreted(&KNOWN_TOOL)?;
            let name = members.get("name").and_then(Node::as_str).ok_or(FilterError::List)?;
            if allow(name) {
                all.kept += 1;
            } else {
                all.hidden += 1;
                // With the comma before it, or, where nothing before it stays, the one behind it.
                all.cuts.push(match (all.kept, earlier_end, nodes.peek()) {
                    (1.., Some(end), _) => end..tool.span.end,
                    (_, _, Some(next)) => tool.span.start..next.span.start,
                    (_, _, None) => tool.span.clone(),
                });
            }
            earlier_end = Some(tool.span.end);
        }
        Ok(all)
    }

    /// The message without what is hidden; `None` if nothing of it changes.
    ///
    /// A list that a policy went over belongs to one agent, whatever it left in: a public `scope` becomes
    /// `"private"`, on every page alike (2026-07-28, caching: one scope for all pages).
    pub(super) fn without_hidden(&self, scope: Option<&Node<'_>>, bytes: &[u8]) -> Option<Vec<u8>> {
        let scope = scope.filter(|node| node.as_str() != Some("private"));
        let mut edits: Vec<(Range<u64>, &[u8])> = self.cuts.iter().map(|cut| (cut.clone(), &b""[..])).collect();
        edits.extend(scope.map(|node| (node.span.clone(), &b"\"private\""[..])));
        if edits.is_empty() {
            return None;
        }
        edits.sort_unstable_by_key(|(span, _)| span.start);
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for (span, other) in edits {
            out.extend_from_slice(slice(bytes, &(at..span.start)));
            out.extend_from_slice(other);
            at = span.end;
        }
        let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        out.extend_from_slice(slice(bytes, &(at..end)));
        Some(out)
    }
}
