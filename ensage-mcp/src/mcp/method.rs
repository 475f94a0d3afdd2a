//! The methods of all revisions (schema.ts of each; tasks and skills from their extensions).

use crate::Revision;

use super::Kind;

/// What a message asks for or tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`
    Initialize,
    /// `server/discover`
    ServerDiscover,
    /// `ping`
    Ping,
    /// `tools/list`
    ToolsList,
    /// `tools/call`
    ToolsCall,
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourcesTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `resources/subscribe`
    ResourcesSubscribe,
    /// `resources/unsubscribe`
    ResourcesUnsubscribe,
    /// `resources/directory/read`
    ResourcesDirectoryRead,
    /// `subscriptions/listen`
    SubscriptionsListen,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    CompletionComplete,
    /// `logging/setLevel`
    LoggingSetLevel,
    /// `sampling/createMessage`
    SamplingCreateMessage,
    /// `elicitation/create`
    ElicitationCreate,
    /// `roots/list`
    RootsList,
    /// `tasks/get`
    TasksGet,
    /// `tasks/result`
    TasksResult,
    /// `tasks/list`
    TasksList,
    /// `tasks/cancel`
    TasksCancel,
    /// `tasks/update`
    TasksUpdate,
    /// `skills/list`
    SkillsList,
    /// `skills/get`
    SkillsGet,
    /// `notifications/initialized`
    NotificationsInitialized,
    /// `notifications/roots/list_changed`
    NotificationsRootsListChanged,
    /// `notifications/cancelled`
    NotificationsCancelled,
    /// `notifications/progress`
    NotificationsProgress,
    /// `notifications/message`
    NotificationsMessage,
    /// `notifications/tools/list_changed`
    NotificationsToolsListChanged,
    /// `notifications/prompts/list_changed`
    NotificationsPromptsListChanged,
    /// `notifications/resources/list_changed`
    NotificationsResourcesListChanged,
    /// `notifications/resources/updated`
    NotificationsResourcesUpdated,
    /// `notifications/elicitation/complete`
    NotificationsElicitationComplete,
    /// `notifications/tasks/status`
    NotificationsTasksStatus,
    /// `notifications/tasks`
    NotificationsTasks,
    /// `notifications/subscriptions/acknowledged`
    NotificationsSubscriptionsAcknowledged,
    /// A response names none.
    Absent,
    /// A name of no revision, as sent.
    Unknown(String),
}

/// A side of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The agent's side.
    Client,
    /// The MCP server.
    Server,
}

impl Method {
    /// Reads a name, case-sensitively.
    pub fn parse(name: &str) -> Self {
        match ROWS.iter().find(|row| row.name == name) {
            Some(row) => row.method.clone(),
            None => Self::Unknown(name.to_owned()),
        }
    }

    /// The name on the wire; empty for [`Method::Absent`].
    pub fn name(&self) -> &str {
        match (self, self.row()) {
            (Self::Unknown(name), _) => name,
            (_, Some(row)) => row.name,
            (_, None) => "",
        }
    }

    /// What a message of this method must be; `None` if that is not known.
    pub fn kind(&self) -> Option<Kind> {
        self.row().map(|row| row.kind)
    }

    /// True if that side sends it in that revision (as a message; a modern server asks inside its results).
    pub fn is_sent_by(&self, sender: Sender, revision: Revision) -> bool {
        self.row().is_some_and(|row| row.senders.contains(&sender) && row.since <= revision && revision <= row.until)
    }

    fn row(&self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.method == *self)
    }
}

struct Row {
    name: &'static str,
    method: Method,
    kind: Kind,
    senders: &'static [Sender],
    since: Revision,
    until: Revision,
}

impl Row {
    const fn request(name: &'static str, method: Method, senders: &'static [Sender]) -> Self {
        Self { name, method, kind: Kind::Request, senders, since: A, until: E }
    }

    const fn notification(name: &'static str, method: Method, senders: &'static [Sender]) -> Self {
        Self { name, method, kind: Kind::Notification, senders, since: A, until: E }
    }

    const fn in_revisions(mut self, since: Revision, until: Revision) -> Self {
        self.since = since;
        self.until = until;
        self
    }
}

