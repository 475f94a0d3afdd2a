//! Calls to LLM providers and what they answer.
//!
//! An [`Api`] is what a provider speaks, an [`Endpoint`] one of its requests, a [`Dialect`] the shape of a body and of
//! its answer. Whatever the dialect, a request is read into the one [`Request`] and an answer into the one [`Seen`],
//! so that the judge asks the same questions of all: which models, what the provider would run, reach or look up.
//!
//! A further API is a variant of these enums and a room beside the others: a reader that fills a [`Request`] from one
//! JSON value, and a watcher that fills a [`Seen`] from one JSON value. Where the path names the model (Gemini, Vertex,
//! Bedrock, Azure), its endpoint gives it and the request's `models` begin with it. Other framings (one JSON array of
//! chunks, AWS event streams) are variants of [`Framing`]. A frame of a WebSocket is one value: up it is read as a body
//! is, down it is watched as an event is.
//!
//! ```
//! use ensage_mcp::llm::{Api, Dialect, Endpoint, Framing, Observer, RequestReader};
//!
//! assert_eq!(Api::Anthropic.endpoint("POST", "/v1/messages"), Some(Endpoint::Inference(Dialect::Messages)));
//! assert_eq!(Api::OpenAi.endpoint("POST", "/v1/responses"), Some(Endpoint::Inference(Dialect::Responses)));
//!
//! let mut reader = RequestReader::new(Dialect::Messages, 4 << 20);
//! let _ = reader.feed(br#"{"model":"claude-sonnet-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"#);
//! let _ = reader.feed(br#""tools":[{"type":"web_search_20250305","name":"web_search"}]}"#);
//! let request = reader.finish()?;
//! assert_eq!(request.models, ["claude-sonnet-5"]);
//! assert_eq!(request.provider_tools, ["web_search"]);
//! assert!(request.unknown.is_empty());
//!
//! let mut observer = Observer::new(Dialect::Messages, Framing::Json);
//! observer.feed(br#"{"type":"message","model":"claude-sonnet-5","content":[],"usage":{"output_tokens":7}}"#);
//! assert_eq!(observer.finish().usage.output_tokens, Some(7));
//! # Ok::<(), ensage_mcp::llm::LlmError>(())
//! ```

mod anthropic;
mod endpoint;
mod error;
mod members;
mod observer;
mod openai;
mod reader;
mod request;
mod seen;
mod skip;

#[cfg(test)]
mod tests;

pub use crate::mcp::Step;
pub use endpoint::{Api, Dialect, Endpoint};
pub use error::{Refusal, error_body, error_event, failed_response};
pub use observer::{Against, Framing, Observer};
pub use reader::{LlmError, RequestReader};
pub use request::{Asked, Connector, Place, Request, StoredId, StoredKind};
pub use seen::{Activity, Needs, Seen, Usage};
