// The same as transfer.py with Node's own fetch.
//
//   node http.mjs HOST
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const url = `https://${process.argv[2]}`;
const headers = { authorization: `Bearer ${process.env.LAB_TOKEN}` };
const down = Buffer.from(await (await fetch(`${url}/ok/down`, { headers })).arrayBuffer());
console.log(createHash('sha256').update(down).digest('hex'));
console.log(await (await fetch(`${url}/ok/up`, { method: 'PUT', headers, body: readFileSync('up') })).text());
const no = await fetch(`${url}/no`, { headers });
console.log(no.status, (await no.json()).reason);
