//! `run` with a program that trusts its own CA only.

use ensage_tests::{Ca, Origin};

use super::home::{Home, done, filled, start, until};

/// An origin that begins an answer and never ends it, and a home whose enclave `lab` has these entries for it.
fn lab(entries: impl Fn(&str) -> String) -> (Home, Origin, String) {
    let ca = Ca::new();
    let origin = Origin::start(Some(ca.leaf(&["127.0.0.1"])), |link| {
        link.request()?;
        link.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun")?;
        link.some().map(drop)
    });
    let at = origin.address().to_string();
    let home = Home::with(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[enclave.lab]\nagents = [\"*\"]\n{}",
        entries(&at)
    ));
    let cacert = home.write("pinned.pem", &ca.pem).display().to_string();
    (home, origin, format!("curl -sSN --cacert {cacert} https://{at}/"))
}

#[test]
fn a_run_says_at_its_end_that_its_certificate_was_refused() {
    let (home, origin, curl) = lab(|at| format!("[[enclave.lab.http]]\nhost = \"{at}\"\n"));
    let run = done(&mut home.run(&[], &format!("{curl}; {curl}; {curl}")));
    assert_eq!(run.code, Some(60), "curl's word for it: {run:?}");
    assert!(
        run.err.contains("3 connections came to nothing because a program refuses the gateway's certificate"),
        "{run:?}"
    );
    assert!(run.last().starts_with("ensage: 3 allowed, 0 denied"), "{run:?}");
    assert_eq!(origin.connections(), 0);
    assert!(run.err.contains("`ensage ca install`") && run.err.contains("`tunnel`"), "{run:?}");
    let quiet = done(&mut home.run(&[], "true"));
    assert!(!quiet.err.contains("certificate"), "{quiet:?}");
}

#[test]
fn h6_a_tunnel_ends_with_its_session() {
    let (home, _origin, curl) = lab(|at| format!("tunnel = [\"{at}\"]\n"));
    let (here, cut) = (home.path("here"), home.path("cut"));
    let script = format!("echo $ENSAGE_SESSION > {}; {curl}; echo $? > {}", here.display(), cut.display());
    let mut run = start(&mut home.run(&[], &script));
    let id = until("the session is open", || filled(&here));
    let running = || home.calls().pop().filter(|call| call["type"] == "tunnel" && call["open"] == true);
    until("the tunnel is open", running);
    assert_eq!(home.done(&["sessions", "end", id.trim()]).code, Some(0));
    let code = until("curl has noticed", || filled(&cut));
    assert_ne!(code.trim(), "0");
    run.wait().unwrap();
    assert_eq!(home.calls().pop().unwrap()["outcome"], "session_ended");
}
