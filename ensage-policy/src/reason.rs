//! The closed set of reasons for a refusal, and what each of them looks like from outside.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $code:literal $class:ident),* $(,)?) => {
        /// Why something was refused. Reasons are only ever added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`")] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name that records and answers carry.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The form in which a client is told.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }
        }
    };
}

/// How a refusal is told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 502 that looks like a name that does not exist.
    Hidden,
    /// JSON-RPC -32602 without `data`.
    McpUnknown,
    /// JSON-RPC -32601.
    McpMethod,
    /// JSON-RPC -31001; elsewhere 403.
    Asked,
    /// JSON-RPC -31001; elsewhere 429 with `retry-after`.
    Rate,
    /// 400 in the form of the LLM API.
    Llm,
    /// 400.
    Malformed,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 408.
    Timeout,
    /// 413.
    TooLarge,
    /// 414.
    TargetTooLong,
    /// 415.
    MediaType,
    /// 421.
    Misdirected,
    /// 431.
    HeaderTooLarge,
    /// 502.
    BadGateway,
    /// 503 with `retry-after`.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// 500.
    Internal,
}

reasons! {
    HostNotAllowed "host_not_allowed" Hidden,
    PortNotAllowed "port_not_allowed" Hidden,
    SchemeNotAllowed "scheme_not_allowed" Hidden,
    AddressLiteral "address_literal" Hidden,
    ChamberClosed "chamber_closed" Hidden,
    ToolNotAllowed "tool_not_allowed" McpUnknown,
    ToolWithheld "tool_withheld" McpUnknown,
    PromptNotAllowed "prompt_not_allowed" McpUnknown,
    ResourceNotAllowed "resource_not_allowed" McpUnknown,
    McpMethodNotAllowed "mcp_method_not_allowed" McpMethod,
    ServerRequestNotAllowed "server_request_not_allowed" McpMethod,
    GrantRequired "grant_required" Asked,
    GrantExpired "grant_expired" Asked,
    GrantRevoked "grant_revoked" Asked,
    ArgumentsInvalid "arguments_invalid" Asked,
    RateLimited "rate_limited" Rate,
    ModelNotAllowed "model_not_allowed" Llm,
    ProviderToolNotAllowed "provider_tool_not_allowed" Llm,
    ConnectorNotAllowed "connector_not_allowed" Llm,
    UrlSourceNotAllowed "url_source_not_allowed" Llm,
    StoredIdNotAllowed "stored_id_not_allowed" Llm,
    BudgetSpent "budget_spent" Llm,
    MalformedRequest "malformed_request" Malformed,
    MalformedAuthority "malformed_authority" Malformed,
    AmbiguousPath "ambiguous_path" Malformed,
    MalformedJson "malformed_json" Malformed,
    MalformedMcp "malformed_mcp" Malformed,
    MalformedLlm "malformed_llm" Malformed,
    HeaderMismatch "header_mismatch" Malformed,
    RevisionNotAllowed "revision_not_allowed" Malformed,
    Unattributed "unattributed" Forbidden,
    AmbiguousAgent "ambiguous_agent" Forbidden,
    AmbiguousEnclave "ambiguous_enclave" Forbidden,
    AgentNotAllowed "agent_not_allowed" Forbidden,
    TierTooLow "tier_too_low" Forbidden,
    SessionEnded "session_ended" Forbidden,
    SessionQuarantined "session_quarantined" Forbidden,
    MethodNotAllowed "method_not_allowed" Forbidden,
    PathNotAllowed "path_not_allowed" Forbidden,
    ProtocolNotAllowed "protocol_not_allowed" Forbidden,
    WebsocketNotAllowed "websocket_not_allowed" Forbidden,
    UndeclaredMcp "undeclared_mcp" Forbidden,
    LlmPathNotAllowed "llm_path_not_allowed" Forbidden,
    HostClosed "host_closed" Forbidden,
    OriginNotAllowed "origin_not_allowed" Forbidden,
    PlaceholderWrongHost "placeholder_wrong_host" Forbidden,
    PlaceholderWrongSlot "placeholder_wrong_slot" Forbidden,
    PlaceholderWrongPath "placeholder_wrong_path" Forbidden,
    PlaceholderWrongSession "placeholder_wrong_session" Forbidden,
    PlaceholderExpired "placeholder_expired" Forbidden,
    PlaceholderUnknown "placeholder_unknown" Forbidden,
    PlaceholderWouldDeny "placeholder_would_deny" Forbidden,
    ForeignCredential "foreign_credential" Forbidden,
    AmbiguousCredential "ambiguous_credential" Forbidden,
    PlaintextUpstream "plaintext_upstream" Forbidden,
    McpSessionUnknown "mcp_session_unknown" NotFound,
    ClientTimeout "client_timeout" Timeout,
    BodyUndecided "body_undecided" TooLarge,
    BodyTooLarge "body_too_large" TooLarge,
    TargetTooLong "target_too_long" TargetTooLong,
    EncodingRefused "encoding_refused" MediaType,
    ContentTypeRefused "content_type_refused" MediaType,
    AuthorityMismatch "authority_mismatch" Misdirected,
    HeaderTooLarge "header_too_large" HeaderTooLarge,
    UpstreamDns "upstream_dns" BadGateway,
    UpstreamAddress "upstream_address" BadGateway,
    UpstreamRefused "upstream_refused" BadGateway,
    UpstreamCertificate "upstream_certificate" BadGateway,
    UpstreamTls "upstream_tls" BadGateway,
    UpstreamProtocol "upstream_protocol" BadGateway,
    UpstreamClosed "upstream_closed" BadGateway,
    UpstreamProxy "upstream_proxy" BadGateway,
    ResponseRefused "response_refused" BadGateway,
    CredentialUnavailable "credential_unavailable" Unavailable,
    AuditUnavailable "audit_unavailable" Unavailable,
    Overloaded "overloaded" Unavailable,
    Draining "draining" Unavailable,
    UpstreamTimeout "upstream_timeout" GatewayTimeout,
    Internal "internal" Internal,
}

