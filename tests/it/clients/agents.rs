//! Codex, Gemini CLI and OpenClaw beside Claude Code: a task with a tool and an MCP server, a refusal, and a gateway
//! that dies.
//!
//! The reader of Gemini's API comes later: until then it is reached by an http rule with a credential.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::python::{KEY, configure};
use super::servers::{MCP, Server, TOKEN, Tls, agent};
use crate::cli::home::{Done, Home, done, fed, filled, start, until};

const MORE: &str = r#"
[enclave.lab.llm.openai]
api = "openai"
host = "api.openai.com"
models = ["gpt-*"]
credential = "openai"
[[enclave.lab.http]]
host = "generativelanguage.googleapis.com"
paths = ["/v1beta/models/**"]
[credential.openai]
slot = "bearer"
hosts = ["api.openai.com"]
placeholder = "sk-proj-"
env = ["OPENAI_API_KEY", "CODEX_API_KEY"]
[credential.gemini]
slot = "header:x-goog-api-key"
hosts = ["generativelanguage.googleapis.com"]
placeholder = "AIza"
env = "GEMINI_API_KEY"
"#;

/// An agent, and how it is told to do things.
struct Agent {
    name: &'static str,
    words: &'static [&'static str],
    /// Where its model is.
    host: &'static str,
    credential: &'static str,
    /// The file of its home (or of the working folder) that names the MCP server.
    settings: (&'static str, &'static str),
    /// Markers for the scripted model: how this agent runs COMMAND, and how it calls `echo`.
    command: &'static str,
    echo: &'static str,
    /// What it shows of a refusal.
    shown: &'static str,
    /// How often it asks at most before it heeds one.
    tries: usize,
}

const CODEX: Agent = Agent {
    name: "codex",
    words: &["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"],
    host: "api.openai.com",
    credential: "openai",
    settings: (
        "home/.codex/config.toml",
        "[mcp_servers.lab]\nurl = \"https://mcp.lab.test/mcp\"\nbearer_token_env_var = \"MCP_LAB_TOKEN\"\n",
    ),
    command: r#"[[tool:exec {"input":"const r = await tools.exec_command({cmd: \"COMMAND\"}); text(r.output);"}]]"#,
    echo: r#"[[tool:exec {"input":"const r = await tools.mcp__lab__echo({message: \"via mcp\"}); text(JSON.stringify(r));"}]]"#,
    shown: " is not allowed; use another one",
    tries: 1,
};

const GEMINI: Agent = Agent {
    name: "gemini",
    words: &["--yolo", "-m", "gemini-2.5-flash", "-p"],
    host: "generativelanguage.googleapis.com",
    credential: "gemini",
    settings: (
        "home/.gemini/settings.json",
        r#"{"mcpServers":{"lab":{"httpUrl":"https://mcp.lab.test/mcp","headers":{"Authorization":"Bearer $MCP_LAB_TOKEN"},"trust":true}}}"#,
    ),
    command: r#"[[tool:run_shell_command {"command":"COMMAND"}]]"#,
    echo: r#"[[tool:mcp_lab_echo {"message":"via mcp"}]]"#,
    shown: "this path is not allowed on generativelanguage.googleapis.com",
    tries: 1,
};

const OPENCLAW: Agent = Agent {
    name: "openclaw",
    words: &["agent", "exec", "--config", "oc.json", "--code-mode", "direct", "--model", "anthropic/claude-sonnet-5"],
    host: "api.anthropic.com",
    credential: "anthropic",
    settings: (
        "work/oc.json",
        r#"{"mcp":{"servers":{"lab":{"url":"https://mcp.lab.test/mcp","transport":"streamable-http","headers":{"Authorization":"Bearer ${MCP_LAB_TOKEN}"}}}}}"#,
    ),
    command: r#"[[tool:exec {"command":"COMMAND"}]]"#,
    echo: r#"[[tool:tool_call {"id":"mcp:lab:lab__echo","args":{"message":"via mcp"}}]]"#,
    shown: "the model claude-sonnet-5 is not allowed; use another one",
    tries: 1,
};

const CLAUDE: Agent = Agent {
    name: "claude",
    words: &["--allowedTools", "Bash", "-p"],
    host: "api.anthropic.com",
    credential: "anthropic",
    settings: ("work/mcp.json", "{}"),
    command: r#"[[tool:Bash {"command":"COMMAND","description":"x"}]]"#,
    echo: "",
    shown: "is not allowed; use another one",
    tries: 1,
};

struct Lab {
    agent: &'static Agent,
    home: Home,
    llm: Server,
    mcp: Server,
}

