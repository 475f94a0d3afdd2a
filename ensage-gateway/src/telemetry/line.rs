//! One event as one line, for people or as JSON.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::queue::Queue;
use super::settings::Wanted;
use super::{GATEWAY, chain};

/// Most bytes of one value.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For people at a terminal.
    Colored,
    /// Interface section 6.
    Json,
}

/// Prints the events that are wanted.
pub(super) struct Printer {
    /// Which.
    pub(super) wanted: Wanted,
    /// How.
    pub(super) format: Format,
    /// Where to.
    pub(super) queue: Queue,
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Printer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked once: what is not wanted costs a load and a comparison from then on.
        if self.wanted.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wanted.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.wanted.most())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Fields::default();
        event.record(&mut said);
        let around = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let spans = around.map(|span| Around {
            name: span.name(),
            fields: span.extensions().get::<Fields>().map(|fields| fields.members.clone()).unwrap_or_default(),
        });
        let line = Line {
            time: ensage_audit::Stamp::of(SystemTime::now()).as_str().to_owned(),
            level: level(event.metadata().level()),
            target: event.metadata().target(),
            message: said.message,
            fields: said.members,
            spans: spans.collect(),
        };
        self.queue.put(&line.spelled(self.format));
    }
}

/// The line that tells of others which nobody could read.
pub(super) fn lost(lines: u64, format: Format) -> String {
    let line = Line {
        time: ensage_audit::Stamp::of(SystemTime::now()).as_str().to_owned(),
        level: level(&Level::WARN),
        target: GATEWAY,
        message: "lines of this log were lost, since nobody read it".to_owned(),
        fields: Map::from_iter([("lines".to_owned(), lines.into())]),
        spans: Vec::new(),
    };
    line.spelled(format)
}

/// What an event or a span says.
#[derive(Default)]
struct Fields {
    message: String,
    members: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.members.insert(field.name().to_owned(), value);
    }

    /// The last look: what looks like a placeholder is none of the log's business, whoever says it.
    fn text(&mut self, field: &Field, text: &str) {
        let text = text.get(..text.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or_default();
        let text = ensage_creds::mask_text(text);
        match field.name() {
            "message" => self.message = text.into_owned(),
            // What has no value is absent (interface section 1).
            _ if text.is_empty() => {}
            _ => self.put(field, text.into()),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, &chain(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if let Some(number) = serde_json::Number::from_f64(value) {
            self.put(field, number.into());
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    target: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    fields: Map<String, Value>,
    /// The outermost first.
    spans: Vec<Around>,
}

#[derive(Serialize)]
struct Around {
    name: &'static str,
    fields: Map<String, Value>,
}

impl Line<'_> {
    fn spelled(&self, format: Format) -> String {
        let mut line = match format {
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            Format::Text => self.text("", "", ""),
            Format::Colored => {
                let color = match self.level {
                    "ERROR" => "\x1b[31m",
                    "WARN" => "\x1b[33m",
                    "INFO" => "\x1b[32m",
                    _ => "\x1b[34m",
                };
                self.text("\x1b[2m", color, "\x1b[0m")
            }
        };
        line.push('\n');
        line
    }

    fn text(&self, dim: &str, color: &str, plain: &str) -> String {
        let mut line = format!("{dim}{}{plain} {color}{:>5}{plain} ", self.time, self.level);
        for span in &self.spans {
            let _ = write!(line, "{}{{", span.name);
            members(&mut line, &span.fields);
            line.push_str("}: ");
        }
        let _ = write!(line, "{dim}{}:{plain} {}", self.target, self.message.escape_debug());
        if !self.fields.is_empty() {
            line.push(' ');
            members(&mut line, &self.fields);
        }
        line
    }
}

/// `a=1 b="two words"`
fn members(line: &mut String, of: &Map<String, Value>) {
    for (at, (name, value)) in of.iter().enumerate() {
        let blank = if at > 0 { " " } else { "" };
        let _ = match value {
            // Quoted by Rust's rules: nothing in it ends the line, moves a cursor, or looks like another field (H13).
            Value::String(text) if !is_plain(text) => write!(line, "{blank}{name}={text:?}"),
            Value::String(text) => write!(line, "{blank}{name}={text}"),
            other => write!(line, "{blank}{name}={other}"),
        };
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'=' | b'{' | b'}' | b'\\'))
}

const fn level(of: &Level) -> &'static str {
    match *of {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn line(said: &str) -> Line<'static> {
        Line {
            time: "2026-11-25T15:14:06.123456Z".to_owned(),
            level: "WARN",
            target: "ensage::call",
            message: "a call was decided".to_owned(),
            fields: map(serde_json::json!({ "url.path": said, "server.port": 443, "ok": true })),
            spans: vec![
                Around { name: "connection", fields: map(serde_json::json!({ "id": "c" })) },
                Around { name: "exchange", fields: Map::new() },
            ],
        }
    }

    #[test]
    fn json_is_as_the_interface_says() {
        assert_eq!(
            line("/a").spelled(Format::Json),
            "{\"time\":\"2026-11-25T15:14:06.123456Z\",\"level\":\"WARN\",\"target\":\"ensage::call\",\
             \"message\":\"a call was decided\",\"fields\":{\"ok\":true,\"server.port\":443,\"url.path\":\"/a\"},\
             \"spans\":[{\"name\":\"connection\",\"fields\":{\"id\":\"c\"}},{\"name\":\"exchange\",\"fields\":{}}]}\n"
        );
    }

    #[test]
    fn text_is_for_people_and_coloured_only_when_asked() {
        assert_eq!(
            line("/a").spelled(Format::Text),
            "2026-11-25T15:14:06.123456Z  WARN connection{id=c}: exchange{}: ensage::call: a call was decided \
             ok=true server.port=443 url.path=/a\n"
        );
        assert!(line("/a").spelled(Format::Colored).contains("\x1b[33m WARN\x1b[0m"));
    }

    #[test]
    fn h13_one_event_is_one_line_whatever_it_quotes() {
        for (said, shown) in [
            ("/a\nb", "\"/a\\nb\""),
            ("\x1b[2J", "\"\\u{1b}[2J\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("\u{202e}x", "\"\\u{202e}x\""),
            ("\"", "\"\\\"\""),
        ] {
            let text = line(said).spelled(Format::Text);
            assert!(text.ends_with(&format!("url.path={shown}\n")), "{text}");
            assert_eq!(text.matches('\n').count(), 1);
            let json = line(said).spelled(Format::Json);
            assert_eq!(json.matches('\n').count(), 1, "{json}");
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["fields"]["url.path"], said);
        }
    }
}
