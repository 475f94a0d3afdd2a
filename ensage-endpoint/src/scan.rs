//! The agents that run now, and what they hold open.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use crate::{
    catalogue::{Verdict, judge},
    identify::Rules,
    peers::{ESTABLISHED, Entry, LISTEN, Unknown, dump, sockets},
    proc::{ANCESTORS_MAX, Process, ProcessKey, Table},
};

/// One agent root that runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its names by definition: one, several if it is ambiguous, none if it only is a registered root.
    pub names: Vec<Arc<str>>,
    /// The root itself.
    pub process: Process,
    /// The nearest agent among its ancestors.
    pub parent: Option<ProcessKey>,
    /// It and its descendants, as far as no agent of their own.
    pub members: Vec<ProcessKey>,
    /// Where they listen.
    pub listening: Vec<SocketAddr>,
    /// What they have connected.
    pub connections: Vec<Connection>,
}

/// A TCP connection that a process of an agent opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// The other end.
    pub server: SocketAddr,
    /// Its own end.
    pub local: SocketAddr,
    /// Who holds it (the lowest pid, if several).
    pub pid: u32,
}

/// Looks at every process once. Processes of other network namespaces are seen, their sockets are not; nor are
/// the files of processes that the kernel hides from us.
///
/// # Errors
/// [`Unknown::Kernel`] if `/proc` or the sockets can't be listed; what one process hides is left out.
pub fn scan(rules: &Rules<'_>) -> Result<Vec<Running>, Unknown> {
    let table = Table::read().map_err(Unknown::Kernel)?;
    let mut found: HashMap<ProcessKey, Running> = HashMap::new();
    for key in table.processes() {
        // A process that exits or changes during the pass is one for the next.
        let Ok(process) = Process::read_key(&key) else { continue };
        let names = match judge(&process, rules.matchers, rules.digest) {
            Verdict::Nothing => Vec::new(),
            Verdict::Agent(name) => vec![name],
            Verdict::Ambiguous(names) => names,
        };
        if !names.is_empty() || (rules.registered)(&key) {
            let (members, listening, connections) = (Vec::new(), Vec::new(), Vec::new());
            found.insert(key, Running { names, process, parent: None, members, listening, connections });
        }
    }
    for key in found.keys().copied().collect::<Vec<_>>() {
        let above = table.parent(&key).and_then(|parent| nearest(&table, &found, parent));
        if let Some(agent) = found.get_mut(&key) {
            agent.parent = above;
        }
    }
    for key in table.processes() {
        if let Some(agent) = nearest(&table, &found, key).and_then(|root| found.get_mut(&root)) {
            agent.members.push(key);
        }
    }
    hold(&mut found)?;
    let mut running: Vec<Running> = found.into_values().collect();
    running.sort_by_key(|agent| (agent.process.start_time, agent.process.pid));
    Ok(running)
}

fn nearest(table: &Table, found: &HashMap<ProcessKey, Running>, from: ProcessKey) -> Option<ProcessKey> {
    let up = std::iter::successors(Some(from), |key| table.parent(key)).take(ANCESTORS_MAX);
    up.into_iter().find(|key| found.contains_key(key))
}

/// Gives each agent what its members hold open.
fn hold(found: &mut HashMap<ProcessKey, Running>) -> Result<(), Unknown> {
    if found.is_empty() {
        return Ok(());
    }
    let all = dump()?;
    let by_inode: HashMap<u32, &Entry> = all.iter().map(|entry| (entry.inode, entry)).collect();
    let listeners: Vec<SocketAddr> =
        all.iter().filter(|entry| entry.state == LISTEN).map(|entry| entry.local).collect();
    for agent in found.values_mut() {
        agent.members.sort_unstable();
        let mut listening = BTreeSet::new();
        let mut connections: HashMap<(SocketAddr, SocketAddr), Connection> = HashMap::new();
        for member in &agent.members {
            for entry in sockets(member.pid).iter().filter_map(|inode| by_inode.get(inode)) {
                if entry.state == LISTEN {
                    listening.insert(entry.local);
                } else if entry.state == ESTABLISHED && !accepted(entry, &listeners) {
                    let (server, local, pid) = (entry.remote, entry.local, member.pid);
                    connections.entry((server, local)).or_insert(Connection { server, local, pid });
                }
            }
        }
        agent.listening = listening.into_iter().collect();
        agent.connections = connections.into_values().collect();
        agent.connections.sort_unstable();
    }
    Ok(())
}

/// Whether the socket is the server's end: it has the port of a listener on its address or on all addresses.
fn accepted(entry: &Entry, listeners: &[SocketAddr]) -> bool {
    listeners.iter().any(|listener| {
        listener.port() == entry.local.port() && (listener.ip().is_unspecified() || listener.ip() == entry.local.ip())
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{BufRead as _, BufReader},
        net::TcpListener,
        process::{Command, Stdio},
    };

    use super::*;

    const SCRIPT: &str = "
import socket, sys
c = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
l = socket.create_server(('127.0.0.1', 0))
i = socket.create_connection(l.getsockname())
a = l.accept()[0]
print(l.getsockname()[1], i.getsockname()[1], c.getsockname()[1], flush=True)
sys.stdin.read()
";

    #[test]
    fn g10_an_agent_is_found_with_what_it_and_its_children_hold_open() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let agent = folder.join("agent.sh");
        let tool = folder.join("tool.py");
        fs::write(&agent, "python3 tool.py $1; :\n").unwrap();
        fs::write(&tool, SCRIPT).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let mut run = Command::new("/bin/sh")
            .arg("agent.sh")
            .arg(to.port().to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();

        let path = agent.to_str().unwrap().to_owned();
        let matchers = [crate::catalogue::Matcher::new("mine").script(move |script| script == path)];
        let this = ProcessKey::of(std::process::id()).unwrap();
        let none = Rules { matchers: &matchers, registered: &|_| false, digest: &|_| None };
        let found = scan(&none).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].names, ["mine".into()]);
        assert_eq!(found[0].process.pid, run.id());
        assert_eq!(found[0].parent, None);
        assert!(found[0].members.len() >= 2, "{:?}", found[0].members);
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(found[0].listening, [loopback(ports[0])]);
        let mut got: Vec<_> = found[0].connections.iter().map(|c| (c.server, c.local)).collect();
        let mut want = vec![(to, loopback(ports[2])), (loopback(ports[0]), loopback(ports[1]))];
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want);
        assert!(found[0].connections.iter().all(|c| c.pid != run.id()));

        // A registered root above it is its parent, and has no part in what it holds.
        let found = scan(&Rules { registered: &|key| *key == this, ..none }).unwrap();
        let [root, mine] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((root.process.pid, root.names.len()), (this.pid, 0));
        assert_eq!(mine.parent, Some(this));
        assert!(root.listening.contains(&to) && !root.listening.contains(&loopback(ports[0])));
        drop(run.stdin.take());
        run.wait().unwrap();
    }
}
