//! What the clients talk to: the scripted model and the MCP server behind TLS, and where the clients are.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::Value;

use crate::cli::home::{Home, start};

/// The real token of the MCP server.
pub(super) const TOKEN: &str = "lab-the-real-token-of-this-test";

/// The MCP server in the configuration: one of its tools, and the credential for it.
pub(super) const MCP: &str = r#"
[enclave.lab.mcp.lab]
url = "https://mcp.lab.test/mcp"
tools = ["echo"]
credential = "lab"
pin = false
[credential.lab]
slot = "bearer"
hosts = ["mcp.lab.test"]
placeholder = "lab_"
env = "MCP_LAB_TOKEN"
"#;

/// The folder that `tests/clients/install` fills.
pub(super) fn clients() -> PathBuf {
    let named = std::env::var_os("ENSAGE_CLIENTS").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients"))
}

fn there(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is not there", path.display());
    eprintln!("skipped: {} is not there (tests/clients/install brings it)", path.display());
    None
}

/// Python with the packages of `requirements.txt`.
pub(super) fn python() -> Option<PathBuf> {
    there(clients().join("python/bin/python"))
}

/// Node.js, new enough for everything here.
pub(super) fn node() -> Option<PathBuf> {
    there(clients().join("bin/node"))
}

/// An agent by its command.
pub(super) fn agent(name: &str) -> Option<PathBuf> {
    there(clients().join("bin").join(name))
}

/// What `tests/clients/programs` becomes in Go.
pub(super) fn transfer_go() -> Option<PathBuf> {
    there(clients().join("bin/transfer-go"))
}

/// A program of `tests/clients/programs`.
pub(super) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/programs").join(name)
}

/// The scripted stand-in for the model vendors, which lies beside the project.
pub(super) fn fake_llm() -> Option<PathBuf> {
    there(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fakes/fake_llm.py"))
}

/// A certificate authority of one test, and a leaf for `names` in PEM files of its home.
pub(super) struct Tls {
    pub(super) roots: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Tls {
    pub(super) fn new(home: &Home, names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let roots = home.write("roots.pem", &ca.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(ca, key);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let cert = home.write("cert.pem", &leaf.signed_by(&key, &issuer).unwrap().pem());
        Self { roots, cert, key: home.write("key.pem", &key.serialize_pem()) }
    }
}

/// A server in a process of its own, ended with the test.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    log: PathBuf,
}

impl Server {
    /// The last word of its first line ends with the port.
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit([':', ' ']).next().and_then(|p| p.parse().ok());
        Self { child, port: port.unwrap_or_else(|| panic!("{line:?}")), log }
    }

    /// The scripted model; it takes no other credential than `key`, and no WebSocket.
    pub(super) fn llm(home: &Home, tls: &Tls, key: &str) -> Option<Self> {
        let (python, fake, log) = (python()?, fake_llm()?, home.path("llm.log"));
        let mut command = Command::new(python);
        command.arg(fake).args(["--port", "0", "--no-ws", "--require-key", key]).arg("--log").arg(&log);
        command.arg("--tls-cert").arg(&tls.cert).arg("--tls-key").arg(&tls.key);
        Some(Self::start(&mut command, log))
    }

    /// The MCP server on the official SDK, with the tools `echo` and `secret_delete`.
    pub(super) fn mcp(home: &Home, tls: &Tls, token: &str) -> Option<Self> {
        let log = home.path("mcp.log");
        let mut command = Command::new(node()?);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/servers/mcp_lab.mjs"));
        command.env("ENSAGE_CLIENTS", clients()).args(["0", "--require-token", token]).arg("--log").arg(&log);
        command.arg("--tls-cert").arg(&tls.cert).arg("--tls-key").arg(&tls.key);
        Some(Self::start(&mut command, log))
    }

    /// A WebSocket server on a package of Python or Node.
    pub(super) fn websocket(home: &Home, tls: &Tls, script: &str) -> Option<Self> {
        let log = home.path("ws.log");
        let in_node = script.ends_with(".mjs");
        there(clients().join("node/node_modules/ws"))?;
        let mut command = Command::new(if in_node { node()? } else { python()? });
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/servers").join(script));
        command.env("ENSAGE_CLIENTS", clients()).arg("0").arg("--log").arg(&log);
        command.arg("--tls-cert").arg(&tls.cert).arg("--tls-key").arg(&tls.key);
        Some(Self::start(&mut command, log))
    }

    /// One object for each request that arrived.
    pub(super) fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
