//! What is asked of a server's message: one tree for each kind of request.

use super::ItemKind;
use crate::json::{Known, Object, Tag, Want};
use crate::mcp::Method;

pub(super) const ROOT: Tag = 1;
pub(super) const JSONRPC: Tag = 2;
pub(super) const ID: Tag = 3;
pub(super) const METHOD: Tag = 4;
pub(super) const RESULT: Tag = 5;
pub(super) const ERROR: Tag = 6;
pub(super) const INPUTS: Tag = 7;
pub(super) const RESULT_TYPE: Tag = 8;
pub(super) const CACHE_SCOPE: Tag = 9;
pub(super) const TTL: Tag = 10;
pub(super) const PROTOCOL_VERSION: Tag = 11;
pub(super) const INSTRUCTIONS: Tag = 12;
pub(super) const CAPABILITIES: Tag = 13;
pub(super) const CAPABILITY: Tag = 14;
pub(super) const EXTENSIONS: Tag = 15;
pub(super) const EXTENSION: Tag = 16;
pub(super) const DESCRIPTION: Tag = 17;
/// What else is read of an element; nothing of it is told.
const UNTOLD: Tag = 0;

/// A list, its elements and their names: three tags in a row.
pub(super) const LISTS: [(Tag, ItemKind); 7] = [
    (TOOLS, ItemKind::Tool),
    (RESOURCES, ItemKind::Resource),
    (TEMPLATES, ItemKind::Template),
    (PROMPTS, ItemKind::Prompt),
    (SKILLS, ItemKind::Skill),
    (TASKS, ItemKind::Task),
    (PARTS, ItemKind::Resource),
];
const TOOLS: Tag = 32;
const RESOURCES: Tag = 36;
const TEMPLATES: Tag = 40;
const PROMPTS: Tag = 44;
const SKILLS: Tag = 48;
const TASKS: Tag = 52;
/// The resources of one skill.
pub(super) const PARTS: Tag = 56;
pub(super) const ELEMENT: Tag = 1;
pub(super) const NAME: Tag = 2;

/// What of a list is told.
pub(super) fn of_list(tag: Tag) -> Option<(Tag, ItemKind, Tag)> {
    let (list, kind) = LISTS.into_iter().rev().find(|(list, _)| *list <= tag)?;
    let part = tag - list;
    (part <= NAME).then_some((list, kind, part))
}

/// The list that an answer to this must have.
pub(super) const fn required(method: &Method) -> Option<Tag> {
    Some(match method {
        Method::ToolsList => TOOLS,
        Method::ResourcesList | Method::ResourcesDirectoryRead => RESOURCES,
        Method::ResourcesTemplatesList => TEMPLATES,
        Method::PromptsList => PROMPTS,
        Method::SkillsList => SKILLS,
        Method::TasksList => TASKS,
        _ => return None,
    })
}

/// What is asked of the messages that may come after a request of that method.
pub(super) const fn root(method: &Method) -> &'static Want {
    match method {
        Method::TasksGet | Method::TasksResult => &TASKING,
        Method::Initialize | Method::ServerDiscover => &GREETING,
        other if required(other).is_some() => &LISTING,
        _ => &PLAIN,
    }
}

macro_rules! message {
    ($root:ident, $members:ident, $result:expr) => {
        static $root: Want = Want::object(ROOT, &$members);
        static $members: Object = Object::new(&[
            Known::new("jsonrpc", Want::value(JSONRPC)),
            Known::new("id", Want::value(ID)),
            Known::new("method", Want::value(METHOD)),
            Known::new("result", Want::object(RESULT, $result)),
            Known::new("error", Want::span(ERROR)),
            Known::unread("params"),
        ]);
    };
}

message!(PLAIN, PLAIN_MEMBERS, &PLAIN_RESULT);
message!(LISTING, LISTING_MEMBERS, &LISTING_RESULT);
message!(TASKING, TASKING_MEMBERS, &TASK_RESULT);
message!(GREETING, GREETING_MEMBERS, &GREETING_RESULT);

/// What a client reads in some result, and may decide something.
static PLAIN_RESULT: Object = Object::new(&[
    Known::new("inputRequests", Want::span(INPUTS)),
    Known::new("resultType", Want::value(RESULT_TYPE)),
    Known::unread("_meta"),
    Known::unread("cacheScope"),
    Known::unread("capabilities"),
    Known::unread("content"),
    Known::unread("contents"),
    Known::unread("instructions"),
    Known::unread("isError"),
    Known::unread("nextCursor"),
    Known::unread("prompts"),
    Known::unread("protocolVersion"),
    Known::unread("requestState"),
    Known::unread("resources"),
    Known::unread("structuredContent"),
    Known::unread("task"),
    Known::unread("tools"),
    Known::unread("ttlMs"),
]);

static GREETING_RESULT: Object = Object::new(&[
    Known::new("protocolVersion", Want::value(PROTOCOL_VERSION)),
    Known::new("capabilities", Want::object(CAPABILITIES, &CAPABILITIES_OBJECT)),
    Known::new("instructions", Want::span(INSTRUCTIONS)),
    Known::new("resultType", Want::value(RESULT_TYPE)),
    Known::new("cacheScope", Want::span(CACHE_SCOPE)),
    Known::new("ttlMs", Want::span(TTL)),
    Known::new("inputRequests", Want::span(INPUTS)),
    Known::unread("serverInfo"),
    Known::unread("supportedVersions"),
    Known::unread("_meta"),
    Known::unread("requestState"),
]);
static CAPABILITIES_OBJECT: Object =
    Object::new(&[Known::new("extensions", Want::object(EXTENSIONS, &EXTENSIONS_OBJECT))]).others(&CAPABILITY_WANT);
