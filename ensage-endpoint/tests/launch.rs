//! What a started program notices of us: nothing.
//!
//! Each test starts this test binary again as the one that launches (the test `launcher`), so that signals,
//! terminals and exits are those of a process of its own.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::{
    fs::{self, File},
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ensage_endpoint::{
    launch::{Launch, LaunchError},
    proc::ProcessKey,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
};

/// Nothing here takes long; a machine under load may.
const DEADLINE: Duration = Duration::from_secs(60);

/// Not a test: the launching process itself. Exits with the code that `run` would.
#[test]
fn launcher() {
    let Some(program) = std::env::var_os("LAUNCH") else { return };
    let mut launch = Launch::new(program);
    launch.args = std::env::var("LAUNCH_ARGS").unwrap_or_default().split_terminator('\x1f').map(Into::into).collect();
    launch.cwd = std::env::var_os("LAUNCH_CWD").map(Into::into);
    launch.env = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("LAUNCH")).collect();
    launch.grace = Duration::from_millis(300);
    let gateway = std::env::var_os("LAUNCH_GATEWAY").map(|path| UnixStream::connect(path).unwrap());
    let caught = caught_signals();
    let before = std::env::var_os("LAUNCH_BEFORE").map(|_| Command::new("/bin/cat").spawn().unwrap());
    let code = match launch.start() {
        Ok(running) => {
            assert!(matches!(launch.start(), Err(LaunchError::Busy)));
            let ended = running.wait(gateway.as_ref().map(|gateway| gateway.as_fd())).unwrap();
            // All is as before: another one can be started, and what is not the program's was let be.
            assert_eq!(rustix::process::child_subreaper().unwrap(), None);
            assert_eq!(caught_signals(), caught);
            assert_eq!(Launch::new("/bin/true").start().unwrap().wait(None).unwrap().code(), 0);
            ended.code()
        }
        Err(err) => err.code(),
    };
    if let Some(mut before) = before {
        assert_eq!(before.try_wait().unwrap(), None);
        before.kill().unwrap();
    }
    std::process::exit(code.into());
}

fn caught_signals() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().filter(|line| line.starts_with("SigCgt") || line.starts_with("SigIgn")).collect()
}

fn launch(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["launcher", "--exact", "--nocapture", "--quiet"]);
    command.env("LAUNCH", program).env("LAUNCH_ARGS", args.join("\x1f")).stderr(Stdio::inherit());
    command
}

/// Python says when it is ready, and after SIGTERM what else happened to it before.
const NOTES: &str = "
import os, signal as s
noted = {s.SIGINT, s.SIGQUIT, s.SIGHUP, s.SIGUSR1, s.SIGUSR2, s.SIGWINCH, s.SIGTERM}
s.pthread_sigmask(s.SIG_BLOCK, noted)
print('tty', *[os.isatty(n) for n in (0, 1, 2)], 'ready', flush=True)
seen = []
while s.SIGTERM not in seen:
    seen.append(s.sigwait(noted))
    print('got', s.Signals(seen[-1]).name, flush=True)
while (more := s.sigtimedwait(noted, 0)): seen.append(more.si_signo)
print('seen', *[s.Signals(n).name for n in seen], flush=True)
os._exit(7)
";

fn exit_code(mut child: Child) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        if begun.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::yield_now();
    }
}

/// Reads until the text holds `wanted`, and returns all that came.
fn until(from: &mut (impl std::io::Read + AsFd), wanted: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let wait = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = |from: &dyn AsFd| poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&wait)).unwrap() == 1;
    while ready(from) && from.read(&mut byte).is_ok_and(|read| read == 1) {
        text.push(byte[0]);
        if String::from_utf8_lossy(&text).ends_with(wanted) {
            return String::from_utf8(text).unwrap();
        }
    }
    panic!("no {wanted:?} in {:?}", String::from_utf8_lossy(&text));
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Our end of a new terminal, and the program's.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    (ours.into(), theirs)
}

/// Starts it as the leader of a session on that terminal.
fn on_terminal(command: &mut Command, theirs: OwnedFd) -> Child {
    let end = || Stdio::from(theirs.try_clone().unwrap());
    command.stdin(end()).stdout(end()).stderr(end());
    // SAFETY: between fork and exec the closure makes two plain system calls.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    command.spawn().unwrap()
}

