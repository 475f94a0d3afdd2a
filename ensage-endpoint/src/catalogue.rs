//! What makes a process an agent: definitions, and the built-in ones.

use std::{fmt, path::Path, sync::Arc};

use serde::Deserialize;

use crate::{
    glob,
    proc::{Process, Program},
};

/// Says of a path whether it is meant.
pub type Predicate = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// One definition. Its keys are ANDed; several definitions of one name are alternatives.
pub struct Matcher {
    name: Arc<str>,
    exe: Option<Predicate>,
    script: Option<Predicate>,
    sha256: Option<Vec<String>>,
}

/// The agents that are known without configuration, from `catalogue.json`.
#[derive(Debug)]
pub struct Catalogue {
    agents: Vec<Known>,
}

/// One agent of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its name in configuration and records.
    pub name: String,
    matches: Vec<Keys>,
    /// Hosts that it is known to ask besides inference (telemetry, updates) and that it waits long for when their
    /// names seem not to exist. A rule of the enclave for such a host goes before.
    pub closed: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    exe: Option<String>,
    script: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    agents: Vec<Known>,
}

/// What one process is by its own program, its ancestors aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No definition matches.
    Nothing,
    /// This agent.
    Agent(Arc<str>),
    /// Several agents with equally many keys, sorted by name.
    Ambiguous(Vec<Arc<str>>),
}

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn builtin() -> Self {
        // A test holds that the text is well-formed; without that it would be an empty catalogue.
        let document: Document =
            serde_json::from_str(include_str!("catalogue.json")).unwrap_or(Document { agents: vec![] });
        Self { agents: document.agents }
    }

    /// All agents in it.
    pub fn agents(&self) -> &[Known] {
        &self.agents
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().map(|agent| agent.name.as_str())
    }

    /// The definitions of all agents but those that the configuration defines itself.
    pub fn matchers(&self, overridden: &dyn Fn(&str) -> bool) -> Vec<Matcher> {
        let agents = self.agents.iter().filter(|agent| !overridden(&agent.name));
        agents.flat_map(|agent| agent.matches.iter().map(|keys| keys.matcher(&agent.name))).collect()
    }
}

impl Keys {
    fn matcher(&self, name: &str) -> Matcher {
        let predicate = |pattern: &Option<String>| {
            pattern.clone().map(|pattern| -> Predicate { Box::new(move |path| glob::matches(&pattern, path)) })
        };
        Matcher { name: name.into(), exe: predicate(&self.exe), script: predicate(&self.script), sha256: None }
    }
}

impl Matcher {
    /// A definition without keys yet; it matches nothing until it has one.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), exe: None, script: None, sha256: None }
    }

    /// Adds a predicate on the resolved path of the executable.
    #[must_use]
    pub fn exe(self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { exe: Some(Box::new(predicate)), ..self }
    }

    /// Adds a predicate on the absolute, resolved path of the script.
    #[must_use]
    pub fn script(self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { script: Some(Box::new(predicate)), ..self }
    }

    /// Adds pins: lower-case hex digests of the executable. None of none matches nothing.
    #[must_use]
    pub fn sha256(self, pins: Vec<String>) -> Self {
        Self { sha256: Some(pins), ..self }
    }

    /// The agent's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn keys(&self) -> u8 {
        u8::from(self.exe.is_some()) + u8::from(self.script.is_some()) + u8::from(self.sha256.is_some())
    }

    /// The digest is asked for last: it may read a whole program.
    fn matches(&self, exe: Option<&str>, script: Option<&str>, digest: &dyn Fn() -> Option<Arc<str>>) -> bool {
        let path_fits = |wanted: &Option<Predicate>, path: Option<&str>| match wanted {
            Some(wanted) => path.is_some_and(wanted),
            None => true,
        };
        self.keys() > 0
            && path_fits(&self.exe, exe)
            && path_fits(&self.script, script)
            && match &self.sha256 {
                Some(pins) if pins.is_empty() => false,
                Some(pins) => digest().is_some_and(|digest| pins.iter().any(|pin| **pin == *digest)),
                None => true,
            }
    }
}

