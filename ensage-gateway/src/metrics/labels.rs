//! Labels that are closed sets of the gateway's own.

/// What a call is (interface section 2, `type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallType {
    /// Plain HTTP.
    #[default]
    Http,
    /// A message for an MCP server.
    Mcp,
    /// A request of an LLM API.
    Llm,
    /// TLS that passes unread.
    Tunnel,
    /// A WebSocket, or what asks for one.
    Websocket,
    /// A CONNECT that is refused, or whose client refuses our certificate.
    Connect,
}

impl CallType {
    pub(super) const ALL: [Self; 6] = [Self::Http, Self::Mcp, Self::Llm, Self::Tunnel, Self::Websocket, Self::Connect];

    /// The stable name.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mcp => "mcp",
            Self::Llm => "llm",
            Self::Tunnel => "tunnel",
            Self::Websocket => "websocket",
            Self::Connect => "connect",
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Let through; with a reason, where only observe mode did.
    Allow,
    /// Refused.
    Deny,
}

impl Decision {
    pub(super) const ALL: [Self; 2] = [Self::Allow, Self::Deny];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One side of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Towards the agent.
    Client,
    /// Towards the origin.
    Upstream,
}

impl Leg {
    pub(super) const ALL: [Self; 2] = [Self::Client, Self::Upstream];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        }
    }
}
