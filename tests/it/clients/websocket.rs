//! The WebSocket packages of Python and Node, with their extensions and their ways to close.

use std::path::Path;

use serde_json::Value;

use super::servers::{Server, Tls, clients, node, python};
use crate::cli::home::{Done, Home, done, fed, filled, start, until};

const KEY: &str = "the-real-key-of-this-socket";

/// A home whose `lab` may talk to the server as `api.lab.test`, which a credential binds, and as `open.lab.test`.
fn lab(program: &str) -> Option<(Home, Server)> {
    let home = Home::new();
    let tls = Tls::new(&home, &["api.lab.test", "open.lab.test"]);
    let server = Server::websocket(&home, &tls, program)?;
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"*.lab.test:443\" = \"127.0.0.1:{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"*.lab.test\"\nwebsocket = true\n\
         [credential.lab]\nslot = \"bearer\"\nhosts = [\"api.lab.test\"]\nplaceholder = \"lab_\"\nenv = \"LAB_TOKEN\"\n",
        tls.roots.display(),
        server.port
    );
    home.write("ensage-lab.toml", &text);
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), KEY.as_bytes()).code, Some(0));
    Some((home, server))
}

fn run(home: &Home, program: &Path, script: &str) -> Done {
    let program = program.to_str().unwrap();
    let flag = if program.ends_with("node") { "-e" } else { "-c" };
    let mut command = home.ensage(&["run", "--advisory", "--enclave", "lab", "--", program, flag, script]);
    done(command.env("ENSAGE_CLIENTS", clients()))
}

/// Says and hears things on both hosts, and prints the ends.
const PYTHON: &str = r"
import os
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosed
key = os.environ['LAB_TOKEN']
patient = {'open_timeout': 100, 'close_timeout': 100, 'ping_interval': None}
big = bytes(range(256)) * 3000
for host, headers in [('api', {'authorization': 'Bearer ' + key}), ('open', {})]:
    with connect(f'wss://{host}.lab.test/talk', additional_headers=headers, max_size=None, **patient) as s:
        s.send('hello'); assert s.recv() == 'hello'
        s.send(iter(['in ', 'frag', 'ments'])); assert s.recv() == 'in fragments'
        s.send(big); assert s.recv() == big
        assert s.ping().wait(100)
        s.send('mirror'); said = s.recv()
        assert said == ('you are Bearer ' + key if host == 'api' else 'you are nobody'), said
        print(host, [e.name for e in s.protocol.extensions])
    with connect(f'wss://{host}.lab.test/talk', **patient) as s:
        s.send('bye')
        try: s.recv()
        except ConnectionClosed as e: print(e.rcvd.code, e.rcvd.reason)
with connect('wss://api.lab.test/talk', **patient) as s:
    s.send('my key: ' + key)
    try: s.recv()
    except ConnectionClosed as e: print(e.rcvd.code, e.rcvd.reason)
";

const NODE: &str = r"
const http = require('http'), tls = require('tls'), { once } = require('events');
const { WebSocket } = require(process.env.ENSAGE_CLIENTS + '/node/node_modules/ws');
const key = process.env.LAB_TOKEN, proxy = new URL(process.env.HTTPS_PROXY);
const big = Buffer.alloc(768000, 'abcdefg');
async function open(name, headers) {
    const host = name + '.lab.test';
    const target = { method: 'CONNECT', path: host + ':443', headers: { host } };
    const ask = http.request({ host: proxy.hostname, port: proxy.port, ...target });
    ask.end();
    const [, socket] = await once(ask, 'connect');
    const createConnection = () => tls.connect({ socket, servername: host });
    const ws = new WebSocket(`wss://${host}/talk`, { headers, createConnection });
    await once(ws, 'open');
    return ws;
}
async function hear(ws, said, options) {
    ws.send(said, options);
    return (await once(ws, 'message'))[0];
}
function same(a, b) { if (String(a) !== String(b)) throw new Error(String(a).slice(0, 99)); }
(async () => {
    for (const host of ['api', 'open']) {
        let ws = await open(host, host === 'api' ? { authorization: 'Bearer ' + key } : {});
        same(await hear(ws, 'hello'), 'hello');
        ws.send('in ', { fin: false }); ws.send('frag', { fin: false });
        same(await hear(ws, 'ments', { fin: true }), 'in fragments');
        same(await hear(ws, big), big);
        ws.ping('p'); same((await once(ws, 'pong'))[0], 'p');
        const you = String(await hear(ws, 'mirror'));
        same(you, 'you are ' + (host === 'api' ? 'Bearer ' + key : 'nobody'));
        console.log(host, Object.keys(ws._extensions).join());
        ws.close(1000); await once(ws, 'close');
        ws = await open(host, {});
        ws.send('bye');
        const [code, reason] = await once(ws, 'close');
        console.log(code, String(reason));
    }
    const ws = await open('api', {});
    ws.send('my key: ' + key);
    const [code, reason] = await once(ws, 'close');
    console.log(code, String(reason));
})();
";

