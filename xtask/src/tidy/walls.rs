//! What stands in the sources: I/O, `unsafe`, the egress function, the proofs, marks of unfinished work.

use super::{BANS, BASIC_CALLERS, FILL_CALLERS, FORBID_ROOTS, File, Finding, PROOF_ROOM, PROOFS, UNSAFE_ROOMS};
use crate::rust::{self, Kind, Path, Token};

pub fn check(file: &File) -> Vec<Finding> {
    let all = rust::tokens(&file.text);
    let program = if file.is_test() { Vec::new() } else { rust::without_tests(&all) };
    let mut findings = Vec::new();
    findings.extend(bans(file, &rust::paths(&program)));
    findings.extend(unsafe_code(file, &all));
    findings.extend(fill(file, &rust::paths(&all)));
    findings.extend(basic(file, &rust::paths(&all)));
    findings.extend(proofs(file, &all));
    findings.extend(unfinished(file, &all));
    findings
}

fn bans(file: &File, paths: &[Path<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(|ban| file.path.starts_with(ban.within)) {
        if ban.except.iter().any(|room| file.path.starts_with(room)) {
            continue;
        }
        for path in paths {
            if let Some(banned) = ban.paths.iter().find(|banned| path.has(banned)) {
                findings.push(file.find(path.line, "io", format!("{banned} is not for this room; {}", ban.remedy)));
            }
        }
    }
    findings
}

fn unsafe_code(file: &File, tokens: &[Token<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if FORBID_ROOTS.contains(&file.path.as_str()) {
        let want = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
        let has = tokens.windows(want.len()).any(|some| some.iter().zip(want).all(|(token, want)| token.text == want));
        if !has {
            findings.push(file.find(
                1,
                "unsafe",
                "this root lacks #![forbid(unsafe_code)]: add it after the //! lines",
            ));
        }
    }
    for token in tokens.iter().filter(|token| token.kind == Kind::Word && token.text == "unsafe") {
        if !UNSAFE_ROOMS.iter().any(|room| file.path.starts_with(room)) {
            let rooms = UNSAFE_ROOMS.join(", ");
            let message = format!("unsafe stands only in {rooms}: use a safe wrapper, or put the call there");
            findings.push(file.find(token.line, "unsafe", message));
        } else if !proven(file, token.line) {
            findings.push(file.find(token.line, "unsafe", "no proof: write `// SAFETY: why it holds` above it"));
        }
    }
    findings
}

/// Whether a `SAFETY:` comment stands on this line or in the lines right above.
fn proven(file: &File, line: usize) -> bool {
    let lines: Vec<&str> = file.text.lines().take(line).collect();
    lines.iter().rev().take(8).any(|line| line.contains("SAFETY:"))
}

fn fill(file: &File, paths: &[Path<'_>]) -> Vec<Finding> {
    if FILL_CALLERS.iter().any(|room| file.path.starts_with(room)) {
        return Vec::new();
    }
    let reaches = |path: &&Path<'_>| {
        path.has("egress::fill")
            || path.has("egress::*")
            || path.segments.len() > 1 && path.segments.ends_with(&["egress"])
    };
    let remedy = "egress::fill is called only from ensage-gateway/src/flow/substitute.rs, which takes the HeadPermit";
    paths.iter().filter(reaches).map(|path| file.find(path.line, "secret", remedy)).collect()
}

fn basic(file: &File, paths: &[Path<'_>]) -> Vec<Finding> {
    if BASIC_CALLERS.iter().any(|room| file.path.starts_with(room)) {
        return Vec::new();
    }
    let remedy = "egress::basic is called only from ensage-gateway/src/upstream/hop.rs, for the next hop";
    paths.iter().filter(|path| path.has("egress::basic")).map(|path| file.find(path.line, "secret", remedy)).collect()
}

fn proofs(file: &File, tokens: &[Token<'_>]) -> Vec<Finding> {
    let at_home = file.path.starts_with(PROOF_ROOM);
    let mut findings = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| PROOFS.contains(&token.text)) {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map_or("", |token| token.text);
        let after = tokens.get(at + 1).map_or("", |token| token.text);
        match (before, after) {
            ("struct", _) if !at_home => {
                findings.push(file.find(token.line, "proof", format!("{} is a type of {PROOF_ROOM}", token.text)));
            }
            ("struct", _) => findings.extend(definition(file, tokens, at)),
            ("impl" | "for", "{") if file.path.starts_with("ensage-policy/") && !at_home => {
                findings.push(file.find(token.line, "proof", format!("put this impl into {PROOF_ROOM}")));
            }
            // A function's body follows its type; anything else before a brace is a value being made.
            ("->" | "impl" | "for" | "&", _) => {}
            (_, "{") if !at_home => findings.push(file.find(
                token.line,
                "proof",
                format!("only {PROOF_ROOM} makes a {}: take the one that judging gave", token.text),
            )),
            _ => {}
        }
    }
    findings
}

/// A proof that can be copied, defaulted, read from a file or filled in by others proves nothing.
fn definition(file: &File, tokens: &[Token<'_>], at: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let end = |token: &&Token<'_>| token.text != "}" && token.text != ";";
    let before = tokens.get(..at).unwrap_or_default();
    for token in before.iter().rev().take_while(end) {
        if ["Clone", "Copy", "Default", "Deserialize"].contains(&token.text) {
            findings.push(file.find(token.line, "proof", format!("a proof must not be {}", token.text)));
        }
    }
    let body: Vec<_> = tokens.get(at..).unwrap_or_default().iter().take_while(end).collect();
    for (at, token) in body.iter().enumerate().filter(|(_, token)| token.text == "pub") {
        let next = |ahead: usize| body.get(at + ahead).map_or("", |token| token.text);
        if (next(1), next(2)) != ("(", "super") {
            findings.push(file.find(
                token.line,
                "proof",
                "a proof's field is visible to judge alone: pub(super) or private",
            ));
        }
    }
    findings
}

fn unfinished(file: &File, tokens: &[Token<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
        if ["todo", "unimplemented", "dbg"].contains(&token.text) && next(1) == "!" {
            findings.push(file.find(
                token.line,
                "unfinished",
                format!("{}! is no program: write it or leave it out", token.text),
            ));
        }
        if token.text == "#" && (next(1), next(2), next(3)) == ("[", "ignore", "]") {
            findings.push(file.find(token.line, "ignore", "say why: #[ignore = \"reason, issue N\"]"));
        }
    }
    findings
}
