//! Single values: what a string, number or flag of a configuration may be.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::report::Code;
use super::spelling::nearest;
use super::units::{self, UnitError};
use super::walk::{Item, Walk};
use crate::authority::{AuthorityError, HostPattern};
use crate::glob::Glob;
use crate::model::{Listed, Listen, Rule};

/// Most bytes of the path of a Unix socket; one more must be its end (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Least and most of a quantity, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<T> {
    pub(super) least: T,
    pub(super) most: T,
}

impl<'d> Item<'d> {
    /// A string with something in it.
    pub(super) fn text(&self, walk: &mut Walk<'_>) -> Option<&'d str> {
        let DeValue::String(text) = self.value() else {
            self.wrong_type(walk, "a string");
            return None;
        };
        if text.is_empty() {
            walk.error(Code::BadValue, self, format!("`{}` is empty", self.path), "fill it in, or remove it");
            return None;
        }
        Some(text)
    }

    pub(super) fn flag(&self, walk: &mut Walk<'_>) -> Option<bool> {
        let flag = self.value().as_bool();
        if flag.is_none() {
            self.wrong_type(walk, "true or false");
        }
        flag
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, walk: &mut Walk<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(walk)?;
        let chosen = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if chosen.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.no_choice(walk, text, &known);
        }
        chosen
    }

    pub(super) fn no_choice(&self, walk: &mut Walk<'_>, text: &str, known: &[&str]) {
        let quoted: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
        let mut help = format!("write one of {}", quoted.join(", "));
        if let Some(near) = nearest(text, known.iter().copied()) {
            help = format!("did you mean \"{near}\"? {help}");
        }
        walk.error(Code::BadValue, self, format!("`{}` can't be {text:?}", self.path), help);
    }

    /// A whole number.
    pub(super) fn integer(&self, walk: &mut Walk<'_>, bounds: Bounds<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value() else {
            self.wrong_type(walk, "an integer");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        self.within(walk, number, bounds, |n| n.to_string())
    }

    /// A size in bytes.
    pub(super) fn size(&self, walk: &mut Walk<'_>, bounds: Bounds<u64>) -> Option<u64> {
        let text = self.text(walk)?;
        let bytes = self.quantity(walk, text, units::size(text), "a size such as \"4MiB\" (B KiB MiB GiB)")?;
        self.within(walk, bytes, bounds, |n| units::size_text(*n))
    }

    /// A duration.
    pub(super) fn duration(&self, walk: &mut Walk<'_>, bounds: Bounds<Duration>) -> Option<Duration> {
        let text = self.text(walk)?;
        let time = self.quantity(walk, text, units::duration(text), "a duration such as \"10s\" (ms s m h d)")?;
        self.within(walk, time, bounds, |d| units::duration_text(*d))
    }

    /// A rate; `None` if it is none.
    pub(super) fn rate(&self, walk: &mut Walk<'_>) -> Option<()> {
        let text = self.text(walk)?;
        let rate = self.quantity(walk, text, units::rate(text), "a rate such as \"60/min\" (s min h day)")?;
        let bounds = Bounds { least: 1, most: u64::from(u32::MAX) };
        self.within(walk, rate.map(|(calls, _)| calls), bounds, |n| format!("{n} calls")).map(|_| ())
    }

    pub(super) fn glob(&self, walk: &mut Walk<'_>) -> Option<Glob> {
        let text = self.text(walk)?;
        let glob = Glob::parse(text);
        if let Err(fault) = &glob {
            let help = "`*` is any run but `/`, `**` any run, `?` one character";
            walk.error(Code::BadGlob, self, format!("{text:?} is no glob: {fault}"), help);
        }
        let glob = glob.ok()?;
        if text.split('/').any(|segment| segment == ".." || segment == ".") {
            let help = "take the dot segment out: what has one is never allowed";
            walk.error(Code::DotSegment, self, format!("{text:?} has a dot segment"), help);
            return None;
        }
        Some(glob)
    }

