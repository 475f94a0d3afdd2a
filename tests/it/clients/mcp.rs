//! The official MCP SDKs of Python and TypeScript: what they list, what they call, what they are refused.

use super::python::configure;
use super::servers::{MCP, Server, TOKEN, Tls, clients, node, python};
use crate::cli::home::{Done, Home, done, fed};

const PYTHON: &str = r"
import asyncio, os, httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    headers = {'authorization': 'Bearer ' + os.environ['MCP_LAB_TOKEN']}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        async with Client(streamable_http_client('https://mcp.lab.test/mcp', http_client=http)) as c:
            print([t.name for t in (await c.list_tools()).tools])
            print((await c.call_tool('echo', {'message': 'via mcp'})).content[0].text)
            try: print('not refused:', await c.call_tool('secret_delete', {'name': 'x'}))
            except Exception as e: print(e)
asyncio.run(main())
";

const NODE: &str = r"
import { createRequire } from 'node:module';
const require = createRequire(process.env.ENSAGE_CLIENTS + '/node/package.json');
const { Client, StreamableHTTPClientTransport } = await import(require.resolve('@modelcontextprotocol/client'));
const headers = { authorization: 'Bearer ' + process.env.MCP_LAB_TOKEN };
const client = new Client({ name: 'lab', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL('https://mcp.lab.test/mcp'), { requestInit: { headers } }));
const names = (await client.listTools()).tools.map((tool) => `'${tool.name}'`);
console.log(`[${names}]`);
console.log((await client.callTool({ name: 'echo', arguments: { message: 'via mcp' } })).content[0].text);
try {
    console.log('not refused:', await client.callTool({ name: 'secret_delete', arguments: { name: 'x' } }));
} catch (error) {
    console.log(error.message);
}
await client.close();
";

fn lab() -> Option<(Home, Server)> {
    let home = Home::new();
    let tls = Tls::new(&home, &["mcp.lab.test"]);
    let server = Server::mcp(&home, &tls, TOKEN)?;
    configure(&home, &tls, &[("mcp.lab.test", server.port)], MCP);
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), TOKEN.as_bytes()).code, Some(0));
    Some((home, server))
}

fn told(seen: &Done, home: &Home, server: &Server) {
    assert_eq!(seen.code, Some(0), "{seen:?}\n{:?}", home.calls());
    let mut lines = seen.out.lines();
    assert_eq!((lines.next(), lines.next()), (Some("['echo']"), Some("echo: via mcp")), "{seen:?}");
    assert!(lines.next().unwrap().contains("Unknown tool: secret_delete"), "{seen:?}");
    let arrived = server.log();
    assert!(arrived.iter().all(|r| r["authorization"] == format!("Bearer {TOKEN}")), "{arrived:?}");
    let called: Vec<_> = arrived.iter().filter(|r| r["message"]["method"] == "tools/call").collect();
    assert_eq!((called.len(), &called[0]["message"]["params"]["name"]), (1, &"echo".into()), "{arrived:?}");
    let mut calls = home.calls();
    calls.retain(|c| c["mcp"]["method"]["name"] == "tools/call");
    let [echo, hidden] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((&echo["decision"], &echo["gen_ai"]["tool"]["name"]), (&"allow".into(), &"echo".into()));
    assert_eq!((&echo["credential"]["action"], &echo["outcome"]), (&"substituted".into(), &"complete".into()));
    assert_eq!((&hidden["decision"], &hidden["reason"]), (&"deny".into(), &"tool_not_allowed".into()), "{hidden}");
    assert_eq!(hidden["gen_ai"]["tool"]["name"], "secret_delete");
    assert!(!seen.out.contains(TOKEN) && !seen.err.contains(TOKEN), "{seen:?}");
}

#[test]
fn d2_the_mcp_sdk_of_python() {
    let (Some((home, server)), Some(python)) = (lab(), python()) else { return };
    let words = ["run", "--advisory", "--enclave", "lab", "--", python.to_str().unwrap(), "-c", PYTHON];
    told(&done(&mut home.ensage(&words)), &home, &server);
}

#[test]
fn d2_the_mcp_sdk_of_node() {
    let (Some((home, server)), Some(node)) = (lab(), node()) else { return };
    let flags = ["--input-type=module", "-e", NODE];
    let words = [&["run", "--advisory", "--enclave", "lab", "--", node.to_str().unwrap()][..], &flags].concat();
    told(&done(home.ensage(&words).env("ENSAGE_CLIENTS", clients())), &home, &server);
}
