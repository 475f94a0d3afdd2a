//! The environment that the program sees (contract section 6).

use std::collections::BTreeMap;

use super::home::{Done, Home, Site, done, fed};

const CREDENTIALS: &str = r#"
[[enclave.lab.http]]
host = "api.lab.test"
credential = "lab"
[credential.lab]
slot = "header:x-api-key"
hosts = ["api.lab.test"]
placeholder = "sk-lab-"
env = ["LAB_KEY", "LAB_KEY_TOO"]
"#;

fn seen(done: &Done) -> BTreeMap<String, String> {
    done.out.split('\0').filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn inside(home: &Home, inherited: &[(&str, &str)]) -> (BTreeMap<String, String>, Done) {
    let run = done(home.run(&[], "env -0").envs(inherited.iter().copied()));
    assert_eq!(run.code, Some(0), "{run:?}");
    (seen(&run), run)
}

#[test]
fn clients_are_pointed_at_the_gateway() {
    let home = Home::with(&Site::new().policy());
    let (env, _) = inside(&home, &[]);
    let proxy = format!("http://{}", home.document(&["status"])["listeners"][0].as_str().unwrap());
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        assert_eq!(env[name], proxy, "{name}");
    }
    assert!(env.get("ALL_PROXY").is_none_or(|v| *v == proxy));
    assert_eq!(env["NO_PROXY"], "");
    assert_eq!(env["no_proxy"], "");
    assert_eq!(env["NODE_USE_ENV_PROXY"], "1");
    assert_eq!(env["NODE_USE_SYSTEM_CA"], "1");
    assert_eq!(env["DENO_TLS_CA_STORE"], "system,mozilla");
    let bundle = &env["SSL_CERT_FILE"];
    for name in [
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
        "PIP_CERT",
        "npm_config_cafile",
        "DENO_CERT",
        "CODEX_CA_CERTIFICATE",
        "CARGO_HTTP_CAINFO",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        "BUNDLE_SSL_CA_CERT",
        "HEX_CACERTS_PATH",
    ] {
        assert_eq!(&env[name], bundle, "{name}");
    }
    let own = std::fs::read_to_string(home.state().join("ca/ca.pem")).unwrap();
    let text = std::fs::read_to_string(bundle).unwrap();
    assert!(squeezed(&text).contains(&squeezed(&own)), "our CA is in the bundle");
    let wgetrc = std::fs::read_to_string(&env["WGETRC"]).unwrap();
    assert!(wgetrc.contains(bundle.as_str()), "{wgetrc}");
    assert!(env.contains_key("ENSAGE_SESSION"));
    for name in ["SSL_CERT_DIR", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS"] {
        assert!(!env.contains_key(name), "{name}");
    }
}

fn squeezed(pem: &str) -> String {
    pem.split_whitespace().collect()
}

#[test]
fn e8_what_is_inherited_does_not_lead_past_the_gateway() {
    let home = Home::with(&Site::new().policy());
    let (env, _) = inside(
        &home,
        &[
            ("NO_PROXY", "*"),
            ("no_proxy", ".corp.test"),
            ("ALL_PROXY", "socks5://127.0.0.1:1"),
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:1"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:1"),
            ("SSLKEYLOGFILE", "/tmp/keys"),
            ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
            ("GIT_SSL_NO_VERIFY", "1"),
            ("PYTHONHTTPSVERIFY", "0"),
            ("SSL_CERT_DIR", "/etc/ssl/certs"),
            ("ENSAGE_STATE", "/nowhere"),
            ("ENSAGE_CONFIG", "/nowhere/ensage.toml"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("KEPT", "as it is"),
        ],
    );
    for name in [
        "ANTHROPIC_BASE_URL",
        "OPENAI_BASE_URL",
        "SSLKEYLOGFILE",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "GIT_SSL_NO_VERIFY",
        "PYTHONHTTPSVERIFY",
        "SSL_CERT_DIR",
        "ENSAGE_STATE",
        "ENSAGE_CONFIG",
    ] {
        assert!(!env.contains_key(name), "{name}");
    }
    assert_eq!((env["NO_PROXY"].as_str(), env["no_proxy"].as_str()), ("", ""));
    assert!(!env.values().any(|v| v.contains("127.0.0.1:1/") || v.ends_with("127.0.0.1:1")), "{env:?}");
    assert_eq!((env["NODE_OPTIONS"].as_str(), env["KEPT"].as_str()), ("--no-warnings", "as it is"));
}

