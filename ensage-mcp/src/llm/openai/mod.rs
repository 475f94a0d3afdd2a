//! Chat Completions and Responses of OpenAI.
//!
//! Members and types are those of the vendor's SDK, openai 3.54.0 (`types/chat`, `types/responses`), and of what Codex
//! 0.169 sends. What is not among them is told in [`Request::unknown`](super::Request::unknown).

mod chat;
mod completion;
mod items;
mod responses;
mod stream;
mod tools;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use chat::read as read_chat;
pub(super) use completion::watch as watch_chat;
pub(super) use responses::read as read_responses;
pub(super) use stream::{is_piece, watch as watch_responses};
pub(super) use tools::is_provider_side;

use super::members::{Shape, open, present, required_str, wrong_type};
use super::{LlmError, Request, StoredKind};
use crate::json::{Interpreted, Node};

/// Calls of an answer that were seen in part.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Of Chat Completions: (choice, index) of each call, and where it is in `tools_requested`.
    chat: BTreeMap<(u64, u64), usize>,
    /// Of Responses: the items that were read.
    items: BTreeSet<u64>,
}

/// Most calls, or items, of one answer that are told apart.
const CALLS_MAX: usize = 1024;

/// What both APIs may say of moderation: another model reads along.
const MODERATION: Shape = Shape { place: "moderation", known: &["comparison_response_id", "model", "policy"] };

const CACHE: Shape =
    Shape { place: "prompt_cache_options", known: &["comparison_response_id", "mode", "prewarm", "ttl"] };

/// `model`, `stream`, `moderation` and `prompt_cache_options`.
fn common<'n>(request: &mut Request, body: Interpreted<'n, '_>, needs_model: bool) -> Result<(), LlmError> {
    if needs_model || present(body, "model").is_some() {
        let model = required_str(body, "model", "model")?;
        request.models.push(model.to_owned());
        // Models that are made to search do so without being asked.
        if model.contains("-search-") {
            request.provider_tool("web_search");
        }
    }
    if let Some(stream) = present(body, "stream") {
        request.stream = stream.as_bool().ok_or(wrong_type("stream", stream))?;
    }
    if let Some(moderation) = present(body, "moderation") {
        let moderation = open(request, moderation, &MODERATION)?;
        request.models.push(required_str(moderation, "model", "moderation.model")?.to_owned());
        compared(request, moderation)?;
    }
    if let Some(cache) = present(body, "prompt_cache_options") {
        let cache = open(request, cache, &CACHE)?;
        compared(request, cache)?;
    }
    Ok(())
}

fn compared<'n>(request: &mut Request, holder: Interpreted<'n, '_>) -> Result<(), LlmError> {
    stored(request, holder, "comparison_response_id", StoredKind::Response)
}

/// The member names something that the provider keeps.
fn stored(
    request: &mut Request,
    holder: Interpreted<'_, '_>,
    key: &'static str,
    kind: StoredKind,
) -> Result<(), LlmError> {
    if let Some(id) = present(holder, key) {
        request.stored(kind, id.as_str().ok_or(wrong_type(key, id))?);
    }
    Ok(())
}

/// A URL that the provider fetches; `data:` URLs hold what they name.
fn source(request: &mut Request, key: &'static str, node: &Node<'_>) -> Result<(), LlmError> {
    let url = node.as_str().ok_or(wrong_type(key, node))?;
    if !is_data(url) {
        request.url_sources.push(url.to_owned());
    }
    Ok(())
}

/// The bytes of a file, bare or in a `data:` URL; what has another scheme is fetched.
fn file_data(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let data = node.as_str().ok_or(wrong_type("file_data", node))?;
    if data.contains(':') && !is_data(data) {
        request.url_sources.push(data.to_owned());
    }
    Ok(())
}

fn is_data(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}
