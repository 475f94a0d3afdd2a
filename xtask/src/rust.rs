//! As much of Rust's grammar as the walls need: tokens without comments, what is test code, and paths.
//!
//! Not a parser: a macro that builds a path out of pieces is not seen through. The compiler holds what matters
//! (private fields, crate graph, `forbid(unsafe_code)`); this says it early, with the remedy, and where it can't.

#[cfg(test)]
mod tests;

/// What a token is, as far as anyone asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word or a number.
    Word,
    /// A string or character literal, with its quotes.
    Text,
    /// One character, or one of `::`, `->`, `=>`.
    Sign,
}

/// One token and its line, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub line: usize,
}

/// A path as it was written, or as a `use` tree spells it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    pub segments: Vec<&'a str>,
    pub line: usize,
}

impl Path<'_> {
    /// Whether these segments stand in it, side by side.
    pub fn has(&self, wanted: &str) -> bool {
        let wanted: Vec<&str> = wanted.split("::").collect();
        self.segments.windows(wanted.len()).any(|some| some == wanted)
    }
}

/// All tokens of a file; comments and white space are gone.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let (len, kind) = first(rest);
        let text = rest.get(..len).unwrap_or(rest);
        if let Some(kind) = kind {
            found.push(Token { kind, text, line });
        }
        line += text.matches('\n').count();
        at += text.len();
    }
    found
}

/// The tokens that are in the program: without items under `#[cfg(test)]`.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(rest) = tokens.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(token, mark)| token.text == mark) {
            at += MARK.len() + item(rest.get(MARK.len()..).unwrap_or_default());
        } else {
            kept.extend(rest.first());
            at += 1;
        }
    }
    kept
}

/// All paths of two or more segments, and all that `use` brings in.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.kind == Kind::Word && token.text == "use" {
            at = tree(tokens, at + 1, &[], &mut found);
        } else if token.kind == Kind::Word {
            let mut segments = vec![token.text];
            at += 1;
            while let (Some(sign), Some(next)) = (tokens.get(at), tokens.get(at + 1))
                && sign.text == "::"
                && next.kind == Kind::Word
            {
                segments.push(next.text);
                at += 2;
            }
            if segments.len() > 1 {
                found.push(Path { segments, line: token.line });
            }
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use` tree and gives where it ends.
fn tree<'a>(tokens: &[Token<'a>], mut at: usize, prefix: &[&'a str], found: &mut Vec<Path<'a>>) -> usize {
    let mut segments = prefix.to_vec();
    let mut line = tokens.get(at).map_or(0, |token| token.line);
    let mut open = true;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = tree(tokens, at, &segments, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                open = false;
            }
            // The new name does not matter, the path does.
            "as" => at += 1,
            "self" if !segments.is_empty() => {}
            _ if token.kind == Kind::Word || token.text == "*" => {
                segments.push(token.text);
                line = token.line;
            }
            _ => break,
        }
        at += 1;
    }
    if open && !segments.is_empty() {
        found.push(Path { segments, line });
    }
    at
}

/// How many tokens an item has, its attributes included: to the end of its braces, or to its semicolon.
fn item(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Sign) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    let semicolon = tokens.get(at + 1).is_some_and(|token| token.text == ";");
                    return at + 1 + usize::from(semicolon);
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The length of what stands first, in bytes, and its kind; none for comments and white space.
fn first(rest: &str) -> (usize, Option<Kind>) {
    let word = |c: char| c == '_' || c.is_alphanumeric();
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    let Some(c) = rest.chars().next() else { return (0, None) };
    if c.is_whitespace() {
        return (rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()), None);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(len) = raw_string(rest) {
        return (len, Some(Kind::Text));
    }
    for prefix in ["\"", "b\"", "c\""] {
        if rest.starts_with(prefix) {
            return (quoted(rest, prefix.len(), '"'), Some(Kind::Text));
        }
    }
    if rest.starts_with("b'") {
        return (quoted(rest, 2, '\''), Some(Kind::Text));
    }
    if c == '\'' {
        let mut after = rest.chars().skip(1);
        let (one, two) = (after.next(), after.next());
        // 'a' and '\n' are characters, 'a is a lifetime.
        if one == Some('\\') || two == Some('\'') {
            return (quoted(rest, 1, '\''), Some(Kind::Text));
        }
        return (1, Some(Kind::Sign));
    }
    if word(c) {
        return (rest.find(|c| !word(c)).unwrap_or(rest.len()), Some(Kind::Word));
    }
    for sign in ["::", "->", "=>"] {
        if rest.starts_with(sign) {
            return (until(sign), Some(Kind::Sign));
        }
    }
    (c.len_utf8(), Some(Kind::Sign))
}

/// The length of a block comment with those inside it.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(more) = rest.get(at..).filter(|more| !more.is_empty()) {
        if more.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if more.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += more.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"`, if that stands first.
fn raw_string(rest: &str) -> Option<usize> {
    let body = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let text = body.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let close = text.find(&end).map_or(text.len(), |at| at + end.len());
    Some(rest.len() - text.len() + close)
}

/// The length of a literal that begins with `open` bytes and ends with this quote, backslashes heeded.
fn quoted(rest: &str, open: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(open) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
