//! Sockets that are passed to a process; alone in its binary, which is the process itself: it has to be the first thing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use ensage_endpoint::activation::{At, take};

const INSIDE: &str = "ENSAGE_ACTIVATION_INSIDE";

/// As test runners call it.
const NAME: &str = "passed_sockets_are_taken_once_and_go_no_further";

/// Runs as the passed-to process, and as the one that passes.
fn main() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let asked = |what: &str| std::env::args().any(|argument| argument == what);
    if asked("--list") {
        if !asked("--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x LISTEN_PIDFDID=7; \
                  export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES LISTEN_PIDFDID; exec \"$0\" 3<&0 </dev/null";
    let out = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("{at}\n"));
    println!("test {NAME} ... ok");
}

fn inside() {
    let passed = take().unwrap();
    let [one] = &passed[..] else { panic!("{passed:?}") };
    let At::Tcp(at) = &one.at else { panic!("{passed:?}") };
    println!("{at}");
    // Nobody whom this process starts hears of it, or has it.
    let script = "test -z \"$LISTEN_PID$LISTEN_FDS$LISTEN_FDNAMES$LISTEN_PIDFDID\" && ! test -e /proc/self/fd/3";
    assert!(Command::new("/bin/sh").args(["-c", script]).status().unwrap().success());
    // There is nothing left to take.
    assert!(take().unwrap().is_empty());
}
