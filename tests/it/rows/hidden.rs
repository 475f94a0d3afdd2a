//! V2: what is not in the enclave looks as if it did not exist, whatever it is.

use std::time::{Duration, Instant};

use ensage_tests::{Answer, Config, Dns, Gateway, Origin, Raw};

use super::lab::{lab, reasons, rig};

/// The answer's bytes without what may differ: the date, the decision's id, the name that the client sent.
fn told(answer: &Answer, name: &str) -> String {
    let id = answer.field("ensage-decision").unwrap();
    let date = answer.field("date").unwrap();
    let all = format!("{}{}", answer.head, answer.text());
    assert_eq!(all.matches(id).count(), 2, "{all}");
    assert_eq!(all.matches(name).count(), 1, "{name}: {all}");
    // Ids and dates are of one length; a name changes the length of the body.
    let length = answer.field("content-length").unwrap().parse::<usize>().unwrap();
    let all = all.replace(id, "ID").replace(date, "DATE").replace(name, "NAME");
    all.replace(&format!("content-length: {length}"), &format!("content-length: {}+NAME", length - name.len()))
}

#[test]
fn v2_every_hidden_answer_is_the_same() {
    let rig = rig();
    let dns = Dns::start();
    let sink = Origin::sink();
    let port = sink.port();
    let config: Config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n")
        .body("[agent.them]\nexe = \"/nowhere/*\"\n[enclave.theirs]\nagents = [\"them\"]\n[[enclave.theirs.http]]\nhost = \"theirs.test\"\n[enclave.theirs.mcp.desk]\nurl = \"https://desk.theirs.test/mcp\"\n")
        .resolve("*:*", sink.address())
        .dns(dns.address());
    let gateway = rig.start_with(&config);
    let targets = [
        ("unknown.test", 443, "host_not_allowed"),
        ("theirs.test", 443, "host_not_allowed"),
        ("desk.theirs.test", 443, "host_not_allowed"),
        ("localhost", port, "host_not_allowed"),
        ("UPPER.test", 443, "host_not_allowed"),
        ("xn--fiqs8s.test", 443, "host_not_allowed"),
        ("ok.test", 8443, "port_not_allowed"),
        ("127.0.0.1", port, "address_literal"),
        ("127.1", port, "address_literal"),
        ("2130706433", port, "address_literal"),
        ("0x7f000001", port, "address_literal"),
        ("0177.0.0.1", port, "address_literal"),
        ("169.254.169.254", 80, "address_literal"),
        ("[::1]", port, "address_literal"),
        ("[::ffff:169.254.169.254]", 80, "address_literal"),
    ];
    let mut whole = Vec::new();
    for (host, port, _) in targets {
        let answer = Raw::open(gateway.address()).connect(&format!("{host}:{port}"), "");
        whole.push((host, told(&answer, host)));
        for scheme in ["http", "https"] {
            let mut raw = Raw::open(gateway.address());
            raw.send(format!("GET {scheme}://{host}:{port}/p?q HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes());
            whole.push((host, told(&raw.answer(), host)));
        }
    }
    let first = whole.first().unwrap().1.clone();
    assert!(
        first.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && first.contains("content-type: text/plain\r\n"),
        "{first}"
    );
    assert!(first.contains("proxy-status: ensage; error=dns_error; details=\"name_unknown\"\r\n"), "{first}");
    assert!(first.ends_with("\r\n\r\nname_unknown NAME ID\n"), "{first}");
    for (host, one) in whole {
        assert_eq!(one, first, "{host}");
    }
    let expected: Vec<&str> = targets.iter().flat_map(|(_, _, why)| [*why; 3]).collect();
    assert_eq!(reasons(&rig), expected);
    assert_eq!((dns.asked(), sink.connections()), (vec![], 0));
}

/// The scheme is part of what a rule opens.
#[test]
fn v2_a_scheme_that_is_not_open_is_hidden_too() {
    let rig = rig();
    let sink = Origin::sink();
    let config = lab(
        "[[enclave.lab.http]]\nhost = \"ok.test\"\n[[enclave.lab.http]]\nhost = \"plain.test:80\"\nscheme = \"http\"\n",
    )
    .resolve("*:*", sink.address());
    let gateway = rig.start_with(&config);
    for (target, host) in [("http://ok.test:443/", "ok.test:443"), ("https://plain.test:80/", "plain.test:80")] {
        let mut raw = Raw::open(gateway.address());
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")), "{target}");
    }
    assert_eq!(reasons(&rig), ["scheme_not_allowed"; 2]);
    assert_eq!(sink.connections(), 0);
}

/// Names that are hidden for different reasons: one that nobody has, one that resolves and is served, one of another
/// project, an allowed host's other port, an address.
const HIDDEN: [&str; 5] = ["no.test:443", "here.test:443", "theirs.test:443", "ok.test:8443", "127.0.0.1:443"];
const ROUNDS: usize = 200;

/// How long each answer took, one list for each name. All names take turns on one connection, each round beginning with
/// another one: whatever slows the machine down slows all of them.
fn times(gateway: &Gateway, ask: impl Fn(&mut Raw, &str) -> Answer) -> [Vec<Duration>; HIDDEN.len()] {
    let mut raw = Raw::open(gateway.address());
    let mut all = [const { Vec::new() }; HIDDEN.len()];
    for round in 0..ROUNDS {
        for turn in 0..HIDDEN.len() {
            let class = (round + turn) % HIDDEN.len();
            let begun = Instant::now();
            let answer = ask(&mut raw, HIDDEN[class]);
            all[class].push(begun.elapsed());
            assert_eq!((answer.status, answer.told()), (502, Some("name_unknown")), "{}", answer.head);
        }
    }
    all
}

/// The quarter and the half of a list.
fn quantiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort();
    [4, 2].map(|part| times[times.len() / part].as_secs_f64())
}

/// No class stands out: only what is a factor of two away from the middle class at a quarter and at a half does, which a
/// lookup, a dial or a handshake is by far, and a busy machine is not.
fn stands_out(all: [Vec<Duration>; HIDDEN.len()]) -> Option<String> {
    let classes = all.map(quantiles);
    let middle = [0, 1].map(|at| {
        let mut of = classes.map(|class| class[at]);
        of.sort_by(f64::total_cmp);
        of[HIDDEN.len() / 2]
    });
    let away = |class: &[f64; 2]| (0..2).all(|at| class[at] > 2.0 * middle[at] || class[at] < 0.5 * middle[at]);
    let odd = classes.iter().position(away)?;
    Some(format!("{} of {classes:?}", HIDDEN[odd]))
}

/// An agent learns nothing from how long an answer takes (contract section 4; issue 4, point 5).
#[test]
fn v2_hidden_answers_take_the_same_time() {
    let rig = rig();
    let dns = Dns::start();
    dns.answer("here.test", &[&["127.0.0.1"]]);
    dns.answer("ok.test", &[&["127.0.0.1"]]);
    let sink = Origin::sink();
    let config: Config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n")
        .body("[agent.them]\nexe = \"/nowhere/*\"\n[enclave.theirs]\nagents = [\"them\"]\n[[enclave.theirs.http]]\nhost = \"theirs.test\"\n")
        .resolve("theirs.test:443", sink.address())
        .dns(dns.address());
    let gateway = rig.start_with(&config);
    let connect = |raw: &mut Raw, to: &str| raw.connect(to, "");
    let absolute = |raw: &mut Raw, to: &str| {
        raw.send(format!("GET https://{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes());
        raw.answer()
    };
    assert_eq!(stands_out(times(&gateway, connect)), None);
    assert_eq!(stands_out(times(&gateway, absolute)), None);
    assert_eq!((dns.asked(), sink.connections()), (vec![], 0));
    assert_eq!(reasons(&rig).len(), 2 * ROUNDS * HIDDEN.len());
}
