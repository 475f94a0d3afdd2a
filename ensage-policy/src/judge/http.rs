//! The `http` rules of an enclave: the first that fits host, scheme, method and path opens a request.

use std::borrow::Cow;

use super::denial::Denial;
use super::route::{Asked, Entry, Found, RouteKind, is_at, is_llm_host};
use crate::authority::Fit;
use crate::model::{Enclave, HttpRule, Rule};
use crate::reason::Reason;

/// The list `http` itself: what a default deny names.
pub(super) fn list(enclave: &Enclave) -> Rule {
    Rule { path: format!("{}.http", enclave.rule.path).into(), line: enclave.rule.line }
}

/// How far a rule with the right host and scheme goes along with a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Method,
    Path,
    All,
}

/// The rule that opens a request, or the refusal of the furthest step that any rule of this host reached.
pub(super) fn find<'e>(enclave: &'e Enclave, asked: &Asked<'_>) -> Found<'e> {
    let mut furthest: Option<(Reached, &HttpRule)> = None;
    let mut doubted = None;
    for (at, rule) in enclave.http.iter().enumerate() {
        if rule.host.matches(asked.authority) != Fit::Full || !rule.schemes.contains(&asked.scheme) {
            continue;
        }
        let reached = reach(rule, asked);
        if reached == Reached::All {
            let found = Found::open(RouteKind::Http, Entry::Http(at), &rule.rule);
            return Found { websocket: rule.websocket, ..found };
        }
        if reached == Reached::Path && asked.path.doubt().is_some() {
            doubted = doubted.or(Some(rule));
        }
        if furthest.is_none_or(|(best, _)| reached > best) {
            furthest = Some((reached, rule));
        }
    }
    let nothing = list(enclave);
    let websocket = furthest.is_some_and(|(_, rule)| rule.websocket);
    let shut = |method, path, classify| {
        let (kind, entry) = (RouteKind::Unlisted, Entry::None);
        Found { kind, entry, method, path, classify, websocket }
    };
    let fine = || Ok(Cow::Owned(nothing.clone()));
    if let (Some(doubt), Some(rule)) = (asked.path.doubt(), doubted) {
        return shut(fine(), Err(Denial::new(Reason::AmbiguousPath, doubt.to_string()).by(&rule.rule)), fine());
    }
    // The entry of an LLM or MCP server lets the method pass: its host was reached, its path was not.
    if is_llm_host(enclave, asked.authority, asked.scheme) {
        return shut(fine(), fine(), Err(llm_path(asked, &nothing)));
    }
    let server = enclave.mcp.iter().any(|rule| is_at(rule, asked.authority, asked.scheme));
    match furthest {
        Some((Reached::Method, rule)) if !server => shut(Err(method(asked, rule)), fine(), fine()),
        Some((Reached::Path, rule)) => shut(fine(), Err(listed(asked, rule)), fine()),
        Some((_, rule)) => shut(fine(), Err(path(asked, &rule.rule)), fine()),
        None => shut(fine(), Err(path(asked, &nothing)), fine()),
    }
}

fn reach(rule: &HttpRule, asked: &Asked<'_>) -> Reached {
    if rule.methods.as_ref().is_some_and(|methods| !methods.iter().any(|m| m == asked.method)) {
        return Reached::Method;
    }
    if rule.paths.as_ref().is_some_and(|paths| !paths.iter().any(|glob| asked.path.matches(glob))) {
        return Reached::Path;
    }
    Reached::All
}

fn method(asked: &Asked<'_>, rule: &HttpRule) -> Denial {
    let message = format!("{} is not allowed on {}", asked.method, asked.authority.host);
    let remedy = format!("add it to methods of {}", rule.rule.path);
    Denial::new(Reason::MethodNotAllowed, message).by(&lacking(rule, "methods")).remedy(remedy)
}

/// The list of a rule that lacks the entry.
fn lacking(rule: &HttpRule, list: &str) -> Rule {
    Rule { path: format!("{}.{list}", rule.rule.path).into(), line: rule.rule.line }
}

/// None of the paths that the rule lists. npm's `@scope%2fname` is one segment, which `/@scope/**` does not take.
fn listed(asked: &Asked<'_>, rule: &HttpRule) -> Denial {
    let denial = path(asked, &rule.rule).by(&lacking(rule, "paths"));
    let missed = rule.paths.iter().flatten().find_map(|glob| asked.path.missed_by_slash(glob));
    match missed {
        None => denial,
        Some(pattern) => {
            let message =
                format!("this path is not allowed on {}: an encoded slash is no separator", asked.authority.host);
            let remedy = format!(
                "add {pattern:?} to paths of {}: in a segment `?` and `*` stand for an encoded slash, `/` does not",
                rule.rule.path
            );
            Denial { message, ..denial.remedy(remedy) }
        }
    }
}

fn path(asked: &Asked<'_>, rule: &Rule) -> Denial {
    let message = format!("this path is not allowed on {}", asked.authority.host);
    let remedy = format!("add it to paths of {}", rule.path);
    Denial::new(Reason::PathNotAllowed, message).by(rule).remedy(remedy)
}

fn llm_path(asked: &Asked<'_>, list: &Rule) -> Denial {
    let message = format!("this path is no inference, count_tokens or models endpoint of {}", asked.authority.host);
    let remedy = format!("add a rule with this host and path to {}", list.path);
    Denial::new(Reason::LlmPathNotAllowed, message).by(list).remedy(remedy)
}
