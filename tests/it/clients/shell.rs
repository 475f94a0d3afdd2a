//! A shell that `ensage env` points at the daemon: what each runtime in it makes of that, whatever it was told before.

use std::path::{Path, PathBuf};
use std::process::Command;

use ensage_tests::{Answer, Ca, Origin, ok};

use super::servers::{node, python};
use crate::cli::home::{Home, done};

const HOST: &str = "files.lab.test";

fn answer(request: &Answer) -> Vec<u8> {
    match request.head.split([' ', '?']).nth(1).unwrap() {
        "/f" => ok("good"),
        "/acme.git/info/refs" => ok("0123456789012345678901234567890123456789\trefs/heads/main\n"),
        "/acme.git/HEAD" => ok("ref: refs/heads/main\n"),
        "/simple/demo/" => html("<a href=\"demo-1.2.3-py3-none-any.whl\">demo-1.2.3-py3-none-any.whl</a>"),
        "/npm/demo" => json(
            r#"{"name":"demo","dist-tags":{"latest":"1.2.3"},"versions":{"1.2.3":{"name":"demo","version":"1.2.3"}}}"#,
        ),
        "/index/config.json" => json(&format!(r#"{{"dl":"https://{HOST}/dl","api":"https://{HOST}"}}"#)),
        "/api/v1/crates" => {
            json(r#"{"crates":[{"name":"demo","max_version":"1.2.3","description":"x"}],"meta":{"total":1}}"#)
        }
        _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
    }
}

fn html(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn json(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// The state folder has a name that a shell must not read anything out of.
const STATE: &str = "a state 'with' \"all\" $HOME `id` \\ of it";

fn lab(origin: &Origin, ca: &Ca) -> Home {
    let home = Home::new();
    let roots = home.write("roots.pem", &ca.pem);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"{HOST}:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"{HOST}\"\nmcp = \"allow\"\n",
        roots.display(),
        origin.address()
    );
    home.write("ensage-lab.toml", &text);
    home
}

/// Whether a program is there; where it is not, its test says so and passes.
fn there(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not there");
    }
    found
}

/// A shell with everything in its environment that would lead it elsewhere, behind `eval "$(ensage env)"`.
fn shell(home: &Home, script: &str) -> Command {
    let state = home.path(STATE);
    let mut shell = Command::new("sh");
    let env = "eval \"$(\"$ENSAGE\" --state \"$LAB_STATE\" --config \"$LAB_CONFIG\" env)\"";
    shell.args(["-c", &format!("{env} && {script}")]).env_clear().current_dir(home.path("work"));
    shell.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path("home"));
    shell.env("ENSAGE", env!("CARGO_BIN_EXE_ensage")).env("LAB_STATE", state).env("LAB_CONFIG", home.config());
    let nowhere = "http://127.0.0.1:9";
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "npm_config_https_proxy",
        "NPM_CONFIG_HTTPS_PROXY",
        "CARGO_HTTP_PROXY",
        "PIP_PROXY",
        "GRPC_PROXY",
    ] {
        shell.env(name, nowhere);
    }
    for name in ["NO_PROXY", "no_proxy", "npm_config_noproxy"] {
        shell.env(name, "*");
    }
    for name in ["SSL_CERT_DIR", "NPM_CONFIG_CAFILE", "WGETRC"] {
        shell.env(name, "/nowhere");
    }
    shell.env("GIT_SSL_NO_VERIFY", "1").env("NODE_TLS_REJECT_UNAUTHORIZED", "0").env("PIP_TRUSTED_HOST", HOST);
    shell.env("npm_config_update_notifier", "false").env("CARGO_HOME", home.path("cargo"));
    shell
}

/// Runs `script` in such a shell; what it prints, having reached the origin by the gateway and by nothing else.
fn reaches(script: &str, environment: &[(&str, PathBuf)]) -> String {
    let ca = Ca::new();
    let origin = Origin::answering(Some(ca.leaf(&[HOST])), answer);
    let home = lab(&origin, &ca);
    let state = home.path(STATE);
    let mut gateway =
        home.bare(&["--state", state.to_str().unwrap(), "--config", home.config().to_str().unwrap(), "gateway"]);
    let gateway =
        ensage_tests::spawn(gateway.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null())).unwrap();
    let mut gateway = Ended(gateway);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(gateway.0.stdout.take().unwrap()), &mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line:?}");
    let seen = done(shell(&home, script).envs(environment.iter().map(|(name, value)| (name, value))));
    assert_eq!(seen.code, Some(0), "{script}: {seen:?}");
    assert!(origin.requests() > 0, "{script}: nothing came: {seen:?}");
    let records = done(&mut home.bare(&["--state", state.to_str().unwrap(), "audit", "--json"])).out;
    let calls = records.lines().filter(|line| line.contains("\"kind\":\"call\"") && line.contains("\"allow\"")).count();
    assert!(calls >= origin.requests(), "{script}: {calls} of {}", origin.requests());
    seen.out
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn curl_in_a_shell_is_behind_the_gateway() {
    assert_eq!(reaches("curl -sS https://files.lab.test/f", &[]), "good");
}

