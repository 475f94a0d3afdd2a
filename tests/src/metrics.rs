//! A page of metrics, read as strictly as Prometheus' text format 0.0.4 allows.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and sorted labels.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Metrics {
    /// Reads a page.
    ///
    /// # Panics
    /// If anything in it is not as the format has it.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        assert!(page.ends_with('\n') && !page.contains("\n\n"), "{page}");
        let mut all = Self::default();
        let (mut help, mut family) = (String::new(), String::new());
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').unwrap();
                assert!(is_name(name) && !text.is_empty(), "{line}");
                help = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(help == name && ["counter", "gauge", "histogram"].contains(&kind), "{line} behind {help}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(all.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
                family = name.to_owned();
            } else {
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} in {family}"));
                let histogram = all.kinds[&family] == "histogram";
                let fits = if histogram { ["_bucket", "_sum", "_count"].contains(&suffix) } else { suffix.is_empty() };
                assert!(fits && labels.contains_key("le") == (suffix == "_bucket"), "{line}");
                assert!(value >= 0.0, "{line}");
                assert!(all.samples.insert((name, labels), value).is_none(), "twice: {line}");
            }
        }
        all.check_histograms();
        all
    }

    fn check_histograms(&self) {
        for name in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), value) in self.samples.iter().filter(|((n, _), _)| *n == format!("{name}_bucket")) {
                let mut labels = labels.clone();
                let le = labels.remove("le").unwrap();
                let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                buckets.entry(labels).or_default().push((le, *value));
            }
            for (labels, mut of) in buckets {
                of.sort_by(|a, b| a.partial_cmp(b).unwrap());
                assert!(of.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {of:?}");
                let count = self.samples[&(format!("{name}_count"), labels.clone())];
                assert_eq!(of.last(), Some(&(f64::INFINITY, count)), "{name} {labels:?}");
                assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)));
            }
        }
    }

    /// The families, without `ensage_`.
    ///
    /// # Panics
    /// If one is not ours.
    #[must_use]
    pub fn families(&self) -> BTreeSet<&str> {
        self.kinds.keys().map(|name| name.strip_prefix("ensage_").unwrap()).collect()
    }

    /// The names of the labels that a family's samples have, all of them the same; `le` aside.
    ///
    /// # Panics
    /// If they differ.
    #[must_use]
    pub fn labels(&self, family: &str) -> Option<BTreeSet<&str>> {
        let own = |name: &str| {
            let rest = name.strip_prefix("ensage_").and_then(|n| n.strip_prefix(family));
            rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        let mut sets = self.samples.keys().filter(|(name, _)| own(name));
        let names = |labels: &'_ BTreeMap<String, String>| {
            labels.keys().filter(|l| *l != "le").cloned().collect::<BTreeSet<String>>()
        };
        let (_, first) = sets.next()?;
        assert!(sets.all(|(_, other)| names(other) == names(first)), "{family}");
        Some(first.keys().map(String::as_str).filter(|l| *l != "le").collect())
    }

    /// One sample, `name` without `ensage_`; 0 where there is none.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.samples.get(&(format!("ensage_{name}"), labels)).copied().unwrap_or(0.0)
    }

    /// Every sample of that name, without `ensage_`, that is not 0.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        let name = format!("ensage_{name}");
        self.samples.iter().filter(move |((n, _), v)| *n == name && **v != 0.0).map(|((_, labels), v)| (labels, *v))
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let (value, behind) = quoted(value);
            assert!(is_name(label) && labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = behind;
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value)
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("{other:?} behind a backslash in {text}"),
            },
            c => value.push(c),
        }
    }
    panic!("no end in {text}");
}
