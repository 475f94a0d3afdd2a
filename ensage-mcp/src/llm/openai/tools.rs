//! Declared tools: who would run them, and what they bring.

use super::responses::Reading;
use super::{source, stored};
use crate::json::{Interpreted, Node};
use crate::llm::members::{
    Family, Shape, elements, open, open_as, open_typed, optional_str, present, required_str, wrong_type,
};
use crate::llm::{Connector, LlmError, Place, StoredKind};

const TOOL: Family =
    Family { place: "tools[]", type_place: "tools[].type", what: "tool", kinds: TOOLS, common: &["type"] };

const TOOLS: &[(&str, &[&str])] = &[
    ("function", &["allowed_callers", "defer_loading", "description", "name", "output_schema", "parameters", "strict"]),
    ("custom", &["allowed_callers", "defer_loading", "description", "format", "name"]),
    ("namespace", &["description", "name", "tools"]),
    ("local_shell", &[]),
    ("apply_patch", &["allowed_callers"]),
    ("shell", &["allowed_callers", "environment"]),
    ("computer", &[]),
    ("computer_use_preview", &["display_height", "display_width", "environment"]),
    ("tool_search", &["description", "execution", "parameters"]),
    ("web_search", SEARCH),
    ("web_search_preview", SEARCH),
    ("file_search", &["filters", "max_num_results", "ranking_options", "vector_store_ids"]),
    ("code_interpreter", &["allowed_callers", "container"]),
    (
        "image_generation",
        &[
            "action",
            "background",
            "complexity",
            "frame_count",
            "frame_duration_ms",
            "input_fidelity",
            "input_image_mask",
            "model",
            "moderation",
            "output_compression",
            "output_format",
            "partial_images",
            "quality",
            "size",
            "svg",
        ],
    ),
    ("programmatic_tool_calling", &[]),
    (
        "mcp",
        &[
            "allowed_callers",
            "allowed_tools",
            "authorization",
            "connector_id",
            "defer_loading",
            "headers",
            "require_approval",
            "server_description",
            "server_label",
            "server_url",
            "tunnel_id",
        ],
    ),
];

const SEARCH: &[&str] = &[
    "external_web_access",
    "filters",
    "image_settings",
    "search_content_types",
    "search_context_size",
    "user_location",
];

/// Types of tools that the provider runs.
const PROVIDER: [&str; 8] = [
    "web_search",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "image_generation",
    "programmatic_tool_calling",
    "tool_search",
    "shell",
];

const MASK: Shape = Shape { place: "tools[].input_image_mask", known: &["file_id", "image_url"] };
const SVG: Shape = Shape { place: "tools[].svg", known: &["model", "reasoning"] };

const CONTAINER: Family = Family {
    place: "tools[].container",
    type_place: "tools[].container.type",
    what: "container",
    kinds: &[("auto", &["file_ids", "memory_limit", "network_policy"])],
    common: &["type"],
};

const ENVIRONMENT: Family = Family {
    place: "environment",
    type_place: "environment.type",
    what: "environment",
    kinds: &[
        ("local", &["skills"]),
        ("container_auto", &["file_ids", "memory_limit", "network_policy", "skills"]),
        ("container_reference", &["container_id"]),
    ],
    common: &["type"],
};

const NETWORK: Family = Family {
    place: "network_policy",
    type_place: "network_policy.type",
    what: "network policy",
    kinds: &[("disabled", &[]), ("allowlist", &["allowed_domains", "domain_secrets"])],
    common: &["type"],
};

const SKILL: Family = Family {
    place: "skills[]",
    type_place: "skills[].type",
    what: "skill",
    kinds: &[("skill_reference", &["skill_id", "version"]), ("inline", &["description", "name", "source"])],
    common: &["type"],
};

/// `tool_choice`, and the elements of its `tools`.
const CHOICE: Family = Family {
    place: "tool_choice",
    type_place: "tool_choice.type",
    what: "tool choice",
    kinds: &[
        ("allowed_tools", &["mode", "tools"]),
        ("function", NAMED),
        ("custom", NAMED),
        ("namespace", NAMED),
        ("mcp", &["name", "server_label"]),
        ("local_shell", &[]),
        ("apply_patch", &[]),
        ("shell", &[]),
        ("computer", &[]),
        ("computer_use", &[]),
        ("computer_use_preview", &[]),
        ("tool_search", &[]),
        ("web_search", &[]),
        ("web_search_preview", &[]),
        ("file_search", &[]),
        ("code_interpreter", &[]),
        ("image_generation", &[]),
        ("programmatic_tool_calling", &[]),
    ],
    common: &["type"],
};

