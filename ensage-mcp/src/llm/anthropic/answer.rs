//! What an answer says: model, usage, tool calls. It is only watched, and watching never fails it.

use crate::json::{Limits, Node, parse};
use crate::sse;

/// Bytes of a JSON answer that are held to be read: 128 k tokens of output are under 1 MiB.
const JSON_BYTES_MAX: usize = 4 << 20;
/// Bytes of one event; only results of provider-side tools are longer, whose call was an event before.
const EVENT_BYTES_MAX: usize = 256 << 10;
/// Entries of each list.
const NAMES_MAX: usize = 256;
/// Bytes of each name.
const NAME_BYTES_MAX: usize = 256;

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Sse,
}

impl Framing {
    /// The framing of a `content-type`; `None` for one that this API doesn't use.
    pub fn of(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        if media_type.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if media_type.eq_ignore_ascii_case("text/event-stream") {
            Some(Self::Sse)
        } else {
            None
        }
    }
}

/// What an answer said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The model that answers, by its own word.
    pub model: Option<String>,
    /// Tokens, the last word of each counts.
    pub usage: Usage,
    /// Names of the `tool_use` blocks in their order; at most 256 of at most 256 bytes.
    pub tools_requested: Vec<String>,
    /// What the provider did by itself, in its order; at most 256.
    pub provider_activity: Vec<Activity>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// The `type` of the error that the answer is, or that ended its stream.
    pub error: Option<String>,
    /// Events that were too long or no JSON, or 1 for such a whole answer, and names over a limit.
    pub skipped: u64,
}

/// Tokens as the provider counts them; `None` where it said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input read anew: without the two below.
    pub input_tokens: Option<u64>,
    /// Input found in the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Input written to the cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Output, thinking included.
    pub output_tokens: Option<u64>,
    /// Input of compactions and advisors, which the four above leave out; all kinds together.
    pub aside_input_tokens: u64,
    /// Output of compactions and advisors.
    pub aside_output_tokens: u64,
}

impl Usage {
    /// All input, cached or not; `None` if none was told.
    pub fn input_total(&self) -> Option<u64> {
        let told = [self.input_tokens, self.cache_read_input_tokens, self.cache_creation_input_tokens];
        let sum = told.into_iter().flatten().fold(self.aside_input_tokens, u64::saturating_add);
        told.iter().any(Option::is_some).then_some(sum)
    }

    /// All output; `None` if none was told.
    pub fn output_total(&self) -> Option<u64> {
        self.output_tokens.map(|tokens| tokens.saturating_add(self.aside_output_tokens))
    }

    /// Takes over what `usage` tells, and what it tells of other inferences.
    fn update(&mut self, usage: &Node<'_>) {
        self.count(usage);
        let Some(iterations) = usage.get("iterations").and_then(Node::as_array) else { return };
        (self.aside_input_tokens, self.aside_output_tokens) = (0, 0);
        for iteration in iterations {
            let kind = iteration.get("type").and_then(Node::as_str).unwrap_or_default();
            if ["compaction", "advisor_message"].contains(&kind) {
                let mut aside = Self::default();
                aside.count(iteration);
                let (input, output) = (aside.input_total().unwrap_or(0), aside.output_tokens.unwrap_or(0));
                self.aside_input_tokens = self.aside_input_tokens.saturating_add(input);
                self.aside_output_tokens = self.aside_output_tokens.saturating_add(output);
            }
        }
    }

    fn count(&mut self, usage: &Node<'_>) {
        for (field, key) in [
            (&mut self.input_tokens, "input_tokens"),
            (&mut self.cache_read_input_tokens, "cache_read_input_tokens"),
            (&mut self.cache_creation_input_tokens, "cache_creation_input_tokens"),
            (&mut self.output_tokens, "output_tokens"),
        ] {
            *field = usage.get(key).and_then(Node::as_u64).or(*field);
        }
    }
}

/// Something that the provider did by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The type of the content block: `server_tool_use`, `mcp_tool_use`, `web_search_tool_result`, ...
    pub kind: String,
    /// The tool that a call names, or the model that a `fallback` goes to.
    pub name: Option<String>,
}

/// Watches one answer in bounded memory, whatever its length and chunks.
#[derive(Debug)]
pub struct Observer {
    source: Source,
    seen: Seen,
}

#[derive(Debug)]
enum Source {
    Json(Vec<u8>),
    /// A JSON answer over the limit.
    Dropped,
    Sse(sse::Decoder),
    /// Inside an event over the limit, up to its blank line.
    Skipping(Skip),
}

impl Observer {
    /// An observer of one answer.
    pub fn new(framing: Framing) -> Self {
        let source = match framing {
            Framing::Json => Source::Json(Vec::new()),
            Framing::Sse => Source::Sse(decoder()),
        };
        Self { source, seen: Seen::default() }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        loop {
            let next = match &mut self.source {
                Source::Dropped => return,
                Source::Json(held) => {
                    if held.len().saturating_add(rest.len()) <= JSON_BYTES_MAX {
                        return held.extend_from_slice(rest);
                    }
                    Source::Dropped
                }
                Source::Sse(decoder) => match pull_all(decoder, &mut rest, &mut self.seen) {
                    Ok(()) => return,
                    Err(sse::SseError::TooLong { .. }) => Source::Skipping(Skip::after(decoder.unterminated())),
                },
                Source::Skipping(skip) => match skip.take(&mut rest) {
                    Skipped::Starved => return,
                    Skipped::Ended => Source::Sse(decoder()),
                },
            };
            if matches!(next, Source::Dropped | Source::Skipping(_)) {
                self.seen.skip();
            }
            self.source = next;
        }
    }

