//! What a message of a client is asked for.

use crate::json::{Known, Object, Tag, Want};

pub(super) const ROOT: Tag = 0;
pub(super) const JSONRPC: Tag = 1;
pub(super) const ID: Tag = 2;
pub(super) const METHOD: Tag = 3;
pub(super) const PARAMS: Tag = 4;
pub(super) const RESULT: Tag = 5;
pub(super) const ERROR: Tag = 6;
pub(super) const META: Tag = 7;
pub(super) const VERSION: Tag = 8;
pub(super) const INPUT_RESPONSES: Tag = 9;
pub(super) const TASK: Tag = 10;
pub(super) const REQUEST_STATE: Tag = 11;
pub(super) const CURSOR: Tag = 12;
pub(super) const NAME: Tag = 13;
pub(super) const URI: Tag = 14;
pub(super) const TASK_ID: Tag = 15;
pub(super) const PROTOCOL_VERSION: Tag = 16;
pub(super) const REQUEST_ID: Tag = 17;
pub(super) const ARGUMENTS: Tag = 18;
pub(super) const REF: Tag = 19;
pub(super) const REF_TYPE: Tag = 20;
pub(super) const REF_NAME: Tag = 21;
pub(super) const REF_URI: Tag = 22;
pub(super) const NOTIFICATIONS: Tag = 23;
pub(super) const SUBSCRIPTIONS: Tag = 24;
pub(super) const SUBSCRIPTION: Tag = 25;
pub(super) const TASK_IDS: Tag = 26;
pub(super) const ONE_TASK_ID: Tag = 27;

pub(super) static MESSAGE: Want = Want::object(ROOT, &ENVELOPE);

static ENVELOPE: Object = Object::new(&[
    Known::new("jsonrpc", Want::value(JSONRPC)),
    Known::new("id", Want::value(ID)),
    Known::new("method", Want::value(METHOD)),
    Known::new("params", Want::object(PARAMS, &ALL_PARAMS)),
    Known::new("result", Want::object(RESULT, &ANSWER)),
    Known::new("error", Want::object(ERROR, &ANSWER)),
]);

/// Every member that some method reads; a twin of one of them is refused in all methods. What is wrong with the envelope
/// is told before that, so twins are told here and below.
static ALL_PARAMS: Object = Object::new(&[
    Known::new("name", Want::value(NAME)),
    Known::new("arguments", Want::bytes(ARGUMENTS)),
    Known::new("_meta", Want::object(META, &ALL_META)),
    Known::new("uri", Want::value(URI)),
    Known::new("cursor", Want::value(CURSOR)),
    Known::new("taskId", Want::value(TASK_ID)),
    Known::new("requestId", Want::value(REQUEST_ID)),
    Known::new("protocolVersion", Want::value(PROTOCOL_VERSION)),
    Known::new("inputResponses", Want::object(INPUT_RESPONSES, &NAMES)),
    Known::new("requestState", Want::value(REQUEST_STATE)),
    Known::new("task", Want::object(TASK, &ASKED_TASK)),
    Known::new("ref", Want::object(REF, &REFERENCE)),
    Known::new("notifications", Want::object(NOTIFICATIONS, &ASKED)),
    Known::unread("argument"),
    Known::unread("capabilities"),
    Known::unread("clientInfo"),
    Known::unread("context"),
    Known::unread("level"),
    Known::unread("progress"),
    Known::unread("progressToken"),
])
.telling_twins();

static ALL_META: Object = Object::new(&[
    Known::unread("progressToken"),
    Known::new("io.modelcontextprotocol/protocolVersion", Want::value(VERSION)),
    Known::unread("io.modelcontextprotocol/clientCapabilities"),
    Known::unread("io.modelcontextprotocol/clientInfo"),
    Known::unread("io.modelcontextprotocol/logLevel"),
    Known::unread("io.modelcontextprotocol/related-task"),
    Known::unread("io.modelcontextprotocol/serverInfo"),
    Known::unread("io.modelcontextprotocol/subscriptionId"),
    Known::unread("traceparent"),
    Known::unread("tracestate"),
    Known::unread("baggage"),
])
.telling_twins();

/// The names in it are the server's own.
static NAMES: Object = Object::new(&[]).telling_twins();

static ASKED_TASK: Object = Object::new(&[Known::unread("ttl"), Known::unread("taskId")]).telling_twins();

static REFERENCE: Object = Object::new(&[
    Known::new("type", Want::value(REF_TYPE)),
    Known::new("name", Want::value(REF_NAME)),
    Known::new("uri", Want::value(REF_URI)),
    Known::unread("title"),
])
.telling_twins();

static ASKED: Object = Object::new(&[
    Known::unread("toolsListChanged"),
    Known::unread("promptsListChanged"),
    Known::unread("resourcesListChanged"),
    Known::new("resourceSubscriptions", Want::each(SUBSCRIPTIONS, &ONE_SUBSCRIPTION)),
    Known::new("taskIds", Want::each(TASK_IDS, &ONE_TASK)),
])
.telling_twins();

static ONE_SUBSCRIPTION: Want = Want::value(SUBSCRIPTION);
static ONE_TASK: Want = Want::value(ONE_TASK_ID);

static ANSWER: Object = Object::new(&[
    Known::unread("code"),
    Known::unread("message"),
    Known::unread("data"),
    Known::unread("action"),
    Known::unread("content"),
    Known::unread("roots"),
    Known::unread("model"),
    Known::unread("role"),
    Known::unread("_meta"),
])
.telling_twins();
