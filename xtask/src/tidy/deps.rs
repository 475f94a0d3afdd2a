//! Who depends on whom, as cargo resolved it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, NOT_DIRECT, UNREACHABLE, WALLS};

/// What the program part of a package is built from: the edges that are not only for tests.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    built_from: BTreeMap<&'a str, Vec<&'a str>>,
}

pub fn check(metadata: &Value) -> Vec<Finding> {
    let members: BTreeSet<&str> = strings(metadata, "workspace_members").collect();
    let ours: Vec<&Value> =
        list(metadata, "packages").filter(|package| members.contains(word(package, "id"))).collect();
    let graph = Graph::new(metadata);
    let mut findings = Vec::new();
    for package in &ours {
        let name = word(package, "name");
        let find = |rule, message: String| Finding { file: manifest(metadata, package), line: 0, rule, message };
        let Some((_, allowed)) = WALLS.iter().find(|(member, _)| *member == name) else {
            findings
                .push(find("wall", format!("{name} has no line in WALLS of xtask/src/tidy.rs: say what it may name")));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let other = word(dependency, "name");
            let sibling = ours.iter().any(|package| word(package, "name") == other);
            let for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
            let granted = allowed.iter().any(|name| match name.strip_prefix("dev:") {
                Some(name) => for_tests && name == other,
                None => *name == other,
            });
            if sibling && !granted {
                findings.push(find(
                    "wall",
                    format!("{name} may not depend on {other}: pass values through ensage-gateway, or move the type"),
                ));
            }
            // Test-only dependencies may do I/O.
            let banned = NOT_DIRECT.iter().any(|(who, what)| who.contains(&name) && what.contains(&other));
            if banned && !for_tests {
                findings
                    .push(find("wall", format!("{name} may not depend on {other}: OS calls are ensage-endpoint's")));
            }
        }
        for (_, what) in UNREACHABLE.iter().filter(|(who, _)| who.contains(&name)) {
            for chain in graph.chains(word(package, "id"), what) {
                findings
                    .push(find("wall", format!("{name} reaches {chain}: it must build without servers and runtimes")));
            }
        }
    }
    findings
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Value) -> Self {
        let names = list(metadata, "packages").map(|package| (word(package, "id"), word(package, "name"))).collect();
        let resolve = metadata.get("resolve").unwrap_or(&Value::Null);
        let built_from = list(resolve, "nodes")
            .map(|node| {
                let deps = list(node, "deps").filter(|dep| {
                    list(dep, "dep_kinds").any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
                });
                (word(node, "id"), deps.map(|dep| word(dep, "pkg")).collect())
            })
            .collect();
        Self { names, built_from }
    }

    /// One way to each of these packages, written `a -> b -> c`.
    fn chains(&self, from: &'a str, wanted: &[&str]) -> Vec<String> {
        let mut came: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = vec![from];
        let mut chains = Vec::new();
        while let Some(id) = queue.pop() {
            for &next in self.built_from.get(id).into_iter().flatten() {
                if next == from || came.contains_key(next) {
                    continue;
                }
                came.insert(next, id);
                queue.push(next);
                if wanted.contains(&self.name(next)) {
                    let mut chain = vec![self.name(next)];
                    let mut at = next;
                    while let Some(&before) = came.get(at) {
                        at = before;
                        chain.push(self.name(at));
                    }
                    chain.pop();
                    chain.reverse();
                    chains.push(chain.join(" -> "));
                }
            }
        }
        chains
    }

    fn name(&self, id: &str) -> &'a str {
        self.names.get(id).copied().unwrap_or_default()
    }
}

/// The manifest's path from the root of the workspace.
fn manifest(metadata: &Value, package: &Value) -> String {
    let path = word(package, "manifest_path");
    path.strip_prefix(word(metadata, "workspace_root")).unwrap_or(path).trim_start_matches('/').to_owned()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn strings<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    list(value, key).filter_map(Value::as_str)
}
