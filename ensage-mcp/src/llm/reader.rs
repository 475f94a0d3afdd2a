//! The reader of a request's body.

use super::{Dialect, Request, Step, anthropic, openai};
use crate::json::{JsonError, Limits, parse};

/// Why a body could not be read as an inference call. The client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// Not one JSON value that can be read in one way only (`malformed_json`).
    #[error("the body is not JSON that can be read in one way only")]
    Json(#[from] JsonError),
    /// A member that every call has is missing (`malformed_llm`).
    #[error("{member} is missing")]
    Missing {
        /// Which, as `messages[].role`.
        member: &'static str,
    },
    /// A member is not of the JSON type that it must have (`malformed_llm`).
    #[error("{member} at byte {offset} is of the wrong type")]
    WrongType {
        /// Which, as `messages[].role`.
        member: &'static str,
        /// Where its value begins.
        offset: u64,
    },
    /// Longer than the reader may hold (`body_undecided`).
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: u64,
    },
}

/// Reads one request body, which it holds.
#[derive(Debug)]
pub struct RequestReader {
    dialect: Dialect,
    /// `body.len() <= limit`
    body: Vec<u8>,
    limit: u64,
    full: bool,
}

impl RequestReader {
    /// A reader that holds at most `limit` bytes.
    pub const fn new(dialect: Dialect, limit: u64) -> Self {
        Self { dialect, body: Vec::new(), limit, full: false }
    }

    /// Takes the next bytes of the body. Once it says [`Step::Full`], it holds nothing and says so again.
    pub fn feed(&mut self, chunk: &[u8]) -> Step {
        let room = self.limit.saturating_sub(self.body.len() as u64);
        if self.full || chunk.len() as u64 > room {
            self.full = true;
            self.body = Vec::new();
            return Step::Full;
        }
        self.body.extend_from_slice(chunk);
        Step::More
    }

    /// Reads the whole; the body has ended.
    ///
    /// # Errors
    /// [`LlmError::Json`] for JSON that can be read in two ways, duplicates and case twins in every object that
    /// is interpreted included; [`LlmError::Missing`] and [`LlmError::WrongType`] for what is no request of this
    /// dialect; [`LlmError::TooLong`] after [`Step::Full`].
    pub fn finish(self) -> Result<Request, LlmError> {
        if self.full {
            return Err(LlmError::TooLong { limit: self.limit });
        }
        let root = parse(&self.body, &Limits::default())?;
        match self.dialect {
            Dialect::Messages => anthropic::read(&root),
            Dialect::Chat => openai::read_chat(&root),
            Dialect::Responses => openai::read_responses(&root),
        }
    }
}