/// Compares one process with all definitions: the one with more keys wins, equal is ambiguous.
pub fn judge(process: &Process, matchers: &[Matcher], digest: &dyn Fn(&Process) -> Option<Arc<str>>) -> Verdict {
    compare(process.exe_path(), process.script_path(), matchers, &|| digest(process))
}

/// The same for a program that is not started yet; `digest` is of a file.
pub fn judge_program(program: &Program, matchers: &[Matcher], digest: &dyn Fn(&Path) -> Option<Arc<str>>) -> Verdict {
    let script = program.script.as_deref().and_then(Path::to_str);
    compare(program.exe.to_str(), script, matchers, &|| digest(&program.exe))
}

fn compare(
    exe: Option<&str>,
    script: Option<&str>,
    matchers: &[Matcher],
    digest: &dyn Fn() -> Option<Arc<str>>,
) -> Verdict {
    let mut best = 0;
    let mut names: Vec<Arc<str>> = Vec::new();
    for matcher in matchers {
        let keys = matcher.keys();
        // Fewer keys than the best can't win, so their files need not be read.
        if keys < best || !matcher.matches(exe, script, digest) {
            continue;
        }
        if keys > best {
            best = keys;
            names.clear();
        }
        if !names.contains(&matcher.name) {
            names.push(matcher.name.clone());
        }
    }
    names.sort();
    match names.as_slice() {
        [] => Verdict::Nothing,
        [name] => Verdict::Agent(name.clone()),
        _ => Verdict::Ambiguous(names),
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").field("name", &self.name).field("keys", &self.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{path::PathBuf, time::SystemTime};

    use super::*;
    use crate::proc::{Exe, ExeFile};

    pub(crate) fn process(pid: u32, ppid: u32, exe: &str, script: Option<&str>) -> Process {
        Process {
            pid,
            start_time: u64::from(pid),
            started: SystemTime::UNIX_EPOCH,
            ppid,
            exe: Some(Exe { path: exe.into(), file: ExeFile::Present, id: (0, u64::from(pid)) }),
            script: script.map(PathBuf::from),
            uid: 1000,
        }
    }

    fn none(_: &Process) -> Option<Arc<str>> {
        None
    }

    fn builtin(exe: &str, script: Option<&str>) -> Verdict {
        judge(&process(9, 1, exe, script), &Catalogue::builtin().matchers(&|_| false), &none)
    }

    #[test]
    fn the_builtin_agents_are_told_apart() {
        let module = "/usr/lib/node_modules";
        let node = "/usr/bin/node";
        for (exe, script, want) in [
            (format!("{module}/@anthropic-ai/claude-code/bin/claude.exe"), None, "claude-code"),
            (format!("{module}/@anthropic-ai/claude-code-linux-x64/claude"), None, "claude-code"),
            ("/home/u/.local/share/claude/versions/2.1.330".to_owned(), None, "claude-code"),
            (node.to_owned(), Some(format!("{module}/@anthropic-ai/claude-code/cli.js")), "claude-code"),
            (node.to_owned(), Some(format!("{module}/@openai/codex/bin/codex.js")), "codex"),
            (format!("{module}/@openai/codex/vendor/x86_64-unknown-linux-musl/bin/codex"), None, "codex"),
            (node.to_owned(), Some(format!("{module}/@google/gemini-cli/bundle/gemini.js")), "gemini-cli"),
            (node.to_owned(), Some(format!("{module}/openclaw/openclaw.mjs")), "openclaw"),
            (format!("{module}/opencode-linux-x64/bin/opencode.exe"), None, "opencode"),
            (node.to_owned(), Some(format!("{module}/@github/copilot/npm-loader.js")), "copilot-cli"),
            ("/usr/bin/python3.12".to_owned(), Some("/home/u/venv/bin/aider".to_owned()), "aider"),
            ("/usr/share/cursor/cursor".to_owned(), None, "cursor"),
            ("/usr/local/bin/goose".to_owned(), None, "goose"),
        ] {
            assert_eq!(builtin(&exe, script.as_deref()), Verdict::Agent(want.into()), "{exe} {script:?}");
        }
        for (exe, script) in [
            (node, None),
            (node, Some("/home/u/evil.js")),
            ("/usr/bin/bash", Some("/home/u/venv/bin/aider")),
            ("/tmp/claude", None),
            ("/usr/bin/curl", None),
        ] {
            assert_eq!(builtin(exe, script), Verdict::Nothing, "{exe} {script:?}");
        }
    }

    #[test]
    fn every_agent_of_the_catalogue_has_keys_and_one_entry() {
        let catalogue = Catalogue::builtin();
        let mut names: Vec<_> = catalogue.names().collect();
        assert!(names.len() >= 9, "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), catalogue.agents().len());
        for agent in catalogue.agents() {
            assert!(!agent.matches.is_empty(), "{}", agent.name);
            assert!(agent.matches.iter().all(|keys| keys.exe.is_some() || keys.script.is_some()), "{}", agent.name);
        }
        let without = catalogue.matchers(&|name| name == "codex");
        assert!(without.iter().all(|matcher| &**matcher.name() != "codex"));
        assert!(!without.is_empty());
    }

    #[test]
    fn more_keys_win_and_equal_is_ambiguous() {
        let digest = |_: &Process| -> Option<Arc<str>> { Some("aa".into()) };
        let exe = |name: &str| Matcher::new(name).exe(|path| path == "/x");
        let both = |name: &str| exe(name).script(|path| path == "/s");
        let pin = |name: &str, pin: &str| exe(name).sha256(vec!["bb".into(), pin.into()]);
        let is = |name: &str| Verdict::Agent(name.into());
        let rows = [
            (vec![exe("a")], is("a")),
            (vec![exe("a"), exe("a")], is("a")),
            (vec![exe("a"), both("b")], is("b")),
            (vec![both("b"), exe("a")], is("b")),
            (vec![exe("b"), exe("a")], Verdict::Ambiguous(vec!["a".into(), "b".into()])),
            (vec![both("b"), pin("a", "aa")], Verdict::Ambiguous(vec!["a".into(), "b".into()])),
            (vec![both("b"), pin("a", "cc")], is("b")),
            (vec![pin("a", "aa"), exe("b")], is("a")),
            (vec![exe("a").sha256(vec![])], Verdict::Nothing),
            (vec![Matcher::new("a")], Verdict::Nothing),
            (vec![Matcher::new("a").exe(|path| path == "/y")], Verdict::Nothing),
        ];
        for (matchers, want) in rows {
            assert_eq!(judge(&process(9, 1, "/x", Some("/s")), &matchers, &digest), want, "{matchers:?}");
        }
    }

    #[test]
    fn a_planned_program_is_judged_like_a_process() {
        let matchers = [
            Matcher::new("a").exe(|path| path == "/x"),
            Matcher::new("b").exe(|path| path == "/x").script(|path| path == "/s"),
            Matcher::new("c").exe(|path| path == "/y").sha256(vec!["aa".into()]),
        ];
        for (exe, script, want) in
            [("/x", None, Some("a")), ("/x", Some("/s"), Some("b")), ("/y", None, Some("c")), ("/z", None, None)]
        {
            let program = Program { exe: exe.into(), script: script.map(PathBuf::from) };
            let got = judge_program(&program, &matchers, &|path| (path == Path::new("/y")).then(|| "aa".into()));
            assert_eq!(got, want.map_or(Verdict::Nothing, |name| Verdict::Agent(name.into())), "{exe} {script:?}");
        }
    }

    #[test]
    fn a_path_of_another_mount_namespace_is_no_evidence() {
        let matchers = [Matcher::new("a").exe(|path| path == "/x")];
        let mut elsewhere = process(9, 1, "/x", None);
        elsewhere.exe.as_mut().unwrap().file = ExeFile::Elsewhere;
        assert_eq!(judge(&elsewhere, &matchers, &none), Verdict::Nothing);
        elsewhere.exe.as_mut().unwrap().file = ExeFile::Deleted;
        assert_eq!(judge(&elsewhere, &matchers, &none), Verdict::Agent("a".into()));
        elsewhere.exe = None;
        assert_eq!(judge(&elsewhere, &matchers, &none), Verdict::Nothing);
    }
}
