//! `audit` and `audit verify`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ensage_audit::query::{Decision, Follow, Form, Query, QueryError, run};
use ensage_audit::{ReadError, csv, parse_since, verify};
use ensage_policy::glob::Glob;
use serde_json::Value;

use super::args::{Audit, AuditCommand, Global};
use super::output::{Failure, Output, chain};
use super::place;
use super::text::{at, count};

/// How often new records are looked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn audit(global: &Global, output: Output, args: &Audit) -> Result<u8, Failure> {
    let folder = place::find(global)?.state.join("audit");
    match &args.command {
        Some(AuditCommand::Verify { head }) => check(&folder, output, head.as_deref()),
        None => print(&folder, output, args),
    }
}

fn check(folder: &Path, output: Output, head: Option<&Path>) -> Result<u8, Failure> {
    if !folder.join("segments").is_dir() {
        let what = format!("there is no audit log in {folder:?}");
        return Err(Failure::new("not_found", what).remedy("name the state folder with --state"));
    }
    let report = verify::verify(folder, head).map_err(|e| log_failed(&e))?;
    let ok = report.ok;
    let body = serde_json::to_value(&report).map_err(Failure::internal)?;
    output.document("audit_verify", body, |b| {
        let mut text = String::new();
        let (records, segments, first) = (count(b, "/records"), count(b, "/segments"), count(b, "/first_seq"));
        if ok {
            text.push_str(&format!("intact: {records} records in {segments} segments, from record {first}\n"));
        }
        for p in b.pointer("/problems").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("{} in {} at record {}\n", at(p, "/kind"), at(p, "/segment"), at(p, "/record")));
        }
        text
    })?;
    Ok(u8::from(!ok))
}

fn moment(text: Option<&str>, option: &str) -> Result<Option<SystemTime>, Failure> {
    text.map(|t| {
        parse_since(t, SystemTime::now()).map_err(|e| {
            Failure::new("usage", format!("--{option} {t}: {e}")).remedy("say 90m, 7d, or 2026-11-23T18:00:00Z")
        })
    })
    .transpose()
}

