//! H5: certificates that `upstream.crl` revokes.

use std::fs;

use ensage_tests::{Ca, Config, Origin, Rig};
use serde_json::Value;

use super::lab::{KEYED, Keyed, lab, reason, reasons, rig};
use super::regress::reloaded;

const ENTRIES: &str = "[[enclave.lab.http]]\nhost = \"*.test\"\n";

fn get(rig: &Rig, gateway: &ensage_tests::Gateway, host: &str) -> ensage_tests::Answer {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    super::lab::ask(rig, gateway, &format!("{host}:443"), request.as_bytes())
}

#[test]
fn h5_a_revoked_certificate_gets_no_byte() {
    let rig = rig();
    let middle = rig.ca.intermediate(77);
    let other = Ca::named("another test CA");
    fs::write(rig.path("other.pem"), &other.pem).unwrap();
    let origins = [
        ("gone.test", Origin::good(rig.ca.numbered("gone.test", 7))),
        ("good.test", Origin::good(rig.ca.numbered("good.test", 8))),
        ("below.test", Origin::good(middle.numbered("below.test", 7))),
        ("beside.test", Origin::good(rig.ca.intermediate(78).numbered("beside.test", 7))),
        // Of a CA that gives no list.
        ("other.test", Origin::good(other.numbered("other.test", 7))),
    ];
    // One file with two lists, and one that is long due.
    fs::write(rig.path("first.pem"), format!("{}{}", middle.crl(&[1], 2090), rig.ca.crl(&[5, 7], 2090))).unwrap();
    fs::write(rig.path("due.pem"), rig.ca.crl(&[77], 2025)).unwrap();
    let crl = |files: &str| {
        let mut config = lab(ENTRIES).upstream(&format!("crl = [{files}]"));
        for (name, origin) in &origins {
            config = config.resolve(&format!("{name}:443"), origin.address());
        }
        rig.configure(&config);
        let text = fs::read_to_string(rig.config_file()).unwrap();
        let roots = text.replacen("roots.pem\"]", "roots.pem\", \"other.pem\"]", 1);
        rig.write_config(&roots);
    };
    crl("\"first.pem\"");
    let gateway = rig.start();
    let told = |host: &str| {
        let answer = get(&rig, &gateway, host);
        if answer.status == 200 {
            return answer.text().to_owned();
        }
        assert_eq!((answer.status, answer.told()), (502, Some("upstream_certificate")), "{host}");
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["outcome"]), ("upstream_certificate", &"upstream_failed".into()));
        assert_eq!(record["fault"], answer.json()["fault"]);
        answer.json()["fault"].as_str().unwrap().to_owned()
    };
    let all = || origins.each_ref().map(|(name, _)| told(name));
    assert_eq!(all(), ["revoked", "good", "good", "good", "good"]);
    // A reload reads the files again, and what was open for a connection that is kept alive is asked again.
    crl("\"due.pem\"");
    reloaded(&rig, &gateway);
    assert_eq!(all(), ["good", "good", "revoked", "good", "good"], "an intermediate counts, and an old list too");
    fs::write(rig.path("due.pem"), rig.ca.crl(&[8], 2090)).unwrap();
    reloaded(&rig, &gateway);
    assert_eq!(all(), ["good", "revoked", "good", "good", "good"], "the same file with another list");
    crl("");
    reloaded(&rig, &gateway);
    assert_eq!(all(), ["good"; 5]);
    assert!(origins[0].1.received().first().is_some_and(Vec::is_empty), "not a byte of a request");
}

