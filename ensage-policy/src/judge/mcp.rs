//! Messages to MCP servers.

use std::borrow::Cow;

use ensage_mcp::filter::ItemKind;
use ensage_mcp::mcp::{Kind, Message, Method, ReadError};

use super::Trial;
use super::denial::{Denial, Step};
use super::permit::BodyPermit;
use super::route::Route;
use crate::model::{McpRule, Rule};
use crate::reason::Reason;

/// Longest name that a pattern can stand for (MCP 2025-11-25, server/tools: 1 to 128 characters).
const TOOL_NAME_BYTES_MAX: usize = 128;

/// Which tools a list shows: the same ones that can be called.
#[derive(Clone, Debug)]
pub struct ToolFilter {
    route: Route,
    unlisted: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Hidden,
    Shown,
}

impl ToolFilter {
    /// True if the agent may see this tool.
    pub fn shows(&self, name: &str) -> bool {
        self.unlisted == Shown::Shown || self.route.mcp().is_some_and(|rule| listed(rule, name).is_some())
    }

    /// True if the agent may see what a server lists, or says of itself: what could not be asked for is not there.
    pub fn lists(&self, kind: ItemKind, name: &str) -> bool {
        match kind {
            ItemKind::Tool => self.shows(name),
            ItemKind::Resource | ItemKind::Template | ItemKind::Prompt | ItemKind::Skill | ItemKind::Task => {
                self.unlisted == Shown::Shown
            }
            ItemKind::Capability => {
                self.unlisted == Shown::Shown || !["resources", "prompts", "completions", "tasks"].contains(&name)
            }
            ItemKind::Extension => self.unlisted == Shown::Shown || !EXTENSIONS.contains(&name),
            ItemKind::Instructions => true,
        }
    }
}

/// Extensions of which no method is served.
const EXTENSIONS: [&str; 2] = ["io.modelcontextprotocol/tasks", "io.modelcontextprotocol/skills"];

impl Trial<'_> {
    /// Judges one whole message.
    ///
    /// # Errors
    /// `revision_not_allowed`, `mcp_method_not_allowed`, `tool_not_allowed`, or `malformed_mcp` for an answer to a
    /// request of the server, none of which is ever passed on.
    pub fn message(&mut self, route: &Route, message: &Message) -> Result<BodyPermit, Denial> {
        let Some(rule) = route.mcp() else {
            return Err(Denial::new(Reason::Internal, "this request is not governed by an MCP entry"));
        };
        if message.kind == Kind::Response {
            let denial = Denial::new(Reason::MalformedMcp, "this server has asked nothing that could be answered");
            return Err(self.refuse(Step::Classify, denial.by(&rule.rule)));
        }
        self.settle(Step::Classify, revision(rule, message))?;
        self.settle(Step::Classify, method(rule, message))?;
        if message.method == Method::ToolsCall {
            let verdict = tool(rule, message.tool.as_deref().unwrap_or(""));
            self.settle(Step::Tool, verdict.map(|rule| Some(Cow::Owned(rule.clone()))))?;
        }
        Ok(self.body_permit())
    }

    /// The tools that this exchange may be shown.
    pub fn tool_filter(&self, route: &Route) -> ToolFilter {
        let unlisted = if self.mode.lets_pass(Reason::ToolNotAllowed) { Shown::Shown } else { Shown::Hidden };
        ToolFilter { route: route.clone(), unlisted }
    }

    /// Judges a tool by its name alone, as `explain` does.
    pub(super) fn tool(&mut self, rule: &McpRule, name: &str) -> Result<(), Denial> {
        self.settle(Step::Tool, tool(rule, name).map(|rule| Some(Cow::Owned(rule.clone()))))
    }

    /// The refusal of a body that is not one message of MCP; no mode lets it pass.
    pub fn unreadable_mcp(&mut self, route: &Route, error: &ReadError) -> Denial {
        let denial = match error {
            ReadError::Json(json) => Denial::new(Reason::MalformedJson, format!("the body is not strict JSON: {json}")),
            ReadError::Malformed { fault, .. } => {
                Denial::new(Reason::MalformedMcp, format!("the body is not one MCP message: {fault}"))
            }
            ReadError::HeaderMismatch { header, .. } => {
                Denial::new(Reason::HeaderMismatch, format!("{header} must say the same as the body"))
            }
            ReadError::Revision { .. } => {
                Denial::new(Reason::RevisionNotAllowed, "this revision of MCP is not spoken here")
            }
            ReadError::TooLong { limit } => {
                Denial::new(Reason::BodyUndecided, format!("the message is longer than {limit} bytes"))
            }
        };
        let rule = route.rule().cloned();
        self.refuse(Step::Classify, Denial { rule, ..denial })
    }
}

