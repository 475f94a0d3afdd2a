//! The frame reader: what a client sends, in place, to what the protocol is shown.

use std::rc::Rc;

use ensage_policy::Reason as Why;
use h2::Reason;

use super::block::Block;
use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, Head, PADDED, Stub, fragment, put, shift,
};
use super::upload::Upload;
use super::{Come, Shared, Uploading};
use crate::gate::{Kind, Limits};
use crate::h2::FRAME_MAX;
use crate::h2::gathering::{Gathering, Section, told};
use crate::h2::head::Fault;
use crate::h2::hpack::{Decoder, Error};

/// `PRI * HTTP/2.0` and what follows (RFC 9113 section 3.4): the protocol holds it to the letter.
const PREFACE_BYTES: usize = 24;
/// Heads that are shown at once; the protocol hands them on before it is shown more.
const HEADS_MAX: usize = 64;

/// Reads frames, whatever pieces they come in.
pub(super) struct Sift {
    limits: Limits,
    shared: Rc<Shared>,
    decoder: Decoder,
    at: At,
    /// The highest stream that a head has opened.
    last: u32,
    /// A block of several frames, or of one that comes in pieces.
    block: Option<Block>,
    /// The next piece of content was let in.
    admitted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the head of a frame.
    Frame,
    /// In bytes that pass; so many are left.
    Passing(usize),
    /// In a frame of a block.
    Gathering(usize),
    /// Whatever comes, passes: the protocol refuses it.
    Open,
    /// Nothing more is read.
    Over,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More must come: what is left is less than the head of a frame.
    More,
    /// What is shown must be taken first.
    Full,
    /// These bytes of content need room.
    Room(u64, u32),
    /// Nothing more is read.
    Over,
}

/// What a turn came to.
#[derive(Debug)]
pub(super) struct Sifted {
    /// So many bytes, the first, are to be shown.
    pub(super) shown: usize,
    /// And these behind them.
    pub(super) behind: Option<Stub>,
    /// From here on nothing was read.
    pub(super) read: usize,
    pub(super) stop: Stop,
}

const fn malformed(detail: &'static str) -> Fault {
    Fault { kind: Kind::Malformed, detail }
}

impl Sift {
    pub(super) fn new(limits: Limits, shared: Rc<Shared>) -> Self {
        let at = At::Passing(PREFACE_BYTES);
        Self { limits, shared, decoder: Decoder::new(), at, last: 0, block: None, admitted: false }
    }

    /// Whether a head has begun and not ended.
    pub(super) const fn is_in_head(&self) -> bool {
        self.block.is_some()
    }

    /// How many bytes pass as they are, whatever they are.
    pub(super) const fn passing(&self) -> usize {
        match self.at {
            At::Passing(left) => left,
            At::Frame | At::Gathering(_) | At::Open | At::Over => 0,
        }
    }