const NAMED: &[&str] = &["name", "namespace"];

/// True for the type of something that the provider runs.
pub(in crate::llm) fn is_provider_side(text: &str) -> bool {
    let whole = ["shell", "tool_search"];
    text.starts_with("connector_")
        || PROVIDER.iter().any(|known| text == *known || (!whole.contains(known) && text.starts_with(known)))
}

/// The type without the date of web searches, `_2025_08_26`.
fn undated(kind: &str) -> &str {
    for stem in ["web_search", "web_search_preview"] {
        if kind.strip_prefix(stem).is_some_and(is_date) {
            return stem;
        }
    }
    kind
}

fn is_date(text: &str) -> bool {
    const SHAPE: &[u8] = b"_0000_00_00";
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'_' { byte == b'_' } else { byte.is_ascii_digit() };
    text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(fits)
}

impl<'n> Reading<'n> {
    /// One element of `tools`, wherever that stands.
    pub(super) fn tool(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        if node.as_object().is_none() {
            return Err(wrong_type(TOOL.place, node));
        }
        let kind = required_str(node.interpreted(TOOL.common)?, "type", TOOL.type_place)?;
        let Some((tool, kind)) = open_as(&mut self.request, node, &TOOL, undated(kind))? else { return Ok(()) };
        match kind {
            "function" | "custom" => {
                let name = required_str(tool, "name", "tools[].name")?;
                self.request.client_tools.push(name.to_owned());
            }
            "namespace" => {
                elements(tool, "tools", "tools[].tools")?.iter().try_for_each(|inner| self.tool(inner))?;
            }
            "local_shell" | "apply_patch" | "computer" | "computer_use_preview" => self.client(kind),
            "shell" => {
                let local = match present(tool, "environment") {
                    Some(environment) => self.environment(environment)? == Some("local"),
                    None => false,
                };
                self.client_if(local, kind);
            }
            "tool_search" => {
                let execution = optional_str(tool, "execution", "tools[].execution")?;
                self.client_if(execution == Some("client"), kind);
            }
            "mcp" => self.connector(tool)?,
            _ => {
                self.request.provider_tool(kind);
                self.brought(tool)?;
            }
        }
        Ok(())
    }

    fn client(&mut self, name: &str) {
        self.request.client_tools.push(name.to_owned());
    }

    /// Where a tool does not say who runs it, the provider does.
    fn client_if(&mut self, local: bool, name: &str) {
        if local { self.client(name) } else { self.request.provider_tool(name) }
    }

    /// What a tool of the provider takes up: stores, containers, files, models.
    fn brought(&mut self, tool: Interpreted<'n, '_>) -> Result<(), LlmError> {
        self.stored_all(tool, "vector_store_ids", StoredKind::VectorStore)?;
        let request = &mut self.request;
        request.models.extend(optional_str(tool, "model", "tools[].model")?.map(str::to_owned));
        if let Some(svg) = present(tool, "svg") {
            let svg = open(request, svg, &SVG)?;
            request.models.extend(optional_str(svg, "model", "tools[].svg.model")?.map(str::to_owned));
        }
        if let Some(mask) = present(tool, "input_image_mask") {
            let mask = open(request, mask, &MASK)?;
            stored(request, mask, "file_id", StoredKind::File)?;
            if let Some(url) = present(mask, "image_url") {
                source(request, "tools[].input_image_mask.image_url", url)?;
            }
        }
        let Some(container) = present(tool, "container") else { return Ok(()) };
        if let Some(id) = container.as_str() {
            request.stored(StoredKind::Container, id);
            return Ok(());
        }
        match open_typed(request, container, &CONTAINER)? {
            Some((container, _)) => self.sandbox(container),
            None => Ok(()),
        }
    }

