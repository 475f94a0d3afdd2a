//! From an accepted connection to an agent, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ensage_endpoint::{
    catalogue::Matcher,
    identify::{Identity, Rules, owner_of},
    peers::{Peers, Unknown},
    proc::{Digests, Process, ProcessKey},
};

/// Forks of one test must not hold the sockets of another.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, says so by a byte, and waits for the other side to close; `then` is what it does before that.
fn client(then: &str) -> String {
    format!(
        "import os,socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n{then}\ns.send(b'x')\ntry: s.recv(1)\nexcept OSError: pass\n"
    )
}

fn scripts(then: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    fs::write(at.join("agent.sh"), "python3 client.py $1\n:\n").unwrap();
    fs::write(at.join("client.py"), client(then)).unwrap();
    (folder, at)
}

fn start(at: &Path, listener: &TcpListener) -> (Child, TcpStream) {
    let port = listener.local_addr().unwrap().port().to_string();
    let child = Command::new("/bin/sh").arg("agent.sh").arg(port).current_dir(at).stdin(Stdio::null()).spawn().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    // The byte comes when the client has done what it was to do.
    (&accepted).read_exact(&mut [0]).unwrap();
    (child, accepted)
}

fn whose(accepted: &TcpStream, rules: &Rules<'_>) -> Result<Identity, Unknown> {
    let peers = Peers::new().unwrap().with_budget(Duration::from_secs(20));
    let socket = peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap())?;
    owner_of(&peers, &socket, rules)
}

fn named(name: &str, script: PathBuf) -> Matcher {
    Matcher::new(name).script(move |path| Path::new(path) == script)
}

#[test]
fn a_child_of_an_agent_is_the_agents() {
    let _alone = alone();
    let (_folder, at) = scripts("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut run, accepted) = start(&at, &listener);
    let matchers = [named("mine", at.join("agent.sh"))];
    let digests = Digests::new();
    let digest = |process: &Process| digests.of(&process.key()).ok();
    let none = Rules { matchers: &matchers, registered: &|_| false, digest: &digest };
    let Identity::Agent(agent) = whose(&accepted, &none).unwrap() else { panic!() };
    assert_eq!(agent.name.as_deref(), Some("mine"));
    assert_eq!(agent.root.pid, run.id());
    assert_eq!(agent.client.process.script, Some(at.join("client.py")));
    assert_eq!(agent.client.ancestors[0].pid, run.id());

    // A session above it that was registered decides, the name stays the nearest definition's.
    let this = ProcessKey::of(std::process::id()).unwrap();
    let Identity::Agent(agent) = whose(&accepted, &Rules { registered: &|key| *key == this, ..none }).unwrap() else {
        panic!()
    };
    assert_eq!((agent.name.as_deref(), agent.root.pid), (Some("mine"), this.pid));

    // With the hash of the program pinned it still is, with another hash it is not.
    let right = digests.of(&ProcessKey::of(run.id()).unwrap()).unwrap().to_string();
    let script = at.join("agent.sh");
    for (pin, found) in [(right, true), ("00".repeat(32), false)] {
        let matchers = [named("mine", script.clone()).sha256(vec![pin])];
        let identity = whose(&accepted, &Rules { matchers: &matchers, ..none }).unwrap();
        assert_eq!(matches!(identity, Identity::Agent(_)), found, "{identity:?}");
    }
    drop(accepted);
    run.wait().unwrap();
}

#[test]
fn g1_a_socket_of_two_agents_is_ambiguous() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().canonicalize().unwrap().join("other.sh");
    fs::write(&other, "read x; :\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mine = || {
        let exe = exe.clone();
        Matcher::new("mine").exe(move |path| Path::new(path) == exe)
    };
    let one = [mine()];
    let two = [mine(), named("other", other.clone())];
    let rules = |matchers| Rules { matchers, registered: &|_| false, digest: &|_| None };
    assert!(matches!(whose(&accepted, &rules(&one)).unwrap(), Identity::Agent(_)));

    let fd = client.as_fd().try_clone_to_owned().unwrap();
    let mut child = Command::new("/bin/sh").arg(&other).stdin(Stdio::from(fd)).spawn().unwrap();
    // As one agent with a helper they are one identity; the same two processes as two agents are not.
    let Identity::Agent(agent) = whose(&accepted, &rules(&one)).unwrap() else { panic!() };
    assert_eq!(agent.client.process.pid, std::process::id());
    let Identity::AmbiguousOwners(owners) = whose(&accepted, &rules(&two)).unwrap() else { panic!() };
    assert_eq!(owners.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn g3_a_claimed_name_is_not_the_agent() {
    use std::os::unix::process::CommandExt as _;
    let _alone = alone();
    let (_folder, at) = scripts("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let agent = at.join("agent.sh");
    let mut run = Command::new("/usr/bin/env")
        .arg0(&agent)
        .args(["python3", "client.py", &port])
        .arg(&agent)
        .current_dir(&at)
        .spawn()
        .unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let matchers = [named("mine", agent)];
    let rules = Rules { matchers: &matchers, registered: &|_| false, digest: &|_| None };
    let identity = whose(&accepted, &rules).unwrap();
    assert!(matches!(identity, Identity::Unattributed(_)), "{identity:?}");
    drop(accepted);
    run.wait().unwrap();
}

#[test]
fn g6_a_daemon_that_left_its_agent_is_unattributed() {
    let _alone = alone();
    // The client forks twice and lets its parents go; the agent then ends too.
    let (_folder, at) = scripts(
        "if os.fork(): os._exit(0)\nos.setsid()\nparent = os.getpid()\nif os.fork(): os._exit(0)\nwhile os.getppid() == parent: pass",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut run, accepted) = start(&at, &listener);
    let root = ProcessKey::of(run.id());
    run.wait().unwrap();
    let matchers = [named("mine", at.join("agent.sh"))];
    let rules = Rules { matchers: &matchers, registered: &|_| false, digest: &|_| None };
    let identity = whose(&accepted, &rules).unwrap();
    let Identity::Unattributed(client) = &identity else { panic!("{identity:?}") };
    assert_eq!(client.process.script, Some(at.join("client.py")));
    assert!(client.ancestors.iter().all(|process| Some(process.key()) != root.as_ref().ok().copied()));

    // Under `run` its adopter is registered, and it stays the session's.
    let adopter = client.ancestors[0].key();
    let rules = Rules { registered: &|key| *key == adopter, ..rules };
    let Identity::Agent(agent) = whose(&accepted, &rules).unwrap() else { panic!() };
    assert_eq!((agent.name, agent.root.key()), (None, adopter));
}