/// The next hop is the gateway's: a program that knew it could ask it itself.
#[test]
fn the_program_is_pointed_at_the_gateway_and_not_at_its_next_hop() {
    let home = Home::with(&Site::new().policy());
    let corp = "http://ann:the-corp-password@127.0.0.1:9";
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "MY_OWN_PROXY"];
    let (env, run) = inside(&home, &names.map(|name| (name, corp)));
    assert!(!run.out.contains("127.0.0.1:9/") && !run.out.contains("corp-password"), "{env:?}");
    assert!(!env.values().any(|value| value.ends_with("127.0.0.1:9")), "{env:?}");
    // Whatever else holds its password is dropped, and told without it.
    assert!(run.err.contains("MY_OWN_PROXY") && !run.err.contains("the-corp-password"), "{run:?}");
}

#[test]
fn what_an_inherited_bundle_trusts_is_kept() {
    let home = Home::with(&Site::new().policy());
    let corp = Home::new();
    let pem = std::fs::read_to_string(corp.done(&["ca", "path"]).out.trim()).unwrap();
    let file = home.write("corp.pem", &pem);
    let (env, _) = inside(&home, &[("REQUESTS_CA_BUNDLE", file.to_str().unwrap())]);
    let bundle = std::fs::read_to_string(&env["REQUESTS_CA_BUNDLE"]).unwrap();
    assert!(squeezed(&bundle).contains(&squeezed(&pem)));
    // A folder of certificates too, which no variable names any more.
    let folder = home.path("certs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("0123abcd.0"), &pem).unwrap();
    let (env, _) = inside(&home, &[("SSL_CERT_DIR", &format!("/nowhere:{}", folder.display()))]);
    assert!(squeezed(&std::fs::read_to_string(&env["SSL_CERT_FILE"]).unwrap()).contains(&squeezed(&pem)));
    assert!(!env.contains_key("SSL_CERT_DIR"));
    let (other, _) = inside(&home, &[]);
    assert!(!squeezed(&std::fs::read_to_string(&other["SSL_CERT_FILE"]).unwrap()).contains(&squeezed(&pem)));
}

#[test]
fn the_program_gets_placeholders_and_never_the_secret() {
    let home = Home::with(&(Site::new().policy() + CREDENTIALS));
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), b"sk-lab-the-real-secret\n").code, Some(0));
    let (env, run) = inside(
        &home,
        &[
            ("LAB_KEY", "sk-lab-the-real-secret"),
            ("ELSEWHERE", "sk-lab-the-real-secret"),
            ("INSIDE", "Bearer sk-lab-the-real-secret"),
            ("HARMLESS", "sk-lab-something-else"),
        ],
    );
    assert!(env["LAB_KEY"].starts_with("sk-lab-"), "{env:?}");
    assert_eq!(env["LAB_KEY"], env["LAB_KEY_TOO"]);
    assert!(!run.out.contains("the-real-secret"), "{env:?}");
    assert!(!env.contains_key("ELSEWHERE"));
    assert!(run.err.contains("ELSEWHERE"), "dropped and reported: {run:?}");
    assert!(!run.err.contains("the-real-secret"), "{run:?}");
    assert_eq!(env["HARMLESS"], "sk-lab-something-else");
    let (again, _) = inside(&home, &[]);
    assert_ne!(again["LAB_KEY"], env["LAB_KEY"], "a placeholder is of one session");
}

#[test]
fn a_source_in_the_environment_is_taken_out_of_it() {
    let from_env = CREDENTIALS.replace("slot =", "source = \"env:LAB_SOURCE\"\nslot =");
    let home = Home::with(&(Site::new().policy() + &from_env));
    let (env, run) = inside(&home, &[("LAB_SOURCE", "sk-lab-the-real-secret")]);
    assert!(!env.contains_key("LAB_SOURCE"), "{env:?}");
    assert!(!run.out.contains("the-real-secret"));
    assert!(env["LAB_KEY"].starts_with("sk-lab-"));
}