#[test]
fn exit_codes_are_the_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", "exit 3\n", 0o644);
    let bare = file("bare", "exit 9\n", 0o755);
    file("inside", "#!/bin/sh\nexit 4\n", 0o755);
    let lost = file("lost", "#!/no/such/interpreter\n", 0o755);
    let under = format!("{plain}/x");
    for (program, args, want) in [
        ("true", &[][..], 0),
        ("sh", &["-c", "exit 255"], 255),
        ("sh", &["-c", "kill -9 $$"], 137),
        ("sh", &["-c", "kill -TERM $$"], 143),
        ("sh", &["-c", "kill -INT $$"], 130),
        ("no-such-program-here", &[], 127),
        ("/no/such/program", &[], 127),
        (&under, &[], 127),
        (&lost, &[], 127),
        (&plain, &[], 126),
        ("/usr", &[], 126),
        (&bare, &[], 9),
    ] {
        assert_eq!(exit_code(launch(program, args).spawn().unwrap()), want, "{program} {args:?}");
    }
    // The search path is the program's, not ours.
    let at = folder.path().to_str().unwrap();
    for (program, name, value, want) in
        [("./inside", "LAUNCH_CWD", at, 4), ("true", "LAUNCH_CWD", &plain, 125), ("inside", "PATH", at, 4)]
    {
        assert_eq!(exit_code(launch(program, &[]).env(name, value).spawn().unwrap()), want, "{program} {name}");
    }
}

#[test]
fn the_three_streams_and_the_environment_pass_through() {
    let mut child = launch("/bin/sh", &["-c", "cat; echo \"$GIVEN\"; env | grep -c ^LAUNCH; echo err >&2"])
        .env("GIVEN", "a b")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"in\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(String::from_utf8(out.stdout).unwrap().ends_with("in\na b\n0\n"));
    assert_eq!(String::from_utf8(out.stderr).unwrap(), "err\n");
}

#[test]
fn signals_from_processes_are_passed_on() {
    let mut child = launch("python3", &["-c", NOTES]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    assert!(until(&mut out, "ready\n").contains("tty False False False"));
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH] {
        kill(&child, signal);
    }
    kill(&child, Signal::TERM);
    until(&mut out, "seen ");
    let line = until(&mut out, "\n");
    for name in ["SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTERM"] {
        assert_eq!(line.matches(name).count(), 1, "{name} in {line}");
    }
    assert_eq!(exit_code(child), 7);
}

const TIMES: u16 = 30;

#[test]
fn a_key_on_the_terminal_reaches_the_program_once() {
    let (mut ours, theirs) = terminal();
    let child = on_terminal(&mut launch("python3", &["-c", NOTES]), theirs);
    assert!(until(&mut ours, "ready\r\n").contains("tty True True True"));
    // Two signals that come at once are one. If one was passed on as well, it came late at least once in so many.
    for row in 0..TIMES {
        ours.write_all(b"\x03").unwrap();
        until(&mut ours, "got SIGINT\r\n");
        ours.write_all(b"\x1c").unwrap();
        until(&mut ours, "got SIGQUIT\r\n");
        let size = rustix::termios::Winsize { ws_row: 10 + row, ws_col: 44, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&ours, size).unwrap();
        until(&mut ours, "got SIGWINCH\r\n");
    }
    // Passed on behind what went before it.
    kill(&child, Signal::TERM);
    until(&mut ours, "seen ");
    let line = until(&mut ours, "\r\n");
    for name in ["SIGINT", "SIGQUIT", "SIGWINCH"] {
        assert_eq!(line.matches(name).count(), usize::from(TIMES), "{name} in {line}");
    }
    assert_eq!(exit_code(child), 7);
}

#[test]
fn a_stopped_job_can_be_continued_by_a_shell() {
    let (mut ours, theirs) = terminal();
    let mut shell = Command::new("/bin/bash");
    shell.args(["--norc", "--noprofile", "-i"]).env("PS1", "ok> ").env("TERM", "dumb");
    let launcher = launch("/bin/sh", &["-c", "echo star\"\"ted; read x; echo got $x; exit 5"]);
    for (name, value) in launcher.get_envs() {
        shell.env(name, value.unwrap());
    }
    let child = on_terminal(&mut shell, theirs);
    until(&mut ours, "ok> ");
    let exe = std::env::current_exe().unwrap();
    ours.write_all(format!("{} launcher --exact --nocapture --quiet\n", exe.display()).as_bytes()).unwrap();
    until(&mut ours, "started\r\n");
    ours.write_all(b"\x1a").unwrap();
    let text = until(&mut ours, "ok> ");
    assert!(text.contains("Stopped"), "{text}");
    ours.write_all(b"fg\n").unwrap();
    until(&mut ours, "--quiet\r\n");
    ours.write_all(b"word\n").unwrap();
    until(&mut ours, "got word\r\n");
    until(&mut ours, "ok> ");
    ours.write_all(b"echo code=$?\n").unwrap();
    until(&mut ours, "code=5\r\n");
    ours.write_all(b"exit 0\n").unwrap();
    assert_eq!(exit_code(child), 0);
}

