//! Claude Code, unmodified: a task, its environment, and an MCP server of which it may see one tool.

use serde_json::Value;

use super::python::{KEY, arrived, configure};
use super::servers::{MCP, Server, TOKEN, Tls, agent};
use crate::cli::home::{Done, Home, done, fed};

struct Lab {
    home: Home,
    llm: Server,
    mcp: Server,
}

impl Lab {
    fn new() -> Option<Self> {
        agent("claude")?;
        let home = Home::new();
        let tls = Tls::new(&home, &["api.anthropic.com", "mcp.lab.test"]);
        let (llm, mcp) = (Server::llm(&home, &tls, KEY)?, Server::mcp(&home, &tls, TOKEN)?);
        configure(&home, &tls, &[("api.anthropic.com", llm.port), ("mcp.lab.test", mcp.port)], MCP);
        assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), TOKEN.as_bytes()).code, Some(0));
        home.write("work/a.txt", "what the file says\n");
        home.write(
            "work/mcp.json",
            r#"{"mcpServers":{"lab":{"type":"http","url":"https://mcp.lab.test/mcp","headers":{"Authorization":"Bearer ${MCP_LAB_TOKEN}"}}}}"#,
        );
        Some(Self { home, llm, mcp })
    }

    fn claude(&self, prompt: &str, options: &[&str]) -> Done {
        let program = agent("claude").unwrap();
        let mut words = vec!["run", "--advisory", "--enclave", "lab", "--", program.to_str().unwrap(), "-p", prompt];
        words.extend(["--output-format", "text"]);
        words.extend(options);
        let mut command = self.home.ensage(&words);
        let seen = done(command.env("ENABLE_TOOL_SEARCH", "false").env("USER", "lab").env("SHELL", "/bin/bash"));
        assert_eq!(seen.code, Some(0), "{seen:?}\n{:?}", self.home.calls());
        let secrets = [KEY, TOKEN];
        assert!(!secrets.iter().any(|s| seen.out.contains(s) || seen.err.contains(s)), "{seen:?}");
        seen
    }

    /// Calls of this type that were let through.
    fn allowed(&self, kind: &str) -> Vec<Value> {
        self.home.calls().into_iter().filter(|c| c["type"] == kind && c["decision"] == "allow").collect()
    }

    /// The inferences that arrived and were about the prompt.
    fn inferences(&self, seen: &Done) -> Vec<Value> {
        arrived(&self.llm, seen)
            .into_iter()
            .filter(|r| r["path"].as_str().unwrap().starts_with("/v1/messages"))
            .collect()
    }
}