fn print(folder: &Path, output: Output, args: &Audit) -> Result<u8, Failure> {
    let glob = args
        .tool
        .as_deref()
        .map(|t| Glob::parse(t).map_err(|e| Failure::new("usage", format!("--tool {t}: {e}"))))
        .transpose()?;
    let tool = glob.as_ref().map(|g| move |name: &str| g.matches(name));
    let query = Query {
        since: moment(args.since.as_deref(), "since")?,
        until: moment(args.until.as_deref(), "until")?,
        agent: args.agent.as_deref(),
        session: args.session.as_deref(),
        enclave: args.enclave.as_deref(),
        tool: tool.as_ref().map(|t| t as &dyn Fn(&str) -> bool),
        decision: args.decision.as_deref().map(|d| if d == "deny" { Decision::Deny } else { Decision::Allow }),
        // Rows of CSV are calls: other records must not count against them.
        limit: args.limit.filter(|_| !args.csv),
        form: if args.raw { Form::Raw } else { Form::Merged },
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let json = output.json || args.raw;
    let mut rows = VecDeque::new();
    let mut line = |record: &str| {
        if args.csv {
            let Some(row) = csv::row(record) else { return Ok(()) };
            let Some(limit) = args.limit else { return writeln!(out, "{row}") };
            rows.push_back(row);
            rows.drain(..rows.len().saturating_sub(limit));
        } else if json {
            writeln!(out, "{record}")?;
        } else {
            writeln!(out, "{}", human(record))?;
        }
        // Whoever follows sees each record when it comes.
        if args.follow { out.flush() } else { Ok(()) }
    };
    if args.csv {
        line_head(&mut io::stdout().lock()).map_err(Failure::internal)?;
    }
    let done = if args.follow { follow(folder, query, &mut line) } else { run(folder, &query, &mut line).map(drop) };
    let flushed = rows.iter().try_for_each(|row| writeln!(out, "{row}")).and_then(|()| out.flush());
    match (done, flushed) {
        (Ok(()), Ok(())) => Ok(0),
        (Err(QueryError::Print(e)), _) | (Ok(()), Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        (Err(QueryError::Read(cause)), _) => Err(log_failed(&cause)),
        (Err(e), _) => Err(Failure::internal(e)),
        (Ok(()), Err(e)) => Err(Failure::internal(e)),
    }
}

/// Why a log can't be read, and what to do about it.
pub(crate) fn log_failed(error: &ReadError) -> Failure {
    let failure = Failure::new("internal", format!("cannot read the audit log: {}", chain(error)));
    match error {
        ReadError::Version(other) => failure.remedy(other.remedy()),
        ReadError::Io(_) => failure,
    }
}

fn line_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", csv::HEADER)
}

fn follow(folder: &Path, query: Query<'_>, line: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<(), QueryError> {
    let mut follow = Follow::start(folder, query)?;
    loop {
        follow.poll(&mut *line)?;
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// One record as a person reads it: when, who, what, and what became of it.
pub(super) fn human(record: &str) -> String {
    let Ok(r) = serde_json::from_str::<Value>(record) else { return String::new() };
    let time = at(&r, "/time");
    let time = time.get(..19).unwrap_or(&time).replace('T', " ");
    let who = at(&r, "/session/agent");
    let kind = at(&r, "/kind");
    if kind != "call" {
        let what = [at(&r, "/event"), at(&r, "/reason"), at(&r, "/policy/generation")];
        let what: Vec<String> = what.into_iter().filter(|w| w != "-").collect();
        return format!("{time}  {who:<14} {kind} {}", what.join(" "));
    }
    let verdict = match (at(&r, "/decision").as_str(), at(&r, "/would").as_str()) {
        ("deny", _) => "DENY",
        (_, "deny") => "would",
        _ => "allow",
    };
    let asked =
        [at(&r, "/mcp/method/name"), at(&r, "/http/request/method")].into_iter().find(|m| m != "-").unwrap_or_default();
    let object = [at(&r, "/gen_ai/tool/name"), at(&r, "/gen_ai/request/model")]
        .into_iter()
        .find(|m| m != "-")
        .unwrap_or_else(|| unread(&r));
    let path = at(&r, "/url/path");
    let path = if path == "-" { String::new() } else { path };
    let end =
        [at(&r, "/reason"), at(&r, "/http/response/status_code")].into_iter().find(|m| m != "-").unwrap_or_default();
    let ended = ended(&r);
    let object = if object.is_empty() { object } else { format!(" {object}") };
    format!("{time}  {who:<14} {verdict:<5} {asked} {}{path}{object} {end}{ended}  {}", server(&r), at(&r, "/id"))
}

/// What there is to say of a call that nobody could read.
fn unread(call: &Value) -> String {
    match (at(call, "/type").as_str(), at(call, "/decision").as_str()) {
        ("tunnel", _) => "tunnel".to_owned(),
        ("connect", "allow") => format!("({})", at(call, "/message")),
        _ => String::new(),
    }
}

/// Where it went, without the port that its scheme has anyway.
fn server(call: &Value) -> String {
    let address = at(call, "/server/address");
    let own = if at(call, "/url/scheme") == "http" { 80 } else { 443 };
    match call.pointer("/server/port").and_then(Value::as_u64) {
        Some(port) if port != own && address.contains(':') && !address.starts_with('[') => {
            format!("[{address}]:{port}")
        }
        Some(port) if port != own => format!("{address}:{port}"),
        Some(_) | None => address,
    }
}

/// How a call that was let through ended, unless all of its answer went out: its status alone would look like it.
fn ended(call: &Value) -> String {
    let outcome = at(call, "/outcome");
    match (at(call, "/decision").as_str(), outcome.as_str()) {
        ("allow", "-") => " open".to_owned(),
        ("deny", _) | (_, "complete" | "-") => String::new(),
        _ => format!(" {outcome}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_tells_where_it_went_and_how_it_ended() {
        for (members, want) in [
            (r#""decision":"allow","outcome":"complete""#, "allow GET h/p 200"),
            (r#""decision":"allow","open":true"#, "allow GET h/p 200 open"),
            (r#""decision":"allow","outcome":"upstream_failed""#, "allow GET h/p 200 upstream_failed"),
            (r#""decision":"allow","would":"deny","outcome":"revoked""#, "would GET h/p 200 revoked"),
            (r#""decision":"allow","type":"tunnel","open":true"#, "allow GET h/p tunnel 200 open"),
            (r#""decision":"deny","type":"connect","reason":"host_not_allowed""#, "DENY GET h/p host_not_allowed"),
            (
                r#""decision":"allow","type":"connect","message":"it refuses","outcome":"client_gone""#,
                "allow GET h/p (it refuses) 200 client_gone",
            ),
            (r#""decision":"deny","reason":"path_not_allowed","outcome":"refused""#, "DENY GET h/p path_not_allowed"),
        ] {
            let call = format!(
                r#"{{"kind":"call","id":"ID","time":"2026-11-25T10:46:24.1Z","server":{{"address":"h","port":443}},"url":{{"scheme":"https","path":"/p"}},"http":{{"request":{{"method":"GET"}},"response":{{"status_code":200}}}},{members}}}"#
            );
            let told = human(&call).split_whitespace().skip(3).collect::<Vec<_>>().join(" ");
            assert_eq!(told, format!("{want} ID"), "{members}");
        }
    }

    #[test]
    fn a_server_tells_a_port_that_is_not_its_schemes() {
        for (address, port, scheme, want) in [
            ("h", 443, "https", "h"),
            ("h", 80, "http", "h"),
            ("h", 80, "https", "h:80"),
            ("h", 443, "http", "h:443"),
            ("::1", 8443, "https", "[::1]:8443"),
            ("[::1]", 8443, "https", "[::1]:8443"),
        ] {
            let call =
                serde_json::json!({ "server": { "address": address, "port": port }, "url": { "scheme": scheme } });
            assert_eq!(server(&call), want, "{call}");
        }
    }
}