    /// A glob on paths of a URL.
    pub(super) fn path_glob(&self, walk: &mut Walk<'_>) -> Option<Glob> {
        let glob = self.glob(walk)?;
        if !glob.as_str().starts_with(['/', '*', '?']) {
            let help = format!("write \"/{}\"", glob.as_str());
            let message = format!("{:?} matches nothing: a path begins with `/`", glob.as_str());
            walk.error(Code::BadGlob, self, message, help);
            return None;
        }
        Some(glob)
    }

    pub(super) fn host_pattern(&self, walk: &mut Walk<'_>, default_port: u16) -> Option<HostPattern> {
        self.host_pattern_of(walk, |text| HostPattern::parse(text, default_port))
    }

    pub(super) fn host_pattern_of(
        &self,
        walk: &mut Walk<'_>,
        read: impl FnOnce(&str) -> Result<HostPattern, AuthorityError>,
    ) -> Option<HostPattern> {
        let text = self.text(walk)?;
        match read(text) {
            Ok(pattern) => Some(pattern),
            Err(fault) => {
                let message = format!("{text:?} names no host: {}", chain(&fault));
                walk.error(Code::BadHost, self, message, host_help(text));
                None
            }
        }
    }

    /// A range of addresses in CIDR form; a lone address is a range of one.
    pub(super) fn range(&self, walk: &mut Walk<'_>) -> Option<IpNet> {
        let text = self.text(walk)?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(IpNet::from(address));
        }
        let Ok(net) = text.parse::<IpNet>() else {
            let help = "write an address and the bits that count, such as \"10.1.0.0/16\"";
            walk.error(Code::BadValue, self, format!("{text:?} is no range of addresses"), help);
            return None;
        };
        if net.trunc() != net {
            let help = format!("write \"{}\" if that is what is meant", net.trunc());
            let message = format!("{text:?} has bits set that don't count");
            walk.warning(Code::NoEffect, self, message, help);
        }
        Some(net.trunc())
    }

    pub(super) fn socket_address(&self, walk: &mut Walk<'_>) -> Option<SocketAddr> {
        let text = self.text(walk)?;
        let address = SocketAddr::from_str(text).ok();
        if address.is_none() {
            let help = match text.parse::<IpAddr>() {
                Ok(IpAddr::V6(v6)) => format!("add the port: \"[{v6}]:PORT\""),
                Ok(IpAddr::V4(v4)) => format!("add the port: \"{v4}:PORT\""),
                Err(_) => "write \"IP:PORT\", such as \"127.0.0.1:8899\"; names are not looked up".to_owned(),
            };
            walk.error(Code::BadValue, self, format!("{text:?} is no address with a port"), help);
        }
        address
    }

    /// Where clients may connect.
    pub(super) fn listen(&self, walk: &mut Walk<'_>) -> Option<Listen> {
        let text = self.text(walk)?;
        if let Some(path) = text.strip_prefix("unix:") {
            return self.socket_path(walk, path).map(Listen::Unix);
        }
        let address = self.socket_address(walk)?;
        if !address.ip().is_loopback() {
            let message = format!("{address} can be reached from other machines, whose programs are never attributed");
            walk.warning(Code::NoEffect, self, message, "listen on 127.0.0.1 unless another machine must connect");
        }
        Some(Listen::Tcp(address))
    }

    /// The path of a Unix socket, short enough for its address (unix(7)).
    fn socket_path(&self, walk: &mut Walk<'_>, text: &str) -> Option<PathBuf> {
        if text.is_empty() || text.ends_with('/') || text.ends_with("/.") || text.ends_with("..") {
            let help = "write \"unix:PATH\", the path of a file that the gateway makes";
            walk.error(Code::BadValue, self, format!("{text:?} names no file for a socket"), help);
            return None;
        }
        let path = walk.path_of(self, text)?;
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let message = format!("the path of the socket has {} bytes", path.as_os_str().len());
            walk.error(Code::OutOfRange, self, message, format!("{SOCKET_PATH_BYTES_MAX} bytes are the most"));
            return None;
        }
        Some(path)
    }

    fn quantity<T>(
        &self,
        walk: &mut Walk<'_>,
        text: &str,
        read: Result<T, UnitError>,
        form: &str,
    ) -> Option<Option<T>> {
        match read {
            Ok(value) => Some(Some(value)),
            Err(UnitError::TooLarge) => Some(None),
            Err(UnitError::Form) => {
                let message = format!("`{}` can't be {text:?}", self.path);
                walk.error(Code::BadUnit, self, message, format!("write {form}: a whole number and one unit"));
                None
            }
        }
    }

    /// `None` is more than can be counted.
    fn within<T: PartialOrd>(
        &self,
        walk: &mut Walk<'_>,
        value: Option<T>,
        bounds: Bounds<T>,
        spelt: impl Fn(&T) -> String,
    ) -> Option<T> {
        let inside = value.filter(|value| bounds.least <= *value && *value <= bounds.most);
        if inside.is_none() {
            let message = format!("`{}` is out of range", self.path);
            let help = format!("{} at least, {} at most", spelt(&bounds.least), spelt(&bounds.most));
            walk.error(Code::OutOfRange, self, message, help);
        }
        inside
    }
}

