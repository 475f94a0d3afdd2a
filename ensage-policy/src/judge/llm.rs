//! Calls to LLM providers: which models answer, and what the provider would run, fetch or look up by itself.

use std::borrow::Cow;

use ensage_mcp::llm::{Connector, LlmError, Request};

use super::Trial;
use super::denial::{Denial, Step};
use super::permit::BodyPermit;
use super::reach;
use super::route::{self, Asked, Route, RouteKind, is_at, takes_query};
use super::url::Url;
use crate::model::{Enclave, LlmRule, Rule};
use crate::path::Likeness;
use crate::reason::Reason;

impl Trial<'_> {
    /// Judges one whole call.
    ///
    /// # Errors
    /// `provider_tool_not_allowed`, also for a tool or block that is not known; `connector_not_allowed`,
    /// `url_source_not_allowed`, `stored_id_not_allowed`, `model_not_allowed`.
    pub fn inference(&mut self, route: &Route, request: &Request) -> Result<BodyPermit, Denial> {
        let Some(rule) = route.llm() else {
            return Err(Denial::new(Reason::Internal, "this request is not governed by an LLM entry"));
        };
        self.settle(Step::Tool, provider_tools(rule, request))?;
        self.settle(Step::Tool, connectors(self.enclave, request))?;
        self.settle(Step::Tool, url_sources(self.enclave, request))?;
        self.settle(Step::Tool, stored_ids(rule, request))?;
        self.settle(Step::Model, models(rule, &request.models))?;
        Ok(self.body_permit())
    }

    /// Judges a model by its name alone, as `explain` does.
    pub(super) fn model(&mut self, rule: &LlmRule, model: &str) -> Result<(), Denial> {
        self.settle(Step::Model, models(rule, &[model.to_owned()]))
    }

    /// The refusal of a body that is not one call; no mode lets it pass.
    pub fn unreadable_llm(&mut self, route: &Route, error: &LlmError) -> Denial {
        let reason = match error {
            LlmError::Json(_) => Reason::MalformedJson,
            LlmError::Missing { .. } | LlmError::WrongType { .. } => Reason::MalformedLlm,
            LlmError::TooLong { .. } => Reason::BodyUndecided,
        };
        let denial = Denial { rule: route.rule().cloned(), ..Denial::new(reason, error.to_string()) };
        self.refuse(Step::Classify, denial)
    }
}

/// Unknown means refuse: nobody could say what the provider would do.
/// What a step said, by a rule of its own if it allows.
type Said = Result<Option<Cow<'static, Rule>>, Denial>;

fn provider_tools(rule: &LlmRule, request: &Request) -> Said {
    let list = &rule.provider_tools_rule;
    if let Some(unknown) = request.unknown.first() {
        let message = format!("{unknown} is not known to this gateway");
        return Err(Denial::new(Reason::ProviderToolNotAllowed, message).by(list));
    }
    let allowed = |tool: &String| rule.provider_tools.iter().any(|listed| **listed == **tool);
    match request.provider_tools.iter().find(|tool| !allowed(tool)) {
        None => Ok(Some(Cow::Owned(list.clone()))),
        Some(tool) => {
            let message = format!("the server-side tool {tool} is not allowed; leave it out");
            let remedy = format!("add it to provider_tools of {}", rule.rule.path);
            Err(Denial::new(Reason::ProviderToolNotAllowed, message).by(list).remedy(remedy))
        }
    }
}

/// A provider may call an MCP server only where the agent might call it.
fn connectors(enclave: &Enclave, request: &Request) -> Said {
    let declared = |connector: &&Connector| Url::parse(&connector.url).is_ok_and(|url| is_declared(enclave, &url));
    match request.connectors.iter().find(|connector| !declared(connector)) {
        None => Ok(None),
        Some(connector) => {
            let list = Rule { path: format!("{}.mcp", enclave.rule.path).into(), line: enclave.rule.line };
            let message =
                format!("the connector {} is not an MCP server of this enclave; leave it out", connector.name);
            let remedy = format!("declare its url as {}.NAME", list.path);
            Err(Denial::new(Reason::ConnectorNotAllowed, message).by(&list).remedy(remedy))
        }
    }
}

fn is_declared(enclave: &Enclave, url: &Url) -> bool {
    enclave.mcp.iter().any(|rule| {
        is_at(rule, &url.authority, url.scheme)
            && url.path.likeness(&rule.endpoint) == Likeness::Same
            && takes_query(rule, url.query.as_deref())
    })
}

/// A provider may fetch only what the agent might fetch with GET by an `http` rule.
fn url_sources(enclave: &Enclave, request: &Request) -> Said {
    let opened = |source: &&String| Url::parse(source).is_ok_and(|url| is_open(enclave, &url));
    match request.url_sources.iter().find(|source| !opened(source)) {
        None => Ok(None),
        Some(_) => {
            let list = super::http::list(enclave);
            let message = "the provider may not fetch one of these URLs; send the content itself";
            let remedy = format!("allow GET of it in {}", list.path);
            Err(Denial::new(Reason::UrlSourceNotAllowed, message).by(&list).remedy(remedy))
        }
    }
}

fn is_open(enclave: &Enclave, url: &Url) -> bool {
    let Url { scheme, authority, path, query } = url;
    let asked = Asked { authority, scheme: *scheme, method: "GET", path, query: query.as_deref() };
    let found = route::find(enclave, &asked);
    reach::closed(enclave, authority).is_none() && found.kind == RouteKind::Http
}

/// Nothing is known here of what a provider keeps, nor whose it is.
fn stored_ids(rule: &LlmRule, request: &Request) -> Said {
    match request.stored_ids.first() {
        None => Ok(None),
        Some(stored) => {
            let message = format!("a stored {} is not allowed; send the content itself", stored.kind.as_str());
            Err(Denial::new(Reason::StoredIdNotAllowed, message).by(&rule.rule))
        }
    }
}

/// Every model that may answer is an allowed one.
fn models(rule: &LlmRule, models: &[String]) -> Said {
    let allowed = |model: &String| rule.models.iter().any(|glob| glob.matches(model));
    let refused = |message: String| {
        let remedy = format!("add it to models of {}", rule.rule.path);
        Denial::new(Reason::ModelNotAllowed, message).by(&rule.models_rule).remedy(remedy)
    };
    match models.iter().find(|model| !allowed(model)) {
        Some(model) => {
            let model: String = model.chars().filter(|c| !c.is_control()).take(128).collect();
            Err(refused(format!("the model {model} is not allowed; use another one")))
        }
        None if models.is_empty() => Err(refused("this call names no model".to_owned())),
        None => Ok(Some(Cow::Owned(rule.models_rule.clone()))),
    }
}
