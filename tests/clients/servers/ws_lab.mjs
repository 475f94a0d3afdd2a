// The same as ws_lab.py on the package `ws`.
//
//   node ws_lab.mjs PORT --tls-cert FILE --tls-key FILE --log FILE
import { appendFileSync, readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const text = { type: 'string' };
const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'tls-cert': text, 'tls-key': text, log: text },
});

// The packages live in the folder that tests/clients/install fills, not beside this file.
const clients = process.env.ENSAGE_CLIENTS || fileURLToPath(new URL('../../../target/clients', import.meta.url));
const require = createRequire(pathToFileURL(join(clients, 'node', 'package.json')));
const { WebSocketServer } = require('ws');

const server = https.createServer({ cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) });
const sockets = new WebSocketServer({ server, perMessageDeflate: true, maxPayload: 0 });
sockets.on('connection', (socket, request) => {
    const { authorization = 'nobody' } = request.headers;
    const extensions = Object.keys(socket._extensions);
    appendFileSync(options.log, `${JSON.stringify({ authorization, extensions })}\n`);
    socket.on('message', (message, binary) => {
        if (message.equals(Buffer.from('mirror'))) {
            const said = `you are ${authorization}`;
            socket.send(said.slice(0, 20), { fin: false });
            socket.send(said.slice(20), { fin: true });
        } else if (message.equals(Buffer.from('bye'))) {
            socket.close(4001, 'as you wish');
        } else {
            socket.send(message, { binary });
        }
    });
});
server.listen(Number(positionals[0]), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
