//! Times a piece of the hot path against a yardstick in the same run: on a shared machine only the ratio means something.
#![forbid(unsafe_code)]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often yardstick and piece take turns; the median of so many ratios is told.
const ROUNDS: usize = 15;
/// How long one turn lasts about.
const TURN: Duration = Duration::from_millis(20);

/// Two pieces of work, timed in turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// CPU nanoseconds of one call of the yardstick, the best round.
    pub yardstick_ns: f64,
    /// CPU nanoseconds of one call of our piece, the best round.
    pub piece_ns: f64,
    /// Median of the ratio piece to yardstick within a round.
    pub ratio: f64,
}

/// Runs both in turns. Neither may keep the other's memory warm on purpose: each call does the whole work.
pub fn compare(mut yardstick: impl FnMut(), mut piece: impl FnMut()) -> Outcome {
    let (a, b) = (calls(&mut yardstick), calls(&mut piece));
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (turn(&mut yardstick, a), turn(&mut piece, b))).collect();
    let best = |pick: fn(&(f64, f64)) -> f64| rounds.iter().map(pick).fold(f64::INFINITY, f64::min);
    let (yardstick_ns, piece_ns) = (best(|r| r.0), best(|r| r.1));
    rounds.sort_by(|x, y| (x.1 / x.0).total_cmp(&(y.1 / y.0)));
    let ratio = rounds.get(ROUNDS / 2).map_or(f64::NAN, |(yardstick, piece)| piece / yardstick);
    Outcome { yardstick_ns, piece_ns, ratio }
}

/// How many calls fill one turn.
fn calls(work: &mut impl FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let one = turn(work, calls).max(0.01);
        let whole = one * f64::from(calls);
        if whole >= TURN.as_secs_f64() * 1e9 / 4.0 || calls >= 1 << 28 {
            return ((TURN.as_secs_f64() * 1e9 / one) as u32).max(1);
        }
        calls *= 2;
    }
}

/// CPU nanoseconds of one call, over so many.
fn turn(work: &mut impl FnMut(), calls: u32) -> f64 {
    let start = cpu_ns();
    for _ in 0..calls {
        work();
    }
    (cpu_ns() - start) / f64::from(calls)
}

/// CPU time of this thread: what others do on the machine does not count, but for cold caches.
fn cpu_ns() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e9 + spent.tv_nsec as f64
}
