use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use super::*;

/// A process that waits until its standard input ends, so no test needs a pause.
pub(crate) struct Waiting(pub(crate) Child);

impl Waiting {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        loop {
            match command.spawn() {
                Ok(child) => return Self(child),
                // Another test forked while the program was being written; its child closes the file on exec.
                Err(err) if err.raw_os_error() == Some(libc::ETXTBSY) => std::thread::yield_now(),
                Err(err) => panic!("{err}"),
            }
        }
    }

    fn process(&self) -> Process {
        Process::read(self.0.id()).unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Copies `cat`, which waits for the end of its input, to a name of our choice.
fn program(folder: &Path, name: &str) -> PathBuf {
    let to = folder.join(name);
    fs::copy("/bin/cat", &to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    to.canonicalize().unwrap()
}

#[test]
fn a_process_is_read_whole() {
    let this = Process::this().unwrap();
    assert_eq!(this.pid, std::process::id());
    assert_eq!(this.exe.as_ref().unwrap().path, std::env::current_exe().unwrap());
    assert_eq!(this.exe.as_ref().unwrap().file, ExeFile::Present);
    assert_eq!(this.ppid, std::os::unix::process::parent_id());
    assert_eq!(this.uid, rustix::process::geteuid().as_raw());
    assert_eq!(this.script, None);
    let age = SystemTime::now().duration_since(this.started).unwrap();
    assert!(age < Duration::from_secs(3600), "{age:?}");
    assert_eq!(Process::read(this.pid).unwrap(), this);
    let id = Command::new("id").arg("-un").output().unwrap();
    assert_eq!(this.owner().as_deref(), Some(String::from_utf8(id.stdout).unwrap().trim()));
    assert_eq!(user_name(4_000_000_123), None);
}

#[test]
fn the_user_of_a_process_that_is_not_dumpable_is_its_own() {
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().unwrap();
    // Who runs what it may not read can't be looked into (execve(2)).
    let exe = program(folder.path(), "unreadable");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&exe, fs::Permissions::from_mode(0o111)).unwrap();
    let own = rustix::process::geteuid().as_raw();
    let user = if own == 0 { 65534 } else { own };
    let mut command = Command::new(&exe);
    let run = Waiting::start(if own == 0 { command.uid(user) } else { &mut command });
    let owner = fs::metadata(format!("/proc/{}/stat", run.0.id())).unwrap().uid();
    assert_eq!((owner, run.process().uid), (0, user));
}

#[test]
fn g2_another_process_with_the_pid_is_gone() {
    let this = Process::this().unwrap().key();
    let other = ProcessKey { pid: this.pid, start_time: this.start_time + 1 };
    assert!(matches!(Process::read_key(&other), Err(ProcError::Gone { .. })));
    assert!(matches!(PidFd::open(&other), Err(ProcError::Gone { .. })));
    assert!(matches!(Digests::new().of(&other), Err(DigestError::Gone(_))));
    assert!(matches!(Process::read(u32::MAX), Err(ProcError::Gone { .. })));
    assert!(matches!(PidFd::open(&ProcessKey { pid: 0, start_time: 0 }), Err(ProcError::Gone { .. })));
}

#[test]
fn g3_argv0_is_not_the_program() {
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().unwrap();
    let exe = program(folder.path(), "honest");
    let run = Waiting::start(Command::new(&exe).arg0("/opt/claude-code/claude"));
    assert_eq!(run.process().exe_path(), exe.to_str());
}

#[test]
fn g4_a_deleted_program_is_said_so_and_hashed_as_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let exe = program(folder.path(), "agent");
    let run = Waiting::start(&mut Command::new(&exe));
    let digests = Digests::new();
    let before = digests.of(&run.process().key()).unwrap();
    let sum = Command::new("sha256sum").arg(&exe).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(&*before));
    fs::remove_file(&exe).unwrap();
    fs::write(&exe, "#!/bin/sh\n").unwrap();
    let process = run.process();
    assert_eq!(process.exe.as_ref().unwrap().file, ExeFile::Deleted);
    assert_eq!(process.exe_path(), exe.to_str());
    assert_eq!(digests.of(&process.key()).unwrap(), before);
}

#[test]
fn g4_a_file_named_deleted_is_not_a_deleted_file() {
    let folder = tempfile::tempdir().unwrap();
    let exe = program(folder.path(), "agent (deleted)");
    let run = Waiting::start(&mut Command::new(&exe));
    assert_eq!(run.process().exe.unwrap().file, ExeFile::Present);
    assert_eq!(run.process().exe_path(), exe.to_str());
}

#[test]
fn a_digest_is_made_once_for_each_version() {
    let folder = tempfile::tempdir().unwrap();
    let exe = program(folder.path(), "agent");
    let digests = Digests::new();
    let (a, b) = (Waiting::start(&mut Command::new(&exe)), Waiting::start(&mut Command::new(&exe)));
    assert_eq!(digests.of(&a.process().key()).unwrap(), digests.of(&b.process().key()).unwrap());
    assert_eq!(digests.len(), 1);
    let other = program(folder.path(), "other");
    let c = Waiting::start(&mut Command::new(&other));
    digests.of(&c.process().key()).unwrap();
    assert_eq!(digests.len(), 2);
}