#[test]
fn git_in_a_shell_is_behind_the_gateway() {
    let out = reaches("git ls-remote https://files.lab.test/acme.git", &[]);
    assert!(out.contains("refs/heads/main"), "{out}");
}

#[test]
fn wget_in_a_shell_is_behind_the_gateway() {
    if there("wget") {
        assert_eq!(reaches("wget -qO- https://files.lab.test/f", &[]), "good");
        // What a user's own file says of proxies and certificates does not count any more.
        let hostile = "printf 'https_proxy = http://127.0.0.1:9\\nno_proxy = .test\\nuse_proxy = off\\n' > \"$HOME/.wgetrc\" && unset WGETRC && eval \"$(\"$ENSAGE\" --state \"$LAB_STATE\" --config \"$LAB_CONFIG\" env)\" && wget -qO- https://files.lab.test/f";
        assert_eq!(reaches(hostile, &[]), "good");
    }
}

#[test]
fn python_in_a_shell_is_behind_the_gateway() {
    let Some(python) = python() else { return };
    for script in [
        "import urllib.request as u; print(u.urlopen('https://files.lab.test/f').read().decode())",
        "import requests as r; print(r.get('https://files.lab.test/f').text)",
        "import httpx as h; print(h.get('https://files.lab.test/f').text)",
        "import httpx2 as h; print(h.get('https://files.lab.test/f').text)",
        "import sys\ntry:\n import aiohttp\nexcept ImportError:\n import urllib.request as u; print(u.urlopen('https://files.lab.test/f').read().decode()); sys.exit()\nimport asyncio\nasync def f():\n async with aiohttp.ClientSession(trust_env=True) as s:\n  async with s.get('https://files.lab.test/f') as a:\n   print(await a.text())\nasyncio.run(f())",
    ] {
        let said = reaches("\"$PYTHON\" -c \"$SCRIPT\"", &[("PYTHON", python.clone()), ("SCRIPT", script.into())]);
        assert_eq!(said, "good\n", "{script}");
    }
}

#[test]
fn pip_in_a_shell_is_behind_the_gateway() {
    let Some(python) = python() else { return };
    let script = "\"$PYTHON\" -m pip index versions demo --index-url https://files.lab.test/simple --disable-pip-version-check 2>&1";
    let out = reaches(script, &[("PYTHON", python)]);
    assert!(out.contains("demo (1.2.3)"), "{out}");
}

#[test]
fn npm_in_a_shell_is_behind_the_gateway() {
    if there("npm") {
        let out = reaches("npm view demo version --registry https://files.lab.test/npm/", &[]);
        assert_eq!(out.trim(), "1.2.3");
    }
}

#[test]
fn cargo_in_a_shell_is_behind_the_gateway() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut environment: Vec<(&str, PathBuf)> = vec![("CARGO", cargo.clone().into())];
    environment.push(("CARGO_REGISTRIES_LAB_INDEX", "sparse+https://files.lab.test/index/".into()));
    if let Some(home) = std::env::var_os("HOME") {
        let rustup = std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| Path::new(&home).join(".rustup").into());
        environment.push(("RUSTUP_HOME", rustup.into()));
    }
    let out = reaches("\"$CARGO\" search --registry lab demo", &environment);
    assert!(out.starts_with("demo = \"1.2.3\""), "{out}");
}

#[test]
fn node_in_a_shell_is_behind_the_gateway() {
    let Some(node) = node() else { return };
    for script in [
        "fetch('https://files.lab.test/f').then(a => a.text()).then(t => console.log(t))",
        "require('https').get('https://files.lab.test/f', a => a.on('data', d => console.log(d.toString())))",
    ] {
        let environment = [("NODE", node.clone()), ("SCRIPT", script.into())];
        assert_eq!(reaches("\"$NODE\" -e \"$SCRIPT\"", &environment), "good\n", "{script}");
    }
}

/// What `env` says is read by a shell as it was meant, and a second time too.
#[test]
fn a_shell_reads_what_env_says_as_it_was_meant() {
    let out = reaches(
        "first=\"$SSL_CERT_FILE $WGETRC $HTTPS_PROXY\" && test -r \"$SSL_CERT_FILE\" && test -r \"$WGETRC\" && \
         test -z \"${NO_PROXY-unset}\" && test -z \"$SSL_CERT_DIR$GIT_SSL_NO_VERIFY$NODE_TLS_REJECT_UNAUTHORIZED$CARGO_HTTP_PROXY$NPM_CONFIG_CAFILE\" && \
         eval \"$(\"$ENSAGE\" --state \"$LAB_STATE\" --config \"$LAB_CONFIG\" env)\" && \
         test \"$first\" = \"$SSL_CERT_FILE $WGETRC $HTTPS_PROXY\" && curl -sS https://files.lab.test/f",
        &[],
    );
    assert_eq!(out, "good");
}
