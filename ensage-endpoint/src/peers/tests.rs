use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Command, Stdio},
};

use super::*;

/// Gives the socket to a child as its standard input (so a second process holds it), the child waits for its end.
fn share(stream: &TcpStream) -> Child {
    Command::new("/bin/cat")
        .stdin(Stdio::from(stream.as_fd().try_clone_to_owned().unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn pair(listen: &str) -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind(listen).unwrap();
    let to = listener.local_addr().unwrap();
    let client = TcpStream::connect(SocketAddr::from((to.ip().to_canonical(), to.port()))).unwrap();
    let (accepted, from) = listener.accept().unwrap();
    (client, accepted, from)
}

/// Other tests of this process fork all the time, and on a loaded machine a fork may wait long for its exec.
fn ask(peers: &Peers, accepted: &TcpStream) -> Result<Vec<Process>, Unknown> {
    let socket = peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap())?;
    loop {
        let owners = peers.owners(&socket)?;
        if !forking(&owners) {
            return Ok(owners);
        }
    }
}

/// A first look.
fn look_for(inodes: &[u32], hints: &Hints) -> HashMap<u32, Vec<Holder>> {
    Tables::default().holders(inodes, hints, Instant::now() + Duration::from_secs(20)).unwrap()
}

fn peers() -> Peers {
    // A loaded machine must not turn a test of who into a test of how fast.
    Peers::new().unwrap().with_budget(Duration::from_secs(20))
}

#[test]
fn the_owner_of_a_connection_is_found() {
    let peers = peers();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let (client, accepted, _) = pair(listen);
        let socket = peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap();
        assert_eq!(socket.uid, rustix::process::geteuid().as_raw());
        assert_ne!(socket.cookie, 0);
        let this = Process::this().unwrap();
        assert_eq!(ask(&peers, &accepted).unwrap(), std::slice::from_ref(&this), "{listen}");
        drop(client);
    }
}

#[test]
fn g9_a_v4_mapped_client_is_found() {
    let peers = peers();
    // An IPv6 client of an IPv4 server: its own socket is AF_INET6 with mapped addresses.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("::ffff:127.0.0.1", port)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(ask(&peers, &accepted).unwrap()[0].pid, std::process::id());
    // And the accepted side of an IPv6 listener reports mapped addresses for an IPv4 client.
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) => address,
    };
    let (from, to) = (mapped(accepted.peer_addr().unwrap()), mapped(accepted.local_addr().unwrap()));
    assert!(from.is_ipv6());
    let inode = rustix::fs::fstat(&client).unwrap().st_ino;
    assert_eq!(u64::from(peers.socket(from, to).unwrap().inode), inode);
}

#[test]
fn g1_all_holders_of_a_shared_socket_are_found() {
    let peers = peers();
    let (client, accepted, _) = pair("127.0.0.1:0");
    let child = share(&client);
    let mut owners: Vec<u32> = ask(&peers, &accepted).unwrap().iter().map(|owner| owner.pid).collect();
    owners.sort_unstable();
    let mut want = [std::process::id(), child.id()];
    want.sort_unstable();
    assert_eq!(owners, want);
    // After the connector closed its own, the other holder is the owner.
    drop(client);
    let owners: Vec<u32> = ask(&peers, &accepted).unwrap().iter().map(|owner| owner.pid).collect();
    assert_eq!(owners, [child.id()]);
    end(child);
}

#[test]
fn a_listener_on_the_clients_address_is_not_the_client() {
    let peers = peers();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(matches!(peers.socket(at, nowhere), Err(Unknown::NoSocket)));
    assert!(matches!(peers.socket(nowhere, at), Err(Unknown::NoSocket)));
    assert!(matches!(peers.socket("[::1]:1".parse().unwrap(), at), Err(Unknown::NoSocket)));
}

#[test]
fn a_closed_client_is_orphaned_and_never_root() {
    let peers = peers();
    let (client, accepted, from) = pair("127.0.0.1:0");
    let to = accepted.local_addr().unwrap();
    drop(client);
    let answer = peers.socket(from, to);
    assert!(matches!(answer, Err(Unknown::Orphaned | Unknown::NoSocket)), "{answer:?}");
}

#[test]
fn g2_exit_after_connect_is_unknown_or_right_but_never_wrong() {
    let peers = peers();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut right = 0;
    for _ in 0..200 {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3");
        let mut child = Command::new("/bin/bash").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        match ask(&peers, &accepted) {
            Ok(owners) => {
                assert_eq!(owners.iter().map(|owner| owner.pid).collect::<Vec<_>>(), [child.id()]);
                right += 1;
            }
            Err(Unknown::NoSocket | Unknown::Orphaned | Unknown::NoHolder) => {}
            Err(Unknown::Process(ProcError::Gone { .. })) => {}
            Err(err) => panic!("{err:?}"),
        }
        let mut text = String::new();
        accepted.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
        child.wait().unwrap();
    }
    eprintln!("{right} of 200 found");
}