#[test]
fn a_script_is_absolute_and_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fs::create_dir(folder.join("pkg")).unwrap();
    let real = folder.join("pkg/cli.sh");
    fs::write(&real, "read x\n").unwrap();
    std::os::unix::fs::symlink(&real, folder.join("link")).unwrap();
    for (args, want) in [
        (vec!["link"], Some(&real)),
        (vec!["./pkg/../pkg/cli.sh"], Some(&real)),
        (vec!["-e", "pkg/cli.sh", "x"], Some(&real)),
        (vec!["-c", "read x; : pkg/cli.sh"], None),
    ] {
        let run = Waiting::start(Command::new("/bin/sh").args(&args).current_dir(&folder));
        assert_eq!(run.process().script.as_ref(), want, "{args:?}");
    }
    let run = Waiting::start(&mut Command::new("/bin/cat"));
    assert_eq!(run.process().script, None);
}

#[test]
fn a_chain_leads_from_the_process_to_the_first() {
    let run = Waiting::start(Command::new("/bin/sh").args(["-c", "/bin/sh -c 'read x; :'; :"]));
    let shell = ProcessKey::of(run.0.id()).unwrap();
    let inner = loop {
        let table = Table::read().unwrap();
        if let [inner] = table.children(&shell) {
            assert_eq!(table.parent(inner), Some(shell));
            assert_eq!(table.descendants(&shell), [*inner]);
            assert!(table.descendants(&ProcessKey::of(std::process::id()).unwrap()).contains(inner));
            break *inner;
        }
        std::thread::yield_now();
    };
    let chain = Chain::of(Process::read_key(&inner).unwrap()).unwrap();
    let pids: Vec<u32> = chain.ancestors.iter().map(|process| process.pid).collect();
    assert_eq!(pids[..2], [shell.pid, std::process::id()]);
    assert_eq!(chain.ancestors.last().unwrap().ppid, 0);
    assert_eq!(chain.iter().next().unwrap().pid, inner.pid);
    for pair in chain.iter().collect::<Vec<_>>().windows(2) {
        assert_eq!(pair[0].ppid, pair[1].pid);
    }
}

#[test]
fn a_pidfd_tells_the_end() {
    let run = Waiting::start(&mut Command::new("/bin/cat"));
    let handle = PidFd::open(&ProcessKey::of(run.0.id()).unwrap()).unwrap();
    assert!(handle.alive());
    handle.signal(rustix::process::Signal::KILL).unwrap();
    let mut wanted = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut wanted, None).unwrap(), 1);
    assert!(!handle.alive());
    drop(run);
    assert!(handle.signal(rustix::process::Signal::KILL).is_err());
}

#[test]
fn g2_an_orphans_former_parent_is_not_its_ancestor() {
    let mut parent = Command::new("/bin/sh")
        .args(["-c", "exec 3<&0; sh -c 'read x <&3; :' & read y; :"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let key = ProcessKey::of(parent.id()).unwrap();
    let child = loop {
        if let [child] = Table::read().unwrap().children(&key) {
            break Process::read_key(child).unwrap();
        }
        std::thread::yield_now();
    };
    let handle = PidFd::open(&key).unwrap();
    handle.signal(rustix::process::Signal::KILL).unwrap();
    rustix::event::poll(&mut [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)], None).unwrap();
    // It is dead and still there, since nobody has waited for it; what is known of the child names it.
    assert_eq!(child.ppid, parent.id());
    let chain = Chain::of(child.clone()).unwrap();
    assert!(chain.ancestors.iter().all(|ancestor| ancestor.pid != parent.id()), "{chain:?}");
    drop(parent.stdin.take());
    parent.wait().unwrap();
}

#[test]
fn g5_program_and_script_are_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    // Two programs that turn into each other all the time, each with a script of its own.
    fs::write(at.join("a.sh"), "exec /bin/bash b.sh\n").unwrap();
    fs::write(at.join("b.sh"), "exec /bin/sh a.sh\n").unwrap();
    let (sh, bash) = (fs::canonicalize("/bin/sh").unwrap(), fs::canonicalize("/bin/bash").unwrap());
    assert_ne!(sh, bash, "this needs two shells");
    let mut run = Command::new("/bin/sh").arg("a.sh").current_dir(&at).spawn().unwrap();
    let mut seen = [0, 0];
    for _ in 0..2000 {
        // Either all of one moment, or none.
        let Ok(process) = Process::read(run.id()) else { continue };
        let exe = process.exe.unwrap().path;
        let (which, script) = if exe == sh { (0, at.join("a.sh")) } else { (1, at.join("b.sh")) };
        if exe == sh || exe == bash {
            assert_eq!(process.script, Some(script), "{exe:?}");
            seen[which] += 1;
        }
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}
