//! `[enclave.NAME.llm.PROVIDER]`: which models may be asked for what.

use std::sync::Arc;

use super::Declared;
use super::binding::{Asked, bind};
use super::report::Code;
use super::values::{Bounds, each, list_rule};
use super::walk::{Item, Table, Walk};
use crate::model::{LlmApi, LlmRule, Scheme};

/// `None` for an API that is not read yet.
const APIS: &[(&str, Option<LlmApi>)] = &[
    ("anthropic", Some(LlmApi::Anthropic)),
    ("openai", Some(LlmApi::OpenAi)),
    ("gemini", None),
    ("bedrock", None),
    ("vertex", None),
    ("azure-openai", None),
];

pub(super) fn providers(table: &Table<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Vec<LlmRule> {
    let mut rules: Vec<LlmRule> = Vec::new();
    for (name, item) in table.named(walk) {
        let Some(rule) = provider(&name, &item, walk, declared) else {
            continue;
        };
        if let Some(other) = rules.iter().find(|other| other.api == rule.api && other.host == rule.host) {
            let message = format!("`{}` has the same API and host", other.rule.path);
            let help = "make one entry of the two: a call is judged by one of them".to_owned();
            walk.report.error(Code::Conflict, &item.span(), &item.path, message, help);
        }
        rules.push(rule);
    }
    rules
}

fn provider(name: &Arc<str>, item: &Item<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Option<LlmRule> {
    let mut table = item.table(walk)?;
    let rule = table.rule(walk);
    let api = table.needed(walk, "api", "\"anthropic\"").and_then(|item| api(&item, walk));
    let host = table.needed(walk, "host", "\"api.anthropic.com\"");
    let host = host.and_then(|item| item.host_pattern(walk, Scheme::Https.default_port()));
    let models_item = table.item("models");
    let models = each(models_item.as_ref(), walk, Item::glob);
    let tools_item = table.item("provider_tools");
    let provider_tools = each(tools_item.as_ref(), walk, |element, walk| element.text(walk).map(Arc::from));
    let ranges = table.item("addresses");
    let addresses = each(ranges.as_ref(), walk, Item::range);
    let named = table.item("credential");
    budgets(&mut table, walk);
    table.close(walk);
    let credential = bind(walk, declared, &Asked { named, scheme: Scheme::Https, host: host.as_ref() });
    Some(LlmRule {
        name: Arc::clone(name),
        api: api?,
        host: host?,
        models,
        models_rule: list_rule(models_item.as_ref(), walk, &rule),
        provider_tools,
        provider_tools_rule: list_rule(tools_item.as_ref(), walk, &rule),
        addresses,
        credential,
        rule,
    })
}

fn api(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<LlmApi> {
    let api = item.choice(walk, APIS)?;
    if api.is_none() {
        let name = item.text(walk).unwrap_or_default();
        walk.not_yet(item, &format!("the API `{name}`"));
    }
    api
}

/// `rate` and `tokens`.
fn budgets(table: &mut Table<'_>, walk: &mut Walk<'_>) {
    if let Some(item) = table.item("rate")
        && item.rate(walk).is_some()
    {
        walk.not_enforced(&item);
    }
    if let Some(item) = table.item("tokens")
        && let Some(mut tokens) = item.table(walk)
    {
        let bounds = Bounds { least: 1, most: i64::MAX.unsigned_abs() };
        for key in ["session", "day"] {
            if let Some(item) = tokens.item(key) {
                item.integer(walk, bounds);
            }
        }
        tokens.close(walk);
        walk.not_enforced(&item);
    }
}