/// Reads each element of a list that may be left out.
pub(super) fn each<'d, T>(
    item: Option<&Item<'d>>,
    walk: &mut Walk<'_>,
    read: impl Fn(&Item<'d>, &mut Walk<'_>) -> Option<T>,
) -> Vec<T> {
    let elements = item.and_then(|item| item.list(walk)).unwrap_or_default();
    elements.iter().filter_map(|element| read(element, walk)).collect()
}

/// The globs of a list, each with the rule that it is.
pub(super) fn listed(item: Option<&Item<'_>>, walk: &mut Walk<'_>) -> Vec<Listed> {
    each(item, walk, |element, walk| {
        let glob = element.glob(walk)?;
        Some(Listed { glob, rule: walk.rule(&element.path, &element.span()) })
    })
}

/// The rule of a list, or that of its table where the list is left out.
pub(super) fn list_rule(item: Option<&Item<'_>>, walk: &Walk<'_>, table: &Rule) -> Rule {
    item.map_or_else(|| table.clone(), |item| walk.rule(&item.path, &item.key))
}

/// A header field name in lower case (RFC 9110 section 5.1), none of those that frame or route a message.
pub(super) fn header_name(walk: &mut Walk<'_>, at: &Item<'_>, text: &str) -> Option<String> {
    let name = text.to_ascii_lowercase();
    if !is_token(&name) {
        let help = "a header name has letters, digits and hyphens";
        walk.error(Code::BadValue, at, format!("{text:?} is no header name"), help);
        return None;
    }
    if FRAMING.contains(&name.as_str()) {
        let help = "take it out; the gateway writes it itself";
        walk.error(Code::BadValue, at, format!("the header `{name}` frames or routes a message"), help);
        return None;
    }
    Some(name)
}

/// Fields of which RFC 9110 and 9112 make the message itself.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A token of RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The name of an environment variable.
pub(super) fn is_variable(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn host_help(text: &str) -> String {
    match text.split_once("://") {
        Some((_, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            format!("write the host alone: \"{}\"", host)
        }
        None => "write \"example.com\", \"*.example.com\" or \"*\", with \":8443\" or \":*\" for other ports than 443"
            .to_owned(),
    }
}

/// A fault with its causes.
pub(super) fn chain(fault: &dyn std::error::Error) -> String {
    match fault.source() {
        Some(cause) => format!("{fault}: {}", chain(cause)),
        None => fault.to_string(),
    }
}