#[test]
fn a_search_without_time_is_unknown() {
    let peers = Peers::new().unwrap().with_budget(Duration::ZERO);
    let (_client, accepted, _) = pair("127.0.0.1:0");
    assert!(matches!(ask(&peers, &accepted), Err(Unknown::TooSlow(_))));
}

#[test]
fn many_threads_may_ask_at_once() {
    let peers = peers();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let (client, accepted, from) = pair("127.0.0.1:0");
                    let socket = peers.socket(from, accepted.local_addr().unwrap()).unwrap();
                    let inode = rustix::fs::fstat(&client).unwrap().st_ino;
                    assert_eq!(u64::from(socket.inode), inode);
                }
            });
        }
    });
}

#[test]
fn the_dump_has_listeners_and_connections() {
    let (client, accepted, from) = pair("127.0.0.1:0");
    let all = diag::dump().unwrap();
    let to = accepted.local_addr().unwrap();
    assert!(all.iter().any(|entry| entry.local == from && entry.remote == to && entry.state == diag::ESTABLISHED));
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let at = listener.local_addr().unwrap();
    let all = diag::dump().unwrap();
    assert!(all.iter().any(|entry| entry.local == at && entry.state == diag::LISTEN), "{at}");
    drop((client, accepted));
}

#[test]
fn a_unix_client_is_the_one_that_connected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(unix_peer(&accepted).unwrap(), Process::this().unwrap());
    assert_eq!(unix_peer_by_pid(accepted.as_fd()).unwrap(), Process::this().unwrap());
    drop(client);
}

#[test]
fn a_unix_client_that_has_gone_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // The connection outlives the process that made it: a holder of its file descriptor is not who connected.
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b'x')";
    let mut child = Command::new("/usr/bin/env").args(["python3", "-c", script]).arg(&path).spawn().unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let mut text = Vec::new();
    accepted.read_to_end(&mut text).unwrap();
    child.wait().unwrap();
    assert!(matches!(unix_peer(&accepted), Err(Unknown::Orphaned)));
}

#[test]
fn a_child_between_fork_and_exec_is_waited_for() {
    let peers = peers();
    let (client, accepted, from) = pair("127.0.0.1:0");
    let socket = peers.socket(from, accepted.local_addr().unwrap()).unwrap();
    // Once is enough: on a loaded machine the child, or one of another test, may wait longer for its exec.
    let found = (0..50).any(|_| {
        let (mut told, tell) = UnixStream::pair().unwrap();
        let mut command = Command::new("/bin/true");
        // SAFETY: between fork and exec the closure makes plain system calls only.
        unsafe {
            command.pre_exec(move || {
                rustix::io::write(&tell, b"x")?;
                rustix::io::read(&tell, &mut [0_u8])?;
                Ok(())
            });
        }
        std::thread::scope(|scope| {
            let spawned = scope.spawn(move || command.spawn().unwrap().wait().unwrap());
            told.read_exact(&mut [0]).unwrap();
            let look = look_for(&[socket.inode], &Hints::default());
            let both = verified(&socket, &look[&socket.inode]).unwrap();
            assert!(both.len() >= 2 && forking(&both), "{both:?}");
            told.write_all(b"x").unwrap();
            let owners = settled(&socket, both).unwrap();
            spawned.join().unwrap();
            owners.iter().map(|owner| owner.pid).collect::<Vec<_>>() == [std::process::id()]
        })
    });
    assert!(found);
    drop(client);
}

#[test]
fn several_are_found_in_one_look() {
    let peers = peers();
    let pairs: Vec<_> = (0..3).map(|_| pair("127.0.0.1:0")).collect();
    let child = share(&pairs[1].0);
    let sockets: Vec<_> = pairs
        .iter()
        .map(|(_, accepted, _)| peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap())
        .collect();
    let inodes: Vec<_> = sockets.iter().map(|socket| socket.inode).chain([1]).collect();
    let own = std::process::id();
    for asked in [&inodes[..], &inodes[1..2]] {
        let look = look_for(asked, &Hints::default());
        assert_eq!(look.len(), asked.len());
        for (inode, who) in look {
            let mut pids: Vec<_> = who.iter().map(|holder| holder.pid).collect();
            // A child that another test is just starting has what this process has.
            pids.retain(|pid| [own, child.id()].contains(pid));
            pids.sort_unstable();
            let mut want = match inodes.iter().position(|known| *known == inode).unwrap() {
                1 => vec![own, child.id()],
                3 => vec![],
                _ => vec![own],
            };
            want.sort_unstable();
            assert_eq!(pids, want);
            for holder in &who {
                assert!(!pids.contains(&holder.pid) || holders::holds(*holder, inode));
                assert!(!holders::holds(Holder { file: Some(0), pid: own }, 1));
            }
        }
    }
    // By another file than it was seen with, and by none.
    let socket = sockets[0].inode;
    assert!(holders::holds(Holder { pid: own, file: Some(0) }, socket));
    let (client, ..) = &pairs[0];
    let moved = client.try_clone().unwrap();
    let look = look_for(&[socket], &Hints::default());
    let seen = look[&socket].iter().copied().find(|holder| holder.pid == own).unwrap();
    drop(pairs);
    assert!(holders::holds(seen, socket));
    drop(moved);
    assert!(!holders::holds(seen, socket));
    end(child);
}

