//! Ancestors, each read again only once it has run, or after a while.
//!
//! A process that sleeps is the program that it was. What changes all the same is whose child it is, when its parent
//! exits (that is looked at), and where the file of its program is, when somebody moves that ([`KEPT`] bounds it).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ANCESTORS_MAX, Chain, ProcError, Process, ProcessKey,
    clock::{is_exact, ran},
    tree::{life, parent},
};

/// So long something that was read is believed.
const KEPT: Duration = Duration::from_secs(5);
/// So many processes are remembered; then all are forgotten.
const KNOWN_MAX: usize = 64;

/// Processes that were ancestors of somebody lately.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    known: Mutex<HashMap<u32, Known>>,
}

/// A process as it was when it had run for `clock` nanoseconds.
#[derive(Debug)]
struct Known {
    process: Process,
    clock: u64,
    read: Instant,
    /// The process itself: its pid is its own while this is the same.
    life: u64,
    /// Who its parent was found to be since.
    parent: Option<ProcessKey>,
}

impl Kin {
    /// The same as [`Chain::of`]; the process itself was just read.
    ///
    /// # Errors
    /// A [`ProcError`] of the process or of an ancestor.
    pub(crate) fn chain(&self, process: Process) -> Result<Chain, ProcError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chain = Chain { process, ancestors: Vec::new() };
        let mut just_read = true;
        while chain.ancestors.len() < ANCESTORS_MAX {
            let child = chain.ancestors.last().unwrap_or(&chain.process);
            let asleep = parent_asleep(&known, child, just_read);
            just_read = asleep.is_none();
            let parent = match asleep {
                Some(parent) => parent,
                None => match parent_read(&mut known, child)? {
                    Some(parent) => parent,
                    None => break,
                },
            };
            if let Some(child) = known.get_mut(&child.pid).filter(|known| known.process.key() == child.key()) {
                child.parent = Some(parent.key());
            }
            chain.ancestors.push(parent);
        }
        Ok(chain)
    }
}

impl Known {
    /// Whether it has not run since, and is not another one that has its pid.
    fn is_as_it_was(&self) -> bool {
        self.read.elapsed() < KEPT
            && ran(self.process.pid) == Some(self.clock)
            && life(self.process.pid) == Some(self.life)
    }
}

/// The parent, if that has not run since it was read. So it has not exited either, and whose parent it was it still is:
/// that of a child that was just read, or by what was found of both before.
fn parent_asleep(known: &HashMap<u32, Known>, child: &Process, just_read: bool) -> Option<Process> {
    let parent = known.get(&child.ppid)?;
    let was = known.get(&child.pid).and_then(|child| child.parent);
    let proven = just_read || was == Some(parent.process.key());
    (proven && parent.is_as_it_was()).then(|| parent.process.clone())
}

