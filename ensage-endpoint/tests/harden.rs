//! What hardening does to a process; alone in its binary, since it can't be undone.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use ensage_endpoint::{
    harden::{not_dumpable, raise_nofile},
    peers::{Peers, unix_peer},
    proc::Process,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit};

#[test]
fn a_hardened_process_leaves_no_core_and_no_door() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: hard }).unwrap();
    assert_eq!(raise_nofile().unwrap(), hard);
    assert_eq!(getrlimit(Resource::Nofile).current, hard);

    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    not_dumpable().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });

    // It still finds out who is at the other end.
    let this = Process::this().unwrap();
    assert!(this.exe_path().is_some());
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let _client = UnixStream::connect(folder.path().join("socket")).unwrap();
    assert_eq!(unix_peer(listener.accept().unwrap().0).unwrap(), this);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, from) = listener.accept().unwrap();
    let peers = Peers::new().unwrap();
    let socket = peers.socket(from, accepted.local_addr().unwrap()).unwrap();
    assert_eq!(peers.owners(&socket).unwrap(), [this]);
}
