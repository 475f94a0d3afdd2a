//! The way of a line to stderr: a bounded queue and a thread of its own. A pipe that nobody reads holds up neither a
//! worker nor memory; what does not fit is counted, and told once lines flow again.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait; as many again may be on their way out.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// The longest that the end of the program waits for what is queued.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// What tells that so many lines were lost.
type Loss = Box<dyn Fn(u64) -> String + Send + Sync>;

/// Lines on their way out.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    more: Condvar,
    /// Nothing is left to write.
    dry: Condvar,
    loss: Loss,
    open: fn() -> Box<dyn Write>,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    writer: Writer,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Writer {
    /// There is no thread yet: programs that log nothing need none.
    #[default]
    None,
    /// It waits for lines.
    Rests,
    /// It writes what it took.
    Writes,
}

/// Kept by `main`: dropped, it lets out what is queued.
pub(crate) struct Flush(Queue);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.flush(FLUSH_WAIT);
    }
}

impl Queue {
    /// To stderr. `loss` spells the line that tells of lost ones.
    pub(super) fn new(loss: Loss) -> Self {
        // Unlocked between writes: who speaks to people uses it too.
        Self::to(|| Box::new(io::stderr()), loss)
    }

    fn to(open: fn() -> Box<dyn Write>, loss: Loss) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), more: Condvar::new(), dry: Condvar::new(), loss, open }))
    }

    /// What lets out the rest at the end.
    pub(super) fn flush_at_end(&self) -> Flush {
        Flush(self.clone())
    }

    /// Takes a line with its end, or counts it as lost. Never blocks on whoever reads.
    pub(super) fn put(&self, line: &str) {
        let mut state = self.0.state();
        if state.writer == Writer::None {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("ensage-log".to_owned());
            if thread.spawn(move || shared.write()).is_err() {
                // No thread can be had: then who says something writes it, as far as that goes.
                let _ = (self.0.open)().write_all(line.as_bytes());
                return;
            }
            state.writer = Writer::Rests;
        }
        if state.lines.len().saturating_add(line.len()) > QUEUE_BYTES_MAX {
            state.lost = state.lost.saturating_add(1);
        } else {
            state.lines.extend_from_slice(line.as_bytes());
        }
        self.0.more.notify_one();
    }

    /// Waits until all is out, but not for ever.
    fn flush(&self, longest: Duration) {
        let state = self.0.state();
        let is_busy = |state: &mut State| state.writer != Writer::None && !state.is_dry();
        let _ = self.0.dry.wait_timeout_while(state, longest, is_busy);
    }
}

impl State {
    fn is_dry(&self) -> bool {
        self.lines.is_empty() && self.lost == 0 && self.writer != Writer::Writes
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for as long as the program runs.
    fn write(&self) {
        let mut out = (self.open)();
        let mut state = self.state();
        loop {
            let (lines, lost) = (std::mem::take(&mut state.lines), std::mem::take(&mut state.lost));
            if lines.is_empty() && lost == 0 {
                state.writer = Writer::Rests;
                self.dry.notify_all();
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.writer = Writer::Writes;
            drop(state);
            // A stderr that is gone is nobody's to tell.
            let _ = out.write_all(&lines);
            if lost > 0 {
                let _ = out.write_all((self.loss)(lost).as_bytes());
            }
            state = self.state();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A stderr whose every write waits for a word, and is then kept.
    struct Slow;

    static GATE: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);
    static SAID: Mutex<String> = Mutex::new(String::new());

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = GATE.lock().unwrap().as_ref().unwrap().recv();
            SAID.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_nothing_else_and_is_told_how_many() {
        let (go, gate) = mpsc::channel();
        *GATE.lock().unwrap() = Some(gate);
        let queue = Queue::to(|| Box::new(Slow), Box::new(|lost| format!("lost {lost}\n")));
        queue.put("first\n");
        while queue.0.state().writer != Writer::Writes {
            std::thread::yield_now();
        }
        // Nothing of this waits, and nothing of it grows beyond the bound.
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..3 * 1024 {
            queue.put(&line);
        }
        let held = {
            let state = queue.0.state();
            (state.lines.len(), state.lost)
        };
        assert_eq!(held, (QUEUE_BYTES_MAX, 2 * 1024));
        queue.flush(Duration::ZERO);
        assert_eq!(*SAID.lock().unwrap(), "");
        drop(go);
        queue.put("not before the others\n");
        queue.flush(Duration::from_secs(60));
        queue.put("last\n");
        drop(queue.flush_at_end());
        let said = SAID.lock().unwrap();
        let told: Vec<&str> = said.lines().filter(|said| !said.starts_with('x')).collect();
        assert!(
            told == ["first", "lost 2049", "last"] || told == ["first", "lost 2048", "not before the others", "last"],
            "{told:?}"
        );
        assert_eq!(said.lines().filter(|said| said.starts_with('x')).count(), 1024);
    }
}