static CAPABILITY_WANT: Want = Want::span(CAPABILITY);
static EXTENSIONS_OBJECT: Object = Object::new(&[]).others(&EXTENSION_WANT);
static EXTENSION_WANT: Want = Want::span(EXTENSION);

static LISTING_RESULT: Object = Object::new(&[
    Known::new("tools", Want::each(TOOLS, &TOOL)),
    Known::new("resources", Want::each(RESOURCES, &RESOURCE)),
    Known::new("resourceTemplates", Want::each(TEMPLATES, &TEMPLATE)),
    Known::new("prompts", Want::each(PROMPTS, &PROMPT)),
    Known::new("skills", Want::each(SKILLS, &SKILL)),
    Known::new("tasks", Want::each(TASKS, &TASK)),
    Known::unread("nextCursor"),
    Known::new("resultType", Want::value(RESULT_TYPE)),
    Known::new("cacheScope", Want::span(CACHE_SCOPE)),
    Known::new("ttlMs", Want::span(TTL)),
    Known::unread("_meta"),
    Known::new("inputRequests", Want::span(INPUTS)),
    Known::unread("requestState"),
]);

static TASK_RESULT: Object = Object::new(&[
    Known::new("inputRequests", Want::span(INPUTS)),
    // Of a task that is over: what it was made for has given.
    Known::new("result", Want::object(UNTOLD, &INNER_RESULT)),
    Known::new("resultType", Want::value(RESULT_TYPE)),
    Known::unread("taskId"),
    Known::unread("status"),
    Known::unread("content"),
    Known::unread("contents"),
    Known::unread("structuredContent"),
    Known::unread("isError"),
    Known::unread("error"),
    Known::unread("_meta"),
    Known::unread("requestState"),
]);
static INNER_RESULT: Object = Object::new(&[
    Known::new("inputRequests", Want::span(INPUTS)),
    Known::unread("resultType"),
    Known::unread("_meta"),
    Known::unread("content"),
    Known::unread("contents"),
    Known::unread("structuredContent"),
    Known::unread("isError"),
    Known::unread("requestState"),
]);

static TOOL: Want = Want::object(TOOLS + ELEMENT, &TOOL_OBJECT);
static TOOL_OBJECT: Object = Object::new(&[
    Known::new("name", Want::value(TOOLS + NAME)),
    Known::new("description", Want::span(DESCRIPTION)),
    Known::unread("inputSchema"),
    Known::unread("outputSchema"),
    Known::unread("annotations"),
    Known::unread("title"),
    Known::unread("execution"),
    Known::unread("icons"),
    Known::unread("_meta"),
]);
static RESOURCE: Want = Want::object(RESOURCES + ELEMENT, &RESOURCE_OBJECT);
static RESOURCE_OBJECT: Object = Object::new(&[
    Known::new("uri", Want::value(RESOURCES + NAME)),
    Known::unread("name"),
    Known::unread("title"),
    Known::unread("description"),
    Known::unread("mimeType"),
    Known::unread("annotations"),
    Known::unread("size"),
    Known::unread("icons"),
    Known::unread("_meta"),
]);
static TEMPLATE: Want = Want::object(TEMPLATES + ELEMENT, &TEMPLATE_OBJECT);
static TEMPLATE_OBJECT: Object = Object::new(&[
    Known::new("uriTemplate", Want::value(TEMPLATES + NAME)),
    Known::unread("name"),
    Known::unread("title"),
    Known::unread("description"),
    Known::unread("mimeType"),
    Known::unread("annotations"),
    Known::unread("icons"),
    Known::unread("_meta"),
]);
static PROMPT: Want = Want::object(PROMPTS + ELEMENT, &PROMPT_OBJECT);
static PROMPT_OBJECT: Object = Object::new(&[
    Known::new("name", Want::value(PROMPTS + NAME)),
    Known::unread("title"),
    Known::unread("description"),
    Known::unread("arguments"),
    Known::unread("icons"),
    Known::unread("_meta"),
]);
static SKILL: Want = Want::object(SKILLS + ELEMENT, &SKILL_OBJECT);
static SKILL_OBJECT: Object = Object::new(&[
    Known::new("uri", Want::value(SKILLS + NAME)),
    Known::unread("frontmatter"),
    Known::new("resources", Want::each(PARTS, &PART)),
    Known::unread("_meta"),
]);
static PART: Want = Want::object(PARTS + ELEMENT, &PART_OBJECT);
static PART_OBJECT: Object =
    Object::new(&[Known::new("uri", Want::value(PARTS + NAME)), Known::unread("digest"), Known::unread("size")]);
static TASK: Want = Want::object(TASKS + ELEMENT, &TASK_OBJECT);
static TASK_OBJECT: Object =
    Object::new(&[Known::new("taskId", Want::value(TASKS + NAME)), Known::unread("status"), Known::unread("_meta")]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_lists_are_told_apart() {
        assert_eq!(of_list(TOOLS + NAME), Some((TOOLS, ItemKind::Tool, NAME)));
        assert_eq!(of_list(PARTS + ELEMENT), Some((PARTS, ItemKind::Resource, ELEMENT)));
        assert_eq!(of_list(SKILLS), Some((SKILLS, ItemKind::Skill, 0)));
        for tag in [UNTOLD, ROOT, DESCRIPTION, TOOLS + 3] {
            assert_eq!(of_list(tag), None);
        }
    }
}
