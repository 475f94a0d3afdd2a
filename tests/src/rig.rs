//! One test's folders, its gateway's configuration and state, and what the gateway recorded.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustls::RootCertStore;
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::dns::Dns;
use crate::gateway::Gateway;
use crate::h2;
use crate::pki::Ca;
use crate::raw::{Raw, roots_of};
use crate::spawn;
use crate::wait::until;

/// Everything around one gateway. Its resolver knows no name, and none may be asked of it: a test that looks names up
/// brings one of its own.
pub struct Rig {
    bin: PathBuf,
    folder: TempDir,
    dns: Dns,
    /// Signs the origins.
    pub ca: Ca,
}

/// A secret that must never be seen where it does not belong; unlike every other.
#[must_use]
pub fn canary(name: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(name);
    format!("CANARY-{:016x}{:016x}", half(), half())
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.dns.asked(), Vec::<String>::new(), "names that were looked up");
        }
    }
}

impl Rig {
    /// `bin` is the program: `env!("CARGO_BIN_EXE_ensage")`.
    ///
    /// # Panics
    /// If there is no place for temporary files.
    #[must_use]
    pub fn new(bin: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("ensage-it-").tempdir().unwrap();
        for name in ["state", "home"] {
            DirBuilder::new().mode(0o700).create(folder.path().join(name)).unwrap();
        }
        let rig = Self { bin: bin.into(), folder, dns: Dns::start(), ca: Ca::new() };
        fs::write(rig.path("roots.pem"), &rig.ca.pem).unwrap();
        rig
    }

    /// A file or folder of this rig.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.path("ensage.toml")
    }

    /// Writes the configuration.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn configure(&self, config: &Config) {
        let agent = std::env::current_exe().unwrap();
        let roots = self.path("roots.pem");
        self.write_config(&config.text(roots.to_str().unwrap(), agent.to_str().unwrap(), self.dns.address()));
    }

    /// Writes this text as the configuration.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write_config(&self, text: &str) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.config_file()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The program with this rig's configuration and state, and nothing of the environment but the search path.
    #[must_use]
    pub fn ensage(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.bin);
        command.env_clear().env("HOME", self.path("home")).current_dir(self.path("home"));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.arg("--config").arg(self.config_file()).arg("--state").arg(self.state()).args(arguments);
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        spawn::output(&mut self.ensage(arguments)).unwrap()
    }

    /// Runs what should end by itself, and ends it if it does not.
    ///
    /// # Panics
    /// If it can't be started, or does not end.
    #[must_use]
    pub fn ends(&self, arguments: &[&str]) -> Output {
        ended(&mut self.ensage(arguments), Stdio::null())
    }

    /// Runs it to its good end and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn good(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// `creds add NAME`, the secret on stdin.
    ///
    /// # Panics
    /// If it is refused.
    pub fn add_secret(&self, name: &str, secret: &str) {
        let mut command = self.ensage(&["creds", "add", name]);
        let mut child =
            spawn::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "creds add {name}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// `creds placeholder NAME --agent raw`.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn placeholder(&self, name: &str) -> String {
        self.good(&["creds", "placeholder", name, "--agent", "raw"]).trim_end().to_owned()
    }

    /// Starts the gateway.
    #[must_use]
    pub fn start(&self) -> Gateway {
        self.start_in(&[])
    }

    /// Starts the gateway with variables in its environment.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_in(&self, environment: &[(&str, &str)]) -> Gateway {
        Gateway::start(self.ensage(&["gateway"]).envs(environment.iter().copied()))
    }

    /// Starts the gateway by this shell script, whose `"$@"` is the program and its arguments, this socket being its
    /// stdin: as a supervisor starts it.
    #[must_use]
    pub fn start_by(&self, script: &str, socket: OwnedFd) -> Gateway {
        Gateway::start_on(&mut self.shell(script), Stdio::from(socket))
    }

    /// The same for a gateway that must not start: how it ended.
    ///
    /// # Panics
    /// If it does not end.
    #[must_use]
    pub fn ends_by(&self, script: &str, socket: OwnedFd) -> Output {
        ended(&mut self.shell(script), Stdio::from(socket))
    }

    fn shell(&self, script: &str) -> Command {
        let program = self.ensage(&["gateway"]);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
        shell.env_clear().current_dir(self.path("home"));
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    }

    /// Writes the configuration and starts the gateway.
    #[must_use]
    pub fn start_with(&self, config: &Config) -> Gateway {
        self.configure(config);
        self.start()
    }

    /// Trust in the gateway's own CA, as an agent has it.
    #[must_use]
    pub fn trust(&self) -> RootCertStore {
        roots_of(&self.state().join("ca/ca.pem"))
    }

    /// A tunnel to `target` with TLS inside, SNI as it should be.
    ///
    /// # Panics
    /// If the gateway does not let it through.
    #[must_use]
    pub fn tunnel(&self, gateway: &Gateway, target: &str) -> Raw {
        let mut raw = Raw::open(gateway.address());
        let answer = raw.connect(target, "");
        assert_eq!(answer.status, 200, "{}{}", answer.head, answer.text());
        let name = target.rsplit_once(':').map_or(target, |(host, _)| host);
        raw.tls(&self.trust(), name).unwrap()
    }

    /// The same, and HTTP/2 inside.
    ///
    /// # Panics
    /// If the gateway does not let it through, or speaks no HTTP/2.
    #[must_use]
    pub fn h2(&self, gateway: &Gateway, target: &str) -> h2::Client {
        let mut raw = Raw::open(gateway.address());
        assert_eq!(raw.connect(target, "").status, 200);
        h2::Client::open(raw, &self.trust(), target.rsplit_once(':').map_or(target, |(host, _)| host))
    }

    /// Every record, as `ensage audit --json` prints it.
    ///
    /// # Panics
    /// If one is no JSON.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        records(&self.good(&["audit", "--json"]))
    }

    /// The records of calls.
    #[must_use]
    pub fn calls(&self) -> Vec<Value> {
        self.records().into_iter().filter(|r| r["kind"] == "call").collect()
    }

    /// The one call that was refused.
    ///
    /// # Panics
    /// If none was, or several were.
    #[must_use]
    pub fn refused(&self) -> Value {
        let mut denied: Vec<Value> = self.calls().into_iter().filter(|r| r["decision"] == "deny").collect();
        assert_eq!(denied.len(), 1, "{denied:#?}");
        denied.remove(0)
    }

    /// Every byte that the gateway has written into its state folder, and what it said.
    ///
    /// # Panics
    /// If a file can't be read.
    #[must_use]
    pub fn remains(&self, gateway: &Gateway) -> Vec<u8> {
        let mut all = gateway.stderr().into_bytes();
        gather(&self.state(), &mut all);
        all
    }
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ended(command: &mut Command, stdin: Stdio) -> Output {
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(spawn::spawn(command).unwrap());
    until(&format!("the end of {command:?}"), || child.0.try_wait().unwrap());
    let Some(mut pipes) = child.0.stdout.take().zip(child.0.stderr.take()) else { panic!("no pipes") };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    pipes.0.read_to_end(&mut stdout).unwrap();
    pipes.1.read_to_end(&mut stderr).unwrap();
    Output { status: child.0.wait().unwrap(), stdout, stderr }
}

fn gather(folder: &Path, all: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            gather(&entry.path(), all);
        } else if kind.is_file() {
            all.extend(fs::read(entry.path()).unwrap());
        }
    }
}

fn records(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}