/// Whatever the server is: what the client saw, what arrived, and what is recorded.
fn talked(home: &Home, server: &Server, seen: &Done, extensions: [&str; 2]) {
    let [none, deflate] = extensions;
    let ends = "4001 as you wish";
    let expected = format!("api {none}\n{ends}\nopen {deflate}\n{ends}\n1008 placeholder_wrong_slot\n");
    assert_eq!((seen.code, seen.out.as_str()), (Some(0), expected.as_str()), "{seen:?}");
    let log = server.log();
    assert_eq!(log.len(), 5, "{log:?}");
    assert_eq!(log[0]["authorization"], format!("Bearer {KEY}"));
    let agreed: Vec<&Value> = log.iter().map(|one| &one["extensions"]).collect();
    let (none, deflate) = (Value::from(Vec::<String>::new()), Value::from(vec!["permessage-deflate"]));
    assert_eq!(agreed, [&none, &none, &deflate, &deflate, &none]);
    let calls = home.calls();
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| call["type"] == "websocket"), "{calls:#?}");
    let outcomes: Vec<&str> = calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["complete", "complete", "complete", "complete", "refused"]);
    assert_eq!(calls[0]["scrubbed"], 1, "{}", calls[0]);
    let all = serde_json::to_string(&home.records(&[])).unwrap();
    assert!(!all.contains(KEY) && !all.contains("ens_"), "{all}");
    assert!(!seen.out.contains(KEY) && !seen.err.contains(KEY), "{seen:?}");
}

#[test]
fn python_talks_to_both_servers() {
    for server in ["ws_lab.py", "ws_lab.mjs"] {
        let (Some((home, server)), Some(python)) = (lab(server), python()) else { return };
        let seen = run(&home, &python, PYTHON);
        talked(&home, &server, &seen, ["[]", "['permessage-deflate']"]);
    }
}

#[test]
fn node_talks_to_both_servers() {
    for server in ["ws_lab.py", "ws_lab.mjs"] {
        let (Some((home, server)), Some(node)) = (lab(server), node()) else { return };
        let seen = run(&home, &node, NODE);
        talked(&home, &server, &seen, ["", "permessage-deflate"]);
    }
}

#[test]
fn a_session_that_ends_says_so_in_its_websockets() {
    let (Some((home, _server)), Some(python)) = (lab("ws_lab.py"), python()) else { return };
    let (here, told) = (home.path("here"), home.path("told"));
    let script = format!(
        "import os\nfrom websockets.sync.client import connect\nfrom websockets.exceptions import ConnectionClosed\n\
         s = connect('wss://api.lab.test/talk', open_timeout=100, legacy=True)\ns.send('hello')\ns.recv()\n\
         open({here:?}, 'w').write(os.environ['ENSAGE_SESSION'] + '\\n')\n\
         try: s.recv()\nexcept ConnectionClosed as e: open({told:?}, 'w').write(f'{{e.rcvd.code}} {{e.rcvd.reason}}\\n')\n"
    );
    let words = ["run", "--advisory", "--enclave", "lab", "--", python.to_str().unwrap(), "-c", &script];
    let mut run = start(&mut home.ensage(&words));
    let id = until("the websocket is open", || filled(&here));
    assert_eq!(home.done(&["sessions", "end", id.trim()]).code, Some(0));
    assert_eq!(until("the client is told", || filled(&told)).trim(), "1008 session_ended");
    run.wait().unwrap();
    let calls = home.calls();
    assert_eq!((calls.len(), &calls[0]["outcome"]), (1, &"session_ended".into()), "{calls:#?}");
}
