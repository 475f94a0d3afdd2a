//! The Python SDK of the model vendor, and requests.

use serde_json::Value;

use super::servers::{Server, Tls, python};
use crate::cli::home::{Done, Home, done, fed};

pub(super) const KEY: &str = "sk-ant-api03-the-real-key-of-this-test";

/// A home whose `lab` may talk to the scripted model, which accepts the real key alone.
fn lab(more: &str) -> Option<(Home, Server)> {
    let home = Home::new();
    let tls = Tls::new(&home, &["api.anthropic.com"]);
    let llm = Server::llm(&home, &tls, KEY)?;
    configure(&home, &tls, &[("api.anthropic.com", llm.port)], more);
    Some((home, llm))
}

/// A configuration for one home, its names being on these ports, and the model's real key in its vault.
pub(super) fn configure(home: &Home, tls: &Tls, names: &[(&str, u16)], more: &str) {
    let names: Vec<String> = names.iter().map(|(n, port)| format!("\"{n}:443\" = \"127.0.0.1:{port}\"")).collect();
    let text = format!(
        r#"
[gateway]
listen = "127.0.0.1:0"
catalogue = false
[upstream]
roots = ["{roots}"]
resolve = {{ {names} }}
private_addresses = ["127.0.0.1/32"]
[enclave.lab]
agents = ["*"]
closed = ["chatgpt.com", "ab.chatgpt.com", "github.com", "api.github.com", "play.googleapis.com"]
[enclave.lab.llm.anthropic]
api = "anthropic"
host = "api.anthropic.com"
models = ["claude-*"]
credential = "anthropic"
[credential.anthropic]
slot = ["header:x-api-key", "bearer"]
hosts = ["api.anthropic.com"]
placeholder = "sk-ant-api03-"
env = "ANTHROPIC_API_KEY"
{more}"#,
        roots = tls.roots.display(),
        names = names.join(", "),
    );
    home.write("ensage-lab.toml", &text);
    let add = fed(&mut home.ensage(&["creds", "add", "anthropic"]), KEY.as_bytes());
    assert_eq!(add.code, Some(0), "{add:?}");
}

fn run(home: &Home, script: &str) -> Option<Done> {
    let python = python()?;
    let words = ["run", "--advisory", "--enclave", "lab", "--", python.to_str().unwrap(), "-c", script];
    Some(done(&mut home.ensage(&words)))
}

/// Every inference that arrived had the real key, nothing that the client printed did.
pub(super) fn arrived(llm: &Server, seen: &Done) -> Vec<Value> {
    let all: Vec<Value> = llm.log().into_iter().filter(|r| r["kind"] == "http" && r["method"] == "POST").collect();
    for request in &all {
        assert_eq!(request["cred"], KEY, "{request}");
        assert_eq!(request["host"], "api.anthropic.com");
        assert_eq!(request["headers"].get("via"), None);
        let body = request["body"].to_string();
        assert!(!body.contains("ens_") && !body.contains("the-real-key"), "{body}");
    }
    assert!(!seen.out.contains("the-real-key") && !seen.err.contains("the-real-key"), "{seen:?}");
    all
}

