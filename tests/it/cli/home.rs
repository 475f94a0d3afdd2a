//! A user's home for one test: state folder, configuration, working folder, and a web site on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that a test expects.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so; less often than the rig does, since most looks here start a process.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A user with nothing in the environment but a home and a path.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self { folder: tempfile::Builder::new().prefix("ensage-it-").tempdir().unwrap() };
        std::fs::create_dir(home.path("work")).unwrap();
        std::fs::create_dir(home.path("home")).unwrap();
        home
    }

    /// With `text` as the file that `--config` names in [`Home::ensage`].
    pub(crate) fn with(text: &str) -> Self {
        let home = Self::new();
        home.write("ensage-lab.toml", text);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("ensage-lab.toml")
    }

    /// The binary with a clean environment, and nothing said about state or configuration.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ensage"));
        command.args(arguments).env_clear().current_dir(self.path("work"));
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path("home")).env("LANG", "C.UTF-8");
        command.stdin(Stdio::null());
        command
    }

    /// The binary on this home's state folder and, if there is one, its configuration.
    pub(crate) fn ensage(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(&[]);
        command.arg("--state").arg(self.state());
        if self.config().exists() {
            command.arg("--config").arg(self.config());
        }
        command.args(arguments);
        command
    }

    /// Runs to the end.
    pub(crate) fn done(&self, arguments: &[&str]) -> Done {
        done(&mut self.ensage(arguments))
    }

    /// `ensage run --advisory --enclave lab [OPTIONS] -- sh -c SCRIPT`
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Command {
        let mut words = vec!["run", "--advisory", "--enclave", "lab"];
        words.extend(options);
        words.extend(["--", "sh", "-c", script]);
        self.ensage(&words)
    }

    /// A document of a command that must end with 0.
    pub(crate) fn document(&self, arguments: &[&str]) -> Value {
        let done = self.done(&[&["--json"], arguments].concat());
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.json()
    }

    /// Merged records as `audit --json` prints them.
    pub(crate) fn records(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.done(&[&["audit", "--json"], arguments].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Records of calls.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.records(&[]).into_iter().filter(|r| r["kind"] == "call").collect()
    }

    /// A daemon in the foreground, ready.
    pub(crate) fn gateway(&self) -> Daemon {
        self.gateway_in(&[], &[])
    }

    /// The same with further options, and variables in its environment.
    pub(crate) fn gateway_in(&self, words: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let mut command = self.ensage(&[&["gateway"], words].concat());
        command.envs(variables.iter().copied());
        let mut child = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let at = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).trim().parse().unwrap();
        Daemon { child, out, at }
    }

    /// The process of the gateway that runs for this state folder.
    pub(crate) fn gateway_pid(&self) -> Option<Pid> {
        let done = self.done(&["--json", "status"]);
        (done.code == Some(0)).then(|| Pid::from_raw(i32::try_from(done.json()["pid"].as_i64()?).ok()?)).flatten()
    }
}

impl Drop for Home {
    /// A gateway that `run` started outlives its test by seconds; it does not have to.
    fn drop(&mut self) {
        if self.state().join("admin.sock").exists()
            && let Some(pid) = self.gateway_pid()
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// `ensage gateway`.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub(crate) at: SocketAddr,
}

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it printed after its first line, once it has ended, and how.
    pub(crate) fn end(mut self) -> Done {
        let status = self.child.wait().unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Done { code: status.code(), signal: status.signal(), out, err }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// All of stdout as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The last line of stderr.
    pub(crate) fn last(&self) -> &str {
        self.err.lines().last().unwrap_or("")
    }
}

impl From<Output> for Done {
    fn from(o: Output) -> Self {
        Self {
            code: o.status.code(),
            signal: o.status.signal(),
            out: String::from_utf8(o.stdout).unwrap(),
            err: String::from_utf8(o.stderr).unwrap(),
        }
    }
}

pub(crate) fn done(command: &mut Command) -> Done {
    ensage_tests::output(command).unwrap().into()
}

/// Starts it, when no raw client of this process is in the way.
pub(crate) fn start(command: &mut Command) -> Child {
    ensage_tests::spawn(command).unwrap()
}

/// With `input` on stdin.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Done {
    let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    // Who ends before it has read everything is not interested.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// A plain HTTP site on loopback that answers `hello` (to `/late` after a second, to `/slow` for ever), and keeps what it was asked.
pub(crate) struct Site {
    pub(crate) at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = log.clone();
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { at, asked }
    }

    /// The heads that arrived.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A configuration with this site, GET only, as all that `lab` may reach.
    pub(crate) fn policy(&self) -> String {
        format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n\n[enclave.lab]\nagents = [\"*\"]\n\n\
             [[enclave.lab.http]]\nhost = \"{}\"\nscheme = \"http\"\nmethods = [\"GET\"]\n",
            self.at
        )
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let slow = head.starts_with("GET /slow");
        let late = head.starts_with("GET /late");
        log.lock().unwrap().push(head);
        if late {
            std::thread::sleep(Duration::from_secs(1));
        }
        if !slow {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
            continue;
        }
        // A stream without an end: a piece every now and then until nobody wants it any more.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"5\r\nhello\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        return;
    }
}

/// Whether a file holds more than nothing.
pub(crate) fn filled(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().filter(|t| !t.trim().is_empty())
}
