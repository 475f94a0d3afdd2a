//! The README's first command: cargo asks a package registry, on the built-in configuration.

use std::path::Path;

use ensage_tests::{Answer, Ca, Origin, ok};
use sha2::{Digest, Sha256};

use crate::cli::home::{Home, done};

fn package(home: &Home) -> Vec<u8> {
    std::fs::create_dir_all(home.path("demo-1.2.3/src")).unwrap();
    let manifest = "[package]\nname = \"demo\"\nversion = \"1.2.3\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
                    description = \"A crate that only this registry has\"\n";
    home.write("demo-1.2.3/Cargo.toml", manifest);
    home.write("demo-1.2.3/src/lib.rs", "");
    let mut tar = std::process::Command::new("tar");
    let made = done(tar.arg("-C").arg(home.path("")).arg("-czf").arg(home.path("demo.crate")).arg("demo-1.2.3"));
    assert_eq!(made.code, Some(0), "{made:?}");
    std::fs::read(home.path("demo.crate")).unwrap()
}

fn answer(request: &Answer, base: &str, package: &[u8]) -> Vec<u8> {
    match request.head.split(' ').nth(1).unwrap() {
        "/index/config.json" => ok(&format!("{{\"dl\":\"{base}/dl\",\"api\":\"{base}\"}}")),
        "/index/de/mo/demo" => {
            let digest: String = Sha256::digest(package).iter().map(|b| format!("{b:02x}")).collect();
            ok(&format!(
                "{{\"name\":\"demo\",\"vers\":\"1.2.3\",\"deps\":[],\"cksum\":\"{digest}\",\"features\":{{}},\"yanked\":false}}\n"
            ))
        }
        "/dl/demo/1.2.3/download" => {
            let mut all = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", package.len()).into_bytes();
            all.extend_from_slice(package);
            all
        }
        _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
    }
}

#[test]
fn cargo_asks_a_registry_on_the_built_in_configuration() {
    let home = Home::new();
    let ca = Ca::new();
    let package = package(&home);
    // The name that a user's machine has for itself: no configuration is needed to find it.
    let base = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = base.clone();
    let origin = Origin::answering(Some(ca.leaf(&["localhost"])), move |request| {
        answer(request, known.get().unwrap(), &package)
    });
    base.set(format!("https://localhost:{}", origin.port())).unwrap();
    let roots = home.write("roots.pem", &ca.pem);

    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut run = home.ensage(&["run", "--", &cargo, "info", "--registry", "lab", "demo"]);
    // What the system trusts is where OpenSSL's variable says; the gateway that `run` starts looks there too.
    run.env("SSL_CERT_FILE", &roots).env("CARGO_HOME", home.path("cargo"));
    // cargo's own folder has the compiler that it asks for its version; rustup's finds its settings at the real home.
    let tools = Path::new(&cargo).parent().unwrap().display().to_string();
    run.env("PATH", format!("{tools}:{}", std::env::var("PATH").unwrap()));
    if let Some(home) = std::env::var_os("HOME") {
        let rustup = std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| Path::new(&home).join(".rustup").into());
        run.env("RUSTUP_HOME", rustup);
    }
    run.env("CARGO_REGISTRIES_LAB_INDEX", format!("sparse+{}/index/", base.get().unwrap()));
    let seen = done(&mut run);
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert!(seen.out.contains("A crate that only this registry has"), "{seen:?}");
    assert!(seen.last().contains(" 0 denied, session "), "{seen:?}");

    let calls = home.calls();
    let paths: Vec<_> = calls.iter().map(|c| c["url"]["path"].as_str().unwrap()).collect();
    for path in ["/index/config.json", "/index/de/mo/demo", "/dl/demo/1.2.3/download"] {
        assert!(paths.contains(&path), "{paths:?}");
    }
    for call in &calls {
        assert_eq!((&call["decision"], &call["session"]["mode"]), (&"allow".into(), &"observe".into()));
        assert_eq!((&call["session"]["enclave"], &call["session"]["agent"]), (&"default".into(), &"cargo".into()));
        assert_eq!((&call["server"]["address"], &call["url"]["scheme"]), (&"localhost".into(), &"https".into()));
        assert_eq!(call["network"]["peer"]["address"].as_str().map(|a| a == "127.0.0.1" || a == "::1"), Some(true));
    }
    let shown = home.done(&["audit", "--since", "10m"]);
    let server = base.get().unwrap().strip_prefix("https://").unwrap();
    assert!(shown.out.contains(&format!("GET {server}/dl/demo/1.2.3/download")), "{shown:?}");
}
