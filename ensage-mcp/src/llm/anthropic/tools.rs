//! Declared tools: who would run them.

use super::request::Reading;
use crate::json::Node;
use crate::llm::LlmError;
use crate::llm::members::{Shape, open, optional_str, required_str, unknown};

const TOOL: Shape = Shape {
    place: "tools[]",
    known: &[
        "allowed_callers",
        "allowed_domains",
        "blocked_domains",
        "cache_control",
        "caching",
        "citations",
        "configs",
        "default_config",
        "defer_loading",
        "description",
        "display_height_px",
        "display_number",
        "display_width_px",
        "eager_input_streaming",
        "enable_zoom",
        "input_examples",
        "input_schema",
        "max_characters",
        "max_content_tokens",
        "max_tokens",
        "max_uses",
        "mcp_server_name",
        "model",
        "name",
        "response_inclusion",
        "strict",
        "tools",
        "type",
        "url_sources",
        "use_cache",
        "user_location",
    ],
};

/// Types with a date behind that the agent runs itself, in a shape that the model was taught.
const CLIENT: [&str; 6] = ["bash", "text_editor", "computer", "memory", "computer_toolset", "browser_toolset"];
/// Types with a date behind that the provider runs.
const PROVIDER: [&str; 6] =
    ["web_search", "web_fetch", "code_execution", "advisor", "tool_search_tool_bm25", "tool_search_tool_regex"];
/// Types of [`PROVIDER`] that are also taken without a date.
const UNDATED: [&str; 2] = ["tool_search_tool_bm25", "tool_search_tool_regex"];

enum Runner<'t> {
    Client,
    Provider(&'t str),
    Connector,
    Unknown,
}

fn runner(kind: &str) -> Runner<'_> {
    let stem = stem(kind);
    match kind {
        "custom" => Runner::Client,
        "mcp_toolset" => Runner::Connector,
        _ if UNDATED.contains(&kind) => Runner::Provider(kind),
        _ => match stem {
            Some(stem) if CLIENT.contains(&stem) => Runner::Client,
            Some(stem) if PROVIDER.contains(&stem) => Runner::Provider(stem),
            _ => Runner::Unknown,
        },
    }
}

/// The type without `_` and the eight digits of its date.
fn stem(kind: &str) -> Option<&str> {
    let (stem, date) = kind.rsplit_once('_')?;
    (date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit())).then_some(stem)
}

/// True for the type, or the name, of something that the provider runs.
pub(in crate::llm) fn is_provider_side(text: &str) -> bool {
    text.starts_with("mcp_") || PROVIDER.iter().any(|known| text.starts_with(known))
}

/// The name in `provider_tools` of what a `server_tool_use` block calls.
pub(super) fn provider_tool_called(name: &str) -> Option<&'static str> {
    let name = match name {
        "bash_code_execution" | "text_editor_code_execution" => "code_execution",
        _ => name,
    };
    PROVIDER.into_iter().find(|known| *known == name)
}

impl<'n> Reading<'n> {
    /// One element of `tools[]`, or a definition that a content block adds.
    pub(super) fn tool(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let tool = open(&mut self.request, node, &TOOL)?;
        if let Some(model) = optional_str(tool, "model", "tools[].model")? {
            self.request.models.push(model.to_owned());
        }
        let server = optional_str(tool, "mcp_server_name", "tools[].mcp_server_name")?;
        self.servers_named.extend(server);
        let kind = optional_str(tool, "type", "tools[].type")?.unwrap_or("custom");
        match runner(kind) {
            Runner::Client => {
                let name = optional_str(tool, "name", "tools[].name")?.or(stem(kind));
                let name = name.ok_or(LlmError::Missing { member: "tools[].name" })?;
                self.request.client_tools.push(name.to_owned());
            }
            Runner::Provider(stem) => {
                if stem == "advisor" {
                    required_str(tool, "model", "tools[].model")?;
                }
                self.request.provider_tool(stem);
            }
            Runner::Connector => {
                server.ok_or(LlmError::Missing { member: "tools[].mcp_server_name" })?;
            }
            Runner::Unknown => unknown(&mut self.request, "tool", kind),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Runner, runner};

    #[test]
    fn e3_each_type_has_its_runner_and_the_rest_is_unknown() {
        for (kind, expected) in [
            ("custom", "client"),
            ("bash_20241022", "client"),
            ("bash_20250124", "client"),
            ("text_editor_20250728", "client"),
            ("computer_20251124", "client"),
            ("computer_toolset_20260801", "client"),
            ("browser_toolset_20260801", "client"),
            ("memory_20250818", "client"),
            ("web_search_20250305", "web_search"),
            ("web_search_20270101", "web_search"),
            ("web_fetch_20260318", "web_fetch"),
            ("code_execution_20260521", "code_execution"),
            ("advisor_20260301", "advisor"),
            ("tool_search_tool_bm25", "tool_search_tool_bm25"),
            ("tool_search_tool_bm25_20251119", "tool_search_tool_bm25"),
            ("tool_search_tool_regex_20251119", "tool_search_tool_regex"),
            ("mcp_toolset", "connector"),
            ("mcp_toolset_20260101", "unknown"),
            ("agent_toolset_20260401", "unknown"),
            ("custom_20250101", "unknown"),
            ("Custom", "unknown"),
            ("function", "unknown"),
            ("web_search", "unknown"),
            ("web_search_2025030", "unknown"),
            ("web_search_202503055", "unknown"),
            ("web_search_2025030x", "unknown"),
            ("web_search_20250305 ", "unknown"),
            ("bash_\u{661}\u{662}\u{663}\u{664}", "unknown"),
            ("bash", "unknown"),
            ("", "unknown"),
        ] {
            let found = match runner(kind) {
                Runner::Client => "client",
                Runner::Provider(stem) => stem,
                Runner::Connector => "connector",
                Runner::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{kind}");
        }
    }
}