    /// Where a shell runs; gives the type of it.
    pub(super) fn environment(&mut self, node: &'n Node<'_>) -> Result<Option<&'static str>, LlmError> {
        let Some((environment, kind)) = open_typed(&mut self.request, node, &ENVIRONMENT)? else { return Ok(None) };
        stored(&mut self.request, environment, "container_id", StoredKind::Container)?;
        if kind == "container_auto" {
            self.sandbox(environment)?;
            for skill in elements(environment, "skills", "skills")? {
                if let Some((skill, _)) = open_typed(&mut self.request, skill, &SKILL)? {
                    stored(&mut self.request, skill, "skill_id", StoredKind::Skill)?;
                }
            }
        }
        Ok(Some(kind))
    }

    /// Files and network of a container.
    fn sandbox(&mut self, container: Interpreted<'n, '_>) -> Result<(), LlmError> {
        self.stored_all(container, "file_ids", StoredKind::File)?;
        let Some(policy) = present(container, "network_policy") else { return Ok(()) };
        let Some((policy, _)) = open_typed(&mut self.request, policy, &NETWORK)? else { return Ok(()) };
        if !elements(policy, "domain_secrets", "network_policy.domain_secrets")?.is_empty() {
            self.request.secret("network_policy.domain_secrets");
        }
        Ok(())
    }

    fn stored_all(&mut self, holder: Interpreted<'n, '_>, key: &'static str, kind: StoredKind) -> Result<(), LlmError> {
        for id in elements(holder, key, key)? {
            self.request.stored(kind, id.as_str().ok_or(wrong_type(key, id))?);
        }
        Ok(())
    }

    fn connector(&mut self, tool: Interpreted<'n, '_>) -> Result<(), LlmError> {
        let name = required_str(tool, "server_label", "tools[].server_label")?;
        let has_headers = match present(tool, "headers") {
            Some(headers) => !headers.as_object().ok_or(wrong_type("tools[].headers", headers))?.is_empty(),
            None => false,
        };
        let authorized = has_headers || present(tool, "authorization").is_some();
        let mut places = Vec::new();
        if let Some(url) = optional_str(tool, "server_url", "tools[].server_url")? {
            places.push(Place::Url(url.to_owned()));
        }
        for (key, place) in [("connector_id", "tools[].connector_id"), ("tunnel_id", "tools[].tunnel_id")] {
            places.extend(optional_str(tool, key, place)?.map(|id| Place::Named(id.to_owned())));
        }
        if places.is_empty() {
            return Err(LlmError::Missing { member: "tools[].server_url" });
        }
        // Of several places nobody says which counts: each is judged.
        for place in places {
            self.request.connectors.push(Connector { name: name.to_owned(), place, authorized });
        }
        Ok(())
    }

    /// A choice among the tools; one of the provider's asks for it.
    pub(super) fn choice(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        if node.as_object().is_none() {
            return Err(wrong_type(CHOICE.place, node));
        }
        let kind = required_str(node.interpreted(CHOICE.common)?, "type", CHOICE.type_place)?;
        let Some((choice, kind)) = open_as(&mut self.request, node, &CHOICE, undated(kind))? else { return Ok(()) };
        match kind {
            "allowed_tools" => {
                elements(choice, "tools", "tool_choice.tools")?.iter().try_for_each(|tool| self.choice(tool))?;
            }
            "mcp" => self.connectors_named.push(required_str(choice, "server_label", "tool_choice.server_label")?),
            // Both may run at either side: who declares them says where.
            "shell" | "tool_search" => {}
            _ if PROVIDER.contains(&kind) => self.request.provider_tool(kind),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{is_provider_side, undated};

    #[test]
    fn only_dates_of_searches_are_taken_off() {
        for (kind, expected) in [
            ("web_search_2025_08_26", "web_search"),
            ("web_search_2031_01_01", "web_search"),
            ("web_search_preview_2025_03_11", "web_search_preview"),
            ("web_search", "web_search"),
            ("web_search_20250826", "web_search_20250826"),
            ("web_search_2025_8_26", "web_search_2025_8_26"),
            ("web_search_2025_08_26 ", "web_search_2025_08_26 "),
            ("file_search_2025_08_26", "file_search_2025_08_26"),
        ] {
            assert_eq!(undated(kind), expected);
        }
    }

    #[test]
    fn what_a_provider_runs_is_known_by_its_type() {
        for kind in ["web_search_2027", "code_interpreter", "shell", "connector_gmail", "image_generation_x"] {
            assert!(is_provider_side(kind), "{kind}");
        }
        for kind in ["function", "shellac", "local_shell", "high"] {
            assert!(!is_provider_side(kind), "{kind}");
        }
    }
}
