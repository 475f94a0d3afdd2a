//! curl: what a refused host looks like.

use ensage_tests::{Ca, Origin};

use crate::cli::home::{Home, done};

fn lab(origin: &Origin, ca: &Ca) -> Home {
    let home = Home::new();
    let roots = home.write("roots.pem", &ca.pem);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"files.lab.test:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"files.lab.test\"\n",
        roots.display(),
        origin.address()
    );
    home.write("ensage-lab.toml", &text);
    home
}

#[test]
fn a_refused_host_looks_like_one_that_is_not_there() {
    let ca = Ca::new();
    let origin = Origin::good(ca.leaf(&["files.lab.test"]));
    let home = lab(&origin, &ca);
    let script = "curl -sS https://files.lab.test/; curl -sS https://hidden.lab.test/; echo \" $?\"";
    let seen = done(&mut home.run(&[], script));
    assert_eq!(seen.out, "good 56\n", "{seen:?}");
    assert!(seen.err.contains("CONNECT tunnel failed, response 502"), "{seen:?}");
    assert!(seen.last().contains("1 allowed, 1 denied"), "{seen:?}");
    let calls = home.calls();
    assert_eq!(
        (&calls[1]["type"], &calls[1]["reason"]),
        (&"connect".into(), &"host_not_allowed".into()),
        "{}",
        calls[1]
    );
    assert_eq!(calls[1]["server"]["address"], "hidden.lab.test");
    assert_eq!(calls[1].pointer("/network/peer/address"), None, "nobody was dialled");
}
