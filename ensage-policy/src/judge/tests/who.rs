//! Which enclave, who may not, and what `explain` says.

use super::super::*;
use super::{enclave, path, policy};

#[test]
fn an_agent_belongs_to_the_one_enclave_that_lists_it() {
    let policy = policy();
    let check = |agent: &str, hint: Hint<'_>, want: Result<&str, Reason>| {
        let got = enclave_of(&policy, agent, hint).map(|enclave| &*enclave.name).map_err(|denial| denial.reason);
        assert_eq!(got, want, "{agent} {hint:?}");
    };
    let folder = |path: &'static str| Hint::Folder(std::path::Path::new(path));
    check("writer", Hint::None, Ok("b"));
    check("coder", Hint::None, Err(Reason::AmbiguousEnclave));
    check("stranger", Hint::None, Err(Reason::AgentNotAllowed));
    check("coder", Hint::Named("a"), Ok("a"));
    check("coder", Hint::Named("b"), Ok("b"));
    check("writer", Hint::Named("a"), Err(Reason::AgentNotAllowed));
    check("coder", Hint::Named("c"), Err(Reason::AgentNotAllowed));
    check("coder", folder("/home/ann/b/src"), Ok("b"));
    check("coder", folder("/home/ann/b"), Ok("b"));
    check("coder", folder("/home/ann/bb"), Ok("a"));
    check("writer", folder("/home/ann/x"), Err(Reason::AgentNotAllowed));
    let denial = enclave_of(&policy, "coder", Hint::None).unwrap_err();
    assert_eq!(denial.remedy.as_deref(), Some("say which: ensage run --enclave a|b"));
    let denial = enclave_of(&policy, "writer", Hint::Named("a")).unwrap_err();
    assert_eq!(denial.message, "enclave a does not list agent writer");
    assert_eq!(denial.remedy.as_deref(), Some("write [enclave.a] agents = [\"coder\", \"writer\"]"));
    let denial = enclave_of(&policy, "stranger", Hint::None).unwrap_err();
    assert_eq!(denial.message, "no enclave lists agent stranger");
    let remedy = denial.remedy.unwrap();
    assert!(remedy.starts_with("write [enclave.a] agents = [\"coder\", \"stranger\"], or [enclave.b]"), "{remedy}");
    let denial = enclave_of(&policy, "writer", folder("/home/ann/x")).unwrap_err();
    assert_eq!(denial.message, "no enclave that lists agent writer has this folder");
    assert_eq!(denial.remedy.as_deref(), Some("run it in one of its `folders`, or say which: --enclave b"));
    let denial = enclave_of(&policy, "writer", Hint::Named("c")).unwrap_err();
    assert_eq!(denial.message, "there is no enclave c");
    assert_eq!(denial.remedy.as_deref(), Some("choose one of: a, b"));
}

#[test]
fn any_agent_is_listed_by_a_star() {
    let policy = crate::config::embedded(&crate::config::Env::default()).policy.unwrap();
    let found = enclave_of(&policy, "whatever", Hint::None).map(|enclave| enclave.name.to_string());
    assert_eq!(found.as_deref(), Ok("default"));
}

#[test]
fn the_identity_step_refuses_and_observe_lets_some_of_it_pass() {
    let policy = policy();
    let identity = |mode, reason| {
        let trial = Trial::begin(&policy, enclave(&policy, "a"), mode).identity(reason, "no");
        trial.map(drop).map_err(|denial| denial.reason)
    };
    assert_eq!(identity(Mode::Enforce, None), Ok(()));
    for reason in [Reason::Unattributed, Reason::AgentNotAllowed, Reason::TierTooLow] {
        assert_eq!(identity(Mode::Enforce, Some(reason)), Err(reason));
        assert_eq!(identity(Mode::Observe, Some(reason)), Ok(()));
    }
    for reason in [Reason::AmbiguousAgent, Reason::AmbiguousEnclave, Reason::SessionEnded] {
        assert_eq!(identity(Mode::Observe, Some(reason)), Err(reason));
    }
}

#[test]
fn explain_takes_the_same_steps() {
    let policy = policy();
    let ask = |mode, question: Question<'_>| {
        let said = explain(&policy, enclave(&policy, "a"), mode, &question);
        let steps: Vec<_> = said.steps.iter().map(|taken| taken.step).collect();
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!(steps.first(), Some(&Step::Identity));
        let why = said.denial.as_ref().map_or("-", |denial| denial.reason.code());
        let credential = said.credential.as_deref().unwrap_or("-");
        format!("{} {why} {} {credential} {}", said.decision.code(), path(said.rule.as_ref()), said.would_deny())
    };
    let url = |mode, method, url: &str| ask(mode, Question::Url { url: &Url::parse(url).unwrap(), method });
    assert_eq!(url(Mode::Enforce, "GET", "https://x.open.test/"), "allow - enclave.a.http[2] - false");
    assert_eq!(
        url(Mode::Enforce, "PUT", "https://api.test/"),
        "deny method_not_allowed enclave.a.http[0].methods - false"
    );
    assert_eq!(url(Mode::Observe, "GET", "https://no.test/"), "allow host_not_allowed enclave.a.http - true");
    assert_eq!(url(Mode::Enforce, "GET", "https://injected.test/"), "allow - enclave.a.http[8] injected false");
    let tool = |server, tool| ask(Mode::Enforce, Question::Tool { server, tool });
    assert_eq!(tool("git", "get_x"), "allow - enclave.a.mcp.git.tools[0] git false");
    assert_eq!(tool("both", "nope"), "deny tool_not_allowed enclave.a.mcp.both.tools - false");
    assert_eq!(tool("none", "get_x"), "deny host_not_allowed enclave.a.mcp - false");
    let model = |provider, model| ask(Mode::Enforce, Question::Model { provider, model });
    assert_eq!(model("anthropic", "claude-x"), "allow - enclave.a.llm.anthropic.models llm false");
    assert_eq!(model("anthropic", "gpt"), "deny model_not_allowed enclave.a.llm.anthropic.models - false");
    assert_eq!(model("bare", "claude-x"), "deny model_not_allowed enclave.a.llm.bare - false");
    assert_eq!(model("none", "claude-x"), "deny host_not_allowed enclave.a.llm - false");
}

#[test]
fn refusals_tell_what_a_human_would_add() {
    let policy = policy();
    let url = Url::parse("https://no.test:81/").unwrap();
    let said = explain(&policy, enclave(&policy, "a"), Mode::Enforce, &Question::Url { url: &url, method: "GET" });
    let denial = said.denial.unwrap();
    assert_eq!(denial.message, "no.test is not in enclave a");
    assert_eq!(denial.remedy.as_deref(), Some("add an entry with host = \"no.test:81\" to enclave.a.http"));
    let url = Url::parse("http://no.test/").unwrap();
    let said = explain(&policy, enclave(&policy, "a"), Mode::Enforce, &Question::Url { url: &url, method: "GET" });
    assert_eq!(
        said.denial.unwrap().remedy.as_deref(),
        Some("add an entry with host = \"no.test:80\" and scheme = \"http\" to enclave.a.http")
    );
    let tool = Question::Tool { server: "both", tool: "del\u{1b}[31mete" };
    let denial = explain(&policy, enclave(&policy, "a"), Mode::Enforce, &tool).denial.unwrap();
    assert_eq!(denial.message, "no tool del[31mete on both");
}