#[test]
fn the_anthropic_sdk_works_with_a_placeholder() {
    let Some((home, llm)) = lab("") else { return };
    for (stream, call) in [
        (false, "print(c.messages.create(**ask).content[0].text)"),
        (true, "with c.messages.stream(**ask) as s: print(s.get_final_message().content[0].text)"),
    ] {
        let script = format!(
            "import os, anthropic\nprint(os.environ['ANTHROPIC_API_KEY'])\nc = anthropic.Anthropic(max_retries=0, timeout=20)\n\
             ask = dict(model='claude-x', max_tokens=64, messages=[{{'role': 'user', 'content': 'hi [[say:WELL]]'}}])\n{call}\n"
        );
        let Some(seen) = run(&home, &script) else { return };
        assert_eq!(seen.code, Some(0), "stream {stream}: {seen:?}");
        let (placeholder, said) = seen.out.split_once('\n').unwrap();
        assert!(placeholder.starts_with("sk-ant-api03-ens_"), "{placeholder}");
        assert_eq!(said, "WELL\n");
        assert!(seen.last().contains("1 allowed, 0 denied"), "{seen:?}");
        let all = arrived(&llm, &seen);
        assert_eq!(all.last().unwrap()["body"]["stream"] == true, stream, "{all:?}");
    }
    let calls = home.calls();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(
            (&call["type"], &call["decision"], &call["outcome"]),
            (&"llm".into(), &"allow".into(), &"complete".into())
        );
        let ai = &call["gen_ai"];
        assert_eq!(
            (&ai["provider"]["name"], &ai["request"]["model"]),
            (&"anthropic".into(), &"claude-x".into()),
            "{call}"
        );
        assert_eq!((&ai["usage"]["input_tokens"], &ai["usage"]["output_tokens"]), (&10.into(), &7.into()), "{call}");
        assert_eq!(ai["response"]["model"], "claude-x");
        assert_eq!(
            (&call["credential"]["name"], &call["credential"]["action"]),
            (&"anthropic".into(), &"substituted".into())
        );
        assert!(call["session"]["agent"].as_str().unwrap().starts_with("python"), "{call}");
        assert!(!call.to_string().contains("the-real-key") && !call.to_string().contains("ens_"), "{call}");
    }
}

#[test]
fn a_model_that_is_not_allowed_is_told_so_at_once() {
    let Some((home, llm)) = lab("") else { return };
    let script = "import anthropic\nc = anthropic.Anthropic(timeout=20)\n\
        try: c.messages.create(model='gpt-x', max_tokens=64, messages=[{'role': 'user', 'content': 'hi'}])\n\
        except anthropic.BadRequestError as e: print(e.status_code, e.body['error']['ensage']['reason'], e.body['error']['message'])\n";
    let Some(seen) = run(&home, script) else { return };
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert!(seen.out.starts_with("400 model_not_allowed "), "{seen:?}");
    assert_eq!(llm.log().len(), 0, "not even a head goes upstream");
    let calls = home.calls();
    assert_eq!(calls.len(), 1, "the SDK does not try again");
    assert_eq!(
        (&calls[0]["reason"], &calls[0]["rule"]),
        (&"model_not_allowed".into(), &"enclave.lab.llm.anthropic.models".into())
    );
    assert_eq!(calls[0]["severity"], "medium", "{}", calls[0]);
}

#[test]
fn f1_e7_requests_may_not_take_the_placeholder_elsewhere() {
    let more = "[[enclave.lab.http]]\nhost = \"other.lab.test\"\n";
    let Some((home, llm)) = lab(more) else { return };
    let script = "import os, requests\nkey = os.environ['ANTHROPIC_API_KEY']\n\
        ask = {'model': 'claude-x', 'max_tokens': 9, 'messages': [{'role': 'user', 'content': 'hi'}]}\n\
        url = 'https://api.anthropic.com/v1/messages'\n\
        print(requests.post(url, json=ask, headers={'x-api-key': key}, timeout=20).status_code)\n\
        print(requests.post(url, json=ask, headers={'x-api-key': 'sk-ant-api03-somebody-elses'}, timeout=20).json()['error']['ensage']['reason'])\n\
        r = requests.get('https://other.lab.test/', headers={'x-api-key': key}, timeout=20)\nprint(r.status_code, r.json()['reason'])\n";
    let Some(seen) = run(&home, script) else { return };
    assert_eq!(seen.out, "200\nforeign_credential\n403 placeholder_wrong_host\n", "{seen:?}");
    assert_eq!(arrived(&llm, &seen).len(), 1);
    let severities: Vec<_> = home.calls().iter().map(|c| c["severity"].clone()).collect();
    assert_eq!(severities, ["info", "high", "high"]);
}