    /// Whether nothing more is read.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.at, At::Over)
    }

    /// The next piece of content may come in, counted already.
    pub(super) fn admitted(&mut self) {
        self.admitted = true;
    }

    /// The head that has begun is not waited for.
    pub(super) fn give_up(&mut self) {
        let late = Fault { kind: Kind::ClientTimeout, detail: "the head did not end in time" };
        self.lose(late, Reason::ENHANCE_YOUR_CALM);
    }

    /// Reads what can be read of `bytes` and brings what is to be shown to their front.
    pub(super) fn turn(&mut self, bytes: &mut [u8]) -> Sifted {
        let (mut read, mut shown) = (0, 0);
        let (stop, behind) = loop {
            let rest = bytes.get(read..).unwrap_or_default();
            match self.at {
                At::Over => break (Stop::Over, None),
                _ if rest.is_empty() && self.at != At::Gathering(0) => break (Stop::More, None),
                At::Passing(0) => self.at = At::Frame,
                At::Passing(left) => {
                    let n = left.min(rest.len());
                    shift(bytes, read, shown, n);
                    (read, shown) = (read.saturating_add(n), shown.saturating_add(n));
                    self.at = At::Passing(left.saturating_sub(n));
                }
                At::Open => {
                    let n = rest.len();
                    shift(bytes, read, shown, n);
                    (read, shown) = (read.saturating_add(n), shown.saturating_add(n));
                }
                At::Gathering(left) => {
                    let n = left.min(rest.len());
                    if let Some(block) = &mut self.block {
                        block.bytes.extend_from_slice(rest.get(..n).unwrap_or_default());
                    }
                    read = read.saturating_add(n);
                    self.at = At::Gathering(left.saturating_sub(n));
                    if n == left
                        && let Some(stub) = self.gathered()
                        && !put(bytes, &mut shown, read, &stub)
                    {
                        break (Stop::Full, Some(stub));
                    }
                }
                At::Frame => match self.frame(rest) {
                    Step::Passes(n) => self.at = At::Passing(n),
                    Step::Begins(n) => read = read.saturating_add(n),
                    Step::Whole(n, stub) => {
                        read = read.saturating_add(n);
                        if let Some(stub) = stub
                            && !put(bytes, &mut shown, read, &stub)
                        {
                            break (Stop::Full, Some(stub));
                        }
                    }
                    Step::Stops(stop) => break (stop, None),
                },
            }
        };
        Sifted { shown, behind, read, stop }
    }

    /// Looks at the next frame.
    fn frame(&mut self, rest: &[u8]) -> Step {
        let Some(head) = Head::read(rest) else { return Step::Stops(Stop::More) };
        if head.length > FRAME_MAX as usize {
            // Told as such from its head alone (section 4.2).
            self.at = At::Open;
            return Step::Begins(0);
        }
        if self.block.is_some() && !self.continues(head) {
            // Nothing may come between the frames of a block (section 6.10).
            self.lose(malformed("a frame amid those of a head"), Reason::PROTOCOL_ERROR);
            return Step::Stops(Stop::Over);
        }
        match head.kind {
            HEADERS | CONTINUATION if head.kind == HEADERS || self.block.is_some() => self.block(head, rest),
            DATA => self.data(head, rest),
            _ => Step::Passes(HEAD_BYTES.saturating_add(head.length)),
        }
    }

    fn continues(&self, head: Head) -> bool {
        head.kind == CONTINUATION && self.block.as_ref().is_some_and(|block| block.stream == head.stream)
    }

    fn data(&mut self, head: Head, rest: &[u8]) -> Step {
        let whole = HEAD_BYTES.saturating_add(head.length);
        let padded = head.has(PADDED) && head.length > 0;
        let padding = match (padded, rest.get(HEAD_BYTES)) {
            (false, _) => 0,
            (true, Some(padding)) => usize::from(*padding).saturating_add(1),
            (true, None) => return Step::Stops(Stop::More),
        };
        let bytes = head.length.saturating_sub(padding) as u64;
        if bytes > 0
            && let Some(upload) = self.shared.upload(head.stream)
        {
            if !std::mem::take(&mut self.admitted) && !self.shared.ledger.borrow_mut().admit(bytes) {
                return Step::Stops(Stop::Room(bytes, head.stream));
            }
            upload.came(bytes);
        }
        Step::Passes(whole)
    }

    fn block(&mut self, head: Head, rest: &[u8]) -> Step {
        if self.shared.heads.borrow().len() >= HEADS_MAX {
            return Step::Stops(Stop::Full);
        }
        let whole = HEAD_BYTES.saturating_add(head.length);
        let most = told(&self.limits).max(FRAME_MAX) as usize;
        if self.block.is_none()
            && head.has(END_HEADERS)
            && let Some(payload) = rest.get(HEAD_BYTES..whole)
        {
            // Nearly every head: nothing of it is kept.
            let Some(fragment) = fragment(head, payload) else {
                return self.padded_wrong(head.stream);
            };
            return Step::Whole(whole, self.read(head.stream, head.has(END_STREAM), fragment));
        }
        if !self.block.get_or_insert_with(|| Block::new(head)).goes_on(head, most) {
            let large = Fault { kind: Kind::HeaderTooLarge, detail: "the head has too many bytes or frames" };
            self.lose(large, Reason::ENHANCE_YOUR_CALM);
            return Step::Stops(Stop::Over);
        }
        self.at = At::Gathering(head.length);
        Step::Begins(HEAD_BYTES)
    }

    /// A frame of a block is here; what is shown if it was the last.
    fn gathered(&mut self) -> Option<Stub> {
        self.at = At::Frame;
        let block = self.block.as_mut()?;
        let stream = block.stream;
        if block.strip().is_none() {
            self.padded_wrong(stream);
            return None;
        }
        if !block.is_whole() {
            return None;
        }
        let block = self.block.take()?;
        self.read(block.stream, block.ends, &block.bytes)
    }

    /// Padding that is longer than its frame (section 6.1).
    fn padded_wrong(&mut self, stream: u32) -> Step {
        let fault = malformed("a head with more padding than its frame has bytes");
        match self.block.take() {
            Some(block) => self.lost(block.stream, block.ends, &block.bytes, fault, Reason::PROTOCOL_ERROR),
            None => self.lost(stream, true, &[], fault, Reason::PROTOCOL_ERROR),
        }
        Step::Stops(Stop::Over)
    }

    /// Reads a whole block, and says what is shown in its place.
    fn read(&mut self, stream: u32, ends: bool, block: &[u8]) -> Option<Stub> {
        if stream <= self.last {
            return self.trailers(stream, ends, block);
        }
        let mut lines = Gathering::new(Section::Head, &self.limits);
        match self.decoder.read(block, |line, bytes| lines.take(line, bytes)) {
            Ok(()) => {
                self.last = stream;
                self.come(stream, lines, ends, None);
                Some(Stub::request(stream, ends))
            }
            Err(error) => {
                let (fault, why) = unreadable(error);
                self.come(stream, lines, ends, Some(fault));
                self.end(why);
                None
            }
        }
    }

    fn trailers(&mut self, stream: u32, ends: bool, block: &[u8]) -> Option<Stub> {
        let mut lines = Gathering::new(Section::Trailers, &self.limits);
        if let Err(error) = self.decoder.read(block, |line, bytes| lines.take(line, bytes)) {
            let (fault, why) = unreadable(error);
            if let Some(upload) = self.shared.upload(stream) {
                upload.refuse((fault.kind.reason(), fault.detail));
            }
            self.end(why);
            return None;
        }
        if let Some(upload) = self.shared.upload(stream) {
            match lines.trailers() {
                _ if !ends => upload.refuse((Why::MalformedRequest, "trailers that do not end their request")),
                Ok((fields, bytes)) => {
                    // Held until its reader has come to them, or is gone.
                    self.shared.ledger.borrow_mut().count(bytes);
                    upload.came(bytes);
                    upload.end_with(fields);
                }
                Err(fault) => upload.refuse((fault.kind.reason(), fault.detail)),
            }
        }
        // Fields that end nothing are a fault of the stream to the protocol too.
        Some(if ends { Stub::end(stream) } else { Stub::request(stream, false) })
    }

    /// A head is on its way. With `fault`, nothing is shown of it.
    fn come(&self, stream: u32, lines: Gathering, ends: bool, fault: Option<Fault>) {
        let mut read = lines.head(ends);
        read.fault = fault.or(read.fault);
        let body = (!ends).then(|| {
            let upload = Rc::new(Upload::new(stream));
            let mut uploads = self.shared.uploads.borrow_mut();
            if uploads.len() == uploads.capacity() {
                uploads.retain(|upload| !upload.is_gone());
            }
            uploads.push(upload.clone());
            Uploading { upload, shared: self.shared.clone() }
        });
        self.shared.heads.borrow_mut().push_back(Come { stream, read, body });
    }

    /// The head that has begun is the last thing that was read.
    fn lose(&mut self, fault: Fault, why: Reason) {
        if let Some(mut block) = self.block.take() {
            if matches!(self.at, At::Gathering(_)) {
                block.cut();
            }
            self.lost(block.stream, block.ends, &block.bytes, fault, why);
        }
    }

    /// So much of a head came; what can be read of it is recorded.
    fn lost(&mut self, stream: u32, ends: bool, block: &[u8], fault: Fault, why: Reason) {
        if stream > self.last {
            let mut lines = Gathering::new(Section::Head, &self.limits);
            let _ = self.decoder.read(block, |line, bytes| lines.take(line, bytes));
            self.come(stream, lines, ends, Some(fault));
        } else if let Some(upload) = self.shared.upload(stream) {
            upload.refuse((fault.kind.reason(), fault.detail));
        }
        self.end(why);
    }

    fn end(&mut self, why: Reason) {
        self.at = At::Over;
        self.shared.broken.set(Some(why));
    }
}

/// What the next frame is.
enum Step {
    /// So many bytes pass as they are.
    Passes(usize),
    /// So many bytes were read, and nothing is shown.
    Begins(usize),
    /// A block of so many bytes, and what is shown for it.
    Whole(usize, Option<Stub>),
    /// Nothing is read of it.
    Stops(Stop),
}

fn unreadable(error: Error) -> (Fault, Reason) {
    match error {
        Error::Coding => (malformed("a head that is not coded by the rules"), Reason::COMPRESSION_ERROR),
        Error::Enough => {
            let large = Fault { kind: Kind::HeaderTooLarge, detail: "the head has too many bytes or fields" };
            (large, Reason::ENHANCE_YOUR_CALM)
        }
    }
}