fn requested(calls: &[Value]) -> Vec<&str> {
    calls.iter().flat_map(|c| c["tools_requested"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect()
}

#[test]
fn claude_code_completes_a_task_with_a_placeholder() {
    let Some(lab) = Lab::new() else { return };
    let prompt = r#"Do it. [[tool:Bash {"command":"cat a.txt","description":"x"}]] [[say:DONE]]"#;
    let seen = lab.claude(prompt, &["--allowedTools", "Bash"]);
    assert!(seen.out.contains("DONE <<what the file says"), "{seen:?}");
    assert!(lab.inferences(&seen).len() >= 2);
    let calls = lab.allowed("llm");
    assert!(requested(&calls).contains(&"Bash"), "{calls:?}");
    for call in &calls {
        assert_eq!(
            (&call["session"]["agent"], &call["session"]["enclave"]),
            (&"claude".into(), &"lab".into()),
            "{call}"
        );
        assert_eq!(
            (&call["session"]["tier"], &call["credential"]["action"]),
            (&"advisory".into(), &"substituted".into())
        );
        assert_eq!(
            (&call["credential"]["name"], &call["outcome"]),
            (&"anthropic".into(), &"complete".into()),
            "{call}"
        );
        assert!(call["gen_ai"]["request"]["model"].as_str().unwrap().starts_with("claude-"), "{call}");
    }
    let counted = calls.iter().filter(|c| c["gen_ai"]["usage"]["output_tokens"] == 7).count();
    assert!(counted >= 2, "{calls:?}");
}

#[test]
fn f2_claude_code_has_placeholders_alone_and_may_print_them() {
    let Some(lab) = Lab::new() else { return };
    let prompt = r#"Do it. [[tool:Bash {"command":"env | grep -e ANTHROPIC_API_KEY -e MCP_LAB_TOKEN | tee seen.txt","description":"x"}]] [[say:DONE]]"#;
    let seen = lab.claude(prompt, &["--allowedTools", "Bash"]);
    let environment = std::fs::read_to_string(lab.home.path("work/seen.txt")).unwrap();
    assert!(environment.contains("ANTHROPIC_API_KEY=sk-ant-api03-ens_"), "{environment}");
    assert!(environment.contains("MCP_LAB_TOKEN=lab_ens_"), "{environment}");
    assert!(!environment.contains(KEY) && !environment.contains(TOKEN));
    // The model is told what was printed, and keeps working: the placeholders in it are overwritten, no more.
    let bodies: String = lab.inferences(&seen).iter().map(|r| r["body"].to_string()).collect();
    assert!(bodies.contains("ANTHROPIC_API_KEY=****") && !bodies.contains("ens_"), "{bodies}");
    assert!(seen.out.contains("DONE <<"), "{seen:?}");
    let calls = lab.allowed("llm");
    let masked: Vec<_> = calls.iter().filter(|c| c["credential"]["action"] == "masked").collect();
    assert_eq!(masked.len(), 1, "{calls:?}");
    assert_eq!(masked[0]["severity"], "low");
}

#[test]
fn d2_claude_code_sees_the_allowed_tool_and_not_the_hidden_one() {
    let Some(lab) = Lab::new() else { return };
    let prompt = r#"Do it. [[tool:mcp__lab__echo {"message":"via mcp"}]] [[say:DONE]]"#;
    let options = ["--allowedTools", "mcp__lab__echo", "--mcp-config", "mcp.json", "--strict-mcp-config"];
    let seen = lab.claude(prompt, &options);
    assert!(seen.out.contains("DONE <<") && seen.out.contains("echo: via mcp"), "{seen:?}");

    let tools: Vec<String> = lab
        .inferences(&seen)
        .iter()
        .flat_map(|r| r["body"]["tools"].as_array().cloned().unwrap_or_default())
        .filter_map(|t| t["name"].as_str().map(str::to_owned))
        .collect();
    assert!(tools.iter().any(|t| t == "mcp__lab__echo"), "{tools:?}");
    assert!(!tools.iter().any(|t| t.contains("secret_delete")), "{tools:?}");

    let arrived = lab.mcp.log();
    assert!(!arrived.is_empty());
    for request in &arrived {
        assert_eq!(request["authorization"], format!("Bearer {TOKEN}"), "{request}");
        assert!(!request.to_string().contains("ens_"), "{request}");
    }
    let called: Vec<_> = arrived.iter().filter(|r| r["message"]["method"] == "tools/call").collect();
    assert_eq!(called.len(), 1, "{arrived:?}");
    assert_eq!(called[0]["message"]["params"]["name"], "echo");

    let calls = lab.allowed("mcp");
    let call = calls.iter().find(|c| c["mcp"]["method"]["name"] == "tools/call").unwrap();
    assert_eq!((&call["mcp"]["server"], &call["gen_ai"]["tool"]["name"]), (&"lab".into(), &"echo".into()), "{call}");
    assert_eq!((&call["credential"]["name"], &call["credential"]["action"]), (&"lab".into(), &"substituted".into()));
    assert_eq!(call["rule"], "enclave.lab.mcp.lab.tools[0]");
    // SHA-256 of {"message":"via mcp"}, the bytes that the agent sends.
    assert_eq!(call["arguments"]["bytes"], r#"{"message":"via mcp"}"#.len(), "{call}");
    assert_eq!(call["arguments"]["sha256"], "49720c725ba38a3b0ebc4fbe42278166cbc332336a938e41c66e70a7cc0fd0a0");
    assert_eq!(call["session"]["agent"], "claude");
    assert!(requested(&lab.allowed("llm")).contains(&"mcp__lab__echo"));

    let shown = lab.home.records(&["--tool", "echo"]);
    assert_eq!(shown.len(), 1, "`audit --tool` finds it");
}

#[test]
fn d2_a_hidden_tool_is_absent_for_claude_code() {
    let Some(lab) = Lab::new() else { return };
    let prompt = r#"Do it. [[tool:mcp__lab__secret_delete {"name":"x"}]] [[say:DONE]]"#;
    let options = ["--allowedTools", "mcp__lab__secret_delete", "--mcp-config", "mcp.json", "--strict-mcp-config"];
    let seen = lab.claude(prompt, &options);
    assert!(seen.out.contains("FAKE-LLM-NO-TOOL:mcp__lab__secret_delete"), "{seen:?}");
    assert!(!lab.mcp.log().iter().any(|r| r["message"]["method"] == "tools/call"));
}