const A: Revision = Revision::V2024_11_05;
const C: Revision = Revision::V2025_06_18;
const D: Revision = Revision::V2025_11_25;
const E: Revision = Revision::V2026_07_28;

const CLIENT: &[Sender] = &[Sender::Client];
const SERVER: &[Sender] = &[Sender::Server];
const BOTH: &[Sender] = &[Sender::Client, Sender::Server];

static ROWS: [Row; 39] = [
    Row::request("tools/call", Method::ToolsCall, CLIENT),
    Row::request("tools/list", Method::ToolsList, CLIENT),
    Row::request("initialize", Method::Initialize, CLIENT).in_revisions(A, D),
    Row::request("server/discover", Method::ServerDiscover, CLIENT).in_revisions(E, E),
    Row::request("ping", Method::Ping, BOTH).in_revisions(A, D),
    Row::request("resources/list", Method::ResourcesList, CLIENT),
    Row::request("resources/templates/list", Method::ResourcesTemplatesList, CLIENT),
    Row::request("resources/read", Method::ResourcesRead, CLIENT),
    Row::request("resources/subscribe", Method::ResourcesSubscribe, CLIENT).in_revisions(A, D),
    Row::request("resources/unsubscribe", Method::ResourcesUnsubscribe, CLIENT).in_revisions(A, D),
    Row::request("resources/directory/read", Method::ResourcesDirectoryRead, CLIENT).in_revisions(E, E),
    Row::request("subscriptions/listen", Method::SubscriptionsListen, CLIENT).in_revisions(E, E),
    Row::request("prompts/list", Method::PromptsList, CLIENT),
    Row::request("prompts/get", Method::PromptsGet, CLIENT),
    Row::request("completion/complete", Method::CompletionComplete, CLIENT),
    Row::request("logging/setLevel", Method::LoggingSetLevel, CLIENT).in_revisions(A, D),
    Row::request("sampling/createMessage", Method::SamplingCreateMessage, SERVER).in_revisions(A, D),
    Row::request("elicitation/create", Method::ElicitationCreate, SERVER).in_revisions(C, D),
    Row::request("roots/list", Method::RootsList, SERVER).in_revisions(A, D),
    Row::request("tasks/get", Method::TasksGet, BOTH).in_revisions(D, E),
    Row::request("tasks/result", Method::TasksResult, BOTH).in_revisions(D, D),
    Row::request("tasks/list", Method::TasksList, BOTH).in_revisions(D, D),
    Row::request("tasks/cancel", Method::TasksCancel, BOTH).in_revisions(D, E),
    Row::request("tasks/update", Method::TasksUpdate, CLIENT).in_revisions(E, E),
    Row::request("skills/list", Method::SkillsList, CLIENT).in_revisions(E, E),
    Row::request("skills/get", Method::SkillsGet, CLIENT).in_revisions(E, E),
    Row::notification("notifications/initialized", Method::NotificationsInitialized, CLIENT).in_revisions(A, D),
    Row::notification("notifications/roots/list_changed", Method::NotificationsRootsListChanged, CLIENT)
        .in_revisions(A, D),
    Row::notification("notifications/cancelled", Method::NotificationsCancelled, BOTH),
    Row::notification("notifications/progress", Method::NotificationsProgress, BOTH),
    Row::notification("notifications/message", Method::NotificationsMessage, SERVER),
    Row::notification("notifications/tools/list_changed", Method::NotificationsToolsListChanged, SERVER),
    Row::notification("notifications/prompts/list_changed", Method::NotificationsPromptsListChanged, SERVER),
    Row::notification("notifications/resources/list_changed", Method::NotificationsResourcesListChanged, SERVER),
    Row::notification("notifications/resources/updated", Method::NotificationsResourcesUpdated, SERVER),
    Row::notification("notifications/elicitation/complete", Method::NotificationsElicitationComplete, SERVER)
        .in_revisions(D, D),
    Row::notification("notifications/tasks/status", Method::NotificationsTasksStatus, BOTH).in_revisions(D, D),
    Row::notification("notifications/tasks", Method::NotificationsTasks, SERVER).in_revisions(E, E),
    Row::notification(
        "notifications/subscriptions/acknowledged",
        Method::NotificationsSubscriptionsAcknowledged,
        SERVER,
    )
    .in_revisions(E, E),
];
