//! The daemon under test from outside: its records outlive it, its policy changes whole or not at all.

use ensage_tests::{Config, Gateway, Origin, Rig, until};

use super::lab::{ask, lab, rig};

fn one_host(rule: &str) -> (Rig, Origin, Gateway, Config) {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test", "new.test"]));
    let config: Config = lab(rule).resolve("*.test:443", origin.address());
    let gateway = rig.start_with(&config);
    (rig, origin, gateway, config)
}

const OK: &str = "[[enclave.lab.http]]\nhost = \"ok.test\"\n";
const GET_OK: &[u8] = b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n";

#[test]
fn a_record_outlives_kill_9() {
    let (rig, _origin, mut gateway, _config) = one_host(OK);
    for n in 0..20 {
        let mut raw = rig.tunnel(&gateway, "ok.test:443");
        raw.send(format!("GET /{n} HTTP/1.1\r\nHost: ok.test\r\n\r\n").as_bytes());
        assert_eq!(raw.answer().text(), "good");
        raw.send(b"GET /refused HTTP/1.1\r\nHost: no.test\r\n\r\n");
        assert_eq!(raw.answer().status, 421);
    }
    gateway.kill();
    let records = rig.calls();
    assert_eq!(records.len(), 40);
    for (n, pair) in records.chunks(2).enumerate() {
        let (done, refused) = (&pair[0], &pair[1]);
        assert_eq!((&done["url"]["path"], &done["outcome"]), (&format!("/{n}").into(), &"complete".into()), "{done}");
        assert!(done.get("open").is_none(), "{done}");
        assert_eq!((&refused["decision"], &refused["outcome"]), (&"deny".into(), &"refused".into()), "{refused}");
    }
    // The next gateway goes on with the same log, and it verifies.
    let gateway = rig.start();
    assert_eq!(ask(&rig, &gateway, "ok.test:443", GET_OK).status, 200);
    assert_eq!(rig.calls().len(), 41);
    assert!(rig.run(&["audit", "verify"]).status.success());
}

/// Two ways to write a policy that is none.
const BROKEN: [&str; 2] = ["[gateway]\nlisten = \n", "[gateway]\nno_such_key = 1\n"];

#[test]
fn h6_a_broken_file_keeps_the_old_policy() {
    let (rig, origin, gateway, config) = one_host(OK);
    for broken in BROKEN {
        rig.write_config(broken);
        let out = rig.run(&["reload"]);
        assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(!out.stderr.is_empty());
    }
    let rejected = rig.records().iter().filter(|r| r["kind"] == "policy" && r["event"] == "rejected").count();
    assert_eq!(rejected, BROKEN.len());
    // What is whole again is in force when `reload` returns.
    rig.configure(&config.body("[[enclave.lab.http]]\nhost = \"new.test\"\n"));
    let out = rig.run(&["reload"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let get_new = b"GET / HTTP/1.1\r\nHost: new.test\r\n\r\n";
    assert_eq!(ask(&rig, &gateway, "new.test:443", get_new).status, 200);
    assert_eq!(ask(&rig, &gateway, "ok.test:443", GET_OK).status, 200);
    assert_eq!(origin.requests(), 2);
    assert_eq!(rig.calls().pop().unwrap()["policy"]["generation"], 2);
}

#[test]
fn h6_a_broken_file_is_refused_on_sighup_too() {
    let (rig, origin, gateway, config) = one_host(OK);
    let seen = |event: &'static str, count: usize| {
        until(&format!("{count} policies {event}"), || {
            let records = rig.records();
            let found = records.iter().filter(|r| r["kind"] == "policy" && r["event"] == event).count();
            (found >= count).then_some(())
        });
    };
    rig.write_config(BROKEN[0]);
    gateway.hang_up();
    seen("rejected", 1);
    assert_eq!(ask(&rig, &gateway, "ok.test:443", GET_OK).status, 200);
    let loaded = rig.records().iter().filter(|r| r["kind"] == "policy" && r["event"] == "loaded").count();
    // H7: a tunnel of before has the rights of after.
    let mut old = rig.tunnel(&gateway, "ok.test:443");
    old.send(GET_OK);
    assert_eq!(old.answer().status, 200);
    rig.configure(&config.body("[[enclave.lab.http]]\nhost = \"new.test\"\n"));
    let text =
        std::fs::read_to_string(rig.config_file()).unwrap().replace("host = \"ok.test\"\n", "host = \"gone.test\"\n");
    rig.write_config(&text);
    gateway.hang_up();
    seen("loaded", loaded + 1);
    let before = origin.requests();
    old.send(GET_OK);
    let answer = old.answer();
    assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")));
    assert_eq!(origin.requests(), before);
    assert_eq!(rig.refused()["reason"], "host_not_allowed");
}

/// It starts over once, as the same process, so that the C library copies as fast as it can; what was set stays.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn it_runs_with_fast_copies() {
    let rig = rig();
    rig.configure(&lab(OK));
    let gateway = rig.start_in(&[("GLIBC_TUNABLES", "glibc.malloc.check=0")]);
    let environment = std::fs::read(format!("/proc/{}/environ", gateway.pid())).unwrap();
    let mut tunables = environment.split(|byte| *byte == 0).filter(|one| one.starts_with(b"GLIBC_TUNABLES="));
    let set = String::from_utf8_lossy(tunables.next().unwrap()).into_owned();
    assert!(set.starts_with("GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=100000000"), "{set}");
    assert_eq!(tunables.next(), None);
    let status: serde_json::Value = serde_json::from_str(&rig.good(&["status", "--json"])).unwrap();
    assert_eq!(status["pid"], gateway.pid());
}
