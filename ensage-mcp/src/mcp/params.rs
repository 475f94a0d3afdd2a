//! What the parameters of a request name.

use super::draft::{Asked, Draft, Said};
use super::error::{Fault, ReadError};
use super::{ArgumentsSpan, Id, Method};

impl Draft {
    /// Holds what every method has in its parameters against what it must be.
    pub(super) fn check_params(&self, id: &Option<Id>) -> Result<(), ReadError> {
        self.params.check("params", id)?;
        self.meta.check("_meta", id)?;
        self.version.check("_meta", id)?;
        self.input_responses.check("inputResponses", id)?;
        self.task.check("task", id)?;
        self.request_state.check("requestState", id)?;
        self.cursor.check("cursor", id)
    }
}

impl Asked {
    /// Absent, or an object without duplicates and twins.
    fn check(&self, member: &'static str, id: &Option<Id>) -> Result<(), ReadError> {
        self.said.check(member, id)?;
        self.twin.map_or(Ok(()), |twin| Err(twin.into()))
    }
}

impl<T> Said<T> {
    fn check(&self, member: &'static str, id: &Option<Id>) -> Result<(), ReadError> {
        if matches!(self, Self::Wrong) { Err(fault(member, id)) } else { Ok(()) }
    }

    /// What it is; it must be there.
    pub(super) fn needed(&mut self, member: &'static str, id: &Option<Id>) -> Result<T, ReadError> {
        self.take().ok_or_else(|| fault(member, id))
    }

    fn take(&mut self) -> Option<T> {
        if let Self::Is(value) = std::mem::replace(self, Self::Absent) { Some(value) } else { None }
    }
}

/// This member is missing, or not of its type.
pub(super) fn fault(member: &'static str, id: &Option<Id>) -> ReadError {
    ReadError::Malformed { id: id.clone(), fault: Fault::Member(member) }
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
    pub(super) fn read(method: &Method, draft: &mut Draft, id: &Option<Id>) -> Result<Self, ReadError> {
        let mut all = Self::default();
        match method {
            Method::ToolsCall => {
                all.tool = Some(draft.name.needed("name", id)?);
                draft.arguments.said.check("arguments", id)?;
                all.arguments = draft.arguments.span();
            }
            Method::PromptsGet => {
                all.prompt = Some(draft.name.needed("name", id)?);
                draft.arguments.said.check("arguments", id)?;
                all.arguments = draft.arguments.span();
            }
            Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::ResourcesDirectoryRead
            | Method::SkillsGet => all.resource_uris.push(draft.uri.needed("uri", id)?),
            Method::CompletionComplete => all.read_ref(draft, id)?,
            Method::SubscriptionsListen => all.read_subscriptions(draft, id)?,
            Method::TasksGet | Method::TasksResult | Method::TasksCancel | Method::TasksUpdate => {
                all.tasks.push(draft.task_id.needed("taskId", id)?);
            }
            Method::NotificationsCancelled => {
                draft.request_id.check("requestId", id)?;
                all.cancels = draft.request_id.take();
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

    fn read_ref(&mut self, draft: &mut Draft, id: &Option<Id>) -> Result<(), ReadError> {
        draft.reference.check("ref", id)?;
        let kind = draft.ref_type.take();
        match (kind.as_deref(), draft.ref_name.take(), draft.ref_uri.take()) {
            (Some("ref/prompt"), Some(name), None) => self.prompt = Some(name),
            (Some("ref/resource"), None, Some(uri)) => self.resource_template = Some(uri),
            _ => return Err(fault("ref", id)),
        }
        Ok(())
    }

    fn read_subscriptions(&mut self, draft: &mut Draft, id: &Option<Id>) -> Result<(), ReadError> {
        draft.notifications.check("notifications", id)?;
        draft.notifications.said.needed("notifications", id)?;
        draft.subscriptions.said.check("notifications", id)?;
        draft.task_ids.said.check("notifications", id)?;
        self.resource_uris = std::mem::take(&mut draft.subscriptions.all);
        self.tasks = std::mem::take(&mut draft.task_ids.all);
        Ok(())
    }
}
