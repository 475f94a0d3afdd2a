//! `gateway`, `reload`, `status`: the life of a daemon.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::asking::failed;
use super::home::{Home, Site, done, start, until};

fn get(proxy: std::net::SocketAddr, url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).args(["-s", "-x", &format!("http://{proxy}"), url]);
    curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    curl
}

#[test]
fn it_prints_where_it_listens_and_nothing_else() {
    let site = Site::new();
    let policy = site.policy().replace("agents =", "listen = \"127.0.0.1:0\"\nagents =");
    let home = Home::with(&policy);
    let daemon = home.gateway();
    assert_eq!(done(&mut get(daemon.at, &format!("http://{}/", site.at))).out, "hello");
    assert_eq!(home.document(&["status"])["listeners"].as_array().unwrap().len(), 2);
    daemon.signal(Signal::TERM);
    let end = daemon.end();
    assert_eq!((end.code, end.signal), (Some(0), None), "{end:?}");
    assert_eq!(end.out.lines().count(), 1, "{end:?}");
    assert!(end.out.starts_with("listening on 127.0.0.1:"), "{end:?}");
    failed(&home, &["status"], 1, "no_gateway");
    let last = home.records(&[]).pop().unwrap();
    assert_eq!((&last["kind"], &last["event"]), (&"gateway".into(), &"stopped".into()));
}

#[test]
fn a_second_one_is_refused() {
    let home = Home::with(&Site::new().policy());
    let daemon = home.gateway();
    failed(&home, &["gateway"], 1, "already_running");
    assert_eq!(home.document(&["status"])["pid"], daemon.child.id());
}

#[test]
fn a_dead_one_leaves_nothing_in_the_way() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let mut daemon = home.gateway();
    assert_eq!(done(&mut get(daemon.at, &format!("http://{}/", site.at))).out, "hello");
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    failed(&home, &["status"], 1, "no_gateway");
    let daemon = home.gateway();
    assert_eq!(done(&mut get(daemon.at, &format!("http://{}/", site.at))).out, "hello");
    assert_eq!(home.calls().len(), 2, "the record outlived kill -9");
    assert_eq!(home.done(&["audit", "verify"]).code, Some(0));
}

#[test]
fn it_drains_before_it_ends() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let daemon = home.gateway();
    let late = start(&mut get(daemon.at, &format!("http://{}/late", site.at)));
    until("the call is upstream", || (site.asked().len() == 1).then_some(()));
    daemon.signal(Signal::TERM);
    let drained = late.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(drained.stdout).unwrap(), "hello", "what was under way was cut");
    let end = daemon.end();
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(home.calls()[0]["outcome"], "complete");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let daemon = home.gateway();
    let endless = start(&mut get(daemon.at, &format!("http://{}/slow", site.at)));
    until("the call is upstream", || (site.asked().len() == 1).then_some(()));
    daemon.signal(Signal::TERM);
    until("it drains", || (home.document(&["status"])["draining"] == true).then_some(()));
    let at = Instant::now();
    daemon.signal(Signal::TERM);
    let end = daemon.end();
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
    assert_eq!(endless.wait_with_output().unwrap().status.code(), Some(18));
    until("the record is closed", || (home.calls()[0]["outcome"] == "gateway_stopped").then_some(()));
}

#[test]
fn a_reload_takes_effect_and_a_broken_file_does_not() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let daemon = home.gateway();
    let url = format!("http://{}/", site.at);
    let asked = || done(&mut get(daemon.at, &url)).out;
    assert_eq!(asked(), "hello");

    home.write("ensage-lab.toml", &site.policy().replace("GET", "PUT"));
    let reload = home.document(&["reload"]);
    assert_eq!((&reload["schema"], &reload["generation"]), (&"ensage.reload.v1".into(), &2.into()));
    assert!(asked().contains("method_not_allowed"));

    home.write("ensage-lab.toml", "nonsense = true\n");
    let error = failed(&home, &["reload"], 1, "bad_config");
    assert!(error["message"].as_str().unwrap().contains("ensage-lab.toml:1:1: error:"), "{error}");
    let status = home.document(&["status"]);
    assert_eq!((&status["generation"], &status["last_reload"]["ok"]), (&2.into(), &false.into()), "{status}");
    assert!(status["last_reload"]["error"].is_string());
    assert!(asked().contains("method_not_allowed"), "the old policy stays in force");

    home.write("ensage-lab.toml", &site.policy());
    daemon.signal(Signal::HUP);
    until("the signal has been heard", || (home.document(&["status"])["generation"] == 3).then_some(()));
    assert_eq!(asked(), "hello");
    let events: Vec<_> =
        home.records(&[]).iter().filter(|r| r["kind"] == "policy").map(|r| r["event"].clone()).collect();
    assert_eq!(events, ["loaded", "loaded", "rejected", "rejected", "loaded"]);
}