/// How much a record matters to whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to see.
    Info,
    /// Worth a look in a quiet hour.
    Low,
    /// A refusal.
    Medium,
    /// A sign of compromise.
    High,
}

impl Severity {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Reason {
    /// HTTP status outside MCP and LLM answers.
    pub const fn status(self) -> u16 {
        match self.class() {
            Class::Hidden | Class::BadGateway => 502,
            Class::McpUnknown | Class::McpMethod | Class::Asked | Class::Forbidden => 403,
            Class::Rate => 429,
            Class::Llm | Class::Malformed => 400,
            Class::NotFound => 404,
            Class::Timeout => 408,
            Class::TooLarge => 413,
            Class::TargetTooLong => 414,
            Class::MediaType => 415,
            Class::Misdirected => 421,
            Class::HeaderTooLarge => 431,
            Class::Unavailable => 503,
            Class::GatewayTimeout => 504,
            Class::Internal => 500,
        }
    }

    /// True for faults of the upstream or the gateway, as opposed to a refusal by policy.
    pub const fn is_fault(self) -> bool {
        match self.class() {
            Class::BadGateway | Class::Unavailable | Class::GatewayTimeout | Class::Internal => true,
            Class::Hidden
            | Class::McpUnknown
            | Class::McpMethod
            | Class::Asked
            | Class::Rate
            | Class::Llm
            | Class::Malformed
            | Class::Forbidden
            | Class::NotFound
            | Class::Timeout
            | Class::TooLarge
            | Class::TargetTooLong
            | Class::MediaType
            | Class::Misdirected
            | Class::HeaderTooLarge => false,
        }
    }

    /// True for faults of the upstream alone: what the gateway itself cannot do now is a refusal of its own.
    pub const fn is_upstream(self) -> bool {
        matches!(self.class(), Class::BadGateway | Class::GatewayTimeout)
    }

    /// True if observe mode lets the call through and records `would = deny` (contract section 5).
    ///
    /// Chambers, ambiguous authority, framing or JSON, special-purpose addresses, placeholder misuse and every
    /// fault stay refused in every mode.
    pub const fn observe_passes(self) -> bool {
        matches!(
            self,
            Self::HostNotAllowed
                | Self::PortNotAllowed
                | Self::SchemeNotAllowed
                | Self::AddressLiteral
                | Self::ToolNotAllowed
                | Self::PromptNotAllowed
                | Self::ResourceNotAllowed
                | Self::McpMethodNotAllowed
                | Self::ServerRequestNotAllowed
                | Self::ArgumentsInvalid
                | Self::RateLimited
                | Self::ModelNotAllowed
                | Self::ProviderToolNotAllowed
                | Self::ConnectorNotAllowed
                | Self::UrlSourceNotAllowed
                | Self::StoredIdNotAllowed
                | Self::BudgetSpent
                | Self::RevisionNotAllowed
                | Self::Unattributed
                | Self::AgentNotAllowed
                | Self::TierTooLow
                | Self::MethodNotAllowed
                | Self::PathNotAllowed
                | Self::WebsocketNotAllowed
                | Self::UndeclaredMcp
                | Self::LlmPathNotAllowed
                | Self::HostClosed
                | Self::ForeignCredential
        )
    }

    /// How much a record with this reason matters (interface section 3).
    pub const fn severity(self) -> Severity {
        match self {
            Self::PlaceholderWrongPath => Severity::Low,
            Self::PlaceholderWrongHost
            | Self::PlaceholderWrongSlot
            | Self::PlaceholderWrongSession
            | Self::PlaceholderExpired
            | Self::PlaceholderUnknown
            | Self::PlaceholderWouldDeny
            | Self::ForeignCredential
            | Self::SessionQuarantined => Severity::High,
            _ if self.is_fault() => Severity::Low,
            _ => Severity::Medium,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