fn revision(rule: &McpRule, message: &Message) -> Result<Option<Cow<'static, Rule>>, Denial> {
    if rule.revisions.contains(&message.revision) {
        return Ok(Some(Cow::Owned(rule.rule.clone())));
    }
    let text = format!("MCP {} is not spoken with {}", message.revision.as_str(), rule.name);
    let remedy = format!("add it to revisions of {}", rule.rule.path);
    Err(Denial::new(Reason::RevisionNotAllowed, text).by(&rule.rule).remedy(remedy))
}

/// Methods that name no object, and `tools/call`. Those whose objects are in lists that are not read here are not
/// there: resources, prompts, tasks, skills and subscriptions, and what completes their names.
fn method(rule: &McpRule, message: &Message) -> Result<Option<Cow<'static, Rule>>, Denial> {
    let passes = match message.method {
        Method::Initialize
        | Method::ServerDiscover
        | Method::Ping
        | Method::ToolsList
        | Method::ToolsCall
        | Method::LoggingSetLevel
        | Method::NotificationsInitialized
        | Method::NotificationsCancelled
        | Method::NotificationsProgress
        | Method::NotificationsRootsListChanged => message.is_known(),
        Method::ResourcesList
        | Method::ResourcesTemplatesList
        | Method::ResourcesRead
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::ResourcesDirectoryRead
        | Method::SubscriptionsListen
        | Method::PromptsList
        | Method::PromptsGet
        | Method::CompletionComplete
        | Method::SamplingCreateMessage
        | Method::ElicitationCreate
        | Method::RootsList
        | Method::TasksGet
        | Method::TasksResult
        | Method::TasksList
        | Method::TasksCancel
        | Method::TasksUpdate
        | Method::SkillsList
        | Method::SkillsGet
        | Method::NotificationsMessage
        | Method::NotificationsToolsListChanged
        | Method::NotificationsPromptsListChanged
        | Method::NotificationsResourcesListChanged
        | Method::NotificationsResourcesUpdated
        | Method::NotificationsElicitationComplete
        | Method::NotificationsTasksStatus
        | Method::NotificationsTasks
        | Method::NotificationsSubscriptionsAcknowledged
        | Method::Absent
        | Method::Unknown(_) => false,
    };
    if passes {
        return Ok(Some(Cow::Owned(rule.rule.clone())));
    }
    let text = format!("this MCP method is not allowed on {}", rule.name);
    Err(Denial::new(Reason::McpMethodNotAllowed, text).by(&rule.rule))
}

fn tool<'r>(rule: &'r McpRule, name: &str) -> Result<&'r Rule, Denial> {
    let unknown = || {
        let remedy = format!("add it to tools of {}", rule.rule.path);
        let text = format!("no tool {} on {}", shown(name), rule.name);
        Denial::new(Reason::ToolNotAllowed, text).by(&rule.tools_rule).remedy(remedy)
    };
    listed(rule, name).ok_or_else(unknown)
}

/// The entry of `tools` that allows a name. A pattern stands only for names of the specification's alphabet (threat
/// C14): no lookalike letter slips through a `*`. An entry without wildcards allows its very bytes.
fn listed<'r>(rule: &'r McpRule, name: &str) -> Option<&'r Rule> {
    let plain = !name.is_empty()
        && name.len() <= TOOL_NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let entry = rule.tools.iter().find(|entry| match entry.glob.literal() {
        Some(literal) => literal == name,
        None => plain && entry.glob.matches(name),
    })?;
    Some(&entry.rule)
}

/// A name of the caller's, as a message repeats it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(TOOL_NAME_BYTES_MAX).collect()
}