#[test]
fn what_was_ignored_or_blocked_stays_so() {
    let mut command = launch("/bin/grep", &["Sig", "/proc/self/status"]);
    // SAFETY: between fork and exec the closure makes plain system calls; all zeroes is the empty set.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::signal(libc::SIGINT, libc::SIG_IGN);
            let mut set = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            Ok(())
        });
    }
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let value = |name: &str| {
        let at = text.find(name).unwrap() + name.len();
        u64::from_str_radix(text[at..].split_whitespace().next().unwrap(), 16).unwrap()
    };
    assert_eq!(value("SigIgn:") & 0b11, 0b11, "{text}");
    assert_eq!(value("SigBlk:"), 1 << (libc::SIGUSR1 - 1), "{text}");
}

#[test]
fn g6_twenty_orphans_are_adopted_and_reaped() {
    // It ends only when the launcher has no child but this one: each orphan came to it and was reaped.
    let script = "
import os
for n in range(20):
    if os.fork() == 0:
        first = os.getpid()
        if os.fork() == 0:
            while os.getppid() == first: os.sched_yield()
            open('adopted', 'a').write('%d\\n' % os.getppid())
            os._exit(0)
        os._exit(0)
for n in range(20): os.wait()
def children():
    mine = 0
    for pid in os.listdir('/proc'):
        try: mine += pid.isdigit() and int(open('/proc/%s/stat' % pid).read().rsplit(')', 1)[1].split()[1]) == os.getppid()
        except OSError: pass
    return mine
while len(open('adopted').readlines()) < 20 or children() > 1: pass
print('parents', set(open('adopted').read().split()) == {str(os.getppid())}, flush=True)
";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("adopted"), "").unwrap();
    let mut child =
        launch("python3", &["-c", script]).env("LAUNCH_CWD", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    until(&mut child.stdout.take().unwrap(), "parents True\n");
    assert_eq!(exit_code(child), 0);
}

/// Two that ignore SIGTERM, one of them an orphan in a session of its own; their pids go into a file.
const STUBBORN: &str = "
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
os.write(1, b'pid %d\\n' % os.getpid())
while True: signal.pause()
";

fn gone(key: &ProcessKey) -> bool {
    ensage_endpoint::proc::PidFd::open(key).is_err()
}

fn pids(out: &mut (impl std::io::Read + AsFd)) -> Vec<ProcessKey> {
    (0..2)
        .map(|_| {
            until(out, "pid ");
            ProcessKey::of(until(out, "\n").trim().parse().unwrap()).unwrap()
        })
        .collect()
}

#[test]
fn a_dead_gateway_ends_the_program_and_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    let listener = UnixListener::bind(&path).unwrap();
    let mut child = launch("python3", &["-c", STUBBORN])
        .env("LAUNCH_GATEWAY", &path)
        .env("LAUNCH_BEFORE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (gateway, _) = listener.accept().unwrap();
    let mut out = child.stdout.take().unwrap();
    let keys = pids(&mut out);
    assert!(keys.iter().all(|key| !gone(key)));
    drop(gateway);
    assert_eq!(exit_code(child), 125);
    assert!(keys.iter().all(gone));
}

#[test]
fn a_program_that_ends_in_time_is_not_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    let listener = UnixListener::bind(&path).unwrap();
    let mut child =
        launch("python3", &["-c", NOTES]).env("LAUNCH_GATEWAY", &path).stdout(Stdio::piped()).spawn().unwrap();
    let (gateway, _) = listener.accept().unwrap();
    let mut out = child.stdout.take().unwrap();
    until(&mut out, "ready\n");
    drop(gateway);
    until(&mut out, "seen SIGTERM\n");
    assert_eq!(exit_code(child), 125);
}

#[test]
fn a_killed_launcher_takes_the_program_along() {
    let mut child = launch("python3", &["-c", NOTES]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    until(&mut out, "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
    until(&mut out, "seen SIGTERM\n");
}