impl Lab {
    fn new(which: &'static Agent) -> Option<Self> {
        agent(which.name)?;
        let home = Home::new();
        let models = ["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com"];
        let tls = Tls::new(&home, &[&models[..], &["mcp.lab.test"]].concat());
        let (llm, mcp) = (Server::llm(&home, &tls, KEY)?, Server::mcp(&home, &tls, TOKEN)?);
        let names: Vec<_> = models.iter().map(|m| (*m, llm.port)).chain([("mcp.lab.test", mcp.port)]).collect();
        configure(&home, &tls, &names, &format!("{MORE}{MCP}"));
        for (name, secret) in [("openai", KEY), ("gemini", KEY), ("lab", TOKEN)] {
            assert_eq!(fed(&mut home.ensage(&["creds", "add", name]), secret.as_bytes()).code, Some(0));
        }
        let (file, text) = which.settings;
        std::fs::create_dir_all(home.path(file).parent().unwrap()).unwrap();
        std::fs::create_dir(home.path("tmp")).unwrap();
        home.write(file, text);
        home.write("work/a.txt", "what the file says\n");
        Some(Self { agent: which, home, llm, mcp })
    }

    /// `ensage run -- AGENT ... PROMPT`, as a user types it.
    fn command(&self, prompt: &str) -> Command {
        let program = agent(self.agent.name).unwrap();
        let mut words = vec!["run", "--advisory", "--enclave", "lab", "--", self.agent.name];
        words.extend(self.agent.words);
        words.push(prompt);
        let mut command = self.home.ensage(&words);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
        command.env("USER", "lab").env("SHELL", "/bin/bash").env("TMPDIR", self.home.path("tmp"));
        command.env("GEMINI_CLI_TRUST_WORKSPACE", "true");
        command
    }

    /// Inferences among the records.
    fn inferences(&self) -> Vec<Value> {
        let mut calls = self.home.calls();
        calls.retain(|c| c["server"]["address"] == self.agent.host && c["http"]["request"]["method"] == "POST");
        calls.retain(|c| self.agent.host != "api.anthropic.com" || c["url"]["path"] == "/v1/messages");
        calls
    }

    /// Where the agent asked its model for a WebSocket.
    fn sockets(&self) -> Vec<Value> {
        let mut calls = self.home.calls();
        calls.retain(|c| c["url"]["path"] == "/v1/responses" && c["http"]["request"]["method"] == "GET");
        calls
    }

    /// Every inference that arrived had the real key and no placeholder.
    fn arrived(&self) -> Vec<Value> {
        let all: Vec<Value> = self.llm.log().into_iter().filter(|r| r["method"] == "POST").collect();
        for request in &all {
            assert_eq!((&request["cred"], &request["host"]), (&KEY.into(), &self.agent.host.into()), "{request}");
            assert!(!request.to_string().contains("ens_"), "{request}");
        }
        all
    }

    fn does_a_task(&self) {
        let command = self.agent.command.replace("COMMAND", "cat a.txt | tee seen.txt");
        let seen = done(&mut self.command(&format!("Do it. {command} {} [[say:DONE]]", self.agent.echo)));
        assert_eq!(seen.code, Some(0), "{seen:?}\n{:?}", self.home.calls());
        assert!(seen.out.contains("DONE <<"), "{seen:?}");
        assert_eq!(filled(&self.home.path("work/seen.txt")).unwrap(), "what the file says\n");
        self.assert_sealed(&seen);
        let bodies: String = self.arrived().iter().map(|r| r["body"].to_string()).collect();
        assert!(bodies.contains("what the file says") && bodies.contains("echo: via mcp"), "{bodies}");
        assert!(!bodies.contains("secret_delete"), "{bodies}");

        let inferences = self.inferences();
        assert!(inferences.len() >= 3, "{inferences:?}");
        for call in &inferences {
            assert_eq!((&call["decision"], &call["outcome"]), (&"allow".into(), &"complete".into()), "{call}");
            let credential = &call["credential"];
            assert_eq!(
                (&credential["name"], &credential["action"]),
                (&self.agent.credential.into(), &"substituted".into()),
                "{call}"
            );
            assert_eq!(call["session"]["agent"], self.agent.name, "{call}");
        }
        let asked = self.mcp.log();
        let called: Vec<_> = asked.iter().filter(|r| r["message"]["method"] == "tools/call").collect();
        assert_eq!(called.len(), 1, "{asked:?}");
        assert_eq!(called[0]["message"]["params"]["name"], "echo");
        assert!(asked.iter().all(|r| r["authorization"] == format!("Bearer {TOKEN}")), "{asked:?}");

        let calls = self.home.calls();
        let call = calls.iter().find(|c| c["mcp"]["method"]["name"] == "tools/call").unwrap();
        assert_eq!((&call["decision"], &call["gen_ai"]["tool"]["name"]), (&"allow".into(), &"echo".into()), "{call}");
        // What it asks for besides is refused, and does not stop it. Its model takes no WebSocket: it tries one, once.
        let refused: Vec<_> = calls.iter().filter(|c| c["decision"] == "deny").map(|c| &c["reason"]).collect();
        let known = ["host_closed", "websocket_not_allowed"];
        assert!(refused.iter().all(|reason| known.contains(&reason.as_str().unwrap())), "{refused:?}");
        let sockets = self.sockets();
        assert_eq!(sockets.len(), usize::from(self.agent.host == "api.openai.com"), "{sockets:?}");
        for call in &sockets {
            assert_eq!(call["http"]["response"]["status_code"], 426, "{call}");
            assert_eq!(
                (&call["decision"], &call["reason"]),
                (&"deny".into(), &"websocket_not_allowed".into()),
                "{call}"
            );
        }
        if self.agent.host == "api.openai.com" {
            self.reads_responses(&inferences);
        }
    }