#[test]
fn h5_a_list_that_its_ca_did_not_sign_refuses_its_certificates() {
    let rig = rig();
    let origin = Origin::good(rig.ca.numbered("good.test", 8));
    // The same name, another key.
    fs::write(rig.path("forged.pem"), Ca::new().crl(&[1], 2090)).unwrap();
    let config: Config = lab(ENTRIES).upstream("crl = [\"forged.pem\"]").resolve("good.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let answer = get(&rig, &gateway, "good.test");
    assert_eq!((answer.told(), &answer.json()["fault"]), (Some("upstream_certificate"), &Value::from("bad_signature")));
    assert_eq!((origin.requests(), reasons(&rig)), (0, vec!["upstream_certificate".to_owned()]));
}

#[test]
fn h5_no_secret_goes_to_a_revoked_certificate() {
    let rig = rig();
    let origin = Origin::good(rig.ca.numbered("api.test", 7));
    fs::write(rig.path("list.pem"), rig.ca.crl(&[7], 2090)).unwrap();
    let config: Config = lab(KEYED).upstream("crl = [\"list.pem\"]").resolve("*.test:443", origin.address());
    let lab = Keyed::start(rig, &config);
    let bearer = format!("GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder);
    let answer = lab.ask("api.test:443", &bearer);
    assert_eq!((answer.told(), &answer.json()["fault"]), (Some("upstream_certificate"), &Value::from("revoked")));
    assert_eq!(origin.text(), "");
    lab.assert_sealed();
}

#[test]
fn h6_a_list_that_cannot_be_used_is_an_error_at_its_place() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let good = rig.ca.crl(&[7], 2090);
    let damaged = good.replace("-----END", "AAAA\n-----END");
    let write = |name: &str, text: &str| fs::write(rig.path(name), text).unwrap();
    write("good.pem", &good);
    write("due.pem", &rig.ca.crl(&[7], 2025));
    write("empty.pem", "");
    write("certificate.pem", &rig.ca.pem);
    write("damaged.pem", &damaged);
    write("torn.pem", &good[..good.len() / 2]);
    assert!(std::process::Command::new("mkfifo").arg(rig.path("fifo.pem")).status().unwrap().success());
    let names = ["absent", "empty", "certificate", "damaged", "torn", "fifo"];
    let files: Vec<String> = names.iter().map(|name| format!("  \"{name}.pem\",\n")).collect();
    let config = |files: &str| {
        lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n")
            .upstream(&format!("crl = [\n  \"good.pem\",\n  \"due.pem\",\n{files}]"))
            .resolve("ok.test:443", origin.address())
    };
    rig.configure(&config(&files.concat()));
    let text = fs::read_to_string(rig.config_file()).unwrap();
    let line = |name: &str| text.lines().position(|line| line.contains(&format!("{name}.pem\","))).unwrap() + 1;
    let check = rig.ends(&["--json", "check"]);
    assert_eq!(check.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&check.stdout).unwrap();
    let at = |d: &Value| (d["key"].as_str().unwrap().to_owned(), d["line"].clone(), d["column"].clone());
    let told: Vec<_> = found["errors"].as_array().unwrap().iter().map(at).collect();
    let place = |(n, name): (usize, &&str)| (format!("upstream.crl[{}]", n + 2), line(name).into(), 3.into());
    assert_eq!(told, names.iter().enumerate().map(place).collect::<Vec<_>>());
    let warned: Vec<_> = found["warnings"].as_array().unwrap().iter().map(|w| w["key"].as_str().unwrap()).collect();
    assert_eq!(warned.first(), Some(&"upstream.crl[1]"), "{warned:?}");
    // The gateway says the same, and does not start.
    let started = rig.ends(&["gateway"]);
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert_eq!(started.status.code(), Some(1), "{said}");
    let first = format!("{}:{}:3: error: ", rig.config_file().display(), line("absent"));
    assert!(said.starts_with(&first), "{said}");

    // A reload with one keeps the policy that is in force.
    let gateway = rig.start_with(&config(""));
    assert_eq!(get(&rig, &gateway, "ok.test").text(), "good");
    rig.configure(&config("  \"torn.pem\",\n"));
    gateway.hang_up();
    let rejected = ensage_tests::until("the refusal", || {
        rig.records().into_iter().find(|r| r["kind"] == "policy" && r["event"] == "rejected")
    });
    assert!(rejected["message"].as_str().unwrap().contains("torn.pem"), "{rejected}");
    assert_eq!(get(&rig, &gateway, "ok.test").text(), "good");
}
