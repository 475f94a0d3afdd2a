// A small MCP server on the official TypeScript SDK: two tools, Streamable HTTP at /mcp, every request in a log.
//
//   node mcp_lab.mjs PORT [--sdk 2|1] [--tls-cert FILE --tls-key FILE] [--require-token TOKEN] [--log FILE]
//
// PORT 0 picks a free port; the first line of stdout is `listening on PORT`. SDK 2 (the default) serves 2026-07-28
// and, without sessions, every revision from 2024-11-05 to 2025-11-25; SDK 1 serves these older ones with sessions
// (Mcp-Session-Id, GET stream, DELETE). The log has one JSON line for each HTTP request, written before its answer:
// {n, http, path, protocol, authorization, headers, message}; `text` instead of `message` where the body is not JSON.
import { randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        sdk: { type: 'string', default: '2' },
        'tls-cert': { type: 'string' },
        'tls-key': { type: 'string' },
        'require-token': { type: 'string' },
        log: { type: 'string' },
    },
});
if (positionals.length !== 1 || !['1', '2'].includes(options.sdk)) {
    console.error('usage: node mcp_lab.mjs PORT [--sdk 2|1] [--tls-cert F --tls-key F] [--require-token T] [--log F]');
    process.exit(2);
}

// The packages live in the folder that tests/clients/install fills, not beside this file.
const clients = process.env.ENSAGE_CLIENTS || fileURLToPath(new URL('../../../target/clients', import.meta.url));
const require = createRequire(pathToFileURL(join(clients, 'node', 'package.json')));
const load = (name) => import(pathToFileURL(require.resolve(name)));

const { z } = await load('zod');
const { toNodeHandler } = await load('@modelcontextprotocol/node');

const fetch = options.sdk === '2' ? await modern() : await sessions();
let count = 0;
const app = toNodeHandler({
    async fetch(request, more) {
        await note(request.clone());
        const token = options['require-token'];
        if (token && request.headers.get('authorization') !== `Bearer ${token}`) {
            return new Response('a token is required', { status: 401, headers: { 'www-authenticate': 'Bearer' } });
        }
        if (new URL(request.url).pathname !== '/mcp') return new Response('only /mcp is here', { status: 404 });
        return fetch(request, more);
    },
});

const tls = options['tls-cert'] && { cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) };
const server = tls ? https.createServer(tls, app) : http.createServer(app);
server.listen(Number(positionals[0]), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));

async function note(request) {
    if (!options.log) return;
    const { pathname, search } = new URL(request.url);
    const line = {
        n: ++count,
        http: request.method,
        path: pathname + search,
        protocol: request.headers.get('mcp-protocol-version') ?? undefined,
        authorization: request.headers.get('authorization') ?? undefined,
        headers: Object.fromEntries(request.headers),
    };
    const text = await request.text();
    try {
        if (text) line.message = JSON.parse(text);
    } catch {
        line.text = text;
    }
    appendFileSync(options.log, JSON.stringify(line) + '\n');
}

async function modern() {
    const { McpServer, createMcpHandler } = await load('@modelcontextprotocol/server');
    return createMcpHandler(() => lab(McpServer, (shape) => z.object(shape))).fetch;
}

async function sessions() {
    const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
    const { WebStandardStreamableHTTPServerTransport: Transport } = await load(
        '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js',
    );
    const open = new Map();
    return async (request) => {
        const known = open.get(request.headers.get('mcp-session-id'));
        if (known) return known.handleRequest(request);
        if (request.headers.has('mcp-session-id')) return new Response('session not found', { status: 404 });
        const transport = new Transport({
            sessionIdGenerator: randomUUID,
            onsessioninitialized: (id) => void open.set(id, transport),
            onsessionclosed: (id) => void open.delete(id),
        });
        await lab(McpServer, (shape) => shape).connect(transport);
        return transport.handleRequest(request);
    };
}

function lab(McpServer, schema) {
    const server = new McpServer({ name: 'lab', version: '1.0.0' });
    const say = (text) => ({ content: [{ type: 'text', text }] });
    server.registerTool(
        'echo',
        { description: 'Gives back what it was given', inputSchema: schema({ message: z.string() }) },
        ({ message }) => say(`echo: ${message}`),
    );
    server.registerTool(
        'secret_delete',
        { description: 'Deletes a secret for good', inputSchema: schema({ name: z.string() }) },
        ({ name }) => say(`deleted ${name}`),
    );
    return server;
}
