//! What the parameters of a request name.

use sha2::{Digest as _, Sha256};

use super::error::{Fault, ReadError};
use super::{ArgumentsSpan, Id, Method};
use crate::json::{Interpreted, Node, slice};

/// Every member that some method reads; a twin of one of them is refused in all methods.
const KNOWN: [&str; 20] = [
    "_meta",
    "argument",
    "arguments",
    "capabilities",
    "clientInfo",
    "context",
    "cursor",
    "inputResponses",
    "level",
    "name",
    "notifications",
    "progress",
    "progressToken",
    "protocolVersion",
    "ref",
    "requestId",
    "requestState",
    "task",
    "taskId",
    "uri",
];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

const KNOWN_META: [&str; 11] = [
    VERSION,
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/subscriptionId",
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
];

/// The `params` of a message, without duplicates and twins in them and in their `_meta`.
pub(super) struct Params<'n, 'a> {
    members: Option<Interpreted<'n, 'a>>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`
    pub(super) version: Option<&'n str>,
    id: &'n Option<Id>,
}

impl<'n, 'a> Params<'n, 'a> {
    pub(super) fn read(params: Option<&'n Node<'a>>, id: &'n Option<Id>) -> Result<Self, ReadError> {
        let mut all = Self { members: None, version: None, id };
        let Some(node) = params else { return Ok(all) };
        if node.as_object().is_none() {
            return Err(all.fault("params"));
        }
        all.members = Some(node.interpreted(&KNOWN)?);
        if let Some(meta) = all.object("_meta", &KNOWN_META)? {
            all.version = match meta.get(VERSION) {
                None => None,
                Some(version) => Some(version.as_str().ok_or_else(|| all.fault("_meta"))?),
            };
        }
        // Inside them the names are the server's own.
        all.object("inputResponses", &[])?;
        all.object("task", &["ttl", "taskId"])?;
        all.string("requestState")?;
        all.string("cursor")?;
        Ok(all)
    }

    /// This member is missing, or not of its type.
    pub(super) fn fault(&self, member: &'static str) -> ReadError {
        ReadError::Malformed { id: self.id.clone(), fault: Fault::Member(member) }
    }

    pub(super) fn string(&self, member: &'static str) -> Result<Option<&'n str>, ReadError> {
        match self.node(member) {
            None => Ok(None),
            Some(node) => Ok(Some(node.as_str().ok_or_else(|| self.fault(member))?)),
        }
    }

    fn node(&self, member: &str) -> Option<&'n Node<'a>> {
        self.members.and_then(|members| members.get(member))
    }

    fn needed(&self, member: &'static str) -> Result<String, ReadError> {
        Ok(self.string(member)?.ok_or_else(|| self.fault(member))?.to_owned())
    }

    fn object(&self, member: &'static str, known: &[&str]) -> Result<Option<Interpreted<'n, 'a>>, ReadError> {
        match self.node(member) {
            None => Ok(None),
            Some(node) if node.as_object().is_some() => Ok(Some(node.interpreted(known)?)),
            Some(_) => Err(self.fault(member)),
        }
    }
}

/// The objects that a message names, each of which has to be allowed.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) tool: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) resource_uris: Vec<String>,
    pub(super) resource_template: Option<String>,
    pub(super) tasks: Vec<String>,
    pub(super) arguments: Option<ArgumentsSpan>,
    pub(super) cancels: Option<Id>,
}

impl Objects {
    pub(super) fn read(method: &Method, params: &Params<'_, '_>, body: &[u8]) -> Result<Self, ReadError> {
        let mut all = Self::default();
        match method {
            Method::ToolsCall => {
                all.tool = Some(params.needed("name")?);
                all.arguments = arguments(params, body)?;
            }
            Method::PromptsGet => {
                all.prompt = Some(params.needed("name")?);
                all.arguments = arguments(params, body)?;
            }
            Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::ResourcesDirectoryRead
            | Method::SkillsGet => all.resource_uris.push(params.needed("uri")?),
            Method::CompletionComplete => all.read_ref(params)?,
            Method::SubscriptionsListen => all.read_subscriptions(params)?,
            Method::TasksGet | Method::TasksResult | Method::TasksCancel | Method::TasksUpdate => {
                all.tasks.push(params.needed("taskId")?);
            }
            Method::NotificationsCancelled => {
                if let Some(node) = params.node("requestId") {
                    all.cancels = Some(Id::read(node, body).ok_or_else(|| params.fault("requestId"))?);
                }
            }
            // They name nothing, or clients don't send them.
            Method::Initialize
            | Method::ServerDiscover
            | Method::Ping
            | Method::ToolsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::PromptsList
            | Method::LoggingSetLevel
            | Method::SamplingCreateMessage
            | Method::ElicitationCreate
            | Method::RootsList
            | Method::TasksList
            | Method::SkillsList
            | Method::NotificationsInitialized
            | Method::NotificationsRootsListChanged
            | Method::NotificationsProgress
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
            | Method::Unknown(_) => {}
        }
        Ok(all)
    }

    /// What `Mcp-Name` must say, where the method has it.
    pub(super) fn subject(&self, method: &Method) -> Option<&str> {
        // The other methods have no such header (2026-07-28, Request Metadata; tasks and skills extensions).
        if matches!(method, Method::ToolsCall) {
            self.tool.as_deref()
        } else if matches!(method, Method::PromptsGet) {
            self.prompt.as_deref()
        } else if matches!(method, Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe) {
            self.resource_uris.first().map(String::as_str)
        } else if matches!(method, Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) {
            self.tasks.first().map(String::as_str)
        } else {
            None
        }
    }

    fn read_ref(&mut self, params: &Params<'_, '_>) -> Result<(), ReadError> {
        let reference = params.object("ref", &["type", "name", "title", "uri"])?.ok_or_else(|| params.fault("ref"))?;
        let text = |member| reference.get(member).and_then(Node::as_str);
        match (text("type"), text("name"), text("uri")) {
            (Some("ref/prompt"), Some(name), None) => self.prompt = Some(name.to_owned()),
            (Some("ref/resource"), None, Some(uri)) => self.resource_template = Some(uri.to_owned()),
            _ => return Err(params.fault("ref")),
        }
        Ok(())
    }

    fn read_subscriptions(&mut self, params: &Params<'_, '_>) -> Result<(), ReadError> {
        let known =
            ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"];
        let asked = params.object("notifications", &known)?.ok_or_else(|| params.fault("notifications"))?;
        let strings = |member| -> Result<Vec<String>, ReadError> {
            let Some(node) = asked.get(member) else { return Ok(Vec::new()) };
            let elements = node.as_array().ok_or_else(|| params.fault("notifications"))?;
            let texts = elements.iter().map(|element| element.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(|| params.fault("notifications"))
        };
        self.resource_uris = strings("resourceSubscriptions")?;
        self.tasks = strings("taskIds")?;
        Ok(())
    }
}

fn arguments(params: &Params<'_, '_>, body: &[u8]) -> Result<Option<ArgumentsSpan>, ReadError> {
    let Some(node) = params.node("arguments") else { return Ok(None) };
    if node.as_object().is_none() {
        return Err(params.fault("arguments"));
    }
    let digest = Sha256::digest(slice(body, &node.span));
    let nibble = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    let sha256 = digest.iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 0xF)]).collect();
    Ok(Some(ArgumentsSpan { range: node.span.clone(), sha256 }))
}