    /// What is recorded of calls of Responses, all of which were streams.
    fn reads_responses(&self, inferences: &[Value]) {
        let asked: Vec<_> = inferences.iter().map(|c| (&c["type"], &c["gen_ai"]["provider"]["name"])).collect();
        assert!(asked.iter().all(|asked| *asked == (&"llm".into(), &"openai".into())), "{asked:?}");
        let models: Vec<_> = inferences.iter().filter_map(|c| c["gen_ai"]["request"]["model"].as_str()).collect();
        assert!(models.len() == inferences.len() && models.iter().all(|m| m.starts_with("gpt-")), "{models:?}");
        let requested: Vec<_> = inferences.iter().filter_map(|c| c["tools_requested"].as_array()).flatten().collect();
        assert_eq!(requested, ["exec", "exec"], "{inferences:?}");
        assert!(inferences.iter().all(|c| c["gen_ai"]["usage"]["output_tokens"].is_u64()), "{inferences:?}");
    }

    fn heeds_a_refusal(&self) {
        let text = std::fs::read_to_string(self.home.config()).unwrap();
        let text =
            text.replace("models = [\"claude-*\"]", "models = []").replace("models = [\"gpt-*\"]", "models = []");
        let text = text.replace("/v1beta/models/**", "/v1beta/other");
        std::fs::write(self.home.config(), text).unwrap();
        let seen = done(&mut self.command("Do it. [[say:DONE]]"));
        assert_ne!(seen.code, Some(0), "{seen:?}");
        assert!(!seen.out.contains("DONE"), "{seen:?}");
        assert!(seen.out.contains(self.agent.shown) || seen.err.contains(self.agent.shown), "{seen:?}");
        self.assert_sealed(&seen);
        assert_eq!(self.arrived().len(), 0);
        let inferences = self.inferences();
        assert!((1..=self.agent.tries).contains(&inferences.len()), "{inferences:?}");
        let reason = if self.agent.name == "gemini" { "path_not_allowed" } else { "model_not_allowed" };
        assert!(inferences.iter().all(|c| c["reason"] == reason), "{inferences:?}");
        assert!(self.sockets().len() <= 1, "{:?}", self.sockets());
        // Codex prints a failure twice by itself: when it comes, and as its last word.
        let told = format!("{}{}", seen.out, seen.err);
        assert!(told.matches(self.agent.shown).count() <= 2, "{told}");
    }

    /// A tool of the agent is at work meanwhile; it ends too.
    fn ends_with_its_gateway(&self) {
        let command = self.agent.command.replace("COMMAND", "echo $$ > pid; exec timeout 300 tail -f a.txt");
        let mut run = self.command(&format!("Do it. {command} [[say:DONE]]"));
        // A tool that stays would keep a pipe open.
        let err = self.home.path("err");
        let mut child = start(run.stdout(Stdio::null()).stderr(std::fs::File::create(&err).unwrap()));
        let tool = until("the tool runs", || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended by itself: {:?}", self.home.calls());
            filled(&self.home.path("work/pid"))
        });
        kill_process(self.home.gateway_pid().unwrap(), Signal::KILL).unwrap();
        let (code, err) = (child.wait().unwrap().code(), std::fs::read_to_string(&err).unwrap());
        assert_eq!(code, Some(125), "{err}");
        assert!(err.contains("the gateway has died, so the agent was ended"), "{err}");
        let process = format!("/proc/{}", tool.trim());
        until("the tool has ended", || (!Path::new(&process).exists()).then_some(()));
    }

    fn assert_sealed(&self, seen: &Done) {
        let records: String = self.home.records(&[]).iter().map(ToString::to_string).collect();
        for secret in [KEY, TOKEN] {
            assert!(!seen.out.contains(secret) && !seen.err.contains(secret), "{seen:?}");
            assert!(!records.contains(secret));
        }
        assert!(!records.contains("ens_"));
    }
}

macro_rules! tests {
    ($($name:ident: $agent:ident $does:ident;)*) => {$(
        #[test]
        fn $name() {
            if let Some(lab) = Lab::new(&$agent) {
                lab.$does();
            }
        }
    )*};
}

tests! {
    codex_does_a_task: CODEX does_a_task;
    codex_heeds_a_refusal: CODEX heeds_a_refusal;
    codex_ends_with_its_gateway: CODEX ends_with_its_gateway;
    gemini_does_a_task: GEMINI does_a_task;
    gemini_heeds_a_refusal: GEMINI heeds_a_refusal;
    gemini_ends_with_its_gateway: GEMINI ends_with_its_gateway;
    openclaw_does_a_task: OPENCLAW does_a_task;
    openclaw_heeds_a_refusal: OPENCLAW heeds_a_refusal;
    openclaw_ends_with_its_gateway: OPENCLAW ends_with_its_gateway;
    claude_heeds_a_refusal: CLAUDE heeds_a_refusal;
    claude_ends_with_its_gateway: CLAUDE ends_with_its_gateway;
}
