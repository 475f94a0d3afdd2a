//! E1-E6, E10: calls to LLM providers, their answers, and what of both is refused.

mod answers;
mod held;
mod kept;
mod refused;
mod spoken;

use ensage_tests::{Answer, Gateway, Origin, Raw, Rig};

use super::lab::{lab, rig};

const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "files.test"
methods = ["GET"]

[enclave.lab.llm.anthropic]
api = "anthropic"
host = "claude.test"
models = ["good*"]
provider_tools = ["web_search"]

[enclave.lab.llm.openai]
api = "openai"
host = "gpt.test"
models = ["good*"]
provider_tools = ["web_search", "connector_gmail"]

[enclave.lab.llm.other]
api = "openai"
host = "other.test"
models = ["good*"]

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]
"#;

/// A gateway, and one origin behind all names, which answers as the query of a request says.
struct Desk {
    rig: Rig,
    origin: Origin,
    gateway: Gateway,
}

impl Desk {
    /// `reply` makes the head and body of each answer.
    fn start(reply: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::with("", reply)
    }

    /// `more` ends the lines of `[gateway]`, or begins another table.
    fn with(more: &str, reply: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let rig = rig();
        let names = ["claude.test", "gpt.test", "other.test", "files.test", "desk.test"];
        let origin = Origin::answering(Some(rig.ca.leaf(&names)), reply);
        let gateway = rig.start_with(&lab(ENTRIES).gateway(more).resolve("*.test:443", origin.address()));
        Self { rig, origin, gateway }
    }

    /// A request in a tunnel of its own.
    fn open(&self, host: &str, request: &str) -> Raw {
        let mut raw = self.rig.tunnel(&self.gateway, &format!("{host}:443"));
        raw.send(request.as_bytes());
        raw
    }

    fn post(&self, host: &str, path: &str, lines: &str, body: &str) -> Answer {
        self.open(host, &post(host, path, lines, body)).answer()
    }

    /// The record of the last call.
    fn last(&self) -> serde_json::Value {
        self.rig.calls().pop().unwrap()
    }
}

fn post(host: &str, path: &str, lines: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn json(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A stream of events, one chunk each.
fn events(events: &[&str]) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |data: &&str| format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    format!("{head}{}0\r\n\r\n", events.iter().map(chunk).collect::<String>()).into_bytes()
}