#[test]
fn g8_the_holders_of_many_are_found_in_one_look() {
    let peers = peers();
    let pairs: Vec<_> = (0..20).map(|_| pair("127.0.0.1:0")).collect();
    let sockets: Vec<_> = pairs
        .iter()
        .map(|(_, accepted, _)| peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap())
        .collect();
    let child = share(&pairs[7].0);
    let found = peers.holders(&sockets).unwrap();
    assert_eq!(found.len(), sockets.len());
    for (n, pids) in found.iter().enumerate() {
        assert!(pids.contains(&std::process::id()), "{n}");
        assert_eq!(pids.contains(&child.id()), n == 7, "{n}");
    }
    let chain = peers.chain(child.id()).unwrap();
    assert_eq!((chain.process.pid, chain.ancestors[0].pid), (child.id(), std::process::id()));
    drop(pairs);
    let found = peers.holders(&sockets).unwrap();
    assert!(found.iter().enumerate().all(|(n, pids)| !pids.contains(&std::process::id()) || n == 7));
    end(child);
}

#[test]
fn who_was_found_before_is_found_again_without_a_search_and_so_is_whoever_shares_it() {
    use std::os::fd::AsRawFd as _;
    let peers = peers();
    let own = std::process::id();
    let mut pairs: Vec<_> = (0..40).map(|_| pair("127.0.0.1:0")).collect();
    // By numbers that follow each other, which other tests do not get.
    for (client, ..) in &mut pairs {
        *client = rustix::io::fcntl_dupfd_cloexec(&*client, 500).unwrap().into();
    }
    let socket = |n: usize| {
        let accepted = &pairs[n].1;
        peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap().inode
    };
    let file = |n: usize| u32::try_from(pairs[n].0.as_raw_fd()).unwrap();
    let mut found = std::collections::HashMap::from([(socket(20), Vec::new())]);
    // Close by, before and behind; too far away; of a process that has gone.
    for (from, held) in [(file(20), 1), (file(20) + 8, 1), (file(20) + 9, 0), (file(20) - 16, 1), (file(20) - 17, 0)] {
        found.values_mut().for_each(Vec::clear);
        assert_eq!(holders::close_by(Holder { pid: own, file: Some(from) }, &mut found), held, "{from}");
        assert_eq!(found[&socket(20)].len(), held);
    }
    assert_eq!(holders::close_by(Holder { pid: u32::MAX, file: Some(3) }, &mut found), 0);
    // One after the other, further than it looks behind the first.
    let mut all: std::collections::HashMap<_, _> = (0..40).map(|n| (socket(n), Vec::new())).collect();
    let held = holders::close_by(Holder { pid: own, file: Some(file(0)) }, &mut all);
    assert_eq!(held, 40);
    // The hint is about one process, and not about who else holds it.
    let child = share(&pairs[20].0);
    let hints = Hints { seen: vec![Holder { pid: own, file: Some(file(20)) }], never: None };
    let mut pids: Vec<_> = look_for(&[socket(20)], &hints)[&socket(20)].iter().map(|h| h.pid).collect();
    pids.retain(|pid| [own, child.id()].contains(pid));
    pids.sort_unstable();
    let mut want = [own, child.id()];
    want.sort_unstable();
    assert_eq!(pids, want);
    // One that is said to hold none is not looked at.
    let never = Hints { never: Some(own), ..hints };
    let look = look_for(&[socket(20)], &never);
    assert!(look[&socket(20)].iter().all(|holder| holder.pid != own));
    assert!(look[&socket(20)].iter().any(|holder| holder.pid == child.id()));
    end(child);
}

#[test]
fn nobody_is_found_in_a_process_without_clients() {
    let peers = peers().elsewhere();
    let (client, accepted, _) = pair("127.0.0.1:0");
    let socket = peers.socket(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap();
    // But for a child that another test is just starting.
    assert!(peers.owners(&socket).map_or(true, |owners| owners.iter().all(|o| o.pid != std::process::id())));
    drop(client);
}
