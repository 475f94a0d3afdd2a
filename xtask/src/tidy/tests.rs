//! Every rule shown a bad tree, and its good twin.

use serde_json::json;

use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// The rules that find something, with the line.
fn found(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    let file = file(path, &format!("//! x\n{text}"));
    let mut findings = text::check(&file);
    findings.extend(walls::check(&file));
    let mut found: Vec<_> = findings.iter().map(|finding| (finding.rule, finding.line)).collect();
    found.dedup();
    found
}

fn check(path: &str, text: &str, want: &[(&'static str, usize)]) {
    assert_eq!(found(path, text), want, "{path}: {text}");
}

#[test]
fn io_stays_where_it_is_allowed() {
    for (path, text, red) in [
        ("ensage-mcp/src/sse.rs", "use std::fs;", true),
        ("ensage-mcp/src/sse.rs", "use std::{io, net::{self, IpAddr}};", true),
        ("ensage-mcp/src/sse.rs", "fn f() { std::process::exit(1) }", true),
        ("ensage-mcp/src/sse.rs", "fn f() { tokio::spawn(g) }", true),
        ("ensage-mcp/src/sse.rs", "fn f() { let t = Instant::now(); }", true),
        ("ensage-mcp/src/sse.rs", "// std::fs\nconst S: &str = \"std::fs\"; use std::fmt;", false),
        ("ensage-mcp/src/sse.rs", "#[cfg(test)] mod tests { use std::fs; }", false),
        ("ensage-mcp/src/sse/tests.rs", "use std::fs;", false),
        ("ensage-policy/src/judge.rs", "use std::fs;", true),
        ("ensage-policy/src/config/mod.rs", "use std::fs;", false),
        ("ensage-policy/src/judge.rs", "use std::net::IpAddr;", false),
        ("ensage-policy/src/judge.rs", "use std::net::{IpAddr, TcpStream};", true),
        ("ensage-creds/src/body.rs", "use std::fs::File;", true),
        ("ensage-creds/src/body.rs", "use rustix::fs;", true),
        ("ensage-creds/src/vault/folder.rs", "use std::fs::File; use rustix::fs as r;", false),
        ("ensage-audit/src/log.rs", "use std::net::TcpStream;", true),
        ("ensage-audit/src/log.rs", "use std::{fs, net::IpAddr};", false),
        ("ensage-gateway/src/flow/mod.rs", "use tokio::net::TcpStream;", false),
    ] {
        let want: &[_] = if red { &[("io", 2)] } else { &[] };
        check(path, text, want);
    }
}

#[test]
fn unsafe_stays_in_the_endpoint_and_is_proven() {
    check("ensage-creds/src/find.rs", "fn f() { unsafe { g() } }", &[("unsafe", 2)]);
    check("ensage-creds/src/find/tests.rs", "fn f() { unsafe { g() } }", &[("unsafe", 2)]);
    check("ensage-creds/src/find.rs", "// unsafe", &[]);
    check("ensage-endpoint/src/scan.rs", "fn f() { unsafe { g() } }", &[("unsafe", 2)]);
    check("ensage-endpoint/src/scan.rs", "// SAFETY: g has no conditions.\nfn f() { unsafe { g() } }", &[]);
    check("ensage-simd/src/lib.rs", "// SAFETY: no.\nfn f() { unsafe { g() } }", &[("unsafe", 3)]);
    check("ensage-simd/src/x86.rs", "fn f() { unsafe { g() } }", &[("unsafe", 2)]);
    check("ensage-simd/src/x86.rs", "// SAFETY: g has no conditions.\nfn f() { unsafe { g() } }", &[]);
    check("ensage-mcp/src/lib.rs", "mod a;", &[("unsafe", 1)]);
    check("ensage-mcp/src/lib.rs", "#![forbid(unsafe_code)]\nmod a;", &[]);
    check("ensage-mcp/src/lib.rs", "// #![forbid(unsafe_code)]\nmod a;", &[("unsafe", 1)]);
}

#[test]
fn the_secret_is_written_in_one_place() {
    for text in [
        "use ensage_creds::egress;",
        "use ensage_creds::{Slot, egress as out};",
        "use ensage_creds::egress::{Slot, fill};",
        "use ensage_creds::egress::*;",
        "fn f() { ensage_creds::egress::fill(h, s, x) }",
    ] {
        check("ensage-gateway/src/flow/forward.rs", text, &[("secret", 2)]);
        check("tests/it/main.rs", text, &[("secret", 2)]);
        check("ensage-gateway/src/flow/substitute.rs", text, &[]);
    }
    check("ensage-creds/src/lib.rs", "#![forbid(unsafe_code)]\npub use egress::fill;", &[("secret", 3)]);
    check("ensage-creds/src/lib.rs", "#![forbid(unsafe_code)]\npub mod egress; pub use egress::Slot;", &[]);
    check("ensage-gateway/src/flow/forward.rs", "use ensage_creds::egress::Slot;", &[]);
    let basic = "fn f() { ensage_creds::egress::basic(u, s) }";
    check("ensage-gateway/src/flow/substitute.rs", basic, &[("secret", 2)]);
    check("ensage-gateway/src/upstream/dial.rs", "use ensage_creds::egress::basic;", &[("secret", 2)]);
    check("ensage-gateway/src/upstream/hop.rs", basic, &[]);
}

#[test]
fn proofs_are_made_by_judging_alone() {
    for text in
        ["fn f() { g(HeadPermit { a }) }", "fn f() { let x = BodyPermit { rule: None }; }", "struct HeadPermit;"]
    {
        check("ensage-gateway/src/flow/decide.rs", text, &[("proof", 2)]);
    }
    check("ensage-policy/src/model.rs", "impl HeadPermit { }", &[("proof", 2)]);
    check("ensage-policy/src/model.rs", "impl From<X> for HeadPermit { }", &[("proof", 2)]);
    for text in [
        "use x::HeadPermit; fn f(p: &HeadPermit) -> HeadPermit { p }",
        "fn f() -> Result<HeadPermit, E> { g() }",
        "impl Show for HeadPermit { }",
        "// HeadPermit { a }",
    ] {
        check("ensage-gateway/src/flow/decide.rs", text, &[]);
    }
    let room = "ensage-policy/src/judge/permit.rs";
    check(room, "fn f() { HeadPermit { a } }", &[]);
    check(room, "#[derive(Debug)] pub struct HeadPermit { pub(super) a: A, b: B }", &[]);
    check(room, "#[derive(Clone)] pub struct HeadPermit { a: A }", &[("proof", 2)]);
    check(room, "#[derive(Clone)] pub struct Other { pub a: A } pub struct HeadPermit { a: A }", &[]);
    check(room, "pub struct BodyPermit { pub a: A }", &[("proof", 2)]);
    check(room, "pub struct BodyPermit { pub(crate) a: A }", &[("proof", 2)]);
}

#[test]
fn unfinished_work_is_found() {
    let path = "ensage-gateway/src/state.rs";
    check(path, "fn f() { todo!() }", &[("unfinished", 2)]);
    check(path, "fn f() { unimplemented!(\"x\") }", &[("unfinished", 2)]);
    check(path, "#[cfg(test)] mod tests { fn f() { dbg!(1); } }", &[("unfinished", 2)]);
    check(path, "// todo!()\nfn todo() {}", &[]);
    check(path, "#[test]\n#[ignore]\nfn f() {}", &[("ignore", 3)]);
    check(path, "#[test]\n#[ignore = \"needs root, issue 5\"]\nfn f() {}", &[]);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    check("ensage-mcp/src/sse.rs", &"\n".repeat(MAX_LINES), &[("size", MAX_LINES + 1)]);
    check("ensage-mcp/src/sse.rs", &"\n".repeat(MAX_LINES - 1), &[]);
    let bare = text::check(&file("ensage-mcp/src/sse.rs", "mod a;\n"));
    assert_eq!(bare.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["room"]);
    assert_eq!(text::check(&file("README.md", &"\n".repeat(1000))), []);
}

#[test]
fn machines_and_registries_are_not_named() {
    for path in [concat!("/ro", "ot/x"), concat!("/wo", "rk/main/x"), concat!("x/.py", "env/y")] {
        check("README.md", &format!("see {path}"), &[("machine", 2)]);
    }
    check("README.md", "see /usr/bin and /work/chip", &[]);
    check("tests/clients/package-lock.json", "\"resolved\": \"x\"", &[("registry", 2)]);
    check("tests/clients/requirements.txt", "--index-url x", &[("registry", 2)]);
    check("tests/clients/.npmrc", "registry=https://x.test/", &[("registry", 2)]);
    check("tests/clients/package-lock.json", "\"url\": \"https://opencollective.com/x\"", &[]);
    check("tests/clients/package-lock.json", "  \"https://x.test/sponsor?y=1\",", &[]);
    check("tests/clients/package-lock.json", "\"x\": \"https://x.test/\"", &[("registry", 2)]);
    check("Cargo.lock", "source = \"git+https://x.test/y\"", &[("registry", 2)]);
    check("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"", &[]);
    check("docs/a.md", "https://x.test/", &[]);
}

#[test]
fn fuzz_targets_are_registered_and_seeded() {
    let manifest = file("fuzz/Cargo.toml", "[[bin]]\nname = \"a\"\npath = \"fuzz_targets/a.rs\"\n");
    let (a, b) = (file("fuzz/fuzz_targets/a.rs", ""), file("fuzz/fuzz_targets/b.rs", ""));
    let seed = file("fuzz/corpus/a/1", "x");
    let count = |files: &[&File]| text::fuzz_targets(&files.iter().copied().cloned().collect::<Vec<_>>()).len();
    assert_eq!(count(&[&manifest, &a, &seed]), 0);
    assert_eq!(count(&[&manifest, &a]), 1);
    assert_eq!(count(&[&manifest, &a, &seed, &b]), 2);
}

/// A workspace of these packages: (name, dependencies as `name` or `dev:name`).
fn workspace(packages: &[(&str, &[&str])]) -> serde_json::Value {
    let kind = |dep: &str| dep.strip_prefix("dev:").map(|_| "dev");
    let name = |dep: &str| dep.trim_start_matches("dev:").to_owned();
    let ours = |name: &str| name.starts_with("ensage") || name == "xtask" || name == "stranger";
    json!({
        "workspace_root": "/r",
        "workspace_members": packages.iter().map(|(name, _)| name).filter(|name| ours(name)).collect::<Vec<_>>(),
        "packages": packages.iter().map(|(package, deps)| json!({
            "id": package, "name": package, "manifest_path": format!("/r/{package}/Cargo.toml"),
            "dependencies": deps.iter().map(|dep| json!({"name": name(dep), "kind": kind(dep)})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "resolve": {"nodes": packages.iter().map(|(package, deps)| json!({
            "id": package,
            "deps": deps.iter().map(|dep| json!({"pkg": name(dep), "dep_kinds": [{"kind": kind(dep)}]})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>()},
    })
}

#[test]
fn crates_name_only_whom_they_may() {
    let check = |packages: &[(&str, &[&str])], want: &[&str]| {
        let findings = deps::check(&workspace(packages));
        let found: Vec<_> = findings.iter().map(|finding| format!("{} {}", finding.file, finding.message)).collect();
        assert_eq!(found.len(), want.len(), "{packages:?}: {found:?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.starts_with(want), "{found}");
        }
    };
    check(&[("ensage-policy", &["ensage-mcp"]), ("ensage-mcp", &[])], &[]);
    check(
        &[("ensage-mcp", &["ensage-policy"]), ("ensage-policy", &[])],
        &["ensage-mcp/Cargo.toml ensage-mcp may not depend on ensage-policy"],
    );
    check(
        &[("ensage-creds", &["dev:ensage-audit"]), ("ensage-audit", &[])],
        &["ensage-creds/Cargo.toml ensage-creds may not depend on ensage-audit"],
    );
    check(&[("ensage-gateway", &["dev:ensage-tests"]), ("ensage-tests", &[])], &[]);
    check(
        &[("ensage-gateway", &["ensage-tests"]), ("ensage-tests", &[])],
        &["ensage-gateway/Cargo.toml ensage-gateway may not depend on ensage-tests"],
    );
    check(&[("stranger", &[])], &["stranger/Cargo.toml stranger has no line in WALLS"]);
    check(
        &[("ensage-mcp", &["a"]), ("a", &["b", "tokio"]), ("b", &[]), ("tokio", &[])],
        &["ensage-mcp/Cargo.toml ensage-mcp reaches a -> tokio"],
    );
    check(&[("ensage-mcp", &["dev:a"]), ("a", &["tokio"]), ("tokio", &[])], &[]);
    check(&[("ensage-gateway", &["tokio"]), ("tokio", &[])], &[]);
    check(
        &[("ensage-policy", &["libc"]), ("libc", &[])],
        &["ensage-policy/Cargo.toml ensage-policy may not depend on libc"],
    );
    check(&[("ensage-policy", &["dev:rustix"]), ("rustix", &[])], &[]);
}
