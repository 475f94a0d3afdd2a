//! Which events are logged: `-v`, `-q`, `ENSAGE_LOG`, `ENSAGE_LOG_FORMAT` (contract section 1).

use std::ffi::OsString;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::SPANS;
use super::line::{Format, Printer, lost};
use super::queue::{Flush, Queue};

const FILTER: &str = "ENSAGE_LOG";
const FORMAT: &str = "ENSAGE_LOG_FORMAT";

/// A variable that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}")]
pub(crate) struct BadVariable {
    name: &'static str,
    what: String,
    /// What to write instead.
    pub(crate) remedy: &'static str,
}

/// Sends events of this process to stderr. A process that has a subscriber keeps it. What is dropped at the end of the
/// program lets out what has not been written yet.
///
/// # Errors
/// A variable of the environment that means nothing.
pub(crate) fn install(verbose: u8, quiet: bool) -> Result<Flush, BadVariable> {
    let wanted = wanted(variable(FILTER, std::env::var_os(FILTER))?.as_deref(), verbose, quiet)?;
    let format = format(variable(FORMAT, std::env::var_os(FORMAT))?.as_deref())?;
    let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let format = if colored && format == Format::Text { Format::Colored } else { format };
    let queue = Queue::new(Box::new(move |lines| lost(lines, format)));
    let flush = queue.flush_at_end();
    let subscriber = tracing_subscriber::registry().with(Printer { wanted, format, queue });
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(flush)
}

/// Which events are wanted.
pub(super) struct Wanted {
    targets: Targets,
    most: LevelFilter,
}

impl Wanted {
    fn new(targets: Targets) -> Self {
        let levels = targets.iter().map(|(_, level)| level).chain(targets.default_level());
        // Spans are errors.
        let most = levels.fold(LevelFilter::ERROR, std::cmp::max);
        Self { targets, most }
    }

    /// The most talkative level.
    pub(super) const fn most(&self) -> LevelFilter {
        self.most
    }

    /// Whether an event, or a span, is wanted. What a library says below `error` never is, whatever was asked for: h2
    /// and hyper print paths and header values there.
    pub(super) fn takes(&self, of: &Metadata<'_>) -> bool {
        self.takes_from(of.target(), of.level())
    }

    fn takes_from(&self, target: &str, level: &Level) -> bool {
        target == SPANS || ((is_ours(target) || *level == Level::ERROR) && self.targets.would_enable(target, level))
    }
}

fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    name == "ensage" || name.starts_with("ensage_")
}

fn variable(name: &'static str, value: Option<OsString>) -> Result<Option<String>, BadVariable> {
    let text = value.filter(|v| !v.is_empty()).map(OsString::into_string).transpose();
    text.map_err(|_| BadVariable { name, what: "it is not UTF-8".to_owned(), remedy: "write it again, or unset it" })
}

fn wanted(filter: Option<&str>, verbose: u8, quiet: bool) -> Result<Wanted, BadVariable> {
    let Some(filter) = filter else {
        let ours = match (verbose, quiet) {
            (0, true) => LevelFilter::ERROR,
            (0, false) => LevelFilter::WARN,
            (1, _) => LevelFilter::INFO,
            (2, _) => LevelFilter::DEBUG,
            (3.., _) => LevelFilter::TRACE,
        };
        return Ok(Wanted::new(Targets::new().with_default(LevelFilter::ERROR).with_target("ensage", ours)));
    };
    let bad = |what: String| BadVariable {
        name: FILTER,
        what,
        remedy: "write a level (error, warn, info, debug, trace or off), or TARGET=LEVEL, several with commas: \
                 `info` or `warn,ensage::call=info`",
    };
    for one in filter.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        if one.contains('[') {
            return Err(bad(format!("{one:?} filters by span, which is not supported")));
        }
        if one.split('=').any(|part| part.trim().is_empty()) {
            return Err(bad(format!("{one:?} lacks its target or its level")));
        }
        if !one.contains('=') && one.parse::<LevelFilter>().is_err() && !is_ours(one) {
            return Err(bad(format!("{one:?} is no level")));
        }
    }
    // Blanks around commas are no part of a name.
    let tight: Vec<&str> = filter.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
    let targets = tight.join(",").parse::<Targets>();
    Ok(Wanted::new(targets.map_err(|error| bad(format!("{filter:?} is no filter: {error}")))?))
}

fn format(text: Option<&str>) -> Result<Format, BadVariable> {
    match text {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(BadVariable {
            name: FORMAT,
            what: format!("{other:?} is no format of logs"),
            remedy: "write `text` or `json`, or unset it",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_ours_warn_and_libraries_only_fail() {
        for (verbose, quiet, ours) in [
            (0, false, Level::WARN),
            (0, true, Level::ERROR),
            (1, false, Level::INFO),
            (1, true, Level::INFO),
            (2, false, Level::DEBUG),
            (9, false, Level::TRACE),
        ] {
            let wanted = wanted(None, verbose, quiet).unwrap();
            for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(
                    wanted.takes_from("ensage_gateway::flow", &level),
                    level <= ours,
                    "{verbose} {quiet} {level}"
                );
                assert_eq!(wanted.takes_from("h2::server", &level), level == Level::ERROR, "{verbose} {quiet} {level}");
            }
        }
    }

    #[test]
    fn no_filter_lets_libraries_talk() {
        for filter in ["trace", "h2=trace", "hyper=debug,ensage=info", "warn"] {
            let wanted = wanted(Some(filter), 0, false).unwrap();
            assert!(!wanted.takes_from("h2::codec", &Level::WARN), "{filter}");
            assert!(!wanted.takes_from("hyper::proto", &Level::DEBUG), "{filter}");
        }
    }

    #[test]
    fn a_filter_says_what_is_wanted() {
        let wanted = |text| wanted(Some(text), 2, false).unwrap();
        let both = wanted("warn, ensage::call=info");
        assert!(both.takes_from("ensage::call", &Level::INFO) && !both.takes_from("ensage::session", &Level::INFO));
        assert!(both.takes_from("ensage_gateway", &Level::WARN));
        assert_eq!(both.most(), LevelFilter::INFO);
        let off = wanted("off");
        assert!(!off.takes_from("ensage_gateway", &Level::ERROR));
        assert!(wanted("ensage_gateway").takes_from("ensage_gateway::flow", &Level::TRACE));
    }

    #[test]
    fn a_variable_that_means_nothing_is_told_with_its_remedy() {
        for filter in ["wran", "ensage=loud", "=", "a=b=c", "ensage[connection]=debug", "info,nonsense", "h2"] {
            let Err(error) = wanted(Some(filter), 0, false) else { panic!("{filter}") };
            assert!(error.to_string().starts_with("ENSAGE_LOG: "), "{error}");
            assert!(error.remedy.contains("TARGET=LEVEL"), "{filter}");
        }
        let Err(error) = format(Some("yaml")) else { panic!() };
        assert_eq!(error.to_string(), "ENSAGE_LOG_FORMAT: \"yaml\" is no format of logs");
        use std::os::unix::ffi::OsStringExt;
        assert!(variable(FILTER, Some(OsString::from_vec(vec![0xff]))).is_err());
        assert_eq!(variable(FILTER, Some(OsString::new())).unwrap(), None);
    }
}