    /// What was said up to here; of a JSON answer nothing before [`Observer::finish`].
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The answer has ended, or was cut off.
    pub fn finish(mut self) -> Seen {
        if let Source::Json(held) = &self.source
            && !held.is_empty()
        {
            self.seen.value(held);
        }
        self.seen
    }
}

fn decoder() -> sse::Decoder {
    sse::Decoder::new(sse::Limits::new(EVENT_BYTES_MAX))
}

fn pull_all(decoder: &mut sse::Decoder, rest: &mut &[u8], seen: &mut Seen) -> Result<(), sse::SseError> {
    while let Some(event) = decoder.pull(rest)? {
        if let Some(data) = event.data {
            seen.event(data);
        }
    }
    Ok(())
}

impl Seen {
    fn event(&mut self, data: &[u8]) {
        // Nearly all events are pieces of text, which say nothing of interest.
        const PIECES: [&[u8]; 2] = [b"{\"type\":\"content_block_delta\",", b"{\"type\": \"content_block_delta\","];
        if !PIECES.iter().any(|start| data.starts_with(start)) {
            self.value(data);
        }
    }

    /// One event, or the whole answer.
    fn value(&mut self, json: &[u8]) {
        let Ok(value) = parse(json, &Limits::default()) else { return self.skip() };
        let kind = value.get("type").and_then(Node::as_str).unwrap_or_default();
        match kind {
            "message_start" => {
                if let Some(message) = value.get("message") {
                    self.message(message);
                }
            }
            "content_block_start" => {
                if let Some(block) = value.get("content_block") {
                    self.block(block);
                }
            }
            "message_delta" => {
                self.stop(value.get("delta"));
                self.usage(&value);
            }
            "message" => self.message(&value),
            "error" => {
                let kind = value.get("error").and_then(|error| error.get("type")).and_then(Node::as_str);
                self.error = Some(cut(kind.unwrap_or("error")));
            }
            // The answer of `count_tokens` has no type.
            "" => self.usage.update(&value),
            _ => {}
        }
    }

    fn message(&mut self, message: &Node<'_>) {
        self.model = message.get("model").and_then(Node::as_str).map(cut);
        self.stop(Some(message));
        self.usage(message);
        for block in message.get("content").and_then(Node::as_array).unwrap_or_default() {
            self.block(block);
        }
    }

    fn stop(&mut self, holder: Option<&Node<'_>>) {
        if let Some(reason) = holder.and_then(|holder| holder.get("stop_reason")).and_then(Node::as_str) {
            self.stop_reason = Some(cut(reason));
        }
    }

    fn usage(&mut self, holder: &Node<'_>) {
        if let Some(usage) = holder.get("usage") {
            self.usage.update(usage);
        }
    }

    fn block(&mut self, block: &Node<'_>) {
        let text = |key| block.get(key).and_then(Node::as_str);
        let kind = text("type").unwrap_or_default();
        match kind {
            "text" | "thinking" | "redacted_thinking" | "compaction" => {}
            "tool_use" => {
                if self.tools_requested.len() < NAMES_MAX {
                    self.tools_requested.push(cut(text("name").unwrap_or_default()));
                } else {
                    self.skip();
                }
            }
            _ if self.provider_activity.len() < NAMES_MAX => {
                let model = || block.get("to").and_then(|to| to.get("model")).and_then(Node::as_str);
                let name = text("name").or_else(model).map(cut);
                self.provider_activity.push(Activity { kind: cut(kind), name });
            }
            _ => self.skip(),
        }
    }

    const fn skip(&mut self) {
        self.skipped = self.skipped.saturating_add(1);
    }
}

/// Looks for the blank line that ends an event.
#[derive(Debug)]
struct Skip {
    /// Nothing of the present line was seen.
    line_start: bool,
    /// The byte before was a CR that ended a line.
    after_cr: bool,
}

enum Skipped {
    Starved,
    Ended,
}

impl Skip {
    /// In an event of which `held` was read.
    fn after(held: &[u8]) -> Self {
        Self { line_start: matches!(held.last(), None | Some(b'\r' | b'\n')), after_cr: false }
    }

    /// Takes bytes off the front up to the end of the event. The LF of a last CR LF may stay: it is an empty
    /// event.
    fn take(&mut self, input: &mut &[u8]) -> Skipped {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\r' | b'\n' if self.line_start => return Skipped::Ended,
                b'\r' | b'\n' => (self.line_start, self.after_cr) = (true, byte == b'\r'),
                _ => (self.line_start, self.after_cr) = (false, false),
            }
        }
        Skipped::Starved
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(text).to_owned()
}