/// The parent as it is now.
fn parent_read(known: &mut HashMap<u32, Known>, child: &Process) -> Result<Option<Process>, ProcError> {
    let clock = if is_exact() { ran(child.ppid) } else { None };
    let Some(found) = parent(child)? else { return Ok(None) };
    if found.pid != child.ppid {
        // Somebody has adopted the child, of which something else is known.
        known.remove(&child.pid);
        return Ok(Some(found));
    }
    known.remove(&found.pid);
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    // By its clock from before: if it has run meanwhile, it is read again.
    if let (Some(clock), Some(life)) = (clock, life(found.pid)) {
        known.insert(found.pid, Known { process: found.clone(), clock, read: Instant::now(), life, parent: None });
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell that does what it is told by lines, and says when it has.
    fn shell() -> Child {
        Command::new("/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn tell(shell: &mut Child, line: &str) -> String {
        use std::io::{Read as _, Write as _};
        shell.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            shell.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap().trim().to_owned()
    }

    fn asleep(pid: u32) {
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(' ').nth(2) != Some("S") {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_chain_is_the_same_whether_it_was_read_or_known() {
        let kin = Kin::default();
        let mut outer = shell();
        let child: u32 = tell(&mut outer, "sleep 1000 >/dev/null & echo $!").parse().unwrap();
        asleep(outer.id());
        // The fork is there before its exec.
        let read = || loop {
            match Process::read(child).unwrap() {
                process if process.base_name() == Some("sleep") => return process,
                _ => std::thread::yield_now(),
            }
        };
        let parents = |chain: &Chain| chain.ancestors.iter().map(Process::key).collect::<Vec<_>>();
        let want = Chain::of(read()).unwrap();
        assert_eq!(want.ancestors[0].pid, outer.id());
        for _ in 0..3 {
            assert_eq!(parents(&kin.chain(read()).unwrap()), parents(&want));
        }
        assert!(kin.known.lock().unwrap().contains_key(&outer.id()));

        // It has run since, and is another program.
        tell(&mut outer, "exec sh -c 'echo x; exec cat'");
        while Process::read(outer.id()).unwrap().base_name() != Some("cat") {
            std::thread::yield_now();
        }
        // While it is still in its first turn on a CPU, its clock may not have moved yet.
        asleep(outer.id());
        let found = kin.chain(read()).unwrap();
        assert_eq!((found.ancestors[0].pid, found.ancestors[0].base_name()), (outer.id(), Some("cat")));

        // It has exited, and somebody has the child.
        outer.kill().unwrap();
        outer.wait().unwrap();
        let adopted = kin.chain(read()).unwrap();
        assert_eq!(parents(&adopted), parents(&Chain::of(read()).unwrap()));
        assert!(adopted.ancestors.iter().all(|process| process.pid != outer.id()));
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(i32::try_from(child).unwrap()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }

    #[test]
    fn who_sleeps_on_while_its_parent_exits_gets_another() {
        let kin = Kin::default();
        let mut outer = shell();
        // The grandchild is asked about; the child sleeps all the time and is remembered with its parent.
        let pids = tell(&mut outer, "sh -c 'sleep 1000 >/dev/null & echo $$ $!; wait' & wait");
        let (middle, inner) = pids.split_once(' ').unwrap();
        let (middle, inner): (u32, u32) = (middle.parse().unwrap(), inner.parse().unwrap());
        asleep(middle);
        asleep(outer.id());
        let chain = || kin.chain(Process::read(inner).unwrap()).unwrap();
        let ancestors = |chain: &Chain| chain.ancestors.iter().map(|process| process.pid).collect::<Vec<_>>();
        assert_eq!(ancestors(&chain())[..2], [middle, outer.id()]);
        assert_eq!(ancestors(&chain())[..2], [middle, outer.id()]);
        // What is known is believed, unless its pid was another's when the child was read.
        let mark = |uid: u32, of: Option<ProcessKey>| {
            let mut known = kin.known.lock().unwrap();
            known.get_mut(&outer.id()).unwrap().process.uid = uid;
            known.get_mut(&middle).unwrap().parent = of;
        };
        let own = ProcessKey::of(outer.id()).unwrap();
        mark(4242, Some(own));
        assert_eq!(chain().ancestors[1].uid, 4242);
        mark(4242, Some(ProcessKey { start_time: 1, ..own }));
        assert_ne!(chain().ancestors[1].uid, 4242);
        let clock = ran(middle);
        outer.kill().unwrap();
        outer.wait().unwrap();
        let found = ancestors(&chain());
        assert_eq!(ran(middle), clock, "it was to sleep on");
        assert_eq!(found, ancestors(&Chain::of(Process::read(inner).unwrap()).unwrap()));
        assert!(found[0] == middle && !found.contains(&outer.id()), "{found:?}");
        for pid in [inner, middle] {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }

    #[test]
    fn another_process_of_a_pid_that_has_run_as_long_is_another() {
        let kin = Kin::default();
        let mut outer = shell();
        let inner: u32 = tell(&mut outer, "sleep 1000 >/dev/null & echo $!").parse().unwrap();
        asleep(outer.id());
        // As if the shell's pid had been that one's, which ran to the nanosecond as long.
        let process = Process { start_time: 1, ..Process::read(outer.id()).unwrap() };
        let (clock, life) = (ran(outer.id()).unwrap(), life(outer.id()).unwrap() - 1);
        let known = Known { process, clock, read: Instant::now(), life, parent: None };
        kin.known.lock().unwrap().insert(outer.id(), known);
        let chain = kin.chain(Process::read(inner).unwrap()).unwrap();
        assert_eq!(chain.ancestors[0].key(), ProcessKey::of(outer.id()).unwrap());
        outer.kill().unwrap();
        outer.wait().unwrap();
        let inner = rustix::process::Pid::from_raw(i32::try_from(inner).unwrap()).unwrap();
        rustix::process::kill_process(inner, rustix::process::Signal::KILL).unwrap();
    }
}
