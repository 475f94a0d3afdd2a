//! How much of an answer is taken together with its head.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Context;

use http_body::Frame;

use super::*;
use crate::h1::{Broken, Feed};
use crate::timer::tests::paused;

/// Pieces that come one after the other, each when it was asked for once before; then nothing more comes.
struct Slow(VecDeque<&'static [u8]>, bool, u64);

impl Feed for Slow {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = self.0.pop_front() else { return Poll::Pending };
        self.2 -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
    }

    fn left(&self) -> Option<u64> {
        Some(self.2)
    }
}

fn slow(pieces: &[&'static [u8]], length: u64) -> Incoming {
    Incoming::shared(Rc::new(RefCell::new(Slow(pieces.iter().copied().collect(), false, length))))
}

fn taken(pieces: &[&'static [u8]], length: u64, wait: Wait) -> (Option<bool>, Vec<Bytes>) {
    paused().block_on(async {
        let (mut body, mut stages, mut first) = (slow(pieces, length), Stages::default(), First::default());
        let taking = at_once(&mut body, &mut stages, &mut first, wait);
        let ended = tokio::time::timeout(SHORT_WAIT, taking).await.ok().map(|ended| ended.unwrap());
        (ended, first.data)
    })
}

#[test]
fn a_short_answer_is_taken_whole_and_what_is_late_keeps_what_came() {
    let wait = Wait::All(SHORT_WAIT);
    assert_eq!(taken(&[b"ab", b"cde"], 5, wait), (Some(true), vec!["ab".into(), "cde".into()]));
    assert_eq!(taken(&[b"ab"], 5, wait), (None, vec!["ab".into()]));
    assert_eq!(taken(&[b"ab", b"cde"], 5, Wait::Nothing), (Some(false), vec![]));
}

#[test]
fn only_what_tells_that_it_is_short_is_waited_for() {
    assert!(is_short(&slow(&[], SHORT_BYTES)) && !is_short(&slow(&[], SHORT_BYTES + 1)));
    assert!(!is_short(&Incoming::empty()));
}
