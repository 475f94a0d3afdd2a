//! The Messages API of Anthropic.
//!
//! Members and types are those of the vendor's SDK, anthropic 2.12.0 (`types/beta`), and of what Claude Code
//! 2.1 sends. What is not among them is told in [`Request::unknown`](super::Request::unknown).
//!
//! ```
//! use ensage_mcp::llm::anthropic::{Endpoint, Framing, Observer, RequestReader};
//!
//! assert_eq!(Endpoint::of("POST", "/v1/messages"), Some(Endpoint::Messages));
//!
//! let mut reader = RequestReader::new(4 << 20);
//! let _ = reader.feed(br#"{"model":"claude-sonnet-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"#);
//! let _ = reader.feed(br#""tools":[{"type":"web_search_20250305","name":"web_search"}]}"#);
//! let request = reader.finish()?;
//! assert_eq!(request.models, ["claude-sonnet-5"]);
//! assert_eq!(request.provider_tools, ["web_search"]);
//! assert!(request.unknown.is_empty());
//!
//! let mut observer = Observer::new(Framing::of("application/json").unwrap_or(Framing::Json));
//! observer.feed(br#"{"type":"message","model":"claude-sonnet-5","content":[],"usage":{"output_tokens":7}}"#);
//! assert_eq!(observer.finish().usage.output_tokens, Some(7));
//! # Ok::<(), ensage_mcp::llm::LlmError>(())
//! ```

mod answer;
mod blocks;
mod endpoint;
mod error;
mod members;
mod request;
mod tools;

#[cfg(test)]
mod tests;

pub use answer::{Activity, Framing, Observer, Seen, Usage};
pub use endpoint::Endpoint;
pub use error::{ErrorKind, error_body};
pub use request::RequestReader;
