//! Calls to LLM providers: which models answer, and what the provider would run, fetch or look up by itself.

use std::borrow::Cow;

use ensage_mcp::llm::{Connector, LlmError, Place, Request, StoredId};

use super::Trial;
use super::denial::{Denial, Step};
use super::permit::BodyPermit;
use super::reach;
use super::route::{self, Asked, Route, RouteKind, is_at, takes_query};
use super::url::Url;
use crate::model::{Enclave, LlmRule, McpRule, Rule};
use crate::path::Likeness;
use crate::reason::Reason;

impl Trial<'_> {
    /// Judges one whole call; `given` tells what of its provider's state the session was given.
    ///
    /// # Errors
    /// `provider_tool_not_allowed`, also for a tool or block that is not known; `connector_not_allowed`,
    /// `url_source_not_allowed`, `stored_id_not_allowed`, `model_not_allowed`, `foreign_credential`.
    pub fn inference(
        &mut self,
        route: &Route,
        request: &Request,
        given: &dyn Fn(&StoredId) -> bool,
    ) -> Result<BodyPermit, Denial> {
        let rule = self.governing(route)?;
        self.settle(Step::Tool, provider_tools(rule, request))?;
        self.settle(Step::Tool, connectors(self.enclave, rule, request))?;
        self.settle(Step::Tool, url_sources(self.enclave, request))?;
        self.settle(Step::Tool, stored_ids(rule, &request.stored_ids, given))?;
        self.settle(Step::Model, models(rule, &request.models))?;
        self.settle(Step::Credential, secrets(self.enclave, rule, request))?;
        Ok(self.body_permit())
    }

    /// Judges a request for something that the provider keeps.
    ///
    /// # Errors
    /// `stored_id_not_allowed`
    pub fn kept(&mut self, route: &Route, id: StoredId, given: &dyn Fn(&StoredId) -> bool) -> Result<(), Denial> {
        let rule = self.governing(route)?;
        self.settle(Step::Tool, stored_ids(rule, &[id], given))
    }

    fn governing<'r>(&self, route: &'r Route) -> Result<&'r LlmRule, Denial> {
        route.llm().ok_or_else(|| Denial::new(Reason::Internal, "this request is not governed by an LLM entry"))
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

/// What a step said, by a rule of its own if it allows.
type Said = Result<Option<Cow<'static, Rule>>, Denial>;

/// Unknown means refuse: nobody could say what the provider would do.
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

/// A provider may call an MCP server only where the agent might call it, and what it knows by name where that is listed.
fn connectors(enclave: &Enclave, rule: &LlmRule, request: &Request) -> Said {
    let allowed = |connector: &&Connector| match &connector.place {
        Place::Url(url) => declared(enclave, url).is_some(),
        Place::Named(id) => rule.provider_tools.iter().any(|listed| **listed == **id),
    };
    let Some(connector) = request.connectors.iter().find(|connector| !allowed(connector)) else { return Ok(None) };
    let name = shown(&connector.name);
    Err(match &connector.place {
        Place::Url(_) => {
            let list = Rule { path: format!("{}.mcp", enclave.rule.path).into(), line: enclave.rule.line };
            let message = format!("the connector {name} is not an MCP server of this enclave; leave it out");
            let remedy = format!("declare its url as {}.NAME", list.path);
            Denial::new(Reason::ConnectorNotAllowed, message).by(&list).remedy(remedy)
        }
        Place::Named(id) => {
            let message = format!("the connector {name} is not allowed; leave it out");
            let remedy = format!("add {} to provider_tools of {}", shown(id), rule.rule.path);
            Denial::new(Reason::ConnectorNotAllowed, message).by(&rule.provider_tools_rule).remedy(remedy)
        }
    })
}

/// The `mcp` entry at this URL.
fn declared<'e>(enclave: &'e Enclave, url: &str) -> Option<&'e McpRule> {
    let url = Url::parse(url).ok()?;
    enclave.mcp.iter().find(|rule| {
        is_at(rule, &url.authority, url.scheme)
            && url.path.likeness(&rule.endpoint) == Likeness::Same
            && takes_query(rule, url.query.as_deref())
    })
}

/// A secret in the body is the agent's own, which nobody here gave it: with another's account it might carry things
/// out. It may go where the agent might send it by itself, to an MCP server whose entry has no credential.
fn secrets(enclave: &Enclave, rule: &LlmRule, request: &Request) -> Said {
    let own = |connector: &&Connector| match &connector.place {
        Place::Url(url) => declared(enclave, url).is_some_and(|entry| entry.credential.is_none()),
        Place::Named(_) => false,
    };
    let refused = |what: String| {
        let message = format!("{what} carries a credential that is not this enclave's; leave it out");
        Err(Denial::new(Reason::ForeignCredential, message).by(&rule.rule))
    };
    if let Some(place) = request.secrets.first() {
        return refused((*place).to_owned());
    }
    match request.connectors.iter().filter(|connector| connector.authorized).find(|connector| !own(connector)) {
        Some(connector) => refused(format!("the connector {}", shown(&connector.name))),
        None => Ok(None),
    }
}

/// A name that the client made up, as a message repeats it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(128).collect()
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

/// Of what a provider keeps, the session may take up what it was given.
fn stored_ids(rule: &LlmRule, ids: &[StoredId], given: &dyn Fn(&StoredId) -> bool) -> Said {
    match ids.iter().find(|stored| !given(stored)) {
        None => Ok(None),
        Some(stored) => {
            let kind = stored.kind.as_str();
            let message = format!("this session was not given that {kind}; send the content itself");
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
        Some(model) => Err(refused(format!("the model {} is not allowed; use another one", shown(model)))),
        None if models.is_empty() => Err(refused("this call names no model".to_owned())),
        None => Ok(Some(Cow::Owned(rule.models_rule.clone()))),
    }
}
