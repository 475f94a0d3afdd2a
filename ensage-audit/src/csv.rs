//! Calls as CSV (RFC 4180 quoting, one line each): the columns of interface section 5.

use serde_json::Value;

use crate::json::printable;

/// The first line, without its line feed.
pub const HEADER: &str = "time,session,enclave,agent,pid,type,server,method,target,tool,model,decision,reason,rule,\
                          status,bytes_up,bytes_down,id";

/// A merged call as a line without its line feed; `None` for every other record.
///
/// `server` is written as the configuration writes hosts (no port = 443). `method` is that of MCP where there is one,
/// else that of HTTP; `target` the resource, the prompt or the path. Control characters are written as `\u` and
/// digits, and a cell that a spreadsheet would run as a formula begins with `'` (threat H13).
pub fn row(line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    if record.get("kind")?.as_str()? != "call" {
        return None;
    }
    let text = |path: &str| match record.pointer(path) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    let cells = [
        text("/time"),
        text("/session/id"),
        text("/session/enclave"),
        text("/session/agent"),
        text("/process/pid"),
        text("/type"),
        server(text("/server/address"), text("/server/port")),
        text("/mcp/method/name").or_else(|| text("/http/request/method")),
        text("/mcp/resource/uri").or_else(|| text("/gen_ai/prompt/name")).or_else(|| text("/url/path")),
        text("/gen_ai/tool/name"),
        text("/gen_ai/request/model"),
        text("/decision"),
        text("/reason"),
        text("/rule"),
        text("/http/response/status_code"),
        text("/bytes/up"),
        text("/bytes/down"),
        text("/id"),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell.as_deref().unwrap_or_default())).collect();
    Some(cells.join(","))
}

fn server(address: Option<String>, port: Option<String>) -> Option<String> {
    let address = address?;
    Some(match port {
        Some(port) if port != "443" && address.contains(':') && !address.starts_with('[') => {
            format!("[{address}]:{port}")
        }
        Some(port) if port != "443" => format!("{address}:{port}"),
        Some(_) | None => address,
    })
}

fn quoted(cell: &str) -> String {
    let text = printable(cell);
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let text = if formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_row_in_the_order_of_the_header() {
        let call = r#"{"time":"T","kind":"call","id":"I","session":{"id":"S","enclave":"E","agent":"A"},"process":{"pid":7},"type":"mcp","server":{"address":"h","port":443},"http":{"request":{"method":"POST"},"response":{"status_code":200}},"url":{"path":"/mcp"},"mcp":{"method":{"name":"tools/call"}},"gen_ai":{"tool":{"name":"t"},"request":{"model":"m"}},"decision":"deny","reason":"r","rule":"u","bytes":{"up":1,"down":2}}"#;
        assert_eq!(row(call).unwrap(), "T,S,E,A,7,mcp,h,tools/call,/mcp,t,m,deny,r,u,200,1,2,I");
        assert_eq!(HEADER.split(',').count(), 18);
        assert_eq!(row(r#"{"kind":"gateway","event":"started"}"#), None);
        assert_eq!(row("no json"), None);
        assert_eq!(row(r#"{"kind":"call"}"#).unwrap(), ",".repeat(17));
    }

    #[test]
    fn servers_are_written_as_in_the_configuration() {
        for (address, port, want) in
            [("h", 443, "h"), ("h", 8443, "h:8443"), ("::1", 80, "[::1]:80"), ("[::1]", 80, "[::1]:80")]
        {
            assert_eq!(server(Some(address.to_owned()), Some(port.to_string())).unwrap(), want);
        }
    }

    #[test]
    fn h13_no_cell_breaks_out_or_runs() {
        for (cell, want) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "a\\u000ab"),
            ("\u{1b}[2J", "\\u001b[2J"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\u0009=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
        ] {
            assert_eq!(quoted(cell), want, "{cell:?}");
        }
    }
}
