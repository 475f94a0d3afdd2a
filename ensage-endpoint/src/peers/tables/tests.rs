use std::{
    io::{IoSlice, Read as _},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;
use crate::peers::census::News;

/// A process that sleeps until it is told something.
struct Sleeper {
    child: Child,
    line: UnixStream,
}

impl Sleeper {
    /// It takes what is passed to it, says so and sleeps on.
    fn start() -> Self {
        let (line, own) = UnixStream::pair().unwrap();
        let text = "import socket\ns=socket.socket(fileno=0)\ns.send(b'x')\nheld=[]\nwhile True:\n b,f,_,_=socket.recv_fds(s,1,1)\n if not b: break\n held+=f\n s.send(b'x')\n";
        let mut command = Command::new("/usr/bin/env");
        command.args(["python3", "-c", text]).stdin(Stdio::from(OwnedFd::from(own)));
        let mut sleeper = Self { child: command.spawn().unwrap(), line };
        sleeper.heard();
        sleeper
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn heard(&mut self) {
        self.line.read_exact(&mut [0]).unwrap();
        self.sleeps();
    }

    /// Until its clock stands.
    fn sleeps(&self) {
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        while state().rsplit(')').next().unwrap().split_whitespace().next() != Some("S") {
            std::thread::yield_now();
        }
    }

    fn take(&mut self, socket: &TcpStream) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut buffer = SendAncillaryBuffer::new(&mut space);
        let files = [socket.as_fd()];
        assert!(buffer.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&self.line, &[IoSlice::new(b"x")], &mut buffer, SendFlags::empty()).unwrap();
        self.heard();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connected() -> (TcpStream, TcpStream, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let inode = u32::try_from(rustix::fs::fstat(&client).unwrap().st_ino).unwrap();
    (client, listener.accept().unwrap().0, inode)
}

fn look(tables: &mut Tables, inodes: &[u32]) -> HashMap<u32, Vec<Holder>> {
    tables.holders(inodes, &Hints::default(), Instant::now() + Duration::from_secs(20)).unwrap()
}

/// Whether a process is found to hold it.
fn holds(tables: &mut Tables, inode: u32, pid: u32) -> bool {
    look(tables, &[inode])[&inode].iter().any(|holder| holder.pid == pid)
}

fn known(tables: &Tables, pid: u32) -> bool {
    tables.processes.get(&pid).is_some_and(Option::is_some)
}

/// Looks until it is known; of a look at all others it may be left out.
fn learn(tables: &mut Tables, inode: u32, pid: u32) {
    let until = Instant::now() + Duration::from_secs(20);
    while !known(tables, pid) {
        assert!(Instant::now() < until, "{pid} is not remembered");
        look(tables, &[inode]);
    }
}

#[test]
fn g1_a_socket_that_was_passed_on_is_found_with_whoever_slept_before() {
    let (client, _accepted, inode) = connected();
    let (mut one, other) = (Sleeper::start(), Sleeper::start());
    let mut tables = Tables::default();
    learn(&mut tables, inode, one.pid());
    learn(&mut tables, inode, other.pid());
    assert!(!holds(&mut tables, inode, one.pid()));
    one.take(&client);
    assert!(holds(&mut tables, inode, one.pid()));
    assert!(holds(&mut tables, inode, std::process::id()));
    assert!(!holds(&mut tables, inode, other.pid()));
    // And while it sleeps on.
    learn(&mut tables, inode, one.pid());
    assert!(known(&tables, one.pid()) && holds(&mut tables, inode, one.pid()));
}

#[test]
fn who_has_not_run_is_not_read_again() {
    let (_client, _accepted, inode) = connected();
    let sleeper = Sleeper::start();
    let mut tables = Tables::default();
    learn(&mut tables, inode, sleeper.pid());
    // It never held this.
    let table = tables.processes.get_mut(&sleeper.pid()).unwrap().as_mut().unwrap();
    table.sockets = vec![(inode, 7)].into();
    let clock = table.clock;
    assert_eq!(ran(sleeper.pid()), Some(clock));
    let found = look(&mut tables, &[inode]);
    assert!(found[&inode].contains(&Holder { pid: sleeper.pid(), file: Some(7) }));
    // One that has run is.
    tables.processes.get_mut(&sleeper.pid()).unwrap().as_mut().unwrap().clock = clock - 1;
    assert!(!holds(&mut tables, inode, sleeper.pid()));
    // So is everybody where clocks tell nothing.
    learn(&mut tables, inode, sleeper.pid());
    tables.processes.get_mut(&sleeper.pid()).unwrap().as_mut().unwrap().sockets = vec![(inode, 7)].into();
    tables.exact = false;
    assert!(!holds(&mut tables, inode, sleeper.pid()));
    assert!(!known(&tables, sleeper.pid()));
}

#[test]
fn g1_a_process_that_began_since_the_last_look_is_looked_at() {
    let (client, _accepted, inode) = connected();
    let mut tables = Tables::default();
    look(&mut tables, &[inode]);
    for _ in 0..20 {
        let stdin = Stdio::from(client.as_fd().try_clone_to_owned().unwrap());
        let mut child = Command::new("/bin/cat").stdin(stdin).stdout(Stdio::null()).spawn().unwrap();
        assert!(holds(&mut tables, inode, child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!holds(&mut tables, inode, child.id()));
        assert!(!tables.processes.contains_key(&child.id()));
    }
}

#[test]
fn g2_a_pid_that_is_another_process_by_now_is_looked_at() {
    let (_client, _accepted, inode) = connected();
    let sleeper = Sleeper::start();
    let pid = sleeper.pid();
    // As if the pid had been that of another, which held the socket and ran to the nanosecond as long.
    let plant = |tables: &mut Tables, life: u64| {
        let table = Table { clock: ran(pid).unwrap(), sockets: vec![(inode, 7)].into(), life };
        tables.processes.insert(pid, Some(table));
    };
    let own = life(pid).unwrap();
    let mut tables = Tables::default();
    look(&mut tables, &[inode]);
    plant(&mut tables, own - 1);
    tables.census = Census::new();
    assert!(!holds(&mut tables, inode, pid), "after a list");
    // The twin: it is the same.
    plant(&mut tables, own);
    tables.census = Census::new();
    assert!(holds(&mut tables, inode, pid));
    // Its number was given anew since.
    let born = tables.was_given(pid);
    assert!(born.contains(&pid), "{born:?}");
    assert!(!known(&tables, pid) && !holds(&mut tables, inode, pid));
}

impl Tables {
    /// As if the number of a process had been given since the last time.
    fn was_given(&mut self, pid: u32) -> Vec<u32> {
        self.census.give(pid);
        match self.census.news().unwrap() {
            News::Born(born) => {
                born.iter().for_each(|pid| self.forget(*pid));
                born
            }
            News::All(_) => panic!("too slow"),
        }
    }
}

#[test]
fn threads_of_the_kernel_are_left_out_and_nobody_else() {
    let (_client, _accepted, inode) = connected();
    let mut tables = Tables::default();
    look(&mut tables, &[inode]);
    let is_kernel = |pid: u32| Stat::read(pid).is_ok_and(|stat| stat.is_kernel_thread());
    assert!(tables.kernel.iter().all(|pid| is_kernel(*pid)));
    // A container sees none.
    if let Some((pid, _)) = crate::proc::lives().unwrap().into_iter().find(|(pid, _)| is_kernel(*pid)) {
        learn(&mut tables, inode, pid);
        assert!(tables.kernel.contains(&pid));
        tables.census = Census::new();
        look(&mut tables, &[inode]);
        assert!(tables.kernel.contains(&pid));
        tables.processes.get_mut(&pid).unwrap().as_mut().unwrap().life -= 1;
        tables.census = Census::new();
        tables.renew().unwrap();
        assert!(!tables.kernel.contains(&pid));
    }
}

#[test]
fn no_more_is_remembered_than_there_is_room_for() {
    let (_client, _accepted, inode) = connected();
    let sleepers = [Sleeper::start(), Sleeper::start()];
    let mut tables = Tables::default();
    sleepers.iter().for_each(|sleeper| learn(&mut tables, inode, sleeper.pid()));
    let count = |tables: &Tables| tables.processes.values().flatten().map(|table| table.sockets.len()).sum::<usize>();
    assert_eq!(tables.sockets, count(&tables));
    tables.forget(sleepers[0].pid());
    assert_eq!(tables.sockets, count(&tables));
    // However many others are forgotten meanwhile.
    tables.sockets = SOCKETS_MAX.saturating_mul(2);
    look(&mut tables, &[inode]);
    assert!(!known(&tables, sleepers[0].pid()));
    assert!(tables.processes.contains_key(&sleepers[0].pid()));
}
