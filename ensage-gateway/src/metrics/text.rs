//! Prometheus' text format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write};
use std::time::Duration;

/// What stands before each name.
const PREFIX: &str = "ensage_";

/// What a family of samples is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page that is being written, one family after the other.
#[derive(Default)]
pub(super) struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family; samples that follow belong to it.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        // Writing into a String cannot fail.
        let _ = writeln!(self.out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        self
    }

    /// One sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, value)
    }

    /// A histogram: how many were in each bucket, those over every bound last, and the sum of all.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds_us: &[u64],
        buckets: &[u64],
        sum: Duration,
    ) -> &mut Self {
        let mut so_far = 0u64;
        for (place, bucket) in buckets.iter().enumerate() {
            so_far = so_far.saturating_add(*bucket);
            let le = bounds_us.get(place).map_or_else(|| "+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
            self.line("_bucket", &[labels, &[("le", &le)]].concat(), so_far);
        }
        self.line("_sum", labels, sum.as_secs_f64());
        self.line("_count", labels, so_far)
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let _ = write!(self.out, "{PREFIX}{}{suffix}", self.family);
        for (place, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{name}=\"", if place == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
        self
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        self.out
    }
}
