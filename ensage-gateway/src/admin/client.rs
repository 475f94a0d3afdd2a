//! The side of the commands: one blocking HTTP/1 exchange with the daemon of a state folder.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::SOCKET;

/// Longest wait for an answer of the daemon; a reload reads files and may verify bundles.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No daemon runs for this state folder.
    #[error("no gateway runs for the state folder {state:?}")]
    NoGateway {
        /// Where it was looked for.
        state: PathBuf,
    },
    /// The daemon went away, or said something unreadable.
    #[error("the gateway did not answer")]
    Broken(#[source] io::Error),
    /// The daemon refused.
    #[error("{message}")]
    Refused {
        /// A code of interface section 1.
        code: String,
        /// What it said.
        message: String,
    },
}

/// Asks the daemon of `state`.
///
/// # Errors
/// [`AdminError::NoGateway`] if nobody listens there.
pub fn ask(state: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
    let (status, text) = answered(state, method, path, body)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|e| AdminError::Broken(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    if status == 200 {
        return Ok(value);
    }
    let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("internal").to_owned();
    Err(AdminError::Refused { code: word("error"), message: word("message") })
}

/// What the daemon of `state` has counted, in Prometheus' text format.
///
/// # Errors
/// As [`ask`].
pub fn metrics(state: &Path) -> Result<String, AdminError> {
    match answered(state, "GET", "/metrics", None)? {
        (200, text) => Ok(text),
        _ => Err(AdminError::Broken(io::ErrorKind::InvalidData.into())),
    }
}

fn answered(state: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String), AdminError> {
    let mut reader = send(state, method, path, body)?;
    reader.get_ref().set_read_timeout(Some(ANSWER_WAIT)).map_err(AdminError::Broken)?;
    let status = head(&mut reader)?;
    let mut text = String::new();
    reader.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(AdminError::Broken)?;
    Ok((status, text))
}

/// Opens an answer that lasts as long as the session: the stream ends when the session or the gateway does.
///
/// # Errors
/// As [`ask`].
pub fn life(state: &Path, session: &str) -> Result<UnixStream, AdminError> {
    let mut reader = send(state, "GET", &format!("/v1/sessions/{session}/life"), None)?;
    match head(&mut reader)? {
        200 => Ok(reader.into_inner()),
        _ => Err(AdminError::Refused { code: "not_found".to_owned(), message: "the session is over".to_owned() }),
    }
}

fn send(state: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<BufReader<UnixStream>, AdminError> {
    let mut stream = connect(state)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: ensage\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(AdminError::Broken)?;
    Ok(BufReader::new(stream))
}

/// A socket path longer than `sun_path` is reached through its folder's descriptor.
fn connect(state: &Path) -> Result<UnixStream, AdminError> {
    use std::os::fd::AsRawFd;
    let no_gateway = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminError::NoGateway { state: state.to_owned() },
        _ => AdminError::Broken(e),
    };
    let path = state.join(SOCKET);
    if path.as_os_str().len() < SUN_PATH_MAX {
        return UnixStream::connect(path).map_err(no_gateway);
    }
    let folder = std::fs::File::open(state).map_err(no_gateway)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    UnixStream::connect(short).map_err(no_gateway)
}

/// `sizeof sun_path` on Linux less its final NUL.
pub(super) const SUN_PATH_MAX: usize = 107;

fn head(reader: &mut BufReader<UnixStream>) -> Result<u16, AdminError> {
    let broken = || AdminError::Broken(io::ErrorKind::UnexpectedEof.into());
    let mut line = String::new();
    reader.read_line(&mut line).map_err(AdminError::Broken)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(AdminError::Broken)? == 0 {
            return Err(broken());
        }
        if line.trim_end().is_empty() {
            return Ok(status);
        }
    }
}
