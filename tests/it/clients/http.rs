//! HTTP clients of many languages: each gets, sends, and is refused, with a placeholder, on both protocols.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ensage_tests::h2::{H2Origin, good};
use ensage_tests::{Ca, Origin};
use sha2::{Digest, Sha256};

use super::servers::{node, program, python, transfer_go};
use crate::cli::home::{Done, Home, done, fed};

const KEY: &str = "the-real-token-of-this-client";

/// What curl moves.
const MUCH: usize = 50_000_000;
/// What the others move: more than every window and buffer on the way together.
const SOME: usize = 6_000_000;

/// A request as the server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrived {
    line: String,
    authorization: String,
    digest: String,
}

/// One file on two servers: `h1.lab.test` and `h2.lab.test` speak the protocol of their name alone.
struct Lab {
    home: Home,
    digest: String,
    bytes: usize,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    _h1: Origin,
    _h2: H2Origin,
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut all = Vec::with_capacity(bytes + 4);
    while all.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    all.truncate(bytes);
    all
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Lab {
    fn new(bytes: usize) -> Self {
        let (home, ca) = (Home::new(), Ca::new());
        let file = noise(bytes);
        std::fs::write(home.path("work/up"), &file).unwrap();
        let (digest, file) = (hex(&file), Arc::new(file));
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let log = arrived.clone();
        let reply = move |line: String, authorization: Option<&str>, body: &[u8]| {
            let (digest, gets) = (hex(body), line.starts_with("GET "));
            let authorization = authorization.unwrap_or("").to_owned();
            log.lock().unwrap().push(Arrived { line, authorization, digest: digest.clone() });
            if gets { file.to_vec() } else { digest.into_bytes() }
        };
        let plain = reply.clone();
        let h1 = Origin::answering(Some(ca.leaf(&["h1.lab.test"])), move |request| {
            let line: Vec<&str> = request.line().split(' ').collect();
            let body = plain(line[..2].join(" "), request.field("authorization"), &request.body);
            let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            answer.extend_from_slice(&body);
            answer
        });
        let h2 = H2Origin::answering(ca.leaf(&["h2.lab.test"]), move |request| {
            let line = request.line.replace("https://h2.lab.test", "");
            good(reply(line, request.field("authorization"), &request.body))
        });
        let roots = home.write("roots.pem", &ca.pem);
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
             resolve = {{ \"h1.lab.test:443\" = \"{}\", \"h2.lab.test:443\" = \"{}\" }}\n\
             private_addresses = [\"127.0.0.1/32\"]\n[enclave.lab]\nagents = [\"*\"]\n\
             [[enclave.lab.http]]\nhost = \"*.lab.test\"\npaths = [\"/ok/**\"]\n[credential.lab]\nslot = \"bearer\"\n\
             hosts = [\"*.lab.test\"]\nplaceholder = \"lab_\"\nenv = \"LAB_TOKEN\"\n",
            roots.display(),
            h1.address(),
            h2.address()
        );
        home.write("ensage-lab.toml", &text);
        assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), KEY.as_bytes()).code, Some(0));
        Self { home, digest, bytes, arrived, _h1: h1, _h2: h2 }
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Done {
        let mut words = vec!["run", "--advisory", "--enclave", "lab", "--", program.to_str().unwrap()];
        words.extend(arguments);
        done(&mut self.home.ensage(&words))
    }

    /// The client got the file, sent the file, and was refused what is not allowed; the server saw the real token.
    fn assert_told(&self, seen: &Done, version: &str, on_the_wire: &str) {
        let (digest, calls) = (&self.digest, self.home.calls());
        assert_eq!(seen.code, Some(0), "{seen:?}\n{calls:?}");
        assert_eq!(seen.out, format!("{version}{digest}\n{digest}\n403 path_not_allowed\n"), "{seen:?}");
        assert!(!seen.out.contains(KEY) && !seen.err.contains(KEY), "{seen:?}");
        let expected = |line: &str, body: &[u8]| Arrived {
            line: line.to_owned(),
            authorization: format!("Bearer {KEY}"),
            digest: if body.is_empty() { digest.clone() } else { hex(body) },
        };
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap());
        let nothing = Arrived { digest: hex(b""), ..expected("GET /ok/down", b"") };
        assert_eq!(arrived, [nothing, expected("PUT /ok/up", b"")]);

        let [down, up, no] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!((&down["bytes"]["down"], &up["bytes"]["up"]), (&self.bytes.into(), &self.bytes.into()));
        for call in [down, up] {
            assert_eq!((&call["decision"], &call["outcome"]), (&"allow".into(), &"complete".into()), "{call}");
            assert_eq!(call["network"]["protocol"]["version"], on_the_wire, "{call}");
            let credential = &call["credential"];
            assert_eq!((&credential["name"], &credential["action"]), (&"lab".into(), &"substituted".into()), "{call}");
        }
        assert_eq!((&no["decision"], &no["reason"]), (&"deny".into(), &"path_not_allowed".into()), "{no}");
        let all: String = calls.iter().map(ToString::to_string).collect();
        assert!(!all.contains(KEY) && !all.contains("ens_"), "{all}");
    }
}

#[test]
fn curl_moves_fifty_megabytes_each_way_on_both_protocols() {
    for (flag, host, version) in [("--http1.1", "h1", "1.1"), ("--http2", "h2", "2")] {
        let lab = Lab::new(MUCH);
        let script = format!(
            "set -e; ask() {{ curl -sS {flag} -H \"authorization: Bearer $LAB_TOKEN\" \"$@\"; }}; at=https://{host}.lab.test\n\
             v=$(ask -o down -w '%{{http_version}}' $at/ok/down); echo $v $(sha256sum down | cut -d' ' -f1)\n\
             ask -T up $at/ok/up; echo\n\
             ask -o no -w '%{{http_code}} ' $at/no; grep -o '\"reason\":\"[a-z_]*' no | cut -d'\"' -f4\n"
        );
        lab.assert_told(&lab.run(Path::new("sh"), &["-c", &script]), &format!("{version} "), version);
    }
}

#[test]
fn requests_httpx_and_aiohttp_of_python() {
    let Some(python) = python() else { return };
    let script = program("transfer.py");
    for (package, host, version) in
        [("requests", "h1.lab.test", "1.1"), ("httpx", "h2.lab.test", "2"), ("aiohttp", "h1.lab.test", "1.1")]
    {
        let lab = Lab::new(SOME);
        let seen = lab.run(&python, &[script.to_str().unwrap(), package, host]);
        lab.assert_told(&seen, &format!("{version} "), version);
    }
}

#[test]
fn fetch_of_node() {
    let Some(node) = node() else { return };
    let lab = Lab::new(SOME);
    let seen = lab.run(&node, &[program("transfer.mjs").to_str().unwrap(), "h1.lab.test"]);
    lab.assert_told(&seen, "", "1.1");
}

#[test]
fn the_client_of_go() {
    let Some(go) = transfer_go() else { return };
    let lab = Lab::new(SOME);
    lab.assert_told(&lab.run(&go, &["h2.lab.test"]), "2.0 ", "2");
}

/// Java has no variables for a proxy or a root: whoever runs it says them on its command line.
#[test]
fn the_client_of_java() {
    let lab = Lab::new(SOME);
    let ca = lab.home.document(&["ca", "path"]);
    let script = format!(
        "set -e; at=${{HTTPS_PROXY#http://}}\n\
         keytool -importcert -noprompt -alias ensage -file {} -keystore trust.p12 -storetype PKCS12 -storepass changeit >&2\n\
         java -Dhttps.proxyHost=${{at%:*}} -Dhttps.proxyPort=${{at#*:}} -Djavax.net.ssl.trustStore=trust.p12 \
         -Djavax.net.ssl.trustStorePassword=changeit {} h2.lab.test\n",
        ca["path"].as_str().unwrap(),
        program("Transfer.java").display(),
    );
    lab.assert_told(&lab.run(Path::new("sh"), &["-c", &script]), "HTTP_2 ", "2");
}
